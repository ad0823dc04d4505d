"""The examples are a part of the installed package, though they stand beside it in the repository."""

from setuptools import find_namespace_packages, setup

setup(
    packages=[
        *find_namespace_packages(include=["jaxnmr", "jaxnmr.*"]),
        *(f"jaxnmr.{folder}" for folder in find_namespace_packages(include=["examples", "examples.*"])),
    ],
    package_dir={"jaxnmr.examples": "examples"},
)
