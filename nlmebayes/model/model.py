"""`Model`: the whole statement, with no data in it."""

from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Annotated

from nlmebayes.arguments import Kind, Number, Text, checked, instance
from nlmebayes.data.dataset import Dataset
from nlmebayes.errors import ModelError
from nlmebayes.formula import FormulaError, parse
from nlmebayes.formula.grouping import AUTO, PARAMETRISATIONS
from nlmebayes.formula.sigma import is_scale
from nlmebayes.model.declared import assumed, constant, declared, linked, links_of, with_typical
from nlmebayes.model.dimensions import check_units
from nlmebayes.model.probabilities import impossible
from nlmebayes.outcomes.hazards import TimeToEvent
from nlmebayes.outcomes.residual import Additive, Residual, named
from nlmebayes.parameter.parameter import Link, Prior
from nlmebayes.parameter.variables import by_variable
from nlmebayes.structure.compartments import outcome_names
from nlmebayes.structure.structure import Structure

if TYPE_CHECKING:
    from nlmebayes.parameter.parameter import Parameter

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
        `Additive` by default, where the structure predicts what is measured and no rate, probability or hazard.
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
    units : dict of dimension -> unit
        Other units of ``"time"``, ``"amount"`` or ``"volume"`` than the structure declares its parameters in:
        ``{"time": "day"}``. Declared values and labels follow; everything that is stated here is in the new units, as
        are times and doses of the data. A structure with numbers in its own unit is refused.
    inputs : dict of input name -> column name
        Which column of the data is the structure's input, where the names differ.
    parametrisation : "auto", "transport", "noncentred", "centred" or dict
        Of all random effects, or by parameter, by level or by (parameter, level). The posterior is the same; the
        sampler finds it more or less easily. ``"auto"`` lets `fit` choose by what a pilot finds; `build` on its own
        then takes ``"noncentred"``.

    Raises
    ------
    ModelError, FormulaError
        Names that there are not, with those that there are; priors, links and values that the structure cannot have.

    Examples
    --------
    >>> import nlmebayes as nb
    >>> from model_zoo import OneCompartment
    >>> nb.Model(OneCompartment(), "cl ~ 1 + log(wt/70) + (1|id)", residual=nb.Proportional(), fixed={"v": 30.0})
    Model: OneCompartment()
      cl ~ 1 + log(wt / 70) + (1|id)   [log link, L/h]
      v ~ 0 + offset(log(30.0))   [log link, L, fixed]
      residual: Proportional()
    """

    structure: Structure
    formulas: tuple[str, ...]
    residual: Residual | dict = field(hash=False)
    priors: dict = field(hash=False)
    inputs: dict = field(hash=False)
    parametrisation: str | dict = field(hash=False)
    typical: dict = field(hash=False)
    links: dict = field(hash=False, metadata={"stored_if_any": True})
    units: dict = field(hash=False, metadata={"stored_if_any": True})

    ARGUMENT = "a Model, such as nb.Model(Emax())"

    def __init__(
        self, structure: Law, *formulas: Text, residual: Scatter | dict[Text, Scatter] | None = None,
        priors: dict[Text, Prior | dict[Text, Prior]] | None = None, inputs: dict[Text, Text] | None = None,
        parametrisation: Text | dict = AUTO, typical: dict[Text, Number | tuple[Number, ...]] | None = None,
        fixed: dict[Text, Number] | None = None, links: dict[Text, Text | Link] | None = None,
        units: dict[Text, Text] | None = None,
    ):  # fmt: skip
        own = linked(structure, links or {}, units)
        residual = assumed(structure, own) if residual is None else residual
        stated = by_variable(structure, priors or {})
        formulas = (*formulas, *(constant(own, name, value) for name, value in (fixed or {}).items()))
        values = {
            "structure": structure, "formulas": (*formulas, *declared(structure, formulas)), "residual": residual,
            "priors": stated, "inputs": dict(inputs or {}), "parametrisation": parametrisation,
            "typical": dict(typical or {}), "links": dict(links or {}), "units": dict(units or {}),
        }  # fmt: skip
        for name, value in values.items():
            object.__setattr__(self, name, value)
        self._check()

    def _check(self):
        if self.units:
            self._check_units()
        names = [p.name for p in self.structure.parameters]
        where = f"{type(self.structure).__name__}; its parameters are {', '.join(names)}"
        stated = [parse(text).parameter for text in self.formulas if not is_scale(text)]
        for name in (*stated, *self.typical):
            if name not in names:
                mend = ". An outcome is named with the data, and has no formula" if len(names) == 1 else ""
                raise FormulaError(f"no parameter {name!r} in {where}{mend}")
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

    def _check_units(self):
        """The structure holds in the units that are stated."""
        names = outcome_names(self.structure) or ("y",)
        hazard = self.structure.closed and not outcome_names(self.structure)
        residual = dict.fromkeys(names, TimeToEvent() if hazard else Additive())
        plain = [f"{p.name} ~ 1" for p in self.structure.parameters]
        check_units(Model(self.structure, *plain, residual=residual), self.units)

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

    def but(self, **changes: object) -> "Model":
        """The same statement with other parts: ``model.but(parametrisation="centred")``.

        Parameters
        ----------
        **changes
            Arguments by name; ``formulas`` is a tuple.

        Returns
        -------
        Model

        Raises
        ------
        ModelError, FormulaError
            As `Model`.

        Examples
        --------
        >>> import nlmebayes as nb
        >>> from model_zoo import Emax
        >>> nb.Model(Emax()).but(residual=nb.StudentT()).residual
        StudentT()
        """
        stated = {f.name: getattr(self, f.name) for f in fields(self)} | changes
        if "formulas" not in changes:
            fixed = changes.get("fixed", {})
            stated["formulas"] = tuple(text for text in self.formulas if parse(text).parameter not in fixed)
        if {"structure", "links"} & {*changes} and "residual" not in changes and self.residual == Additive():
            stated["residual"] = None  # what a class is assumed to have is not that of another, or on another link
        if "structure" in changes and "formulas" not in changes:  # those of the class are not those of another
            stated["formulas"] = tuple(text for text in stated["formulas"] if text not in self.structure.formulas)
        found = Model(stated.pop("structure"), *stated.pop("formulas"), **stated)
        before, after = dict(self.scales), dict(found.scales)
        for name in self.fixed if "formulas" not in changes else ():
            if name not in changes.get("fixed", {}) and after.get(name, before[name]) != before[name]:
                raise ModelError(f"{name} is fixed, and its link is another now: state its value anew, fixed=")
        return found

    def parametrisation_of(self, parameter: str, level: str) -> str:
        """What is asked for the effects of a parameter at a level.

        Parameters
        ----------
        parameter, level : str

        Returns
        -------
        str

        Examples
        --------
        >>> import nlmebayes as nb
        >>> from model_zoo import Emax
        >>> nb.Model(Emax(), parametrisation={"e0": "centred"}).parametrisation_of("e0", "id")
        'centred'
        """
        given = self.parametrisation
        if not isinstance(given, dict):
            return given
        return given.get((parameter, level)) or given.get(parameter) or given.get(level) or AUTO

    def residual_of(self, outcome: str) -> Residual:
        """The residual of an outcome.

        Parameters
        ----------
        outcome : str

        Returns
        -------
        Residual

        Examples
        --------
        >>> import nlmebayes as nb
        >>> from model_zoo import Emax
        >>> nb.Model(Emax()).residual_of("effect")
        Additive()
        """
        if not isinstance(self.residual, dict):
            return self.residual
        if outcome not in self.residual:
            raise ModelError(f"no residual for outcome {outcome!r}; residuals are given for {', '.join(self.residual)}")
        return self.residual[outcome]

    @property
    def parameters(self) -> "tuple[Parameter, ...]":
        """The structure's parameters with the links and typical values stated here."""
        return tuple(
            with_typical(p.in_units(**self.units), self.typical.get(p.name), self.links.get(p.name))
            for p in self.structure.parameters
        )

    @property
    def scales(self) -> tuple[tuple[str, Link], ...]:
        """(name, `Link`) of every parameter."""
        try:
            return links_of(self.structure, tuple(self.links.items()), tuple(self.units.items()))
        except TypeError:  # a class of one's own that has no hash: it can be built, and is refused where it is stored
            return tuple(linked(self.structure, self.links, self.units).items())

    @property
    def fixed(self) -> tuple[str, ...]:
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
