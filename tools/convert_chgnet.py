"""Writes the weights of CHGNet that come with jaxnmr, from the wheel in which its authors distribute them.

    pip download --no-deps chgnet==0.4.2
    python tools/convert_chgnet.py chgnet-0.4.2-*.whl jaxnmr/energy/chgnet/weights

Needs torch (to read the checkpoints) and safetensors; neither chgnet itself nor the network. Numbers stay as they are (float32);
matrices are transposed, cut by what they multiply, and joined where core and gate of a gated perceptron see the same input.
The angles' update of the last block enters nothing, so it is left out. Rows are those of 94 elements, of which MPtrj has 89 (the paper). In MP-r2SCAN Yb is missing, too: its row was not moved
by the transfer, and its reference energy is what a pseudoinverse leaves of an empty column.
"""

import hashlib
import io
import json
import sys
import zipfile
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save

SYMBOLS = (
    "H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Kr Rb Sr Y Zr Nb Mo Tc "
    "Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb Lu Hf Ta W Re Os Ir Pt Au Hg Tl Pb Bi "
    "Po At Rn Fr Ra Ac Th Pa U Np Pu"
).split()
NOT_IN_MPTRJ = ("Po", "At", "Rn", "Fr", "Ra")
DIM = 64
COPYRIGHT = (
    "Crystal Hamiltonian Graph neural Network (CHGNet) Copyright (c) 2023, The Regents of the University of California, "
    "through Lawrence Berkeley National Laboratory (subject to receipt of any required approvals from the U.S. Dept. of "
    "Energy) and the University of California, Berkeley. All rights reserved."
)
LICENCE = "BSD-3-Clause-LBNL, see LICENSE beside the file"
PAPER = (
    "B. Deng, P. Zhong, K. Jun, J. Riebesell, K. Han, C. J. Bartel & G. Ceder, CHGNet as a pretrained universal neural network "
    "potential for charge-informed atomistic modelling, Nat. Mach. Intell. 5, 1031 (2023)"
)
CARDS = {
    "r2scan": {
        "file": "chgnet/pretrained/r2scan/chgnet_r2scan_transfer_learning_e15f36s161m23.pth.tar",
        "theory": "r2SCAN",
        "training": "MP-r2SCAN (doi 10.6084/m9.figshare.28245650.v2), transferred from the weights 0.3.0, which learned MPtrj",
        "citation": [
            PAPER,
            "X. Huang, B. Deng, P. Zhong, A. D. Kaplan, K. A. Persson & G. Ceder, Cross-functional transferability in "
            "foundation machine learning interatomic potentials, npj Comput. Mater. (2025)",
        ],
        "errors": "of its authors' test set: energy 16.8 meV/atom, force 38 meV/Å, stress 0.17 GPa (mean absolute)",
    },
    "0.3.0": {
        "file": "chgnet/pretrained/0.3.0/chgnet_0.3.0_e29f68s314m37.pth.tar",
        "theory": "PBE and PBE+U (as the Materials Project mixes them)",
        "training": "MPtrj: relaxations of the Materials Project (doi 10.6084/m9.figshare.23713842)",
        "citation": [PAPER],
        "errors": "of its authors' test set: energy 29 meV/atom, force 68 meV/Å, stress 0.31 GPa (mean absolute)",
    },
}


def gated(state: dict, names: list[str], parts: tuple[str, ...], hidden: bool) -> dict[str, np.ndarray]:
    """Gated perceptrons of several blocks, stacked: the first layer cut by its inputs, core and gate side by side."""
    layers = (0, 3) if hidden else (1,)
    collected = []
    for name in names:
        both = [f"{name}.mlp_core.layers", f"{name}.mlp_gate.layers"]
        first = np.concatenate([state[f"{half}.{layers[0]}.weight"].T for half in both], axis=1)
        block = {part: first[DIM * k : DIM * (k + 1)] for k, part in enumerate(parts)}
        block["bias"] = np.concatenate([state[f"{half}.{layers[0]}.bias"] for half in both])
        if hidden:
            block["second"] = np.stack([state[f"{half}.{layers[1]}.weight"].T for half in both])
            block["second_bias"] = np.stack([state[f"{half}.{layers[1]}.bias"] for half in both])
        block["scale"] = np.stack([state[f"{name}.bn{k}.weight"] for k in (1, 2)])
        block["offset"] = np.stack([state[f"{name}.bn{k}.bias"] for k in (1, 2)])
        collected.append(block)
    return {key: np.stack([block[key] for block in collected]) for key in collected[0]}


def convert(state: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Arrays by our names."""
    arrays = {
        "reference": state["composition_model.fc.weight"][0],
        "atom": state["atom_embedding.embedding.weight"],
        "radial.long": state["bond_basis_expansion.rbf_expansion_ag.frequencies"],
        "radial.short": state["bond_basis_expansion.rbf_expansion_bg.frequencies"],
        "angular": state["angle_basis_expansion.fourier_expansion.frequencies"],
        "bond": state["bond_embedding.weight"].T,
        "weight.long": state["bond_weights_ag.weight"].T,
        "weight.short": state["bond_weights_bg.weight"].T,
        "angle": state["angle_embedding.weight"].T,
    }
    pieces = {
        "atoms": ([f"atom_conv_layers.{k}.twoBody_atom" for k in range(4)], ("centre", "bond", "neighbour"), True),
        "bonds": (
            [f"bond_conv_layers.{k}.twoBody_bond" for k in range(3)],
            ("first", "second_bond", "angle", "centre"),
            True,
        ),
        "angles": (
            [f"angle_layers.{k}.twoBody_bond" for k in range(2)],
            ("first", "second_bond", "angle", "centre"),
            False,
        ),
    }
    for piece, (names, parts, hidden) in pieces.items():
        arrays |= {f"{piece}.{key}": value for key, value in gated(state, names, parts, hidden).items()}
    for piece, layer in (("atoms", "atom_conv_layers"), ("bonds", "bond_conv_layers")):
        count = len(arrays[f"{piece}.bias"])
        arrays[f"{piece}.out"] = np.stack([state[f"{layer}.{k}.mlp_out.layers.1.weight"].T for k in range(count)])
    arrays |= {"readout.scale": state["readout_norm.weight"], "readout.offset": state["readout_norm.bias"]}
    arrays["readout.hidden"] = np.stack([state[f"mlp.layers.{k}.weight"].T for k in (0, 2, 4)])
    arrays["readout.hidden_bias"] = np.stack([state[f"mlp.layers.{k}.bias"] for k in (0, 2, 4)])
    arrays |= {"readout.last": state["mlp.layers.7.weight"][0], "readout.last_bias": state["mlp.layers.7.bias"]}
    return {name: np.ascontiguousarray(a, dtype=np.float32) for name, a in arrays.items()}


def main(wheel: str, folder: str) -> None:
    with zipfile.ZipFile(wheel) as packed:
        for name, said in CARDS.items():
            data = packed.read(said["file"])
            model = torch.load(io.BytesIO(data), map_location="cpu", weights_only=False)["model"]
            state, args = {k: v.numpy() for k, v in model["state_dict"].items()}, model["model_args"]
            fitted = np.abs(state["composition_model.fc.weight"][0]) > 1e-9
            elements = [s for s, known in zip(SYMBOLS, fitted, strict=True) if known and s not in NOT_IN_MPTRJ]
            arrays = convert(state)
            card = {key: said[key] for key in ("theory", "training", "errors", "citation")} | {
                "name": f"chgnet-{name}",
                "copyright": COPYRIGHT,
                "licence": LICENCE,
                "origin": f"{Path(said['file']).name} of {Path(wheel).name}",
                "origin_sha256": hashlib.sha256(data).hexdigest(),
                "converted_by": "tools/convert_chgnet.py",
                "elements": elements,
                "rows": SYMBOLS,
                "cutoff": args["atom_graph_cutoff"],
                "bond_cutoff": args["bond_graph_cutoff"],
                "envelope": args["cutoff_coeff"],
            }
            digest = hashlib.sha256(b"".join(arrays[k].tobytes() for k in sorted(arrays))).hexdigest()
            text = json.dumps({"format": 1, "sha256": digest, "card": card}, ensure_ascii=False, sort_keys=True)
            path = Path(folder) / f"chgnet-{name}.safetensors"
            path.write_bytes(save(arrays, metadata={"jaxnmr": text}))
            print(path, path.stat().st_size, len(elements), sum(a.size for a in arrays.values()))
        licence = next(n for n in packed.namelist() if n.endswith("licenses/LICENSE"))
        (Path(folder) / "LICENSE").write_bytes(packed.read(licence))


if __name__ == "__main__":
    main(*sys.argv[1:])
