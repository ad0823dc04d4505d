"""Known structure types with the elements, the cell and the pattern of another crystal: proposals, and a prior of densities made of them."""
