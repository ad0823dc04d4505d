"""Writing of sites and the experiment for mrsimulator (`.mrsim`, JSON with units)."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...errors import ConventionError
from ...nmr import Site, Spectrum, SpectrumMAS, SpectrumStatic, isotope
from ...nmr.sites import resolved


def write_mrsimulator(
    sites: Sequence[Site],
    path: str | Path,
    *,
    simulation: SpectrumStatic | SpectrumMAS | None = None,
    axis: Spectrum | None = None,
) -> None:
    """Write spin systems and, given a simulation and an axis, also the method that simulates them.

    Both programs use the same definitions of zeta (of the shielding), eta, C_Q and the Euler angles. Every site is a
    separate spin system; its couplings become second sites. Line widths are not written: mrsimulator broadens
    afterwards.

    Args:
        sites: the sites to write.
        path: the file, usually ``.mrsim``.
        simulation: the experiment; static ones have rotor frequency 0, infinitely fast ones 1e12 Hz.
        axis: a spectrum whose points are simulated.

    Raises:
        ConventionError: a distribution of tensors, which mrsimulator describes by many spin systems; site-specific
            transitions; a simulation without an axis; transitions that are neither the central one nor all.
    """
    content: dict[str, Any] = {"spin_systems": [_system(site) for site in resolved(sites)]}
    if simulation is not None:
        if axis is None:
            raise ConventionError("a method needs its axis: give axis=spectrum")
        content["methods"] = [_method(simulation, axis)]
        density = simulation.integration_density
        content["config"] = {
            "integration_density": 70 if density == "auto" else int(density),
            "integration_volume": "hemisphere",
            "number_of_sidebands": 64 if simulation.sidebands == "auto" else int(simulation.sidebands),
        }
    Path(path).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _system(site: Site) -> dict[str, Any]:
    if site.quadrupolar_spread_hz or site.shielding_spread_ppm:
        raise ConventionError(f"site {site.name} has a distribution of tensors; write the sites it stands for")
    if site.transitions is not None:
        raise ConventionError(
            f"site {site.name} shows transitions of its own; in mrsimulator those are the method's: write it apart, with a "
            "simulation of these"
        )
    observed: dict[str, Any] = {"isotope": site.isotope, "isotropic_chemical_shift": f"{site.shift_ppm!r} ppm"}
    if site.zeta_ppm:
        observed["shielding_symmetric"] = {"zeta": f"{site.zeta_ppm!r} ppm", "eta": site.eta, **_angles(site.euler_deg)}
    if site.cq_hz:
        observed["quadrupolar"] = {"Cq": f"{site.cq_hz!r} Hz", "eta": site.eta_q, **_angles(site.euler_q_deg)}
    system: dict[str, Any] = {
        "name": site.name,
        "sites": [observed, *({"isotope": c.partner} for c in site.couplings)],
        "abundance": f"{100.0 * site.amplitude!r} %",
    }
    if site.couplings:
        system["couplings"] = [
            {
                "site_index": [0, k + 1],
                "isotropic_j": f"{c.j_hz!r} Hz",
                "j_symmetric": {"zeta": f"{c.zeta_j_hz!r} Hz", "eta": c.eta_j, **_angles(c.euler_j_deg)},
                "dipolar": {"D": f"{c.dipolar_hz!r} Hz", **_angles(c.euler_deg)},
            }
            for k, c in enumerate(site.couplings)
        ]
    return system


def _angles(euler_deg: tuple[float, float, float]) -> dict[str, str]:
    return {name: f"{float(a)!r} deg" for name, a in zip(("alpha", "beta", "gamma"), euler_deg, strict=True)}


def _method(simulation: SpectrumStatic | SpectrumMAS, axis: Spectrum) -> dict:
    nucleus = isotope(simulation.isotope)
    central = simulation.transitions == ((0.5, -0.5),)
    if not central and len(simulation.transitions) != round(2 * nucleus.spin):
        raise ConventionError(
            f"mrsimulator's methods simulate the central transition or all; the transitions are {simulation.transitions}"
        )
    points = len(axis.frequency_hz)
    mas = float(simulation.mas_hz)
    query = {"P": [-1], "D": [0]} if central else {"P": [-1]}
    return {
        "name": "BlochDecayCTSpectrum" if central else "BlochDecaySpectrum",
        "channels": [simulation.isotope],
        "spectral_dimensions": [
            {
                "count": points,
                "spectral_width": f"{axis.step_hz * points!r} Hz",
                "reference_offset": f"{float(axis.frequency_hz[points // 2])!r} Hz",
                "events": [
                    {
                        "magnetic_flux_density": f"{simulation.field_tesla!r} T",
                        "rotor_angle": f"{simulation.rotor_angle_deg!r} deg",
                        "rotor_frequency": f"{min(mas, 1e12)!r} Hz",
                        "transition_queries": [{"ch1": query}],
                    }
                ],
            }
        ],
    }
