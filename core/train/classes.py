"""Classes: what a surface can be, and the schemes by which models tell surfaces apart.

Surfaces are the truth (ten codes, one per pixel); a scheme groups them into the classes of a model and says which of
those are glacier, so that every model gives a probability of glacier whatever its classes are. A surface that a scheme
cannot judge is unlabelled for it and never background.

What is glacier is `clean_ice` and `debris`. Snow that lies on a glacier is `clean_ice`: `snow` is seasonal snow over
ground that is not glacier, the classical false positive. `shadow` is ground so dark that its surface cannot be seen,
on a glacier or off it; where the truth says that it is glacier it trains no multi-class model, because its look does
not say which. `lake` is any open water on land, on the glacier or beside it. `rock_glacier` is creeping permafrost, in
no inventory of glaciers: bare ground to every scheme but the one that maps it, which cannot judge what snow or shadow
hides.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.errors import ConfigError
from core.sensors.sensor import nearest

SURFACES = (
    "clean_ice",
    "debris",
    "snow",
    "lake",
    "vegetation",
    "shadow",
    "non_glacial",
    "ocean",
    "melange",
    "rock_glacier",
)
N_SURFACES = len(SURFACES)
CODES: Mapping[str, int] = {name: code for code, name in enumerate(SURFACES)}
CLEAN_ICE, DEBRIS, SNOW, LAKE, VEGETATION, SHADOW, NON_GLACIAL, OCEAN, MELANGE, ROCK_GLACIER = range(N_SURFACES)
UNLABELLED = 255


@dataclass(frozen=True)
class Scheme:
    """name; classes in the order of a model's outputs; surfaces: surface → class, those left out are unlabelled;
    glacier: the classes that are mapped, whose probabilities add up to that of glacier."""

    name: str
    classes: tuple[str, ...]
    surfaces: Mapping[str, str]
    glacier: tuple[str, ...]

    @property
    def n_classes(self) -> int:
        return len(self.classes)

    @property
    def glacier_index(self) -> tuple[int, ...]:
        return tuple(self.classes.index(name) for name in self.glacier)

    @property
    def maps_glaciers(self) -> bool:
        """Whether what is mapped is what a chip's share of glacier tells; else its surfaces alone are the truth."""
        return {name for name, of in self.surfaces.items() if of in self.glacier} == {"clean_ice", "debris"}

    def labels(self, surfaces: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Codes of surfaces, any shape → indices of classes, 255 where unlabelled."""
        table = np.full(256, UNLABELLED, dtype=np.uint8)
        for surface, name in self.surfaces.items():
            table[CODES[surface]] = self.classes.index(name)
        return table[surfaces]

    def glacier_probability(self, probability: NDArray[np.float32], axis: int) -> NDArray[np.float32]:
        """Sum of the glacier classes along `axis`, which has one place per class and goes away."""
        return np.asarray(np.take(probability, self.glacier_index, axis=axis).sum(axis=axis), dtype=np.float32)


_LAND = {"snow": "other", "vegetation": "other", "shadow": "other", "non_glacial": "other", "rock_glacier": "other"}

SCHEMES: Mapping[str, Scheme] = {
    scheme.name: scheme
    for scheme in (
        # Trained on the share of glacier, which is known in shadow too, not on codes.
        Scheme(
            "binary",
            ("other", "glacier"),
            {
                **_LAND,
                "lake": "other",
                "ocean": "other",
                "melange": "other",
                "clean_ice": "glacier",
                "debris": "glacier",
            },
            ("glacier",),
        ),
        Scheme(
            "ice_debris_lake",
            ("other", "clean_ice", "debris", "lake"),
            {
                **_LAND,
                "clean_ice": "clean_ice",
                "debris": "debris",
                "lake": "lake",
                "ocean": "other",
                "melange": "other",
            },
            ("clean_ice", "debris"),
        ),
        # Mélange is ice that is no glacier: only its level surface tells.
        Scheme(
            "seven",
            SURFACES[:7],
            {name: name for name in SURFACES[:7]}
            | {"ocean": "lake", "melange": "non_glacial", "rock_glacier": "non_glacial"},
            ("clean_ice", "debris"),
        ),
        # Zones of CaFFe (Gourmelon et al. 2022, 10.5194/essd-14-4287-2022) without its "no information", which is
        # "unlabelled" here. A lake at a front is water as the sea is.
        Scheme(
            "calving",
            ("glacier", "ocean_melange", "rock"),
            {
                "clean_ice": "glacier",
                "debris": "glacier",
                "ocean": "ocean_melange",
                "melange": "ocean_melange",
                "lake": "ocean_melange",
                "snow": "rock",
                "vegetation": "rock",
                "shadow": "rock",
                "non_glacial": "rock",
                "rock_glacier": "rock",
            },
            ("glacier",),
        ),
        # Debris-covered glaciers are a class of their own: nothing looks more like a rock glacier. What snow or shadow
        # hides may be one.
        Scheme(
            "rock_glacier",
            ("other", "glacier", "rock_glacier"),
            {
                "lake": "other",
                "vegetation": "other",
                "non_glacial": "other",
                "ocean": "other",
                "melange": "other",
                "clean_ice": "glacier",
                "debris": "glacier",
                "rock_glacier": "rock_glacier",
            },
            ("rock_glacier",),
        ),
    )
}


def scheme(name: str) -> Scheme:
    """The scheme of that name. Raises ConfigError naming the nearest known one."""
    if name not in SCHEMES:
        raise ConfigError(
            f"class scheme {name!r}", found="no such scheme", expected=", ".join(SCHEMES), fix=nearest(name, SCHEMES)
        )
    return SCHEMES[name]
