"""Schema: the columns of a release, their types, units and meaning.

A published column never changes its meaning; adding one is compatible, renaming one is not. Missing floats are null,
never −9999 and never NaN. Lists of words (`sensors`, `flags`) are one string joined by `;`, because lists come back
from pandas as arrays that can neither be grouped, compared nor written to GeoPackage.
"""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow as pa

AREA = "glacier_area"
OUTLINE = "glacier_outline"
HYPSOMETRY = "hypsometry"
FRONT = "glacier_front"
SURFACE = "glacier_surface"
REGIONAL = "region_area"
# Tables in a folder per region: every release has the first, the others where there is something to say.
REGION_TABLES = (AREA, OUTLINE, HYPSOMETRY, FRONT, SURFACE)

MEASURED = "measured"
NOT_OBSERVED = "not_observed"
BELOW_MINIMUM = "below_minimum"
QUARANTINED = "quarantined"
STATUSES = (MEASURED, NOT_OBSERVED, BELOW_MINIMUM, QUARANTINED)
WITH_AREA = (MEASURED, BELOW_MINIMUM)
UNKNOWN_O2 = "unknown"  # second-order region of sums over glaciers that have none, so that sums add up
SURFACES = ("clean_ice", "debris", "lake")
SURFACE_AREAS = tuple(f"area_{name}_km2" for name in SURFACES)
SIGMA_PARTS = ("area_sigma_boundary_km2", "area_sigma_model_km2", "area_sigma_hidden_km2")
CLASSES = ("glacier", *SURFACES)
WATERS = ("sea", "lake")
WATER_SOURCES = ("image", "elevation", "both")
BAND_M = 50
THOUSANDTHS = 1000
WORD_SEPARATOR = ";"

BBOX = pa.struct([pa.field(name, pa.float64(), nullable=False) for name in ("xmin", "ymin", "xmax", "ymax")])


def _field(name: str, kind: pa.DataType, description: str, unit: str = "", *, nullable: bool = True) -> pa.Field:
    return pa.field(name, kind, nullable=nullable, metadata={"description": description, "unit": unit})


def _required(name: str, kind: pa.DataType, description: str, unit: str = "") -> pa.Field:
    return _field(name, kind, description, unit, nullable=False)


_TEXT, _REAL, _INT, _DATE = pa.string(), pa.float64(), pa.int32(), pa.date32()
SECOND_ORDER = (
    f"RGI second-order region, {UNKNOWN_O2} for the glaciers without one; they add up to the total of the first-order "
    "region, which has null"
)
_FRONT_CHANGE = (
    "mean advance of the front over that of the inventory's outline; negative is retreat, null without both or where"
    " less than two thirds of the front were seen, or where fronts look to different sides"
)

GLACIER_AREA = pa.schema(
    [
        _required("rgi_id", _TEXT, "identifier of the glacier in the inventory; unique in a release"),
        _required("o1region", _TEXT, "RGI first-order region, two digits"),
        _field("o2region", _TEXT, "RGI second-order region, e.g. 11-01"),
        _field("glac_name", _TEXT, "name of the glacier, where the inventory has one"),
        _field("cenlon", _REAL, "longitude of a point on the glacier; null without outline and position", "degree"),
        _field("cenlat", _REAL, "latitude of a point on the glacier", "degree"),
        _required("year", _INT, "year that the row describes"),
        _required("status", _TEXT, f"{' | '.join(STATUSES)}"),
        _field("status_reason", _TEXT, "why the glacier is not measured; never null for not_observed and quarantined"),
        _field("area_km2", _REAL, "mapped area on the ellipsoid; null where not measured", "km²"),
        _field("area_sigma_km2", _REAL, "standard uncertainty of area_km2: root of the squares of its parts", "km²"),
        _field("area_sigma_boundary_km2", _REAL, "its part from where exactly the outline runs, divides apart", "km²"),
        _field("area_sigma_model_km2", _REAL, "its part from whether what was mapped as ice is ice", "km²"),
        _field("area_sigma_hidden_km2", _REAL, "its part from what was not observed or may be sea ice", "km²"),
        _field("area_expected_km2", _REAL, "sum of probability × pixel area", "km²"),
        _field("area_inventory_km2", _REAL, "area of the inventory's outline; null if it states and draws none", "km²"),
        _field("inventory_date", _DATE, "source date of the inventory's outline"),
        _field("area_debris_km2", _REAL, "part of area_km2 that is covered by debris", "km²"),
        _field("area_clean_ice_km2", _REAL, "part of area_km2 that is clean ice or snow", "km²"),
        _field("area_lake_km2", _REAL, "part of area_km2 that is water on the glacier", "km²"),
        _field("area_advance_km2", _REAL, "part of area_km2 outside the inventory's outline", "km²"),
        _field("area_loss_km2", _REAL, "part of the inventory's outline that is not glacier any more", "km²"),
        _field("observed_fraction", _REAL, "share of the inventory's outline that was observed", "1"),
        _field("scene_date_min", _DATE, "first acquisition used"),
        _field("scene_date_max", _DATE, "last acquisition used"),
        _field("scenes", _TEXT, f"ids of the acquisitions used, sorted, joined by {WORD_SEPARATOR!r}"),
        _field("sensors", _TEXT, f"sensors used, sorted, joined by {WORD_SEPARATOR!r}"),
        _field("zmin_m", _REAL, "lowest elevation of the mapped glacier", "m"),
        _field("zmax_m", _REAL, "highest elevation", "m"),
        _field("zmed_m", _REAL, "median elevation", "m"),
        _field("zmean_m", _REAL, "mean elevation", "m"),
        _field("slope_deg", _REAL, "mean slope", "degree"),
        _field("aspect_deg", _REAL, "mean aspect, clockwise from north", "degree"),
        _field("lmax_m", _REAL, "longest way on the ice from the terminus; an estimate on pixels", "m"),
        _field("term_type", _INT, "terminus type of RGI 7: 0 land, 1 marine, 2 lake, 3 shelf; null not assigned"),
        _field("termlon", _REAL, "longitude of the terminus", "degree"),
        _field("termlat", _REAL, "latitude of the terminus", "degree"),
        _field("term_elev_m", _REAL, "elevation of the terminus", "m"),
        _field("front_length_m", _REAL, "length of the calving front; null for a glacier that ends on land", "m"),
        _field("front_change_m", _REAL, _FRONT_CHANGE, "m"),
        _field("n_parts", _INT, "polygons of the mapped outline"),
        _required("flags", _TEXT, f"quality flags, sorted, joined by {WORD_SEPARATOR!r}; empty without any"),
        _required("run_id", _TEXT, "run that made the row"),
        _required("model_digest", _TEXT, "identity of the model that mapped the glacier"),
        _field(
            "geometry",
            pa.binary(),
            "outline, WKB, longitude and latitude: as mapped for measured and below_minimum (null if nothing is left),"
            " the inventory's for not_observed and quarantined",
        ),
        _field(
            "bbox", BBOX, "planar bounds of the geometry; −180 to 180 where it is split at the antimeridian", "degree"
        ),
    ]
)

GLACIER_OUTLINE = pa.schema(
    [
        _required("rgi_id", _TEXT, "glacier that the part belongs to"),
        _required("o1region", _TEXT, "RGI first-order region, two digits"),
        _required("year", _INT, "year that the row describes"),
        _required("part", _INT, "number of the part within the glacier, from 0"),
        _required("class", _TEXT, f"{' | '.join(CLASSES)}; glacier for parts of the whole outline"),
        _required("area_km2", _REAL, "area of the part on the ellipsoid", "km²"),
        _required("run_id", _TEXT, "run that made the row"),
        _required("geometry", pa.binary(), "polygon, WKB, longitude and latitude"),
        _required("bbox", BBOX, "planar bounds of the geometry", "degree"),
    ]
)

HYPSOMETRY_BANDS = pa.schema(
    [
        _required("rgi_id", _TEXT, "glacier that the band belongs to"),
        _required("o1region", _TEXT, "RGI first-order region, two digits"),
        _required("year", _INT, "year that the row describes"),
        _required("band_m", _INT, f"lower edge of the band, a multiple of {BAND_M}", "m"),
        _required("thousandths", _INT, f"share of the glacier's area in the band; a glacier's add up to {THOUSANDTHS}"),
        _required("run_id", _TEXT, "run that made the row"),
    ]
)

GLACIER_FRONT = pa.schema(
    [
        _required("rgi_id", _TEXT, "glacier that ends in the water; one row for each"),
        _required("o1region", _TEXT, "RGI first-order region, two digits"),
        _required("year", _INT, "year that the row describes"),
        _required("front_length_m", _REAL, "length of the calving front, as in glacier_area", "m"),
        _field("front_change_m", _REAL, _FRONT_CHANGE, "m"),
        _required(
            "front_observed_fraction", _REAL, "share of the front that was seen, and of the inventory's compared", "1"
        ),
        _required("water", _TEXT, " | ".join(WATERS)),
        _required("water_source", _TEXT, f"what shows the water at the front: {' | '.join(WATER_SOURCES)}"),
        _required("run_id", _TEXT, "run that made the row"),
        _required("geometry", pa.binary(), "line or lines, WKB, longitude and latitude"),
        _required("bbox", BBOX, "planar bounds of the geometry", "degree"),
    ]
)

GLACIER_SURFACE = pa.schema(
    [
        _required("rgi_id", _TEXT, "glacier that the surface belongs to"),
        _required("o1region", _TEXT, "RGI first-order region, two digits"),
        _required("year", _INT, "year that the row describes"),
        _required("class", _TEXT, f"{' | '.join(SURFACES)}; one row for each that occurs on the glacier"),
        _required("area_km2", _REAL, "area of the class as in glacier_area, the unknown shared out", "km²"),
        _required("run_id", _TEXT, "run that made the row"),
        _required("geometry", pa.binary(), "where the class was seen: (multi)polygon, WKB, longitude and latitude"),
        _required("bbox", BBOX, "planar bounds of the geometry", "degree"),
    ]
)

REGION_AREA = pa.schema(
    [
        _required("o1region", _TEXT, "RGI first-order region, two digits"),
        _field("o2region", _TEXT, SECOND_ORDER),
        _required("year", _INT, "year that the row describes"),
        _required("n_glaciers", _INT, "glaciers of the inventory"),
        _required("n_measured", _INT, "glaciers with status measured"),
        _required("n_below_minimum", _INT, "glaciers that shrank below the minimum area"),
        _required("n_not_observed", _INT, "glaciers that could not be seen"),
        _required("n_quarantined", _INT, "glaciers whose processing failed"),
        _required("area_km2", _REAL, "summed area_km2 of measured and below_minimum glaciers", "km²"),
        _required("area_sigma_km2", _REAL, "uncertainty of area_km2 under sigma_model", "km²"),
        _required("sigma_model", _TEXT, "how uncertainties of glaciers are assumed to be correlated"),
        _field(
            "area_filled_km2",
            _REAL,
            "area_km2 and, for every glacier without an area but with one in the inventory, that times the ratio of "
            "measured to inventory area of its size in the first-order region; null if fewer than two are seen there",
            "km²",
        ),
        _field(
            "area_filled_sigma_km2",
            _REAL,
            "uncertainty of area_filled_km2 under sigma_model: measured areas, ratio, and scatter about it",
            "km²",
        ),
        _field("area_debris_km2", _REAL, "summed area_debris_km2 of those glaciers; null if none has one", "km²"),
        _required("area_inventory_km2", _REAL, "inventory area of all glaciers", "km²"),
        _required(
            "area_inventory_measured_km2",
            _REAL,
            "inventory area of the glaciers that area_km2 sums over: compare area_km2 with this",
            "km²",
        ),
        _required("observed_fraction", _REAL, "mean observed fraction, weighted by inventory area", "1"),
        _required("run_id", _TEXT, "run that made the row"),
    ]
)

SCHEMAS: dict[str, pa.Schema] = {
    AREA: GLACIER_AREA,
    OUTLINE: GLACIER_OUTLINE,
    HYPSOMETRY: HYPSOMETRY_BANDS,
    FRONT: GLACIER_FRONT,
    SURFACE: GLACIER_SURFACE,
    REGIONAL: REGION_AREA,
}


def joined_words(words: Iterable[str]) -> str:
    """Words → the one spelling of a set of them: sorted, each once, joined by `;`; empty for none."""
    return WORD_SEPARATOR.join(sorted(set(words)))


def describe(field: pa.Field) -> tuple[str, str]:
    """(description, unit) of a field of a release."""
    meta = {k.decode(): v.decode() for k, v in (field.metadata or {}).items()}
    return meta.get("description", ""), meta.get("unit", "")


def schema_markdown(schema: pa.Schema) -> str:
    """The fields of a schema as a Markdown table: column, type, unit, may be null, meaning."""
    lines = ["| column | type | unit | null | meaning |", "|---|---|---|---|---|"]
    for field in schema:
        description, unit = describe(field)
        kind = f"struct<{', '.join(f.name for f in field.type)}>" if pa.types.is_struct(field.type) else str(field.type)
        null = "yes" if field.nullable else "no"
        cells = (f"`{field.name}`", kind, unit, null, description)
        lines.append("| " + " | ".join(c.replace("|", "\\|") for c in cells) + " |")
    return "\n".join(lines) + "\n"
