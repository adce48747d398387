"""`AntibodyDecay` against its closed forms, SciPy and limits."""

import numpy as np
import pandas as pd
import pytest
from laws import extrapolated_slope
from scipy.integrate import solve_ivp
from test_system_events import predictions

from model_zoo import AntibodyDecay
from nlmebayes.data.dataset import Dataset
from nlmebayes.formula.design import resolve
from nlmebayes.model.model import Model
from nlmebayes.structure.structure import Named

TIGHT = {"rtol": 1e-10, "atol": 1e-12}
ONCE, SLOWLY = AntibodyDecay(**TIGHT), AntibodyDecay(long_lived=True, flip_flop=True, **TIGHT)
AT = {"a0": 180.0, "fr": 0.15, "thalf": 21.0}
CELLS = AT | {"thalf_cells": 5.0}
T = np.array([0.0, 1.0, 7.0, 14.0, 30.0, 90.0, 180.0, 365.0])


def computed(structure, times):
    """Titres, and slopes of a weighted sum, as a function of the parameters of one patient; no doses."""
    frame = pd.DataFrame({"id": 1, "time": times, "titre": 1.0})
    data = Dataset.from_frame(frame, outcome="titre", time="time", levels="id")
    model = Model(structure, *(f"{p.name} ~ 1" for p in structure.parameters))
    return predictions(structure, resolve(model, data))


def titre(structure, times=T, **phi):
    return computed(structure, times)(*([phi[p.name]] for p in structure.parameters), np.zeros(len(times)))[0]


def plateau(t):
    return 180 * (0.15 + 0.85 * np.exp(-np.log(2) / 21 * t))


def with_cells(t, thalf_cells):
    """The lost part of a source that dies out: both exponentials, as Bateman's function and what was there."""
    k, c = np.log(2) / 21, np.log(2) / thalf_cells
    return 180 * (0.15 + 0.85 * (k * np.exp(-c * t) - c * np.exp(-k * t)) / (k - c))


def test_the_titre_decays_to_the_plateau():
    assert titre(ONCE, **AT) == pytest.approx(plateau(T), rel=1e-8)
    assert titre(ONCE, [0.0, 21.0, 3000.0], **AT) == pytest.approx([180, 180 * 0.575, 180 * 0.15], rel=1e-8)


@pytest.mark.parametrize("thalf_cells", [0.5, 5.0, 20.0, 80.0])
def test_a_source_that_dies_out_gives_two_exponentials(thalf_cells):
    found = titre(SLOWLY, **AT, thalf_cells=thalf_cells)
    assert found == pytest.approx(with_cells(T, thalf_cells), rel=1e-8)


def test_cells_as_slow_as_the_antibody():
    wanted = 180 * (0.15 + 0.85 * (1 + np.log(2) / 21 * T) * np.exp(-np.log(2) / 21 * T))
    assert titre(SLOWLY, **AT, thalf_cells=21.0) == pytest.approx(wanted, rel=1e-8)


@pytest.mark.parametrize("long_lived", [False, True])
def test_the_titre_solves_its_equation(long_lived):
    k, c = np.log(2) / 21, np.log(2) / 5

    def slope(t, y):
        """Antibody made by long-lived and by lost cells, less what is broken down."""
        made = k * 180 * 0.15 + (k * 180 * 0.85 * y[1] if long_lived else 0)
        return [made - k * y[0], -c * y[1]]

    wanted = solve_ivp(slope, (0, T[-1]), [180.0, 1.0], t_eval=T, method="DOP853", rtol=1e-11, atol=1e-12).y[0]
    found = titre(SLOWLY, **CELLS) if long_lived else titre(ONCE, **AT)
    assert found == pytest.approx(wanted, rel=1e-8)


BOTH = pytest.mark.parametrize(("structure", "phi"), [(ONCE, AT), (SLOWLY, CELLS)], ids=["once", "slowly"])


@BOTH
def test_before_the_treatment_the_titre_is_the_baseline(structure, phi):
    """The source jumps at time 0, within a step, which the control of the error meets as anything else."""
    found = titre(structure, np.array([-60.0, -7.0, -0.5, *T]), **phi)
    assert found[:3] == pytest.approx(180, rel=1e-8)
    assert found[3:] == pytest.approx(titre(structure, **phi), rel=1e-8)


def test_a_titre_that_is_maintained_stays():
    assert titre(SLOWLY, **CELLS | {"fr": 1 - 1e-12}) == pytest.approx(180, rel=1e-11)


def test_cells_that_die_at_once_are_a_source_that_stops():
    assert titre(SLOWLY, **AT, thalf_cells=1e-5) == pytest.approx(plateau(T), rel=1e-5)


def test_the_two_half_lives_may_change_places():
    """So there are two modes, and a constraint against one of them unless ``flip_flop``."""
    turned = titre(SLOWLY, **AT | {"thalf": 5.0}, thalf_cells=21.0)
    assert turned == pytest.approx(titre(SLOWLY, **CELLS), rel=1e-8)
    assert SLOWLY.order == ONCE.order == ()
    (gap,) = AntibodyDecay(long_lived=True).order
    assert gap(Named(**CELLS)).eval(mode="FAST_COMPILE") == pytest.approx(np.log(21 / 5))


def test_the_titre_is_in_the_unit_of_the_baseline():
    assert titre(SLOWLY, **CELLS | {"a0": 18.0}) == pytest.approx(titre(SLOWLY, **CELLS) / 10, rel=1e-8)


@BOTH
def test_gradients_are_those_of_differences(structure, phi):
    compute, weights = computed(structure, T), np.random.default_rng(3).normal(size=len(T))

    def total(name, x):
        return compute(*([value] for value in (phi | {name: x}).values()), weights)[0] @ weights

    _, *slopes = compute(*([value] for value in phi.values()), weights)
    wanted = [extrapolated_slope(lambda x, name=name: total(name, x), phi[name], 1e-2) for name in phi]
    scale = np.array(list(phi.values()))
    assert np.ravel(slopes) * scale == pytest.approx(wanted * scale, rel=1e-6, abs=1e-5)
    earlier = computed(structure, [-20.0, *T])  # over the jump of the source
    _, *others = earlier(*([value] for value in phi.values()), [0.0, *weights])
    assert np.ravel(others) * scale == pytest.approx(np.ravel(slopes) * scale, rel=1e-6)
