"""`icefleet adapt`: fit a model with a region encoding to a scene, without labels."""

from __future__ import annotations

from typing import Annotated

import typer

from core.train.config import load_train_config
from jobs.console import AsJson, Overrides, console, print_json, run_verb, table
from jobs.models import Line, TrainKeys
from jobs.models import TrainPath as DataPath


def adapt(
    data: DataPath,
    model: Annotated[str, typer.Option("--model", "-m", help="checkpoint folder, URL or shipped name")],
    out: Annotated[str, typer.Option(help="folder of the adapted checkpoint")],
    overrides: Overrides = None,
    epochs: Annotated[int, typer.Option(min=1, help="passes over the windows, at most")] = 100,
    lr: Annotated[float, typer.Option(min=1e-8, help="of Adam on the slots of the region vector")] = 1e-2,
    as_json: AsJson = False,
    keys: TrainKeys = False,
) -> None:
    """Adapt a model to a scene by bias optimisation.

    The net stays frozen; the slots of its region vector are moved until it is least in doubt about the windows of the
    validation sources. Their labels are not looked at. Being sure is not being right: `icefleet evaluate` both models
    on labelled ground where there is any.

    Example: icefleet adapt jobs/configs/train_glacier.yaml -m models/glacier-region/best --out models/adapted
    """
    del keys
    from core.models.checkpoint import load_checkpoint
    from core.train.adapt import adapt as fit
    from core.train.adapt import save_adapted
    from core.train.recipe import build_card, fill_chips, validation_chips

    settings = load_train_config(data, overrides or ())
    checkpoint = load_checkpoint(model)
    fill_chips(settings)
    chips = validation_chips(settings, build_card(settings).groups)
    with Line("adapt", as_json) as line:
        found = fit(
            checkpoint,
            chips,
            epochs=epochs,
            lr=lr,
            device=settings.device,
            watch=lambda epoch, entropy: line.move(epoch, epochs, f"{entropy:.4f} bits"),
        )
    saved = save_adapted(checkpoint, found, out, settings.name)
    slots = [*checkpoint.card.regions, "unknown"]
    if as_json:
        vector = dict(zip(slots, found.vector, strict=True))
        print_json({"checkpoint": saved.url, "digest": saved.digest, "vector": vector, "entropy": list(found.entropy)})
        return
    title = f"entropy {found.entropy[0]:.4f} → {min(found.entropy):.4f} bits per pixel"
    table(title, ["region", "share"], [(s, f"{v:.3f}") for s, v in zip(slots, found.vector, strict=True)])
    console.print(f"checkpoint  {saved.url}", markup=False)


if __name__ == "__main__":
    run_verb(adapt)
