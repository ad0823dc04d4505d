"""Files of fitted spectra."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..io import write_spectrum
from ..nmr import Spectrum

if TYPE_CHECKING:
    from ..terms import SpectrumEvidence


def write_csdm_files(data: SpectrumEvidence, folder: Path, stem: str) -> list[Path]:
    """Write the calculated spectrum as CSDM, one file per fitted region."""
    paths = []
    for k, (low, high) in enumerate(data.region_ppm):
        inside = (data.ppm >= low) & (data.ppm <= high)
        part = Spectrum.create(
            data.frequency_hz[inside], data.calculated[inside], larmor_hz=data.larmor_hz, isotope=data.isotope,
            name=f"{data.name} calculated",
        )  # fmt: skip
        number = f"_{k + 1}" if len(data.region_ppm) > 1 else ""
        paths.append(write_spectrum(part, folder / f"{stem}{number}.csdf"))
    return paths
