"""Reading tags of a CIF data block."""

from gemmi import cif


def column_of(block: cif.Block, *tags: str) -> list[str]:
    """Values of the first of the tags that the block has, unquoted; empty when it has none."""
    for tag in tags:
        values = [cif.as_string(v) for v in block.find_values(tag)]
        if values:
            return values
    return []


def text_of(block: cif.Block, tags: tuple[str, ...]) -> str | None:
    for tag in tags:
        value = block.find_value(tag)
        if value is not None and not cif.is_null(value) and cif.as_string(value).strip():
            return " ".join(cif.as_string(value).split())
    return None


def line_of(block: cif.Block, tag: str) -> int | None:
    item = block.find_pair_item(tag) or block.find_loop_item(tag)
    return item.line_number if item is not None else None
