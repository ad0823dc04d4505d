"""``publication.cif``: structures, patterns, reflections and refinement in core and powder CIF dictionary names."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...io.cif_blocks import CifBlock, CifDocument
from ..asked import Asked
from ..record import parameter_rows
from .patterns import add_pattern
from .phases import add_phase
from .refinement import add_refinement

if TYPE_CHECKING:
    from ...refinement.result import RefinementResult

_HEAD = (
    "Written by jaxnmr for deposition: run it through checkCIF (https://checkcif.iucr.org).",
    "",
    "To fill in, where a ? stands; a program cannot know them:",
)
_WHAT = {
    "publ": "who publishes it",
    "diffrn_ambient": "temperature and pressure of the measurement, K and kPa",
    "cell_measurement": "temperature of the measurement, K",
    "pd_prep": "how the specimen was made",
    "pd_char": "what it looks like",
    "pd_spec": "its size, mm, and how it is mounted",
    "pd_instr": "the instrument and where it is",
    "pd_meas": "how it was measured",
    "diffrn": "the instrument",
    "chemical": "names of the compound, and whether formula and Z are those of chemistry",
    "computing": "other programs that were used",
    "exptl": "crystals and absorption",
    "pd_calibration": "how angles were calibrated",
    "refine": "of the refinement",
}


def write_publication(fit: RefinementResult, path: Path, record: dict[str, Any], asked: Asked) -> Path:
    """Write the CIF.

    One phase and one pattern share a data block. Otherwise there is a common block, one per phase and one per pattern,
    linked by ``_pd_block_id``.

    Args:
        fit: result with at least one phase.
        path: output file.
        record: record of the result, with its title and date.
        asked: report settings of the run file.
    """
    document, rows = CifDocument(), {row["name"]: row for row in parameter_rows(fit)}
    together = len(fit.crystals) == 1 and len(fit.patterns) <= 1
    blocks: dict[str, CifBlock] = {}

    def block(key: str, name: str) -> CifBlock:
        # a block of one phase and its pattern is written only once
        if "all" in blocks and together:
            return blocks["all"]
        blocks[key] = document.block(name)
        return blocks[key]

    stem = next(iter(fit.crystals)) if together else f"{record['title']}_overall"
    whole = block("all", stem)
    for name in fit.crystals:
        block(f"phase {name}", name)
    for name in fit.patterns:
        block(f"pattern {name}", name)
    codes = {key: _code(of.name, record["created"]) for key, of in blocks.items()}
    of_phases = {name: codes.get(f"phase {name}", "") for name in fit.crystals}
    of_patterns = {name: codes.get(f"pattern {name}", "") for name in fit.patterns}
    whole.items({"_pd_block_id": codes["all"]})
    add_refinement(whole, fit, record, ties=sum(bool(row["tied_to"]) for row in rows.values()))
    if not together:
        whole.loop({"_pd_phase_name": list(of_phases), "_pd_phase_block_id": list(of_phases.values())})
        whole.loop({"_pd_block_diffractogram_id": list(of_patterns.values())})
    for name in fit.crystals:
        part = whole if together else blocks[f"phase {name}"]
        if not together:
            part.items({"_pd_block_id": of_phases[name]})
            part.loop({"_pd_block_diffractogram_id": list(of_patterns.values())})
        add_phase(part, fit, name)
    for name in fit.patterns:
        part = whole if together else blocks[f"pattern {name}"]
        if not together:
            part.items({"_pd_block_id": of_patterns[name]})
        add_pattern(part, fit, name, rows, record, asked, of_phases=None if together else of_phases)
    return document.write(path, [*_HEAD, *_left_open(document)])


def _left_open(document: CifDocument) -> list[str]:
    """List the items left to be filled in, each once."""
    tags = dict.fromkeys(tag for block in document.blocks for tag in block.unknown)
    lines: list[str] = []
    for start, what in _WHAT.items():
        found = [tag for tag in tags if tag.startswith(f"_{start}_") and not any(tag in line.split() for line in lines)]
        if found:
            lines += [f"{what}:", *(f"    {tag}" for tag in found)]
    listed = {line.strip() for line in lines}
    rest = [tag for tag in tags if tag not in listed]
    return [*lines, *([] if not rest else ["others:", *(f"    {tag}" for tag in rest)])]


def _code(name: str, created: str) -> str:
    return f"{created}|{name}|jaxnmr|unknown"
