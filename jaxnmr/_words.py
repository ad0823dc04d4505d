"""Words of messages and reports."""


def counted(count: int, noun: str) -> str:
    """A number with its noun in the singular or the plural: ``"1 site"``, ``"2 sites"``."""
    return f"{count} {noun}{'' if count == 1 else 's'}"
