"""Criteria for the ranking of candidates."""

RANKINGS = ("bic", "aic", "chi2", "rwp", "energy")
