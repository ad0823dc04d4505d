"""What an energy adds to a pattern, where the truth is measured: ``python tools/study_energy.py STUDY --out results.json``.

    pbso4   laboratory X-rays of PbSO4 alone, with hand-set restraints, with energies; against the neutron pattern of the material
    silica  coesite and cristobalite (COD), simulated weak patterns drawn from the measured structures, the same three ways
    nanbo2f2  laboratory X-rays of NaNbO2F2 with and without energies, beside what two programs and DFT find; no truth is known

JAXNMR_DATA names the folder of data. Coordinates are compared in Å, over the x, y and z that symmetry leaves free.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from pathlib import Path

import numpy as np

import jaxnmr as jn
from jaxnmr.runfile import build, load_run

ROOT = Path(__file__).resolve().parents[1]
ENERGY = '\n[[energy]]\nmodel = "{model}"\n'
# residuals of a pattern of real quality are no noise but a profile that does not quite fit
NAMED, BY_RESIDUALS = 'name = "xrd"', '\nweight = "residuals"'
RESTRAINTS = '\n[[restraint]]\nkind = "distances"\nexpected = {expected}\n'


def refined(text: str) -> jn.RefinementResult:
    """The result of a run file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "run.toml")
        path.write_text(text, encoding="utf-8")
        setup = build(load_run(path))
        fit = jn.refine(setup.objective, setup.parameters, stages=setup.stages, solver=setup.solver, throw=False)
        print(fit, flush=True)
        return fit


def compared(fit: jn.RefinementResult, truth: jn.Crystal, esds: np.ndarray) -> dict:
    """How far coordinates are from the truth.

    Args:
        fit: of one phase with the sites of ``truth``.
        truth: the other structure.
        esds: ``(sites, 3)`` of its coordinates.
    """
    crystal = fit.crystal
    lengths = np.asarray(crystal.cell, dtype=float)[:3]
    free = np.array([np.abs(site.xyz_basis()).sum(axis=1) > 1e-9 for site in crystal.sites()])
    off = (np.asarray(crystal.xyz) - np.asarray(truth.xyz)) * lengths
    own = np.asarray(fit.esds["xyz"], dtype=float) * lengths
    both = np.hypot(own, esds * lengths)
    out = {
        "status": fit.status,
        "rms": float(np.sqrt(np.mean(off[free] ** 2))),
        "esd": float(np.sqrt(np.mean(own[free] ** 2))),
    }
    for element in dict.fromkeys(crystal.elements):
        rows = free & np.array([[e == element] for e in crystal.elements])
        if rows.any():
            out[f"rms {element}"] = float(np.sqrt(np.mean(off[rows] ** 2)))
    ratio = np.abs(off[free] / np.where(both[free] > 0, both[free], np.inf))
    out["inside 95%"] = float(np.mean(ratio < 1.96))
    out["coordinates"] = int(free.sum())
    if fit.components is not None:
        out["sigma times"] = {of.name: [of.factor, of.esd] for of in fit.components.components if of.estimated}
    out["statistics"] = {name: [round(s.chi2, 3), s.n_observations] for name, s in fit.statistics.items()}
    out["warnings"] = [w for w in fit.warnings if "energy" in w.lower()]
    return out


def pbso4() -> dict:
    xray = (ROOT / "examples" / "pbso4.toml").read_text(encoding="utf-8")
    both = (ROOT / "examples" / "pbso4_xn.toml").read_text(encoding="utf-8")
    head, _, rest = both.partition("[[histogram]]")
    neutrons = head + "[[histogram]]" + rest.split("[[histogram]]", 1)[1]
    for line, new in (("displacement, neutron zero and", "neutron zero and"), ('"cell", "xrd/displacement", ', ""),
                      ('free = ["xrd/size", "xrd/strain"]', "free = []")):  # fmt: skip
        assert line in neutrons
        neutrons = neutrons.replace(line, new)
    truth = refined(neutrons)
    esds = np.asarray(truth.esds["xyz"], dtype=float)
    expected = '{ "S-O" = [1.47, 0.02], "O-S-O" = [2.40, 0.03] }'
    out = {"neutrons": {"status": truth.status, "esd": float(np.sqrt(np.mean(esds[esds > 0] ** 2)))}}
    ways = {"": "", " + restraints": RESTRAINTS.format(expected=expected)}
    ways |= {f" + {model}": ENERGY.format(model=model) for model in ("chgnet-r2scan", "chgnet-0.3.0")}
    for weighting, text in {
        "as stated": xray,
        "as its residuals say": xray.replace(NAMED, NAMED + BY_RESIDUALS),
    }.items():
        for name, extra in ways.items():
            out[f"pattern {weighting}{name}"] = compared(refined(text + extra), truth.crystal, esds)
    return out


# what GSAS-II finds in the same pattern with the same 45 parameters (Rwp 4.70 %)
GSAS_II = {
    "Na1": (0.36567, 0.77781, 0.11627), "Nb1": (0.15442, 0.26366, 0.31809), "O1": (0.17821, 0.15393, 0.06790),
    "O2": (0.04049, 0.54638, 0.21738), "F1": (0.37471, 0.44305, 0.31299), "F2": (0.30730, 0.97443, 0.37857),
}  # fmt: skip


def nanbo2f2() -> dict:
    folder = Path(os.environ["JAXNMR_DATA"]) / "NaMO2F2"
    xray = (ROOT / "examples" / "nanbo2f2.toml").read_text(encoding="utf-8")
    # positions relaxed by DFT in the measured cell, and with the cell; the third of its geometries is that of FullProf
    known = {"FullProf": folder / "NaNbO2F2_start.cif"}
    known |= {f"DFT {name}": folder / "DFT" / f"NaNbO2F2_{name}_NMR.cif" for name in ("ES", "APO", "FO")}
    structures = {name: jn.read_crystal(path) for name, path in known.items()}
    fullprof = structures["FullProf"]
    structures["GSAS-II"] = fullprof.replace(xyz=np.array([GSAS_II[label] for label in fullprof.labels]))
    out: dict = {}
    fits = {}
    energies = {f" + {model}": ENERGY.format(model=model) for model in ("chgnet-r2scan", "chgnet-0.3.0")}
    for weighting, text in {
        "as stated": xray,
        "as its residuals say": xray.replace(NAMED, NAMED + BY_RESIDUALS),
    }.items():
        for name, extra in {"": "", **energies}.items():
            fits[f"pattern {weighting}{name}"] = refined(text + extra)
    for way, fit in fits.items():
        structures |= {way: fit.crystal} if way == "pattern as stated" else {}
        out[way] = {
            "status": fit.status,
            "Rwp": fit.statistics["xrd"].factors["Rwp"],
            "u_iso": dict(zip(fit.crystal.labels, np.asarray(fit.crystal.u_iso).round(4).tolist(), strict=True)),
            "esd": rms(np.asarray(fit.esds["xyz"]) * np.asarray(fit.crystal.cell)[:3], light(fit.crystal)),
            "warnings": [w for w in fit.warnings if "energy" in w.lower()],
        }
        if "energy" in fit.evidence:
            conditions = dict(fit.evidence["energy"].conditions)
            out[way]["energy"] = {
                k: conditions[k] for k in ("above the minimum", "coordinates it holds", "chi² per coordinate")
            }
        if fit.components is not None:
            out[way]["sigma times"] = fit.components["xrd"].factor, fit.components["xrd"].esd
    lowest = {}
    for model in ("chgnet-r2scan", "chgnet-0.3.0"):
        lowest[f"minimum of {model}"] = jn.relax(fullprof, jn.EnergyModel.load(model)).crystal
    for name, crystal in {"FullProf": fullprof, **{w: f.crystal for w, f in fits.items()}, **lowest}.items():
        to = {other: apart(crystal, there) for other, there in {**structures, **lowest}.items()}
        out.setdefault(name, {})["O and F from"] = {other: rms(of, light(crystal)) for other, of in to.items()}
        out[name]["sites from FullProf"] = dict(
            zip(crystal.labels, np.linalg.norm(to["FullProf"], axis=1).round(4).tolist(), strict=True)
        )
    return out


def light(crystal: jn.Crystal) -> np.ndarray:
    """Which sites are O or F."""
    return np.array([element in ("O", "F") for element in crystal.elements])


def rms(lengths: np.ndarray, rows: np.ndarray) -> float:
    """Root mean square of components ``(sites, 3)`` of some sites."""
    return float(np.sqrt(np.mean(lengths[rows] ** 2)))


def apart(crystal: jn.Crystal, other: jn.Crystal) -> np.ndarray:
    """``(sites, 3)`` how far every site is from the nearest atom of its element in another structure, Å, in its own cell."""
    atoms = other.expand()
    out = []
    for element, xyz in zip(crystal.elements, np.asarray(crystal.xyz), strict=True):
        of_kind = np.asarray(atoms.fractional)[[other.elements[site] == element for site in np.asarray(atoms.site)]]
        away = xyz - of_kind
        vectors = (away - np.round(away)) @ np.asarray(crystal.lattice())
        out.append(vectors[np.argmin((vectors**2).sum(axis=1))])
    return np.array(out)


SILICA = """
title = "weak pattern"
[[phase]]
name = "silica"
file = "{cif}"
[[histogram]]
name = "xrd"
{data}
wavelength = [1.540593, 1.544427]
radius_mm = 217.5
shl = 0.02
background = {{ kind = "chebyshev", terms = 3 }}
[start]
"xrd/size" = 0.2
[[stage]]
free = ["xrd/scale", "xrd/background"]
[[stage]]
free = ["cell", "xrd/displacement"]
[[stage]]
free = ["xyz", "u_iso", "xrd/size"]
"""


def silica() -> dict:
    from jaxnmr.runfile import simulate

    folder = Path(os.environ["JAXNMR_DATA"]) / "openchemistry_crystals" / "oxides"
    expected = '{ "Si-O" = [1.61, 0.01], "O-Si-O" = [2.63, 0.03] }'
    out: dict = {}
    for name in ("Coesite", "Cristobalite"):
        truth = isotropic(jn.read_crystal(folder / f"SiO2-{name}.cif"))
        out[name] = {}
        with tempfile.TemporaryDirectory() as temporary:
            jn.write_crystal(truth, cif := Path(temporary, "truth.cif"))
            ideal = Path(temporary, "ideal.toml")
            ideal.write_text(SILICA.format(cif=cif, data="range = [15.0, 70.0, 0.04]"), encoding="utf-8")
            for seed in range(4):
                pattern = simulate(load_run(ideal), counts=400.0, seed=seed)["xrd"]
                jn.write_pattern(pattern, data := Path(temporary, f"{seed}.xye"))
                start = displaced(truth, seed)
                jn.write_crystal(start, begin := Path(temporary, f"start{seed}.cif"))
                text = SILICA.format(cif=begin, data=f'file = "{data}"')
                for way, extra in {
                    "pattern": "",
                    "pattern + restraints": RESTRAINTS.format(expected=expected),
                    "pattern + chgnet-r2scan": ENERGY.format(model="chgnet-r2scan"),
                    "pattern + chgnet-0.3.0": ENERGY.format(model="chgnet-0.3.0"),
                }.items():
                    fit = refined(text + extra)
                    out[name].setdefault(way, []).append(compared(fit, truth, np.zeros((truth.n_sites, 3))))
                    print(name, seed, way, out[name][way][-1], flush=True)
    return out


def isotropic(crystal: jn.Crystal) -> jn.Crystal:
    """The same with isotropic displacements."""
    n = crystal.n_sites
    u = np.asarray(crystal.u_equivalent(), dtype=float)
    return crystal.replace(u_iso=u, u_aniso=np.zeros((n, 6)), anisotropic=(False,) * n)


def displaced(crystal: jn.Crystal, seed: int, size: float = 0.05) -> jn.Crystal:
    """Atoms moved by chance along what symmetry leaves free, Å."""
    rng = np.random.default_rng(seed)
    xyz = np.array(crystal.xyz, dtype=float)
    lattice = np.asarray(crystal.lattice(), dtype=float)
    for k, site in enumerate(crystal.sites()):
        basis = np.linalg.qr(lattice.T @ site.xyz_basis())[0]
        xyz[k] += np.linalg.solve(lattice.T, basis @ rng.normal(scale=size, size=basis.shape[1]))
    return crystal.replace(xyz=xyz)


STUDIES = {"pbso4": pbso4, "silica": silica, "nanbo2f2": nanbo2f2}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("study", choices=STUDIES)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    jn.enable_x64()
    jn.enable_cache()
    found = STUDIES[options.study]()
    options.out.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(json.dumps(found, indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main()
