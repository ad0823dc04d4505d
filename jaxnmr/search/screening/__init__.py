"""Many candidate structures refined against the same data, and ranked."""
