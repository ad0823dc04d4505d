"""``@checked``: check that the arguments of public functions and classes have the annotated types.

Only types are checked: a number, a string, a `Crystal`. The meaning of values and the lengths of lists are left to the
function. Annotations are read on the first call; annotations that are not understood accept any value.
"""

import ast
import dataclasses
import functools
import inspect
import math
import numbers
import types
import typing
from collections import abc
from collections.abc import Callable, Iterable
from os import PathLike
from typing import Any, NamedTuple, TypeVar

import jax
import numpy as np

from ._arrays import is_concrete
from .errors import ConventionError, ParameterError

T = TypeVar("T")

# hints on obtaining the expected object; these names are also recognised when imported for type checkers only
_HINTS = {
    "Background": "such as Background.chebyshev(6)",
    "CouplingCalibration": "such as CouplingCalibration.published(name)",
    "CellTable": "as of jn.solve.index",
    "Crystal": "as of read_crystal",
    "Extraction": "as of jn.solve.lebail",
    "Echo": "as of read_echo",
    "EchoExperiment": "such as jaxnmr.nmr.echo.challenge()",
    "HostState": "",
    "Instrument": "such as Instrument(wavelengths=(1.5406,))",
    "Intensities": "as of jn.solve.lebail or jn.solve.intensities_in",
    "Objective": "as of Objective(terms, crystal=crystal)",
    "Parameters": "as of objective.parameters()",
    "Pattern": "as of read_pattern",
    "Peaks": "as of jn.solve.find_peaks",
    "PowderDiffraction": "",
    "RefinementResult": "as of refine(objective, params)",
    "ShiftReference": "such as ShiftReference(330.0)",
    "Site": 'such as Site(isotope="27Al", shift_ppm=60.0)',
    "Solver": "such as LevenbergMarquardt()",
    "Spectrum": "as of read_spectrum",
    "SpectrumMAS": "",
    "SpectrumStatic": "",
    "Stage": 'such as Stage("cell")',
    "State": "",
    "Term": "and sums of them: a + 2.0 * b",
    "TensorModel": "as of TensorModel.load",
}
_NUMBERS = ("Array", "ArrayLike", "ArrayT", "Numbers", "Scalar", "Values", "ndarray")
_LISTS = ("Collection", "Iterable", "Sequence", "frozenset", "list", "set", "tuple")
_MAPPINGS = ("Mapping", "MutableMapping", "dict")
# names of arguments for which infinity is meaningful
_ENDLESS = ("high", "high_ppm", "lower", "low", "low_ppm", "mas_hz", "upper")
# only the first elements of longer lists are checked
_MOST_LOOKED_AT = 100


class Kind(NamedTuple):
    """A type that an argument may have.

    Attributes:
        words: the expected type in words, with its article.
        fits: test of a value; for an element of the wrong type in a list, returns ``(index, value)``.
        hint: advice on obtaining such an object.
        of: types of the elements of a list or mapping.
        plain: whether it is a number or a string; wrong values are then shown in the message.
    """

    words: str
    fits: Callable[[Any], bool]
    hint: str = ""
    of: "tuple[Kind, ...] | None" = None
    plain: bool = False


def is_number(value: Any) -> bool:
    """Return whether the value is a scalar real number; strings, booleans and arrays are not, traced scalars are."""
    if isinstance(value, bool | np.bool_ | str):
        return False
    if isinstance(value, jax.core.Tracer):
        return True
    if isinstance(value, numbers.Real):
        return True
    return getattr(value, "ndim", None) == 0 and getattr(value, "dtype", np.dtype(object)).kind in "iuf"


def is_whole(value: Any) -> bool:
    """Return whether the value is an integer, of Python or of an array library."""
    if isinstance(value, bool | np.bool_):
        return False
    return hasattr(value, "__index__") and getattr(value, "ndim", 0) == 0


def _are_numbers(value: Any) -> bool:
    if isinstance(value, str | bytes | abc.Mapping | abc.Set) or value is None:
        return False
    if not hasattr(value, "dtype"):
        try:
            value = np.asarray(value)
        except (ValueError, TypeError):
            return False
    # random-number keys have dtypes of their own
    return getattr(value.dtype, "kind", "f") in "iufcV"


def _is_list(value: Any) -> bool:
    return isinstance(value, abc.Iterable) and not isinstance(value, str | bytes | abc.Mapping)


_NONE = Kind("None", lambda value: value is None)
_NUMBER = Kind("a number", is_number, plain=True)
_WHOLE = Kind("a whole number", is_whole, plain=True)
_TEXT = Kind("a text", lambda value: isinstance(value, str), plain=True)
_TRUTH = Kind("True or False", lambda value: isinstance(value, bool | np.bool_), plain=True)
_PATH = Kind("pathlib.Path", lambda value: isinstance(value, str | PathLike), plain=True)
_MANY_NUMBERS = Kind("numbers", _are_numbers)
_MAPPING = Kind("a dictionary", lambda value: isinstance(value, abc.Mapping))
_FUNCTION = Kind("a function", callable)
_SIMPLE = {
    "None": _NONE, "NoneType": _NONE, "bool": _TRUTH, "complex": _NUMBER, "float": _NUMBER, "int": _WHOLE, "str": _TEXT,
    "Path": _PATH, "PathLike": _PATH, "Callable": _FUNCTION,
}  # fmt: skip

# None: any value is accepted
Kinds = tuple[Kind, ...] | None


def _list_of(of: Kinds) -> Kind:
    words = "a list" if of is None else "a list of " + _joined(k.words.removeprefix("a ") for k in of)
    return Kind(words, _is_list, of=of, plain=any(k.plain for k in of or ()))


def _united(parts: Iterable[Kinds]) -> Kinds:
    found: list[Kind] = []
    for part in parts:
        if part is None:
            return None
        found += part
    return tuple(found)


def _of_class(cls: type) -> Kinds:
    name = cls.__name__
    # classes of pathlib report pathlib._local from Python 3.13 on
    if name in _SIMPLE and cls.__module__.removesuffix("._local") in (
        "builtins",
        "types",
        "pathlib",
        "os",
        "collections.abc",
    ):
        return (_SIMPLE[name],)
    if cls in (np.ndarray, jax.Array) or getattr(cls, "__module__", "").startswith("jaxtyping"):
        return (_MANY_NUMBERS,)
    if issubclass(cls, np.generic):
        return (_NUMBER,)
    if name in _LISTS and cls.__module__ in ("builtins", "collections.abc", "typing"):
        return (_list_of(None),)
    if name in _MAPPINGS and cls.__module__ in ("builtins", "collections.abc", "typing"):
        return (_MAPPING,)
    if not cls.__module__.startswith("jaxnmr"):
        return None
    if getattr(cls, "_is_protocol", False):
        has = [name for name in vars(cls) if not name.startswith("_")]
        fits = lambda value: all(hasattr(value, name) for name in has) if has else callable(value)
        return (_by_name({"AsymmetricUnit": "Crystal"}.get(name, name), fits),)
    return (_by_name(name, lambda value: isinstance(value, cls)),)


def _by_name(name: str, fits: Callable[[Any], bool] | None = None) -> Kind:
    named = lambda value: any(base.__name__ == name for base in type(value).__mro__)
    article = "an" if name[0] in "AEIOaeio" else "a"
    return Kind(f"{article} {name}", fits or named, hint=_HINTS.get(name, ""))


def _of_object(hint: Any) -> Kinds:
    """Types accepted by an annotation that is an object."""
    if hint is None:
        return (_NONE,)
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        parts = [_of_object(part) for part in inner]
        # arrays of any class, numbers and sequences of anything: `Numbers`
        if any(part and _MANY_NUMBERS in part for part in parts):
            # the other array classes, numbers and sequences are covered by it
            parts = [part and tuple(k for k in part if k.fits is not _is_list and not k.plain) for part in parts]
        return _united(parts)
    if origin is typing.Literal:
        return _united(_of_class(type(value)) for value in inner)
    if origin in (typing.ClassVar, typing.Annotated):
        return None
    if isinstance(origin, type):
        return _with_elements(origin.__name__, [_of_object(part) for part in inner if part is not Ellipsis])
    return _of_class(hint) if isinstance(hint, type) else None


def _with_elements(name: str, inner: list[Kinds]) -> Kinds:
    if name in _LISTS:
        return (_list_of(_united(inner) if inner else None),)
    if name in _MAPPINGS:
        # the second type argument is the type of the values
        return (_MAPPING._replace(words="several by name", of=_united(inner[1:])) if len(inner) > 1 else _MAPPING,)
    return (_SIMPLE[name],) if name in _SIMPLE else None


def _of_text(node: ast.expr, known: dict[str, Any]) -> Kinds:
    """Types accepted by an annotation given as text, resolved with the names its module imports at run time."""
    if isinstance(node, ast.Constant):
        if isinstance(node.value, str):
            return _of_text(ast.parse(node.value, mode="eval").body, known)
        return (_NONE,) if node.value is None else None
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return _united([_of_text(node.left, known), _of_text(node.right, known)])
    if isinstance(node, ast.Attribute):
        return (_MANY_NUMBERS,) if node.attr in _NUMBERS else None
    if isinstance(node, ast.Subscript):
        name = node.value.id if isinstance(node.value, ast.Name) else ""
        inner = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        if name == "Literal":
            return _united(_of_class(type(part.value)) for part in inner if isinstance(part, ast.Constant))
        parts = [part for part in inner if not (isinstance(part, ast.Constant) and part.value is Ellipsis)]
        return _with_elements(name, [_of_text(part, known) for part in parts])
    if not isinstance(node, ast.Name):
        return None
    if node.id in _NUMBERS:
        return (_MANY_NUMBERS,)
    if node.id in known:
        return _of_object(known[node.id])
    if node.id in _SIMPLE:
        return (_SIMPLE[node.id],)
    if node.id in _LISTS + _MAPPINGS:
        return _with_elements(node.id, [])
    # a class that satisfies a protocol need not share its name
    return (_by_name(node.id),) if node.id in _HINTS and node.id != "Solver" else None


def _kinds(hint: Any, known: dict[str, Any]) -> Kinds:
    if hint is inspect.Parameter.empty:
        return None
    return _of_text(ast.parse(hint, mode="eval").body, known) if isinstance(hint, str) else _of_object(hint)


def _joined(words: Iterable[str]) -> str:
    return " or ".join(dict.fromkeys(words))


def shown(value: Any, *, plain: bool = True) -> str:
    """Describe an argument in words: its type, and its value if it is a number or a string."""
    if value is None:
        return "None"
    if isinstance(value, np.ndarray | jax.Array) and value.ndim:
        return f"an array of shape {value.shape}"
    brief = repr(value)
    if isinstance(value, bool) or (plain and isinstance(value, numbers.Number)):
        return brief
    if plain and isinstance(value, str):
        return f"the text {brief if len(brief) < 60 else brief[:56] + '...'}"
    if isinstance(value, type):
        return f"the class {value.__name__}"
    name = type(value).__name__
    return f"{'an' if name[0] in 'AEIOaeio' else 'a'} {name}"


def require(value: Any, kinds: Kinds, what: str) -> None:
    """Raise if the value is of none of these types; the elements of a list are checked, too.

    Raises:
        ParameterError: names the actual and the expected type.
    """
    if kinds is None:
        return
    fitting = [kind for kind in kinds if kind.fits(value)]
    if not fitting:
        plain = any(kind.plain for kind in kinds)
        hint = next((kind.hint for kind in kinds if kind.hint), "")
        expected = _joined(kind.words for kind in kinds if kind is not _NONE or len(kinds) == 1)
        raise ParameterError(f"{what} is {shown(value, plain=plain)}; expected {expected}{', ' + hint if hint else ''}")
    if any(kind.of is None for kind in fitting):
        return
    of = _united(kind.of for kind in fitting)
    if isinstance(value, abc.Mapping):
        for key, element in value.items():
            require(element, of, f"{what}[{key!r}]")
    elif isinstance(value, list | tuple | np.ndarray):
        for index, element in enumerate(value[:_MOST_LOOKED_AT]):
            require(element, of, f"{what}[{index}]")


def checked(thing: T) -> T:
    """Check the arguments of a function, or the constructor arguments of a class.

    Raises:
        ParameterError: on a call, an argument of another type than its annotation.
        ConventionError: on a call, a number that is not finite.
    """
    if isinstance(thing, type):
        cls: Any = thing
        cls.__init__ = _checked(cls.__init__, cls)
        return thing
    return typing.cast(T, _checked(thing, None))


def _checked(function: Any, owner: type | None) -> Callable:
    name = owner.__name__ if owner else function.__qualname__.removesuffix(".__init__").rpartition("<locals>.")[2]

    @functools.cache
    def plan() -> tuple[inspect.Signature, dict[str, tuple[Kinds, bool]]]:
        original = inspect.unwrap(function)
        signature = inspect.signature(original)
        hints = dict(original.__annotations__)
        if owner is not None and dataclasses.is_dataclass(owner):
            hints |= {field.name: field.type for field in dataclasses.fields(owner)}
        found = {}
        for key, parameter in signature.parameters.items():
            kinds = _kinds(hints.get(key, inspect.Parameter.empty), getattr(original, "__globals__", {}))
            found[key] = kinds, parameter.kind is inspect.Parameter.VAR_POSITIONAL
        return signature, {key: entry for key, entry in found.items() if entry[0] is not None}

    @functools.wraps(function)
    def call(*arguments: Any, **settings: Any) -> Any:
        signature, expected = plan()
        try:
            given = signature.bind(*arguments, **settings).arguments
        except TypeError:
            return function(*arguments, **settings)
        for key, value in given.items():
            # default values are accepted whatever their annotation
            if key in expected and value is not signature.parameters[key].default:
                kinds, several = expected[key]
                for one in value if several else (value,):
                    require(one, kinds, f"{name}: {key}")
                    if (
                        is_number(one)
                        and is_concrete(one)
                        and not (math.isfinite(one) or (one == one and key in _ENDLESS))
                    ):
                        raise ConventionError(f"{name}: {key} is {float(one):g}; expected a finite number")
                    if key == "seed" and is_whole(one) and is_concrete(one) and one < 0:
                        raise ParameterError(f"{name}: seed is {one}; expected a whole number from 0 on")
        return function(*arguments, **settings)

    return call
