"""`check`: did it converge, do the predictions look like the data, what do the data tell? In one table and in words."""

import warnings
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from arviz_stats import loo

from nlmebayes.arguments import Tree, checked
from nlmebayes.criticism import convergence, doubts, sensitivity
from nlmebayes.criticism.examination import examined
from nlmebayes.criticism.subjects import COLUMNS, subjects
from nlmebayes.errors import ModelError
from nlmebayes.evaluation import log_priors, storage
from nlmebayes.evaluation.evaluator import middle
from nlmebayes.evaluation.fitted import ESTIMATES, fitted, said
from nlmebayes.inference import accuracy
from nlmebayes.inference.estimation import drawn
from nlmebayes.inference.parting import unparted
from nlmebayes.model import hierarchy
from nlmebayes.model.model import Model
from nlmebayes.outcomes.censoring import quantified
from nlmebayes.parameter.laws import quantiles
from nlmebayes.summaries.summary import shrinkage, summarised

PARETO_K = 0.7  # Vehtari et al. 2024, JMLR 25(72)
TAIL_P = 0.01  # predictive p-values below it, or above one minus it, are reported
FEWEST = 25  # draws that R-hat, ESS and the tails of weights can be computed from
MIDST = (0.15865525, 0.84134475)  # shares between which a normal law has one SD on either side
UNINFORMED = 0.8  # posterior SD per prior SD above which the data say little


@dataclass(frozen=True, eq=False)
class Diagnosis:
    """What `check` found; printing it shows the tables and the findings.

    Attributes
    ----------
    population : DataFrame
        Every population quantity: estimate (posterior mean), SD, RSE %, 90 % interval, CV % of omega, R-hat, ESS.
    shrinkage : DataFrame
        Shrinkage % of each random effect, ``1 - sd(posterior mean of eta) / omega``.
    predictive : DataFrame
        Posterior predictive p-values of mean, SD, minimum and maximum of each outcome.
    tests : DataFrame
        Independence and exchangeability: by test of what, against what, the size of the effect (share explained, R²;
        correlation; W) and the p-value adjusted for all tests. Empty where chains disagree. docs/criticism.md.
    loo : DataFrame
        PSIS-LOO of records by outcome, given the random effects: elpd, its SE, effective number of parameters, records
        with k above 0.7. It says how well more records of the same groups are predicted, not how well new groups are.
    groups : DataFrame
        Subjects left out, with their random effects integrated out, as `compare` has them: elpd, its SE and Monte Carlo
        error, how many have heavy-tailed weights. Empty where that would take long.
    parametrisation : DataFrame
        In what each random effect was sampled, and why; empty for a tree that is not from `fit`.
    divergences : int
    findings : tuple of str
        What is wrong, in words, each with what to do; empty if nothing is.

    Examples
    --------
    >>> import nlmebayes as nb
    >>> from model_zoo import VarianceComponents
    >>> tree = nb.fit(nb.Model(VarianceComponents()), nb.datasets.dyestuff(), method="ml")
    >>> nb.check(tree).population.columns.tolist()[:3]
    ['quantity', 'unit', 'mean']
    """

    population: pd.DataFrame
    shrinkage: pd.DataFrame
    predictive: pd.DataFrame
    tests: pd.DataFrame
    loo: pd.DataFrame
    groups: pd.DataFrame
    parametrisation: pd.DataFrame
    divergences: int
    findings: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing was found."""
        return not self.findings

    def __str__(self):
        parts = ["Findings", *(f"  - {f}" for f in self.findings)] if self.findings else ["No findings."]
        parts += ["", "Population", _table(self.population)]
        if len(self.shrinkage):
            parts += ["", "Random effects", _table(self.shrinkage)]
        parts += [
            "",
            "Posterior predictive p-values",
            _table(self.predictive),
        ]
        if len(self.tests):  # of each kind the one that says most
            parts += ["", "Independence and exchangeability", _table(self.tests.groupby("test", sort=False).head(1))]
        parts += [
            "",
            "PSIS-LOO of records, given the effects of their group (between models that differ in these: compare)",
            _table(self.loo),
        ]
        if len(self.groups):
            parts += ["", "Groups left out, their effects integrated out", _table(self.groups)]
        if len(self.parametrisation):
            parts += ["", "Parametrisation", _table(self.parametrisation)]
        parts += ["", f"Divergences: {self.divergences}"]
        return "\n".join(parts)

    __repr__ = __str__


Report = Diagnosis  # its name before there was a report


def _table(frame):
    return frame.to_string(index=False, float_format=lambda x: f"{x:.4g}", na_rep="")


@checked
def check(tree: Tree, *, model: Model | None = None) -> Diagnosis:
    """Diagnose a fit.

    Parameters
    ----------
    tree : DataTree
        From `fit`.
    model : Model, optional
        That of the tree, where its structure cannot be imported again; by default the one stored in it.

    Returns
    -------
    Diagnosis

    Raises
    ------
    ModelError
        The tree was made with another model, or has no posterior.

    Examples
    --------
    >>> import nlmebayes as nb
    >>> from model_zoo import VarianceComponents
    >>> tree = nb.fit(nb.Model(VarianceComponents()), nb.datasets.dyestuff(), method="ml")
    >>> found = nb.check(tree)
    >>> found.ok
    False
    >>> print(found.findings[0].split(":")[0])
    maximum likelihood, -2 log L 327.33
    """
    known = whole = fitted(tree, model)
    model, design = known.model, known.training
    posterior = tree["posterior"]
    for group in ("posterior_predictive", "log_likelihood", "observed_data"):
        for outcome in design.outcomes:
            if group not in tree.children or outcome.name not in tree[group]:
                raise ModelError(f"check needs {outcome.name} in the group {group} of a fit; this tree has none")
    estimated = ESTIMATES in tree.children
    if estimated:
        tree = drawn(known)
        known, posterior = replace(known, tree=tree), tree["posterior"]
    if posterior.sizes["draw"] == 1:
        raise ModelError("check needs draws; this tree holds one, a posterior mode")
    if posterior.sizes["chain"] * posterior.sizes["draw"] < FEWEST:
        raise ModelError(f"check needs {FEWEST} draws of all chains together; this tree holds fewer")
    if any(f"eta_{level.name}" not in posterior for level in design.levels):
        raise ModelError("check looks at the individuals of a fit; this tree holds a population alone")
    population = summarised(whole)
    converged = convergence.mixed(population)
    shrunk = shrinkage(whole.tree, design)
    predictive = _predictive(tree)
    cross = _cross_validation(tree)
    divergences = int(tree["sample_stats"]["diverging"].sum()) if "sample_stats" in tree.children else 0
    tests = examined(known) if converged else []
    findings = [
        *convergence.findings(whole.tree, design, population, divergences),
        *hierarchy.doubts(model, design),
        *_parted(known),
        *doubts.findings(tests),
        *_misfit(predictive),
        *_influence(cross),
        *(() if estimated else _told(storage.laws_of(tree, model, design), design, tree, converged)),
        *accuracy.findings(model, design, tree),
    ]
    chosen = pd.DataFrame(said(tree, "nlmebayes_parametrisation", list))
    groups = pd.DataFrame(columns=COLUMNS) if estimated else subjects(known)
    return Diagnosis(
        population, shrunk, predictive, doubts.table(tests), cross.drop(columns="rows"), groups, chosen, divergences,
        tuple(findings),
    )  # fmt: skip


def _parted(known):
    """What the records cannot part, where the posterior has its mean."""
    mean = middle(known.draws_of(known.outcomes))
    theta = {name: values[0] for name, values in mean.theta.items()}
    sigma = {outcome: {part: x[0] for part, x in parts.items()} for outcome, parts in mean.sigma.items()}
    return unparted(known.model, known.training_data, known.training, theta, sigma)


STATISTICS = {"mean": np.mean, "sd": np.std, "min": np.min, "max": np.max}


def _tail(replicated, observed):
    """Predictive p-value; ties, as of values at their limit, count half."""
    return float(((replicated > observed) + 0.5 * (replicated == observed)).mean())


def _predictive(tree):
    rows = []
    limits = tree["constant_data"] if "constant_data" in tree.children else {}
    for name, observed in tree["observed_data"].data_vars.items():
        replicated = tree["posterior_predictive"][name].stack(sample=("chain", "draw")).to_numpy()  # (record, sample)
        if f"lower_{name}" in limits:  # censored records are compared at their limits
            ends = quantified(*(limits[f"{k}_{name}"].to_numpy() for k in ("lower", "upper")))
            replicated, observed = np.clip(replicated, *ends), observed.clip(*ends)
        p = {k: _tail(t(replicated, axis=0), t(observed.to_numpy())) for k, t in STATISTICS.items()}
        rows.append({"outcome": name, **p})
    return pd.DataFrame(rows)


def _cross_validation(tree):
    rows = []
    for name in tree["log_likelihood"].data_vars:
        with warnings.catch_warnings():  # what it warns of is a finding here
            warnings.filterwarnings("ignore", message="Estimated shape parameter")
            warnings.filterwarnings("ignore", category=RuntimeWarning)
            try:
                found = _loo(tree, name)
            except ValueError:  # chains that do not move have no tails
                rows.append({"outcome": name, "elpd": np.nan, "se": np.nan, "p": np.nan, "k_above_0.7": 0})
                rows[-1] |= {"records": tree["log_likelihood"].sizes[f"{name}_obs"], "rows": []}
                continue
        k = np.asarray(found.pareto_k)
        where = np.asarray(tree["log_likelihood"][f"{name}_obs"])[k > PARETO_K]
        rows.append({
            "outcome": name, "elpd": float(found.elpd), "se": float(found.se), "p": float(found.p),
            "k_above_0.7": int((k > PARETO_K).sum()), "records": k.size, "rows": where,
        })  # fmt: skip
    return pd.DataFrame(rows)


def _loo(tree, name):
    """PSIS-LOO; where a record's largest weights are equal (a censored one) they are told apart by 1e-9 first."""
    try:
        return loo(tree, var_name=name, pointwise=True)
    except ValueError as error:
        if "tail values" not in str(error):
            raise
    noise = np.random.default_rng(0).normal(scale=1e-9, size=tree["log_likelihood"][name].shape)
    apart = tree.copy()
    apart["log_likelihood"] = tree["log_likelihood"].to_dataset().assign({name: tree["log_likelihood"][name] + noise})
    return loo(apart, var_name=name, pointwise=True)


def _misfit(predictive):
    words = {"mean": "level", "sd": "scatter", "min": "smallest values", "max": "largest values"}
    for _, row in predictive.iterrows():
        for name, word in words.items():
            if not TAIL_P <= row[name] <= 1 - TAIL_P:
                side = "below" if row[name] < 0.5 else "above"
                yield (
                    f"{row['outcome']}: the {word} of replicated data lie {side} the observed ({100 * row[name]:.1f} % "
                    "of them above): the residual or the structure does not fit"
                )


def _influence(cross):
    for _, row in cross.iterrows():
        if row["k_above_0.7"]:
            some = ", ".join(map(str, row["rows"][:8])) + (", ..." if row["k_above_0.7"] > 8 else "")
            yield (
                f"{row['outcome']}: {row['k_above_0.7']} of {row['records']} records with Pareto k above {PARETO_K} "
                f"(rows {some}): the model leans on them, and the LOO estimate is too optimistic; look at these records"
            )


def _told(laws, design, tree, converged):
    """Where prior and data contradict each other, and where the data say little."""
    posterior = tree["posterior"].to_dataset()
    proper = log_priors.within(laws, posterior)
    if not converged or not proper:
        return
    yield from sensitivity.findings(laws, design, tree)
    middle, low, high = np.array(quantiles(proper, (0.5, *MIDST))).T
    values, spread = log_priors.values_of(proper, posterior), (high - low) / 2
    away = np.abs(values.mean(axis=(0, 1)) - middle) / spread
    for law, r, far in zip(proper, values.std(axis=(0, 1)) / spread, away, strict=True):
        if far > convergence.SHIFTED:
            yield (
                f"the posterior of {law.name} lies {far:.1f} prior SDs from the middle of its prior, which holds it "
                "back: look at the units, or state typical= or a prior"
            )
        elif r > UNINFORMED:
            yield f"the data say little about {law.name}: its posterior SD is {100 * r:.0f} % of its prior's"
