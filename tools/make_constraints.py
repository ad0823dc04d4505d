"""Pin the versions that are tested together: ``python tools/make_constraints.py [--docs] [PYTHON ...]``.

For each interpreter (by default the one that runs this), resolves the newest versions that pyproject.toml allows, the extras
for tests and development included, and writes ``constraints/python-3.X.txt``. Then, or with ``--docs`` alone, the extra for the
site beside these versions: ``constraints/docs-3.X.txt``. Run the tests on every interpreter before committing the result.
"""

import json
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
HEADER = """\
# Versions that were tested together on Python {version} (Linux, CPU); written by tools/make_constraints.py.
# pip install -c constraints/python-{version}.txt -e '.[test,dev]'
"""
DOCS_HEADER = """\
# Versions that build the site on Python {version}, beside those of python-{version}.txt; written by tools/make_constraints.py.
# pip install -c constraints/python-{version}.txt -c constraints/docs-{version}.txt -e '.[docs]'
"""


def resolved(python: str, *wanted: str) -> dict[str, str]:
    """Versions by name that pip would install into an empty environment; nothing is installed."""
    pip = [python, "-m", "pip", "--quiet", "--disable-pip-version-check", "install"]
    dry = ["--dry-run", "--ignore-installed", "--report", "-", *wanted]
    report = json.loads(subprocess.run([*pip, *dry], check=True, stdout=subprocess.PIPE, text=True).stdout)
    packages = [item["metadata"] for item in report["install"]]
    return {canonical(m["name"]): m["version"] for m in packages if canonical(m["name"]) != "jaxnmr"}


def canonical(name: str) -> str:
    return name.lower().replace("_", "-").replace(".", "-")


def write(path: Path, header: str, pins: dict[str, str]) -> None:
    path.write_text(header + "".join(f"{name}=={number}\n" for name, number in sorted(pins.items())), encoding="utf-8")
    print(f"{path.relative_to(ROOT)}: {len(pins)} packages")


def main(arguments: list[str]) -> int:
    interpreters = [word for word in arguments if word != "--docs"]
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    for python in interpreters or [sys.executable]:
        tell = "import sys; print('%d.%d' % sys.version_info[:2])"
        version = subprocess.run([python, "-c", tell], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
        path = ROOT / "constraints" / f"python-{version}.txt"
        if "--docs" not in arguments:
            write(path, HEADER.format(version=version), resolved(python, f"{ROOT}[test,dev]"))
        known = path.read_text(encoding="utf-8")
        site = resolved(python, "-c", str(path), *extras["docs"])
        beside = {name: number for name, number in site.items() if f"\n{name}==" not in known}
        write(path.with_name(f"docs-{version}.txt"), DOCS_HEADER.format(version=version), beside)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
