"""`Superposition`: systems that are linear in dose, as the sum of the responses to each dose."""

from abc import abstractmethod

import numpy as np
import pytensor.tensor as pt
from pytensor.tensor import TensorVariable

from nlmebayes.data.ties import same
from nlmebayes.data.validate import DataError
from nlmebayes.structure.structure import Named, Structure


class Superposition(Structure):
    """f(t) = sum over earlier doses k of amount_k * response(phi, t - t_k).

    For responses that are no sum of exponentials, such as a gamma-distributed absorption time; a system of
    compartments is a `LinearSystem`, whose cost grows with records plus doses instead of their product. Doses are
    boluses, with ADDL. A dose at the time of a sample counts if its record comes first. Individual parameters are
    constant within a subject.

    Examples
    --------
    A dose that is absorbed after a gamma-distributed time:

    >>> import numpy as np, pytensor.tensor as pt, nlmebayes as nb
    >>> class GammaInput(nb.Superposition):
    ...     parameters = (nb.Parameter("k", "1/h", 0.1), nb.Parameter("v", "L", 30.0))
    ...     def response(self, p, t):
    ...         return p.k * t * pt.exp(-p.k * t) / p.v
    >>> GammaInput().response(nb.Named(k=0.1, v=30.0), np.array([0.0, 10.0])).eval().round(4).tolist()
    [0.0, 0.0123]
    """

    doses, superposed, boluses = True, True, True
    changing = False
    inputs = ("time",)

    @abstractmethod
    def response(self, p: Named, t: TensorVariable) -> TensorVariable:
        """Response to a unit bolus, e.g. concentration per amount (1/L).

        Parameters
        ----------
        p : Named
            The parameters of each pair of record and dose, (pair,) or (draw, pair).
        t : tensor (pair,)
            Time since the dose, from 0.

        Returns
        -------
        tensor (pair,) or (draw, pair)

        Examples
        --------
        >>> import numpy as np, nlmebayes as nb
        >>> class Bolus(nb.Superposition):
        ...     parameters = (nb.Parameter("k", "1/h", 0.1), nb.Parameter("v", "L", 30.0))
        ...     def response(self, p, t):
        ...         return np.exp(-p.k * t) / p.v
        >>> Bolus().response(nb.Named(k=0.1, v=30.0), np.array([0.0])).round(3).tolist()
        [0.033]
        """

    def arrays(self, design):
        found = {}
        given = _boluses(design)
        for o in design.outcomes:
            which, dose = _earlier(o, given)
            found[f"unit_{o.name}"] = (o.unit[which], (f"{o.name}_dose",))
            found[f"record_{o.name}"] = (which, (f"{o.name}_dose",))
            elapsed = np.maximum(o.inputs["time"][which] - given["time"][dose], 0.0)  # a tie may differ by rounding
            found[f"elapsed_{o.name}"] = (elapsed, (f"{o.name}_dose",))
            found[f"amount_{o.name}"] = (given["amount"][dose], (f"{o.name}_dose",))
            found[f"time_{o.name}"] = (o.inputs["time"], (f"{o.name}_obs",))
        return found

    def predict(self, p, x, outcomes):
        return {name: self._summed(p, vars(x), name) for name in outcomes}

    def _summed(self, p, x, outcome):
        of_dose = Named(**{name: value[..., x[f"unit_{outcome}"]] for name, value in vars(p).items()})
        each = x[f"amount_{outcome}"] * self.response(of_dose, x[f"elapsed_{outcome}"])
        # Records are the last axis, so that draws may come before; rows are what indexing adds to, hence the .T.
        first = next(iter(vars(p).values()))
        nothing = pt.zeros_like(first[..., 0])[..., None] + pt.zeros_like(x[f"time_{outcome}"])
        return pt.inc_subtensor(nothing.T[x[f"record_{outcome}"]], each.T).T


def _boluses(design):
    """Every bolus with its additional doses: subject, time, position, amount."""
    records = design.records
    for row, what in zip(records["row"], records["what"], strict=True):
        if what == "reset":
            raise DataError(f"{design.source}, row {int(row)}: a superposition cannot be reset")
    doses = records[records["what"] == "dose"]
    for column in ("rate", "ss"):
        used = np.flatnonzero(doses[column].to_numpy() != 0)
        if used.size:
            row = int(doses["row"].iloc[used[0]])
            raise DataError(
                f"{design.source}, row {row}, column {column.upper()}: a superposition of responses takes boluses only"
            )
    again = doses["addl"].to_numpy(int) + 1
    index = np.repeat(np.arange(len(doses)), again)
    later = np.concatenate([np.arange(n) for n in again] or [np.zeros(0)])
    return {
        "subject": doses["subject"].to_numpy()[index], "position": doses["position"].to_numpy()[index],
        "time": doses["time"].to_numpy()[index] + later * doses["ii"].to_numpy()[index],
        "amount": doses["amount"].to_numpy()[index],
    }  # fmt: skip


def _earlier(observed, given):
    """Pairs (record, dose) of the same subject with the dose before the record."""
    by_subject = {}
    for k, subject in enumerate(given["subject"]):
        by_subject.setdefault(subject, []).append(k)
    which, dose = [], []
    for i, subject in enumerate(observed.subject_number):
        k = np.asarray(by_subject.get(subject, ()), dtype=int)
        tied = same(given["time"][k], observed.inputs["time"][i])
        before = np.where(tied, given["position"][k] < observed.row[i], given["time"][k] < observed.inputs["time"][i])
        k = k[before]
        which.append(np.full(len(k), i))
        dose.append(k)
    return np.concatenate([*which, np.zeros(0, int)]), np.concatenate([*dose, np.zeros(0, int)])
