"""Energies of structures that the pattern cannot distinguish (host)."""

from ...crystal import Crystal
from ...energy import EnergyModel
from ...terms.energy_modes import all_coordinates, minimum_of


def relaxed_energy(crystal: Crystal, model: EnergyModel) -> float:
    """Return the energy of the nearest minimum in the present cell and space group, eV per atom.

    Args:
        crystal: fully occupied structure of elements that the model covers.
        model: such as ``EnergyModel.load("chgnet-r2scan")``.

    Raises:
        ConventionError: the model cannot describe the crystal, or there is no minimum nearby.
    """
    planned = model.for_phase(crystal.name, crystal)
    source, lowest = minimum_of("energy", planned, "energy", crystal, all_coordinates(crystal))
    atoms = sum(site.multiplicity for site in crystal.sites())
    return float(source.slopes("energy", lowest)[0]) / atoms
