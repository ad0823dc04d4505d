"""What may decide which candidate comes first."""

RANKINGS = ("bic", "aic", "chi2", "rwp", "energy")
