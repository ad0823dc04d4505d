"""Write quartz_weak.xye: five minutes on the diffractometer instead of a night, for the joint refinement.

The structure and the diffractometer are those of make_pattern.py; the pattern ends at 60 degrees (d > 1.54 Å) and its highest
peak has 500 counts. The NMR data of the joint refinement are not simulated: quartz_joint.toml says where they come from.

    python examples/quartz/make_joint_data.py
"""

import sys
from pathlib import Path

import numpy as np

import jaxnmr as jn

sys.path.insert(0, str(Path(__file__).parent))
from make_pattern import counted, expected_counts, write

SEED = 2026
HIGHEST_PEAK = 500.0
TRUTH = {"size": [0.20], "background": [40.0, -15.0, 5.0]}
ANGLES = np.linspace(18.0, 60.0, 1051)


def simulate(seed: int = SEED) -> jn.Pattern:
    """The pattern: calculated counts, and a Poisson draw around each."""
    return counted(ANGLES, expected_counts(ANGLES, TRUTH, HIGHEST_PEAK), seed)


def main() -> None:
    jn.enable_x64()
    print(write(simulate(), Path(__file__).with_name("quartz_weak.xye"), "make_joint_data.py"))


if __name__ == "__main__":
    main()
