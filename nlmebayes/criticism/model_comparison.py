r"""`compare`: which of several models of the same measurements would predict new subjects, and by how much.

What differs between people is judged by groups that were not seen, with their random effects integrated out
(`leave_out`); criteria of a maximum stand beside it (`criteria`). Record-wise LOO, given the random effects of a
subject that are known from his other records, is shown under its own name: it tells how well more records of the same
subjects are predicted, and is blind to what differs between them.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from arviz_stats import compare as compared
from arviz_stats.utils import ELPDDataLOO
from xarray import DataArray

from nlmebayes.arguments import Count, Name, Seed, Switch, Text, Tree, checked
from nlmebayes.criticism import criteria, leave_out, same_records
from nlmebayes.criticism.likelihoods import population
from nlmebayes.criticism.moment_matching import matched
from nlmebayes.criticism.refits import refitted
from nlmebayes.errors import ModelError
from nlmebayes.evaluation.fitted import fitted, said
from nlmebayes.individuals.likelihood import UNSURE
from nlmebayes.inference.fit import fit
from nlmebayes.runtime.spread import Client

FIT = "nlmebayes_fit"  # attribute of a tree of maximum likelihood: what was found, as JSON
RECORD = "record"
FEWEST = 25  # draws of which weights have tails
RECORD_DRAWS = 1000
CLEAR = 4.0  # differences in elpd below it are small whatever their SE (Sivula et al. 2025)
MANY = 100  # groups from which on the SE of a difference is about right
WEIGHTS = {"stacking": "stacking", "pseudo_bma": "BB-pseudo-BMA"}
BLANK = "elpd", "se", "mcse", "p", "high_k"


@dataclass(frozen=True, eq=False)
class Comparison:
    """What `compare` found; printing it shows the table, the differences and the warnings.

    Attributes
    ----------
    level : str
        Whose groups were left out.
    table : DataFrame
        By model, the best first. ``elpd`` of groups left out with its ``se`` (between groups), ``mcse`` (Monte Carlo),
        ``p`` (effective parameters) and ``high_k`` (groups whose weights are not to be trusted); ``outer_...`` of
        outermost groups, where these are others; ``record_...`` of records given the effects of their group;
        ``parameters``, ``minus2ll``, ``aic``, ``bic_subjects``, ``bic_records``, ``bicc_monolix``, ``bicc_delattre``;
        weights ``stacking`` and ``pseudo_bma``. What does not apply is missing.
    differences : DataFrame
        Of each model to the best one, by kind of elpd: difference, its SE, how many groups, and whether that is clear.
    by_group : DataFrame
        ``model``, ``level``, ``group``, ``elpd``, ``khat`` and ``how`` it was found.
    warnings : tuple of str

    Examples
    --------
    >>> import nlmebayes as nb
    >>> from model_zoo import VarianceComponents
    >>> tree = nb.fit(nb.Model(VarianceComponents()), nb.datasets.dyestuff(), method="ml")
    >>> found = nb.compare({"normal": tree, "again": tree})
    >>> found.level, found.table.index.tolist()
    ('Batch', ['normal', 'again'])
    """

    level: str
    table: pd.DataFrame
    differences: pd.DataFrame
    by_group: pd.DataFrame
    warnings: tuple[str, ...]

    @checked
    def weights(self, kind: Text = "stacking") -> dict[str, float]:
        """Weights of the models.

        Parameters
        ----------
        kind : {"stacking", "pseudo_bma"}
            Of predictive distributions, or Akaike's of the elpd: Yao, Vehtari, Simpson and Gelman (2018), Bayesian
            Anal. 13, 917-1007, doi:10.1214/17-BA1091.

        Returns
        -------
        dict of name -> float
            They add up to 1.

        Raises
        ------
        ModelError
            Another kind, or models without elpd.

        Examples
        --------
        Of trees with draws:

        >>> import nlmebayes as nb
        >>> from model_zoo import LinearMixed
        >>> model = nb.Model(LinearMixed(), "mu ~ 1 + (1|Batch)")
        >>> short = {"draws": 100, "tune": 100, "chains": 2, "random_seed": 1, "progressbar": False}
        >>> tree = nb.fit(model, nb.datasets.dyestuff(), **short)
        >>> weights = nb.compare({"one": tree, "same": tree}, match=False).weights("pseudo_bma")
        >>> {name: round(float(weight), 2) for name, weight in weights.items()}
        {'one': 0.5, 'same': 0.5}
        """
        if kind not in WEIGHTS:
            raise ModelError(f"no weights {kind!r}; there are {', '.join(WEIGHTS)}")
        if kind not in self.table or self.table[kind].isna().any():
            raise ModelError("this comparison has no weights: they need draws of every model, and groups left out")
        return self.table[kind].to_dict()

    def __str__(self):
        def shown(frame):
            return frame.to_string(float_format=lambda x: f"{x:.2f}", na_rep="")

        first = "Criteria of the maximum" if self.table["elpd"].isna().all() else f"Groups of {self.level} left out"
        parts = [f"{first}, best first", shown(self.table.dropna(axis=1, how="all").T)]
        if len(self.differences):
            parts += ["", "Differences to the best", shown(self.differences)]
        if self.warnings:
            parts += ["", *(f"  - {text}" for text in self.warnings)]
        return "\n".join(parts)

    __repr__ = __str__


@checked
def compare(
    trees: dict[Text, Tree], *, by: Name | None = None, draws: Count = 400, match: Switch = True, refit: Switch = False,
    maximum: Switch = False, random_seed: Seed | None = 0, client: Client | None = None,
) -> Comparison:  # fmt: skip
    """Compare models of the same measurements.

    Parameters
    ----------
    trees : dict of name -> DataTree
        Fits; those of ``method="ml"`` have a maximum and no draws, others draws and no maximum.
    by : str, optional
        Level of the data whose groups are left out; by default that of subjects.
    draws : int
        Of each posterior, evenly out of all.
    match : bool
        Move the draws of groups whose weights are not to be trusted by moment matching; some seconds for each.
    refit : bool
        Fit again without each group whose weights are not to be trusted, which takes as long as so many fits. By
        default they are counted and named.
    maximum : bool
        Run maximum likelihood for trees that are none of it, for the criteria that need a maximum.
    random_seed : int, optional
    client : distributed.Client, optional
        Whose workers fit again, after ``pip install "nlmebayes[dask]"``: the same refits as in this process.

    Returns
    -------
    Comparison

    Raises
    ------
    ModelError
        No tree, trees of different data, an unknown level.

    Examples
    --------
    >>> import nlmebayes as nb
    >>> from model_zoo import VarianceComponents
    >>> tree = nb.fit(nb.Model(VarianceComponents()), nb.datasets.dyestuff(), method="ml")
    >>> heavy = nb.Model(VarianceComponents(), residual=nb.StudentT())
    >>> other = nb.fit(heavy, nb.datasets.dyestuff(), method="ml")
    >>> nb.compare({"normal": tree, "heavy tails": other}).table["aic"].round(0).to_dict()
    {'normal': 333.0, 'heavy tails': 335.0}
    """
    if not trees:
        raise ModelError("compare: trees must hold models by name, e.g. {'base': tree, 'wt': other}; got none")
    known = {name: fitted(tree) for name, tree in trees.items()}
    same_records.of_fits(known)
    same_records.same_records(known)
    if draws < FEWEST:
        raise ModelError(f"compare: draws={draws} are too few for weights; take {FEWEST} or more")
    data = next(iter(known.values())).training_data
    level = data.subject if by is None else by
    if level not in data.levels:
        raise ModelError(f"compare: by={level!r} is no level of the data; these are {', '.join(data.levels)}")
    notes = list(same_records.other_covariates(known))
    kinds = {"": level} | ({"outer_": data.levels[0]} if data.levels[0] != level else {})
    found = {(name, kind): _left_out(name, each, of, draws, match, refit, random_seed, notes, client)
             for name, each in known.items() for kind, of in kinds.items()}  # fmt: skip
    found |= {(name, "record_"): _records(each) for name, each in known.items()}
    found = {key: each for key, each in found.items() if each is not None}
    rows = {name: _elpd(name, found, (*kinds, "record_")) for name in known}
    for name, each in known.items():
        rows[name] |= _criteria(name, each, maximum, notes)
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("model")
    main = {name: found[name, ""] for name in known if (name, "") in found}
    table = table.assign(**_weights(main, list(known)))
    order = "elpd" if len(main) == len(known) else "aic"
    table = table.sort_values(order, ascending=order == "aic", kind="stable")
    differences = _differences(found, list(table.index), {**kinds, "record_": RECORD})
    notes += _doubts(differences, found)
    return Comparison(level, table, differences, _by_group(found), tuple(notes))


def _draws(known):
    return known.posterior.sizes["chain"] * known.posterior.sizes["draw"]


def _left_out(name, known, level, draws, match, refit, seed, notes, client):
    """`LeftOut` of the groups of a level of one tree; None of too few draws, or where none can be left out."""
    if _draws(known) < FEWEST:
        return None
    try:
        found = leave_out.marginals(known, level, population(known, draws), seed)
    except ModelError as error:
        notes.append(f"{name}: no {level} left out: {error}")
        return None
    bad = np.flatnonzero(found.error > UNSURE)
    if len(bad):
        groups = ", ".join(f"{found.groups[i]} ({found.error[i]:.2g})" for i in bad[np.argsort(-found.error[bad])][:8])
        notes.append(f"{name}: integrals of {len(bad)} groups of {level} may be off by more than {UNSURE:g}: {groups}")
    left = leave_out.left_out(level, found.groups, found.values)
    left = matched(known, found, left) if match else left
    return refitted(known, found, left, seed, client) if refit else left


def _records(known):
    """`LeftOut` of records given the random effects of their groups; None where a tree has no such densities."""
    if "log_likelihood" not in known.tree.children or _draws(known) < FEWEST:
        return None
    each = known.tree["log_likelihood"].to_dataset()
    if set(each.data_vars) != set(known.outcomes):
        return None
    dense = [each[name].stack(sample=("chain", "draw"), create_index=False) for name in known.outcomes]
    dense = np.concatenate([x.transpose("sample", ...).to_numpy() for x in dense], axis=1)
    kept = np.unique(np.linspace(0, len(dense) - 1, RECORD_DRAWS).astype(int))
    groups = [f"{name} row {row}" for name in known.outcomes for row in each[f"{name}_obs"].to_numpy()]
    return leave_out.left_out(RECORD, groups, dense[kept])


def _elpd(name, found, kinds):
    """The part of a row of the table that is of what was left out."""
    row = {}
    for kind in kinds:
        each = found.get((name, kind))
        values = (each.total, each.se, each.mcse, each.p, len(each.worst)) if each else [np.nan] * len(BLANK)
        row |= {f"{kind}{column}": value for column, value in zip(BLANK, values, strict=True)}
    return row


def _criteria(name, known, maximum, notes):
    """The part of a row that needs a maximum."""
    data, blank = known.training_data, dict.fromkeys(("minus2ll", *criteria.CRITERIA), np.nan)
    if any(f"omega_{parameter}_smooth" in known.posterior for parameter in known.training.fixed):
        return {"parameters": np.nan} | blank  # coefficients of a smooth are shrunk: none is a parameter
    count = criteria.counted(known.model, known.training, known.outcomes)
    about = said(known.tree, FIT)
    if about.get("method") != "ml" and maximum:
        about = said(fit(known.model, data, method="ml", progressbar=False), FIT)
    if about.get("method") != "ml":
        return {"parameters": count.total} | blank
    if not about["converged"]:
        notes.append(f"{name}: the search of the maximum did not end at one, so there are no criteria of it")
        return {"parameters": count.total} | blank
    subjects = data.observations[data.subject].nunique()
    each = criteria.criteria(about["minus2ll"], count, subjects, len(data.observations))
    return {"parameters": count.total, "minus2ll": about["minus2ll"]} | each


def _weights(main, names):
    """Weights by name of kind, {kind: [of each model]}; missing unless every model has groups left out."""
    if len(main) < len(names) or not all(np.isfinite(each.total) for each in main.values()):
        return {kind: np.nan for kind in WEIGHTS}
    if len(names) == 1:
        return {kind: 1.0 for kind in WEIGHTS}
    # A constant taken from every model's elpd of a group changes no weight, and exp(elpd) of many records is 0.
    top = np.max([each.elpd for each in main.values()], axis=0)
    wrapped = {name: _wrapped(each, each.elpd - top) for name, each in main.items()}
    found = {}
    for kind, method in WEIGHTS.items():
        weight = compared(wrapped, method=method, round_to="none")["weight"]
        found[kind] = [float(np.clip(weight[name], 0.0, 1.0)) for name in names]
    return found


def _wrapped(each, elpd):
    """As ArviZ has it."""
    n = len(elpd)
    shared = {"dims": "group", "coords": {"group": list(each.groups)}}
    return ELPDDataLOO(
        elpd=float(elpd.sum()), se=leave_out.summed_error(elpd), p=each.p, n_samples=len(each.log_likelihood),
        n_data_points=n, scale="log", warning=False, good_k=1e9, elpd_i=DataArray(elpd, **shared),
        pareto_k=DataArray(np.zeros(n), **shared),
    )  # fmt: skip


def _differences(found, names, kinds):
    """Of each model to the best by its elpd, with the SE of the difference between groups."""
    rows = []
    for kind, level in kinds.items():
        own = {name: found[name, kind] for name in names if (name, kind) in found}
        best = max(own, key=lambda name: own[name].total, default=None)
        for name in (name for name in own if name != best):
            each = own[name].elpd - _aligned(own[best], own[name].groups)
            rows.append({
                "left out": level, "model": name, "best": best, "difference": float(each.sum()),
                "se": leave_out.summed_error(each), "groups": len(each),
            })  # fmt: skip
    return pd.DataFrame(rows, columns=["left out", "model", "best", "difference", "se", "groups"])


def _aligned(other, groups):
    place = {group: i for i, group in enumerate(other.groups)}
    return other.elpd[[place[group] for group in groups]]


def _doubts(differences, found):
    """Sentences on what is not to be trusted."""
    for (name, kind), each in found.items():
        if kind != "record_" and len(each.worst):
            groups = ", ".join(f"{each.groups[i]} ({each.khat[i]:.2f})" for i in each.worst[:8])
            yield (
                f"{name}: {len(each.worst)} of {len(each.groups)} groups of {each.level} with Pareto k above "
                f"{leave_out.bearable(len(each.log_likelihood)):.2f}: {groups}; their elpd is not sure. refit=True "
                "fits without each"
            )
    for _, row in differences.iterrows():
        if row["left out"] == RECORD:
            continue
        if abs(row["difference"]) < CLEAR:
            yield (
                f"{row['model']} and {row['best']} differ by {abs(row['difference']):.1f} in elpd of {row['left out']} "
                f"left out: below {CLEAR:g} is small, whatever its SE"
            )
        elif row["groups"] < MANY:
            yield (
                f"the SE of the difference between {row['model']} and {row['best']} is of {row['groups']} groups of "
                f"{row['left out']}: below {MANY} it is too small as a rule"
            )


def _by_group(found):
    rows = [
        {"model": name, "level": each.level, "group": group, "elpd": elpd, "khat": khat, "how": how}
        for (name, _), each in found.items()
        for group, elpd, khat, how in zip(each.groups, each.elpd, each.khat, each.how, strict=True)
    ]
    return pd.DataFrame(rows, columns=["model", "level", "group", "elpd", "khat", "how"])
