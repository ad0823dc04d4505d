"""The whole run file of data and structures (host)."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from .files import Given
from .instrument import choose_instrument
from .powder import Powder, histogram_lines, phase_lines, prior_lines, stage_lines, stages, start_lines
from .text import comment, table


@dataclass(frozen=True)
class Proposal:
    """A run file, and sentences on how it came about."""

    text: str
    said: tuple[str, ...]
    powders: tuple[Powder, ...] = ()


def propose(given: Given, path: Path, options: argparse.Namespace) -> Proposal:
    """Look at the data and write a run file for them.

    Args:
        given: the files.
        path: of the run file; names of files are relative to it.
        options: as of ``jaxnmr new``.
    """
    phases = {name: crystal for name, (crystal, _, _) in given.structures.items()}
    powders = []
    for file in given.patterns:
        pattern, chosen = choose_instrument(
            file, file=options.instrument, wavelength=options.wavelength, tube=options.tube,
            radiation=options.radiation, geometry=options.geometry,
        )  # fmt: skip
        kind = "npd" if chosen.instrument.radiation == "neutron" else "xrd"
        name = kind if kind not in {p.name for p in powders} else f"{kind}{len(powders) + 1}"
        powders.append(Powder.of(
            name, file, pattern, chosen, phases,
            limits=tuple(options.limits) if options.limits else None, excluded=[tuple(r) for r in options.exclude],
        ))  # fmt: skip
    lines = [
        *comment(f"{', '.join(phases)} from {', '.join(p.file.name for p in powders)}: a first refinement, written by jaxnmr new."),
        *comment(f"Refine it again after a change:  jaxnmr refine {path.name}        All that may stand here:  jaxnmr help-run"),
        "",
        *table("", {"title": f"{', '.join(phases)}: {', '.join(p.file.name for p in powders)}"}),
        *phase_lines({name: (file, entry) for name, (_, file, entry) in given.structures.items()}, path),
    ]
    for powder in powders:
        lines += histogram_lines(powder, path)
    lines += prior_lines(powders) + start_lines(powders) + stage_lines(stages(powders))
    said = [sentence for powder in powders for sentence in _told(powder)]
    return Proposal("\n".join(lines) + "\n", tuple(said), tuple(powders))


def _told(powder: Powder) -> list[str]:
    x, survey = powder.survey.x, powder.survey
    alignment = powder.alignment
    shares = ", ".join(f"{name} {100 * share:.0f} %" for name, share in alignment.shares.items())
    return [
        f"{powder.file.name}: {len(x)} points, {x[0]:g} to {x[-1]:g} degrees, step {(x[-1] - x[0]) / (len(x) - 1):.4g}; highest point "
        f"{survey.y.max():.6g}; peaks {survey.fwhm:.3g} degrees wide",
        *powder.chosen.said,
        *survey.notes,
        f"lines of the structures lie on the peaks with the correlation {alignment.match:.2f}"
        + (f"; by weight about {shares}" if len(alignment.shares) > 1 else ""),
    ]
