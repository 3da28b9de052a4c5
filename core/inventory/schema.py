"""The schema: the attribute tables of RGI 4 to 7, of GLIMS and of unknown origin → one set of columns.

Column by column and vectorised. Missing numbers become NaN, missing text None, missing codes <NA>: none of -999, -9,
9 or empty text gets past this file. Codes mean what RGI 7 means by them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from core.inventory.dates import parse_dates
from core.inventory.outlines import Note

# Normalised name → names in sources, best first, lower case.
_ALIASES: dict[str, tuple[str, ...]] = {
    "rgi_id": ("rgi_id", "rgiid"),
    "glims_id": ("glims_id", "glimsid", "glac_id"),
    "src_date": ("src_date", "bgndate"),
    "cenlon": ("cenlon",),
    "cenlat": ("cenlat",),
    "area_km2": ("area_km2",),
    "term_type": ("term_type", "termtype"),
    "surge_type": ("surge_type", "surging"),
    "glac_name": ("glac_name", "name"),
    "zmin_m": ("zmin_m", "zmin", "min_elev"),
    "zmax_m": ("zmax_m", "zmax", "max_elev"),
    "zmed_m": ("zmed_m", "zmed"),
    "zmean_m": ("zmean_m", "mean_elev"),
    "slope_deg": ("slope_deg", "slope"),
    "aspect_deg": ("aspect_deg", "aspect"),
    "lmax_m": ("lmax_m", "lmax", "length"),
    "line_type": ("line_type",),
}
_O1 = ("o1region", "gtng_o1reg")
_O2 = ("o2region", "gtng_o2reg")
# Zero is a value for an angle, and "not measured" for a length or an area.
_RANGES: dict[str, tuple[float, float]] = {
    "cenlon": (-360.0, 360.0),
    "cenlat": (-90.0, 90.0),
    "zmin_m": (-500.0, 9000.0),
    "zmax_m": (-500.0, 9000.0),
    "zmed_m": (-500.0, 9000.0),
    "zmean_m": (-500.0, 9000.0),
    "slope_deg": (0.0, 90.0),
    "aspect_deg": (0.0, 360.0),
    "lmax_m": (1e-9, 1e7),
}
SOURCE_COLUMNS = frozenset(
    {a for names in _ALIASES.values() for a in names}
    | {*_O1, *_O2, "enddate", "area", "glactype", "anlys_id", "full_name"}
)
_RGI_ID = r"^RGI(?:(?P<major>\d)(?P<minor>\d)-(?P<o1>\d{2})\.|\d{4}-v(?P<v>\d\.\d)-(?P<p>[GC])-(?P<o1b>\d{2})-)"
_NO_TEXT = ("", "nan", "none", "null", "-999", "-9999", "n/a")
UNKNOWN_REGION = "00"


def is_outline_table(fields: Sequence[str]) -> bool:
    """False for the region outlines that come along with the RGI (they have a full name and no glacier id)."""
    names = {f.lower() for f in fields}
    return "full_name" not in names or bool(names & {*_ALIASES["rgi_id"], *_ALIASES["glims_id"]})


def normalise(table: pd.DataFrame) -> tuple[pd.DataFrame, list[Note]]:
    """Attributes with lower-case columns → the normalised columns that an attribute table can fill, row for row.

    rgi_id is None where none is stated. Two columns are for the reader alone: `analysis` (GLIMS: to which glacier
    outline a row belongs) and `line_type` (GLIMS: `glac_bound`, `intrnl_rock`, …; None elsewhere).
    """
    glims = "glac_id" in table.columns and not any(c in table.columns for c in _ALIASES["rgi_id"])
    out = pd.DataFrame(index=table.index)
    glims_id = _text(table, "glims_id")
    rgi_id = _text(table, "rgi_id")
    out["rgi_id"] = glims_id if glims else rgi_id
    out["glims_id"] = glims_id

    parsed = rgi_id.astype("string").str.extract(_RGI_ID)
    old = parsed["major"].notna()
    version = (parsed["major"] + "." + parsed["minor"]).where(old, parsed["v"] + "-" + parsed["p"])
    out["version"] = _none(version.fillna("glims" if glims else "unknown"))
    out["o1region"], out["o2region"], notes = _regions(table, parsed["o1"].fillna(parsed["o1b"]))
    notes += _dates(table, out)

    for name, (low, high) in _RANGES.items():
        out[name] = _number(table, _ALIASES[name], low, high)
    out["area_km2"] = _area(table, glims)
    if glims:
        # The GLIMS database writes 0 for an elevation that nobody measured.
        unmeasured = (out["zmax_m"] == 0).to_numpy()
        out.loc[unmeasured, ["zmin_m", "zmax_m", "zmed_m", "zmean_m"]] = np.nan

    term = _first(table, _ALIASES["term_type"])
    if term is None and "glactype" in table.columns:
        term = table["glactype"].astype("string").str.slice(1, 2)  # RGI 4 and 5: second of four digits
    out["term_type"], bad = _code(term, table.index, old.to_numpy(dtype=bool))
    notes += bad
    out["surge_type"], bad = _code(_first(table, _ALIASES["surge_type"]), table.index, None)
    notes += bad
    out["glac_name"] = _text(table, "glac_name")
    out["line_type"] = _text(table, "line_type") if glims else None
    analysis = _first(table, ("anlys_id", *_ALIASES["glims_id"]))
    out["analysis"] = _none(analysis.astype("string")) if glims and analysis is not None else None
    return out, notes


def _first(table: pd.DataFrame, names: Sequence[str]) -> pd.Series | None:
    return next((table[n] for n in names if n in table.columns), None)


def _none(values: pd.Series) -> pd.Series:
    """Text with missing values → objects with None."""
    values = values.astype(object)
    return values.where(values.notna(), None)


def _text(table: pd.DataFrame, name: str) -> pd.Series:
    values = _first(table, _ALIASES[name])
    if values is None:
        return pd.Series([None] * len(table), index=table.index, dtype=object)
    # Padding of old dBase tables ends in a stray character: "Kesselwandferner                  À".
    text = values.astype("string").str.strip().str.replace(r"\s{2,}\S?$", "", regex=True)
    return _none(text.mask(text.str.lower().isin(_NO_TEXT) | text.str.fullmatch(r"[^0-9A-Za-z]")))


def _number(table: pd.DataFrame, names: Sequence[str], low: float, high: float) -> pd.Series:
    values = _first(table, names)
    if values is None:
        return pd.Series(np.nan, index=table.index, dtype=np.float64)
    number = pd.to_numeric(values, errors="coerce").astype(np.float64)
    return number.where((number >= low) & (number <= high))


def _area(table: pd.DataFrame, glims: bool) -> pd.Series:
    """Stated area, km². `area` is km² in the RGI and m² in GLIMS; elsewhere its unit is unknown and it is not used.

    GLIMS' other figure, `db_area`, belongs to the database entry and is up to 2.4 % off the outline (Mt Baker).
    """
    high = 2e7
    if "area_km2" in table.columns:
        return _number(table, ("area_km2",), 1e-12, high)
    if glims:
        return _number(table, ("area",), 1e-6, high * 1e6) / 1e6
    return _number(table, ("area",) if "rgiid" in table.columns else (), 1e-12, high)


def _code(
    values: pd.Series | None, index: pd.Index, old_terminus: np.ndarray[tuple[int], np.dtype[np.bool_]] | None
) -> tuple[pd.Series, list[Note]]:
    """Codes 0–3, <NA> for 9 and missing.

    old_terminus: rows with the terminus codes of RGI 4–6, where 3 is dry calving and 4 regenerated (both end on land:
    0 in RGI 7) and 5 is a shelf (3 in RGI 7). None for other codes.
    """
    if values is None:
        return pd.Series(pd.NA, index=index, dtype="Int8"), []
    number = pd.to_numeric(values, errors="coerce").astype(np.float64)
    if old_terminus is not None:
        number = number.where(~old_terminus, number.replace({3.0: 0.0, 4.0: 0.0, 5.0: 3.0}))
    known = number.isin((0.0, 1.0, 2.0, 3.0))
    strange = ~known & number.notna() & (number != 9) & (number >= 0)
    notes = [
        Note("unknown_code", int(i), f"code {values.iloc[i]} is none of 0–3 and 9", "taken as not assigned")
        for i in np.flatnonzero(strange.to_numpy())
    ]
    return number.where(known).astype("Int8"), notes


def _regions(table: pd.DataFrame, from_id: pd.Series) -> tuple[pd.Series, pd.Series, list[Note]]:
    stated = _first(table, _O1)
    if stated is None:
        o1 = from_id
    else:
        digits = _two_digits(stated, r"^\s*(\d{1,2})(?:\.0*)?\s*$")
        o1 = digits.mask(digits == UNKNOWN_REGION).fillna(from_id)
    differs = (from_id.notna() & o1.notna() & (from_id != o1)).fillna(False).to_numpy(dtype=bool)
    notes = [
        Note("region_mismatch", int(i), f"region {o1.iloc[i]}, but {from_id.iloc[i]} in the id", "region column used")
        for i in np.flatnonzero(differs)
    ]
    o1 = o1.fillna(UNKNOWN_REGION)
    second = _first(table, _O2)
    if second is None:
        return _none(o1), pd.Series([None] * len(table), index=table.index, dtype=object), notes
    last = _two_digits(second, r"^\s*(?:\d{1,2}-)?(\d{1,2})(?:\.0*)?\s*$")
    return _none(o1), _none((o1 + "-" + last).mask((last == "00") | (o1 == UNKNOWN_REGION))), notes


def _two_digits(values: pd.Series, pattern: str) -> pd.Series:
    """The number that the pattern finds, as two digits. Regions repeat, so each distinct text is looked at once."""
    code, distinct = pd.factorize(values.astype("string"), use_na_sentinel=False)
    found = pd.Series(distinct, dtype="string").str.extract(pattern)[0].str.zfill(2)
    return pd.Series(found.array[code], index=values.index)


def _dates(table: pd.DataFrame, out: pd.DataFrame) -> list[Note]:
    """Fill src_date and src_date_precision; the end of a range where its beginning is not stated."""
    begin = _first(table, _ALIASES["src_date"])
    if begin is None:
        begin = pd.Series(pd.NA, index=table.index, dtype="string")
    dates = parse_dates(begin)
    date, precision = dates.date, dates.precision
    if "enddate" in table.columns:
        end = parse_dates(table["enddate"])
        missing = precision == None  # noqa: E711
        date, precision = np.where(missing, end.date, date), np.where(missing, end.precision, precision)
    out["src_date"] = pd.Series(date, index=table.index, dtype=object)
    out["src_date_precision"] = pd.Series(precision, index=table.index, dtype=object)
    return [
        Note("unreadable_date", int(i), f"date {begin.iloc[i]!r}", "taken as not stated")
        for i in np.flatnonzero(dates.unreadable)
    ]
