"""`Model`, the whole statement with no data in it, and `build`, which makes a PyMC model of it on a dataset."""

from dataclasses import dataclass, field, fields, replace
from typing import Annotated

import numpy as np
import pymc as pm
import pytensor.tensor as pt

from nlmebayes.arguments import Kind, Number, Text, checked, instance
from nlmebayes.data.dataset import Dataset
from nlmebayes.formula import FormulaError, parse
from nlmebayes.formula.design import Design, resolve
from nlmebayes.formula.grouping import AUTO, PARAMETRISATIONS
from nlmebayes.formula.sigma import is_scale, link_of, scale_prior
from nlmebayes.model import hierarchy, transport
from nlmebayes.model.agreement import check_doses, check_names, check_residuals
from nlmebayes.model.declared import constant, declared, linked, links_of, with_typical
from nlmebayes.model.probabilities import impossible
from nlmebayes.outcomes import censoring
from nlmebayes.outcomes.hazards import Rows
from nlmebayes.outcomes.residual import Additive, Residual, named, scale_of
from nlmebayes.parameter.parameter import Link, Prior
from nlmebayes.parameter.variables import ModelError, Variables, by_variable
from nlmebayes.structure.compartments import outcome_names
from nlmebayes.structure.structure import Named, Structure

LARGE = 20_000  # numbers in an array that is never made a constant
BARRIER = 0.02  # width of the barrier of an order constraint: a log-ratio of 0.1 costs exp(-5)
Data = Annotated[Dataset, instance("a Dataset, from Dataset.from_frame or Dataset.from_nonmem", Dataset)]
Law = Annotated[Structure, instance("an instance of a zoo class, such as Emax()", Structure)]
Scatter = Annotated[Residual, Kind("an instance of a residual, such as Additive()", named)]


@checked
@dataclass(frozen=True, init=False)
class Model:
    """A structure, a formula per parameter, a residual per outcome.

    Parameters
    ----------
    structure : Structure
    *formulas : str
        ``"cl ~ 1 + log(wt/70) + (1|id)"``. A parameter without a formula has the one that its structure declares; if
        there is none it varies at every level of the data (``~ 1 + (1|level) + ...``) if its structure says that it
        varies, and is ``~ 1`` otherwise; a level with one group is left out of this default.
    residual : Residual or dict of outcome -> Residual
        `Additive` by default.
    priors : dict of variable name -> Prior, or of coefficient -> Prior
        Replaces the default prior of any free variable; `priors` lists them. ``"cl"`` is ``"theta_cl"``. By
        coefficient, ``{"cl": {"log(wt/70)": Prior("Normal", mu=0.75, sigma=0.1)}}``, the others keep theirs.
        ``"omega_id**2"`` states that of a variance; the variable stays the SD.
    typical : dict of parameter name -> float or (float, float)
        Replaces the typical value, and the spread on the link scale, that a parameter is declared with.
    fixed : dict of parameter name -> float
        Parameters that are known, on their natural scale. They leave the inference and stay in predictions; the same as
        the formula ``"v0 ~ 0 + offset(log(5))"`` for ``fixed={"v0": 5.0}``.
    links : dict of parameter name -> str or Link
        Replaces the link that a parameter is declared with: ``{"e0": "log"}``. Its prior scales are then those of the
        link, unless ``typical`` states them.
    inputs : dict of input name -> column name
        Which column of the data is the structure's input, where the names differ.
    parametrisation : "auto", "transport", "noncentred", "centred" or dict
        Of all random effects, or by parameter, by level or by (parameter, level). The posterior is the same; the
        sampler finds it more or less easily. ``"auto"`` lets `fit` choose by what a pilot finds; `build` on its own
        then takes ``"noncentred"``.
    """

    structure: Structure
    formulas: tuple[str, ...]
    residual: Residual | dict = field(hash=False)
    priors: dict = field(hash=False)
    inputs: dict = field(hash=False)
    parametrisation: str | dict = field(hash=False)
    typical: dict = field(hash=False)
    links: dict = field(hash=False, metadata={"stored_if_any": True})

    ARGUMENT = "a Model, such as nb.Model(Emax())"

    def __init__(
        self, structure: Law, *formulas: Text, residual: Scatter | dict[Text, Scatter] = Additive(),  # noqa: B008
        priors: dict[Text, Prior | dict[Text, Prior]] | None = None, inputs: dict[Text, Text] | None = None,
        parametrisation: Text | dict = AUTO, typical: dict[Text, Number | tuple[Number, ...]] | None = None,
        fixed: dict[Text, Number] | None = None, links: dict[Text, Text | Link] | None = None,
    ):  # fmt: skip
        stated = by_variable(structure, priors or {})
        own = linked(structure, links or {})
        formulas = (*formulas, *(constant(own, name, value) for name, value in (fixed or {}).items()))
        values = {
            "structure": structure, "formulas": (*formulas, *declared(structure, formulas)), "residual": residual,
            "priors": stated, "inputs": dict(inputs or {}), "parametrisation": parametrisation,
            "typical": dict(typical or {}), "links": dict(links or {}),
        }  # fmt: skip
        for name, value in values.items():
            object.__setattr__(self, name, value)
        self._check()

    def _check(self):
        names = [p.name for p in self.structure.parameters]
        where = f"{type(self.structure).__name__}; its parameters are {', '.join(names)}"
        stated = [parse(text).parameter for text in self.formulas if not is_scale(text)]
        for name in (*stated, *self.typical):
            if name not in names:
                raise FormulaError(f"no parameter {name!r} in {where}")
            if stated.count(name) > 1:
                raise FormulaError(f"parameter {name!r} has two formulas, or is fixed beside one")
        for name in self.inputs:
            if name not in self.structure.inputs:
                wanted = ", ".join(self.structure.inputs) or "none"
                raise ModelError(f"no input {name!r} in {type(self.structure).__name__}; its inputs are {wanted}")
        for name, value in self.typical.items():
            if isinstance(value, tuple) and len(value) != 2:
                raise ModelError(f"typical value of {name}: write a number, or (value, spread); got {value}")
        _ = self.parameters  # whose typical values are in their range
        for name, prior in self.priors.items():
            for label, each in prior.items() if isinstance(prior, dict) else [("", prior)]:
                each.check(f"{name}[{label}]" if label else name)
        self._check_probabilities()
        given = self.parametrisation
        for value in given.values() if isinstance(given, dict) else [given]:
            if value not in PARAMETRISATIONS:
                raise ModelError(f"no parametrisation {value!r}; there are {', '.join(PARAMETRISATIONS)}")

    def _check_probabilities(self):
        """Predictions of outcomes whose family takes probabilities are some."""
        each = self.residual if isinstance(self.residual, dict) else {None: self.residual}
        for outcome, residual in each.items():
            names = (outcome,) if outcome else outcome_names(self.structure) if residual.probability else ()
            for name in names or ("y",):
                wrong = impossible(self.structure, self.parameters, name) if residual.probability else None
                if wrong is not None:
                    raise ModelError(
                        f"{residual} takes a probability, and {self.structure.label} can predict {wrong:g}"
                        f"{f' for {outcome}' if outcome else ''}: take a structure or an option whose link is the "
                        "logit, or another residual"
                    )

    def but(self, **changes):
        """The same statement with other parts: ``model.but(parametrisation="centred")``.

        Parameters
        ----------
        **changes
            Arguments by name; ``formulas`` is a tuple.

        Raises
        ------
        ModelError, FormulaError
            As `Model`.
        """
        stated = {f.name: getattr(self, f.name) for f in fields(self)} | changes
        if "formulas" not in changes:
            fixed = changes.get("fixed", {})
            stated["formulas"] = tuple(text for text in self.formulas if parse(text).parameter not in fixed)
        if "structure" in changes and "formulas" not in changes:  # those of the class are not those of another
            stated["formulas"] = tuple(text for text in stated["formulas"] if text not in self.structure.formulas)
        found = Model(stated.pop("structure"), *stated.pop("formulas"), **stated)
        before, after = dict(self.scales), dict(found.scales)
        for name in self.fixed if "formulas" not in changes else ():
            if name not in changes.get("fixed", {}) and after.get(name, before[name]) != before[name]:
                raise ModelError(f"{name} is fixed, and its link is another now: state its value anew, fixed=")
        return found

    def parametrisation_of(self, parameter, level):
        """What is asked for the effects of a parameter at a level."""
        given = self.parametrisation
        if not isinstance(given, dict):
            return given
        return given.get((parameter, level)) or given.get(parameter) or given.get(level) or AUTO

    def residual_of(self, outcome):
        """The residual of an outcome."""
        if not isinstance(self.residual, dict):
            return self.residual
        if outcome not in self.residual:
            raise ModelError(f"no residual for outcome {outcome!r}; residuals are given for {', '.join(self.residual)}")
        return self.residual[outcome]

    @property
    def parameters(self):
        """The structure's parameters with the links and typical values stated here."""
        return tuple(
            with_typical(p, self.typical.get(p.name), self.links.get(p.name)) for p in self.structure.parameters
        )

    @property
    def scales(self):
        """(name, `Link`) of every parameter."""
        try:
            return links_of(self.structure, tuple(self.links.items()))
        except TypeError:  # a class of one's own that has no hash: it can be built, and is refused where it is stored
            return tuple(linked(self.structure, self.links).items())

    @property
    def fixed(self):
        """Names of the parameters that are known: those whose formula is a number."""
        return tuple(f.parameter for f in map(parse, self.formulas) if not is_scale(f.text) and f.constant)

    def __repr__(self):
        lines = [f"Model: {self.structure.label}"]
        stated = {parse(text).parameter: parse(text).text for text in self.formulas}
        scales = [f"  {parse(text).text}" for text in self.formulas if is_scale(text)]
        for p in self.parameters:
            default = f"{p.name} ~ 1" + (" + (1|every level)" if p.varies else "")
            known = ", fixed" if p.name in self.fixed else ""
            lines.append(f"  {stated.get(p.name, default)}   [{type(p.scale).__name__.lower()} link, {p.unit}{known}]")
        lines += [f"  residual: {self.residual}", *scales]
        return "\n".join(lines)


@checked
def build(model: Model, data: Data) -> pm.Model:
    """The PyMC model of ``model`` on ``data``, with named dims, for use with any PyMC tool.

    Free variables ``theta_<parameter>``, ``omega_<level>``, ``sigma_<outcome>_<part>`` and the standardised
    effects; deterministics ``eta_<level>``, ``corr_<level>``, the individual parameters and ``f_<outcome>``;
    observed variables under the outcomes' own names. All that differs between datasets is ``pm.Data``.

    Raises
    ------
    FormulaError, DataError, ModelError
    """
    return assemble(model, designed(model, data, measured=True))[0]


def designed(model, data, *, measured=False) -> Design:
    """The design of a model on a dataset; ``measured`` asks for every measurement."""
    missing = data.observations["row"][data.observations["value"].isna()]
    if measured and len(missing):
        raise ModelError(f"row {missing.iloc[0]} has no measurement: these data are for prediction, not for a fit")
    design = resolve(model, data)
    known = {p.name for p in model.structure.parameters} | {level.name for level in design.levels}
    if isinstance(model.parametrisation, dict):
        for key in model.parametrisation:
            for name in key if isinstance(key, tuple) else (key,):
                if name not in known:
                    raise ModelError(
                        f"parametrisation: no parameter or level {name!r}; there are {', '.join(sorted(known))}"
                    )
    return design


def assemble(model: Model, design: Design, information=None, *, fixed=False):
    """The PyMC model of a resolved design, and the `Variables` with its priors.

    ``information``, of the levels that are transported, is that of `transport.Information`. ``fixed``: all data but
    measurements and information are constants, unless they are large; such a model compiles faster.
    """
    check_names(model, design)
    check_doses(model, design)
    check_residuals(model, design)
    design = replace(design, outcomes=tuple(o.fitted for o in design.outcomes))
    variables = Variables(model.priors)
    given = model.structure.arrays(design)
    lengths = {dims[0]: range(len(values)) for values, dims in given.values() if dims}
    with pm.Model(coords=lengths | coordinates(design)) as built:
        x = {name: _data(name, *value, fixed) for name, value in hierarchy.arrays(design).items()}
        scale = hierarchy.scale_of_data(model, design)
        theta, spread = hierarchy.add_law(design, model.parameters, scale, variables)
        sigma = {o.name: _add_residual(model, design, o, variables) for o in design.outcomes}
        precisions = _precisions(model, design, sigma, information) if information else None
        eta = hierarchy.add_effects(design, theta, spread, information, precisions)
        phi = hierarchy.individual(model.scales, design.levels, x, theta, eta)
        phi = {name: pm.Deterministic(name, value, dims="unit") for name, value in phi.items()}
        for gap in model.structure.order:
            pm.Potential(f"order_{gap.__name__}", barrier(gap(Named(**phi))))
        own = Named(**{name: _data(name, *value, fixed) for name, value in given.items()})
        f = model.structure.predict(Named(**phi), own, tuple(o.name for o in design.outcomes))
        for observed in design.outcomes:
            s = _at_records(model, observed, sigma[observed.name], fixed)
            _add_outcome(model, design, observed, f[observed.name], s)
        variables.finish()
    return built, variables


def by_node(model, design):
    """A model and design as a pilot takes them: the nodes of event times are records of their own, and correlated
    residuals independent."""
    each = {o.name: model.residual_of(o.name) for o in design.outcomes}
    if not any(residual.folds or residual.correlated for residual in each.values()):
        return model, design
    residuals = {}
    for o in design.outcomes:
        residual = each[o.name]
        residuals[o.name] = Rows() if o.nodes is not None else residual.residual if residual.correlated else residual
    rows = replace(design, outcomes=tuple(o.fitted.asked for o in design.outcomes))
    return model.but(residual=residuals), rows


def _data(name, value, dims, fixed):
    return pt.constant(value, name=name) if fixed and value.size <= LARGE else pm.Data(name, value, dims=dims)


def barrier(gap):
    """Soft barrier that keeps ``gap`` positive, summed over units (last axis): log sigmoid(gap / BARRIER)."""
    return -pt.softplus(-gap / BARRIER).sum(axis=-1)


def coordinates(design: Design):
    """Coordinates of the PyMC model and of the tree."""
    coords = {"unit": list(design.labels)}
    for name, matrix in design.fixed.items():
        coords[f"{name}_term"] = list(matrix.terms)
        smooths = list(dict.fromkeys(filter(None, matrix.smooths)))
        coords |= {f"{name}_smooth": smooths} if smooths else {}
    for level in design.levels:
        names = [effect.name for effect in level.effects]
        coords |= {
            level.name: list(level.labels),
            f"{level.name}_effect": names,
            f"{level.name}_effect_other": names,
        }
    coords |= {f"sigma_{o}_{part}_term": list(matrix.terms) for (o, part), matrix in design.scales.items()}
    return coords | {f"{o.name}_obs": o.row for o in design.outcomes}


def _add_residual(model, design, observed, variables):
    """The free parts of an outcome's residual by name: numbers, or coefficients of those with a formula, (term,)."""
    found = {}
    for part, prior in model.residual_of(observed.name).priors(scale_of(observed.values)).items():
        name, matrix = f"sigma_{observed.name}_{part}", design.scales.get((observed.name, part))
        if matrix is None:
            found[part] = variables.add(name, prior, None, ())
        else:
            found[part] = variables.add(name, scale_prior(prior, matrix), f"{name}_term", matrix.terms)
    return found


def _at_records(model, observed, parts, fixed):
    """Parts and columns of a residual as its likelihood takes them."""
    name = observed.name
    dims = {1: (f"{name}_obs",), 2: None}
    data = {part: _data(f"{name}_{part}", x, dims[x.ndim], fixed) for part, x in observed.columns.items()}
    each = {part: (f"X_sigma_{name}_{part}", x, (*dims[1], f"sigma_{name}_{part}_term"))
            for part, x in observed.scales.items()}  # fmt: skip
    residual = model.residual_of(name)
    parts = parts | {
        part: link_of(residual, part).inverse(_data(*given, fixed) @ parts[part]) for part, given in each.items()
    }
    return Named(**parts, **data)


def _on_average(model, observed, parts):
    """Parts and columns of a residual at the mean record."""
    residual = model.residual_of(observed.name)
    parts = parts | {
        part: link_of(residual, part).inverse(pt.dot(x.mean(axis=0), parts[part]))
        for part, x in observed.scales.items()
    }
    return Named(**parts, **{part: float(x.mean()) for part, x in observed.columns.items()})


def _precisions(model, design, sigma, information):
    """How much more the measurements of each outcome say than in the pilot, (outcome,): the square of the scatter there
    by the one here, at the predictions that stand for all."""
    data = {name: transport.fixed_data(name, value) for name, value in information.scatter().items()}
    log_precision = []
    for k, observed in enumerate(design.outcomes):
        s = _on_average(model, observed, sigma[observed.name])
        log_precision.append(model.residual_of(observed.name).log_precision(data["transport_f"][k], s).mean())
    return pt.exp(2 * (pt.stack(log_precision) - data["transport_log_precision"]))


def _add_outcome(model, design, observed, f, s):
    name, residual = observed.name, model.residual_of(observed.name)
    _possible(observed, residual, design.positive)
    if residual.folds:
        f = f.reshape((len(observed.row), -1))
        pm.Deterministic(f"f_{name}", (f * (s.until + s.within)).sum(axis=-1), dims=f"{name}_obs")
    else:
        f = pm.Deterministic(f"f_{name}", f, dims=f"{name}_obs")
    if model.structure.fallible:  # a point without a prediction has no density, but its gradient is finite
        known = ~pt.isnan(f)
        pm.Potential(f"solved_{name}", pt.switch(pt.all(known), 0.0, -np.inf))
        f = pt.switch(known, f, 1.0)
    if not residual.folds and (observed.censored.any() or design.positive):
        limits = observed.values, observed.lower, observed.upper
        censoring.register(residual, f, s, *limits, name, f"{name}_obs", design.positive)
        return
    known = np.where(np.isnan(observed.values), 1.0, observed.values)  # missing ones are only simulated, never fitted
    values = pm.Data(f"{name}_observed", known, dims=f"{name}_obs")
    pm.modelcontext(None).register_rv(residual.likelihood(f, s), name, observed=values, dims=(f"{name}_obs",))


def _possible(observed, residual, positive):
    """Measured values have a density."""
    measured = ~observed.censored & np.isfinite(observed.values)
    bad = np.flatnonzero(measured & residual.outside(observed.values, observed.columns))
    if bad.size:
        columns = "".join(f", {name} = {x[bad[0]]:g}" for name, x in observed.columns.items())
        raise ModelError(
            f"row {observed.row[bad[0]]}: {observed.name} = {observed.values[bad[0]]:g}{columns}, to which {residual} "
            f"gives no density; use another residual (this one takes {residual.values})"
        )
    bad = np.flatnonzero(measured & (observed.values <= 0)) if positive else bad
    if bad.size:
        raise ModelError(f"row {observed.row[bad[0]]}: {observed.name} is not positive, and blq='M4' says it is")
