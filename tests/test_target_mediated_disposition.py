"""`TargetMediatedDisposition` against SciPy, its approximation, its steady states, and linear kinetics."""

from decimal import Decimal, localcontext
from itertools import pairwise

import numpy as np
import pytest
from laws import dosed_slopes, predicted
from scipy.integrate import solve_ivp

from model_zoo import OneCompartment, TargetMediatedDisposition, TwoCompartment

TIGHT = {"rtol": 1e-10, "atol": 1e-12}
FULL, QSS = "full", "quasi-steady-state"
T = np.array([0.0, 0.05, 0.5, 1.0, 2.0, 5.0, 10.0, 16.0, 25.0, 40.0])
ALL = {
    "cl": 0.3, "v": 3.0, "q": 0.5, "v2": 2.0, "ksyn": 1.2, "kdeg": 0.3, "kint": 0.7, "kon": 8.0, "koff": 0.9,
    "kss": 0.2,
}  # fmt: skip
WAYS = {
    "boluses": {"time": [0.0, 14.0], "amt": [90.0, 30.0], "rate": [0.0, 0.0]},
    "infusions": {"time": [0.0, 14.0], "amt": [90.0, 30.0], "rate": [60.0, 12.0]},
}
each_law = pytest.mark.parametrize("approximation", [FULL, QSS])
each_space = pytest.mark.parametrize("peripheral", [False, True])


def needed(structure):
    return {p.name: ALL[p.name] for p in structure.parameters}


def both(structure, times, doses, **change):
    phi = needed(structure) | change
    return np.array([predicted(structure, times, doses, outcome=name, **phi) for name in ("conc", "receptor")])


def full(y, q):
    """Slopes of amount of free ligand, of that in the periphery, of receptor and complex; outcomes."""
    free, binding = y[0] / 3.0, 8.0 * y[0] / 3.0 * y[2] - 0.9 * y[3]
    exchange = q * (free - y[1] / 2.0)
    slopes = [-0.3 * free - exchange - 3.0 * binding, exchange, 1.2 - 0.3 * y[2] - binding, binding - 0.7 * y[3]]
    return slopes, (free, y[2] + y[3])


def quasi_steady(y, q):
    """Slopes of total ligand, of the periphery, of total receptor; in the form of Gibiansky et al. (2008)."""
    b = y[0] / 3.0 - y[2] - 0.2
    free = (b + np.sqrt(b * b + 4 * 0.2 * y[0] / 3.0)) / 2
    exchange, bound = q * (free - y[1] / 2.0), y[2] * free / (0.2 + free)
    slopes = [-0.3 * free - exchange - 0.7 * 3.0 * bound, exchange, 1.2 - 0.3 * y[2] - (0.7 - 0.3) * bound, 0.0]
    return slopes, (free, y[2])


def by_scipy(law, doses, q):
    doses = list(zip(*doses.values(), strict=True))
    infused = [(start, start + amount / rate, rate) for start, amount, rate in doses if rate]
    breaks = sorted({0.0, 14.0, 40.0, *(end for _, end, _ in infused)})
    found, y = {}, np.array([0.0, 0.0, 4.0, 0.0])
    for begin, end in pairwise(breaks):
        y[0] += sum(amount for start, amount, rate in doses if start == begin and not rate)
        rate = sum(r for first, last, r in infused if first <= begin < last)
        ode = solve_ivp(
            lambda t, y, rate=rate: law(y, q)[0] + np.array([rate, 0, 0, 0]), (begin, end), y, method="Radau",
            t_eval=[*(t for t in T if begin <= t < end), end], rtol=1e-10, atol=1e-12,
        )  # fmt: skip
        found |= {t: law(x, q)[1] for t, x in zip(ode.t, ode.y.T, strict=True)}
        y = ode.y[:, -1].copy()
    return np.array([found[t] for t in T]).T


@each_law
@each_space
@pytest.mark.parametrize("way", WAYS)
def test_it_solves_its_differential_equation(approximation, peripheral, way):
    structure = TargetMediatedDisposition(approximation, peripheral, **TIGHT)
    law = full if approximation == FULL else quasi_steady
    wanted = by_scipy(law, WAYS[way], 0.5 * peripheral)
    assert both(structure, T, WAYS[way]) == pytest.approx(wanted, rel=1e-7, abs=1e-9)


@each_space
def test_with_fast_binding_the_quasi_steady_state_is_the_full_model(peripheral):
    """The error falls like 1 / kon at the same kss = (koff + kint) / kon."""
    approximate = both(TargetMediatedDisposition(QSS, peripheral, **TIGHT), T[3:9], [(0, 90)])
    exact, errors = TargetMediatedDisposition(FULL, peripheral, **TIGHT), []
    for kon in (1e3, 1e4, 1e5):
        found = both(exact, T[3:9], [(0, 90)], kon=kon, koff=0.2 * kon - 0.7)
        errors.append(np.abs(found / approximate - 1).max())
    assert errors[2] < 1e-4
    assert np.divide(errors[:-1], errors[1:]) == pytest.approx([10.0, 10.0], rel=0.05)


@each_law
@each_space
@pytest.mark.parametrize("doses", [[(0, 0)], [(30, 90)]])
def test_without_drug_the_receptor_stays_at_its_baseline(approximation, peripheral, doses):
    conc, receptor = both(TargetMediatedDisposition(approximation, peripheral), T[:8], doses)
    assert (conc == 0).all()
    assert receptor == pytest.approx(np.full(8, 4.0), rel=1e-12)


@each_law
@each_space
def test_without_target_it_is_linear(approximation, peripheral):
    phi = {"cl": 0.3, "v": 3.0, "v1": 3.0, "q": 0.5, "v2": 2.0}
    closed = TwoCompartment() if peripheral else OneCompartment()
    wanted = predicted(closed, T, [(0, 90), (14, 30)], **{p.name: phi[p.name] for p in closed.parameters})
    structure = TargetMediatedDisposition(approximation, peripheral, **TIGHT)
    found = both(structure, T, [(0, 90), (14, 30)], ksyn=1e-12)[0]
    assert found == pytest.approx(wanted, rel=1e-8)


@each_law
def test_a_complex_that_lasts_as_long_as_the_receptor_keeps_its_total(approximation):
    structure = TargetMediatedDisposition(approximation, **TIGHT)
    assert both(structure, T, WAYS["boluses"], kint=0.3)[1] == pytest.approx(np.full(len(T), 4.0), rel=1e-9)


@each_law
@each_space
@pytest.mark.parametrize("free", [0.01, 1.0, 50.0])
def test_the_steady_state_of_an_infusion_balances_it(approximation, peripheral, free):
    """R = ksyn / (kdeg + kint L / kss), C = R L / kss; what enters is cleared free or goes with the complex."""
    structure = TargetMediatedDisposition(approximation, peripheral, **TIGHT)
    kss = 1.6 / 8.0
    receptor = 1.2 / (0.3 + 0.7 * free / kss)
    bound = receptor * free / kss
    rate = 0.3 * free + 0.7 * 3.0 * bound
    dose = {"time": [0.0], "amt": [7 * rate], "rate": [rate], "ii": [7.0], "ss": [1]}
    found = both(structure, [0.0, 3.0], dose)
    assert found == pytest.approx(np.array([[free] * 2, [receptor + bound] * 2]), rel=1e-7)


@pytest.mark.parametrize("dose", [1e-9, 1e-3, 12.0, 12.6, 13.0, 1e6, 1e12])
def test_the_free_ligand_has_all_its_digits(dose):
    """Just after a bolus, beside the root in 60 digits; 12.6 nmol is where neither term outweighs the other."""
    alone = TargetMediatedDisposition(QSS)
    found = predicted(alone, [0.0], [(0, dose)], outcome="conc", **needed(alone))
    with localcontext(prec=60):
        total, kss, receptor = (Decimal(x) for x in (dose / 3.0, ALL["kss"], 1.2 / 0.3))
        b = total - receptor - kss
        root = (b + (b * b + 4 * kss * total).sqrt()) / 2
    assert found == pytest.approx([float(root)], rel=1e-14)


@each_law
@each_space
@pytest.mark.parametrize("outcome", ["conc", "receptor"])
def test_slopes_are_those_of_differences(approximation, peripheral, outcome):
    structure = TargetMediatedDisposition(approximation, peripheral, **TIGHT)
    found, wanted = dosed_slopes(structure, T, WAYS["infusions"], outcome, **needed(structure))
    assert found == pytest.approx(wanted, rel=1e-6, abs=1e-6)
    assert (np.abs(found) > 1e-3).all()
