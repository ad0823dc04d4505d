"""NMR of the glass of `amorphous_silica.py`: tensors of all atoms, their distributions, spectra and fits of these."""

from __future__ import annotations

from typing import Any

import numpy as np

import jaxnmr as jn
from jaxnmr.dynamics.glass.network import Network
from jaxnmr.nmr import Sites

# shifts of models trained on PBE shieldings of silica: a published regression. Couplings: the slope that measured ones of quartz
# and cristobalite ask for (docs/zeolite.md)
REFERENCE = jn.ShiftReference.published("nmrcryspy/29Si", core_ppm=838.0)
OXYGEN_SLOPE = 0.952
FIELD = 9.4  # T
# ppm, full width at half maximum: of every atom of Si, so that 512 of them make a smooth line
WIDTH = 1.0
FWHM = 2.0 * np.sqrt(2.0 * np.log(2.0))


def _spread(values: np.ndarray) -> dict[str, float]:
    values = values[np.isfinite(values)]
    low, middle, high = np.percentile(values, [16, 50, 84])
    return {
        "mean": float(values.mean()),
        "sd": float(values.std()),
        "median": float(middle),
        "p16": float(low),
        "p84": float(high),
    }


def tensors(glass: jn.Crystal, network: Network) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Numbers and arrays of all atoms."""
    silicon, oxygen = (np.array(glass.elements) == element for element in ("Si", "O"))
    shielding, efg = jn.TensorModel.load("silica-29si").predict(glass), jn.TensorModel.load("silica-efg").predict(glass)
    shift = np.asarray(shielding.shift("29Si", REFERENCE))
    span = np.asarray(shielding.maryland("29Si").span) * abs(REFERENCE.slope)
    coupling = efg.quadrupolar("17O")
    cq, eta = np.asarray(coupling.cq_hz) * OXYGEN_SLOPE / 1e6, np.asarray(coupling.eta)
    regular = (network.q == 4) & (network.coordination == 4)
    bridging = network.linkage == 2
    strange = np.asarray(shielding.novelty)[silicon], np.asarray(efg.novelty)[oxygen]
    angle = network.angle_of_ligand
    fit = np.polyfit(np.cos(np.radians(angle[bridging])), np.abs(cq[bridging]), 1)
    mean_angle = _mean_angles(network)
    slope = np.polyfit(mean_angle[regular], shift[regular], 1)
    numbers = {
        "29Si shift / ppm, Q4": _spread(shift[regular]), "29Si shift / ppm, all": _spread(shift),
        "29Si fwhm / ppm, Q4 (Gaussian)": float(FWHM * shift[regular].std()), "29Si span / ppm, Q4": _spread(span[regular]),
        "29Si ppm per degree of the mean Si-O-Si angle": float(slope[0]),
        "29Si common sigma / ppm": float(np.median(np.asarray(shielding.sigma("shift", "29Si", reference=REFERENCE, part="common")))),
        "29Si own sigma / ppm": float(np.median(np.asarray(shielding.sigma("shift", "29Si", reference=REFERENCE, part="own")))),
        "17O |CQ| / MHz, bridging": _spread(np.abs(cq[bridging])), "17O eta, bridging": _spread(eta[bridging]),
        "17O |CQ| / MHz by cos(Si-O-Si): slope, at 0": fit.tolist(),
        "novel 29Si": float(np.mean(strange[0] > 1)), "novel 17O": float(np.mean(strange[1] > 1)),
        "novel 29Si, Q4": float(np.mean(strange[0][regular] > 1)), "novel 17O, bridging": float(np.mean(strange[1][bridging] > 1)),
    }  # fmt: skip
    sites = shielding.sites("29Si", reference=REFERENCE)
    arrays = {
        "shift": shift, "span": span, "mean_angle": mean_angle, "regular": regular, "cq": cq, "eta": eta, "angle": angle, "bridging": bridging,
        "anisotropy_ppm": np.asarray(sites.shielding_ppm), "quadrupolar_hz": OXYGEN_SLOPE * np.asarray(efg.quadrupolar_hz("17O")),
    }  # fmt: skip
    return numbers, arrays


def _mean_angles(network: Network) -> np.ndarray:
    """Mean Si-O-Si angle around every centre, degrees."""
    of = np.full(network.atoms, np.nan)
    of[network.bridges] = network.angle_of_ligand
    angle = of[network.ligand]
    known = np.isfinite(angle)
    total = np.bincount(network.centre[known], angle[known], network.atoms)
    number = np.bincount(network.centre[known], minlength=network.atoms)
    return (total / np.maximum(number, 1))[network.places]


def quartz() -> jn.Crystal:
    """L. Levien, C. T. Prewitt & D. J. Weidner, Am. Mineral. 65, 920 (1980), at room pressure."""
    return jn.Crystal.create(
        cell=(4.9137, 4.9137, 5.4047, 90, 90, 120), spacegroup="P 32 2 1", species=["Si", "O"],
        xyz=[[0.4697, 0, 2 / 3], [0.4133, 0.2672, 0.7856]], name="quartz",
    )  # fmt: skip


def of_crystal(crystal: jn.Crystal) -> dict[str, float]:
    """The numbers of a crystal with one site each of Si and O."""
    coupling = jn.TensorModel.load("silica-efg").predict(crystal).quadrupolar("17O")
    shift = jn.TensorModel.load("silica-29si").predict(crystal).shift("29Si", REFERENCE)
    network = Network.create(crystal, cutoff=2.0)
    return {
        "29Si shift / ppm": float(np.asarray(shift)[0]), "17O |CQ| / MHz": float(abs(np.asarray(coupling.cq_hz)[0])) * OXYGEN_SLOPE / 1e6,
        "17O eta": float(np.asarray(coupling.eta)[0]), "Si-O / Å": float(np.linalg.norm(network.vectors, axis=1).mean()),
        "Si-O-Si / deg": float(network.angles_at_ligands.mean()),
    }  # fmt: skip


def quartz_numbers() -> dict[str, dict[str, float]]:
    """α-quartz as measured, where its numbers are known, and at the minima of the potentials in the measured cell."""
    found = {
        "measured": {"29Si shift / ppm": -107.4, "17O |CQ| / MHz": 5.19, "17O eta": 0.19},
        "of the measured structure": of_crystal(quartz()),
    }
    for name in ("chik", "chgnet-r2scan"):
        found[f"at rest, {name}"] = of_crystal(jn.relax(quartz(), name).crystal)
    return found


def origin(of: dict[str, np.ndarray], network: Network) -> dict[str, float]:
    """What of the spread of couplings is angles and what is distances: least squares over bridging atoms of regular bonds."""
    lengths = np.bincount(network.ligand, np.linalg.norm(network.vectors, axis=1), network.atoms)[
        network.bridges
    ] / np.maximum(network.linkage, 1)
    chosen = of["bridging"] & (of["angle"] > 120.0)
    cosine, length, size = np.cos(np.radians(of["angle"][chosen])), lengths[chosen], np.abs(of["cq"][chosen])
    table = np.stack([np.ones(len(size)), cosine - cosine.mean(), length - length.mean()], axis=1)
    (mean, by_cosine, by_length), *_ = np.linalg.lstsq(table, size, rcond=None)
    return {
        "atoms": int(chosen.sum()), "mean |CQ| / MHz": float(mean), "MHz by cos(Si-O-Si)": float(by_cosine), "MHz/Å": float(by_length),
        "mean Si-O / Å": float(length.mean()), "sd left / MHz": float(np.std(size - table @ [mean, by_cosine, by_length])), "sd / MHz": float(size.std()),
    }  # fmt: skip


def spectra(of: dict[str, np.ndarray]) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Static and MAS spectra of both nuclei, and what fits of a distribution to that of 17O find."""
    regular, bridging = of["regular"], of["bridging"]
    silicon = Sites.create(
        "29Si",
        of["shift"],
        shielding_ppm=of["anisotropy_ppm"],
        gaussian_hz=WIDTH * 1e-6 * jn.SpectrumMAS("29Si", b0_tesla=FIELD).larmor_hz,
    )
    oxygen = Sites.create(
        "17O", np.zeros(len(of["cq"])), quadrupolar_hz=_traceless(of["quadrupolar_hz"]), gaussian_hz=150.0
    )
    # 17O has no model of shieldings: isotropic shifts are 0, and the shape is that of the couplings alone
    arrays = {}
    experiments = {
        "29Si static": (jn.SpectrumStatic("29Si", b0_tesla=FIELD), silicon, {"points": 512, "width_hz": 12e3, "centre_ppm": -110.0}),
        "29Si MAS": (jn.SpectrumMAS("29Si", b0_tesla=FIELD, mas_hz=10e3), silicon, {"points": 1024, "width_hz": 8e3, "centre_ppm": -110.0}),
        "17O static": (jn.SpectrumStatic("17O", b0_tesla=FIELD), oxygen, {"points": 512, "width_hz": 60e3, "centre_ppm": -30.0}),
        "17O MAS": (jn.SpectrumMAS("17O", b0_tesla=FIELD), oxygen, {"points": 256, "width_hz": 25e3, "centre_ppm": -80.0}),
    }  # fmt: skip
    found = {}
    for name, (simulation, sites, axis) in experiments.items():
        found[name] = spectrum = simulation.simulate(sites, **axis)
        arrays[f"{name} ppm"], arrays[name] = np.asarray(spectrum.ppm), np.asarray(np.real(spectrum.values))
    mas, ppm = arrays["29Si MAS"], arrays["29Si MAS ppm"]
    above = ppm[mas > 0.5 * mas.max()]
    numbers: dict[str, Any] = {
        "field_tesla": FIELD, "29Si MAS maximum / ppm": float(ppm[np.argmax(mas)]), "29Si MAS fwhm / ppm": float(above.max() - above.min()),
        "sites": [len(of["shift"]), len(of["cq"])], "q4": float(regular.mean()), "bridging": float(bridging.mean()),
    }  # fmt: skip
    simulation, _, _ = experiments["17O MAS"]
    begin = {
        "czjzek": (jn.Site(isotope="17O", quadrupolar_spread_hz=2.3e6, gaussian_hz=300.0, label="O"), ()),
        "extended czjzek": (
            jn.Site(isotope="17O", cq_hz=5.1e6, eta_q=0.15, quadrupolar_spread_hz=0.3e6, gaussian_hz=300.0, label="O"), ("cq", "eta_q"),
        ),
    }  # fmt: skip
    measured = found["17O MAS"]
    noisy = jn.Spectrum.create(
        measured.frequency_hz, np.real(measured.values), 0.005 * float(np.max(np.real(measured.values))), larmor_hz=measured.larmor_hz,
        isotope="17O", name="17O of the glass",
    )  # fmt: skip
    for name, (site, more) in begin.items():
        objective = jn.Objective(jn.SpectrumTerm(simulation, noisy, site, name="nmr"))
        free = ("amplitude", "shift", "gaussian", "quadrupolar_spread", *more)
        fit = jn.refine(objective, objective.parameters().free(*(f"nmr/{key}" for key in free)))
        values = {row.name.split("/")[1]: row.value for row in fit.parameters.rows() if row.free}
        shown = fit.spectra["nmr"]
        height = float(np.max(shown.observed))
        values["rms misfit / height"] = float(np.sqrt(np.mean((shown.observed - shown.calculated) ** 2))) / height
        numbers[name] = {"status": fit.status, **values}
        arrays[f"fit {name} ppm"], arrays[f"fit {name}"] = np.asarray(shown.ppm), np.asarray(shown.calculated)
    return numbers, arrays


def _traceless(tensor: np.ndarray) -> np.ndarray:
    """Exactly symmetric and traceless: single precision leaves some in the last digits."""
    tensor = 0.5 * (tensor + tensor.swapaxes(1, 2))
    return tensor - np.trace(tensor, axis1=1, axis2=2)[:, None, None] / 3.0 * np.eye(3)
