"""Formulas as MathML, which browsers draw by themselves: no script, no font and no request to anybody."""

from docutils.nodes import SkipNode
from docutils.utils.math import MathError, latex2mathml
from sphinx.util import logging

SPELLED = {r"\dots": r"\ldots", "gather*": "align*"}  # LaTeX that docutils knows under another name
logger = logging.getLogger(__name__)


def mathml(text, as_block=False):
    """LaTeX as MathML."""
    for unknown, known in SPELLED.items():
        text = text.replace(unknown, known)
    return latex2mathml.tex2mathml(" ".join(text.split()), as_block=as_block)


def drawn(node, as_block):
    """The formula of a node; one that cannot be drawn is a warning, and so an error of the build."""
    try:
        return mathml(node.astext(), as_block)
    except MathError as error:
        logger.warning("%s In: %s", error, node.astext(), location=node)
        return ""


def inline(translator, node):
    translator.body.append(drawn(node, False))
    raise SkipNode


def block(translator, node):
    translator.body.append(f'<div class="formula">{drawn(node, True)}</div>')
    raise SkipNode


def setup(app):
    app.add_html_math_renderer("mathml", (inline, None), (block, None))
    return {"parallel_read_safe": True}
