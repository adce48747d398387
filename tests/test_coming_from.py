"""The pages for people who come from other programs: each row is executed, and gives the number that stands beside it,
as these programs printed it (or Stan, under the same priors)."""

import re
from pathlib import Path

import pytest

import nlmebayes as nb

PAGES = Path(__file__).parent.parent / "docs" / "coming_from"
PARTS = re.compile(r"```python\n(.*?)```|^\| ([^\n]*) \|$", re.DOTALL | re.MULTILINE)
NUMBER = re.compile(r"(-?[\d.]+)(?: ± ([\d.]+))?")
ROWS = {"bambi": 5, "brms": 9, "lme4": 20, "mapbayr": 2, "nlmixr2": 7, "nonmem": 7}


def rows(page):
    """Of each row with a number: what stands there, what is executed here, the number and half its last digit or the
    difference that is stated; names are those of the blocks above it."""
    names = {}
    for code, line in PARTS.findall((PAGES / f"{page}.md").read_text(encoding="utf-8")):
        if code:
            exec(compile(code, f"{page}.md", "exec"), names)
        cells = re.split(r" (?<!\\)\| ", line)
        number = NUMBER.fullmatch(cells[-1])
        if number and len(cells) == 3:
            digits = len(number[1].partition(".")[2])
            yield cells[0], eval(cells[1].strip("`"), names), float(number[1]), float(number[2] or 0.5 * 10**-digits)


@pytest.mark.parametrize("page", ROWS)
def test_each_row_gives_the_number_of_the_other_program(page):
    found = list(rows(page))
    assert len(found) == ROWS[page]
    wrong = [(what, ours, theirs) for what, ours, theirs, most in found if not abs(ours - theirs) <= most + 1e-9]
    assert not wrong


def test_every_page_is_tested():
    assert {path.stem for path in PAGES.glob("*.md")} == {*ROWS}


def test_names_on_the_pages_exist():
    texts = {path.stem: path.read_text("utf-8") for path in PAGES.glob("*.md")}
    named = {(page, name) for page, text in texts.items() for name in re.findall(r"\bnb\.(\w+)", text)}
    assert {(page, name) for page, name in named if name not in nb.__all__} == set()
