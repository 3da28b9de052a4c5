"""Calving fronts of the sample set `greenland_fronts`: a small U-Net beside classical edges, on a glacier kept out.

    python -m benchmarks.fronts [--keep-out kangerlussuaq] [--out DIR] [--steps 800]

Path/rows that look at the same glacier are kept out together: its front in another path is the same front. The net is
trained by the project's own trainer on the other glaciers and chosen on one path/row of theirs; the edge's smoothing
and the constant row are fitted there as well. Errors are mean distance errors in pixels (`core.measure.front_error`),
one image at a time, between the walls of a box: the median ends of the drawn lines of that glacier, for all methods
alike, as an inventory's outline would give them. Drawn again by a person, lines of such images differ by 1.89 px
(Mohajerani et al. 2019, on another glacier and by another measure).
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, label

from core.grid import Lattice, PixelWindow, Zone
from core.measure.front import front_line
from core.measure.front_error import mean_distance_error
from core.measure.front_position import front_position
from core.models.learned import Learned
from core.train.chipfile import save_chip
from core.train.config import TrainConfig
from core.train.fronts import PIXEL_M, FrontScene, front_chip, front_scenes, read_front, read_picture
from core.train.predict import predictor
from core.train.recipe import build_trainer
from core.train.trainer import TrainEvent

Float32 = NDArray[np.float32]
Find = Callable[[FrontScene], shapely.Geometry | None]
# The three glaciers that the paper names for these images; which path/row is which by latitude and look.
GLACIERS: Mapping[str, tuple[str, ...]] = {
    "jakobshavn": ("008011", "009011", "010011"),
    "sverdrup": ("020007", "021006", "021007", "023006", "024006"),
    "kangerlussuaq": ("229012", "231012"),
}
# Where the best epoch is chosen: never on what is kept out.
CHOSEN_ON: Mapping[str, tuple[str, ...]] = {
    "jakobshavn": ("021007", "024006"),
    "sverdrup": ("010011",),
    "kangerlussuaq": ("021007", "024006"),
}
STEP_PX = 0.25
# The nets' windows; the part of the picture that is looked at has whole strides of them.
WINDOW_PX, LOOK = 192, (slice(6, 294), slice(4, 196))
_PIXELS = Lattice(Zone("utm24n"), 10)


def between(ice: Float32, water: NDArray[Any], row0: int, col0: int) -> shapely.Geometry | None:
    """`front_line` in pixels of the picture, of arrays whose first pixel is (row0, col0)."""
    window = PixelWindow(row0, row0 + ice.shape[0], col0, col0 + ice.shape[1])
    found = front_line(ice, water, _PIXELS, window)
    if found is None:
        return None
    return shapely.transform(found, lambda xy: np.column_stack(_PIXELS.to_pixels(xy[:, 0], xy[:, 1])[::-1]))


def box_of(scenes: Sequence[FrontScene]) -> tuple[int, int]:
    """Columns of the walls: medians of the ends of the drawn lines."""
    west, _, east, _ = shapely.bounds([read_front(scene) for scene in scenes]).T
    return round(float(np.median(west))), round(float(np.median(east)))


def by_net(probability: Mapping[str, Float32], walls: tuple[int, int], scene: FrontScene) -> shapely.Geometry | None:
    """Where the probability of being upstream falls below one half."""
    left = walls[0] - LOOK[1].start
    inside = probability[scene.name][:, left : left + walls[1] - walls[0]]
    sea = downstream(inside < 0.5)
    return between(np.where(sea, inside, np.maximum(inside, 0.5)), sea, LOOK[0].start, walls[0])


def by_otsu(walls: tuple[int, int], scene: FrontScene) -> shapely.Geometry | None:
    """Otsu's threshold between the walls; ice is the side that most of the lowest third is on."""
    picture = read_picture(scene)[:, slice(*walls)]
    bright = picture > otsu(picture)
    sea = downstream(~bright if bright[-picture.shape[0] // 3 :].mean() > 0.5 else bright)
    return between((~sea).astype(np.float32), sea, 0, walls[0])


def by_edge(sigma: float, walls: tuple[int, int], scene: FrontScene) -> shapely.Geometry | None:
    """The path from wall to wall along the steepest change of brightness along the flow, two rows a column at most."""
    strength = np.abs(gaussian_filter(read_picture(scene), sigma, order=(1, 0)))[:, slice(*walls)]
    rows = strongest_path(strength, 2)
    return shapely.LineString(np.column_stack([walls[0] + np.arange(len(rows)) + 0.5, rows + 0.5]))


def by_constant(row: float, walls: tuple[int, int], scene: FrontScene) -> shapely.Geometry | None:
    """The same row in every picture: what their framing alone gives away."""
    return shapely.LineString([(walls[0], row), (walls[1], row)])


def downstream(water: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The water that hangs together with the upper edge; other holes are shadows, ponds and clouds on the ice."""
    number, _ = label(water)
    return np.isin(number, np.unique(number[0][water[0]]))


def otsu(values: Float32) -> float:
    """The threshold that parts grey levels best (Otsu 1979, 10.1109/TSMC.1979.4310076)."""
    counts, edges = np.histogram(values, 256)
    below, level = np.cumsum(counts), (edges[:-1] + edges[1:]) / 2
    above, total = below[-1] - below, np.cumsum(counts * level)
    with np.errstate(divide="ignore", invalid="ignore"):
        apart = below * above * (total / below - (total[-1] - total) / above) ** 2
    return float(edges[1:][np.nanargmax(apart)])


def strongest_path(strength: Float32, steep: int) -> NDArray[np.int64]:
    """(columns,) rows of the path from left to right with the largest sum, `steep` rows per column at most."""
    h, w = strength.shape
    moves = np.arange(-steep, steep + 1)
    best, came = strength[:, 0].astype(np.float64), np.zeros((h, w), dtype=np.int64)
    for col in range(1, w):
        padded = np.pad(best, steep, constant_values=-np.inf)
        options = np.stack([padded[steep + m : steep + m + h] for m in moves])
        came[:, col] = np.arange(h) + moves[options.argmax(axis=0)]
        best = options.max(axis=0) + strength[:, col]
    rows = [int(best.argmax())]
    for col in range(w - 1, 0, -1):
        rows.append(int(came[rows[-1], col]))
    return np.array(rows[::-1])


def error_px(find: Find, walls: tuple[int, int], scene: FrontScene) -> tuple[float, float]:
    """(mean distance error, mean error along the flow, positive = too far downstream), pixels; NaN if none is found."""
    inside = shapely.box(walls[0], -1e3, walls[1], 1e3)
    line = find(scene)
    if line is None or not shapely.intersects(line, inside):
        return float("nan"), float("nan")
    drawn, found = shapely.intersection(read_front(scene), inside), shapely.intersection(line, inside)
    middle = sum(walls) / 2
    place = front_position(found, drawn, shapely.LineString([(middle, 300.0), (middle, 0.0)]))
    return mean_distance_error(found, drawn, STEP_PX), float("nan") if place is None else place.change_m


def recipe(folder: Path, steps: int) -> TrainConfig:
    """The training: 1.8 million weights, one band."""
    epochs = max(1, steps // 100)
    return TrainConfig.model_validate(
        {
            "name": "fronts",
            "output": (folder / "models").as_uri(),
            "scheme": "binary",
            "groups": {"optical": ["optical_toa.green"]},
            "anchors": ["optical_toa"],
            "net": {"name": "unet", "parameters": {"width": 8, "depth": 5, "norm": "group", "dropout": 0.1}},
            "window_px": WINDOW_PX,
            "res_m": round(PIXEL_M),
            "train": [{"kind": "chips", "path": str(folder / "train")}],
            "validation": [{"kind": "chips", "path": str(folder / "choose")}],
            "batch": 4,
            "epochs": epochs,
            "steps_per_epoch": min(steps, 100),
            "lr": 1e-3,
            "restarts": [epochs],
            "warmup": 30,
            "ema": 0.98,
            "amp": "off",
            "threads": 1,
            "device": "cpu",
            # Ice flows upwards in every picture, so they are mirrored (as chips) but never turned.
            "augment": {
                "turns": False, "scale": 0.7, "gamma": 0.4, "gain": 0.3, "offset": 0.05, "noise": 0.02,
                "drop_sensor": 0, "drop_infrared": 0, "drop_band": 0,
            },
        }
    )  # fmt: skip


def train(samples: Path, keep_out: str, folder: Path, steps: int) -> str:
    """Write the chips of all glaciers but the one kept out, train, and return the checkpoint."""
    for scene in front_scenes(samples):
        if scene.path_row in GLACIERS[keep_out]:
            continue
        side = "choose" if scene.path_row in CHOSEN_ON[keep_out] else "train"
        save_chip(folder / side / f"{scene.name}.npz", front_chip(scene))
        if side == "train":
            save_chip(folder / side / f"{scene.name}_mirrored.npz", front_chip(scene, mirrored=True))

    def watch(event: TrainEvent) -> None:
        if event.iou is not None:
            print(f"step {event.step}/{event.steps}: loss {event.losses['total']:.3f}, IoU {event.iou:.3f}", flush=True)

    return build_trainer(recipe(folder, steps), watch).run().checkpoint


def probabilities(checkpoint: str, scenes: Sequence[FrontScene]) -> dict[str, Float32]:
    """Name of the scene → probability of being upstream, of the part of the picture that is looked at."""
    predict, _ = predictor(Learned(checkpoint, device="cpu", amp="off"))
    row, col = LOOK[0].start, LOOK[1].start
    size = LOOK[0].stop - row, LOOK[1].stop - col
    return {scene.name: predict([front_chip(scene).cut(row, col, *size)])[0, 1] for scene in scenes}


def best_sigma(scenes: Sequence[FrontScene]) -> float:
    """The smoothing with which the edge errs least on the glaciers to learn from."""
    tried = {
        sigma: np.nanmedian([error_px(partial(by_edge, sigma, box_of([s])), box_of([s]), s)[0] for s in scenes])
        for sigma in (1.0, 2.0, 3.0, 5.0)
    }
    return min(tried, key=lambda sigma: float(tried[sigma]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep-out", choices=list(GLACIERS), default="kangerlussuaq")
    parser.add_argument("--out", type=Path, default=None, help="chips and checkpoint; none: a folder that goes away")
    parser.add_argument("--steps", type=int, default=800)
    asked = parser.parse_args()
    samples = Path(os.environ.get("ICEFLEET_SAMPLES", "../shared/samples")) / "greenland_fronts"
    with tempfile.TemporaryDirectory() as scratch:
        folder = (asked.out or Path(scratch)) / asked.keep_out
        report(samples, asked.keep_out, train(samples, asked.keep_out, folder, asked.steps))


def report(samples: Path, keep_out: str, checkpoint: str) -> None:
    """The table: an image a line, then mean, median, and how many times the net's error that is."""
    test = front_scenes(samples, GLACIERS[keep_out])
    learn = [scene for scene in front_scenes(samples) if scene not in test]
    walls, sigma = box_of(test), best_sigma(learn)
    row = float(np.mean([shapely.centroid(read_front(scene)).y for scene in learn]))
    methods: dict[str, Find] = {
        "U-Net": partial(by_net, probabilities(checkpoint, test), walls),
        f"edge, σ {sigma:g} px": partial(by_edge, sigma, walls),
        "Otsu": partial(by_otsu, walls),
        "constant row": partial(by_constant, row, walls),
    }
    errors = {name: np.array([error_px(find, walls, scene) for scene in test]) for name, find in methods.items()}
    print(f"\nmean distance error, pixels; {keep_out} ({', '.join(GLACIERS[keep_out])}) kept out, columns {walls}")
    print(f"{'image':<16}" + "".join(f"{name:>16}" for name in methods) + f"{'U-Net along flow':>20}")
    for k, scene in enumerate(test):
        cells = "".join(f"{errors[name][k, 0]:>16.2f}" for name in methods)
        print(f"{scene.name:<16}{cells}{errors['U-Net'][k, 1]:>+20.2f}")
    for word, of in (("mean", np.nanmean), ("median", np.nanmedian)):
        values = {name: float(of(found[:, 0])) for name, found in errors.items()}
        print(f"{word:<16}" + "".join(f"{value:>16.2f}" for value in values.values()))
        print(f"{'  ÷ U-Net':<16}" + "".join(f"{value / values['U-Net']:>16.1f}" for value in values.values()))
    print(f"{'not found':<16}" + "".join(f"{int(np.isnan(found[:, 0]).sum()):>16}" for found in errors.values()))


if __name__ == "__main__":
    main()
