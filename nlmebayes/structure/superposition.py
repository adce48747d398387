"""`Superposition`: systems that are linear in dose, as the sum of the responses to each dose."""

from abc import abstractmethod

import numpy as np
import pytensor.tensor as pt

from nlmebayes.structure.structure import Named, Structure


class Superposition(Structure):
    """f(t) = sum over earlier doses k of amount_k * response(phi, t - t_k).

    Doses are boluses into the dosed state. A dose at the time of a sample counts if its record comes first.
    Individual parameters are constant within a subject (time-varying ones would need the state to be carried on).
    """

    doses = True
    state = True
    inputs = ("time",)

    @abstractmethod
    def response(self, p, t):
        """Response to a unit bolus at time ``t >= 0`` after it, e.g. concentration per amount (1/L).

        ``p`` holds the parameters of each pair of record and dose, (pair,) or (draw, pair); ``t`` is (pair,).
        """

    def arrays(self, observed):
        which, dose = earlier_doses(observed)
        elapsed = observed.inputs["time"][which] - observed.dose_time[dose]
        return {
            "unit": (observed.unit[which], "dose"),
            "record": (which, "dose"),
            "elapsed": (elapsed, "dose"),
            "amount": (observed.dose_amount[dose], "dose"),
            "time": (observed.inputs["time"], "obs"),
        }

    def predict(self, p, x, outcome):
        of_dose = Named(**{name: value[..., x.unit] for name, value in vars(p).items()})
        each = x.amount * self.response(of_dose, x.elapsed)
        # Records are the last axis, so that draws may come before; rows are what indexing adds to, hence the .T.
        first = next(iter(vars(p).values()))
        nothing = pt.zeros_like(first[..., 0])[..., None] + pt.zeros_like(x.time)
        return pt.inc_subtensor(nothing.T[x.record], each.T).T


def earlier_doses(observed):
    """Pairs (record, dose) of the same subject with the dose before the record."""
    by_subject = {}
    for k, subject in enumerate(observed.dose_subject):
        by_subject.setdefault(subject, []).append(k)
    which, dose = [], []
    for i, subject in enumerate(observed.subject):
        k = np.asarray(by_subject.get(subject, ()), dtype=int)
        before = observed.dose_time[k] < observed.inputs["time"][i]
        same = (observed.dose_time[k] == observed.inputs["time"][i]) & (observed.dose_position[k] < observed.row[i])
        k = k[before | same]
        which.append(np.full(len(k), i))
        dose.append(k)
    return np.concatenate([*which, np.zeros(0, int)]), np.concatenate([*dose, np.zeros(0, int)])
