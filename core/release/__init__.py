"""The release of a year: GeoParquet tables, STAC catalogue and manifest; how they are written and how they are checked.

Writers use `table_from_rows`, `write_region`, `region_area` and `finish_release`; everybody else `verify_release`.
"""

from core.release.finding import Finding
from core.release.geoparquet import to_geoparquet
from core.release.manifest import Provenance, ReleaseFile, read_manifest
from core.release.publish import finish_release, write_region
from core.release.region_area import region_area
from core.release.schema import (
    BELOW_MINIMUM,
    CLASSES,
    GLACIER_AREA,
    GLACIER_FRONT,
    GLACIER_OUTLINE,
    GLACIER_SURFACE,
    HYPSOMETRY_BANDS,
    MEASURED,
    NOT_OBSERVED,
    QUARANTINED,
    REGION_AREA,
    REGION_TABLES,
    STATUSES,
    SURFACES,
    WATERS,
    joined_words,
    schema_markdown,
)
from core.release.table import conform, table_from_rows
from core.release.verify import verify_release

__all__ = [
    "BELOW_MINIMUM",
    "CLASSES",
    "GLACIER_AREA",
    "GLACIER_FRONT",
    "GLACIER_OUTLINE",
    "GLACIER_SURFACE",
    "HYPSOMETRY_BANDS",
    "MEASURED",
    "NOT_OBSERVED",
    "QUARANTINED",
    "REGION_AREA",
    "REGION_TABLES",
    "STATUSES",
    "SURFACES",
    "WATERS",
    "Finding",
    "Provenance",
    "ReleaseFile",
    "conform",
    "finish_release",
    "joined_words",
    "read_manifest",
    "region_area",
    "schema_markdown",
    "table_from_rows",
    "to_geoparquet",
    "verify_release",
    "write_region",
]
