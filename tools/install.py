"""Make the virtual environment of the Makefile: ``python tools/install.py .venv``; what builds the site: ``... .venv docs``.

Installs jaxnmr in editable mode with the pinned versions of this Python (``constraints/``). Standard library only, and no
syntax newer than Python 3.6, so that an interpreter that is too old is told so in a sentence.
"""

import os
import re
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
EXTRAS = "test,dev"


def supported():
    """The oldest supported Python and the first that is not, as ``requires-python`` says: ``((3, 11), (3, 14))``."""
    with open(os.path.join(ROOT, "pyproject.toml"), encoding="utf-8") as file:
        bounds = re.search(r'^requires-python = ">=3\.(\d+),<3\.(\d+)"', file.read(), re.MULTILINE)
    return tuple((3, int(minor)) for minor in bounds.groups())


def refusal(version):
    """Why this version of Python will not do; empty where it will."""
    oldest, first_not = supported()
    if oldest <= tuple(version[:2]) < first_not:
        return ""
    known = [f"3.{minor}" for minor in range(oldest[1], first_not[1])]
    return "jaxnmr needs Python {} or {}, and this is {}.{}.{}: name another one with  make PYTHON=/path/to/python{}".format(
        ", ".join(known[:-1]), known[-1], *version[:3], known[-1]
    )


def remedy(log, constraints):
    """What to try after a failed installation, from what pip wrote into its log."""
    asked = re.findall(r"Collecting (\S+)|Building wheel for (\S+)|satisfies the requirement (\S+)", log)
    package = next((name for names in reversed(asked) for name in names if name), "")
    lines = [f"could not install {package}" if package else "the installation failed"]
    if re.search(r"No space left on device", log):
        lines.append("the disk is full: the environment needs 1.5 GB, and as much again while it is made (TMPDIR)")
    elif re.search(r"No matching distribution found|ResolutionImpossible", log):
        lines.append(
            "the package index that pip asks has no such version for this Python and machine: try another interpreter "
            f"(make PYTHON=...), or delete the line of that package in {constraints}"
        )
    elif re.search(r"NewConnectionError|ReadTimeout|ConnectTimeout|SSLError|ProxyError|Temporary failure", log):
        lines.append(
            "the package index cannot be reached: check the network and `pip config list`, then run make again"
        )
    elif re.search(r"Failed (to build|building wheel)|subprocess-exited-with-error", log):
        lines.append(
            "it has no wheel for this machine and could not be compiled: a C compiler and Python's headers may be missing"
        )
    return lines


def requirements(extra):
    """Return what an extra of the package asks for."""
    import tomllib

    with open(os.path.join(ROOT, "pyproject.toml"), "rb") as file:
        return tomllib.load(file)["project"]["optional-dependencies"][extra]


def main(folder, extras=EXTRAS):
    problem = refusal(sys.version_info)
    if problem:
        return problem
    pinned = ["python-{}.{}.txt", "docs-{}.{}.txt"] if extras == "docs" else ["python-{}.{}.txt"]
    pinned = [os.path.join("constraints", name.format(*sys.version_info[:2])) for name in pinned]
    constraints = pinned[-1]
    binaries = os.path.join(folder, "Scripts" if os.name == "nt" else "bin")
    python, log = os.path.join(binaries, "python"), os.path.join(folder, "install.log")
    with open(os.path.join(ROOT, constraints), encoding="utf-8") as file:
        count = sum("==" in line for line in file)
    size = "60 MB" if extras == "docs" else "1.4 GB, about a minute"
    print(f"Installing {count} packages ({constraints}) into {folder}: {size} ...", flush=True)
    began = time.time()
    if not os.path.exists(python) and subprocess.call([sys.executable, "-m", "venv", folder]):
        return (
            f"`{sys.executable} -m venv {folder!r}` failed, as said above: where ensurepip is missing, install Python's venv "
            "(Debian and Ubuntu: apt install python3-venv); a folder that cannot be made is another one with VENV=..."
        )
    tell = "import sys; sys.exit(sys.version_info[:2] != ({}, {}))".format(*sys.version_info[:2])
    if subprocess.call([python, "-c", tell]):
        return (
            f"{folder} was made with another Python than {sys.executable}: delete it, or make another one with VENV=..."
        )
    if os.path.exists(log):
        os.remove(log)
    pip = [
        python,
        "-m",
        "pip",
        "--quiet",
        "--disable-pip-version-check",
        "--log",
        log,
        "install",
        "--progress-bar",
        "off",
    ]
    # Python's own warnings are about pip's and setuptools' code, and nothing that a reader could act on
    quiet = dict(os.environ, PYTHONWARNINGS="ignore")
    held = [word for name in pinned for word in ("-c", os.path.join(ROOT, name))]
    steps = [["--upgrade", "pip"], [*held, "-e", f"{ROOT}[{extras}]"]]
    if extras == "docs":
        # the package is there: installed twice at the same time, in two environments, it would write into one folder
        steps = [[*held, *requirements(extras)]]
    for what in steps:
        if subprocess.call(pip + what, env=quiet):
            with open(log, encoding="utf-8", errors="replace") as file:
                return "\n  ".join([*remedy(file.read(), constraints), f"everything pip said is in {log}"])
    print(f"Installed in {time.time() - began:.0f} s.", flush=True)
    return None


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]) if len(sys.argv) in (2, 3) else __doc__)
