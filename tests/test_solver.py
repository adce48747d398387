"""The compiled solver: divided differences, its kernels beside one another and beside exact arithmetic, its adjoint."""

from dataclasses import dataclass, field, replace
from decimal import Decimal, localcontext
from itertools import combinations, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from laws import exact_amounts
from scipy.linalg import expm

from nlmebayes.solver.linear import network
from nlmebayes.solver.linear.exponential import e1, e2, e3
from nlmebayes.solver.shared import lanes
from nlmebayes.structure.linear import _kind

# --- divided differences ---------------------------------------------------------------------------------------------


def exact_difference(rates, h):
    """E_k of k + 1 rates in 140 digits; those that coincide are taken 1e-25 / h apart, which changes no float."""
    with localcontext(prec=140):
        h, apart = Decimal(h), Decimal("1e-25") / Decimal(h)
        x = sorted(map(Decimal, rates))
        for i in range(1, len(x)):
            x[i] = max(x[i], x[i - 1] + apart)
        column = [(-each * h).exp() for each in x]
        for k in range(1, len(x)):
            column = [(column[i] - column[i + 1]) / (x[i + k] - x[i]) for i in range(len(column) - 1)]
        return float(column[0])


def difference(rates, h):
    """E_k as the kernels get it: from exponentials, order by order."""
    found = {(i,): np.exp(-a * h) for i, a in enumerate(rates)}
    for k in range(2, len(rates) + 1):
        for which in combinations(range(len(rates)), k):
            x = [rates[i] for i in which]
            # without the first rate, without the second, ... as e2 and e3 take them; e1 takes E_0(a), E_0(b)
            parts = [found[tuple(j for j in which if j != i)] for i in which]
            found[which] = e1(*x, h, *parts[::-1]) if k == 2 else (e2 if k == 3 else e3)(*x, h, *parts)
    return found[tuple(range(len(rates)))]


RATES = st.sampled_from([0.0, 1e-9, 0.02, 0.5, 0.5 * (1 + 1e-15), 0.5 + 1e-9, 0.5001, 0.7, 1.5, 40.0])


@settings(deadline=None, max_examples=300)
@given(st.lists(RATES | st.floats(0, 5), min_size=2, max_size=4), st.sampled_from([1e-9, 1e-3, 0.3, 1.0, 7.0, 200.0]))
def test_divided_differences_are_those_of_140_digits(rates, h):
    assert difference(rates, h) == pytest.approx(exact_difference(rates, h), rel=1e-12, abs=1e-290)


@pytest.mark.parametrize("h", [1e-300, 1e-12, 1.0, 1e12, 1e100])
@pytest.mark.parametrize("rates", [(0.0, 0.0), (0.0, 3.0, 3.0), (0.0, 0.0, 0.0, 0.0), (2.0, 0.0, 2.0, 1.0)])
def test_divided_differences_of_tiny_and_huge_steps(rates, h):
    assert difference(rates, h) == pytest.approx(exact_difference(rates, h), rel=1e-12, abs=1e-290)


@settings(deadline=None, max_examples=50)
@given(st.permutations([0.0, 0.3, 0.3, 2.0]), st.floats(1e-3, 30))
def test_divided_differences_are_symmetric(rates, h):
    assert difference(rates, h) == pytest.approx(difference([0.0, 0.3, 0.3, 2.0], h), rel=1e-12)


# --- problems --------------------------------------------------------------------------------------------------------

OUT = -1


@dataclass(frozen=True, eq=False)
class Problem:
    """A network with doses and records; ``kind`` None is what the library makes of it, ``"dense"`` the whole matrix."""

    edges: tuple  # (source, target, kept)
    doses: tuple  # (time, amount, rate, interval, route)
    times: tuple
    rates: np.ndarray  # (draw, edge, unit)
    routes: tuple = (0,)
    head: bool = False  # whether the first dose is a steady state
    fraction: np.ndarray = field(default_factory=lambda: np.zeros((1, 0, 1)))
    lag: np.ndarray = field(default_factory=lambda: np.zeros((1, 0, 1)))
    extra: np.ndarray = field(default_factory=lambda: np.zeros((1, 0, 1)))
    units: tuple = ()  # of the records; doses are of unit 0
    kind: str = None

    @property
    def n(self):
        return 1 + max(max(edge[:2]) for edge in self.edges)

    @property
    def inputs(self):
        edges = [tuple(map(int, edge)) for edge in self.edges]
        kind = np.array([self.n, -1, 0, 0]) if self.kind == "dense" else _kind(self.n, edges)
        table = np.array([(time, 0.0, amount, rate, ii) for time, amount, rate, ii, _ in self.doses], dtype=float)
        records = [(time, 1.0) for time in self.times]
        of_record = [*zip(self.units or (0,) * len(records), range(len(records)), strict=True)]
        if self.head:  # the record of the dose itself comes first
            records, of_record = [(self.doses[0][0], 0.0), *records], [(0, -1), *of_record]
        return (
            np.array(edges), np.array(self.routes), np.arange(self.n), kind.astype(np.int64),
            np.array([[0, len(records), int(self.head), len(self.doses), 0 if self.head else -1]]), np.array(records),
            np.array(of_record), table.reshape(-1, 5),
            np.array([(0, route) for *_, route in self.doses], dtype=np.int64).reshape(-1, 2),
            self.rates, self.fraction, self.lag, self.extra,
        )  # fmt: skip

    @property
    def amounts(self):
        """(draw, state, record)."""
        return network.amounts(*self.inputs)[0]

    def slopes(self, weights, tape=True):
        """Slopes of the weighted sum of the amounts in rates, fraction, lag and extra."""
        inputs = self.inputs
        y, *written = network.amounts(*inputs)
        weights = np.broadcast_to(weights, y.shape).copy()
        return network.pullback(*inputs, weights, *(written if tape else (np.empty((len(x), 0)) for x in written)))

    @property
    def matrix(self):
        """Of the first unit, without rounding: what a compartment loses is a sum of rates of any size."""
        with localcontext(prec=100):
            a = np.full((self.n, self.n), Decimal(0))
            for (source, target, kept), rate in zip(self.edges, self.rates[0, :, 0], strict=True):
                a[source, source] -= 0 if kept else Decimal(rate)
                if target >= 0:
                    a[target, source] += Decimal(rate)
            return a


def mammillary(modes, depot):
    """Flows of a central state with ``modes - 1`` peripherals, after a depot or not."""
    central = int(depot)
    exchange = [pair for j in range(1, modes) for pair in ((central, central + j, 0), (central + j, central, 0))]
    return (*((0, 1, 0),) * depot, (central, OUT, 0), *exchange)


SYSTEMS = [(modes, depot) for modes in (1, 2, 3) for depot in (False, True)]
EACH = pytest.mark.parametrize(("modes", "depot"), SYSTEMS)
SOME = pytest.mark.parametrize(("modes", "depot"), [(1, True), (2, False)])
KERNELS = pytest.mark.parametrize("kind", [None, "dense"])
WAYS = {
    "boluses": ((0.0, 100.0, 0.0, 0.0, 0), (3.0, 50.0, 0.0, 0.0, 1)),
    "infusions": ((0.0, 100.0, 40.0, 0.0, 0), (1.0, 50.0, 9.0, 0.0, 1)),
    "a bolus into an infusion": ((0.0, 90.0, 10.0, 0.0, 1), (2.0, 100.0, 0.0, 0.0, 0)),
}
TIMES = (0.0, 0.1, 1.5, 4.0, 4.01, 9.0, 30.0)


def problem(modes, depot, doses=WAYS["boluses"], *, rng=None, rates=None, **more):
    edges = mammillary(modes, depot)
    if rates is None:
        rates = np.exp((rng or np.random.default_rng(modes)).normal(-1, 1, len(edges)))
    return Problem(edges, doses, TIMES, np.reshape(rates, (1, -1, 1)), routes=(0, int(depot)), **more)


def near(found, wanted, rel=1e-12):
    """Relative to each number, and to 1e-15 of the largest."""
    np.testing.assert_allclose(found, wanted, rtol=rel, atol=1e-15 * np.abs(wanted).max())


# --- amounts ---------------------------------------------------------------------------------------------------------


def exact(p):
    """Amounts at the records in exact arithmetic, dose by dose."""
    total = np.zeros((p.n, len(p.times)))
    for time, amount, rate, _, route in p.doses:
        unit = np.arange(p.n) == p.routes[route]
        for k, t in enumerate(p.times):
            if t >= time and rate == 0:
                total[:, k] += exact_amounts(p.matrix, t - time, amount * unit, 0.0 * unit)
            elif t > time:
                during = min(t - time, amount / rate)
                end = exact_amounts(p.matrix, during, 0.0 * unit, rate * unit)
                total[:, k] += exact_amounts(p.matrix, t - time - during, end, 0.0 * unit)
    return total


@EACH
@pytest.mark.parametrize("way", WAYS)
def test_amounts_are_those_of_exact_arithmetic(modes, depot, way):
    p = problem(modes, depot, WAYS[way])
    wanted = exact(p)
    near(p.amounts[0], wanted)
    near(replace(p, kind="dense").amounts[0], wanted)


@EACH
def test_amounts_are_those_of_scipy(modes, depot):
    """`scipy.linalg.expm`, where rates are of one size."""
    p = problem(modes, depot, ((0.0, 100.0, 0.0, 0.0, 0),))
    wanted = np.stack([expm(p.matrix.astype(float) * t)[:, 0] * 100 for t in TIMES], axis=1)
    near(p.amounts[0], wanted, rel=1e-10)


@EACH
@settings(deadline=None, max_examples=40)
@given(data=st.data())
def test_kernels_agree_with_rates_of_any_size(modes, depot, data):
    """To a rounding of the largest amount there was, a bolus just given included; and, where eigenvalues are found, of
    the fastest rate until the last time.
    """
    size = len(mammillary(modes, depot))
    rates = 10.0 ** np.array(data.draw(st.lists(st.floats(-8, 4), min_size=size, max_size=size)))
    p = problem(modes, depot, WAYS[data.draw(st.sampled_from(list(WAYS)))], rates=rates)
    wanted = exact(p)
    largest = np.abs(exact(replace(p, times=(*p.times, *(time for time, *_ in p.doses))))).max()
    scale = 1e-12 * largest
    eigen = np.finfo(float).eps * p.rates.max() * p.times[-1] * largest
    np.testing.assert_allclose(p.amounts[0], wanted, rtol=1e-9, atol=scale + eigen)
    np.testing.assert_allclose(replace(p, kind="dense").amounts[0], wanted, rtol=1e-9, atol=scale)


def rounding(p):
    """What the rounding of the fastest rate does to the slow ones until the last record."""
    return 1e-11 + 1e-15 * p.rates.max() * p.times[-1]


CORNERS = {
    "k21 is k31": (3, (0.3, 0.5, 0.2, 0.4, 0.2)),
    "k21 is k31 but for rounding": (3, (0.3, 0.5, 0.2, 0.4, np.nextafter(0.2, 1))),
    "hardly any exchange": (2, (0.3, 1e-12, 0.3)),
    "exchange that does not return": (2, (0.3, 0.5, 1e-300)),
    "exchange that is not": (2, (0.3, 0.0, 0.0)),
    "ways that do not return": (3, (0.3, 0.5, 0.0, 0.2, 0.0)),
    "one exchange that is not": (3, (0.3, 0.0, 0.0, 0.2, 0.1)),
    "no exchange at all": (3, (0.3, 0.0, 0.0, 0.0, 0.0)),
    "fast exchange": (2, (0.3, 1e9, 1e9)),
    "fast and slow": (3, (0.3, 1e8, 1e7, 1e-6, 1e-7)),
    "no elimination": (3, (0.0, 0.5, 0.2, 0.4, 0.1)),
    "hardly any elimination": (3, (1e-14, 0.5, 0.2, 0.4, 0.1)),
    "k10 + k12 is k21": (2, (0.3, 0.2, 0.5)),
    "everything the same": (3, (0.3, 0.3, 0.3, 0.3, 0.3)),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("corner", CORNERS)
@pytest.mark.parametrize("ka", [None, 0.2, 1e6])
def test_corners_of_the_eigenvalues(corner, way, ka):
    modes, rates = CORNERS[corner]
    p = problem(modes, ka is not None, WAYS[way], rates=rates if ka is None else (ka, *rates))
    wanted = exact(p)
    np.testing.assert_allclose(p.amounts[0], wanted, rtol=rounding(p), atol=1e-13 * wanted.max())
    assert (p.amounts >= -1e-13 * wanted.max()).all()


def test_nothing_is_lost_without_elimination():
    p = problem(3, True, rates=(0.7, 0.0, 0.5, 0.2, 0.4, 0.1))
    assert p.amounts[0].sum(axis=0) == pytest.approx([100.0] * 3 + [150.0] * 4, rel=1e-14)


# --- slopes ----------------------------------------------------------------------------------------------------------


def richardson(function, x, h=1e-4):
    """Slope at x by central differences of three steps, extrapolated twice."""
    step = h * max(abs(x), 1e-3)
    found = [(function(x + d) - function(x - d)) / (2 * d) for d in (step, step / 2, step / 4)]
    while len(found) > 1:
        order = 4.0 ** (4 - len(found))
        found = [(order * b - a) / (order - 1) for a, b in pairwise(found)]
    return found[0]


def differences(p, weights):
    """Slopes by differences, in the shapes of `Problem.slopes`."""
    found = []
    for name in ("rates", "fraction", "lag", "extra"):
        value = getattr(p, name)
        slope = np.zeros_like(value)
        for index in np.ndindex(value.shape):

            def total(x, name=name, value=value, index=index):
                other = value.copy()
                other[index] = x
                return (replace(p, **{name: other}).amounts * weights).sum()

            slope[index] = richardson(total, value[index])
        found.append(slope)
    return found


def same_slopes(found, wanted, rel):
    for one, other in zip(found, wanted, strict=True):
        assert one.shape == other.shape
        np.testing.assert_allclose(one, other, rtol=rel, atol=rel * np.abs(other).max(initial=0.0))


def weights(p, seed=0):
    return np.random.default_rng(seed).normal(size=(1, p.n, len(p.times)))


@EACH
@pytest.mark.parametrize("way", WAYS)
def test_slopes_of_the_kernels_are_differences_and_agree(modes, depot, way):
    p = problem(modes, depot, WAYS[way])
    w = weights(p)
    found = p.slopes(w)
    same_slopes(found, differences(p, w), 1e-7)
    same_slopes(replace(p, kind="dense").slopes(w), found, 1e-11)


def test_the_exponential_of_many_is_that_of_numpy():
    far = np.array([-np.inf, -1e6, -708.1, 709.1, 1e6, np.inf, np.nan])
    x = np.concatenate([np.linspace(-708, 709, 4001), np.random.default_rng(1).normal(0, 1e-9, 50), [0.0]])
    found = np.concatenate([x, far])
    lanes.exponential(found, np.empty(len(found)))
    np.testing.assert_allclose(found[: len(x)], np.exp(x), rtol=5e-16)
    np.testing.assert_array_equal(found[len(x) :], [0, 0, 0, np.inf, np.inf, np.inf, np.nan])


@pytest.mark.parametrize("depot", [False, True])
def test_the_step_of_one_mode_is_that_of_several(depot):
    """A running infusion of next to nothing brings in the general kernel."""
    p = problem(1, depot)
    infused = replace(p, doses=((-1.0, 1e-198, 1e-200, 0.0, 1), *p.doses))
    near(p.amounts, infused.amounts)
    same_slopes(p.slopes(weights(p)), infused.slopes(weights(p)), 1e-12)


@pytest.mark.parametrize("depot", [False, True])
@pytest.mark.parametrize("gap", [0.0, 1e-12, -1e-6, 0.1, -0.1, 0.3 / 4.9, 5.0, 1e4])
def test_the_step_of_one_mode_near_equal_rates(depot, gap):
    p = problem(1, depot, rates=(0.7 + gap, 0.7) if depot else (0.7 + gap,))
    near(p.amounts[0], exact(p))
    same_slopes(p.slopes(weights(p)), replace(p, kind="dense").slopes(weights(p)), 1e-11)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("corner", CORNERS)
@pytest.mark.parametrize("ka", [None, 0.2, 0.3])
def test_slopes_at_corners_of_the_eigenvalues(corner, way, ka):
    modes, rates = CORNERS[corner]
    p = problem(modes, ka is not None, WAYS[way], rates=rates if ka is None else (ka, *rates))
    w = weights(p)
    same_slopes(p.slopes(w), replace(p, kind="dense").slopes(w), max(1e-9, rounding(p)))


MORE = {
    "lag and fraction": ((0.0, 100.0, 0.0, 0.0, 0), (5.0, 50.0, 0.0, 0.0, 1)),
    "a given rate": ((0.0, 100.0, 40.0, 0.0, 0), (2.0, 50.0, 25.0, 0.0, 1)),
    "a modelled duration": ((0.0, 100.0, -2.0, 0.0, 0), (2.0, 50.0, -2.0, 0.0, 1)),
    "a modelled rate": ((0.0, 100.0, -1.0, 0.0, 0), (2.0, 50.0, 0.0, 0.0, 1)),
    "a steady state": ((0.0, 100.0, 0.0, 8.0, 0), (2.0, 50.0, 0.0, 0.0, 1)),
    "a steady state of short doses": ((0.0, 100.0, 0.0, 0.2, 0), (2.0, 50.0, 0.0, 0.0, 1)),
    "a steady state of infusions": ((0.0, 100.0, 40.0, 8.0, 0), (2.0, 50.0, 0.0, 0.0, 0)),
    "a steady state of long infusions": ((0.0, 100.0, -2.0, 0.75, 0), (2.0, 50.0, -2.0, 0.0, 1)),
    "a steady state of slow infusions": ((0.0, 100.0, -1.0, 1.9, 0), (2.0, 50.0, -2.0, 0.0, 1)),
    "a constant infusion": ((0.0, 0.0, 20.0, 0.0, 0), (2.0, 50.0, 0.0, 0.0, 1)),
    "a constant infusion of modelled rate": ((0.0, 0.0, -1.0, 0.0, 0), (2.0, 50.0, 0.0, 0.0, 1)),
}


def rich(modes, depot, way, units=1, seed=3):
    """A problem with every parameter; the units of the records take turns."""
    rng, edges = np.random.default_rng(seed), mammillary(modes, depot)
    return Problem(
        edges, MORE[way], (0.0, 0.13, 1.53, 4.0, 4.01, 9.0, 30.0), np.exp(rng.normal(-1, 0.7, (1, len(edges), units))),
        routes=(0, int(depot)), head="steady" in way or "constant" in way, fraction=rng.uniform(0.4, 1, (1, 2, units)),
        lag=rng.uniform(0.3, 0.9, (1, 2, units)), extra=rng.uniform(1.7, 4, (1, 2, units)),
        units=tuple(np.arange(7) % units),
    )  # fmt: skip


@pytest.mark.parametrize(("modes", "depot"), [(1, False), (1, True), (2, True), (3, False)])
@pytest.mark.parametrize("way", MORE)
@pytest.mark.parametrize("units", [1, 3])
def test_slopes_in_every_parameter_are_differences(modes, depot, way, units):
    p = rich(modes, depot, way, units)
    w = weights(p)
    found = p.slopes(w)
    same_slopes(found, differences(p, w), 1e-6)
    same_slopes(replace(p, kind="dense").slopes(w), found, 1e-9)


def test_a_recomputed_tape_is_the_stored_one():
    """A sampler has one draw and keeps its tape; several draws are run again."""
    p = rich(2, True, "a steady state of long infusions", 3)
    both = replace(
        p, **{name: np.repeat(getattr(p, name), 2, axis=0) for name in ("rates", "fraction", "lag", "extra")}
    )
    one, again, two = p.slopes(weights(p)), p.slopes(weights(p), tape=False), both.slopes(weights(p))
    assert (both.amounts == p.amounts).all()
    for stored, recomputed, several in zip(one, again, two, strict=True):
        assert (recomputed == stored).all()
        assert (several == stored).all()


# --- any network -----------------------------------------------------------------------------------------------------

GENERAL = {
    "a loop": ((0, 1, 0), (1, 2, 0), (2, 0, 0), (1, OUT, 0)),
    "a chain": ((0, 1, 0), (1, 2, 0), (2, 3, 0), (3, OUT, 0)),
    "a flow that takes nothing": ((0, OUT, 0), (0, 1, 1), (1, OUT, 0)),
    "a state that collects": ((0, 1, 0), (0, 2, 0), (1, OUT, 0)),
    "two flows alike": ((0, 1, 0), (0, 1, 0), (1, OUT, 0)),
    "a peripheral compartment that eliminates": ((0, 1, 0), (1, 0, 0), (1, OUT, 0)),
}


@pytest.mark.parametrize("name", GENERAL)
@pytest.mark.parametrize("way", WAYS)
def test_any_network_is_that_of_exact_arithmetic(name, way):
    rates = np.linspace(0.2, 0.9, len(GENERAL[name])).reshape(1, -1, 1)
    p = Problem(GENERAL[name], WAYS[way], TIMES, rates, routes=(0, 1))
    assert p.inputs[3][3] == 0
    near(p.amounts[0], exact(p))


@pytest.mark.parametrize("name", GENERAL)
@pytest.mark.parametrize("way", MORE)
def test_slopes_of_any_network_are_differences(name, way):
    p = replace(rich(1, True, way), edges=GENERAL[name], routes=(0, 1))
    p = replace(p, rates=np.linspace(0.2, 0.9, len(p.edges)).reshape(1, -1, 1))
    w = weights(p)
    same_slopes(p.slopes(w), differences(p, w), 1e-6)


@pytest.mark.parametrize("lag", [0.0, 0.7, 9.3])
def test_a_state_that_collects_starts_empty_at_a_steady_state(lag):
    p = rich(1, True, "a steady state")
    p = replace(p, edges=GENERAL["a state that collects"], rates=np.full((1, 3, 1), 0.4), routes=(0, 1))
    collected = replace(p, times=(0.0, 1e-6), units=(), lag=np.full((1, 2, 1), lag)).amounts[0, 2]
    assert collected == pytest.approx([0.0, 0.0], abs=1e-4)


# --- beyond the possible ---------------------------------------------------------------------------------------------


LIKE = {"lag": (1, 2, 1), "fraction": (1, 2, 1), "extra": (1, 2, 1)}


@SOME
@KERNELS
@pytest.mark.parametrize("way", MORE)
@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("name", ["lag", "fraction"])
def test_a_dose_without_number_has_no_amounts(modes, depot, kind, way, value, name):
    p = replace(rich(modes, depot, way), kind=kind, **{name: np.full(LIKE[name], value)})
    assert np.isnan(p.amounts).all()
    assert all(np.isnan(slope).all() for slope in p.slopes(1.0))


@EACH
@KERNELS
@pytest.mark.parametrize("way", ["lag and fraction", "a steady state", "a steady state of infusions"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_rate_without_number_gives_none_or_the_limit(modes, depot, kind, way, value):
    p = rich(modes, depot, way)
    for edge, (source, target, _) in enumerate(p.edges):
        rates = p.rates.copy()
        rates[0, edge] = value
        found = replace(p, kind=kind, rates=rates).amounts[0, :, -1]
        gone = target == OUT and value == np.inf and found[source] == 0
        assert np.isnan(found).any() or gone, (source, target, found)


@pytest.mark.parametrize("lag", [8001.0, 1e300, -0.1])
@pytest.mark.parametrize("way", ["a steady state", "a steady state of infusions"])
def test_a_lag_of_a_thousand_intervals_is_refused(way, lag):
    p = replace(rich(1, True, way), lag=np.full((1, 2, 1), lag))
    assert np.isnan(p.amounts).all()
    assert all(np.isnan(slope).all() for slope in p.slopes(1.0))


def test_an_infusion_of_a_thousand_intervals_is_refused():
    p = replace(rich(2, False, "a steady state of long infusions"), extra=np.full((1, 2, 1), 751.0))
    assert np.isnan(p.amounts).all()


def test_one_bad_draw_leaves_the_others():
    p = rich(2, True, "a steady state of long infusions")
    draws = {name: np.repeat(getattr(p, name), 3, axis=0) for name in ("rates", "fraction", "lag", "extra")}
    draws["lag"][1] = np.nan
    many = replace(p, **draws)
    assert (many.amounts[[0, 2]] == p.amounts).all()
    assert np.isnan(many.amounts[1]).all()
    assert [np.isnan(slope).any(axis=(1, 2)).tolist() for slope in many.slopes(1.0)] == [[False, True, False]] * 4


def test_a_bad_first_draw_leaves_those_of_the_same_times():
    p = problem(1, True, fraction=np.full((1, 2, 1), 0.7))
    draws = {name: np.repeat(getattr(p, name), 3, axis=0) for name in ("rates", "fraction", "lag", "extra")}
    draws["fraction"][0] = np.nan
    many = replace(p, **draws)
    assert np.isnan(many.amounts[0]).all()
    assert (many.amounts[1:] == p.amounts).all()
    for slope, alone in zip(many.slopes(1.0), p.slopes(1.0), strict=True):
        assert np.isnan(slope[0]).all()
        assert (slope[1:] == alone).all()


@SOME
@KERNELS
@pytest.mark.parametrize("way", MORE)
def test_amounts_of_nothing_are_nothing(modes, depot, way, kind):
    p = rich(modes, depot, way)
    none = tuple((time, 0.0, rate, ii, route) for time, _, rate, ii, route in p.doses if "constant" not in way)
    p = replace(p, doses=none, head="steady" in way, kind=kind)
    assert (p.amounts == 0).all()
    assert all(np.isfinite(slope).all() for slope in p.slopes(1.0))
    assert (p.slopes(1.0)[0] == 0).all()


@EACH
def test_a_course_without_doses_is_empty(modes, depot):
    p = problem(modes, depot, ())
    assert (p.amounts == 0).all()
    assert (p.slopes(1.0)[0] == 0).all()


@SOME
@KERNELS
@pytest.mark.parametrize("duration", [1e-9, 1e-15, 1e-30])
def test_a_duration_of_next_to_nothing_is_a_bolus(modes, depot, kind, duration):
    """Also one that is lost when it is added to the time of the dose."""
    p = problem(modes, depot, ((0.5, 100.0, -2.0, 0.0, 0), (3.0, 50.0, 20.0, 0.0, 1)), kind=kind)
    bolus = replace(p, doses=((0.5, 100.0, 0.0, 0.0, 0), p.doses[1])).amounts
    found = replace(p, extra=np.full((1, 2, 1), duration)).amounts
    np.testing.assert_allclose(found, bolus, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("way", ["a modelled duration", "a given rate", "a steady state of long infusions"])
@KERNELS
def test_the_slope_in_a_fraction_of_zero_is_its_limit(way, kind):
    """Amounts are linear in the fraction where the duration is modelled, and smooth where the rate is given."""
    p = replace(rich(1, True, way), kind=kind)
    none, little = (replace(p, fraction=np.full((1, 2, 1), x)).slopes(1.0)[1] for x in (0.0, 1e-9))
    assert none == pytest.approx(little, rel=1e-6)
