"""Valence densities of crystals by CP2K (T. D. Kühne et al., J. Chem. Phys. 152, 194103, 2020), where it is installed.

PBE, GTH-PBE pseudopotentials with the electrons that `jaxnmr.density` has, basis DZVP-MOLOPT-SR-GTH, Monkhorst-Pack meshes, not
spin-polarised, occupations of 1000 K: the pseudopotentials and the basis of the valence atoms, so that what differs is the
functional (theirs is Hartree-Fock) and the crystal. Debian has CP2K as the packages cp2k and cp2k-data.
"""

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from jaxnmr.crystal import Crystal, lattice
from jaxnmr.density import Density, electrons_of, read_density

PROGRAMS = ("cp2k.psmp", "cp2k.ssmp", "cp2k.popt", "cp2k")


@dataclass(frozen=True)
class Settings:
    """How densely a calculation samples.

    Attributes:
        cutoff: of the density, Ry.
        reach: Å; along each axis there are so many k-points that they times the spacing of the lattice planes reach it.
        eps: largest change of the density matrix at the end.
        eps_default: CP2K's threshold of what is left out of overlaps and of products of Gaussians.
        seconds: of CPU, after which a calculation is given up.
    """

    cutoff: float = 320.0
    reach: float = 7.5
    eps: float = 5e-4
    eps_default: float = 1e-8
    seconds: int = 300


def program() -> str | None:
    """The path of CP2K, where it is installed."""
    return next((found for name in PROGRAMS if (found := shutil.which(name))), None)


def mesh(crystal: Crystal, reach: float) -> tuple[int, int, int]:
    """k-points along each axis."""
    spacing = 1.0 / np.linalg.norm(np.linalg.inv(lattice(np.asarray(crystal.cell, dtype=float))), axis=0)
    n1, n2, n3 = (max(1, int(np.ceil(reach / d - 1e-6))) for d in spacing)
    return n1, n2, n3


def input_text(crystal: Crystal, settings: Settings) -> str:
    """The input of one energy that also writes the density."""
    full = crystal.expand()
    elements = [crystal.elements[k] for k in np.asarray(full.site)]
    vectors = lattice(np.asarray(crystal.cell, dtype=float))
    rows = lambda names, table: "\n".join(
        f"{name} " + " ".join(f"{x:.10f}" for x in row) for name, row in zip(names, table, strict=True)
    )
    kinds = "\n".join(
        f"&KIND {e}\nBASIS_SET DZVP-MOLOPT-SR-GTH-q{q}\nPOTENTIAL GTH-PBE-q{q}\n&END KIND"
        for e in sorted(set(elements))
        for q in (round(electrons_of(e)),)
    )
    n1, n2, n3 = mesh(crystal, settings.reach)
    return f"""&GLOBAL
PROJECT run
RUN_TYPE ENERGY
PRINT_LEVEL LOW
&END GLOBAL
&FORCE_EVAL
METHOD QUICKSTEP
&DFT
BASIS_SET_FILE_NAME BASIS_MOLOPT
POTENTIAL_FILE_NAME GTH_POTENTIALS
&QS
EPS_DEFAULT {settings.eps_default:.1E}
&END QS
&MGRID
CUTOFF {settings.cutoff:g}
REL_CUTOFF 40
&END MGRID
&KPOINTS
SCHEME MONKHORST-PACK {n1} {n2} {n3}
&END KPOINTS
&XC
&XC_FUNCTIONAL PBE
&END XC_FUNCTIONAL
&END XC
&SCF
SCF_GUESS ATOMIC
EPS_SCF {settings.eps:.1E}
MAX_SCF 60
ADDED_MOS 15
&SMEAR
METHOD FERMI_DIRAC
ELECTRONIC_TEMPERATURE [K] 1000
&END SMEAR
&MIXING
METHOD BROYDEN_MIXING
ALPHA 0.3
NBROYDEN 8
&END MIXING
&END SCF
&PRINT
&E_DENSITY_CUBE
STRIDE 1 1 1
&END E_DENSITY_CUBE
&END PRINT
&END DFT
&SUBSYS
&CELL
{rows("ABC", vectors)}
&END CELL
&COORD
SCALED
{rows(elements, np.asarray(full.fractional, dtype=float))}
&END COORD
{kinds}
&END SUBSYS
&END FORCE_EVAL
"""


@dataclass(frozen=True)
class Calculated:
    """A converged calculation: the density on the program's own grid, its steps to self-consistency, and seconds of CPU."""

    density: Density
    steps: int
    seconds: float


def write_run(crystal: Crystal, folder: Path, settings: Settings) -> Path:
    """Write the input, and the shell script that runs it on one core and keeps the seconds it took; the script is returned."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "run.inp").write_text(input_text(crystal, settings), encoding="ascii")
    script = folder / "run.sh"
    script.write_text(
        f"""cd "$(dirname "$0")" || exit 1
ulimit -t {settings.seconds}
export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1
TIMEFORMAT="%U %S"
{{ time {program() or PROGRAMS[0]} -i run.inp -o run.out > run.err 2>&1; }} 2> run.time && mv run.time run.seconds
""",
        encoding="ascii",
    )
    return script


def calculate(crystal: Crystal, folder: Path, settings: Settings) -> Calculated:
    """Run CP2K in a folder, unless its script was already run there.

    Raises:
        RuntimeError: CP2K is not installed, stopped, or did not converge; the message says where its output is.
    """
    if not (folder / "run.seconds").is_file():
        if program() is None:
            raise RuntimeError("CP2K is not installed: apt-get install cp2k cp2k-data")
        subprocess.run(["bash", str(write_run(crystal, folder, settings))], check=False)
    output = folder / "run.out"
    text = output.read_text(encoding="utf-8", errors="replace") if output.is_file() else ""
    converged = re.search(r"SCF run converged in\s+(\d+) steps", text)
    cubes = list(folder.glob("run-ELECTRON_DENSITY*.cube"))
    if converged is None or len(cubes) != 1:
        raise RuntimeError(f"no converged density of {crystal.name}: see {output}")
    seconds = sum(map(float, (folder / "run.seconds").read_text(encoding="ascii").split()))
    return Calculated(read_density(cubes[0]), int(converged[1]), seconds)
