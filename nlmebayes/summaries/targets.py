"""What a question is about: an individual parameter, the prediction of an outcome, or a calculation from these."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from nlmebayes.errors import ModelError
from nlmebayes.formula.arithmetic import column
from nlmebayes.formula.calculation import Calculation, read
from nlmebayes.structure.structure import Named


@dataclass(frozen=True, eq=False)
class Target:
    """``calculation`` is of ``parameters``, of the ``outcome``'s prediction where it has one, and of columns."""

    name: str
    calculation: Calculation | None
    function: Callable | None
    parameters: tuple[str, ...]
    outcome: str | None
    unit: str = ""

    def values(self, phi, f, columns):
        """Values (draw, record), of parameters and predictions (draw, record) and columns (record,) by name.

        Raises
        ------
        ModelError
            A function of the user's own gave something else.
        """
        if self.function is None:
            given = columns | phi | ({self.outcome: f} if self.outcome else {})
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
        return Target("derived" if name == "<lambda>" else name, None, of, tuple(parameters), None)
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
    outcomes = [name for name in names if name in known.outcomes]
    if len(outcomes) > 1:
        raise ModelError(f"of: {of!r} has several outcomes, {', '.join(outcomes)}; ask for one at a time")
    if not any(name in parameters for name in names) and not outcomes:
        raise ModelError(f"of: {of!r} has no parameter and no outcome; there are {', '.join(parameters)}")
    reads = tuple(parameters) if outcomes else tuple(name for name in names if name in parameters)
    return Target(of, calculation, None, reads, outcomes[0] if outcomes else None, unit)
