"""What an energy says of structures that the pattern does not tell apart (host)."""

from ...crystal import Crystal
from ...energy import EnergyModel
from ...terms.energy_modes import all_coordinates, minimum_of


def relaxed_energy(crystal: Crystal, model: EnergyModel) -> float:
    """The energy of the nearest minimum in the present cell and space group, eV per atom.

    Args:
        crystal: fully occupied, of elements that the model knows.
        model: such as ``EnergyModel.load("chgnet-r2scan")``.

    Raises:
        ConventionError: a crystal that the model cannot describe, or no minimum near.
    """
    planned = model.for_phase(crystal.name, crystal)
    source, lowest = minimum_of("energy", planned, "energy", crystal, all_coordinates(crystal))
    atoms = sum(site.multiplicity for site in crystal.sites())
    return float(source.slopes("energy", lowest)[0]) / atoms
