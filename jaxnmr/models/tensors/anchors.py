"""Published accuracies of learned NMR tensors, with the data they were measured on, for comparison with new scores."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Anchor:
    """One published accuracy.

    Attributes:
        quantity: ``"shielding"`` or ``"efg"``.
        elements: elements it refers to.
        metric: error measure, in the words of the publication.
        value: value with its unit, as text.
        data: data it was measured on.
        split: how training and test structures were separated.
        source: name of the data set as in `TensorData.source`; empty for data that are not available.
        structures: number of structures in that data set.
        citation: citation of the publication.
    """

    quantity: str
    elements: tuple[str, ...]
    metric: str
    value: str
    data: str
    split: str
    citation: str
    source: str = ""
    structures: int = 0

    def same_data(self, source: str, structures: int) -> bool | None:
        """Return whether it was measured on these data, as others may be harder or easier; ``None`` for a subset of them.

        Args:
            source: name of the data set.
            structures: number of its structures used for training and evaluation; a few may be missing.
        """
        if not self.source or self.source != source:
            return False
        return True if structures >= 0.95 * self.structures else None


_BEN_MAHMOUD = (
    "C. Ben Mahmoud, L. A. M. Rosset, J. R. Yates, V. L. Deringer, J. Chem. Phys. (2024), doi 10.1063/5.0274240, "
    "arXiv 2412.15063"
)
_GLASS = "amorphous SiO2, cells of 144 atoms, 800 training structures, CASTEP PBE"
ANCHORS = (
    Anchor(
        quantity="shielding",
        elements=("Si",),
        metric="full tensor, mean absolute error",
        value="1.05 ppm",
        data="421 silicon oxides, VASP PBE",
        split="random, near-duplicates on both sides",
        source="si_nmr (Venetos 2023)",
        structures=421,
        citation="M. C. Venetos, M. Wen, K. A. Persson, J. Phys. Chem. A 127, 2388 (2023), doi 10.1021/acs.jpca.2c07530",
    ),
    Anchor(
        quantity="shielding",
        elements=("O", "Si"),
        metric="root mean square error over spread",
        value="6 to 7 %",
        data=_GLASS,
        split="random (read from a learning curve)",
        citation=_BEN_MAHMOUD,
    ),
    Anchor(
        quantity="efg",
        elements=("O", "Si"),
        metric="root mean square error over spread",
        value="6 to 7 %",
        data=_GLASS,
        split="random (read from a learning curve)",
        citation=_BEN_MAHMOUD,
    ),
    Anchor(
        quantity="shielding",
        elements=("C",),
        metric="isotropic, root mean square error",
        value="2.32 ppm",
        data="molecular crystals, 14 000 training structures",
        split="held-out crystals",
        citation="ShiftML3, arXiv 2506.13146 (2025)",
    ),
    Anchor(
        quantity="shielding",
        elements=("H",),
        metric="isotropic, root mean square error",
        value="0.43 ppm",
        data="molecular crystals, 14 000 training structures",
        split="held-out crystals",
        citation="ShiftML3, arXiv 2506.13146 (2025)",
    ),
)


def anchors_for(quantity: str, elements) -> tuple[Anchor, ...]:
    """List the published accuracies for a quantity of any of these elements."""
    return tuple(a for a in ANCHORS if a.quantity == quantity and set(a.elements) & set(elements))
