"""`LatentCovariate`: a covariate that is measured with error, or not in everyone, as an outcome of the model."""

from dataclasses import dataclass, replace

import pytensor.tensor as pt

from nlmebayes.arguments import Name, Names, Number, Positive, checked
from nlmebayes.parameter.parameter import Identity, Log, Parameter
from nlmebayes.structure.compartments import outcome_names
from nlmebayes.structure.structure import Named, Structure, unambiguous
from nlmebayes.structure.traits import passed_on


@checked
@passed_on("structure")
@dataclass(frozen=True)
class LatentCovariate(Structure):
    r"""A structure some of whose parameters depend on a covariate that is itself uncertain.

    .. math:: \text{link}(\phi_u) = \dots + \beta\,(\tilde x_u - \text{typical}), \qquad
              x_{uj} \sim \text{Residual}(\tilde x_u)

    The true value of the covariate is the parameter ``<covariate>_true``, with a formula of its own (the model of the
    covariate: ``"alb_true ~ 1 + age + (1|id)"``) and a random effect per subject; the coefficients are the parameters
    ``<parameter>_<covariate>``, on the link scale per unit of the covariate. The measurements of the covariate are an
    outcome under its own name: a subject without one gets it from the others and from its own response, in proportion
    to what they say; one with an error is corrected for it. The residual of that outcome is the error of measurement,
    e.g. ``Aggregate(None, error="alb_se")``.

    Parameters
    ----------
    structure : Structure
        Any; parameters in ``on`` have a log or an identity link.
    covariate : str
        Column with the measurements, an outcome of the dataset.
    on : tuple of str
        Parameters that depend on it.
    typical, spread : float
        Centre and SD of the covariate in the population.
    outcome : str
        Name of the outcome of a structure that has only one.

    Raises
    ------
    ValueError
        No such parameter, or one with another link; names that are there twice.

    References
    ----------
    Carroll, Ruppert, Stefanski and Crainiceanu (2006), Measurement Error in Nonlinear Models, 2nd ed.

    Examples
    --------
    >>> import nlmebayes as nb
    >>> from model_zoo import OneCompartment
    >>> structure = nb.LatentCovariate(OneCompartment(), "alb", on="cl", typical=40.0, spread=5.0, outcome="conc")
    >>> [p.name for p in structure.parameters], structure.outcomes
    (['cl', 'v', 'alb_true', 'cl_alb'], ('conc', 'alb'))
    """

    structure: Structure
    covariate: Name
    on: Names
    typical: Number
    spread: Positive
    outcome: Name = "y"

    def __post_init__(self):
        known = {p.name: p for p in self.structure.parameters}
        for name in self.on:
            if name not in known:
                raise ValueError(f"LatentCovariate: no parameter {name!r}; there are {', '.join(known)}")
            if not isinstance(known[name].scale, Log | Identity):
                raise ValueError(f"LatentCovariate: {name} has a {known[name].link!r} link; it takes log or identity")
        if not self.on:
            raise ValueError("LatentCovariate: on= names at least one parameter")
        unambiguous(self)

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """Those of the structure, the true covariate, and its coefficients."""
        true = Parameter(f"{self.covariate}_true", self.covariate, self.typical, self.spread, "identity")
        slopes = (
            Parameter(f"{name}_{self.covariate}", f"1/{self.covariate}", 0.0, 1 / self.spread, "identity", varies=False)
            for name in self.on
        )
        return (*self.structure.parameters, true, *slopes)

    @property
    def linked(self):
        return (*self.structure.linked, *self.on)

    @property
    def outcomes(self):
        return (*(outcome_names(self.structure) or (self.outcome,)), self.covariate)

    def tighter(self, factor: float) -> "LatentCovariate":
        """The same with tolerances that are smaller by a factor.

        Parameters
        ----------
        factor : float
            Below 1.

        Returns
        -------
        LatentCovariate

        Examples
        --------
        >>> import nlmebayes as nb
        >>> from model_zoo import MichaelisMenten
        >>> whole = nb.LatentCovariate(MichaelisMenten(), "alb", on="v", typical=40.0, spread=5.0, outcome="conc")
        >>> whole.tighter(0.01).structure.rtol
        9.999999999999999e-05
        """
        return replace(self, structure=self.structure.tighter(factor))

    def arrays(self, design):
        found = self.structure.arrays(design)
        own = {o.name: o.unit for o in design.outcomes}
        if self.covariate in own:
            found[f"unit_of_{self.covariate}"] = (own[self.covariate], (f"{self.covariate}_obs",))
        return found

    def predict(self, p, x, outcomes):
        values = dict(vars(p))
        true = values.pop(f"{self.covariate}_true")
        scales = {parameter.name: parameter.scale for parameter in self.structure.parameters}
        for name in self.on:
            change = values.pop(f"{name}_{self.covariate}") * (true - self.typical)
            here = values[name]
            values[name] = here * pt.exp(change) if isinstance(scales[name], Log) else here + change
        rest = tuple(name for name in outcomes if name != self.covariate)
        found = self.structure.predict(Named(**values), x, rest) if rest else {}
        if self.covariate in outcomes:
            found[self.covariate] = true[..., vars(x)[f"unit_of_{self.covariate}"]]
        return found
