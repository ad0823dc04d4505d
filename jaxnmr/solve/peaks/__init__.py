"""Lines of a powder pattern: background, a common profile, groups of overlapping peaks."""
