"""Covariates that change before an event: each part of a cumulative hazard under what governed it."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytensor.tensor as pt
import pytest
from scipy import integrate, stats

import nlmebayes as nb
from model_zoo import JointModel, ParametricSurvival
from nlmebayes.evaluation import measurement
from nlmebayes.evaluation.evaluator import evaluator
from nlmebayes.inference.starts import pilot
from nlmebayes.model.build import designed

EFFECT = 0.7


@dataclass(frozen=True)
class Weibull(nb.Curve):
    """The law without its cumulative hazard: by quadrature."""

    inputs = ("time",)
    parameters = (nb.Parameter("rate", typical=0.1), nb.Parameter("shape", typical=1.0, varies=False))

    def curve(self, p, x):
        return p.rate * p.shape * x.time ** (p.shape - 1)


@dataclass(frozen=True)
class Exposed(nb.Curve):
    """The covariate is an input of the hazard itself."""

    inputs = ("time", "x")
    parameters = Weibull.parameters

    def curve(self, p, x):
        return p.rate * p.shape * x.time ** (p.shape - 1) * pt.exp(EFFECT * x.x)


def rows(times, x, interpolation="nocb", event=None, **more):
    """One subject with the covariate ``x`` at these times and an event at the last of them."""
    frame = pd.DataFrame({"id": "a", "time": times, "x": np.asarray(x, dtype=float), "t": np.nan}).assign(**more)
    frame.loc[len(frame) - 1, "t"] = times[-1] if event is None else event
    status = "status" if "status" in more else None
    return nb.Dataset.from_frame(
        frame, outcome="t", levels="id", time="time", interpolation=interpolation, status=status
    )


CASES = {"closed": ParametricSurvival(), "quadrature": Weibull(), "input": Exposed()}


def density(structure, data, shape=1.0, residual=nb.TimeToEvent()):  # noqa: B008 (frozen)
    """Log-density of each record and its cumulative hazard, for a rate of 0.1 exp(0.7 x)."""
    own = "x" in structure.inputs
    model = nb.Model(structure, "rate ~ 1" if own else "rate ~ 1 + x", "shape ~ 1", residual=residual)
    design = designed(model, data)
    rate = [[np.log(0.1)]] if own else [[np.log(0.1), EFFECT]]
    f = evaluator(model, design)({"rate": np.array(rate), "shape": np.log([[shape]])}, {})[1]["t"]
    (o,) = design.outcomes
    return measurement.log_density(residual, f, {}, o)[0], o.read(f)[0]


@pytest.mark.parametrize("kind", CASES)
@pytest.mark.parametrize(
    ("interpolation", "times", "x"),
    [("nocb", [0, 3, 5], [0, 0, 1]), ("nocb", [3, 5], [0, 1]), ("locf", [0, 3, 5], [0, 1, 1]),
     ("locf", [0, 1, 3, 4, 5], [0, 0, 1, 1, 7]), ("linear", [0, 3, 5], [0, 0, 1])],
)  # fmt: skip
def test_a_covariate_that_changes_at_three_years(kind, interpolation, times, x):
    """Zero until year 3 and one after it, event at year 5; an indicator does not lie on a line, and what is learnt at
    the event does not explain it."""
    found, total = density(CASES[kind], rows(times, x, interpolation))
    assert total[0] == pytest.approx(0.3 + 0.2 * np.exp(0.7), rel=1e-10)
    assert found[0] == pytest.approx(np.log(0.1) + 0.7 - total[0], rel=1e-10)
    assert found[0] == pytest.approx(-2.30534, abs=5e-6)


@pytest.mark.parametrize("kind", CASES)
@pytest.mark.parametrize("interpolation", ["nocb", "locf"])
def test_parts_of_a_hazard_that_rises_are_those_of_the_closed_form(kind, interpolation):
    times, x = np.array([0.0, 1.0, 2.5, 4.0, 7.0]), np.array([0.3, -0.2, 1.4, 0.5, 2.0])
    parts = np.diff(times**2.0) @ np.exp(EFFECT * (x[1:] if interpolation == "nocb" else x[:-1])) * 0.1
    last = x[-1] if interpolation == "nocb" else x[-2]
    found, _ = density(CASES[kind], rows(times, x, interpolation), 2.0)
    assert found[0] == pytest.approx(np.log(0.1 * 2 * 7) + EFFECT * last - parts, rel=1e-12)


@pytest.mark.parametrize("kind", CASES)
@pytest.mark.parametrize("shape", [1.0, 2.0])
def test_on_a_line_each_node_has_its_own_value(kind, shape):
    times, x = [0.0, 3.0, 4.0, 6.0], [0.5, 0.5, 2.0, 0.1]

    def hazard(t):
        return 0.1 * shape * t ** (shape - 1) * np.exp(EFFECT * np.interp(t, times, x))

    whole = integrate.quad(hazard, 0, 6, points=[3, 4], epsabs=1e-13, epsrel=1e-13)[0]
    found, _ = density(CASES[kind], rows(times, x, "linear"), shape)
    assert found[0] == pytest.approx(np.log(hazard(6.0)) - whole, rel=1e-10)


def test_the_last_known_value_holds_beyond_the_last_row():
    found, _ = density(Weibull(), rows([0.0, 3.0], [0, 1], "locf", event=5.0))
    assert found[0] == pytest.approx(np.log(0.1) + 0.7 - 0.3 - 0.2 * np.exp(0.7), rel=1e-12)


def test_times_within_rounding_of_a_change_are_at_it():
    exact, close = (density(Weibull(), rows([0.0, t, 0.5], [0, 0, 1], event=0.3))[0][0] for t in (0.3, 0.1 * 3))
    assert exact == close == pytest.approx(np.log(0.1) - 0.03, rel=1e-12)


@pytest.mark.parametrize("kind", CASES)
@pytest.mark.parametrize("interpolation", ["nocb", "locf", "linear"])
def test_rows_of_intervals_are_each_what_they_say(kind, interpolation):
    frame = pd.DataFrame({"id": "a", "start": [0.0, 3.0], "t": [3.0, 5.0], "x": [0.0, 1.0], "seen": [0, 1]})
    for time in (None, "t_of_row"):
        data = nb.Dataset.from_frame(frame.assign(t_of_row=frame["t"]), outcome="t", levels="id", status="seen",
                                     time=time, interpolation=interpolation)  # fmt: skip
        found, _ = density(CASES[kind], data, residual=nb.TimeToEvent(entry="start"))
        assert found.sum() == pytest.approx(-2.30534, abs=5e-6)


@pytest.mark.parametrize(
    ("residual", "start"), [(nb.TimeToEvent(), [0.0, 3.0]), (nb.TimeToEvent(entry="start"), [0.0, 2.0])]
)
def test_risk_is_not_counted_twice(residual, start):
    frame = pd.DataFrame({"id": "a", "start": start, "t": [3.0, 5.0], "x": [0.0, 1.0], "seen": [0, 1]})
    data = nb.Dataset.from_frame(frame, outcome="t", levels="id", status="seen")
    with pytest.raises(
        nb.ModelError, match=r"row 2: t of id a is at risk from .* to 5, and in row 1 from 0 to 3.*entry="
    ):
        density(ParametricSurvival(), data, residual=residual)


def test_a_record_within_an_interval_says_what_the_interval_says():
    frame = pd.DataFrame({"id": "a", "time": [1.0, 2.0, 5.0], "start": [0.0, 0.0, 2.0], "x": [3.0, 0.0, 1.0],
                          "marker": [1.0, np.nan, np.nan], "event": [np.nan, 2.0, 5.0], "seen": [0, 0, 1]})  # fmt: skip
    residual = {"marker": nb.Additive(), "event": nb.TimeToEvent(entry="start")}
    model = nb.Model(JointModel(), "slope ~ 1 + x", residual=residual)
    data = nb.Dataset.from_frame(frame, outcome=("marker", "event"), levels="id", time="time",
                                 status={"event": "seen"})  # fmt: skip
    with pytest.raises(nb.DataError, match="row 2: is at risk from 0 to 2 with other values than row 1 has at 1"):
        designed(model, data)


@pytest.mark.parametrize("interpolation", ["nocb", "locf", "linear"])
def test_a_marker_that_follows_a_covariate_in_the_hazard(interpolation):
    """Joint model: the marker's level moves with a dose that changes; the hazard against quadrature."""
    times, dose = np.array([0.0, 1.0, 2.0, 4.0]), np.array([0.0, 0.2, 2.0, 1.0])
    frame = pd.DataFrame({"id": "a", "time": times, "dose": dose, "marker": 1.0, "event": [np.nan] * 3 + [4.5]})
    data = nb.Dataset.from_frame(
        frame, outcome=("marker", "event"), levels="id", time="time", interpolation=interpolation
    )
    residual = {"marker": nb.Additive(), "event": nb.TimeToEvent()}
    stated = ("level ~ 1 + dose", "slope ~ 1", "rate ~ 1", "association ~ 1")
    model = nb.Model(JointModel(), *stated, residual=residual, typical={"level": (0.0, 1.0)})
    design = designed(model, data)
    theta = {"level": [[1.0, 0.6]], "slope": [[0.3]], "rate": [[np.log(0.2)]], "association": [[0.8]]}
    f = evaluator(model, design)({k: np.array(v) for k, v in theta.items()}, {})[1]["event"]
    inside = {
        "nocb": lambda t: dose[min(np.searchsorted(times, t), 3)],
        "locf": lambda t: dose[np.searchsorted(times, t, side="right") - 1],
        "linear": lambda t: np.interp(t, times, dose),
    }[interpolation]

    def hazard(t):
        return 0.2 * np.exp(0.8 * (1.0 + 0.6 * inside(t) + 0.3 * t))

    whole = integrate.quad(hazard, 0, 4.5, points=times[1:], epsabs=1e-13, epsrel=1e-13, limit=200)[0]
    (found,) = measurement.log_density(residual["event"], f, {}, design.outcomes[1])[0]
    assert found == pytest.approx(np.log(hazard(4.5)) - whole, rel=1e-10)


def test_choosing_the_event_keeps_what_the_rows_of_a_marker_say():
    frame = pd.DataFrame({"id": "a", "time": [3.0, 5.0], "x": [0.0, 1.0], "marker": [1.0, np.nan], "t": [np.nan, 5.0]})
    both = nb.Dataset.from_frame(frame, outcome=("t", "marker"), levels="id", time="time")
    for data in (both.sel(outcome="t"), both.drop_sel(outcome="marker"), both.sel(outcome="t", id="a")):
        assert density(Weibull(), data)[0] == pytest.approx([-2.30534], abs=5e-6)


@pytest.mark.parametrize("kind", CASES)
def test_simulated_times_follow_the_history(kind):
    structure, data = CASES[kind], rows([0, 3, 20], [0, 0, 1], status=0)
    own = "x" in structure.inputs
    model = nb.Model(structure, "rate ~ 1" if own else "rate ~ 1 + x", "shape ~ 1", residual=nb.TimeToEvent())
    values = {"theta_rate": np.array([np.log(0.1), EFFECT][: 2 - own]), "theta_shape": np.array([0.0])}
    t = nb.simulate(model, data, draws=4000, values=values, random_seed=2)["prior_predictive"]["t"].to_numpy().ravel()

    def cdf(t):
        return -np.expm1(-0.1 * (np.minimum(t, 3) + np.exp(EFFECT) * np.maximum(t - 3, 0)))

    assert stats.kstest(t, cdf).pvalue > 0.01


def test_occasions_of_a_subject_govern_each_its_part():
    """An effect of the occasion, at 0.7 in the second, whose record begins at year 3."""
    frame = pd.DataFrame({"id": "a", "occ": ["1", "2"], "time": [3.0, 5.0], "t": [np.nan, 5.0], "y": [1.0, 1.0]})
    data = nb.Dataset.from_frame(frame.assign(x=[0.0, 1.0]), outcome="t", levels=("id", "occ"), subject="id",
                                 time="time")  # fmt: skip
    found, _ = density(Weibull(), data)
    assert found[0] == pytest.approx(-2.30534, abs=5e-6)


def test_occasions_of_a_subject_that_are_at_risk_together_are_refused():
    frame = pd.DataFrame({"id": "a", "occ": ["1", "2"], "time": [3.0, 5.0], "t": [3.0, 5.0], "x": 0.0, "from": [0, 3]})
    data = nb.Dataset.from_frame(frame, outcome="t", levels=("id", "occ"), subject="id", time="time")
    told = (
        "row 2: t of id a is at risk from 0 to 5, and in row 1 from 0 to 3: .* individuals, follow them, subject='occ'"
    )
    with pytest.raises(nb.ModelError, match=told):
        density(Weibull(), data)
    found, _ = density(Weibull(), data, residual=nb.TimeToEvent(entry="from"))
    np.testing.assert_allclose(found, np.log(0.1) - 0.1 * np.array([3.0, 2.0]))  # one after the other


def test_the_graph_and_the_arrays_agree():
    model = nb.Model(ParametricSurvival(), "rate ~ 1 + x", "shape ~ 1", residual=nb.TimeToEvent())
    built = nb.build(model, rows([0, 3, 5], [0, 0, 1]))
    value = built.compile_logp(vars=built["t"], mode="FAST_COMPILE")
    found = value({"theta_rate": np.array([np.log(0.1), EFFECT]), "theta_shape": np.array([0.0])})
    assert found == pytest.approx(-2.30534, abs=5e-6)


def test_a_stated_population_may_have_entries_and_its_own_centres():
    model = nb.Model(
        ParametricSurvival(), "rate ~ 1 + offset(log(1 + 0.0154 * (CRCL - 66)))", "shape ~ 1",
        residual=nb.TimeToEvent(entry="start"),
    )  # fmt: skip
    tree = nb.population(model, theta={"rate": 0.1, "shape": 1.0}, omega={}, sigma={}, outcome="t")
    frame = pd.DataFrame({"id": "a", "t": [5.0], "start": [2.0], "CRCL": [90.0], "seen": [0]})
    data = nb.Dataset.from_frame(frame, outcome="t", levels="id", status="seen")
    found = nb.predict(tree, data, random_seed=1)["posterior"]["f_t"].to_numpy()
    assert found.ravel() == pytest.approx([0.3 * (1 + 0.0154 * 24)], rel=1e-12)


def test_a_formula_without_a_value_at_the_reference_asks_for_one_by_name():
    model = nb.Model(ParametricSurvival(), "rate ~ 1 + log(bmi - age)", residual=nb.TimeToEvent())
    stated = {"theta": {"rate": {"Intercept": 0.1, "log(bmi - age)": 1.0}, "shape": 1.0}, "omega": {}, "sigma": {}}
    with pytest.raises(nb.ModelError, match=r"log\(bmi - age\) is not finite.*reference=\{'age': ..., 'bmi': ...\}"):
        nb.population(model, **stated, outcome="t")


@pytest.mark.parametrize("kind", CASES)
def test_an_interval_and_a_late_entry_are_cut_where_the_covariate_changes(kind):
    """No event up to year 2, one before year 5, at risk from year 1."""
    frame = pd.DataFrame({"id": "a", "time": [3.0, 5.0], "x": [0.0, 1.0], "t": [np.nan, 2.0], "cens": [0, -1],
                          "limit": [np.nan, 5.0], "start": [0.0, 1.0]})  # fmt: skip
    data = nb.Dataset.from_frame(frame, outcome="t", levels="id", time="time", censored="cens", limit="limit")
    found, total = density(CASES[kind], data, residual=nb.TimeToEvent(entry="start"))
    inside = 0.1 * (1 + 2 * np.exp(0.7))
    assert found[0] == pytest.approx(-0.1 + np.log(-np.expm1(-inside)), rel=1e-10)
    assert total[0] == pytest.approx(0.1 + inside, rel=1e-10)


@pytest.mark.parametrize("interpolation", ["nocb", "locf"])
def test_survival_is_predicted_through_a_change(interpolation):
    x = [0.0, 0.0, 1.0, 1.0] if interpolation == "nocb" else [0.0, 1.0, 1.0, 1.0]
    frame = pd.DataFrame({"id": "a", "time": [0.5, 3.0, 5.0, 7.0], "x": x, "t": np.nan})
    data = nb.Dataset.from_frame(frame, outcome="t", levels="id", time="time", interpolation=interpolation,
                                 unmeasured="predict")  # fmt: skip
    _, total = density(ParametricSurvival(), data)
    assert total == pytest.approx([0.05, 0.3, 0.3 + 0.2 * np.exp(0.7), 0.3 + 0.4 * np.exp(0.7)], rel=1e-10)


@pytest.mark.parametrize("interpolation", ["nocb", "linear"])
def test_a_pilot_finds_the_effect_of_what_changes(interpolation):
    rng = np.random.default_rng(5)
    n, draw = 400, rng.standard_exponential(400)
    switch, end = rng.uniform(1, 6, n), rng.uniform(6, 15, n)
    time = np.where(draw < 0.1 * switch, draw / 0.1, switch + (draw / 0.1 - switch) / np.exp(0.9))
    seen, stop = time <= end, np.minimum(time, end)
    last = np.minimum(switch, stop)
    columns = {"id": np.arange(n), "s": seen.astype(int)}
    before = pd.DataFrame(columns | {"time": last, "x": 0.0, "t": np.where(stop <= switch, stop, np.nan)})
    after = pd.DataFrame(columns | {"time": stop, "x": 1.0, "t": stop})[stop > switch]
    frame = pd.concat([before, after]).sort_values(["id", "time"], kind="stable")
    data = nb.Dataset.from_frame(frame, outcome="t", levels="id", time="time", status="s",
                                 interpolation=interpolation)  # fmt: skip
    model = nb.Model(ParametricSurvival("exponential"), "rate ~ 1 + x", residual=nb.TimeToEvent())
    assert pilot(model, designed(model, data)).theta["rate"][1] == pytest.approx(0.9, abs=0.25)
