"""Energies, forces and stresses by the authors' CHGNet, in double precision: the numbers that tests compare with.

    python tools/chgnet_reference.py structures crystals.json [CIF ...]    with jaxnmr: those of tests/reference, or of files
    python tools/chgnet_reference.py torch crystals.json numbers.json      with torch and chgnet 0.4.2 (another environment)
    python tools/chgnet_reference.py shorten crystals.json numbers.json    what tests/reference keeps: one atom of every site
    python tools/chgnet_reference.py compare crystals.json numbers.json    with jaxnmr: largest differences

Structures pass as JSON, so that both see the same numbers. The authors' code works in single precision; its constants for the
type are replaced, and so is the sum over a composition, which it rounds.
"""

import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VERSIONS = ("r2scan", "0.3.0")


def structures(out: str, *files: str) -> None:
    """All atoms of conventional cells, and the crystals they come from."""
    import numpy as np

    from jaxnmr.io import read_crystal

    if files:
        crystals = {Path(file).stem: read_crystal(file) for file in files}
    else:
        sys.path.insert(0, str(ROOT / "tests"))
        from chgnet_crystals import crystals as typed

        crystals = typed()
    found = {}
    for name, crystal in crystals.items():
        cell = crystal.expand()
        found[name] = {
            "lattice": np.asarray(cell.lattice).tolist(),
            "fractional": np.asarray(cell.fractional).tolist(),
            "symbols": [crystal.elements[k] for k in np.asarray(cell.site)],
            "first": np.unique(np.asarray(cell.site), return_index=True)[1].tolist(),
            "cell": np.asarray(crystal.cell).tolist(),
            "spacegroup": crystal.group.triplets,
            "xyz": np.asarray(crystal.xyz).tolist(),
            "species": list(crystal.species),
        }
    Path(out).write_text(json.dumps(found))


def torch(path: str, out: str) -> None:
    """What the authors' program says."""
    import chgnet.graph.converter
    import chgnet.graph.crystalgraph
    import chgnet.model.composition_model as composition
    import chgnet.model.model as model
    import numpy as np
    import torch
    from pymatgen.core import Structure

    for module in (chgnet.graph.converter, chgnet.graph.crystalgraph, model):
        module.TORCH_DTYPE = torch.float64

    def counts(self, graphs):
        rows = [torch.bincount(g.atomic_number - 1, minlength=94).double() / len(g.atomic_number) for g in graphs]
        return torch.stack(rows)

    composition.AtomRef._assemble_graphs = counts
    torch.set_default_dtype(torch.float64)
    numbers: dict = {}
    for version in VERSIONS:
        network = model.CHGNet.load(model_name=version, use_device="cpu", verbose=False).double()
        for name, s in json.loads(Path(path).read_text()).items():
            structure = Structure(np.array(s["lattice"]), s["symbols"], np.array(s["fractional"]))
            said = network.predict_structure(structure, task="efs")
            numbers.setdefault(name, {})[version] = {key: said[key].tolist() for key in "efs"}
            print(version, name, len(structure), said["e"], flush=True)
    Path(out).write_text(json.dumps(numbers))


def shorten(path: str, numbers: str) -> None:
    """Energies per atom (eV), forces on one atom of every site (eV/Å) and stresses (GPa), to eight decimals."""
    known, lines = json.loads(Path(numbers).read_text()), []
    for name, s in json.loads(Path(path).read_text()).items():
        for version in VERSIONS:
            said = known[name][version]
            kept = [said["e"], [said["f"][k] for k in s["first"]], said["s"]]
            text = json.dumps(json.loads(json.dumps(kept), parse_float=lambda x: round(float(x), 8)))
            lines.append(f"{json.dumps(f'{name} {version}')}: {text}")
    (ROOT / "tests" / "reference" / "chgnet_numbers.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")


def compare(path: str, numbers: str) -> None:
    """Largest differences, of the plan of all atoms and of that with symmetry."""
    import jax

    jax.config.update("jax_enable_x64", True)
    jax.config.update("jax_disable_most_optimizations", True)  # most of the time would be compilation
    import numpy as np

    from jaxnmr._struct import compiled
    from jaxnmr.crystal import Crystal, SpaceGroup
    from jaxnmr.energy.chgnet import CHGNet

    known, worst = json.loads(Path(numbers).read_text()), np.zeros(3)
    evaluate = compiled(lambda model, crystal, plan: model.evaluate(crystal, plan))
    for name, s in json.loads(Path(path).read_text()).items():
        group = SpaceGroup.from_operations(s["spacegroup"])
        crystal = Crystal.create(cell=s["cell"], spacegroup=group, species=s["species"], xyz=s["xyz"])
        for symmetric in (False, True):
            for version in VERSIONS:
                said = known[name][version]
                model = CHGNet.load(version)
                plan = model.plan(crystal, symmetric=symmetric)
                energy, forces, stress = (np.asarray(a) for a in evaluate(model, crystal, plan))
                n = len(s["symbols"])
                # atoms of a primitive cell are some of those of the conventional one
                at = np.asarray(plan.placed(crystal)[0]) @ np.linalg.inv(s["lattice"])
                away = at[:, None] - np.array(s["fractional"])
                match = np.abs(away - np.round(away)).max(axis=-1).argmin(axis=1)
                off = np.array(
                    [
                        abs(energy / n - said["e"]),
                        abs(forces - np.array(said["f"])[match]).max(),
                        abs(stress - said["s"]).max(),
                    ]
                )
                worst = np.maximum(worst, off)
                print(
                    f"{name:24s} {version:7s} {'symmetric' if symmetric else 'all':9s} {n:4d} {said['e']:.6f}",
                    off,
                    flush=True,
                )
    print("largest: eV/atom, eV/Å, GPa", worst)


if __name__ == "__main__":
    {"structures": structures, "torch": torch, "shorten": shorten, "compare": compare}[sys.argv[1]](*sys.argv[2:])
