"""`ThreeCompartment` against closed forms, its own parametrisations and limits."""

import numpy as np
import pytest
from laws import area, predicted, response_slopes

from model_zoo import ThreeCompartment, TwoCompartment
from nlmebayes.structure.structure import Named

BOLUS, ORAL = ThreeCompartment(), ThreeCompartment("first-order", flip_flop=True)
RATES, HALF_LIVES = ThreeCompartment(parametrisation="rates"), ThreeCompartment(parametrisation="half-lives")
AT = {"cl": 3.0, "v1": 10.0, "q2": 8.0, "v2": 16.0, "q3": 2.0, "v3": 50.0}
MICRO = {"k10": 0.3, "k12": 0.8, "k21": 0.5, "k13": 0.2, "k31": 0.04, "v1": 10.0}
T = np.linspace(0.0, 72.0, 25)
PANELS = np.geomspace(1, 3001, 80) - 1


def macro(k10, k12, k21, k13, k31):
    """Rates and shares of the three phases after a bolus; Gibaldi and Perrier (1982), ch. 2."""
    s = np.diag([k10 + k12 + k13, k21, k31])
    s[0, 1] = s[1, 0] = -np.sqrt(k12 * k21)
    s[0, 2] = s[2, 0] = -np.sqrt(k13 * k31)
    a, b, c = rates = np.linalg.eigvalsh(s)[::-1]
    shares = [(k21 - x) * (k31 - x) / ((y - x) * (z - x)) for x, y, z in ((a, b, c), (b, a, c), (c, a, b))]
    return rates, np.array(shares)


A, SHARES = macro(0.3, 0.8, 0.5, 0.2, 0.04)


def phases(a, shares, t, factor=1.0):
    return np.sum(np.reshape(shares * factor, (3, 1)) * np.exp(-np.reshape(a, (3, 1)) * t), axis=0)


def half_lives(a, shares, v1):
    """The half-life parametrisation of rates and shares of phases."""
    names = dict(zip(("thalf_alpha", "thalf_beta", "thalf_gamma"), np.log(2) / np.asarray(a), strict=True))
    return names | {"fr_alpha": shares[0], "fr_beta": shares[1] / (shares[1] + shares[2]), "v1": v1}


def test_a_bolus_decays_in_three_exponentials():
    found = predicted(BOLUS, T, [(0, 320)], **AT)
    assert found == pytest.approx(320 / 10 * phases(A, SHARES, T), rel=1e-12)


def test_an_infusion_is_the_integral_of_boluses():
    during = np.minimum(T, 5.0)
    expected = 6.4 * (phases(A, SHARES, T - during, 1 / A) - phases(A, SHARES, T, 1 / A))
    found = predicted(BOLUS, T, {"time": [0], "amt": [320], "rate": [64]}, **AT)
    assert found == pytest.approx(expected, rel=1e-11, abs=1e-13)


def test_an_oral_dose_decays_in_four_exponentials():
    ka = 0.9
    factor = ka / (ka - A)
    expected = 32 * (phases(A, SHARES, T, factor) - np.sum(SHARES * factor) * np.exp(-ka * T))
    assert predicted(ORAL, T, [(0, 320)], **AT, ka=ka) == pytest.approx(expected, rel=1e-11, abs=1e-13)


def test_parametrisations_agree():
    one = predicted(BOLUS, T, [(0, 100)], **AT)
    assert predicted(RATES, T, [(0, 100)], **MICRO) == pytest.approx(one, rel=1e-13)
    assert predicted(HALF_LIVES, T, [(0, 100)], **half_lives(A, SHARES, 10.0)) == pytest.approx(one, rel=1e-11)


PHASES = {
    "far apart": ((2.0, 0.2, 0.01), (0.7, 0.2, 0.1)),
    "very far apart": ((2e3, 0.2, 1e-5), (0.9, 0.09, 0.01)),
    "close": ((0.5, 0.499, 0.498), (0.2, 0.5, 0.3)),
    "the last two close": ((2.0, 0.2, 0.2 * (1 - 1e-6)), (0.7, 0.2, 0.1)),
    "the last two nearly equal": ((2.0, 0.2, 0.2 * (1 - 1e-10)), (0.7, 0.2, 0.1)),
    "the first two nearly equal": ((0.2 * (1 + 1e-10), 0.2, 0.01), (0.4, 0.4, 0.2)),
    "all nearly equal": ((0.2 * (1 + 1e-9), 0.2, 0.2 * (1 - 1e-9)), (0.4, 0.4, 0.2)),
    "out of order": ((0.2, 2.0, 0.5), (0.4, 0.4, 0.2)),
    "nearly all in the first": ((2.0, 0.2, 0.01), (1 - 1e-9, 6e-10, 4e-10)),
    "hardly any in the last": ((2.0, 0.2, 0.01), (0.6, 0.4 - 1e-12, 1e-12)),
    "hardly any in the first": ((2.0, 0.2, 0.01), (1e-9, 0.5, 0.5 - 1e-9)),
}


@pytest.mark.parametrize("name", PHASES)
def test_half_lives_and_shares_are_what_they_are_called(name):
    a, shares = map(np.array, PHASES[name])
    found = predicted(HALF_LIVES, T, [(0, 100)], **half_lives(a, shares, 10.0))
    assert found == pytest.approx(10 * phases(a, shares, T), rel=1e-8)


@pytest.mark.parametrize("equal", [(2.0, 0.2, 0.2), (0.2, 0.2, 0.01), (0.2, 0.2, 0.2)])
def test_equal_half_lives_are_fewer_compartments(equal):
    shares = np.array([0.4, 0.4, 0.2])
    found = predicted(HALF_LIVES, T, [(0, 100)], **half_lives(equal, shares, 10.0))
    assert found == pytest.approx(10 * phases(equal, shares, T), rel=1e-8)


@pytest.mark.parametrize("negligible", [{"q3": 1e-12}, {"v3": 1e-12}, {"q3": 1e-300}, {"q3": 1e-9, "v3": 1e-9}])
@pytest.mark.parametrize("structure", [BOLUS, ORAL], ids=str)
def test_without_the_third_it_is_two_compartments(structure, negligible):
    ka = {"ka": 0.9} if structure is ORAL else {}
    two = TwoCompartment(structure.absorption, flip_flop=True)
    expected = predicted(two, T, [(0, 100)], cl=3.0, v1=10.0, q=8.0, v2=16.0, **ka)
    assert predicted(structure, T, [(0, 100)], **AT | negligible, **ka) == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_two_peripheral_compartments_alike_are_one_of_both():
    alike = AT | {"q2": 3.0, "v2": 12.0, "q3": 4.0, "v3": 16.0}
    expected = predicted(TwoCompartment(), T, [(0, 100)], cl=3.0, v1=10.0, q=7.0, v2=28.0)
    assert predicted(BOLUS, T, [(0, 100)], **alike) == pytest.approx(expected, rel=1e-12)


def test_the_order_of_the_peripheral_compartments_does_not_matter():
    exchanged = AT | {"q2": 2.0, "v2": 50.0, "q3": 8.0, "v3": 16.0}
    found = predicted(BOLUS, T, [(0, 100)], **exchanged)
    assert found == pytest.approx(predicted(BOLUS, T, [(0, 100)], **AT), rel=1e-12)


@pytest.mark.parametrize("structure", [BOLUS, ORAL], ids=str)
def test_the_area_is_dose_over_clearance(structure):
    ka = {"ka": 0.9} if structure is ORAL else {}
    assert area(lambda t: predicted(structure, t, [(0, 100)], **AT, **ka), PANELS) == pytest.approx(100 / 3, rel=1e-9)


def test_the_volume_at_steady_state_is_clearance_times_mean_residence():
    """Vss = CL AUMC / AUC = V1 + V2 + V3; Benet and Galeazzi (1979), doi:10.1002/jps.2600680845."""

    def moment(order):
        return area(lambda t: t**order * predicted(BOLUS, t, [(0, 100)], **AT), PANELS)

    assert 3.0 * moment(1) / moment(0) == pytest.approx(76.0, rel=1e-9)


@pytest.mark.parametrize("rate", [0.0, 50.0, 6.0])
def test_the_average_at_steady_state_is_rate_over_clearance(rate):
    dose = {"time": [0], "amt": [100], "ss": [1], "ii": [12], "rate": [rate]}
    breaks = [0, *([100 / rate % 12] if rate else []), 1, 3, 7, 12]
    mean = area(lambda t: predicted(BOLUS, t, dose, **AT), np.unique(breaks)) / 12
    assert mean == pytest.approx(100 / 12 / 3, rel=1e-9)


def gaps(structure, **change):
    typical = Named(**{p.name: p.typical for p in structure.parameters} | change)
    return {gap.__name__: float(gap(typical).eval(mode="FAST_COMPILE")) for gap in structure.order}


def test_the_second_compartment_is_kept_the_faster():
    assert gaps(BOLUS)["k21_above_k31"] == pytest.approx(np.log((10 / 20) / (2 / 60)))
    assert gaps(BOLUS, q2=0.1)["k21_above_k31"] < 0
    assert gaps(RATES)["k21_above_k31"] == pytest.approx(np.log(0.5 / 0.03))


def test_half_lives_are_kept_in_order():
    expected = {"thalf_beta_above_thalf_alpha": np.log(7.5), "thalf_gamma_above_thalf_beta": np.log(10)}
    assert gaps(HALF_LIVES) == pytest.approx(expected)
    assert gaps(HALF_LIVES, thalf_gamma=2.0)["thalf_gamma_above_thalf_beta"] < 0


@pytest.mark.parametrize("parametrisation", ["clearance", "rates", "half-lives"])
def test_absorption_is_kept_above_the_terminal_rate(parametrisation):
    found = gaps(ThreeCompartment("first-order", parametrisation=parametrisation))["ka_above_k"]
    assert found > 0
    if parametrisation == "clearance":
        assert found == pytest.approx(np.log(1.5 / (3 / 90)))


DEGENERATE = {
    "the peripheral compartments alike": (BOLUS, AT | {"q2": 3.0, "v2": 12.0, "q3": 4.0, "v3": 16.0}),
    "nearly alike": (BOLUS, AT | {"q2": 3.0, "v2": 12.0, "q3": 4.0, "v3": 16.0 * (1 + 1e-9)}),
    "alike, and absorption": (ORAL, AT | {"q2": 3.0, "v2": 12.0, "q3": 4.0, "v3": 16.0, "ka": 0.25}),
    "ka is alpha": (ORAL, AT | {"ka": A[0]}),
    "ka is beta": (ORAL, AT | {"ka": A[1] * (1 + 1e-10)}),
    "ka is gamma": (ORAL, AT | {"ka": A[2]}),
    "hardly any third compartment": (ORAL, AT | {"q3": 1e-9, "ka": 0.8}),
    "half-lives": (HALF_LIVES, half_lives(A, SHARES, 10.0)),
    "the last two half-lives close": (HALF_LIVES, half_lives((2.0, 0.2, 0.2 * (1 - 1e-2)), (0.7, 0.2, 0.1), 10.0)),
}


@pytest.mark.parametrize("t", [0.01, 1.3, 20.0])
@pytest.mark.parametrize("name", DEGENERATE)
def test_slopes_where_rates_coincide_are_differences(name, t):
    structure, at = DEGENERATE[name]
    found, wanted = response_slopes(structure, **at, t=t)
    np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-8)
