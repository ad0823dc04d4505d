"""Reports on learned Kohn-Sham matrices: their data, their errors, and what they save a self-consistent field."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .._files import write_atomically
from .._record import Kind, envelope, write_record
from .._tables import markdown
from .._words import counted
from ..electronic.data import HamiltonianData
from ..electronic.evaluation import HamiltonianErrors
from ..electronic.scf.restart import Comparison

ERROR_COLUMNS = ("model", "H / meV", "occupied ε / meV", "gap / meV", "1 − cosine of orbitals")


def error_rows(errors: Mapping[str, HamiltonianErrors]) -> list[tuple[str, ...]]:
    """Rows below ``ERROR_COLUMNS``."""
    return [
        (name, f"{e.h_mae:.3f}", f"{e.eps_mae:.3f}", f"{e.gap_mae:.3f}", f"{1 - e.similarity:.1e}")
        for name, e in errors.items()
    ]


def write_hamiltonian_data(data: HamiltonianData, file: Path, folder: Path, title: str) -> dict[str, Path]:
    """Write ``report.md`` and ``result.json`` of data that were made; the files by what they are."""
    gap = data.eps[:, data.pairs] - data.eps[:, data.pairs - 1]
    found = {
        "geometries": len(data), "atoms": len(data.numbers), "functions": data.orbitals.size, "metadata": dict(data.metadata),
        "energy": {"lowest": data.e_tot.min(), "mean": data.e_tot.mean(), "spread": data.e_tot.std()},
        "gap": {"least": gap.min(), "mean": gap.mean()},
        "start_mae_mev": 27211.386245988 * np.abs(data.h - data.h0).mean(),
        "file": file.name,
    }  # fmt: skip
    rows = [
        ("geometries", str(len(data))),
        ("atoms, basis functions", f"{len(data.numbers)}, {data.orbitals.size}"),
        ("functional, basis", f"{data.functional}, {data.basis}"),
        (
            "sampling",
            f"{data.metadata.get('sampling')}, {data.metadata.get('temperatures')} K, seed {data.metadata.get('seed')}",
        ),
        ("mean energy and spread / hartree", f"{data.e_tot.mean():.6f}, {data.e_tot.std():.6f}"),
        ("least gap / hartree", f"{gap.min():.4f}"),
        ("mean |H − H0| / meV", f"{found['start_mae_mev']:.1f}"),
    ]
    text = "\n\n".join([f"# {title}", markdown(("what", "value"), rows), f"Data: `{file.name}`"]) + "\n"
    return _written(folder, "hamiltonian-data", title, text, found)


def write_hamiltonian_errors(
    errors: Mapping[str, HamiltonianErrors], ladder: Mapping[str, np.ndarray], occupied: int, folder: Path, title: str, *,
    kind: Kind = "hamiltonian-evaluation", inputs: Sequence[Path] = (), more: Mapping[str, Any] | None = None,
) -> dict[str, Path]:  # fmt: skip
    """Write the errors of models on the same data, with pictures.

    Args:
        errors: by the name of the model.
        ladder: orbital energies of one geometry, the true ones first.
        occupied: number of occupied orbitals.
        folder: where to; made when missing.
        title: for people.
        kind: of the record.
        inputs: files it was made from.
        more: for the record.
    """
    from ..plot.hamiltonians import block_errors, orbital_ladder

    folder.mkdir(parents=True, exist_ok=True)
    _picture(block_errors({name: e.by_block for name, e in errors.items()}), folder / "blocks.png")
    _picture(orbital_ladder(ladder, occupied), folder / "orbitals.png")
    text = "\n\n".join([
        f"# {title}", markdown(ERROR_COLUMNS, error_rows(errors)),
        "![errors by block](blocks.png)", "![orbital energies of the first geometry](orbitals.png)",
    ]) + "\n"  # fmt: skip
    found = {"errors": {name: e._asdict() for name, e in errors.items()}, **(more or {})}
    written = _written(folder, kind, title, text, found, inputs)
    return written | {"blocks": folder / "blocks.png", "orbitals": folder / "orbitals.png"}


def write_comparison(
    comparison: Comparison, folder: Path, title: str, *, inputs: Sequence[Path] = (), more: Mapping[str, Any] | None = None
) -> dict[str, Path]:  # fmt: skip
    """Write what each start costs, with a picture and a table as plain text."""
    from ..plot.hamiltonians import iterations

    folder.mkdir(parents=True, exist_ok=True)
    rows = comparison.rows()
    _picture(iterations(rows), folder / "iterations.png")
    table = write_atomically(folder / "table.txt", comparison.table() + "\n")
    header, body = comparison.cells()
    doubts = comparison.doubts()
    text = "\n\n".join([
        f"# {title}", markdown(header, body),
        f"Percentages are changes against {comparison.baseline} on the same geometries. Builds are Fock matrices, those that made the start "
        "included, and responses inside a second-order solver. Times hold those of the start.",
        "![iterations and builds](iterations.png)",
        f"## {counted(len(doubts), 'trial')} without the ground state" if doubts else "All trials ended in the ground state.",
        "\n".join(f"- {doubt}" for doubt in doubts),
    ]) .rstrip() + "\n"  # fmt: skip
    found = {**comparison.as_dict(), **(more or {})}
    written = _written(folder, "hamiltonian-scf", title, text, found, inputs, packages=("pyscf",))
    return written | {"table": table, "iterations": folder / "iterations.png"}


def _picture(figure: Any, file: Path) -> None:
    import matplotlib.pyplot as plt

    figure.savefig(file)
    plt.close(figure)


def _written(
    folder: Path, kind: Kind, title: str, text: str, found: Mapping[str, Any], inputs: Sequence[Path] = (), packages: Sequence[str] = ()
) -> dict[str, Path]:  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    report = write_atomically(folder / "report.md", text)
    record = envelope(kind, title, found, inputs=inputs, packages=packages)
    return {"report": report, "result": write_record(folder / "result.json", record)}
