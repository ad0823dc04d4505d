"""CIF items of one phase: contents, cell, symmetry, sites, displacements, bonds and angles."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ...diffraction.scattering import scattering_factors
from ...units import format_esd
from ..contents import Contents, absorption_per_mm
from ..geometry import Geometry, phase_covariance, phase_esds, volume_esd

if TYPE_CHECKING:
    from ...crystal import Crystal
    from ...io.cif_blocks import CifBlock
    from ...refinement.result import RefinementResult

_SYSTEMS = (
    (2, "triclinic"),
    (15, "monoclinic"),
    (74, "orthorhombic"),
    (142, "tetragonal"),
    (167, "trigonal"),
    (194, "hexagonal"),
    (230, "cubic"),
)
_XRAYS = "International Tables for Crystallography Vol. C (1992), Table 6.1.1.4; dispersion after Cromer & Liberman (1970, 1981)"
_NEUTRONS = "Sears (1992), Neutron News, 3, 26"


def add_phase(block: CifBlock, fit: RefinementResult, name: str) -> None:
    """Add a phase."""
    crystal = fit.crystals[name]
    contents, covariance = Contents.of(crystal), phase_covariance(fit, name)
    lengths = {kind: of.experiment.instrument.wavelengths for kind, of in _by_radiation(fit, name).items()}
    block.items(
        {
            "_pd_phase_name": crystal.name,
            "_chemical_name_systematic": None,
            "_chemical_formula_moiety": None,
            "_chemical_formula_sum": contents.formula(),
            "_chemical_formula_weight": f"{contents.mass / contents.z:.2f}",
            "_cell_formula_units_Z": contents.z,
            "_cell_measurement_temperature": None,
            "_diffrn_ambient_temperature": None,
            "_exptl_crystal_density_diffrn": f"{contents.density:.3f}",
            "_exptl_crystal_F_000": f"{contents.electrons:.5g}"
            if contents.electrons < 1e5
            else f"{contents.electrons:.0f}",
        }
    )
    if lengths.get("xray"):
        block.items({"_exptl_absorpt_coefficient_mu": f"{absorption_per_mm(crystal, lengths['xray'][0]):.3f}"})
    number = crystal.group.number
    if number is not None:
        block.items({"_space_group_crystal_system": next(system for last, system in _SYSTEMS if number <= last)})
    found = Geometry.of(crystal, covariance)
    esds = {**phase_esds(fit, name), "bonds": found.bond_esds, "angles": found.angle_esds}
    block.structure(crystal, esds, found.bond_plan, found.angle_plan)
    block.items({"_cell_volume": format_esd(float(crystal.volume()), volume_esd(crystal, covariance))})
    block.loop(_atom_types(crystal, lengths, contents))


def _by_radiation(fit: RefinementResult, name: str) -> dict[str, Any]:
    """Return the first pattern of every radiation that contains the phase."""
    out: dict[str, Any] = {}
    for of in fit.patterns.values():
        if name in of.reflections:
            out.setdefault(of.experiment.instrument.radiation, of)
    return out


def _atom_types(crystal: Crystal, lengths: dict[str, tuple[float, ...]], contents: Contents) -> dict[str, list[Any]]:
    """Tabulate scattering of every atom type, at the first wavelength of the first pattern of a radiation."""
    species = tuple(dict.fromkeys(crystal.species))
    elements = dict(zip(crystal.species, crystal.elements, strict=True))
    columns: dict[str, list[Any]] = {
        "_atom_type_symbol": list(species),
        "_atom_type_description": [elements[s] for s in species],
    }
    sources = []
    if lengths.get("xray"):
        # fallbacks for ions missing in the tables were reported when the pattern was calculated
        of = scattering_factors(tuple(elements[s] for s in species), "xray", lengths["xray"][0])
        columns["_atom_type_scat_dispersion_real"] = [f"{v:.4f}" for v in np.asarray(of.f1)]
        columns["_atom_type_scat_dispersion_imag"] = [f"{v:.4f}" for v in np.asarray(of.f2)]
        sources.append(_XRAYS)
    if lengths.get("neutron"):
        of = scattering_factors(species, "neutron", 1.0)
        columns["_atom_type_scat_length_neutron"] = [f"{v:.4f}" for v in np.asarray(of.c)]
        sources.append(_NEUTRONS)
    if sources:
        columns["_atom_type_scat_source"] = ["; ".join(sources)] * len(species)
    return columns
