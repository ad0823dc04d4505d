"""Crystals that tests of structure solution simulate intensities of, as arguments of `jaxnmr.Crystal.create`."""

QUARTZ = dict(
    cell=[4.9134, 4.9134, 5.4052, 90, 90, 120], spacegroup="P 32 2 1", species=["Si", "O"],
    xyz=[[0.4697, 0, 2 / 3], [0.4135, 0.2669, 0.7858]], b_iso=0.6,
)  # fmt: skip
# R. I. Smith et al. (anglesite, Pnma), rounded
ANGLESITE = dict(
    cell=[8.478, 5.397, 6.958, 90, 90, 90], spacegroup="P n m a", species=["Pb", "S", "O", "O", "O"],
    xyz=[[0.1879, 0.25, 0.1671], [0.063, 0.25, 0.686], [0.908, 0.25, 0.595], [0.194, 0.25, 0.543], [0.082, 0.026, 0.809]], b_iso=0.6,
)  # fmt: skip
