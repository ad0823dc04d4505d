"""Campaigns: many independent items of work, processed here or on a cluster, with one table of results."""
