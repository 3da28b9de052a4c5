"""GlaViTU: fusion, then a transformer for the wide view and a residual U-Net for the edges, each added to its input.

Maslov et al. 2025, Nature Communications 16, 10.1038/s41467-024-54956-x, rebuilt from its description and held to its
published numbers of weights (the tests have them): fusion of optical and dem 96,256; location encoding of 11 regions
and "unknown" 5,504; SETR 1,838,208; ResUNet 8,097,344; head 130; total 10,037,442; auxiliary head 130 more. These
count the running means and variances of batch norms. Convolutions start Glorot uniform, as in the framework whose
batch-norm constants (eps 1e-3, momentum 0.01) the published net carries. [u]
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from core.models.nets.blocks import Head, initialise
from core.models.nets.glavitu_fusion import REGIONS, Stem
from core.models.nets.net import Net, Observed
from core.models.nets.resunet import ResUNetBranch
from core.models.nets.setr import PATCH, SetrBranch


class GlaViTU(Net):
    """location: `region` (vectors of `regions` + 1), `coordinates` or `none`; see `LocationEncoding`.
    width and depth below 64 and 12 are for tests and small machines, not the published net."""

    stride = PATCH

    def __init__(
        self,
        groups: Mapping[str, int],
        n_classes: int = 2,
        *,
        width: int = 64,
        depth: int = 12,
        location: str = "region",
        regions: int = REGIONS,
    ) -> None:
        super().__init__(groups, n_classes)
        self.stem = Stem(groups, width, location=location, regions=regions)
        self.setr = SetrBranch(width, depth)
        self.resunet = ResUNetBranch(width)
        self.head = Head(width, n_classes)
        self.auxiliary = Head(width, n_classes)
        for part in (self.stem, self.head, self.auxiliary):
            initialise(part, "glorot")

    def score(self, seen: Observed, location: Tensor | None) -> Tensor:
        return self._head(self._encode(seen, location))

    def score_train(self, seen: Observed, location: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """The auxiliary head reads what the transformer left, before the ResUNet."""
        wide = self._encode(seen, location)
        return self._head(wide), self.auxiliary(wide)

    def _encode(self, seen: Observed, location: Tensor | None) -> Tensor:
        fused: Tensor = self.stem(seen, location)
        wide: Tensor = self.setr(fused) + fused
        return wide

    def _head(self, wide: Tensor) -> Tensor:
        logits: Tensor = self.head(wide + self.resunet(wide))
        return logits
