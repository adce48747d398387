"""What was known before the data beside what is known after them."""

import fnmatch

import numpy as np
import pandas as pd
import pymc as pm
from matplotlib.figure import Figure

from nlmebayes.arguments import Names, Share, Tree, checked
from nlmebayes.criticism.sensitivity import values_of, within
from nlmebayes.errors import ModelError
from nlmebayes.evaluation import storage
from nlmebayes.evaluation.fitted import fitted
from nlmebayes.evaluation.tails import tails
from nlmebayes.model.model import Model
from nlmebayes.parameter.laws import quantiles
from nlmebayes.parameter.parameter import Identity
from nlmebayes.plot import panels
from nlmebayes.plot.labels import labels_of
from nlmebayes.plot.panels import BLUE, CI_PROB, RED, Places
from nlmebayes.runtime.threads import in_turns
from nlmebayes.runtime.uncompiled import UNCOMPILED

WIDE = (0.005, 0.995)  # shares of the prior that are drawn at least
LINE = 300  # points of a density


@checked
def priors(
    tree: Tree, variables: Names | None = None, *, ci_prob: Share = CI_PROB, ax: Places | None = None,
    model: Model | None = None,
) -> Figure:  # fmt: skip
    """The prior of every population quantity, on its own scale, beside the posterior.

    Parameters
    ----------
    tree : DataTree
        From `fit`.
    variables : sequence of str, optional
        Such as ``"theta_cl"``, ``"omega_*"`` or ``"theta_cl[log(wt/70)]"``; by default all that have a proper prior.
    ci_prob : float
        Probability of the intervals in the numbers.
    ax : Axes, optional
        Axes to draw on, one for each quantity.
    model : Model, optional
        That of the tree, where its structure cannot be imported again; by default the one stored in it.

    Returns
    -------
    Figure
        Its ``numbers``: by ``quantity`` the ``prior`` in words, median and interval of prior and posterior, and the
        ``ratio`` of the SD of the posterior to that of the prior (as a normal law has it between its quartiles).

    Raises
    ------
    ModelError
        No such variable; a tree of one draw.

    Examples
    --------
    >>> import nlmebayes as nb
    >>> from model_zoo import LinearMixed
    >>> model = nb.Model(LinearMixed(), "mu ~ 1 + (1|Batch)")
    >>> short = {"draws": 100, "tune": 100, "chains": 2, "random_seed": 1, "progressbar": False}
    >>> tree = nb.fit(model, nb.datasets.dyestuff(), **short)
    >>> figure = nb.plot.priors(tree)
    >>> figure.numbers[["quantity", "prior"]]
                  quantity                         prior
    0  theta_mu[Intercept]  Normal(mu=1527.5, sigma=155)
    1      omega_Batch[mu]          HalfNormal(sigma=62)
    2        sigma_Yield_a          HalfNormal(sigma=62)
    """
    known = fitted(tree, model)
    posterior = known.posterior
    if posterior.sizes["chain"] * posterior.sizes["draw"] < 2:
        raise ModelError("plot.priors needs draws; this tree holds one, a posterior mode or a stated population")
    laws = within(storage.laws_of(tree, known.model, known.training), posterior)
    laws = [law for law in laws if law.prior.family != "LKJCorr"]
    chosen = [law for law in laws if variables is None or any(_meant(law, name) for name in variables)]
    for name in variables or ():
        if not any(_meant(law, name) for law in laws):
            there = ", ".join(dict.fromkeys(law.variable for law in laws))
            raise ModelError(f"plot.priors: no variable {name!r} with a proper prior; there are {there}")
    if not chosen:
        raise ModelError("plot.priors: the tree has no variable with a proper prior")
    drawn = values_of(chosen, posterior).reshape(-1, len(chosen))
    (low, high), names = tails(ci_prob), labels_of(known, known.training_data)
    before = quantiles(chosen, (WIDE[0], low, 0.25, 0.5, 0.75, high, WIDE[1]))
    made = panels.sheet(len(chosen), min(4, len(chosen)), (2.6, 2.0), ax)
    rows = []
    for axis, law, values, q in zip(made.axes, chosen, drawn.T, before, strict=True):
        _panel(axis, law, values, q)
        axis.set_title(law.name, fontsize=panels.TITLE)
        axis.set_xlabel(_scale(known, law, names))
        axis.set_yticks([])
        after = np.quantile(values, [low, 0.25, 0.5, 0.75, high])
        rows.append({
            "quantity": law.name, "prior": law.text, "prior_median": q[3], "prior_eti_lb": q[1], "prior_eti_ub": q[5],
            "median": after[2], "eti_lb": after[0], "eti_ub": after[4], "ratio": (after[3] - after[1]) / (q[4] - q[2]),
        })  # fmt: skip
    for axis in made.axes[:: made.grid.shape[1]]:
        axis.set_ylabel("density")
    return made.finished("What did the data say beyond the priors?", pd.DataFrame(rows))


def _meant(law, name):
    return name == law.name or fnmatch.fnmatchcase(law.variable, name)


@in_turns
def _panel(axis, law, values, q):
    """Density of the prior, and of draws of the posterior, within the bounds of the law."""
    low, high = (float(np.clip(end, *law.bounds)) for end in (min(q[0], values.min()), max(q[-1], values.max())))
    axis.hist(values, 30, density=True, color=BLUE, alpha=0.5, label="posterior")
    edge = 1e-6 * (high - low)
    at = np.linspace(low + edge, high - edge, LINE)
    density = np.exp(pm.logp(law.prior.of(), at**2 if law.squared else at).eval(mode=UNCOMPILED))
    density = density * (2 * at if law.squared else 1.0)
    axis.plot(at, density, color=RED, linestyle="--", label="prior")
    axis.set_xlim(low, high)
    axis.set_ylim(bottom=0)


def _scale(known, law, names):
    """What a value is in: the unit of a parameter on its link, the SD on that scale, the unit of an outcome."""
    model = known.model
    for outcome in known.outcomes:
        part = law.variable.removeprefix(f"sigma_{outcome}_")
        one, two = (model.residual_of(outcome).priors(scale).get(part) for scale in (1.0, 2.0))
        if one is not None and part != law.variable:
            return names("SD", outcome) if str(one) != str(two) else "no unit"
    parameters = {p.name: p for p in model.parameters}
    kind, _, rest = law.variable.partition("_")
    name = rest if kind == "theta" else law.coordinate.partition(":")[0] if kind == "omega" else ""
    if name not in parameters:
        return "SD" if kind == "omega" else ""
    p = parameters[name]
    unit = f" ({p.unit})" if p.unit else ""
    link = type(p.scale).__name__.lower()
    of = f"{name}{unit}" if isinstance(p.scale, Identity) else f"{link} {name}{unit}"
    return {"theta": of, "omega": f"SD of {of}"}[kind] if law.coordinate in ("Intercept", name) else f"change of {of}"
