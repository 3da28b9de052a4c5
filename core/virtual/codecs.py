"""What TIFF needs to be read as Zarr: numcodecs of imagecodecs, and the filter of TIFF's rows.

Everything else in our references is of numcodecs itself, so that any reader of Zarr 2 opens HDF5 and plain TIFF; for
LZW, Zstandard and predictors it has to call `register` first. imagecodecs has filters for the predictors, but none that
gives a last strip, which TIFF cuts short, the rows that a chunk of Zarr must have.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numcodecs
import numpy as np
from numcodecs.abc import Codec


class TiffRows(Codec):  # type: ignore[misc]
    """Rows of a strip or tile as decompressed → rows of samples, whole chunks. It only decodes.

    shape: (rows, columns, samples) of a chunk; dtype: of the samples, with byte order; predictor: 1 none, 2 horizontal
    differences, 3 floating point (TIFF Technical Note 3). Missing rows come as zeros: they lie beyond the image.
    """

    codec_id = "icefleet_tiff_rows"

    def __init__(self, shape: list[int], dtype: str, predictor: int) -> None:
        self.shape, self.dtype, self.predictor = list(shape), dtype, predictor

    def encode(self, buf: Any) -> Any:
        raise NotImplementedError("TIFF is read, not written")

    def decode(self, buf: Any, out: Any = None) -> Any:
        rows, columns, samples = self.shape
        dtype = np.dtype(self.dtype)
        raw = np.frombuffer(buf, dtype=np.uint8)
        width = columns * samples * dtype.itemsize
        whole, rest = divmod(raw.size, width)
        if rest or whole > rows:
            raise ValueError(f"{raw.size} bytes of a strip of {rows} rows of {width} bytes")
        raw = raw.reshape(whole, width)
        decoded = np.zeros((rows, columns, samples), dtype)
        if self.predictor == 3:
            # Bytes of one rank lie together, highest first; differences run over the bytes, a sample apart.
            parts = raw.reshape(whole, width // samples, samples)
            summed = np.add.accumulate(parts, axis=1, dtype=np.uint8).reshape(whole, dtype.itemsize, columns * samples)
            values = np.ascontiguousarray(summed.transpose(0, 2, 1)).view(dtype.newbyteorder(">"))
            decoded[:whole] = values.reshape(whole, columns, samples)
        elif self.predictor == 2:
            bits = np.dtype(f"u{dtype.itemsize}")
            stored = raw.view(bits.newbyteorder(dtype.byteorder)).reshape(whole, columns, samples).astype(bits)
            decoded[:whole] = np.add.accumulate(stored, axis=1, dtype=bits).view(dtype.newbyteorder("="))
        else:
            decoded[:whole] = raw.view(dtype).reshape(whole, columns, samples)
        return decoded


@lru_cache(maxsize=1)
def register() -> None:
    """Make numcodecs know what our references name."""
    import imagecodecs.numcodecs  # a second to load, which only readers of TIFF need

    imagecodecs.numcodecs.register_codecs(verbose=False)
    numcodecs.register_codec(TiffRows, TiffRows.codec_id)
