"""The event records of NONMEM, one scenario each, through formulas and data and by SciPy's integration.

A scenario's records are written ``time kind amount column=value; ...``; samples are added at the times of ``at``, after
the records of the same time. ``wt`` is 70 until a record says otherwise.
"""

from dataclasses import dataclass, field, fields
from functools import partial

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy_events import Compartments, exponential, integrated, solve

from model_zoo import OneCompartment, ThreeCompartment, TwoCompartment
from nlmebayes.data.dataset import Dataset
from nlmebayes.evaluation.evaluator import evaluator
from nlmebayes.formula.design import resolve
from nlmebayes.model.model import Model

ZOO = {1: OneCompartment, 2: TwoCompartment, 3: ThreeCompartment}
KINDS = {"sample": 0, "dose": 1, "other": 2, "reset": 3, "redose": 4}
GRID = (0, 0.5, 1, 2, 4, 7.5, 11.75, 12, 12.25, 15, 18, 24, 25, 30, 36, 47.5, 60)
DISPOSITION = {
    1: {"cl": 3.0, "v": 20.0},
    2: {"cl": 3.0, "v1": 12.0, "q": 4.0, "v2": 20.0},
    3: {"cl": 3.0, "v1": 10.0, "q2": 5.0, "v2": 12.0, "q3": 2.0, "v3": 18.0},
}
INPUT = {
    "bolus": {},
    "first-order": {"ka": 0.9},
    "zero-order": {"dur": 2.6},
    "constant-rate": {"r0": 15.0},
    "sequential": {"dur": 2.6, "ka": 0.9},
    "mixed": {"ka": 0.9, "fr": 0.6, "dur": 5.3},
    "parallel": {"ka": 0.9, "ka2": 0.25, "fr": 0.6},
    "transit": {"mtt": 1.7, "ka": 0.9},
}
FRACTIONS = ("f", "fr", "fm", "fe")


@dataclass(frozen=True)
class Scenario:
    """Records, a system, typical parameters, and how these change with the weight and between occasions."""

    number: int
    records: str
    options: dict
    phi: dict
    at: tuple = GRID
    by: str = "nocb"
    slopes: dict = field(default_factory=dict)
    occasions: tuple = ()

    @property
    def system(self):
        return Compartments(self.number, **self.options)

    @property
    def stiff(self):
        """Too stiff for an explicit method: rates are far apart."""
        return np.abs(self.system.matrix(self.phi)).max() > 100

    @property
    def outcomes(self):
        return ("conc", *(name for name in ("metabolite", "urine") if self.options.get(name)))


def case(number, records, absorption="bolus", *, at=GRID, by="nocb", slopes=None, occasions=(), **rest):
    """A scenario; ``rest`` holds options of the structure, and parameters that differ from the usual ones."""
    known = {f.name for f in fields(Compartments)}
    options = {"absorption": absorption} | {k: v for k, v in rest.items() if k in known}
    phi = DISPOSITION[number] | INPUT[absorption]
    phi |= {"tlag": 0.6} if options.get("lag") else {}
    phi |= {"f": 0.7} if options.get("bioavailability") else {}
    phi |= {"fm": 0.4, "clm": 2.0, "vm": 12.0} if options.get("metabolite") else {}
    phi |= {"fe": 0.3} if options.get("urine") else {}
    changed = {k: float(v) for k, v in rest.items() if k not in known}
    assert changed.keys() <= phi.keys()
    return Scenario(number, records, options, phi | changed, tuple(at), by, slopes or {}, occasions)


iv, oral = case, partial(case, absorption="first-order")
LAG, F = {"lag": True}, {"bioavailability": True}
BOTH = LAG | F
ALL = {"metabolite": True, "urine": True}
WEIGHTS = "0 dose 100; 4 sample wt=80; 12 dose 100 wt=95; 18 other wt=60; 30 dose 50 wt=75; 40 other wt=90"
MIXTURE = "0 dose 100 addl=2 ii=8; 20 dose 60; 25 sample; 25 dose 50; 36 redose 80"

SCENARIOS = {
    # boluses and infusions
    "a bolus": iv(1, "0 dose 100"),
    "boluses at odd times": iv(2, "0 dose 100; 3.3 dose 50; 12 dose 20"),
    "samples before and after a bolus at its time": iv(1, "0 dose 100; 12 sample; 12 dose 70; 12 sample"),
    "two boluses and a sample between at one time": iv(2, "0 dose 100; 0 sample; 0 dose 30"),
    "samples before the first dose": iv(2, "-3 sample; 0 sample; 2 dose 100"),
    "an infusion": iv(1, "0 dose 100 rate=20"),
    "an infusion that ends at a sample": iv(3, "0 dose 120 rate=10"),
    "overlapping infusions": iv(2, "0 dose 100 rate=10; 4 dose 100 rate=25; 7.5 dose 30 rate=2"),
    "an infusion with a loading dose": iv(3, "0 dose 50; 0 dose 200 rate=10"),
    "a far origin of time": iv(2, "4096 dose 100; 4108 dose 50 rate=10", at=(4096, 4097, 4107, 4108, 4110, 4130)),
    "times before zero": oral(1, "-30 dose 100 addl=2 ii=12", at=(-30, -18, -17, -6, -1, 0, 5)),
    "no dose": iv(1, "0 other; 30 dose 100"),
    # resets
    "a reset": iv(2, "0 dose 100; 12 sample; 12 reset; 12 sample; 18 dose 40"),
    "a reset stops an infusion": iv(1, "0 dose 200 rate=10; 7 reset; 15 dose 50"),
    "a reset with a dose stops an infusion": iv(3, "0 dose 200 rate=10; 7 redose 60; 24 redose 40 rate=5"),
    "a reset cancels additional doses": oral(1, "0 dose 100 addl=5 ii=12; 30 reset"),
    "a reset at the time of an additional dose": oral(2, "0 dose 100 addl=5 ii=12; 24 sample; 24 reset"),
    "a reset cancels a lagged dose": oral(1, "0 dose 100; 12 dose 100; 14 reset", **LAG, tlag=3),
    "a reset at the time of a lagged arrival": iv(1, "0 dose 100; 11 dose 100; 12 reset; 18 dose 10", **LAG, tlag=1),
    "a reset with a lagged dose": oral(2, "0 dose 100; 12 redose 50 addl=1 ii=12", **BOTH),
    # additional doses
    "additional boluses at sample times": iv(1, "0 dose 100 addl=3 ii=12"),
    "additional doses after a sample at the time of the dose": iv(2, "0 sample; 0 dose 100 addl=3 ii=12"),
    "additional dose and a dose at once": iv(1, "0 dose 100 addl=2 ii=12; 12 sample; 12 dose 30; 12 sample"),
    "two trains of additional doses": oral(2, "0 dose 100 addl=3 ii=12; 5 dose 40 addl=5 ii=8"),
    "additional infusions": iv(2, "0 dose 100 addl=3 ii=12 rate=20"),
    "additional infusions that overlap": iv(1, "0 dose 100 addl=5 ii=6 rate=10"),
    "additional doses beyond the last record": oral(1, "0 dose 100 addl=500 ii=7"),
    # compartments
    "by mouth and into the vein": oral(2, "0 dose 100; 6 dose 50 cmt=2; 18 dose 30 cmt=1"),
    "an infusion beside oral doses": oral(1, "0 dose 100 addl=3 ii=12; 6 dose 50 cmt=2 rate=8"),
    "an infusion into the depot": oral(2, "0 dose 100 rate=20; 8 dose 50 cmt=1 rate=5"),
    "into the vein without lag and loss": oral(3, "0 dose 100 cmt=2; 12 dose 100; 24 dose 60 cmt=2 rate=9", **BOTH),
    "a bolus into the periphery": oral(2, "0 dose 100 cmt=3; 12 dose 50 cmt=1"),
    "an infusion into the deep periphery": iv(3, "0 dose 100 cmt=3 rate=7; 12 dose 50"),
    "additional doses by two ways": oral(1, "0 dose 100 addl=4 ii=12; 3 dose 20 cmt=2 addl=6 ii=6", **LAG),
    "loss and infusion": iv(2, "0 dose 100 rate=10; 12 dose 50", **F),
    # lag
    "a lagged bolus at a sample time": iv(1, "0 dose 100; 4 sample; 4 dose 50", **LAG, tlag=1, at=(0, 0.5, 1, 5, 8)),
    "a lagged bolus arrives at the time of a dose": iv(1, "0 dose 100; 1 sample; 1 dose 50; 1 sample", **LAG, tlag=1),
    "a lag longer than the time between doses": oral(1, "0 dose 100; 2 dose 50; 4 dose 70; 5 sample", **LAG, tlag=5.2),
    "a lag longer than the interval": oral(2, "0 dose 100 addl=3 ii=12", **LAG, tlag=14.3),
    "a lagged infusion": iv(2, "0 dose 100 rate=10; 3 dose 50 rate=20 addl=2 ii=9", **LAG),
    "a lagged infusion overlaps one that is not": oral(1, "0 dose 100 rate=10; 3 dose 50 rate=9 cmt=2", **BOTH),
    # steady state
    "steady state of a bolus": iv(1, "0 dose 100 ss=1 ii=12"),
    "steady state of a bolus in three compartments": iv(3, "0 dose 100 ss=1 ii=12"),
    "steady state by mouth": oral(2, "0 dose 100 ss=1 ii=12"),
    "steady state with lag": oral(1, "0 dose 100 ss=1 ii=12", **LAG, tlag=3.1),
    "steady state of a lagged bolus": iv(2, "0 dose 100 ss=1 ii=6", **BOTH, tlag=3.1),
    "steady state with a lag longer than the interval": oral(1, "0 dose 100 ss=1 ii=6", **LAG, tlag=8.3),
    "samples around a steady-state dose": iv(1, "0 dose 50; 12 sample; 12 dose 100 ss=1 ii=8; 12 sample"),
    "steady state of an infusion": iv(2, "0 dose 100 rate=20 ss=1 ii=12"),
    "steady state of an infusion of an interval": iv(1, "0 dose 120 rate=10 ss=1 ii=12"),
    "steady state of an infusion of two intervals": iv(2, "0 dose 240 rate=10 ss=1 ii=12"),
    "steady state of an infusion longer than the interval": iv(1, "0 dose 100 rate=5 ss=1 ii=8"),
    "steady state of a long infusion with lag": iv(3, "0 dose 170 rate=10 ss=1 ii=6", **BOTH, tlag=2.2),
    "steady state of a long infusion into the depot": oral(1, "0 dose 100 rate=8 ss=1 ii=5", **BOTH),
    "a reset stops overlapping infusions": iv(1, "0 dose 100 rate=5 ss=1 ii=8; 4 reset; 12 dose 20"),
    "steady state with loss": oral(2, "0 dose 100 ss=1 ii=12; 24 dose 60 cmt=2 ss=1 ii=12", **F),
    "steady state and additional doses": oral(2, "0 dose 100 ss=1 ii=12 addl=3"),
    "steady state, additional doses and lag": iv(1, "0 dose 100 ss=1 ii=12 addl=2", **LAG, tlag=1),
    "steady state of infusions with additional ones": iv(2, "0 dose 100 rate=6 ss=1 ii=12 addl=3"),
    "steady state cancels what came before": iv(
        2, "0 dose 100 addl=9 ii=5; 1 dose 300 rate=10; 12 dose 50 ss=1 ii=8"
    ),
    "steady state cancels a lagged dose": oral(1, "0 dose 100; 11.5 dose 500; 12 dose 100 ss=1 ii=12", **LAG, tlag=2.5),
    "steady state twice": oral(1, "0 dose 100 ss=1 ii=12; 18 dose 40 ss=1 ii=6", **LAG),
    "a reset with a steady state": oral(2, "0 dose 500; 12 redose 100 ss=1 ii=12 addl=1", **BOTH),
    "steady state added": iv(1, "0 dose 100; 7 dose 50 ss=2 ii=12"),
    "morning and evening": oral(2, "0 dose 100 ss=1 ii=24; 10 dose 50 ss=2 ii=24 addl=1", **LAG),
    "steady state added to an infusion": iv(3, "0 dose 100 rate=5; 7 dose 50 ss=2 ii=12; 12 dose 50 addl=2 ii=4"),
    "overlapping infusions added": iv(2, "0 dose 100 rate=5; 7 dose 90 rate=6 ss=2 ii=7", **LAG, tlag=1.3),
    "steady state added twice with additional doses": oral(
        1, "0 dose 100 addl=3 ii=12; 6 dose 30 ss=2 ii=24 addl=1; 9 dose 9 ss=2 ii=8", **F
    ),
    "constant infusion": iv(2, "0 dose 0 rate=10 ss=1"),
    "constant infusion goes on": iv(1, "0 dose 0 rate=10 ss=1; 0 dose 240 rate=10; 12 sample"),
    "constant infusion into the depot": oral(3, "0 dose 50 cmt=2; 6 dose 0 rate=10 ss=1; 18 dose 20"),
    "constant infusion into a lagged depot": oral(1, "6 dose 0 rate=10 ss=1", **LAG),
    "constant infusion added": iv(2, "0 dose 100 rate=5 addl=1 ii=24; 7 dose 0 rate=8 ss=2"),
    # modelled rates and durations
    "a duration longer than the interval": case(
        1, "0 dose 100 ss=1 ii=8 addl=2", "zero-order", dur=14.7, **LAG, tlag=1.2
    ),
    "a rate slower than the doses": case(2, "0 dose 300 ss=1 ii=12; 20 dose 100 ss=2 ii=10", "constant-rate", **F),
    "a duration and a rate": case(1, "0 dose 100; 3 dose 50 rate=20; 12 dose 30 addl=2 ii=6", "zero-order", **BOTH),
    "a duration that is asked for": case(2, "0 dose 100 rate=-2; 12 dose 40 rate=-2 ss=1 ii=8", "zero-order"),
    "a rate that is asked for": case(2, "0 dose 100 rate=-1; 12 dose 40 rate=-1 addl=2 ii=3", "constant-rate"),
    "long mixed input": case(2, "0 dose 100 ss=1 ii=8; 20 reset; 24 dose 40", "mixed", dur=19.0, **BOTH),
    "sequential input into the vein": case(1, "0 dose 100; 6 dose 50 cmt=2; 8 dose 50 cmt=2 rate=10", "sequential"),
    "no transit but one": case(1, "0 dose 100; 12 dose 50 ss=1 ii=12", "transit", transits=0),
    "nine transits": case(2, "0 dose 100 addl=1 ii=12; 36 dose 50 rate=20", "transit", transits=8, **LAG),
    # parameters that change while the amounts carry over
    "weight, backward": iv(1, WEIGHTS, slopes={"cl": 0.75}),
    "weight, forward": iv(1, WEIGHTS, slopes={"cl": 0.75}, by="locf"),
    "weight and volumes, backward": oral(2, WEIGHTS, slopes={"cl": 0.75, "v1": 1.0, "q": 0.75, "v2": 1.0, "ka": -1.0}),
    "weight and volumes, forward": oral(
        2, WEIGHTS, slopes={"cl": 0.75, "v1": 1.0, "q": 0.75, "v2": 1.0, "ka": -1.0}, by="locf"
    ),
    "weight in three compartments": oral(
        3, WEIGHTS, slopes={"cl": 0.75, "v1": 1.0, "q2": 0.75, "v2": 1.0, "q3": -0.75, "v3": 1.0}, **LAG
    ),
    "weight during an infusion": iv(
        2, "0 dose 200 rate=10; 7 other wt=100; 12 sample wt=50; 15 dose 0 rate=3 ss=2", slopes={"cl": 1.0, "v1": 0.5}
    ),
    "weight at one time": iv(1, "0 dose 100; 12 sample wt=80; 12 dose 50 wt=90; 12 sample wt=60", slopes={"v": 1.0}),
    "loss of additional doses, backward": oral(1, WEIGHTS + "; 41 dose 90 addl=3 ii=5.3", slopes={"f": 2.0}, **F),
    "loss of additional doses, forward": oral(
        1, "0 dose 90 addl=9 ii=5.3; 9 other wt=90; 30 other wt=50", slopes={"f": 2.0}, by="locf", **F
    ),
    "lag of additional doses": oral(
        2, "0 dose 90 addl=9 ii=5.3; 9 other wt=140; 30 other wt=50", slopes={"tlag": 2.0, "cl": 1.0}, **LAG
    ),
    "duration of additional doses": case(
        1, "0 dose 90 addl=9 ii=5.3; 9 other wt=140; 30 other wt=50", "zero-order",
        slopes={"dur": 2.0, "v": 1.0}, **BOTH,
    ),
    "rate of additional doses, forward": case(
        2, "0 dose 90 addl=9 ii=5.3; 9 other wt=140; 30 other wt=50", "constant-rate", slopes={"r0": 1.0}, by="locf"
    ),
    "additional dose at a change, backward": oral(
        1, "0 dose 90 addl=4 ii=12; 12 other wt=140; 24 sample wt=50", slopes={"f": 2.0, "tlag": 1.0}, **BOTH
    ),
    "additional dose at a change, forward": oral(
        1, "0 dose 90 addl=4 ii=12; 12 other wt=140; 24 sample wt=50", slopes={"f": 2.0, "tlag": 1.0}, by="locf", **BOTH
    ),
    "weight at a steady state, backward": oral(
        2, "0 dose 100 ss=1 ii=12; 7.5 sample wt=100; 15 dose 40 ss=2 ii=8 wt=50; 24 sample wt=90",
        slopes={"cl": 1.0, "v2": 1.0, "f": 0.5}, **BOTH,
    ),
    "weight at a steady state, forward": iv(
        1, "0 dose 100 rate=8 ss=1 ii=8; 5 other wt=140; 15 dose 40 rate=3 ss=2 ii=8 wt=50; 24 sample wt=90",
        slopes={"cl": 1.0, "v": 0.5}, by="locf",
    ),
    "weight and the split of a dose": case(1, WEIGHTS, "mixed", slopes={"fr": 2.0, "dur": 1.0, "cl": 1.0}),
    "weight and transits": case(1, WEIGHTS, "transit", slopes={"mtt": 1.0, "ka": 0.5, "v": 1.0}, by="locf"),
    "occasions": oral(1, "0 dose 100 addl=4 ii=12; 12 other occ=2; 30 dose 50 occ=3", occasions=(0.0, 0.7, -0.9)),
    "occasions, forward": iv(
        2, "0 dose 200 rate=5; 12 other occ=2; 30 dose 50 occ=3 ss=2 ii=8", occasions=(0.2, -0.7, 0.9), by="locf"
    ),
    # rates that coincide
    "ka is k": oral(1, "0 dose 100 ss=1 ii=12; 18 dose 50", cl=4, v=16, ka=0.25),
    "ka is nearly k": oral(1, "0 dose 100 addl=3 ii=12", cl=4, v=16, ka=0.25 * (1 + 1e-9)),
    "ka is close to k": oral(1, "0 dose 100 rate=20; 12 dose 10 ss=1 ii=9", cl=4, v=16, ka=0.25 * (1 + 1e-4)),
    "ka is alpha": oral(2, "0 dose 100 ss=1 ii=12; 18 dose 50 rate=10", cl=1, v1=2, q=1, v2=4, ka=1.0),
    "ka is beta": oral(2, "0 dose 100 rate=10; 18 dose 50", cl=2, v1=4, q=4, v2=16, ka=(7 - 33**0.5) / 8),
    "two peripheries alike": oral(3, "0 dose 100 addl=1 ii=12; 30 dose 100 ss=1 ii=12", q2=3, v2=12, q3=4, v3=16),
    "two peripheries alike, infused": iv(3, "0 dose 100 rate=5; 12 dose 50 rate=8 ss=1 ii=4", q2=3, v2=12, q3=3, v3=12),
    "two depots alike": case(1, "0 dose 100 ss=1 ii=12", "parallel", ka=0.7, ka2=0.7),
    "all transits, ka and k alike": case(1, "0 dose 100; 12 dose 50 ss=1 ii=8", "transit", mtt=8, ka=0.5, cl=8, v=16),
    "a metabolite as fast as its drug": oral(
        1, "0 dose 100 ss=1 ii=12; 18 dose 50", cl=4, v=16, clm=2, vm=8, ka=0.25, metabolite=True
    ),
    # far from ordinary
    "fast absorption": oral(1, "0 dose 100 addl=1 ii=12; 18 dose 10 ss=1 ii=12", ka=1e4),
    "slow absorption": oral(2, "0 dose 100 addl=1 ii=12; 18 dose 50 rate=4", ka=1e-4),
    "hardly any elimination": oral(1, "0 dose 100; 12 dose 50 rate=9 cmt=2", cl=1e-8),
    "hardly any exchange": iv(2, "0 dose 100 ss=1 ii=12; 12 dose 50 rate=9", q=1e-9, v2=1e-9),
    "fast exchange": iv(2, "0 dose 100 rate=50; 12 dose 50", q=2e4),
    "a slow deep compartment": iv(3, "0 dose 100", q3=1e-3, v3=9.0, at=(0, 1, 10, 100, 1e3, 1e4)),
    "long times": iv(2, "0 dose 100; 5000 dose 100 addl=3 ii=24", at=(0, 10, 60, 5000, 5010, 5090)),
    "amounts in other units": oral(1, "0 dose 1e12; 12 dose 5e11 ss=2 ii=9", v=2e-9, cl=3e-10),
    "a dose of almost nothing": iv(2, "0 dose 100; 12 dose 1e-12; 24 dose 1e-12 rate=1e-12"),
    # metabolite and urine
    "a metabolite": iv(1, "0 dose 100; 12 dose 50", metabolite=True),
    "a metabolite by mouth": oral(2, "0 dose 100 ss=1 ii=12; 18 dose 30 cmt=2", metabolite=True, **BOTH),
    "a dose of the metabolite": oral(2, "0 dose 100; 12 dose 50 cmt=4; 18 dose 20 rate=5 cmt=4", metabolite=True),
    "urine": iv(1, "0 dose 100; 12 dose 50 rate=10", urine=True),
    "urine and a reset": oral(2, "0 dose 100 addl=3 ii=12; 18 reset; 25 dose 30; 36 redose 20", urine=True),
    "urine from a steady state on": oral(1, "0 dose 500; 7.5 dose 100 ss=1 ii=12", urine=True, **LAG),
    "urine, steady state added": iv(2, "0 dose 100; 7.5 dose 100 rate=6 ss=2 ii=12 addl=1", urine=True),
    "metabolite and urine of an infusion": iv(3, "0 dose 200 rate=10; 12 reset; 15 dose 50 rate=8", **ALL),
    "metabolite and urine at a steady state": oral(1, "0 dose 100 ss=1 ii=12; 18 dose 0 rate=4 ss=1", **ALL, **F),
    "metabolite and urine of overlapping infusions": iv(1, "0 dose 100 rate=6 ss=1 ii=8 addl=1", **ALL),
    "metabolite and urine, weight": oral(
        2, WEIGHTS, slopes={"cl": 0.75, "fm": 1.0, "fe": -1.0, "clm": 1.0, "vm": 1.0}, **ALL
    ),
    "metabolite after transits": case(1, "0 dose 100 addl=1 ii=12", "transit", **ALL, **LAG),
    **{
        f"{absorption} input into {n}": case(n, MIXTURE, absorption, lag=n > 1, bioavailability=n > 2)
        for absorption in INPUT
        for n in (1, 2, 3)
    },
    **{
        f"steady state of {absorption} input": case(
            1 + i % 2, "0 dose 100 ss=1 ii=8 addl=1; 25 dose 50 ss=2 ii=12", absorption, **BOTH
        )
        for i, absorption in enumerate(INPUT)
    },
}  # fmt: skip


# --- a scenario, both ways -------------------------------------------------------------------------------------------


def table(scenario, subject=1):
    """The event table of a scenario."""
    rows = []
    for text in scenario.records.split(";"):
        time, kind, *rest = text.split()
        columns = dict(word.split("=") if "=" in word else ("AMT", word) for word in rest)
        rows.append({"TIME": float(time), "EVID": KINDS[kind]} | columns)
    samples = [{"TIME": float(time), "EVID": 0} for time in scenario.at]
    frame = pd.DataFrame(rows + samples).sort_values("TIME", kind="stable").reset_index(drop=True)
    frame.columns = [name if name == "wt" else name.upper() for name in frame.columns]
    frame = frame.astype(float).reindex(columns=list(dict.fromkeys([*frame.columns, "AMT", "wt"])))
    frame["wt"] = frame["wt"].ffill().fillna(70.0)
    if "OCC" in frame.columns:
        frame["OCC"] = frame["OCC"].ffill().fillna(1).astype(int)
    return of_outcomes(frame, scenario.outcomes).assign(ID=subject)


def of_outcomes(frame, outcomes):
    """Every sample once per outcome, with DVID if there are several."""
    sample = frame["EVID"] == 0
    frame = frame.assign(DV=sample.map({True: 1.0, False: np.nan}))
    zero = [c for c in ("AMT", "RATE", "ADDL", "II", "SS") if c in frame.columns]
    frame[zero] = frame[zero].fillna(0.0)
    if len(outcomes) == 1:
        return frame
    frame = frame.loc[frame.index.repeat(np.where(sample, len(outcomes), 1))]
    which = frame.groupby(level=0).cumcount() + 1
    return frame.assign(DVID=which.where(frame["EVID"] == 0).astype(float)).reset_index(drop=True)


def link(name, value):
    return np.log(value / (1 - value)) if name in FRACTIONS else np.log(value)


def inverse(name, value):
    return 1 / (1 + np.exp(-value)) if name in FRACTIONS else np.exp(value)


def draws(scenario):
    """Parameters of two draws on the link scale: the scenario's, and others, for which other things happen first."""
    return {name: link(name, x) + np.array([0.0, 0.3 * (-1) ** i]) for i, (name, x) in enumerate(scenario.phi.items())}


def reference(scenario, frame, draw, propagate):
    """Predictions of every record of one subject, by outcome, NaN where there is no sample of it."""
    parameters = []
    for row in frame.to_dict("records"):
        at = {name: x[draw] + scenario.slopes.get(name, 0.0) * np.log(row["wt"] / 70)
              for name, x in draws(scenario).items()}  # fmt: skip
        at["cl"] += scenario.occasions[int(row["OCC"]) - 1] if scenario.occasions else 0.0
        parameters.append({name: inverse(name, x) for name, x in at.items()})
    amounts = solve(scenario.system, frame, parameters, interpolation=scenario.by, propagate=propagate)
    return pd.DataFrame([scenario.system.outcomes(y, p) for y, p in zip(amounts, parameters, strict=True)])


def predicted(scenario, frame):
    """{outcome: (positions of its samples in the frame, predictions (draw, sample))} through formulas and data."""
    options = scenario.options | {"flip_flop": True}
    outcome = "conc" if len(scenario.outcomes) == 1 else dict(enumerate(scenario.outcomes, 1))
    levels = ("id", "occ") if scenario.occasions else ("id",)
    data = Dataset.from_nonmem(frame, outcome=outcome, levels=levels, interpolation=scenario.by, duplicates="keep")
    random = {"cl": " + (1|occ)"} if scenario.occasions else {}
    formulas = [
        f"{name} ~ 1" + " + log(wt/70)" * (name in scenario.slopes) + random.get(name, "") for name in scenario.phi
    ]
    model = Model(ZOO[scenario.number](**options), *formulas)
    design = resolve(model, data)
    theta = {
        p.name: np.stack([x, *([np.full(2, scenario.slopes[p.name])] if p.name in scenario.slopes else [])], axis=1)
        for p in model.structure.parameters
        for x in [draws(scenario)[p.name]]
    }
    eta = {}
    for level in design.levels:
        each = [scenario.occasions[int(label.split("/")[-1]) - 1] for label in level.labels]
        eta[level.name] = np.tile(np.array(each)[None, :, None], (2, 1, 1))
    f = evaluator(model, design)(theta, eta)[1]
    return {o.name: (np.asarray(o.row) - 1, f[o.name]) for o in design.outcomes}


def agree(found, wanted):
    """Relative 1e-8 of each number, and 1e-12 of the largest, which is what is left of one that has all but gone."""
    np.testing.assert_allclose(found, wanted, rtol=1e-8, atol=1e-12 * np.abs(wanted).max())


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_scenario_is_that_of_the_integration(name):
    scenario = SCENARIOS[name]
    frame = table(scenario)
    found = predicted(scenario, frame)
    for draw, propagate in enumerate((exponential if scenario.stiff else integrated, exponential)):
        wanted = reference(scenario, frame, draw, propagate)
        for outcome, (rows, f) in found.items():
            agree(f[draw], wanted[outcome].to_numpy()[rows])
    assert sum(len(rows) for rows, _ in found.values()) == (frame["EVID"] == 0).sum()


# --- random tables ---------------------------------------------------------------------------------------------------


@st.composite
def doses(draw):
    """One dose record: any amount, rate, compartment, train and steady state that go together."""
    words = [f"{draw(st.sampled_from([20, 100, 300]))}"]
    words += draw(st.sampled_from([[], ["cmt=1"], ["cmt=2"], ["cmt=2"]]))
    words += draw(st.sampled_from([[], [], ["rate=40"], ["rate=9"]]))
    ss, addl = draw(st.sampled_from([0, 0, 0, 1, 2])), draw(st.sampled_from([0, 0, 1, 3]))
    words += [f"ss={ss}"] * (ss > 0) + [f"addl={addl}"] * (addl > 0)
    words += [f"ii={draw(st.sampled_from([4, 6, 11.3]))}"] * (ss + addl > 0)
    return draw(st.sampled_from(["dose", "dose", "dose", "redose"])) + " " + " ".join(words)


@st.composite
def tables(draw):
    """Records of one subject, in the language of the scenarios."""
    time, records = 0.0, []
    other = st.sampled_from(
        ["sample", "sample", "other", "reset", "dose 0 cmt=2 rate=7 ss=1", "dose 0 cmt=2 rate=7 ss=2"]
    )
    for _ in range(draw(st.integers(1, 7))):
        time += draw(st.sampled_from([0, 0, 0.25, 1, 2.5, 4, 6, 13.7]))
        weight = draw(st.sampled_from(["", "", " wt=50", " wt=100"]))
        records.append(f"{time} {draw(st.one_of(doses(), doses(), other))}{weight}")
    return "; ".join(records)


SYSTEMS = {
    "oral": partial(oral, 2, slopes={"cl": 0.75, "v1": 1.0, "ka": -0.5, "f": 0.5}, ka=1.1),
    "vein": partial(iv, 3, slopes={"cl": 0.75, "v1": 1.0, "q3": 0.5, "tlag": 0.5}),
    "transit": partial(case, 1, absorption="transit", slopes={"v": 1.0, "mtt": 0.5}, urine=True),
}


@settings(deadline=None, max_examples=25)
@given(
    subjects=st.lists(tables(), min_size=1, max_size=3),
    by=st.sampled_from(["nocb", "locf"]),
    system=st.sampled_from(list(SYSTEMS)),
)
def test_subjects_with_random_records_are_each_that_of_the_integration(subjects, by, system):
    at = (0, 0.25, 1.25, 4, 6, 7.7, 12, 18, 30.2)
    each = [SYSTEMS[system](f"0 dose 10; {records}", by=by, at=at, **BOTH, tlag=0.8) for records in subjects]
    frames = [table(scenario, subject) for subject, scenario in enumerate(each, 1)]
    found = predicted(each[0], pd.concat(frames, ignore_index=True))
    for draw in (0, 1):
        alone = pd.concat([reference(s, frame, draw, exponential) for s, frame in zip(each, frames, strict=True)])
        for outcome, (rows, f) in found.items():
            agree(f[draw], alone[outcome].to_numpy()[rows])


# --- the reference by itself, beside formulas of textbooks -----------------------------------------------------------

EACH = pytest.mark.parametrize("propagate", [integrated, exponential], ids=["integrated", "exponential"])
K, KA, V = 0.15, 0.9, 20.0


def concentrations(scenario, propagate):
    """Of every sample, in the first draw."""
    frame = table(scenario)
    return reference(scenario, frame, 0, propagate)["conc"][frame["EVID"] == 0].to_numpy()


T = np.array([t for t in GRID if t < 24])


@EACH
def test_reference_bolus_decays(propagate):
    found = concentrations(iv(1, "0 dose 100", at=T), propagate)
    assert found == pytest.approx(100 / V * np.exp(-K * T), rel=1e-10)


@EACH
def test_reference_oral_dose_is_batemans(propagate):
    found = concentrations(oral(1, "0 dose 100", at=T), propagate)
    wanted = 100 / V * KA / (KA - K) * (np.exp(-K * T) - np.exp(-KA * T))
    assert found == pytest.approx(wanted, rel=1e-10)


def infused(rate, duration, t):
    """Concentration after a constant infusion."""
    during = np.clip(t, 0, duration)
    return rate / (K * V) * -np.expm1(-K * during) * np.exp(-K * (np.maximum(t, 0) - during))


@EACH
def test_reference_infusion_rises_and_decays(propagate):
    found = concentrations(iv(1, "0 dose 50 rate=10", at=T), propagate)
    assert found == pytest.approx(infused(10, 5, T), rel=1e-10)


@EACH
def test_reference_steady_state_is_the_geometric_series(propagate):
    found = concentrations(iv(1, "0 dose 100 ss=1 ii=24", at=T), propagate)
    assert found == pytest.approx(100 / V * np.exp(-K * T) / -np.expm1(-K * 24), rel=1e-10)


@EACH
def test_reference_steady_state_of_a_lagged_bolus_is_the_series_moved(propagate):
    found = concentrations(iv(1, "0 dose 100 ss=1 ii=24 addl=1", **LAG, tlag=3.1, at=T), propagate)
    assert found == pytest.approx(100 / V * np.exp(-K * ((T - 3.1) % 24)) / -np.expm1(-K * 24), rel=1e-10)


@EACH
def test_reference_steady_state_of_long_infusions_is_the_sum_of_the_past(propagate):
    found = concentrations(iv(1, "0 dose 100 rate=5 ss=1 ii=8", at=T), propagate)
    assert found == pytest.approx(sum(infused(5, 20, T + 8 * k) for k in range(60)), rel=1e-10)


@EACH
def test_reference_constant_infusion_ends(propagate):
    found = concentrations(iv(1, "0 dose 0 rate=12 ss=1", at=T), propagate)
    assert found == pytest.approx(12 / (K * V) * np.exp(-K * T), rel=1e-10)


def test_reference_steady_state_is_an_equation():
    """y = exp(A II) (y + dose), in the system with everything."""
    system, p = Compartments(3, "first-order", metabolite=True), DISPOSITION[3] | {"ka": 0.4, "fm": 0.3}
    p |= {"clm": 2.0, "vm": 9.0}
    records = pd.DataFrame({"TIME": [0.0], "EVID": [1], "AMT": [100.0], "SS": [1], "II": [12.0]})
    found = solve(system, records, [p])[0]
    dose = 100.0 * (np.arange(5) == 0)
    cycle = np.stack([exponential(system.matrix(p), np.zeros(5), one, 12.0) for one in np.eye(5)], axis=1)
    assert found - dose == pytest.approx(np.linalg.solve(np.eye(5) - cycle, cycle @ dose), rel=1e-10)


SAME = {
    "additional doses are doses": ("0 dose 80 addl=2 ii=9", "0 dose 80; 9 dose 80; 18 dose 80"),
    "another event is none": ("0 dose 80; 7 other; 9 other", "0 dose 80"),
    "a reset forgets": ("0 dose 80 addl=9 ii=5; 1 dose 90 rate=2; 6 reset; 6 dose 50", "6 dose 50"),
    "a reset with a dose is both": ("0 dose 80; 6 redose 50 rate=5", "6 dose 50 rate=5"),
    "a steady state has a past": ("0 dose 80 ss=1 ii=12", "-1440 dose 80 addl=120 ii=12"),
    "infusions have one": ("0 dose 80 rate=5 ss=1 ii=12", "-1440 dose 80 rate=5 addl=120 ii=12"),
    "steady states add": ("0 dose 9; 3 dose 80 ss=2 ii=12", "-1437 dose 80 addl=120 ii=12; 0 dose 9"),
    "constant infusion has one": ("6 dose 0 rate=7 ss=1", "-1434 dose 10080 rate=7"),
    "halves": ("0 dose 80 rate=5", "0 dose 40 rate=2.5; 0 dose 40 rate=2.5"),
}


@pytest.mark.parametrize("lag", [False, True])
@pytest.mark.parametrize("name", SAME)
def test_reference_says_one_thing_in_two_ways(name, lag):
    at = (6, 6.5, 7, 11.5, 14, 20, 31)
    lag = lag and "constant" not in name  # the end of a constant infusion is not delayed
    one, other = (
        concentrations(oral(2, records, at=at, lag=lag, **({"tlag": 1.7} if lag else {})), exponential)
        for records in SAME[name]
    )
    assert one[-len(at) :] == pytest.approx(other[-len(at) :], rel=1e-9)


def test_reference_excretes_what_it_should():
    scenario = oral(2, "0 dose 100; 5 dose 50 cmt=2", **ALL, **F, at=(3000,))
    frame = table(scenario)
    found = reference(scenario, frame, 0, exponential)["urine"].iloc[-1]
    assert found == pytest.approx(0.3 * (0.7 * 100 + 50), rel=1e-10)


@pytest.mark.parametrize(("by", "weights"), [("nocb", (80, 70, 60)), ("locf", (70, 80, 70))])
def test_reference_takes_parameters_of_the_right_interval(by, weights):
    records = "0 dose 100; 2 other wt=80; 3 other wt=70; 7 sample wt=60"
    found = concentrations(iv(1, records, slopes={"cl": 1.0}, by=by, at=()), integrated)
    spent = sum(K * w / 70 * span for w, span in zip(weights, (2, 1, 4), strict=True))
    assert found == pytest.approx(100 / V * np.exp(-spent), rel=1e-10)


@pytest.mark.parametrize("name", [name for name, scenario in SCENARIOS.items() if not scenario.stiff][::8])
def test_reference_integrates_as_it_takes_exponentials(name):
    frame = table(SCENARIOS[name])
    one, other = (reference(SCENARIOS[name], frame, 0, how).to_numpy() for how in (integrated, exponential))
    agree(one, other)
