"""Electronic structure of molecules from learned Hamiltonians: orbitals, blocks, diagonalisation, properties, networks."""
