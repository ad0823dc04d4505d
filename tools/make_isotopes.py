"""Writes ``isotopes.csv``: spins, magnetic and quadrupole moments and abundances of the nuclei NMR can see.

    python tools/make_isotopes.py MAGNETIC.csv ELECTRIC.csv EASYSPIN.txt REFERENCES.json CUSTOMARY.json \
        > jaxnmr/nmr/data/isotopes.csv

MAGNETIC and ELECTRIC are the tables of recommended moments of the IAEA (https://www-nds.iaea.org/nuclearmoments/):
N. J. Stone, INDC(NDS)-0794 (2019), magnetic dipole moments of long-lived states, and INDC(NDS)-0833 (2021), electric
quadrupole moments; the latter contains the values of P. Pyykkö, Mol. Phys. 116, 1328 (2018). Where they have no entry
(mostly transition metals; 2H, 14N and 17O among the quadrupole moments) the earlier tables of N. J. Stone are used,
INDC(NDS)-0658 (2014) and INDC(NDS)-0650 (2013), as transcribed with the abundances (K. J. R. Rosman, P. D. P. Taylor,
Pure Appl. Chem. 70, 217 (1998)) and the list of nuclei in EasySpin's ``isotopedata.txt`` (MIT licence).

REFERENCES holds the frequency ratios of the IUPAC (R. K. Harris et al., Pure Appl. Chem. 73, 1795 (2001)) as transcribed
in mrsimulator's ``references.json`` (BSD licence).

CUSTOMARY holds the magnetogyric ratios of the IUPAC's table, from the moments of P. Raghavan, At. Data Nucl. Data Tables
42, 189 (1989) and their updates by N. J. Stone, At. Data Nucl. Data Tables 90, 75 (2005), as transcribed in mrsimulator's
``isotope_data.json`` (BSD licence). Simulators of spectra share them, so they are taken for natural nuclei, and a spectrum
at a given field is the same here as there. The moments of 2019 differ by up to 0.5 %, as they correct better for the
shielding of the samples; an axis does not notice, because 0 ppm is defined by the frequency ratio.
"""

import csv
import json
import re
import sys

# value in the file -> value meant: the decimal point slipped by one digit (33S is -69.4 mb in Pyykkö's table;
# 36Cl is -0.0178 b in INDC(NDS)-0650)
CORRECTED_Q = {"33S": (-0.694, -0.0694), "36Cl": (-0.178, -0.0178)}
# EasySpin transcribes 1.668 for 165Ho and -0.2592 for 173Yb; the IAEA table has both nuclei, so that neither is used
TABLES = {2019: "INDC(NDS)-0794", 2014: "INDC(NDS)-0658", 2021: "INDC(NDS)-0833", 2013: "INDC(NDS)-0650"}


def recommended(path: str, column: str) -> dict[tuple[int, int], tuple[float, bool]]:
    """Moments of ground states, and whether their sign is known, by ``(protons, nucleons)``."""
    found = {}
    with open(path, encoding="utf-8") as lines:
        for row in csv.DictReader(lines):
            match = re.match(r"\s*\(?([+-]?)\)?\s*([0-9.]+)", row[column])
            if row["energy [keV]"].strip() == "0" and match:
                value = float(match[2]) * (-1 if match[1] == "-" else 1)
                found.setdefault((int(row["z"]), int(row["n.n+n.z"])), (value, bool(match[1])))
    return found


def main(magnetic: str, electric: str, easyspin: str, references: str, customary: str) -> None:
    dipole = recommended(magnetic, "magnetic dipole [nm]")
    quadrupole = recommended(electric, "electric quadrupole [b]")
    with open(references, encoding="utf-8") as text:
        ratios = {symbol: entry["ratio"] for symbol, entry in json.load(text).items()}
    with open(customary, encoding="utf-8") as text:
        gammas = {symbol: entry["gyromagnetic_ratio"] for symbol, entry in json.load(text).items()}
    print(
        "# made by tools/make_isotopes.py, which names the sources; moments in nuclear magnetons and barn, the rest in %"
    )
    print(
        "symbol,protons,twice_spin,magnetic_moment,quadrupole_moment,abundance,frequency_ratio,"
        "magnetic_source,quadrupole_source"
    )
    with open(easyspin, encoding="latin-1") as lines:
        rows = [line.split() for line in lines if line.strip() and not line.startswith("%")]
    for z, nucleons, _, element, _, spin, g, abundance, q in rows:
        key, spin = (int(z), int(nucleons)), float(spin)
        if spin <= 0:
            continue
        symbol = f"{nucleons}{element}"
        mu, mu_source = round(float(g) * spin, 8), TABLES[2014]
        if key in dipole:
            value, signed = dipole[key]
            # the sign of an unsigned value is that of the earlier table
            mu, mu_source = value if signed or mu > 0 else -abs(value), TABLES[2019]
        if float(abundance) > 0 and symbol in gammas:
            # MHz/T to nuclear magnetons
            mu, mu_source = gammas[symbol] * spin / 7.6225932291, "IUPAC 2001"
        if spin == 0.5:
            q, q_source = 0.0, ""
        elif key in quadrupole:
            q, q_source = quadrupole[key][0], TABLES[2021]
        elif q != "NaN":
            q, q_source = float(q), TABLES[2013]
        else:
            q, q_source = float("nan"), "not measured"
        if symbol in CORRECTED_Q:
            wrong, right = CORRECTED_Q[symbol]
            if q != wrong:
                raise SystemExit(f"{symbol}: Q is {q} in the file, no longer {wrong}; look at CORRECTED_Q")
            q = right
        ratio = f"{ratios[symbol]:.10g}" if symbol in ratios else "nan"
        columns = (symbol, key[0], round(2 * spin), f"{mu:.10g}", f"{q:g}", f"{float(abundance):g}", ratio)
        print(*columns, mu_source, q_source, sep=",")


if __name__ == "__main__":
    main(*sys.argv[1:])
