"""Reading and writing of crystal structures: CIF, SHELX, GSAS-I ``.EXP`` and every format supported by ASE."""

from collections.abc import Mapping
from pathlib import Path

from ..._arguments import checked
from ...crystal import AnglePlan, BondPlan, Crystal, SpaceGroup
from ...errors import ConventionError, JaxnmrError, ParseError, require_kind, require_path
from .ase import SYMPREC, from_ase, read_ase_frames, to_ase
from .cif import crystal_from_block, structure_blocks
from .cif_write import write_cif
from .gsas_exp import read_exp_phases
from .shelx import is_shelx, read_shelx


@checked
def read_crystal(
    path: str | Path,
    *,
    block: str | int | None = None,
    name: str | None = None,
    phase: str | int | None = None,
    spacegroup: str | int | SpaceGroup | None = None,
    symprec: float | None = SYMPREC,
) -> Crystal:
    """Read one crystal structure.

    Args:
        path: a CIF, a SHELX ``.res`` or ``.ins`` file, a GSAS-I ``.EXP`` file, or any format supported by ASE (extxyz,
            POSCAR, CASTEP, magres ...).
        block: CIF data block, by name or number from 1; required if several blocks list atoms.
        name: name of the phase; from the file by default.
        phase: phase of a GSAS file, by name or number from 1, or frame of an ASE file from 1.
        spacegroup: CIF and SHELX only: overrides the symmetry of the file, for example to choose an origin; see
            :meth:`~jaxnmr.crystal.SpaceGroup.from_name`.
        symprec: for files that list all atoms of a cell: largest displacement in Å that spglib treats as noise when
            searching for symmetry; ``None`` reads P1.

    Returns:
        The crystal, on its special positions.

    Raises:
        ParseError: a file that cannot be read, or one with several structures and none selected.
        SymmetryError, ConventionError, ShapeError: an inconsistent structure.

    Example:
        >>> jn.write_crystal(quartz, "quartz.cif")
        >>> jn.read_crystal("quartz.cif").labels
        ('Si1', 'O1')
    """
    path = Path(path)
    choice = block if block is not None else phase
    kind = _kind(path)
    if kind == "cif":
        blocks = structure_blocks(path)
        chosen = _choose(path, {b.name: b for b in blocks}, choice, "data blocks with atoms", "block")
        return crystal_from_block(path, chosen, name, spacegroup)
    if kind == "shelx":
        found = read_shelx(path, name, spacegroup)
        return found if isinstance(found, Crystal) else _from_frame(path, found, symprec, name or path.stem)
    if spacegroup is not None:
        raise ConventionError(
            f"{path}: spacegroup is for CIF and SHELX files; "
            + (
                "a GSAS file states its symmetry"
                if kind == "exp"
                else "symmetry of files with all atoms of a cell is found"
            )
            + ": leave it out"
        )
    if kind == "exp":
        crystal = _choose(path, read_exp_phases(path), choice, "phases", "phase")
    else:
        frames = {str(k): frame for k, frame in enumerate(read_ase_frames(path), start=1)}
        crystal = _from_frame(path, _choose(path, frames, choice, "frames", "phase"), symprec, name or path.stem)
    return crystal if name is None else crystal.replace(name=name)


@checked
def read_crystals(path: str | Path, *, symprec: float | None = SYMPREC) -> dict[str, Crystal]:
    """Read all structures of a file, by phase name.

    Args:
        path: as for :func:`read_crystal`.
        symprec: as for :func:`read_crystal`.
    """
    path = Path(path)
    kind = _kind(path)
    if kind == "exp":
        return read_exp_phases(path)
    if kind == "cif":
        crystals = [crystal_from_block(path, block, None) for block in structure_blocks(path)]
    elif kind == "shelx":
        crystals = [read_crystal(path, symprec=symprec)]
    else:
        frames = read_ase_frames(path)
        crystals = [_from_frame(path, frame, symprec, path.stem) for frame in frames]
    named: dict[str, Crystal] = {}
    for crystal in crystals:
        name, k = crystal.name, 1
        while name in named:
            k += 1
            name = f"{crystal.name}_{k}"
        named[name] = crystal.replace(name=name)
    return named


def write_crystal(
    crystal: Crystal | Mapping[str, Crystal],
    path: str | Path,
    esds: Mapping | None = None,
    extra: Mapping | None = None,
    *,
    bonds: BondPlan | bool | None = None,
    angles: AnglePlan | bool | None = None,
) -> None:
    """Write a crystal, or several by name, as CIF (``.cif``) or in the format that ASE associates with the suffix.

    Args:
        crystal: a crystal, or ``{name: crystal}`` for one data block each.
        path: the file; a suffix other than ``.cif`` writes all atoms of the cell with ASE, without uncertainties.
        esds: standard uncertainties in the shapes of the crystal's arrays, keyed ``"cell"``, ``"xyz"``, ``"u_iso"``,
            ``"u_aniso"``, ``"occupancy"``, and ``"bonds"``, ``"angles"`` one per line of those plans; for several
            phases prefixed with the name of the phase (``"FAP/cell"``). Numbers are written ``0.1234(5)``; with zero or
            no uncertainty they are written in full.
        extra: further CIF items, ``{tag: value}``, or loops, ``{(tag, tag, ...): rows}``.
        bonds: ``True``, or the bonds to list.
        angles: ``True``, or the angles to list.

    Raises:
        ShapeError: uncertainties of the wrong length.
        ParseError: the file cannot be written.

    Example:
        >>> jn.write_crystal({"quartz": quartz}, "phases.cif", bonds=True)
        >>> "_geom_bond_distance" in Path("phases.cif").read_text()
        True
    """
    require_path(path, "write_crystal(crystal, path)")
    for of in crystal.values() if isinstance(crystal, Mapping) else (crystal,):
        require_kind(of, Crystal, "the crystal of write_crystal(crystal, path)", "or several by name")
    path = Path(path)
    crystals = crystal if isinstance(crystal, Mapping) else {crystal.name: crystal}
    try:
        if path.suffix.lower() == ".cif":
            write_cif(crystals, path, esds, extra, bonds, angles)
        else:
            import ase.io

            ase.io.write(path, [to_ase(c) for c in crystals.values()])
    except JaxnmrError:
        raise
    except OSError as err:
        raise ParseError(path, None, f"cannot write the file: {err.strerror or err}") from err
    except Exception as err:  # ASE's writers raise all kinds of exceptions
        raise ParseError(path, None, f"ASE cannot write it: {type(err).__name__}: {err}; use the suffix .cif") from err


def _kind(path: Path) -> str:
    """Return ``"cif"``, ``"exp"``, ``"shelx"`` or ``"ase"``, by suffix, else by the first lines."""
    if not path.is_file():
        raise ParseError(path, None, "no such file")
    suffix = path.suffix.lower()
    if suffix in (".cif", ".mcif"):
        return "cif"
    if suffix == ".exp":
        return "exp"
    with path.open("rb") as file:
        head = file.read(4096)
    if any(line.strip().startswith((b"data_", b"#\\#CIF")) for line in head.splitlines()[:40]):
        return "cif"
    if suffix in (".res", ".ins") and is_shelx(head.decode("latin-1")):
        return "shelx"
    return "ase"


def _choose(path: Path, items: Mapping, choice: str | int | None, what: str, argument: str):
    """Select one of several structures by name or by number from 1."""
    names = list(items)
    listing = ", ".join(f"{k} {name!r}" for k, name in enumerate(names, start=1))
    if choice is None:
        if len(names) > 1:
            listing = listing if len(names) <= 20 else f"1 to {len(names)}"
            raise ParseError(
                path,
                None,
                f"{len(names)} {what}: {listing}. Choose one by name or number: in a run file with entry, in Python with "
                f"{argument}=",
            )
        return items[names[0]]
    if isinstance(choice, str):
        found = [name for name in names if name.lower() == choice.lower()]
        if found:
            return items[found[0]]
    elif 1 <= int(choice) <= len(names):
        return items[names[int(choice) - 1]]
    raise ParseError(path, None, f"no {argument} {choice!r}; the file has {listing}")


def _from_frame(path: Path, frame, symprec: float | None, name: str) -> Crystal:
    try:
        return from_ase(frame, symprec=symprec, name=name)
    except JaxnmrError as err:
        raise type(err)(f"{path}: {err}") from err
