"""Exit codes: success, invalid input, refinement not converged, interrupted."""

OK, WRONG_INPUT, NOT_CONVERGED, INTERRUPTED = 0, 2, 3, 130
