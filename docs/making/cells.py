"""The cells of a notebook, run in this process: what each printed, its last value and its figures, as in Jupyter."""

import ast
import io
import sys
from contextlib import redirect_stdout
from types import ModuleType

import matplotlib.pyplot as plt
from IPython.core.formatters import DisplayFormatter
from IPython.core.pylabtools import print_figure
from nbformat.v4 import new_output

MODULE = "notebook"  # what a notebook defines is found there, as it is in __main__ under Jupyter


def parted(code, place):
    """(statements, expression whose value is shown, or None) of a cell, compiled; `;` at the end shows nothing."""
    body, last = ast.parse(code, place), None
    if body.body and isinstance(body.body[-1], ast.Expr) and not code.rstrip().endswith(";"):
        last = compile(ast.Expression(body.body.pop().value), place, "eval")
    return compile(body, place, "exec"), last


def picture(figure):
    """PNG in base64; cut where the figure has no layout of its own that keeps everything inside."""
    return print_figure(figure, base64=True, bbox_inches=None if figure.get_layout_engine() else "tight")


def figures():
    """The open figures, closed."""
    made = [new_output("display_data", {"image/png": picture(plt.figure(number))}) for number in plt.get_fignums()]
    plt.close("all")
    return made


def outputs(code, names, place):
    """Run a cell among these names, and return its outputs."""
    statements, expression = parted(code, place)
    with redirect_stdout(io.StringIO()) as printed:
        exec(statements, names)
        value = eval(expression, names) if expression else None
    made = [new_output("stream", name="stdout", text=printed.getvalue())] if printed.getvalue() else []
    if value is not None:
        data, metadata = DisplayFormatter().format(value, include={"text/plain", "text/html"})
        made.append(new_output("execute_result", data, metadata=metadata))
    return made + figures()


def run(cells):
    """Give the cells of code their outputs, in order. Returns the names that they define."""
    plt.close("all")  # of whoever ran before
    sys.modules[MODULE] = ModuleType(MODULE)
    names = vars(sys.modules[MODULE])
    for number, cell in enumerate(cells):
        if cell.cell_type == "code":
            cell.outputs = outputs(cell.source, names, f"cell {number}")
    return names
