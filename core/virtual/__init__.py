"""Virtual archives: arrays read where they lie, a window at a time, without a copy of the archive.

`files` are byte ranges of local disks, S3 and http(s); `tree` gives HDF5, Zarr and sets of references one face; `place`
says where the pixels of an array lie; `references` makes and opens sets. Nothing is imported here: `core.ingest` reads
through the lower half, and the upper half asks `core.ingest` for the headers of rasters.
"""
