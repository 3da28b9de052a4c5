"""The science and the formats: plain functions and frozen dataclasses that run in one process.

Nothing here imports ray, starts a process or knows a command line; effects (stores, clocks, seeds) are passed in.
"""

__version__ = "0.1.0"
