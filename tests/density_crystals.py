"""Small crystals for tests of densities: a cubic, a hexagonal, a monoclinic and a triclinic one."""

from jaxnmr.crystal import Crystal


def perovskite() -> Crystal:
    """SrTiO3, cubic."""
    return Crystal.create(
        cell=[3.905, 3.905, 3.905, 90, 90, 90], spacegroup="P m -3 m", species=["Sr", "Ti", "O"],
        xyz=[[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0]], u_iso=[0.006, 0.004, 0.009], name="SrTiO3",
    )  # fmt: skip


def quartz() -> Crystal:
    """α-SiO2 with anisotropic oxygen, hexagonal."""
    return Crystal.create(
        cell=[4.913, 4.913, 5.405, 90, 90, 120], spacegroup="P 32 2 1", species=["Si", "O"],
        xyz=[[0.4697, 0, 2 / 3], [0.4133, 0.2672, 0.7855]], u_iso=[0.006, 0.0],
        u_aniso=[[float("nan")] * 6, [0.015, 0.011, 0.012, 0.009, -0.003, -0.005]], name="quartz",
    )  # fmt: skip


def tilted() -> Crystal:
    """A made-up triclinic crystal with a partly occupied site."""
    return Crystal.create(
        cell=[4.1, 5.2, 6.3, 82, 97, 105], spacegroup="P -1", species=["Ca", "C", "O"],
        xyz=[[0.12, 0.23, 0.31], [0.45, 0.61, 0.77], [0.8, 0.1, 0.55]], occupancy=[1.0, 0.7, 1.0], u_iso=[0.02, 0.03, 0.025],
        name="tilted",
    )  # fmt: skip
