"""Figures and formulas as images inside of the file: vector graphics, or pixels where those would be large."""

import base64
import io

import matplotlib.pyplot as plt
import numpy as np
from matplotlib import rc_context
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextPath

from nlmebayes.reporting.blocks import Formulas, Picture, Words

LARGEST = 400_000  # bytes of vector graphics, above which pixels are taken
DPI = 150
SAME = {"svg.hashsalt": "nlmebayes"}  # names inside of the graphics are those of any other run
POINTS = 11  # size of formulas
EDGE = 2.0  # points around a formula
MOVES = {1: "M", 2: "L", 3: "Q", 4: "C", 79: "Z"}  # codes of matplotlib.path.Path in SVG
NODES = {1: 1, 2: 1, 3: 2, 4: 3, 79: 1}  # points that each code takes


def pictured(draw, caption):
    """A `Picture` of the figure that ``draw`` makes, or why there is none."""
    before = set(plt.get_fignums())
    try:
        figure = draw()
        return Picture(_image(figure), described(figure), caption)
    except ValueError as refusal:  # a picture that such measurements have not, or a label that is no formula
        return Words(f"No picture here: {' '.join(str(refusal).split())}.")
    finally:
        for number in set(plt.get_fignums()) - before:
            plt.close(number)


def described(figure):
    """What a figure shows, in words: its question, how many panels, and their axes."""
    title = figure.get_suptitle() or figure.axes[0].get_title(loc="left") or figure.axes[0].get_title()
    shown = [axis for axis in figure.axes if axis.get_visible()]
    axes = {(axis.get_xlabel(), axis.get_ylabel()) for axis in shown if axis.get_xlabel() and axis.get_ylabel()}
    panels = f"{len(shown)} panels: " if len(shown) > 1 else ""
    return f"{title} {panels}{'; '.join(sorted(f'{y} over {x}' for x, y in axes))}".strip()


def _image(figure):
    points = sum(len(line.get_xdata()) for axis in figure.axes for line in axis.lines if line.get_marker() != "None")
    if points < LARGEST / 200:  # bytes that a point takes, about
        text = _saved(figure, format="svg", metadata={"Date": None})
        if len(text) <= LARGEST:
            return uri(text, "image/svg+xml")
    return uri(_saved(figure, format="png", dpi=DPI), "image/png")


def _saved(figure, **options):
    buffer = io.BytesIO()
    with rc_context(SAME):
        figure.savefig(buffer, **options)
    return buffer.getvalue()


def uri(content, kind):
    """Bytes of an image as a data URI."""
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"


def formulas(lines):
    """Formulas in LaTeX, as Matplotlib's mathtext reads it, typeset."""
    return Formulas(tuple(Picture(uri(_outline(line), "image/svg+xml"), line, "") for line in lines))


def _outline(line):
    """The outlines of the letters of a formula as SVG; mathtext makes brackets that fit low letters too small."""
    line = line.replace(r"\left(", "(").replace(r"\right)", ")")
    with rc_context({"mathtext.fontset": "cm"}):
        path = TextPath((0, 0), f"${line}$", size=POINTS, prop=FontProperties(family="serif"))
    nodes = path.vertices * [1, -1]
    (left, top), (right, bottom) = nodes.min(axis=0) - EDGE, nodes.max(axis=0) + EDGE
    wide, tall = right - left, bottom - top
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{wide:.1f}pt" height="{tall:.1f}pt" '
        f'viewBox="{left:.1f} {top:.1f} {wide:.1f} {tall:.1f}"><path d="{_drawn(nodes, path.codes)}"/></svg>'
    ).encode()


def _drawn(nodes, codes):
    """The path data of SVG."""
    words, i = [], 0
    while i < len(codes):
        code = int(codes[i])
        taken = nodes[i : i + NODES[code]]
        words.append(MOVES[code] + ("" if code == 79 else " ".join(f"{x:.2f}" for x in np.ravel(taken))))
        i += NODES[code]
    return "".join(words)
