"""Five measured patterns from the raw file to the cell: which place the true one has, and what it cost.

    JAXNMR_DATA=/path/to/data python benchmarks/solve/index_measured.py [NAME ...]

Peaks of `jn.solve.find_peaks`, nothing set by hand but the wavelength where the file does not say it. NAC holds a tenth of CaF2:
its cell is to come out of the peaks that the first phase leaves.
"""

import argparse
import os
import time
import warnings
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

import jaxnmr as jn
from jaxnmr.solve.indexing.reduction import fingerprint, niggli, same_lattice

COPPER = jn.Instrument(wavelengths=(1.540593, 1.544427))
# file, instrument, lattice, cell
PATTERNS = {
    "LaB6": ("LaB6_lab/LaB6_Jan2018.raw", None, "cP", (4.15689, 4.15689, 4.15689, 90, 90, 90)),
    "FAP": ("FAP/FAP.XRA", "FAP/INST_XRY.PRM", "hP", (9.37186, 9.37186, 6.8859, 90, 90, 120)),
    "PbSO4": ("PbSO4/PBSO4.XRA", "PbSO4/INST_XRY.PRM", "oP", (8.482, 5.398, 6.959, 90, 90, 90)),
    "NaNbO2F2": ("NaMO2F2/NaNbO2F2/NaNbO2F2_rt.xrdml", None, "mP", (8.0026, 5.4072, 7.6243, 90, 101.916, 90)),
    "NAC": ("NAC_11BM/11BM_NAC.fxye", "NAC_11BM/11bm_gsas.prm", "cI", (10.251456, 10.251456, 10.251456, 90, 90, 90)),
}
CAF2 = (5.4631, 5.4631, 5.4631, 90, 90, 90)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", default=list(PATTERNS))
    data = Path(os.environ["JAXNMR_DATA"])
    for name in parser.parse_args().names:
        file, instrument, lattice, cell = PATTERNS[name]
        pattern = jn.read_pattern(data / file, instrument=data / instrument if instrument else None)
        known = pattern.instrument is not None and pattern.instrument.wavelengths
        before = time.process_time()
        peaks = jn.solve.find_peaks(pattern, None if known else COPPER)
        found_at = time.process_time()
        table = jn.solve.index(peaks)
        seconds = time.process_time() - found_at
        print(
            f"\n{name}: {len(peaks)} peaks in {found_at - before:.1f} s, cells in {seconds:.1f} s, rank {rank(table, cell, lattice)}"
        )
        print("\n".join(str(table).splitlines()[:6]), flush=True)
        if name == "NAC":
            rest = table.left_over()
            second = jn.solve.index(rest, lattices="c")
            print(
                f"CaF2 among the {len(rest)} peaks that are left: rank {rank(second, CAF2, 'cF')}, a = {second.best.cell[0]:.4f} Å"
            )


def rank(table: jn.solve.CellTable, cell: tuple[float, ...], lattice: str) -> int:
    """Place of the true lattice, lengths within 0.4 %; 0 where it is not there."""
    goal = fingerprint(niggli(np.array(cell, dtype=float), lattice[1]))
    places = [k for k, one in enumerate(table.candidates, start=1) if same_lattice(goal, fingerprint(one.niggli))]
    return places[0] if places else 0


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
