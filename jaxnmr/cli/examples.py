"""Run files of the examples that come with jaxnmr."""

import re
import shutil
from importlib import resources
from pathlib import Path

from ..errors import JaxnmrError

# folders of run files that are no refinements
_KINDS = ("training", "dynamics")


def example_files(kind: str = "refinement") -> dict[str, Path]:
    """List the example run files by name, from the installed package or from a checkout.

    Args:
        kind: ``"refinement"`` (structures and spectra), ``"training"`` (tensor models) or ``"dynamics"`` (thermal averages), the latter
            two in folders of these names.

    Raises:
        JaxnmrError: neither folder exists.
    """
    package = Path(str(resources.files("jaxnmr")))
    places = (package / "examples", package.parent / "examples")
    for place in places:
        files = sorted([*place.glob("*.toml"), *place.glob("*/*.toml")], key=lambda path: path.stem)
        if files:
            of = lambda path: path.parent.name if path.parent.name in _KINDS else "refinement"
            return {path.stem: path for path in files if of(path) == kind}
    raise JaxnmrError(f"no examples in {', '.join(map(str, places))}; reinstall jaxnmr, or run from its repository")


# largest size in bytes of files that are copied with a run file
_SMALL = 4_000_000


def no_example(name: str) -> JaxnmrError:
    """Make the error for an unknown example name."""
    from ..runfile.table import nearest

    return JaxnmrError(
        f"no example {name!r}{nearest(name, [*example_files(), *(of for kind in _KINDS for of in example_files(kind))])}"
    )


def copy_example(name: str, folder: Path) -> list[Path]:
    """Copy the run file of an example, and the small files it names, for editing.

    Files of measured data (``${JAXNMR_DATA}``) are not copied. Existing files are never overwritten.

    Returns:
        The copies, the run file first.

    Raises:
        JaxnmrError: there is no such example, or a file exists already.
    """
    found = example_files() | example_files("training") | example_files("dynamics")
    if name not in found:
        raise no_example(name)
    source = found[name]
    quoted = dict.fromkeys(re.findall(r'"([^"\n$]+)"', source.read_text(encoding="utf-8")))
    beside = [path for text in quoted if (path := source.parent / text).is_file() and path.parent == source.parent]
    files = [source, *(path for path in beside if path.stat().st_size <= _SMALL)]
    copies = [folder / path.name for path in files]
    for copy in copies:
        if copy.exists():
            raise JaxnmrError(f"{copy} is there already, and you may have edited it: name another folder")
    folder.mkdir(parents=True, exist_ok=True)
    for path, copy in zip(files, copies, strict=True):
        shutil.copyfile(path, copy)
    return copies
