"""Campaigns: many independent things to do, here or on a cluster, and one table of what came of them."""
