"""What a question is about: an individual parameter, the prediction of an outcome, the probability of a category, or a
calculation from these."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from nlmebayes.errors import ModelError
from nlmebayes.formula.arithmetic import column
from nlmebayes.formula.calculation import Calculation, read
from nlmebayes.structure.structure import Named


@dataclass(frozen=True, eq=False)
class Target:
    """``calculation`` is of ``parameters``, of the predictions of ``outcomes``, and of columns; ``category`` is the one
    of an ordered outcome whose probability stands for its prediction."""

    name: str
    calculation: Calculation | None
    function: Callable | None
    parameters: tuple[str, ...]
    outcomes: tuple[str, ...] = ()
    unit: str = ""
    category: int | None = None

    @property
    def outcome(self):
        """The first outcome, or None."""
        return self.outcomes[0] if self.outcomes else None

    def values(self, phi, f, columns):
        """Values (draw, record), of parameters and predictions (draw, record) and columns (record,) by name.

        Raises
        ------
        ModelError
            A function of the user's own gave something else.
        """
        if self.function is None:
            given = columns | phi | f
            found = self.calculation.of({name: given[name] for name in self.calculation.names})
        else:
            found = self.function(Named(**phi))
        shape = next(iter(phi.values())).shape
        try:
            return np.broadcast_to(np.asarray(found, dtype=float), shape)
        except (TypeError, ValueError) as error:
            raise ModelError(
                f"of: {self.name} gives no array of the shape {shape} of its parameters: {error}"
            ) from None


def target_of(known, of, at_records):
    """The `Target` that ``of`` means: by default the first outcome; ``at_records`` are columns that may be read too.

    Raises
    ------
    ModelError, FormulaError
        A name that is no parameter, outcome or column; a text that is no arithmetic.
    """
    parameters = {p.name: p.unit for p in known.model.parameters}
    of = known.outcomes[0] if of is None else of
    if not isinstance(of, str):
        name = getattr(of, "__name__", "function")
        return Target("derived" if name == "<lambda>" else name, None, of, tuple(parameters))
    if of in known.outcomes or of in parameters:
        names, unit = (of,), parameters.get(of) or known.training_data.unit_of.get(of, "")
        calculation = Calculation(of, names, column(of).node)
    else:
        calculation, unit = read(of), ""
        names = calculation.names
    allowed = (*parameters, *known.outcomes, *at_records)
    for name in names:
        if name not in allowed:
            raise ModelError(f"of: there is no {name!r}; there are {', '.join(allowed)}")
    outcomes = tuple(name for name in names if name in known.outcomes)
    for name in outcomes if of not in known.outcomes else ():
        if known.model.residual_of(name).categories:
            raise ModelError(f"of: {name} has categories, with which nothing is calculated; ask of={name!r} alone")
    if not any(name in parameters for name in names) and not outcomes:
        raise ModelError(f"of: {of!r} has no parameter and no outcome; there are {', '.join(parameters)}")
    reads = tuple(parameters) if outcomes else tuple(name for name in names if name in parameters)
    return Target(of, calculation, None, reads, outcomes, unit)


def categories(known, target):
    """A `Target` for each category of an ordered outcome; the one that is given of others."""
    if target.outcome is None or not known.model.residual_of(target.outcome).categories:
        return [target]
    many = known.model.residual_of(target.outcome).categories
    return [replace(target, category=k, unit="") for k in range(1, many + 1)]
