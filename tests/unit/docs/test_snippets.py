"""The comparison of pages with what commands print notices what it should."""

import pytest
from site_snippets import missing, patched

SAID = "fits the pattern\n  xrd: Rwp 5.947 %, GoF 0.989, 3930 points\n  1  Rwp xrd  7.149 %  10.03 s\ndone\n"


def test_lines_that_were_printed_are_found_whatever_the_machine_took():
    assert missing("  xrd: Rwp 5.95 %, GoF 0.99, 3930 points\n...\n1  Rwp xrd  7.149 %  3.2 s\n", SAID) == []


@pytest.mark.parametrize(
    "line",
    [
        "xrd: Rwp 6.4 %, GoF 0.989, 3930 points",
        "xrd: Rp 5.947 %, GoF 0.989, 3930 points",
        "xrd: Rwp 5.947 %, GoF 0.989",
    ],
)
def test_another_number_and_another_word_are_noticed(line):
    assert missing(line, SAID) == [line]


def test_the_order_of_lines_counts():
    assert missing("done\nfits the pattern\n", SAID) == ["fits the pattern"]


def test_a_change_is_made_in_the_one_place_that_it_shows():
    assert patched("a\nb\nc\n", " a\n-b\n+d\n+e\n") == "a\nd\ne\nc\n"
    with pytest.raises(ValueError, match="2 places"):
        patched("b\nb\n", "-b\n+c\n")
