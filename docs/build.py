"""The site, into docs/_build/html: python docs/build.py [--short | --as-is] [NOTEBOOK ...]

Notebooks that were not run yet are run first, in full, or with --short on the chains of the tests, or with --as-is not
at all. Each run is kept in docs/_cache, so that an interrupted build goes on and one without changes is fast. With
names only these notebooks are run.
"""

import argparse
import os
import sys
from pathlib import Path

import nbformat
from sphinx.cmd.build import build_main

sys.path.insert(0, str(Path(__file__).parent))

from making import checks, gallery, notebooks, reference, zoo
from making.files import DOCS, written

BY_HAND = ("*.md", "coming_from/*.md", "pictures/*.png")


def run(names, short):
    """Run what was not run yet, in this order, telling how long each took."""
    found = {notebook.name: notebook for notebook in notebooks.runnable()}
    for notebook in [found[name] for name in names or found]:
        if not notebook.run_file(short).exists():
            before = os.times()
            notebooks.run_apart(notebook, short)
            after = os.times()
            spent = after.children_user - before.children_user  # it runs in a child
            print(f"{notebook.name}: {after.elapsed - before.elapsed:.0f} s, {spent:.0f} s of CPU", flush=True)


def pages(draw):
    """All pages, those written by hand and those that are made: path -> content. ``draw``: pictures of classes too."""
    by_hand = [path for pattern in BY_HAND for path in DOCS.glob(pattern)]
    rooms = {"gallery": gallery.pages(), "reference": reference.pages(), "zoo": zoo.pages(draw)}
    made = {f"{folder}/{name}": content for folder, room in rooms.items() for name, content in room.items()}
    made |= checks.pages()
    made["five_minutes.ipynb"] = nbformat.writes(notebooks.best(notebooks.START)[0])
    return {str(path.relative_to(DOCS)): path.read_bytes() for path in by_hand} | made


def build(into, draw):
    """Write the pages into a folder and make the site of them; a warning is an error."""
    source, site, parsed = (str(into / name) for name in ("source", "html", "parsed"))
    written(into / "source", pages(draw))
    return build_main(["-W", "--keep-going", "-q", "-b", "html", "-c", str(DOCS), "-d", parsed, source, site])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--short", action="store_true", help="run notebooks on short chains")
    length.add_argument("--as-is", action="store_true", help="run no notebook")
    parser.add_argument("--into", type=Path, default=DOCS / "_build", help="folder of the site")
    parser.add_argument("notebooks", nargs="*", help="names of those to run; by default all")
    given = parser.parse_args()
    if not given.as_is:
        run(given.notebooks, given.short)
    return build(given.into, not given.as_is)


if __name__ == "__main__":
    sys.exit(main())
