"""References of GeoTIFF, cloud-optimised or not: tiles and strips, and the georeference as GDAL reads it.

Written on the page tags that tifffile reads, because its own references (kerchunk.tiff) refuse a last strip that is
shorter than the others, which nearly every striped file has. The codecs: none, deflate, Zstandard, LZW; predictors 1, 2
and 3; bands by pixel or by plane. Overviews are left out: who needs a coarser look opens the file itself.
"""

from __future__ import annotations

import math
from typing import Any, cast

import numpy as np
import tifffile

from core.errors import ConfigError, IcefleetError
from core.ingest.raster import raster_errors, read_header
from core.virtual.codecs import TiffRows
from core.virtual.files import RangeFile, absolute, public, storage_error
from core.virtual.layout import Index, Range, VirtualArray, VirtualFile, whole_inline

RASTER, GRID_MAPPING = "raster", "spatial_ref"
_COMPRESSORS: dict[int, dict[str, Any] | None] = {
    1: None,
    5: {"id": "imagecodecs_lzw"},
    8: {"id": "zlib", "level": 6},
    32946: {"id": "zlib", "level": 6},
    50000: {"id": "imagecodecs_zstd"},
}
_KINDS = {1: "u", 2: "i", 3: "f"}
_BITS = (8, 16, 32, 64)


def tiff_file(url: str) -> VirtualFile:
    """Array `raster` of the full resolution, and its grid mapping `spatial_ref`.

    Raises ConfigError for what Zarr cannot express (other compressions, odd bits, a mask inside the file), PoisonError,
    RefusedError or TransientError if the file cannot be read.
    """
    target = absolute(url)
    with RangeFile(target) as ranges:
        try:
            with tifffile.TiffFile(cast(Any, ranges), name=public(target)) as tiff:
                pages: list[Any] = [tiff.pages[i] for i in range(len(tiff.pages))]
                n_reduced = sum(bool(page.subfiletype & 1) and not page.subfiletype & 4 for page in pages)
                _check(pages, public(url))
                array = _array(pages[0], tiff.byteorder, target)
        except IcefleetError:
            raise
        except Exception as error:
            raise ranges.failed or storage_error(error, target) from None
    attrs, nodata = _georeference(url)
    sparse = len(array.refs) < math.prod(-(-n // c) for n, c in zip(array.shape, array.chunks, strict=True))
    fill = nodata if nodata is not None else 0 if sparse else None
    if nodata is not None:
        attrs["_FillValue"] = nodata if math.isfinite(nodata) else str(nodata)
        fill = nodata if array.dtype.kind == "f" else int(nodata)
    grid: dict[str, Any] = {k: attrs[k] for k in attrs if k in ("crs_wkt", "GeoTransform")}
    raster = VirtualArray(
        array.shape,
        array.chunks,
        array.dtype,
        array.dims,
        array.refs,
        fill,
        array.compressor,
        array.filters,
        {**attrs, "grid_mapping": GRID_MAPPING},
    )
    mapping = whole_inline(np.zeros((), dtype="int64"), (), grid)
    skipped = ((f"{RASTER} overviews", f"{n_reduced} reduced copies"),) if n_reduced else ()
    return VirtualFile(target, {RASTER: raster, GRID_MAPPING: mapping}, {"": {}}, skipped)


def _check(pages: list[Any], where: str) -> None:
    if any(page.subfiletype & 4 for page in pages):
        raise ConfigError(where, found="a mask inside the file", expected="nodata", fix="read it without references")
    if sum(not page.subfiletype for page in pages) > 1:
        raise ConfigError(where, found="several images", expected="one, and its overviews")
    page = pages[0]
    if page.compression not in _COMPRESSORS or page.predictor not in (1, 2, 3) or page.fillorder != 1:
        raise ConfigError(
            where,
            found=f"compression {_name(page.compression)}, predictor {_name(page.predictor)}",
            expected="none, deflate, Zstandard or LZW with predictor 1, 2 or 3",
            fix="read it without references",
        )
    bits, kind = page.bitspersample, page.sampleformat
    if not isinstance(bits, int) or bits not in _BITS or kind not in _KINDS:
        raise ConfigError(where, found=f"{bits} bits of format {kind}", expected="whole or floating 8 to 64 bits")


def _name(number: Any) -> str:
    return str(getattr(number, "name", number))


def _array(page: Any, byteorder: str, target: str) -> VirtualArray:
    dtype = np.dtype(f"{_KINDS[page.sampleformat]}{page.bitspersample // 8}").newbyteorder(cast(Any, byteorder))
    height, width, samples = page.imagelength, page.imagewidth, page.samplesperpixel
    planes = samples if page.planarconfig == 2 and samples > 1 else 1
    together = 1 if planes > 1 else samples
    rows, cols = (page.tilelength, page.tilewidth) if page.is_tiled else (min(page.rowsperstrip, height), width)
    down, across = -(-height // rows), -(-width // cols)
    n = planes * down * across
    offsets, counts = page.dataoffsets, page.databytecounts
    if len(offsets) < n or len(counts) < n:
        raise ConfigError(public(target), found=f"{len(offsets)} tiles or strips", expected=f"{n}")
    short = not page.is_tiled and height % rows != 0
    filters: tuple[dict[str, Any], ...] = ()
    if page.predictor != 1 or short:
        shape = [rows, cols, together]
        filters = ({"id": TiffRows.codec_id, "shape": shape, "dtype": dtype.str, "predictor": int(page.predictor)},)
    size: tuple[int, ...] = (height, width)
    chunks: tuple[int, ...] = (rows, cols)
    dims: tuple[str, ...] = ("y", "x")
    if planes > 1:
        size, chunks, dims = (planes, *size), (1, *chunks), ("band", *dims)
    elif samples > 1:
        size, chunks, dims = (*size, samples), (*chunks, samples), (*dims, "band")
    refs: dict[Index, Range | bytes] = {}
    for i, (plane, row, col) in enumerate(np.ndindex(planes, down, across)):
        if counts[i]:  # else it was left out, being all nodata
            place = (plane, row, col) if planes > 1 else (row, col, 0) if samples > 1 else (row, col)
            refs[place] = (target, int(offsets[i]), int(counts[i]))
    compressor = _COMPRESSORS[page.compression]
    return VirtualArray(size, chunks, dtype, dims, refs, None, compressor, filters)


def _georeference(url: str) -> tuple[dict[str, Any], float | None]:
    """Attributes of the raster as GDAL reads them, and its nodata."""
    with raster_errors(url, "header"):
        header = read_header(url)
    where = public(url)
    if len(set(map(str, header.nodata))) > 1 or len(set(zip(header.scales, header.offsets, strict=True))) > 1:
        raise ConfigError(where, found="nodata or scale that differ between bands", expected="one for all")
    attrs: dict[str, Any] = {"GeoTransform": " ".join(repr(float(v)) for v in header.transform.to_gdal())}
    if header.crs_wkt:
        attrs["crs_wkt"] = header.crs_wkt
    if header.scales[0] != 1.0 or header.offsets[0] != 0.0:
        attrs["scale_factor"], attrs["add_offset"] = header.scales[0], header.offsets[0]
    return attrs, header.nodata[0]
