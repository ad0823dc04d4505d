"""The crystals of `solve_crystals.py` given to FOX, on the same intensities.

    JAXNMR_DATA=/path/to/data python benchmarks/solve/solve_with_fox.py development --log fox.jsonl

FOX (V. Favre-Nicolin & R. Cerny, J. Appl. Cryst. 35, 734 (2002)), the program `fox` of Debian's objcryst-fox, is run without its
windows, but wants a display: `Xvfb` must be installed, too. It gets cell, group, the areas with their uncertainties (sums of |F|² of
reflections that overlap), the true displacement, and as many independent atoms of each element as there are, which is more than
`jn.solve.structure` is told. On which positions they are is left to its dynamical occupancy. All else is as its manual recommends:
parallel tempering, smart temperatures from 1e6 to 1, displacements 8 to 1/8, least squares at the end of every run and every 150 000
trials, no repulsion, no bonds; every run starts from random coordinates.

Runs follow one another for a limit of processor time, or until one has a cost below twice the number of areas: it fits to the noise
(a run itself goes on to 1.1 times the number, as least squares of FOX often end in an error here, and coordinates are to be judged).
The best by cost is judged, as there; its atoms are put on special positions with several radii up to 1 Å, within which FOX merges
atoms, and minimised as `jn.solve.structure` minimises its finalists; what comes closest to the true structure counts. Entries come in an order drawn by seed. `--check` only tells the cost of the true atoms.
"""

import argparse
import json
import math
import os
import random
import re
import resource
import subprocess
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace

import gemmi
import numpy as np
from solve_crystals import B_ISO, HERE, _rows, heavy, interval, load

import jaxnmr as jn
from jaxnmr.crystal import Crystal, lattice
from jaxnmr.errors import JaxnmrError
from jaxnmr.solve.direct import candidates
from jaxnmr.solve.direct.candidates import Chain, Workshop
from jaxnmr.solve.direct.contents import indistinguishable
from jaxnmr.solve.direct.equivalence import SAME, atoms_of, displacement
from jaxnmr.solve.direct.problem import EXPECTED_B, make_problem
from jaxnmr.solve.direct.structure import _FINAL_BUMP, _FINAL_STEPS, _crystal
from jaxnmr.solve.direct.wyckoff import Wyckoff, wyckoff_positions
from jaxnmr.solve.records import Intensities

# a cost of so many times the number of areas is the noise; a run goes on to the second
_FITS, _REFINED = 2.0, 1.1
# Å, within which an atom is put on a special position
_RADII = (0.1, 0.25, 0.5, 0.75, 1.0)
_ORDER_SEED = 20261130


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("list", choices=("development", "second"))
    parser.add_argument("--entries", nargs="*", help="only these")
    parser.add_argument("--seed", type=int, default=0, help="of the noise")
    parser.add_argument("--seconds", type=float, default=30.0, help="of processor time for each")
    parser.add_argument("--trials", type=int, default=200_000, help="of every run")
    parser.add_argument("--d-min", type=float, default=0.0, help="Å, of the last reflection that FOX gets")
    parser.add_argument("--total", type=float, default=math.inf, help="seconds after which no further entry begins")
    parser.add_argument("--log", type=Path, default=Path("fox.jsonl"))
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--summary", action="store_true")
    chosen = parser.parse_args()
    if not chosen.summary:
        names = list(json.loads((HERE / "lists.json").read_text(encoding="utf-8"))[chosen.list])
        random.Random(_ORDER_SEED).shuffle(names)
        done = {(row["list"], row["name"], row["seed"]) for row in _rows(chosen.log)}
        start = time.monotonic()
        with display() as screen:
            for name in chosen.entries or names:
                crystal = heavy(load(name))
                if (
                    crystal is None
                    or (chosen.list, name, chosen.seed) in done
                    or time.monotonic() - start > chosen.total
                ):
                    continue
                row = {"list": chosen.list, "name": name, "seed": chosen.seed, **attempt(crystal, chosen, screen)}
                if not chosen.check:
                    with open(chosen.log, "a", encoding="utf-8") as log:
                        log.write(json.dumps(row) + "\n")
                print({k: v for k, v in row.items() if k != "list"}, flush=True)
    summary([row for row in _rows(chosen.log) if row["list"] == chosen.list])


def attempt(crystal: Crystal, chosen: argparse.Namespace, screen: str) -> dict:
    """Run FOX on the intensities of a crystal and compare what it found."""
    told, symbol = in_known_setting(crystal)
    intensities = jn.solve.simulated_intensities(told, seed=chosen.seed)
    areas = len(intensities)
    with TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "in.xml").write_text(document(told, symbol, intensities, chosen.d_min), encoding="utf-8")
        if chosen.check:
            command = ["fox", "in.xml", "--nogui", "-n", "1", "-o", "out-Cost-#cost.xml"]
            subprocess.run(
                command, cwd=folder, env={**os.environ, "DISPLAY": screen}, capture_output=True, check=False, timeout=60
            )
            return {"areas": areas, "cost of the true atoms": [cost for cost, _ in saved(folder)]}
        cpu = run(folder, chosen.trials, chosen.seconds, areas, screen)
        runs = sorted(saved(folder), key=lambda one: one[0])
        distances = [closest(told, intensities, read(path)) for _, path in runs]
    right = [d is not None and d <= SAME for d in distances]
    return {
        "sites": len(crystal.species), "areas": areas, "right": bool(right and right[0]), "any": any(right),
        "rms": distances[0] and round(distances[0], 4) if distances else None, "runs": len(runs), "good": sum(right),
        "cost": round(runs[0][0], 1) if runs else None, "fits": bool(runs and runs[0][0] <= _FITS * areas), "cpu": round(cpu, 1),
    }  # fmt: skip


def in_known_setting(crystal: Crystal) -> tuple[Crystal, str]:
    """The crystal with its origin where a tabulated setting has it, and the symbol of that setting."""
    for shift in sorted(product((0, 3, 6, 9), repeat=3), key=lambda s: (np.count_nonzero(s), s)):
        moved = gemmi.GroupOps([gemmi.Op(text) for text in crystal.group.triplets])
        moved.change_basis_forward(gemmi.Op("x{:+d}/12,y{:+d}/12,z{:+d}/12".format(*shift)))
        found = gemmi.find_spacegroup_by_ops(moved)
        if found is not None:
            xyz = np.asarray(crystal.xyz) + np.array(shift) / 12.0
            made = Crystal.create(
                cell=crystal.cell,
                spacegroup=found.xhm(),
                species=crystal.species,
                xyz=xyz,
                b_iso=B_ISO,
                name=crystal.name,
            )
            return made, found.xhm()
    raise SystemExit(f"{crystal.name}: no tabulated setting of {crystal.group.name}")


def document(crystal: Crystal, symbol: str, intensities: Intensities, d_min: float) -> str:
    """What FOX reads."""
    par = '<Par Refined="{}" Limited="{}" Min="0" Max="1" Name="{}">{:.6f}</Par>'
    lengths = zip(("a", "b", "c", "alpha", "beta", "gamma"), np.asarray(crystal.cell, dtype=float), strict=True)
    lines = ['<ObjCryst Date="2026-11-30T00:00:00GMT">', f'<Crystal Name="crystal" SpaceGroup="{symbol}">']
    lines += [
        f'<Par Refined="0" Limited="0" Min="1" Max="200" Name="{name}">{value:.5f}</Par>' for name, value in lengths
    ]
    lines += [
        '<Option Name="Constrain Lattice to SpaceGroup Symmetry" Choice="0" ChoiceName="Yes (Default)"/>',
        '<Option Name="Use Dynamical Occupancy Correction" Choice="1" ChoiceName="Yes"/>',
    ]
    for element in dict.fromkeys(crystal.species):
        lines.append(f'<ScatteringPowerAtom Name="{element}" Symbol="{element}">')
        lines.append(f'<Par Refined="0" Limited="1" Min="0.1" Max="5" Name="Biso">{B_ISO}</Par></ScatteringPowerAtom>')
    for k, (element, xyz) in enumerate(zip(crystal.species, np.asarray(crystal.xyz, dtype=float), strict=True)):
        lines.append(f'<Atom Name="{element}{k}" ScattPow="{element}">')
        lines += [par.format(1, 0, axis, x) for axis, x in zip("xyz", xyz, strict=True)]
        lines.append(par.format(0, 1, "Occup", 1.0) + "</Atom>")
    wavelength = intensities.instrument.wavelengths[0]
    lines += [
        "</Crystal>", '<DiffractionDataSingleCrystal Name="areas" Crystal="crystal">', "<Radiation>",
        '<Option Name="Radiation" Choice="1" ChoiceName="X-Ray"/>',
        '<Option Name="Spectrum" Choice="0" ChoiceName="Monochromatic"/>', "<LinearPolarRate>0</LinearPolarRate>",
        f'<Par Refined="0" Limited="1" Min="0.05" Max="20" Name="Wavelength">{wavelength}</Par>', "</Radiation>",
        "<MaxSinThetaOvLambda>2</MaxSinThetaOvLambda>", "<HKLIobsSigmaWeightGROUPList>", *_groups(intensities, d_min),
        "</HKLIobsSigmaWeightGROUPList>", "</DiffractionDataSingleCrystal>",
        '<GlobalOptimObj Name="found" NbTrialPerRun="100000">',
        '<Option Name="Algorithm" Choice="1" ChoiceName="Parallel Tempering"/>',
        '<Option Name="Temperature Schedule" Choice="4" ChoiceName="Smart"/>',
        '<Option Name="Save Best Config Regularly" Choice="5" ChoiceName="Every Run (Recommended)"/>',
        '<Option Name="Automatic Least Squares Refinement" Choice="2" ChoiceName="Every 150000 trials, and at the end of each run"/>',
        "<TempMaxMin>1e6 1</TempMaxMin>",
        '<Option Name="Displacement Amplitude Schedule" Choice="3" ChoiceName="Exponential"/>',
        "<MutationMaxMin>8 0.125</MutationMaxMin>", '<RefinedObject ObjectType="Crystal" ObjectName="crystal"/>',
        '<RefinedObject ObjectType="DiffractionDataSingleCrystal" ObjectName="areas"/>', "</GlobalOptimObj>", "</ObjCryst>", "",
    ]  # fmt: skip
    return "\n".join(lines)


def _groups(intensities: Intensities, d_min: float) -> Iterator[str]:
    """Each area as a sum of |F|²: reflections as often as their multiplicities, over what they have in common.

    Those of an area have the same angle nearly, and are taken to have the same angular factor. In groups without an inversion the
    reflections of a Friedel pair are listed both.
    """
    centric = any((r == -np.eye(3)).all() for r in intensities.group.rotations)
    factor = intensities.weight / intensities.multiplicity
    sigma, wavelength = np.sqrt(np.diag(intensities.covariance)), intensities.instrument.wavelengths[0]
    for group, (area, uncertainty) in enumerate(zip(intensities.area, sigma, strict=True)):
        rows = np.flatnonzero(intensities.members == group)
        theta = math.radians(float(intensities.two_theta[rows].mean()) / 2.0)
        if wavelength / (2.0 * math.sin(theta)) < d_min:
            continue
        common = math.gcd(*intensities.multiplicity[rows].tolist())
        times = 1.0 if centric else 2.0
        size = common * float(np.mean(factor[rows])) / times
        value, error = max(area / size, 0.0), uncertainty / size
        yield f'<HKLGroup Iobs="{value:.6g}" IobsSigma="{error:.6g}" Weight="{1.0 / error**2:.6g}">'
        for row in rows:
            one = "{:d} {:d} {:d}".format(*intensities.hkl[row])
            other = "{:d} {:d} {:d}".format(*(-intensities.hkl[row]))
            for _ in range(int(intensities.multiplicity[row]) // common):
                yield one
                if not centric:
                    yield other
        yield "</HKLGroup>"


@contextmanager
def display() -> Iterator[str]:
    """An X server without a screen; its name."""
    reading, writing = os.pipe()
    command = ["Xvfb", "-displayfd", str(writing), "-nolisten", "tcp"]
    server = subprocess.Popen(command, pass_fds=(writing,), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield f":{os.read(reading, 16).decode().strip()}"
    finally:
        server.terminate()
        server.wait()


def run(folder: Path, trials: int, seconds: float, areas: int, screen: str) -> float:
    """Let FOX run until a run fits so many areas, or for so much processor time; the seconds it took."""
    limit = math.ceil(seconds)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = ["fox", "in.xml", "--nogui", "--silent", "--randomize", "-n", str(trials), "--nbrun", "-1"]
    command += ["--finalcost", f"{_REFINED * areas:.1f}"]
    process = subprocess.Popen(
        command, cwd=folder, env={**os.environ, "DISPLAY": screen}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CPU, (limit, limit)),
    )  # fmt: skip
    while process.poll() is None:
        time.sleep(0.5)
        if any(cost <= _FITS * areas for cost, _ in saved(folder)):
            process.terminate()
            process.wait()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def saved(folder: Path) -> list[tuple[float, Path]]:
    """Costs and files of the runs that have ended."""
    found = ((re.search(r"Cost-([-+.\deinfa]+)\.xml", path.name), path) for path in folder.glob("*Cost-*.xml"))
    return [
        (float(match[1]), path)
        for match, path in found
        if match and path.read_text("utf-8").rstrip().endswith("</ObjCryst>")
    ]


def read(path: Path) -> list[tuple[str, list[float]]]:
    """Elements and fractional coordinates of a file of FOX."""
    found = []
    for element, body in re.findall(
        r'<Atom Name="[^"]*" ScattPow="([^"]*)">(.*?)</Atom>', path.read_text("utf-8"), re.DOTALL
    ):
        found.append((element, [float(re.search(rf'Name="{axis}">([^<]*)<', body)[1]) for axis in "xyz"]))
    return found


def closest(true: Crystal, intensities: Intensities, atoms: list[tuple[str, list[float]]]) -> float | None:
    """Root mean square distance of a structure of FOX from the true one, over spacing, with the radius that serves it best."""
    same = {b: a for a, b in indistinguishable(tuple(sorted(set(true.species))))}
    target, best = atoms_of(true, same), None
    for radius in _RADII:
        try:
            made = Crystal.create(
                cell=true.cell, spacegroup=true.group, species=[e for e, _ in atoms], xyz=np.array([x for _, x in atoms]) % 1.0,
                b_iso=B_ISO, snap_distance=radius,
            )  # fmt: skip
        except JaxnmrError:
            continue
        # most structures have other atoms in the cell, and are not worth the time
        if displacement(atoms_of(made, same), target) is None:
            continue
        for crystal in (made, minimised(made, intensities)):
            found = None if crystal is None else displacement(atoms_of(crystal, same), target)
            if found is not None and (best is None or found / target.spacing < best):
                best = found / target.spacing
    return best


def minimised(crystal: Crystal, intensities: Intensities) -> Crystal | None:
    """What `jn.solve.structure` makes of a structure when it minimises its finalists."""
    elements = tuple(dict.fromkeys(crystal.species))
    positions = wyckoff_positions(crystal.group)
    vectors = np.asarray(lattice(np.asarray(crystal.cell, dtype=float)))
    sites = []
    for element, x, site in zip(crystal.species, np.asarray(crystal.xyz, dtype=float), crystal.sites(), strict=True):
        for position in positions.every:
            u = _along(position, x) if position.multiplicity == site.multiplicity else None
            if u is not None:
                sites.append(
                    (
                        elements.index(element),
                        position.number,
                        u * np.linalg.norm(position.matrices[0].T @ vectors, axis=1),
                    )
                )
                break
        else:
            return None
    sites.sort(key=lambda one: one[:2])
    problem = make_problem(intensities, positions, elements)
    assignment = tuple(tuple(k for e, k, _ in sites if e == n) for n in range(len(elements)))
    candidate = Workshop(problem).ready([assignment])[0]
    start = np.concatenate([*(u for _, _, u in sites), [B_ISO - EXPECTED_B]])
    made = candidates.minimised(problem, problem.measured, [candidate], [start], _FINAL_BUMP, _FINAL_STEPS)
    return _crystal(SimpleNamespace(pool=[candidate], problem=problem), Chain(0, *made[0]))


def _along(position: Wyckoff, x: np.ndarray) -> np.ndarray | None:
    """Coordinates of a point along the free directions of a Wyckoff position; nothing where it is not there."""
    for matrix, shift in zip(position.matrices, position.shifts, strict=True):
        for whole in product((-1, 0, 1), repeat=3):
            u = np.linalg.pinv(matrix) @ (x + whole - shift) if position.dof else np.zeros(0)
            if np.abs(matrix @ u + shift - whole - x).max() < 1e-3:
                return u
    return None


def summary(rows: list[dict]) -> None:
    if not rows:
        return
    right, lucky = sum(row["right"] for row in rows), sum(row["any"] for row in rows)
    low, high = interval(right, len(rows))
    cpu = [row["cpu"] for row in rows]
    print(
        f"{right} of {len(rows)} right ({right / len(rows):.0%}, 95 % interval {low:.0%} to {high:.0%}); in any run {lucky}"
    )
    print(f"missed: {[row['name'] for row in rows if not row['right']]}")
    print(f"processor time: median {np.median(cpu):.1f} s, mean {np.mean(cpu):.1f} s, longest {max(cpu):.0f} s")


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
