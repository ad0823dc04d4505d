"""Small cells whose densities are calculated: simple cubic and trigonal compounds at their measured edges, and crystals of Perov-5.

Edges and coordinates are those of the textbooks at room temperature (R. W. G. Wyckoff, Crystal Structures, 2nd ed., 1963-1969), in
primitive cells. BaTiO3 is the cubic paraelectric phase.
"""

import perov5

from jaxnmr.crystal import Crystal
from jaxnmr.density import electrons_of

_ORIGIN, _MIDDLE = (0.0, 0.0, 0.0), (0.5, 0.5, 0.5)
_QUARTERS = ((0.25, 0.25, 0.25), (0.75, 0.75, 0.75))
_FACES = ((0.5, 0.5, 0.0), (0.5, 0.0, 0.5), (0.0, 0.5, 0.5))


def simple_cells() -> list[Crystal]:
    """Rock salts, zincblendes, fluorite, CsCl, perovskites, one metal, and the trigonal corundum, calcite and quartz."""
    cells = [_face_centred(name, a, kinds, (_ORIGIN, _MIDDLE)) for name, a, *kinds in _ROCK_SALTS]
    cells += [_face_centred(name, a, kinds, (_ORIGIN, _QUARTERS[0])) for name, a, *kinds in _ZINCBLENDES]
    cells.append(_face_centred("CaF2", 5.463, ("Ca", "F", "F"), (_ORIGIN, *_QUARTERS)))
    cells.append(_face_centred("Al", 4.050, ("Al",), (_ORIGIN,)))
    cells.append(_cell("CsCl", [4.123] * 3 + [90.0] * 3, 1, ("Cs", "Cl"), (_ORIGIN, _MIDDLE)))
    cells += [
        _cell(name, [a] * 3 + [90.0] * 3, 1, (*kinds, "O", "O", "O"), (_ORIGIN, _MIDDLE, *_FACES))
        for name, a, *kinds in _PEROVSKITES
    ]
    # rhombohedral axes: hexagonal (x, 0, 1/4) is (x + 1/4, 1/4 - x, 1/4)
    cells.append(
        _cell("corundum", [5.128] * 3 + [55.28] * 3, "R -3 c:R", ("Al", "O"), ((0.3522,) * 3, _oxygen(0.3063)))
    )
    cells.append(
        _cell(
            "calcite", [6.375] * 3 + [46.08] * 3, "R -3 c:R", ("Ca", "C", "O"), (_ORIGIN, _QUARTERS[0], _oxygen(0.2568))
        )
    )
    quartz = ((0.4697, 0.0, 2 / 3), (0.4135, 0.2669, 0.1191 + 2 / 3))
    cells.append(_cell("quartz", [4.913, 4.913, 5.405, 90.0, 90.0, 120.0], "P 32 2 1", ("Si", "O"), quartz))
    return cells


def perovskites(count: int, seed: int = 0) -> list[Crystal]:
    """Crystals of the test part of Perov-5 with an even number of electrons, drawn by seed."""
    even = lambda entry: round(sum(map(electrons_of, entry.elements))) % 2 == 0
    entries = perov5.drawn(perov5.read()["test"], 20 * count, seed)
    return [entry.crystal() for entry in entries if even(entry)][:count]


_ROCK_SALTS = (("NaCl", 5.640, "Na", "Cl"), ("MgO", 4.212, "Mg", "O"), ("LiF", 4.027, "Li", "F"))
_ZINCBLENDES = (("Si", 5.431, "Si", "Si"), ("ZnS", 5.409, "Zn", "S"), ("diamond", 3.567, "C", "C"))
_PEROVSKITES = (("SrTiO3", 3.905, "Sr", "Ti"), ("BaTiO3", 4.009, "Ba", "Ti"))


def _oxygen(x: float) -> tuple[float, float, float]:
    return (x + 0.25, 0.25 - x, 0.25)


def _face_centred(name: str, a: float, kinds, places) -> Crystal:
    return _cell(name, [a / 2**0.5] * 3 + [60.0] * 3, 1, tuple(kinds), places)


def _cell(name: str, cell: list[float], group: int | str, kinds, places) -> Crystal:
    return Crystal.create(cell=cell, spacegroup=group, species=kinds, xyz=places, u_iso=0.0, name=name)
