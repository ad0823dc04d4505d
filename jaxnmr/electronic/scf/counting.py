"""How many Fock matrices a calculation of pyscf builds, those that a second-order solver builds inside included."""

from __future__ import annotations

from typing import Any

import numpy as np


class Counter:
    """Counts the builds of one calculation from now on.

    A build is one Coulomb matrix and one exchange-correlation matrix of one density. Those of ``get_veff`` are Fock matrices; all others
    are responses to a change of density, which second-order solvers need and which cost the same.

    Args:
        field: a calculation of pyscf that has not been run. A second-order solver that is made of it afterwards is counted, too.

    Attributes:
        fock: number of Fock matrices.
        response: number of responses.
    """

    def __init__(self, field: Any):
        self.fock = self.response = 0
        self._inside = 0
        potential, coulomb = field.get_veff, field.get_jk

        def get_veff(*args: Any, **kwargs: Any) -> Any:
            self.fock += 1
            self._inside += 1
            try:
                return potential(*args, **kwargs)
            finally:
                self._inside -= 1

        def get_jk(mol: Any = None, dm: Any = None, *args: Any, **kwargs: Any) -> Any:
            if not self._inside:
                shape = np.shape(dm)
                self.response += int(np.prod(shape[:-2])) if len(shape) > 2 else 1
            return coulomb(mol, dm, *args, **kwargs)

        field.get_veff, field.get_jk = get_veff, get_jk

    @property
    def builds(self) -> int:
        """All of them."""
        return self.fock + self.response
