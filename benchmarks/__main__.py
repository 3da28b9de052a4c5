"""`python -m benchmarks`: every table of BENCHMARKS.md that needs nothing but this machine, one after the other."""

from __future__ import annotations

import subprocess
import sys

PROGRAMS = ("store_backends", "coverage_share", "ingest_throughput", "virtual_reads", "rehearsal", "fleet_simulation")


def main() -> None:
    for name in PROGRAMS:
        print(f"\n$ python -m benchmarks.{name}", flush=True)
        subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], check=True)


if __name__ == "__main__":
    main()
