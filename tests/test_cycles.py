"""Steady states of slopes that read the time, beside doses written out, and those that there are none of."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytensor
import pytensor.tensor as pt
import pytest

import nlmebayes as nb
from model_zoo import IndirectResponse, OneCompartment
from nlmebayes.model.build import designed
from nlmebayes.structure.structure import Named


@dataclass(frozen=True)
class Circadian(nb.System):
    states = ("central", "lost")
    parameters = (nb.Parameter("cl", "L/h", 1.0), nb.Parameter("v", "L", 20.0))
    period = 24.0

    def rhs(self, t, y, p):
        out = p.cl / p.v * y.central * (1 + 0.8 * pt.cos(2 * np.pi * t / 24))
        return {"central": -out, "lost": out}

    def outcomes(self, t, y, p):
        return {"conc": y.central / p.v}


@dataclass(frozen=True)
class Aperiodic(Circadian):
    period = None


@dataclass(frozen=True)
class Mistaken(Circadian):
    period = 20.0


@dataclass(frozen=True)
class Lagged(Circadian):
    def routes(self, p):
        return {"central": nb.Route("central", lag=0.1 * p.v)}


TIGHT = {"rtol": 1e-10, "atol": 1e-12}


def data(interval, *, written=0, rate=0.0, ss=1, start=6.0, samples=(6.0, 12.0, 18.0), **dose):
    """Doses of 100 at a steady state from ``start`` on, or so many written out before."""
    first = start - written * interval
    given = {"id": [1], "time": [first], "amt": [100.0], "ii": [interval], "rate": [rate], "addl": [written + 4]}
    given |= {"ss": [0 if written else ss]} | {name: [value] for name, value in dose.items()}
    frame = pd.DataFrame({"id": 1, "time": samples, "conc": 1.0})
    return nb.Dataset.from_frame(frame, outcome="conc", levels="id", time="time", doses=pd.DataFrame(given))


def predicted(structure, dataset):
    """Concentrations, and the slopes of their weighted sum in the parameters."""
    design = designed(nb.Model(structure, *(f"{p.name} ~ 1" for p in structure.parameters)), dataset)
    x = {name: pt.constant(value) for name, (value, _) in structure.arrays(design).items()}
    phi = {p.name: pt.dvector(p.name) for p in structure.parameters}
    value = structure.predict(Named(**phi), Named(**x), ("conc",))["conc"]
    slopes = pytensor.grad((value * np.arange(1, 4)).sum(), list(phi.values()))
    compute = pytensor.function(list(phi.values()), [value, *slopes], mode="FAST_COMPILE")
    found, *slopes = compute(*(np.array([p.typical]) for p in structure.parameters))
    return found, np.concatenate(slopes)


def test_two_doses_a_day_under_a_daily_rhythm():
    assert predicted(Circadian(**TIGHT), data(12.0, addl=0))[0] == pytest.approx([10.05, 8.67, 7.49], abs=0.005)


@pytest.mark.parametrize("interval", [12.0, 24.0, 9.0, 48.0])
@pytest.mark.parametrize("rate", [0.0, 20.0, 9.0], ids=["bolus", "infusion", "longer than the interval"])
def test_a_steady_state_is_that_of_doses_written_out(interval, rate):
    found, slopes = predicted(Circadian(**TIGHT), data(interval, rate=rate))
    known, wanted = predicted(Circadian(**TIGHT), data(interval, rate=rate, written=400))
    assert found == pytest.approx(known, rel=1e-8)
    assert slopes == pytest.approx(wanted, rel=1e-6)


@pytest.mark.parametrize(
    ("structure", "dose", "why"),
    [
        (Aperiodic(), {}, r"Aperiodic\(\) has slopes that read the time.*period = 24.0"),
        (Mistaken(), {}, "has slopes that are others a period of 20 later"),
        (Circadian(), {"interval": 11.377}, "of which 100 intervals of 11.377 or fewer are no multiple"),
        (Circadian(), {"interval": 0.0, "amt": 0.0, "rate": 5.0, "addl": 0}, "under which no infusion settles"),
        (Lagged(), {}, "its doses a lag, which would move their phase"),
    ],
)  # fmt: skip
def test_what_never_repeats_is_refused_by_name(structure, dose, why):
    dataset = data(**({"interval": 12.0} | dose))
    design = designed(nb.Model(structure), dataset)
    with pytest.raises(nb.DataError, match=f"row 1, column SS: .*{why}.*; write the doses out"):
        structure.arrays(design)


def test_slopes_that_do_not_read_the_time_need_no_period():
    structure = IndirectResponse()
    structure.arrays(designed(nb.Model(structure), data(12.0)))


@pytest.mark.parametrize("split", [False, True])
def test_what_needs_superposition_is_refused_without_advice_that_does_not_help(split):
    structure = IndirectResponse(OneCompartment("parallel")) if split else IndirectResponse()
    design = designed(nb.Model(structure), data(12.0, ss=1 if split else 2))
    with pytest.raises(
        nb.DataError, match=r"need not be linear\. Write the doses out, one by one or with ADDL"
    ) as refusal:
        structure.arrays(design)
    assert "SS=1" not in str(refusal.value)
