"""Files of a training of a density prior: the prior, its errors by epoch, a report, a record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .._files import write_atomically
from .._record import envelope, write_record
from .._tables import markdown
from ..density.prior.files import save_prior
from ..plot.density import training

if TYPE_CHECKING:
    from ..density.prior.model import DensityPrior
    from ..density.prior.training import Epoch


def write_density_training(
    prior: DensityPrior,
    log: Sequence[Epoch],
    directory: str | Path,
    *,
    held_out: int,
    left_out: Mapping[str, int],
    inputs: Sequence[Path] = (),
) -> dict[str, Path]:
    """Write ``prior.safetensors``, ``training.png``, ``report.md`` and ``result.json``.

    Args:
        prior: trained prior.
        log: its errors by epoch.
        directory: output folder; created if missing.
        held_out: crystals of the held-out set.
        left_out: crystals excluded from training, by reason.
        inputs: input files.

    Returns:
        The files written, by description.
    """
    import matplotlib.pyplot as plt

    folder = Path(directory)
    folder.mkdir(parents=True, exist_ok=True)
    written = {"prior": save_prior(prior, folder / "prior.safetensors"), "picture": folder / "training.png"}
    figure = training([at.train for at in log], [at.valid for at in log])
    figure.savefig(written["picture"], dpi=130)
    plt.close(figure)
    last = log[-1]
    rows = [
        ("electrons", prior.card.get("electrons", "valence")), ("crystals", prior.card.get("crystals", "")), ("held out", held_out),
        ("functions", prior.basis.size), ("part of the differences they hold", f"{prior.basis.explained:.4f}"),
        ("elements", " ".join(prior.elements)), ("error, trained with / (e/Å³)²", f"{last.train:.3g}"),
        ("error, held out / (e/Å³)²", f"{last.valid:.3g}"),
        *((f"factor on deviations, {mode}", f"{value:.3g}") for mode, value in prior.temperature.items()),
        *(
            (f"68 and 95 % intervals in deviations, {mode}", f"{of.one:.3g}, {of.width(0.95):.3g}")
            for mode, of in prior.intervals.items()
        ),
        *((f"left out: {reason}", count) for reason, count in left_out.items()),
    ]  # fmt: skip
    text = [
        "# Prior of densities",
        "",
        markdown(("", ""), [(a, str(b)) for a, b in rows]),
        "",
        "![errors by epoch](training.png)",
        "",
    ]
    written["report"] = write_atomically(folder / "report.md", "\n".join(text))
    found = {
        "card": dict(prior.card), "held_out": held_out, "left_out": dict(left_out), "functions": prior.basis.size,
        "elements": prior.elements, "temperature": dict(prior.temperature), "log": [at._asdict() for at in log],
    }  # fmt: skip
    record = envelope("density-training", "Prior of densities", found, inputs=[p for p in inputs if p.is_file()])
    written["result"] = write_record(folder / "result.json", record)
    return written
