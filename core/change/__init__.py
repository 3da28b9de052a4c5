"""Change between releases: differences with their errors, trends, breaks, polygons and regional sums.

`compare` reads releases and writes the tables; everything else works on arrays and can be used alone.
"""

from core.change.change import Compared, Options, compare
from core.change.error_model import ErrorModel
from core.change.sample import Filter

__all__ = ["Compared", "ErrorModel", "Filter", "Options", "compare"]
