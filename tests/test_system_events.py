"""Every event record, by integration and in closed form: values and gradients.

The closed forms are checked against SciPy and exact arithmetic in `test_event_scenarios` and `test_solver`; here they
are the reference. Two events of one time whose order depends on a parameter have no gradient, so the parameters of a
gradient are moved off such points.
"""

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from test_event_scenarios import SCENARIOS, ZOO, draws, inverse, table
from twin import Twin

from nlmebayes.data.dataset import Dataset
from nlmebayes.data.validate import DataError
from nlmebayes.formula.design import resolve
from nlmebayes.model.model import Model
from nlmebayes.structure.structure import Named


def refused(scenario):
    """SS=2, and a steady state of a dose that two routes share, need superposition."""
    steady = "ss=1" in scenario.records or "ss=2" in scenario.records
    return "ss=2" in scenario.records or (steady and scenario.options["absorption"] in ("mixed", "parallel"))


POSSIBLE = [name for name, scenario in SCENARIOS.items() if not refused(scenario)]


def design_of(scenario, structure):
    outcome = "conc" if len(scenario.outcomes) == 1 else dict(enumerate(scenario.outcomes, 1))
    data = Dataset.from_nonmem(table(scenario), outcome=outcome, interpolation=scenario.by, duplicates="keep")
    slopes = [f"{name} ~ 1" + " + log(wt/70)" * (name in scenario.slopes) for name in scenario.phi]
    return resolve(Model(structure, *slopes), data)


def predictions(structure, design, mode="FAST_COMPILE"):
    """A function of individual parameters (parameter, unit) that gives predictions, and slopes of a weighted sum."""
    arrays = {name: value for name, (value, _) in structure.arrays(design).items()}
    names = [p.name for p in structure.parameters]
    p = {name: pt.dvector(name) for name in names}
    f = structure.predict(Named(**p), Named(**arrays), tuple(o.name for o in design.outcomes))
    joined = pt.concatenate(list(f.values()))
    weights = pt.dvector("weights")
    slopes = pytensor.grad((weights * joined).sum(), list(p.values()))
    return pytensor.function([*p.values(), weights], [joined, *slopes], mode=mode)


def units(scenario, design, draw):
    """Individual parameters of every unit of the scenario."""
    wt = design.units["wt"].to_numpy(float) if "wt" in design.units else np.full(len(design.units), 70.0)
    return [
        inverse(p, x[draw] + scenario.slopes.get(p, 0.0) * np.log(wt / 70)) for p, x in draws(scenario).items()
    ]  # fmt: skip


@pytest.mark.parametrize("name", POSSIBLE)
def test_integration_is_the_closed_form(name):
    scenario = SCENARIOS[name]
    closed = ZOO[scenario.number](**scenario.options, flip_flop=True)
    order = [p.name for p in closed.parameters]
    # Tolerances hold for states; what a fast rate does to their slopes is known to some thousand times as much.
    tight = {"rtol": 1e-12, "atol": 1e-13} if scenario.stiff else {}
    f, twin = (predictions(s, design_of(scenario, s)) for s in (closed, Twin(of=closed, **tight)))
    design = design_of(scenario, closed)
    for draw in (0, 1):
        given = dict(zip(draws(scenario), units(scenario, design, draw), strict=True))
        given = [given[p] * (1 + 1e-3 * draw * np.sqrt(i + 2)) for i, p in enumerate(order)]
        weights = np.random.default_rng(1).normal(size=sum(len(o.row) for o in design.outcomes))
        wanted, *slopes = f(*given, weights)
        found, *twins = twin(*given, weights)
        np.testing.assert_allclose(found, wanted, rtol=1e-8, atol=1e-9 * np.abs(wanted).max())
        if draw == 1:
            change = [np.abs(slope * x).max() for slope, x in zip(slopes, given, strict=True)]  # per relative one of p
            # What a fast rate does is the small difference of large flows, which leaves seven digits of the largest.
            least = (1e-7 if scenario.stiff else 1e-9) * max(change)
            for p, x, slope, other in zip(order, given, slopes, twins, strict=True):
                np.testing.assert_allclose(other * x, slope * x, rtol=1e-6, atol=least, err_msg=p)


def test_steady_states_that_need_superposition_are_refused():
    for name in set(SCENARIOS) - set(POSSIBLE):
        scenario = SCENARIOS[name]
        closed = ZOO[scenario.number](**scenario.options, flip_flop=True)
        with pytest.raises(DataError, match=r"column SS: .* needs a linear system"):
            Twin(of=closed).arrays(design_of(scenario, closed))
