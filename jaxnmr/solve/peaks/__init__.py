"""Lines of a powder pattern: background, common profile, groups of overlapping peaks."""
