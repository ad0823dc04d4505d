"""The run files that come with jaxnmr."""

from importlib import resources
from pathlib import Path

from ..errors import JaxnmrError


def example_files(kind: str = "refinement") -> dict[str, Path]:
    """The run files that come with jaxnmr, by name: in the installed package, or beside it in a checkout.

    Args:
        kind: ``"refinement"`` (of structures and spectra) or ``"training"`` (of tensor models, in a folder of that name).

    Raises:
        JaxnmrError: neither is there.
    """
    package = Path(str(resources.files("jaxnmr")))
    places = (package / "examples", package.parent / "examples")
    for place in places:
        files = sorted([*place.glob("*.toml"), *place.glob("*/*.toml")], key=lambda path: path.stem)
        if files:
            return {path.stem: path for path in files if (path.parent.name == "training") == (kind == "training")}
    raise JaxnmrError(f"no examples in {', '.join(map(str, places))}; reinstall jaxnmr, or run from its repository")
