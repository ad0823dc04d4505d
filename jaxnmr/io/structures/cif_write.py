"""Writing of crystal structures to CIF, with standard uncertainties as ``0.1234(5)``."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from gemmi import cif

from ..._files import write_atomically
from ...crystal import AnglePlan, BondPlan, Crystal, plan_angles, plan_bonds
from ...errors import ShapeError
from ...units import format_esd
from .symmetry import group_number

_AXES = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
# Decimals of numbers without uncertainty: enough to reproduce the structure.
_DIGITS = 8


def write_cif(
    crystals: Mapping[str, Crystal],
    path: Path,
    esds: Mapping[str, np.ndarray] | None = None,
    extra: Mapping | None = None,
    bonds: BondPlan | bool | None = None,
    angles: AnglePlan | bool | None = None,
) -> None:
    """Write one data block per crystal; arguments as for :func:`jaxnmr.io.write_crystal`."""
    write_atomically(path, cif_text(crystals, esds, extra, bonds, angles))


def cif_text(
    crystals: Mapping[str, Crystal],
    esds: Mapping[str, np.ndarray] | None = None,
    extra: Mapping | None = None,
    bonds: BondPlan | bool | None = None,
    angles: AnglePlan | bool | None = None,
) -> str:
    """Return the text that `write_cif` writes."""
    document = cif.Document()
    for key, crystal in crystals.items():
        block = document.add_new_block(_block_name(key))
        known = dict(esds or {})
        # one phase has plain keys; with several, the phase is a prefix
        known.update({name[len(key) + 1 :]: value for name, value in known.items() if name.startswith(f"{key}/")})
        write_structure(block, crystal, known, bonds, angles)
        for tag, value in (extra or {}).items():
            if isinstance(tag, str):
                block.set_pair(tag, _cif_value(value))
            else:
                _loop(block, list(tag), value)
    return document.as_string()


def write_structure(
    block: cif.Block,
    crystal: Crystal,
    esds: Mapping[str, np.ndarray],
    bonds: BondPlan | bool | None = None,
    angles: AnglePlan | bool | None = None,
) -> None:
    """Add a structure with bonds and angles to a data block; arguments as for :func:`jaxnmr.io.write_crystal`."""
    _write_cell(block, crystal, esds)
    _write_symmetry(block, crystal)
    _write_sites(block, crystal, esds)
    _write_geometry(block, crystal, esds, bonds, angles)


def _write_cell(block: cif.Block, crystal: Crystal, esds: Mapping) -> None:
    block.set_pair("_audit_creation_method", "jaxnmr")
    block.set_pair("_pd_phase_name", cif.quote(" ".join(crystal.name.splitlines())))
    esd = _esd(esds, "cell", (6,))
    for tag, value, s in zip(_AXES, np.asarray(crystal.cell), esd, strict=True):
        block.set_pair(f"_cell_{tag}", format_esd(value, s, digits=_DIGITS))
    block.set_pair("_cell_volume", format_esd(float(crystal.volume()), digits=4))


def _write_symmetry(block: cif.Block, crystal: Crystal) -> None:
    group = crystal.group
    number = group.number
    if number is None:  # a setting outside the tables: the type is still one of the 230
        number = group_number(group.rotations, group.translations, np.asarray(crystal.lattice(), dtype=float))
    # ASE adds an inversion at the origin to every group it recognises as centrosymmetric, wherever the centre is
    elsewhere = group.is_centrosymmetric and "-x,-y,-z" not in group.triplets and group.number is None
    if number is not None and not elsewhere:
        block.set_pair("_space_group_IT_number", str(number))
    if group.name != "unknown" and not elsewhere:
        block.set_pair("_space_group_name_H-M_alt", cif.quote(group.name))
    if group.hall is not None:
        block.set_pair("_space_group_name_Hall", cif.quote(group.hall))
    rows = [[str(k + 1), text] for k, text in enumerate(group.triplets)]
    _loop(block, ["_space_group_symop_id", "_space_group_symop_operation_xyz"], rows)


def _write_sites(block: cif.Block, crystal: Crystal, esds: Mapping) -> None:
    n = crystal.n_sites
    xyz, xyz_esd = np.asarray(crystal.xyz), _esd(esds, "xyz", (n, 3))
    occupancy, occupancy_esd = np.asarray(crystal.occupancy), _esd(esds, "occupancy", (n,))
    u, u_esd = np.asarray(crystal.u_equivalent()), _esd(esds, "u_iso", (n,))
    rows = []
    for k, site in enumerate(crystal.sites()):
        anisotropic = crystal.anisotropic[k]
        rows.append([
            crystal.labels[k],
            crystal.species[k],
            *(format_esd(v, s, digits=_DIGITS) for v, s in zip(xyz[k], xyz_esd[k], strict=True)),
            format_esd(occupancy[k], occupancy_esd[k], digits=_DIGITS),
            "Uani" if anisotropic else "Uiso",
            format_esd(u[k], None if anisotropic else u_esd[k], digits=_DIGITS),
            str(site.multiplicity),
        ])  # fmt: skip
    tags = ("label", "type_symbol", "fract_x", "fract_y", "fract_z", "occupancy", "adp_type", "U_iso_or_equiv")
    _loop(block, [f"_atom_site_{tag}" for tag in (*tags, "site_symmetry_multiplicity")], rows)
    if any(crystal.anisotropic):
        values, esd = np.asarray(crystal.u_aniso), _esd(esds, "u_aniso", (n, 6))
        rows = [
            [crystal.labels[k], *(format_esd(v, s, digits=_DIGITS) for v, s in zip(values[k], esd[k], strict=True))]
            for k in range(n)
            if crystal.anisotropic[k]
        ]
        names = [f"_atom_site_aniso_U_{ij}" for ij in ("11", "22", "33", "12", "13", "23")]
        _loop(block, ["_atom_site_aniso_label", *names], rows)


def _write_geometry(block: cif.Block, crystal: Crystal, esds: Mapping, bonds, angles) -> None:
    if bonds is not None and bonds is not False:
        plan = plan_bonds(crystal) if bonds is True else bonds
        table, esd = plan.table(crystal), _esd(esds, "bonds", (len(plan),))
        tags = ("atom_site_label_1", "atom_site_label_2", "distance", "site_symmetry_2", "multiplicity")
        rows = [
            [*r.labels, format_esd(r.distance, s), r.symmetry, str(r.multiplicity)]
            for r, s in zip(table, esd, strict=True)
        ]
        _loop(block, [f"_geom_bond_{tag}" for tag in tags], rows)
    if angles is not None and angles is not False:
        corners = plan_angles(crystal) if angles is True else angles
        lines, esd = corners.table(crystal), _esd(esds, "angles", (len(corners),))
        names = [
            "_geom_angle_atom_site_label_1", "_geom_angle_atom_site_label_2", "_geom_angle_atom_site_label_3",
            "_geom_angle", "_geom_angle_site_symmetry_1", "_geom_angle_site_symmetry_3",
        ]  # fmt: skip
        rows = [[*r.labels, format_esd(r.angle, s, digits=2), *r.symmetry] for r, s in zip(lines, esd, strict=True)]
        _loop(block, names, rows)


def _loop(block: cif.Block, tags: Sequence[str], rows: Sequence[Sequence]) -> None:
    if not len(rows):
        return
    loop = block.init_loop("", list(tags))
    for row in rows:
        loop.add_row([_cif_value(value) for value in row])


def _cif_value(value) -> str:
    if isinstance(value, str):
        # codes for unknown and inapplicable are kept, other text is quoted if CIF requires it
        return value if value in ("?", ".") else cif.quote(value)
    if isinstance(value, float | np.floating):
        return f"{value:.10g}" if np.isfinite(value) else "?"
    return cif.quote(str(value))


def _esd(esds: Mapping, key: str, shape: tuple[int, ...]) -> np.ndarray:
    value = esds.get(key)
    if value is None:
        return np.zeros(shape)
    array = np.asarray(value, dtype=float)
    if array.size != np.prod(shape):
        raise ShapeError(f"esds[{key!r}] has shape {array.shape}, expected {shape}")
    return array.reshape(shape)


def _block_name(name: str) -> str:
    # block names are ASCII; texts need not be
    return "".join(ch if (ch.isascii() and ch.isalnum()) or ch in "_-+." else "_" for ch in name) or "crystal"
