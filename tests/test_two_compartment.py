"""`TwoCompartment` against closed forms, its own parametrisations and limits."""

import numpy as np
import pytest
from laws import area, predicted, response, response_slopes

from model_zoo import OneCompartment, TwoCompartment
from nlmebayes.structure.structure import Named

BOLUS, ORAL = TwoCompartment(), TwoCompartment("first-order", flip_flop=True)
HALF_LIVES = TwoCompartment(parametrisation="half-lives")
AT = {"cl": 3.0, "v1": 12.0, "q": 4.0, "v2": 20.0}
T = np.linspace(0.0, 48.0, 25)
PANELS = np.geomspace(1, 1001, 80) - 1


def macro(cl, v1, q, v2):
    """alpha, beta and the share of alpha in the concentration after a bolus; Gibaldi and Perrier (1982), ch. 2."""
    k10, k12, k21 = cl / v1, q / v1, q / v2
    total = k10 + k12 + k21
    alpha = (total + np.sqrt(total**2 - 4 * k10 * k21)) / 2
    beta = k10 * k21 / alpha
    return alpha, beta, (alpha - k21) / (alpha - beta)


def test_a_bolus_decays_in_two_exponentials():
    """C = D / V1 ((alpha - k21) / (alpha - beta) exp(-alpha t) + (k21 - beta) / (alpha - beta) exp(-beta t))."""
    alpha, beta, share = macro(**AT)
    expected = 320 / 12 * (share * np.exp(-alpha * T) + (1 - share) * np.exp(-beta * T))
    assert predicted(BOLUS, T, [(0, 320)], **AT) == pytest.approx(expected, rel=1e-12)


def test_an_infusion_is_the_integral_of_boluses():
    alpha, beta, share = macro(**AT)

    def step(rate):
        return (np.exp(-rate * np.maximum(T - 5, 0)) - np.exp(-rate * T)) / rate

    expected = 64 / 12 * (share * step(alpha) + (1 - share) * step(beta))
    found = predicted(BOLUS, T, {"time": [0], "amt": [320], "rate": [64]}, **AT)
    assert found == pytest.approx(expected, rel=1e-12, abs=1e-14)


def test_an_oral_dose_decays_in_three_exponentials():
    (alpha, beta, share), ka = macro(**AT), 0.9
    shares = [(share, alpha), (1 - share, beta)]
    expected = sum(part * ka / (ka - k) * (np.exp(-k * T) - np.exp(-ka * T)) for part, k in shares) * 320 / 12
    assert predicted(ORAL, T, [(0, 320)], **AT, ka=ka) == pytest.approx(expected, rel=1e-11, abs=1e-14)


def test_parametrisations_agree():
    alpha, beta, share = macro(**AT)
    rates = {"k10": 3 / 12, "k12": 4 / 12, "k21": 4 / 20, "v1": 12.0}
    half_lives = {"thalf_alpha": np.log(2) / alpha, "thalf_beta": np.log(2) / beta, "fr_alpha": share, "v1": 12.0}
    one = predicted(BOLUS, T, [(0, 100)], **AT)
    assert predicted(TwoCompartment(parametrisation="rates"), T, [(0, 100)], **rates) == pytest.approx(one, rel=1e-13)
    assert predicted(HALF_LIVES, T, [(0, 100)], **half_lives) == pytest.approx(one, rel=1e-12)


@pytest.mark.parametrize("share", [1e-6, 0.3, 0.999999])
@pytest.mark.parametrize("gap", [2.0, 1e-3, 1e-6, 1e-9, -0.5])
def test_half_lives_and_share_are_what_they_are_called(share, gap):
    """Also where the first is the longer one."""
    short, long = 2.0, 2.0 * (1 + gap)
    expected = 5 * (share * 0.5 ** (T / short) + (1 - share) * 0.5 ** (T / long))
    found = predicted(HALF_LIVES, T, [(0, 100)], thalf_alpha=short, thalf_beta=long, fr_alpha=share, v1=20.0)
    assert found == pytest.approx(expected, rel=1e-11)


def test_equal_half_lives_are_one_compartment():
    found = predicted(HALF_LIVES, T, [(0, 100)], thalf_alpha=2.0, thalf_beta=2.0, fr_alpha=0.7, v1=20.0)
    assert found == pytest.approx(5 * 0.5 ** (T / 2), rel=1e-12)


@pytest.mark.parametrize(("two", "one"), [(BOLUS, OneCompartment()), (ORAL, OneCompartment("first-order"))])
@pytest.mark.parametrize("q", [1e-12, 1e-100, 1e-300])
def test_without_exchange_it_is_one_compartment(two, one, q):
    ka = {"ka": 0.9} if two is ORAL else {}
    expected = predicted(one, T, [(0, 100)], cl=3.0, v=12.0, **ka)
    assert predicted(two, T, [(0, 100)], **AT | {"q": q}, **ka) == pytest.approx(expected, rel=1e-10, abs=1e-12)


def test_with_fast_exchange_it_is_one_compartment_of_both_volumes():
    found = predicted(BOLUS, T[1:], [(0, 100)], **AT | {"q": 1e9})
    assert found == pytest.approx(100 / 32 * np.exp(-3 / 32 * T[1:]), rel=1e-7)


@pytest.mark.parametrize("structure", [BOLUS, ORAL], ids=str)
def test_the_area_is_dose_over_clearance(structure):
    ka = {"ka": 0.9} if structure is ORAL else {}
    assert area(lambda t: predicted(structure, t, [(0, 100)], **AT, **ka), PANELS) == pytest.approx(100 / 3, rel=1e-9)


def test_the_volume_at_steady_state_is_clearance_times_mean_residence():
    """Vss = CL AUMC / AUC = V1 + V2; Benet and Galeazzi (1979), doi:10.1002/jps.2600680845."""

    def moment(order):
        return area(lambda t: t**order * predicted(BOLUS, t, [(0, 100)], **AT), PANELS)

    assert 3.0 * moment(1) / moment(0) == pytest.approx(32.0, rel=1e-9)


@pytest.mark.parametrize("rate", [0.0, 50.0, 6.0])
@pytest.mark.parametrize("structure", [BOLUS, ORAL], ids=str)
def test_the_average_at_steady_state_is_rate_over_clearance(structure, rate):
    """Also of infusions longer than the interval."""
    dose = {"time": [0], "amt": [100], "ss": [1], "ii": [12], "rate": [rate]}
    ka = {"ka": 0.9} if structure is ORAL else {}
    breaks = [0, *([100 / rate % 12] if rate else []), 3, 7, 12]
    mean = area(lambda t: predicted(structure, t, dose, **AT, **ka), np.unique(breaks)) / 12
    assert mean == pytest.approx(100 / 12 / 3, rel=1e-9)


def typical(structure, **change):
    return Named(**{p.name: p.typical for p in structure.parameters} | change)


def gap(structure, **change):
    (found,) = structure.order
    return float(found(typical(structure, **change)).eval(mode="FAST_COMPILE"))


def test_absorption_is_kept_above_clearance_over_all_volumes():
    """CL / (V1 + V2) = 0.05 at the typical values, which is at least beta."""
    oral = TwoCompartment("first-order")
    assert (gap(oral), gap(oral, ka=0.05), gap(oral, ka=0.04)) == pytest.approx((np.log(30), 0, np.log(0.8)))
    assert ORAL.order == BOLUS.order == ()
    assert macro(3.0, 20.0, 5.0, 40.0)[1] < 0.05


def test_the_order_constraint_is_the_same_in_rates():
    assert gap(TwoCompartment("first-order", parametrisation="rates")) == pytest.approx(np.log(30))


def test_half_lives_are_kept_in_order():
    assert gap(HALF_LIVES) == pytest.approx(np.log(10))
    assert gap(HALF_LIVES, thalf_beta=1.0) < 0


ALPHA, BETA = macro(2.0, 4.0, 4.0, 16.0)[:2]
DEGENERATE = {
    "ka is alpha": (ORAL, {"cl": 2.0, "v1": 4.0, "q": 4.0, "v2": 16.0, "ka": ALPHA}),
    "ka is nearly alpha": (ORAL, {"cl": 2.0, "v1": 4.0, "q": 4.0, "v2": 16.0, "ka": ALPHA * (1 + 1e-9)}),
    "ka is beta": (ORAL, {"cl": 2.0, "v1": 4.0, "q": 4.0, "v2": 16.0, "ka": BETA}),
    "k10 + k12 is k21": (BOLUS, {"cl": 2.0, "v1": 8.0, "q": 2.0, "v2": 4.0}),
    "ka is k21": (ORAL, {"cl": 2.0, "v1": 8.0, "q": 2.0, "v2": 4.0, "ka": 0.5}),
    "hardly any exchange": (ORAL, {"cl": 2.0, "v1": 8.0, "q": 1e-9, "v2": 4.0, "ka": 0.25}),
    "a tiny second compartment": (BOLUS, {"cl": 2.0, "v1": 8.0, "q": 1.0, "v2": 1e-4}),
    "half-lives nearly equal": (HALF_LIVES, {"thalf_alpha": 2.0, "thalf_beta": 2.0002, "fr_alpha": 0.7, "v1": 9.0}),
    "nearly all in the first phase": (
        HALF_LIVES, {"thalf_alpha": 2.0, "thalf_beta": 9.0, "fr_alpha": 1 - 1e-3, "v1": 9.0},
    ),
}  # fmt: skip


@pytest.mark.parametrize("t", [0.01, 1.3, 20.0])
@pytest.mark.parametrize("name", DEGENERATE)
def test_slopes_where_rates_coincide_are_differences(name, t):
    structure, at = DEGENERATE[name]
    found, wanted = response_slopes(structure, **at, t=t)
    np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-8)


def test_slopes_at_equal_half_lives_are_those_of_the_exponentials():
    """dC/dthalf_alpha = fr t log(2) / thalf^2 C; the share does not matter."""
    at, t = {"thalf_alpha": 2.0, "thalf_beta": 2.0, "fr_alpha": 0.7, "v1": 20.0}, 3.0
    value, slopes = response(HALF_LIVES)(**at, t=t)
    moved = t * np.log(2) / 4 * value[0]
    assert slopes["thalf_alpha"][0] == pytest.approx(0.7 * moved, rel=1e-9)
    assert slopes["thalf_beta"][0] == pytest.approx(0.3 * moved, rel=1e-9)
    assert slopes["fr_alpha"][0] == pytest.approx(0, abs=1e-9)
