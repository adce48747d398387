"""What a design is expected to tell beside what is believed, between two bounds."""

import numpy as np
import pytest
from test_information import WARFARIN, warfarin

import nlmebayes as nb
from model_zoo import LinearMixed


def believed(**options):
    return nb.population(LinearMixed(), "mu ~ 1 + (1|id)", theta={"mu": 1.0}, omega={"sd": {"mu": 0.5}}, outcome="y",
                         sigma={"a": 1.0}, **options)  # fmt: skip


def test_of_a_linear_model_the_gain_has_a_closed_form():
    """Half of log(1 + prior variance by that of the estimate)."""
    tree = believed(uncertainty={"mu": 50}, draws=2000, random_seed=1)
    found = nb.information_gain(tree, nb.Design([nb.Arm(30, [0, 1, 2, 3])]), studies=80, random_seed=1)
    expected = 0.5 * np.log1p(tree["posterior"]["theta_mu"].to_numpy().var() / (0.5 / 30))
    assert found.linear == pytest.approx(expected, rel=1e-3)
    assert found.lower <= found.upper < found.lower + 0.02
    assert abs(found.lower - expected) < 3 * np.sqrt(0.5 / 80)  # of half a chi-square, by study
    assert found.lower_error == pytest.approx(np.sqrt(0.5 / 80), rel=0.4)


def test_of_warfarin_the_linear_gain_is_near():
    tree = warfarin(uncertainty={"cl": 30, "v": 30, "ka": 50}, draws=500, random_seed=1)
    found = nb.information_gain(tree, WARFARIN, studies=20, random_seed=1)
    assert found.lower - 3 * found.lower_error < found.linear < found.upper + 3 * found.upper_error


def test_without_a_belief_there_is_no_gain():
    with pytest.raises(nb.ModelError, match="too few populations to say what is believed"):
        nb.information_gain(believed(), nb.Design([nb.Arm(3, [0, 1])]))
