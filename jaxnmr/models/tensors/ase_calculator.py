"""`TensorCalculator`: shieldings and field gradients as properties of ASE ``Atoms`` (host)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import ase
import jax
import jraph
import numpy as np
from ase.calculators.calculator import Calculator, all_changes

from ..._arguments import checked
from ...errors import ConventionError
from ...graph import pad_graph, structure_graph
from ...graph.structure import neighbour_list_margin
from ...io import magres_from_ase, magres_to_ase
from ..networks.config import EFG, SHIELDING
from ..networks.irreps import cartesian
from .calibration import UNIT_LEVEL, site_commons, site_factors, site_sigmas
from .ensemble import compiled_outputs
from .propagation import propagated_on_host
from .tensor_model import SKIN, TensorModel

# array names in ASE's magres files, and the quantity whose uncertainty is given
_NAMES = {SHIELDING: ("ms", "iso"), EFG: ("efg", "vzz")}


class TensorCalculator(Calculator):
    """Predicted NMR tensors of periodic ``Atoms``, in their frame and order.

    Properties, for ``calc.get_property(name, atoms)``:

    - ``"ms"`` ``(atoms, 3, 3)``: SHIELDING tensors in ppm; ``"efg"`` ``(atoms, 3, 3)``: field gradients in atomic
      units. NaN for elements the model was not trained on.
    - ``"ms_uncertainty"`` ``(atoms,)``: of the isotropic shielding, ppm, half of the 68 % interval; ``"efg_uncertainty"``
      ``(atoms,)``: of the absolute value of Vzz, atomic units. Only for calibrated models.
    - ``"novelty"`` ``(atoms,)``: above 1 if an atom is unlike those of the training. Only for models with environments.

    Neighbours are listed again only when atoms or cell have moved by more than the skin allows, so that a trajectory costs
    little more than evaluating the network. Energies and forces are not predicted.

    Args:
        model: a model, several of one architecture (joined to an ensemble), a file, or the name of a shipped model.
        skin: distance beyond the cutoff up to which neighbours are listed, Å.

    Example:
        >>> atoms.calc = TensorCalculator("silica-29si")  # doctest: +SKIP
        >>> atoms.calc.get_property("ms", atoms)  # doctest: +SKIP
        >>> ase.io.write("out.magres", atoms.calc.annotated(atoms))  # doctest: +SKIP
    """

    implemented_properties = ["ms", "efg", "ms_uncertainty", "efg_uncertainty", "novelty"]  # noqa: RUF012 (as ASE's)

    @checked
    def __init__(self, model: TensorModel | Sequence[TensorModel] | str | Path, *, skin: float = SKIN):
        """Make a calculator for a model.

        Raises:
            ConventionError: members have different architectures, there is no such shipped model, the skin is negative,
                or the model predicts neither shieldings nor field gradients.
            ParseError: a file is not a model.
        """
        super().__init__()
        if isinstance(model, str | Path):
            model = TensorModel.load(model)
        elif not isinstance(model, TensorModel):
            model = TensorModel.ensemble(model)
        if not (np.isfinite(skin) and skin >= 0):
            raise ConventionError(f"the skin is {skin}; expected a distance in Å, 0 or more")
        self.model, self.skin = model, float(skin)
        heads = [head.name for head in model.config.heads if head.name in _NAMES]
        if not heads:
            raise ConventionError("the model predicts neither shieldings nor field gradients")
        names = [_NAMES[head][0] for head in heads]
        names += [f"{_NAMES[head][0]}_uncertainty" for head in heads if head in model.card.calibration]
        self.implemented_properties = names + (["novelty"] if model.environments else [])
        self._heads = heads
        self._reference: tuple[list[str], jraph.GraphsTuple] | None = None

    def calculate(self, atoms=None, properties=("ms",), system_changes=all_changes):
        """Predict all properties at once; called by ASE.

        Raises:
            ConventionError: atoms lack a three-dimensional periodic cell, an element is not supported by the model, or
                atoms overlap.
        """
        super().calculate(atoms, properties, system_changes)
        atoms, model = self.atoms, self.model
        graph = pad_graph(self._graph(atoms), smallest_nodes=32, smallest_edges=512)
        out = jax.device_get(compiled_outputs(model, graph))
        count, symbols = len(atoms), [model.config.species[k] for k in graph.nodes["species"][: len(atoms)]]
        spread = {name: values[:count] for name, values in out.spread.items()}
        sigmas = site_sigmas(model.card.calibration, symbols, spread)
        parts = {name: values[:count] for name, values in out.components.items()}
        commons = site_commons(model.card.calibration, symbols, spread, parts, model.config.heads, np.ones(count))
        factors = site_factors(model.card.calibration, symbols)
        self.results = {"novelty": np.asarray(out.novelty[:count], dtype=float)} if model.environments else {}
        for head in map(model.config.head, self._heads):
            name, what = _NAMES[head.name]
            tensors = np.array(cartesian(out.components[head.name][:count], head.irreps), dtype=float)
            tensors[[symbol not in head.elements for symbol in symbols]] = np.nan
            self.results[name] = tensors
            if f"{head.name}/{what}" in factors:
                own, common = (
                    {l: np.asarray(of[head.name])[:, k] for k, l in enumerate(head.ranks)} for of in (sigmas, commons)
                )
                half = propagated_on_host(what, np.nan_to_num(tensors), own, common)
                self.results[f"{name}_uncertainty"] = factors[f"{head.name}/{what}"][:, UNIT_LEVEL] * half

    def annotated(self, atoms: ase.Atoms) -> ase.Atoms:
        """Return a copy of the atoms with arrays ``"ms"`` and ``"efg"`` ``(atoms, 3, 3)``, their units and unique labels.

        ``ase.io.write("out.magres", ...)`` writes it, with ``nan`` for atoms without a tensor; `jaxnmr.io.write_magres`
        of ``magres_from_ase(...)`` omits these, as other programs do. ASE reads only files with a tensor (or ``nan``)
        for all atoms.

        Raises:
            ConventionError: as for :meth:`calculate`.
        """
        copy = atoms.copy()
        for name in (_NAMES[head][0] for head in self._heads):
            copy.set_array(name, None)
            copy.set_array(name, self.get_property(name, atoms))
        named = magres_to_ase(magres_from_ase(copy))
        copy.set_array("labels", named.arrays["labels"])
        copy.set_array("indices", named.arrays["indices"])
        copy.info["magres_units"] = named.info["magres_units"]
        return copy

    def _graph(self, atoms: ase.Atoms):
        """Return the graph of the atoms with the neighbours of the last list, or of a new one."""
        if atoms.cell.rank < 3 or not atoms.pbc.all():
            raise ConventionError(
                f"atoms have {atoms.cell.rank} cell vectors and pbc = {atoms.pbc.tolist()}; tensors are predicted for crystals: "
                "set a cell and pbc=True, for a molecule a box wider than twice the cutoff"
            )
        cutoff, known = self.model.config.cutoff, self._reference
        lattice, positions = np.array(atoms.cell, dtype=float), np.array(atoms.positions, dtype=float)
        symbols = atoms.get_chemical_symbols()
        if known is not None and known[0] == symbols and np.isfinite(positions).all() and np.isfinite(lattice).all():
            nodes = known[1].nodes | {"positions": positions}
            graph = known[1]._replace(nodes=nodes, globals={"lattice": lattice[None]})
            if float(neighbour_list_margin(graph, known[1], cutoff, cutoff + self.skin)) > 0:
                return graph
        graph = structure_graph(
            lattice, positions, symbols, cutoff=cutoff + self.skin, species=self.model.config.species
        )
        self._reference = (symbols, graph)
        return graph
