"""The shapes and kinds of numbers that the annotations of the physics promise, checked whenever a test calls it."""

from collections.abc import Callable
from typing import Any, get_args

from beartype import BeartypeConf, beartype
from jaxtyping import AbstractArray, install_import_hook

CHECKED = ("jaxnmr.crystal", "jaxnmr.diffraction", "jaxnmr.nmr")

# whole numbers stand for any numbers
_check = beartype(conf=BeartypeConf(is_pep484_tower=True))


def check_annotations() -> None:
    """Check what is imported from here on."""
    install_import_hook(CHECKED, f"{__name__}.checked")


def checked(function: Callable) -> Callable:
    """The function with its arrays checked, taken and returned.

    All else is left to the type checker: tests hand over what is wrong to see the error.
    """
    written = dict(function.__annotations__)
    for name, hint in written.items():
        if not _mentions_arrays(hint):
            function.__annotations__[name] = Any
    made = _check(function)
    # what checks arguments of users reads them, too
    function.__annotations__.update(written)
    return made


def _mentions_arrays(hint: Any) -> bool:
    if isinstance(hint, type) and issubclass(hint, AbstractArray):
        return True
    return any(_mentions_arrays(part) for part in get_args(hint))
