"""Pin the versions that are tested together: ``python tools/make_constraints.py [PYTHON ...]``.

For each interpreter (by default the one that runs this), resolves the newest versions that pyproject.toml allows, the extras
for tests and development included, and writes ``constraints/python-3.X.txt``. Run the tests on every interpreter before
committing the result.
"""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
HEADER = """\
# Versions that were tested together on Python {version} (Linux, CPU); written by tools/make_constraints.py.
# pip install -c constraints/python-{version}.txt -e '.[test,dev]'
"""


def resolved(python: str) -> dict[str, str]:
    """Versions by name that pip would install into an empty environment; nothing is installed."""
    pip = [python, "-m", "pip", "--quiet", "--disable-pip-version-check", "install"]
    dry = ["--dry-run", "--ignore-installed", "--report", "-", f"{ROOT}[test,dev]"]
    report = json.loads(subprocess.run([*pip, *dry], check=True, stdout=subprocess.PIPE, text=True).stdout)
    packages = [item["metadata"] for item in report["install"]]
    return {canonical(m["name"]): m["version"] for m in packages if canonical(m["name"]) != "jaxnmr"}


def canonical(name: str) -> str:
    return name.lower().replace("_", "-").replace(".", "-")


def main(interpreters: list[str]) -> int:
    for python in interpreters or [sys.executable]:
        tell = "import sys; print('%d.%d' % sys.version_info[:2])"
        version = subprocess.run([python, "-c", tell], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
        pins = [f"{name}=={number}\n" for name, number in sorted(resolved(python).items())]
        path = ROOT / "constraints" / f"python-{version}.txt"
        path.write_text(HEADER.format(version=version) + "".join(pins), encoding="utf-8")
        print(f"{path.relative_to(ROOT)}: {len(pins)} packages")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
