"""Where the pixels of an array lie: its axes, geotransform and coordinate reference system.

In the order of trust: coordinate variables (CF), a GeoTransform attribute (GDAL, rioxarray, our references), and the
bounds and padding that groups of training tiles carry. Coordinates may rise or fall; they must be regular.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from pyproj import CRS as ProjCRS
from rasterio.crs import CRS

from core.errors import ConfigError
from core.virtual.tree import Tree, Variable

REGULAR_PX = 1e-3  # how far a coordinate may lie from its regular place …
_ROUNDED_PX = 0.1  # … and as float32 can hold it, if that is not too coarse for the pixel
_BOUNDS = ("xmin", "ymin", "xmax", "ymax")
_NAMES = {
    "y": ("y", "lat", "latitude", "northing", "yc", "rows"),
    "x": ("x", "lon", "longitude", "easting", "xc", "cols"),
}
_STANDARD = {
    "y": ("projection_y_coordinate", "latitude", "grid_latitude"),
    "x": ("projection_x_coordinate", "longitude", "grid_longitude"),
}
_DEGREES = {"y": ("degrees_north", "degree_north"), "x": ("degrees_east", "degree_east")}
_CRS_KEYS = ("crs_wkt", "spatial_ref", "proj:wkt2", "proj:code", "spatial_epsg", "epsg")


@dataclass(frozen=True)
class Place:
    """Axes of the array as stored, and the raster in it: row 0 north, column 0 west.

    band: None for an array of two dimensions. rows, cols: the part of the axes that is the raster; flip_y, flip_x: the
    stored order is the other one. transform: of the upper left corner of the raster.
    """

    band: int | None
    y: int
    x: int
    rows: slice
    cols: slice
    flip_y: bool
    flip_x: bool
    transform: Affine
    crs: CRS | None


def place_of(tree: Tree, name: str, variable: Variable, where: str) -> Place:
    """Raises ConfigError naming `where` for an array that is no raster or whose place cannot be told."""
    group = name.rpartition("/")[0]
    attrs = tree.attrs(group)
    band, y, x = _axes(tree, name, variable, attrs, where)
    height, width = variable.shape[y], variable.shape[x]
    rows, cols, flip_y, flip_x = slice(0, height), slice(0, width), False, False
    along_y = _coordinate(tree, group, variable.dims[y], height)
    along_x = _coordinate(tree, group, variable.dims[x], width)
    mapping = _mapping(tree, group, variable)
    named = next((a["GeoTransform"] for a in (variable.attrs, mapping, attrs) if "GeoTransform" in a), None)
    if along_x is not None and along_y is not None and min(height, width) > 1:
        x0, dx = _regular(along_x, variable.dims[x], where)
        y0, dy = _regular(along_y, variable.dims[y], where)
        flip_x, flip_y = dx < 0, dy > 0
        left = x0 + dx * (width - 0.5) if flip_x else x0 - dx / 2
        top = y0 + dy * (height - 0.5) if flip_y else y0 - dy / 2
        transform = Affine(abs(dx), 0.0, left, 0.0, -abs(dy), top)
    elif named is not None:
        transform = Affine.from_gdal(*_six(named, where))
    elif all(key in attrs for key in _BOUNDS):
        rows, cols = unpadded(attrs, height, width, where)
        west, south, east, north = (float(attrs[key]) for key in _BOUNDS)
        size = Affine.scale((east - west) / (cols.stop - cols.start), (south - north) / (rows.stop - rows.start))
        transform = Affine.translation(west, north) @ size
    else:
        raise ConfigError(
            where,
            found=f"dimensions {variable.dims} without coordinates",
            expected="coordinate variables x and y or lon and lat, a GeoTransform attribute, or bounds of its group",
        )
    return Place(band, y, x, rows, cols, flip_y, flip_x, transform, _crs(mapping, variable.attrs, attrs, where))


def unpadded(attrs: Mapping[str, Any], height: int, width: int, where: str) -> tuple[slice, slice]:
    """(rows, columns) of a padded training tile that are observations; all of them if it says nothing of padding.

    `padding_*` rows lie before the original, the rest behind it: where the sum is odd, the two differ by one.
    """
    slices = []
    for side, stored in (("height", height), ("width", width)):
        first, n = int(attrs.get(f"padding_{side}", 0)), int(attrs.get(f"original_{side}", stored))
        if f"original_{side}" not in attrs:
            n = stored - 2 * first
        if first < 0 or n < 1 or first + n > stored:
            found = f"original_{side} {n} behind a padding of {first} in {stored}"
            raise ConfigError(where, found=found, expected="an original that lies inside the tile")
        slices.append(slice(first, first + n))
    return slices[0], slices[1]


def _axes(
    tree: Tree, name: str, variable: Variable, attrs: Mapping[str, Any], where: str
) -> tuple[int | None, int, int]:
    shape = variable.shape
    if len(shape) not in (2, 3) or 0 in shape:
        raise ConfigError(where, found=f"an array of shape {shape}", expected="(y, x) or three dimensions with bands")
    group = name.rpartition("/")[0]
    roles = [_role(tree, group, dim) for dim in variable.dims]
    if roles.count("y") == 1 and roles.count("x") == 1:
        y, x = roles.index("y"), roles.index("x")
    elif (attrs.get("height"), attrs.get("width")) == shape[:2]:
        y, x = 0, 1
    else:
        y, x = len(shape) - 2, len(shape) - 1
    rest = [axis for axis in range(len(shape)) if axis not in (y, x)]
    return (rest[0] if rest else None), y, x


def _role(tree: Tree, group: str, dim: str) -> str:
    for role, names in _NAMES.items():
        if dim.lower() in names:
            return role
    found = _near(tree, group, dim) if dim else None
    attrs = found.attrs if found is not None and len(found.shape) == 1 else {}
    for role in ("y", "x"):
        if (
            attrs.get("standard_name") in _STANDARD[role]
            or str(attrs.get("axis", "")).lower() == role
            or attrs.get("units") in _DEGREES[role]
        ):
            return role
    return ""


def _near(tree: Tree, group: str, name: str) -> Variable | None:
    """The variable of a name in a group or in the nearest group above it, as NetCDF-4 looks it up."""
    while True:
        found = tree.variable(f"{group}/{name}".lstrip("/"))
        if found is not None or not group:
            return found
        group = group.rpartition("/")[0]


def _coordinate(tree: Tree, group: str, dim: str, length: int) -> NDArray[Any] | None:
    found = _near(tree, group, dim) if dim else None
    if found is None or found.shape != (length,) or found.dtype.kind not in "iuf":
        return None
    values = np.asarray(found.values[:])
    tree.check()
    return values


def _regular(values: NDArray[Any], dim: str, where: str) -> tuple[float, float]:
    """(first, step) of a regular coordinate."""
    wide = values.astype(np.float64)
    step = (wide[-1] - wide[0]) / (len(wide) - 1)
    rounded = float(np.spacing(np.abs(values).max())) if values.dtype.kind == "f" else 0.0
    off = np.abs(wide - (wide[0] + step * np.arange(len(wide)))).max()
    if not np.isfinite(off) or step == 0 or off > max(REGULAR_PX * abs(step), min(rounded, _ROUNDED_PX * abs(step))):
        found = f"coordinate {dim!r} up to {off / abs(step) if step else np.nan:.3g} px from its regular place"
        raise ConfigError(where, found=found, expected=f"a regular grid, to {REGULAR_PX} px")
    return float(wide[0]), float(step)


def _six(value: Any, where: str) -> list[float]:
    try:
        numbers = [float(v) for v in (value.split() if isinstance(value, str) else value)]
    except (TypeError, ValueError):
        numbers = []
    if len(numbers) != 6:
        raise ConfigError(where, found=f"GeoTransform {value!r}", expected="six numbers in GDAL's order")
    return numbers


def _mapping(tree: Tree, group: str, variable: Variable) -> Mapping[str, Any]:
    """Attributes of the grid mapping variable; CF also writes `crs: x y`."""
    names = str(variable.attrs.get("grid_mapping", "")).split()
    found = _near(tree, group, names[0].rstrip(":")) if names else None
    return found.attrs if found is not None else {}


def _crs(mapping: Mapping[str, Any], own: Mapping[str, Any], group: Mapping[str, Any], where: str) -> CRS | None:
    """None if nothing says it: degrees alone name no datum."""
    for attrs in (mapping, own, group):
        for key in _CRS_KEYS:
            value = attrs.get(key)
            if value in (None, ""):
                continue
            text = f"EPSG:{int(value)}" if key.endswith("epsg") else str(value)
            try:
                return CRS.from_user_input(text)
            except Exception as error:
                raise ConfigError(where, found=f"{key} {text[:60]!r}: {error}", expected="WKT or EPSG:n") from None
    if "grid_mapping_name" in mapping:
        try:
            return CRS.from_wkt(ProjCRS.from_cf(dict(mapping)).to_wkt())
        except Exception as error:
            found = f"grid mapping {mapping['grid_mapping_name']!r}: {error}"
            raise ConfigError(where, found=found, expected="a grid mapping of CF") from None
    return None
