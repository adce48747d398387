"""Times to an event: likelihoods against SciPy and quadrature, nodes, simulation, the pilot, and what is refused."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytensor.tensor as pt
import pytest
from scipy import integrate, stats

import model_zoo
import nlmebayes as nb
from nlmebayes.evaluation import measurement
from nlmebayes.evaluation.evaluator import evaluator
from nlmebayes.inference.sampler import Sampler
from nlmebayes.inference.starts import pilot
from nlmebayes.model.build import designed

INF = np.inf


@dataclass(frozen=True)
class Rising(nb.Curve):
    """A hazard without a closed integral: it follows a trajectory, and jumps at breaks."""

    breaks: tuple = ()
    inputs = ("time",)
    outcomes = ("marker", "death")
    parameters = (
        nb.Parameter("level", "1", typical=1.0, link="identity", spread=1.0),
        nb.Parameter("slope", "1", typical=0.3, link="identity", spread=1.0),
        nb.Parameter("base", "1", typical=0.05),
    )

    def curve(self, p, x):
        marker = p.level + p.slope * x.time
        late = sum((pt.gt(x.time, c) * 1.0 for c in self.breaks), 0.0 * x.time)
        return {"marker": marker, "death": p.base * (1 + late) * pt.exp(0.4 * pt.sqrt(1 + marker**2))}


@dataclass(frozen=True)
class Weibull(nb.Hazard):
    parameters = (nb.Parameter("rate", typical=0.1), nb.Parameter("shape", typical=1.5))

    def hazard(self, p, t):
        return p.rate * p.shape * t ** (p.shape - 1)

    def cumulative(self, p, t):
        started = pt.gt(t, 0)
        return p.rate * pt.switch(started, pt.switch(started, t, 1.0) ** p.shape, 0.0)


@dataclass(frozen=True)
class Slow(nb.Curve):
    """The same by quadrature."""

    inputs = ("time",)
    parameters = Weibull.parameters

    def curve(self, p, x):
        return p.rate * p.shape * x.time ** (p.shape - 1)


#                     seen  right  interval  left  truncated: seen, right, interval
RECORDS = pd.DataFrame({
    "id": list("abcdefg"),
    "t": [2.0, 3.0, 1.0, 4.0, 5.0, 5.0, 2.0],
    "cens": [0, -1, -1, 1, 0, -1, -1],
    "limit": [np.nan, np.nan, 2.5, np.nan, np.nan, np.nan, 7.0],
    "entry": [0.0, 0.0, 0.0, 0.0, 1.5, 4.0, 1.0],
})  # fmt: skip


def records(**changes):
    return nb.Dataset.from_frame(RECORDS.assign(**changes), outcome="t", levels="id", censored="cens", limit="limit")


def densities(structure, values, residual=nb.TimeToEvent("entry"), data=None):  # noqa: B008 (frozen)
    """Log-density of each record at population values, and the cumulative hazard that is reported."""
    model = nb.Model(structure, *(f"{p.name} ~ 1" for p in structure.parameters), residual=residual)
    design = designed(model, records() if data is None else data)
    theta = {p.name: p.scale.forward(np.array([[values[p.name]]])) for p in structure.parameters}
    _, f, _ = evaluator(model, design)(theta, {})
    (o,) = design.outcomes
    return measurement.log_density(residual, f["t"], {}, o)[0], o.read(f["t"])[0]


def expected(survival, density):
    """Log-densities of RECORDS from S(t) and p(t)."""
    s = survival
    return np.log([
        density(2.0), s(3.0), s(1.0) - s(2.5), 1 - s(4.0), density(5.0) / s(1.5), s(5.0) / s(4.0),
        (s(2.0) - s(7.0)) / s(1.0),
    ])  # fmt: skip


def test_every_kind_of_record_is_that_of_scipy():
    law = stats.weibull_min(1.7, scale=0.08 ** (-1 / 1.7))
    found, total = densities(Weibull(), {"rate": 0.08, "shape": 1.7})
    assert found == pytest.approx(expected(law.sf, law.pdf), rel=1e-10)
    ends = np.array([2.0, 3.0, 2.5, 4.0, 5.0, 5.0, 7.0])
    assert total == pytest.approx(law.logsf(RECORDS["entry"]) - law.logsf(ends), rel=1e-10)


def test_quadrature_of_a_smooth_hazard_is_exact():
    values = {"rate": 0.08, "shape": 3.0}
    assert densities(Slow(), values)[0] == pytest.approx(densities(Weibull(), values)[0], rel=1e-12)


def test_more_nodes_are_closer_where_a_hazard_is_rough():
    values = {"rate": 0.3, "shape": 0.6}  # infinite at 0
    exact = densities(Weibull(), values)[0]
    error = [np.abs(densities(Slow(), values, nb.TimeToEvent("entry", n))[0] - exact).max() for n in (15, 60)]
    assert error[1] < error[0] / 4


@pytest.mark.parametrize("breaks", [(), (1.0, 4.5)])
def test_a_trajectory_in_the_hazard_is_that_of_scipy(breaks):
    values = {"level": 0.5, "slope": -0.4, "base": 0.1}
    structure, residual = Rising(breaks), {"marker": nb.Additive(), "death": nb.TimeToEvent("entry", 24)}
    frame = pd.concat([RECORDS.rename(columns={"t": "death"}).assign(time=0.0, marker=1.0)])
    data = nb.Dataset.from_frame(frame[["id", "time", "marker"]], outcome="marker", levels="id", time="time")
    both = nb.Dataset.from_frame(
        frame[["id", "time", "marker", "death", "entry"]].assign(status=[1, 0, 0, 0, 1, 0, 0]), time="time",
        outcome=("marker", "death"), levels="id", status={"death": "status"},
    )  # fmt: skip
    model = nb.Model(structure, "level ~ 1", "slope ~ 1", "base ~ 1", residual=residual)
    assert len(designed(nb.Model(structure, residual={"marker": nb.Additive()}), data).outcomes) == 1
    design = designed(model, both)
    theta = {p.name: p.scale.forward(np.array([[values[p.name]]])) for p in structure.parameters}
    f = evaluator(model, design)(theta, {})[1]["death"]
    found = measurement.log_density(residual["death"], f, {}, design.outcomes[1])[0]

    def hazard(t):
        return 0.1 * (1 + sum(t > c for c in breaks)) * np.exp(0.4 * np.sqrt(1 + (0.5 - 0.4 * t) ** 2))

    for i, (end, entry) in enumerate(zip(RECORDS["t"], RECORDS["entry"], strict=True)):
        inside = [c for c in breaks if entry < c < end] or None
        whole = integrate.quad(hazard, entry, end, points=inside, epsabs=1e-13, epsrel=1e-13)[0]
        assert found[i] == pytest.approx(-whole + (np.log(hazard(end)) if i in (0, 4) else 0.0), rel=1e-10)


@pytest.mark.parametrize("structure", [Weibull(), Slow()], ids=["closed", "quadrature"])
def test_simulated_times_follow_the_law(structure):
    data = nb.Dataset.from_frame(pd.DataFrame({"id": [1, 2], "t": [20.0, 6.0], "entry": [0.0, 3.0]}), outcome="t",
                                 levels="id")  # fmt: skip
    model = nb.Model(structure, "rate ~ 1", "shape ~ 1", residual=nb.TimeToEvent("entry"))
    law = stats.weibull_min(1.7, scale=0.08 ** (-1 / 1.7))
    values = {"theta_rate": np.log([0.08]), "theta_shape": np.log([1.7])}
    t = nb.simulate(model, data, draws=4000, values=values, random_seed=2)["prior_predictive"]["t"].to_numpy()[0]
    assert stats.kstest(t[:, 0], law.cdf).pvalue > 0.01
    assert t[:, 1].min() > 3
    assert stats.kstest(t[:, 1], lambda x: 1 - law.sf(x) / law.sf(3.0)).pvalue > 0.01


def test_the_graph_and_the_arrays_agree_with_gradients_of_finite_differences():
    data = records()
    model = nb.Model(Weibull(), "rate ~ 1", "shape ~ 1", residual=nb.TimeToEvent("entry"))
    built = nb.build(model, data)
    value = built.compile_logp(vars=built["t"], mode="FAST_COMPILE")
    slope = built.compile_dlogp(vars=None, mode="FAST_COMPILE")
    point = {"theta_rate": np.log([0.08]), "theta_shape": np.log([1.7])}
    assert value(point) == pytest.approx(densities(Weibull(), {"rate": 0.08, "shape": 1.7})[0].sum(), rel=1e-10)
    whole, h = built.compile_logp(mode="FAST_COMPILE"), 1e-5
    for i, name in enumerate(point):
        up, down = ({**point, name: point[name] + s} for s in (h, -h))
        assert slope(point)[i] == pytest.approx((whole(up) - whole(down)) / (2 * h), rel=1e-6)


def test_a_pilot_finds_a_hazard_ratio_and_a_frailty():
    rng = np.random.default_rng(3)
    n = 600
    x, site = rng.integers(0, 2, n), np.arange(n) % 30
    rate = 0.05 * np.exp(0.8 * x + rng.normal(0, 0.5, 30)[site])
    t, end = (rng.standard_exponential(n) / rate) ** (1 / 1.4), rng.uniform(2, 15, n)
    frame = pd.DataFrame({"id": np.arange(n), "site": site, "x": x, "t": np.minimum(t, end), "seen": t <= end})
    data = nb.Dataset.from_frame(frame.astype({"seen": int}), outcome="t", levels=("site", "id"), status="seen")
    for structure in (Weibull(), Slow()):
        model = nb.Model(structure, "rate ~ 1 + x + (1|site)", "shape ~ 1", residual=nb.TimeToEvent())
        found = pilot(model, designed(model, data))
        assert found.rounds > 0
        assert found.theta["rate"][1] == pytest.approx(0.8, abs=0.25)
        assert np.exp(found.theta["shape"][0]) == pytest.approx(1.4, abs=0.15)
        assert found.factor["site"][0, 0] == pytest.approx(0.5, abs=0.2)


def test_survival_is_predicted_at_times_without_an_event():
    frame = pd.DataFrame({"id": "a", "time": [1.0, 4.0], "t": np.nan})
    data = nb.Dataset.from_frame(frame, outcome="t", levels="id", time="time", unmeasured="predict")
    found = densities(Weibull(), {"rate": 0.08, "shape": 1.7}, nb.TimeToEvent(), data)[1]
    assert np.exp(-found) == pytest.approx(stats.weibull_min(1.7, scale=0.08 ** (-1 / 1.7)).sf([1.0, 4.0]), rel=1e-12)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"entry": [2.0, 0, 0, 0, 1.5, 4, 1]}, "row 1: t 2 with the entry 2: an event at its entry"),
        ({"entry": [0.0, 3.5, 0, 0, 1.5, 4, 1]}, "row 2: t 3 with the entry 3.5: a time before the entry"),
        ({"entry": [-1.0, 0, 0, 0, 1.5, 4, 1]}, "row 1: .* an entry before time 0"),
    ],
)
def test_impossible_times_are_named(changes, message):
    model = nb.Model(Weibull(), residual=nb.TimeToEvent("entry"))
    with pytest.raises(nb.ModelError, match=message):
        designed(model, records(**changes))


def test_status_is_checked():
    frame = pd.DataFrame({"id": [1, 2], "t": [1.0, 2.0], "s": [1, 2]})
    with pytest.raises(nb.DataError, match="row 2, column s: 2 is neither 1"):
        nb.Dataset.from_frame(frame, outcome="t", levels="id", status="s")
    with pytest.raises(nb.DataError, match="status= names 'x'; the outcomes are t"):
        nb.Dataset.from_frame(frame, outcome="t", levels="id", status={"x": "s"})


def test_what_is_no_curve_has_no_hazard():
    from_doses = nb.Model(model_zoo.OneCompartment(), residual=nb.TimeToEvent())
    with pytest.raises(nb.ModelError, match="cannot give the hazard of conc: TimeToEvent takes a Curve"):
        nb.build(from_doses, nb.datasets.theophylline())


def test_a_forecast_knows_that_a_patient_is_alive():
    """The posterior of a frailty by quadrature, from one death and two patients who live."""
    model = nb.Model(Weibull(), "rate ~ 1 + (1|site)", "shape ~ 1", residual=nb.TimeToEvent())
    tree = nb.population(model, theta={"rate": 0.1, "shape": 1.5}, omega={"sd": {"rate": 0.8}}, sigma={}, outcome="t")
    frame = pd.DataFrame({"site": "new", "id": list("abc"), "t": [2.0, 5.0, 6.0], "seen": [1, 0, 0]})
    site = nb.Dataset.from_frame(frame, outcome="t", levels=("site", "id"), subject="site", status="seen")
    found = nb.forecast(tree, site, random_seed=1)["posterior"]["rate"].to_numpy()[..., 0]
    eta = np.linspace(-5, 5, 4001)
    rate = 0.1 * np.exp(eta)
    weight = stats.norm(0, 0.8).pdf(eta) * rate * np.exp(-rate * (2**1.5 + 5**1.5 + 6**1.5))
    assert found.mean() == pytest.approx((rate * weight).sum() / weight.sum(), rel=0.03)


@pytest.mark.parametrize("residual", [nb.TimeToEvent(), nb.Autoregressive()], ids=str)
def test_a_compiled_sampler_does_not_take_other_values_of_what_decides_its_design(residual):
    structure = Weibull() if residual.folds else model_zoo.LinearMixed()
    data = nb.Dataset.from_frame(RECORDS[["id", "t"]], outcome="t", levels="id")
    told = nb.Model(structure, *(f"{p.name} ~ 1" for p in structure.parameters), residual=residual)
    ready = Sampler(told, data, designed(told, data), None, None, None, None, [], "numba", {}, [], ())
    with pytest.raises(nb.ModelError, match="with_values: the design of t depends on its measurements; fit anew"):
        ready.with_values(t=np.ones(7))
