"""`population`: a model with stated parameters, as a tree that `forecast`, `predict` and `recommend` take like a fit.

A published model has no training data. In their place stands a small reference dataset (two subjects, every level, the
reference value of each covariate), in whose state designs are resolved: ``center(wt)`` is the distance from the
reference weight.
"""

import json
from typing import TYPE_CHECKING

import numpy as np

from nlmebayes.arguments import Count, NotNegative, Number, Seed, Text, checked
from nlmebayes.errors import ModelError
from nlmebayes.evaluation import imputation, prediction, storage
from nlmebayes.evaluation.evaluator import Draws
from nlmebayes.evaluation.fitted import said
from nlmebayes.formula import parse
from nlmebayes.formula.parse import spelling
from nlmebayes.formula.sigma import is_scale
from nlmebayes.model.agreement import check_names
from nlmebayes.model.model import Law, Model, Scatter
from nlmebayes.outcomes import residual as residuals
from nlmebayes.populations import spreads
from nlmebayes.populations.reference import reference_data, reference_design
from nlmebayes.structure.compartments import outcome_names
from nlmebayes.structure.structure import Structure

if TYPE_CHECKING:
    from nlmebayes.arguments import Tree

ABOUT = "nlmebayes_published"
Place = Number | Text | tuple[Number, ...] | tuple[Text, ...]
STEP = 1e-6  # relative, of the slope of a link


@checked
def population(
    model: Law | Model, *formulas: Text, theta: dict[Text, Number | dict[Text, Number]], omega: dict,
    sigma: dict[Text, NotNegative | dict[Text, NotNegative | dict[Text, NotNegative]]],
    residual: Scatter | dict[Text, Scatter] | None = None, outcome: Text = "conc",
    levels: Text | tuple[Text, ...] | None = None, reference: dict[Text, Place] | None = None,
    domain: dict[Text, tuple[Number, ...] | tuple[Text, ...]] | None = None, about: dict | None = None,
    uncertainty: dict[Text, NotNegative | dict[Text, NotNegative]] | None = None,
    covariates: dict[Text, object] | None = None, draws: Count | None = None, random_seed: Seed | None = None,
) -> "Tree":  # fmt: skip
    """A population with stated parameters, such as a published model.

    Parameters
    ----------
    model : Model or Structure
        Of a structure, formulas that are not given follow from the names in ``theta`` and ``omega``.
    *formulas : str
        Of a structure, as of `Model`.
    theta : dict of parameter -> number, or dict of term -> number
        A number, or the term ``"Intercept"``, is the typical value on the parameter's natural scale (L/h, not its
        logarithm). Other terms are coefficients on the link scale, ``{"cl": {"Intercept": 4.5, "log(crcl/120)": 0.8}}``
        for ``cl = 4.5 (crcl/120)^0.8``. A fixed exponent may stand in a formula:
        ``"cl ~ 1 + offset(0.75 * log(wt/70)) + (1|id)"``.
    omega : dict
        Spread of the random effects on the link scale, each under the name of what it is: ``{"variance": {"cl": 0.147},
        "cv_percent": {"v": 30}}``; of several levels by level, outermost first: ``{"id": {...}, "occ": {...}}``. Kinds
        are ``sd``, ``variance``, ``cv_percent`` (exact, omega = sqrt(log(1 + CV^2))), ``cv_percent_approximate``
        (omega = CV), ``covariance`` with ``names`` and ``matrix``, and ``correlation`` ``{"cl v": 0.4}``.
    sigma : dict
        Parts of the residual as SDs, ``{"a": 3.4, "b": 0.227}``, or ``{"variance": {"a": 0.5}}``; of several outcomes
        by outcome.
    residual : Residual, optional
        Of a structure; by default `Additive` or `Proportional`, as sigma says. ``Combined("sd")`` (SD = a + b f) and
        ``Combined("variance")`` (variance = a² + b² f²) must be told apart by name.
    outcome : str
        Name of the measurements of a structure with one outcome.
    levels : tuple of str, optional
        By default those of the formulas, outermost first.
    reference : dict of covariate -> number or tuple of texts
        Value at which transforms such as ``center`` stand, or the categories, the first being the reference. A number
        that is not given is the middle of its domain, or what a formula counts it from (66 in ``crcl - 66``, 70 in
        ``wt/70``), or 1.
    domain : dict of covariate -> (low, high) or list of categories
        Who the model holds for; a patient outside is forecast with a warning that names the range.
    covariates : dict of covariate -> dict, optional
        Their distribution in the population, ``{"wt": {"median": 70, "cv_percent": 20}}`` (lognormal), ``{"mean": 70,
        "sd": 12}`` (normal) or ``{"share": {"0": 0.9, "1": 0.1}}``, from which one that is missing is drawn
        (``forecast(missing="impute")``).
    about : dict
        What is to be kept with it: name, citation, doi, units, assay.
    uncertainty : dict of parameter -> RSE %, or dict of term -> RSE %
        Standard errors of theta in percent of the value; the tree then holds ``draws`` (1000) populations, normal on
        the link scale and independent. Otherwise one.
    draws : int
        Number of populations, where there is an uncertainty.
    random_seed : int, optional
        Of these.

    Returns
    -------
    DataTree
        Group ``posterior`` (population only) with everything that the verbs need; it survives ``to_netcdf``.

    Raises
    ------
    ModelError, FormulaError
        Something that is missing, is stated twice, or that the model does not have.

    Examples
    --------
    >>> import nlmebayes as nb
    >>> from model_zoo import OneCompartment
    >>> tree = nb.population(OneCompartment(), "v ~ 1 + (1|id)", theta={"cl": {"Intercept": 3.0, "log(wt/70)": 0.75},
    ...     "v": 40.0}, omega={"cv_percent": {"cl": 30, "v": 20}}, sigma={"b": 0.15}, reference={"wt": 70.0})
    >>> tree["posterior"]["omega_id"].to_numpy().round(4).tolist()
    [[[0.2936, 0.198]]]
    """
    for text in filter(is_scale, model.formulas if isinstance(model, Model) else formulas):
        raise ModelError(f"population: sigma is stated as numbers, not by a formula: {text!r}")
    levels = (levels,) if isinstance(levels, str) else levels
    for name, allowed in (domain or {}).items():
        _check_domain(name, allowed)
    omega, levels = _levels(model, formulas, omega, levels)
    outcomes = _outcomes(model, sigma, outcome)
    model = _stated(model, formulas, theta, omega, sigma, residual, outcomes)
    data = reference_data(model, levels, outcomes, reference or {}, domain or {})
    design = reference_design(model, data, reference or {})
    check_names(model, design)
    rng = np.random.default_rng(random_seed)
    size = draws or (1000 if uncertainty else 1)
    drawn = Draws(
        theta=_theta(model, design, theta, uncertainty or {}, size, rng), sigma=_sigma(model, outcomes, sigma, size),
        eta={}, groups={}, **_omega(design, omega, size),
    )  # fmt: skip
    posterior = prediction.labelled_population(design, drawn, (1, size))
    tree = storage.attach(storage.as_tree({"posterior": posterior}), model, data)
    kept = {"domain": {k: list(v) for k, v in (domain or {}).items()}} | (about or {})
    kept |= {"covariates": _covariates(design.units.columns.drop(list(levels)), covariates)} if covariates else {}
    tree.attrs[ABOUT] = json.dumps(kept)
    return tree


def outside(tree, patient, more=None):
    """One line for each covariate in which a patient is outside the domain of a published model; ``more`` is known of
    him that is no column, by name."""
    found, more = said(tree, ABOUT), more or {}
    lines = []
    for name, allowed in found.get("domain", {}).items():
        column = next((c for c in patient.observations.columns if c.lower() == name.lower()), None)
        if column is None and name not in more:
            continue
        values = [more[name]] if column is None else patient.observations[column].dropna().tolist()
        if isinstance(allowed[0], str):
            beyond = [v for v in values if str(v) not in allowed]
            words = ", ".join(allowed)
        else:
            beyond = [v for v in values if not allowed[0] <= float(v) <= allowed[1]]
            words = f"{allowed[0]:g} to {allowed[1]:g}"
        if beyond:
            unit = found.get("units", {}).get(name, "")
            lines.append(f"{name} {beyond[0]} is outside {words}{' ' + unit if unit else ''}")
    return lines


def _check_domain(name, allowed):
    """A domain is two numbers, the lower first, or categories."""
    numbers = all(not isinstance(value, str) for value in allowed)
    if not allowed or (numbers and not (len(allowed) == 2 and allowed[0] < allowed[1])):
        raise ModelError(f"domain of {name}: write (low, high), the lower first, or its categories; got {allowed}")


def _covariates(read, covariates):
    """The stated distributions, which are those of columns that the formulas read."""
    for name in covariates:
        if name not in read:
            raise ModelError(f"covariates: no formula reads {name!r}; they read {', '.join(read) or 'none'}")
    imputation.stated(covariates)
    return covariates


def _levels(model, formulas, omega, levels):
    """omega by level, and the levels, outermost first."""
    texts = model.formulas if isinstance(model, Model) else formulas
    read = [name for text in texts for term in parse(text).groups for name in term.factors]
    if spreads.is_spread(omega):
        level = read[-1] if read else (levels or ("id",))[-1]
        if len(set(read)) > 1:
            raise ModelError(f"omega: there are several levels, {', '.join(dict.fromkeys(read))}; state it by level")
        omega = {level: omega}
    for level, stated in omega.items():
        if not isinstance(stated, dict) or not spreads.is_spread(stated):
            kinds = ", ".join((*spreads.KINDS, *spreads.MATRICES))
            raise ModelError(f"omega: {level!r} is none of {kinds}, nor a level with a table of them: say what it is")
    return omega, tuple(levels or dict.fromkeys([*omega, *read]) or ("id",))


def _outcomes(model, sigma, outcome):
    """Names of the outcomes, each with a residual."""
    structure = model.structure if isinstance(model, Model) else model
    if not isinstance(structure, Structure):
        raise ModelError(f"population takes a Model or a structure, such as OneCompartment(); got {model!r}")
    own = outcome_names(structure)
    found = tuple(sigma) if own and all(name in own for name in sigma) else (outcome,)
    for name in found:
        if own and name not in own:
            raise ModelError(f"sigma: state it by outcome; the outcomes of {structure.label} are {', '.join(own)}")
    return found


def _stated(model, formulas, theta, omega, sigma, scatter, outcomes):
    """The `Model`; of a structure, with the formulas that follow from the names in theta and omega."""
    if isinstance(model, Model):
        if formulas or scatter is not None:
            raise ModelError("population: formulas and residual stand in the Model already; leave them out")
        return model
    written = {parse(text).parameter: text for text in formulas}
    names = {level: spreads.named(stated, level) for level, stated in omega.items()}
    together = {level: spreads.joined(stated, level) for level, stated in omega.items()}
    for p in model.parameters:
        terms = theta.get(p.name, {})
        parts = ["1", *(t for t in terms if t != "Intercept")] if isinstance(terms, dict) else ["1"]
        for level, effects in names.items():
            block = "|p|" if p.name in together[level] else "|"
            parts += [f"(1{block}{level})"] if p.name in effects else []
        written.setdefault(p.name, f"{p.name} ~ {' + '.join(parts)}")
    if scatter is None and not model.scattered:  # whose model refuses to be without one
        scatter = _simple(sigma, outcomes)
    return Model(model, *written.values(), residual=scatter)


def _simple(sigma, outcomes):
    kinds = {("a",): residuals.Additive(), ("b",): residuals.Proportional()}
    found = {}
    for name in outcomes:
        parts = tuple(_parts(sigma, name, outcomes))
        if parts not in kinds:
            raise ModelError(
                f"sigma has the parts {', '.join(parts)}: say what they are with residual=, e.g. Combined('sd')"
            )
        found[name] = kinds[parts]
    return found if len(found) > 1 else found[outcomes[0]]


def _parts(sigma, name, outcomes):
    """Parts of the residual of an outcome as SDs."""
    stated = sigma[name] if name in sigma and isinstance(sigma[name], dict) else sigma
    if len(outcomes) > 1 and name not in sigma:
        raise ModelError(f"sigma: {name} is not stated")
    found = {key: value for key, value in stated.items() if key not in ("sd", "variance")}
    for kind in ("sd", "variance"):
        if not isinstance(stated.get(kind, {}), dict):
            raise ModelError(f"sigma: {kind} must be a dict of part -> number; got {stated[kind]}")
    found |= stated.get("sd", {}) | {k: np.sqrt(v) for k, v in stated.get("variance", {}).items()}
    for part, value in found.items():
        if isinstance(value, dict):
            raise ModelError(f"sigma: {part} is no outcome of several, nor sd or variance; state a number; got {value}")
    return found


def _theta(model, design, theta, uncertainty, size, rng):
    known = {p.name: p for p in model.parameters}
    for stated, what in ((theta, "theta"), (uncertainty, "uncertainty")):
        for name in stated:
            if name not in known:
                raise ModelError(f"{what}: no parameter {name!r} in {model.structure.label}; it has {', '.join(known)}")
    found = {}
    for name, p in known.items():
        terms = design.fixed[name].terms
        values = _by_term(theta.get(name), name, terms, "theta")
        errors = _by_term(uncertainty.get(name, 0.0), name, terms, "uncertainty", fill=0.0)
        mean, se = np.zeros(len(terms)), np.zeros(len(terms))
        for i, (term, value) in enumerate(zip(terms, values, strict=True)):
            mean[i], se[i] = _on_link(p, value, term) if term == "Intercept" else (value, abs(value))
        found[name] = mean + rng.standard_normal((size, len(terms))) * se * np.array(errors) / 100
    return found


def _on_link(p, value, term):
    """A typical value on the link scale, and what a relative change of 1 in it would be there."""
    lower, upper = p.scale.bounds
    if not lower < value < upper:
        raise ModelError(f"theta: {p.name} {value:g} is outside ({lower:g}, {upper:g}), its range on the natural scale")
    here = float(p.scale.forward(value))
    return here, abs(float(p.scale.forward(value * (1 + STEP))) - here) / STEP


def _by_term(stated, name, terms, what, fill=None):
    """Numbers in the order of the terms."""
    if stated is None and not terms:
        return []
    if stated is None:
        raise ModelError(f"{what}: {name} is not stated")
    if fill is None and not isinstance(stated, dict) and "Intercept" not in terms:
        terms = f"has the terms {', '.join(terms)}" if terms else "is known"
        raise ModelError(f"{what} of {name}: {stated:g} is a typical value, and by its formula {name} {terms}")
    table = stated if isinstance(stated, dict) else {"Intercept": stated} if "Intercept" in terms else {}
    plain = {spelling(str(key)): value for key, value in table.items()}
    short = {spelling(term): term for term in terms}
    unknown = [key for key in plain if key not in short]
    missing = [term for key, term in short.items() if key not in plain]
    if unknown or (missing and fill is None):
        problem = f"no term {unknown[0]!r}" if unknown else f"the term {missing[0]!r} is not stated"
        raise ModelError(f"{what} of {name}: {problem}; its terms are {', '.join(terms) or 'none'}")
    return [float(plain.get(key, fill)) for key in short]


def _omega(design, omega, size):
    sds, corrs = {}, {}
    for level in design.levels:
        effects = [effect.name for effect in level.effects]
        sd, corr = spreads.spread(omega.get(level.name, {}), level.name, effects)
        sds[level.name] = np.tile(sd, (size, 1))
        if (corr != np.eye(len(corr))).any():
            corrs[level.name] = np.tile(corr, (size, 1, 1))
    for level in omega:
        if level not in sds:
            raise ModelError(f"omega: no level {level!r} in the formulas; there are {', '.join(sds) or 'none'}")
    return {"omega": sds, "corr": corrs}


def _sigma(model, outcomes, sigma, size):
    found = {}
    for name in outcomes:
        stated, wanted = _parts(sigma, name, outcomes), model.residual_of(name).priors(1.0)
        if set(stated) != set(wanted):
            raise ModelError(
                f"sigma of {name}: {model.residual_of(name)} has the parts {', '.join(wanted)}; got {', '.join(stated)}"
            )
        found[name] = {part: np.full(size, float(stated[part])) for part in wanted}
    return found
