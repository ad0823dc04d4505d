"""Complete run file for given data and structures (host)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import JaxnmrError
from ..runfile import build, load_run
from .files import Given
from .instrument import choose_instrument
from .powder import TELL, Powder, histogram_lines, phase_lines, prior_lines, stage_lines, stages, start_lines
from .spectra import Nmr, describe, read_peak_list, spectrum_lines
from .text import comment, table

Stages = Sequence[tuple[str, Sequence[str], str]]
# descriptions of the stages of spectra
_DOES = {
    "positions and intensities": "where the lines are, how strong, and the baseline",
    "tensors": "anisotropies of the shift (zeta) and quadrupolar couplings (cq)",
    "asymmetries": "asymmetries of these tensors",
    "widths": "Gaussian and Lorentzian widths of the lines",
    "distributions": "spreads of the tensors",
    "orientations": "angles between shielding and field gradient",
}


@dataclass(frozen=True)
class Options:
    """Options of ``jaxnmr new`` beside the files: for powder patterns, then for spectra."""

    instrument: Path | None = None
    wavelength: Sequence[float] | None = None
    tube: str | None = None
    radiation: str | None = None
    geometry: str | None = None
    limits: tuple[float, float] | None = None
    exclude: Sequence[tuple[float, float]] = ()
    isotope: str | None = None
    b0: float | None = None
    mas: float | None = None
    reference: float | None = None


@dataclass(frozen=True)
class Proposal:
    """A run file, and sentences about its origin."""

    text: str
    said: tuple[str, ...]
    powders: tuple[Powder, ...] = field(default=(), repr=False)


def propose(given: Given, path: Path, options: Options) -> Proposal:
    """Survey the data and write a run file for them.

    Args:
        given: classified files.
        path: path of the run file, which is not written; file names are relative to its folder.
        options: further information.

    Raises:
        JaxnmrError: required information is neither in the data nor in ``options``.
    """
    powders, spectra = _powders(given, options), _spectra(given, path, options)
    files = ", ".join(file.name for file in (*given.patterns, *given.spectra))
    title = ", ".join([*given.structures, *dict.fromkeys(nmr.entries["isotope"] for nmr in spectra)])
    lines = [
        *comment(f"A first refinement of {files}, written by jaxnmr new. What stands behind # is for you to read."),
        *comment(
            f"Refine it again after a change:  jaxnmr refine {path.name}",
            "All that may stand in such a file:  jaxnmr help-run",
        ),
        "",
        *table("", {"title": f"{title} from {files}"}),
    ]
    if powders:
        lines += phase_lines({name: (file, entry) for name, (_, file, entry) in given.structures.items()}, path)
    for powder in powders:
        lines += histogram_lines(powder, path)
    for nmr in spectra:
        lines += spectrum_lines(nmr)
    steps: list[tuple[str, Sequence[str], str]] = []
    if powders:
        lines += prior_lines(powders) + start_lines(powders)
        steps += stages(powders)
    if spectra:
        steps += _stages_of_spectra(spectra, path)
    said = [sentence for powder in powders for sentence in _told(powder)]
    said += [sentence for nmr in spectra for sentence in nmr.said]
    return Proposal(
        "\n".join(lines + stage_lines(steps, TELL if any(p.apart for p in powders) else None)) + "\n",
        tuple(said),
        tuple(powders),
    )


def _powders(given: Given, options: Options) -> list[Powder]:
    phases = {name: crystal for name, (crystal, _, _) in given.structures.items()}
    found: list[Powder] = []
    for file in given.patterns:
        pattern, chosen = choose_instrument(
            file, file=options.instrument, wavelength=options.wavelength, tube=options.tube,
            radiation=options.radiation, geometry=options.geometry,
        )  # fmt: skip
        kind = "npd" if chosen.instrument.radiation == "neutron" else "xrd"
        name = kind if kind not in {p.name for p in found} else f"{kind}{len(found) + 1}"
        found.append(
            Powder.of(name, file, pattern, chosen, phases, limits=options.limits, excluded=tuple(options.exclude))
        )
    return found


def _spectra(given: Given, path: Path, options: Options) -> list[Nmr]:
    """Pair spectra with their sites: the k-th list or calculation with the k-th spectrum, a single one with all."""
    found: list[Nmr] = []
    sources = [("magres", file) for file in given.magres] or [("dmfit", f) for f in given.dmfit]
    sources = [("peaks", file) for file in given.peaks] or sources
    if given.spectra and len(sources) not in (1, len(given.spectra)):
        raise JaxnmrError(
            f"{len(given.spectra)} spectra and {len(sources)} files that say their sites: give one for all, or one for each in the same order"
        )
    for k, file in enumerate(given.spectra):
        kind, source = sources[k if len(sources) > 1 else 0]
        sites: dict[str, Any] = {"peaks": read_peak_list(source)} if kind == "peaks" else {kind: source}
        name = "nmr" if len(given.spectra) == 1 else f"nmr{k + 1}"
        found.append(
            describe(name, file, path, nucleus=options.isotope, b0=options.b0, mas=options.mas, reference=options.reference, **sites)
        )  # fmt: skip
    return found


def _stages_of_spectra(spectra: Sequence[Nmr], path: Path) -> Stages:
    """Return the default stages of spectra, as used by a run without stages."""
    trial = path.with_name(f".{path.stem}.trial.toml")
    try:
        trial.write_text("\n".join(line for nmr in spectra for line in spectrum_lines(nmr)) + "\n", encoding="utf-8")
        usual = build(load_run(trial)).stages or []
    finally:
        trial.unlink(missing_ok=True)
    found = []
    for s in usual:
        free = [name for name in s.free if not any(_of_anisotropy(name, nmr) and not nmr.sidebands for nmr in spectra)]
        if free:
            found.append((f"{s.name} of spectra", free, _DOES.get(s.name, "more of the spectra")))
    return found


def _of_anisotropy(name: str, nmr: Nmr) -> bool:
    return name.startswith((f"{nmr.name}/zeta", f"{nmr.name}/eta[", f"{nmr.name}/euler"))


def _told(powder: Powder) -> list[str]:
    x, survey, alignment = powder.survey.x, powder.survey, powder.alignment
    apart = (
        [
            f"They do not: is it the right structure, wavelength and tube? ({', '.join(alignment.shares)}; what the refinement says comes below)"
        ]
        if powder.apart
        else []
    )
    shares = ", ".join(f"{name} {100 * share:.0f} %" for name, share in alignment.shares.items())
    return [
        f"{powder.file.name}: {len(x)} points, {x[0]:g} to {x[-1]:g} degrees, step {(x[-1] - x[0]) / (len(x) - 1):.4g}; highest point "
        f"{survey.y.max():.6g}; peaks {survey.fwhm:.3g} degrees wide",
        *powder.chosen.said,
        *survey.notes,
        f"lines of the structures lie on the peaks with the correlation {alignment.match:.2f} (1 where all do)"
        + (f"; by weight about {shares}" if len(alignment.shares) > 1 else ""),
        *apart,
    ]
