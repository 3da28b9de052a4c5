"""Write what models scored into their cards: `python -m benchmarks.sites.card FILE.json …`, files of `--json`.

The scores stand in `metrics.sites` of model.json, a row per site and set of sensors; they do not change the digest of a
checkpoint. A file that was scored with other weights is refused.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from core.errors import ConfigError
from core.models.checkpoint import load_checkpoint, rewrite_card


def rows_of(name: str, report: dict[str, Any]) -> list[dict[str, Any]]:
    """Rows of one model, with the title of their table."""
    return [
        {"table": section["title"], **{key: value for key, value in row.items() if value is not None}}
        for section in report["sections"]
        for row in section["rows"]
        if str(row["model"]).split(",")[0] == name
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("reports", nargs="+", type=Path)
    reports = [json.loads(path.read_text()) for path in parser.parse_args().reports]
    for name in sorted({name for report in reports for name in report["models"]}):
        checkpoint = load_checkpoint(name)
        found: list[dict[str, Any]] = []
        for report in reports:
            scored = report["models"].get(name)
            if scored and scored["digest"] != checkpoint.digest:
                raise ConfigError(name, found=f"scores of {scored['digest'][:16]}…", expected=checkpoint.digest[:16])
            rows = rows_of(name, report)
            found = [row for row in found if row["table"] not in {r["table"] for r in rows}] + rows
        saved = rewrite_card(checkpoint, checkpoint.url, metrics={**checkpoint.card.metrics, "sites": found})
        print(f"{name}: {len(found)} rows, digest {saved.digest[:16]}")


if __name__ == "__main__":
    main()
