"""Exit codes: done, something in the input is wrong, the refinement did not converge, interrupted."""

OK, WRONG_INPUT, NOT_CONVERGED, INTERRUPTED = 0, 2, 3, 130
