"""Pictures of families: on the scale of the prediction; shares and survival are those of the data."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from scipy import stats
from trees import stated

import nlmebayes as nb
from model_zoo import HospitalProfile, LinearMixed, ParametricSurvival
from nlmebayes.criticism.survival import kaplan_meier


class Rate(nb.Curve):
    """A rate that does not change."""

    parameters = (nb.Parameter("rate", typical=2.0),)
    inputs = ("t",)

    def curve(self, p, x):
        return p.rate + 0.0 * x.t


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def points(figure):
    """Coordinates of the single points of a figure."""
    return np.concatenate([k.get_xydata() for axis in figure.axes for k in axis.lines if k.get_linestyle() == "None"])


def line(figure, label):
    (found,) = [k for k in figure.axes[0].lines if k.get_label() == label]
    return found.get_xydata()


def tree(structure, residual, y, **columns):
    """A tree of the prior, with the frame: four subjects at six values of t."""
    frame = pd.DataFrame({"id": np.repeat(list("abcd"), 6), "t": np.tile(np.arange(6.0), 4), "y": y} | columns)
    data = nb.Dataset.from_frame(frame, outcome="y", levels="id", inputs=("t",))
    return frame, stated(nb.Model(structure, residual=residual), data, draws=50)


def test_counts_of_an_exposure_are_drawn_per_unit_of_it():
    frame, found = tree(Rate(), nb.Poisson("e"), np.arange(24) % 7, e=np.arange(24) % 5 + 1.0)
    expected = frame[["t"]].assign(rate=frame["y"] / frame["e"]).to_numpy()
    assert points(nb.plot.fits(found, x="t")) == pytest.approx(expected)
    assert points(nb.plot.vpc(found, x="t")) == pytest.approx(expected)


def test_of_successes_a_check_has_the_shares_of_each_bin():
    frame, found = tree(HospitalProfile(), nb.Binomial("n"), np.arange(24) % 3, n=np.arange(24) % 4 + 3)
    sums = frame.groupby("t")[["y", "n"]].sum()
    shown = line(nb.plot.vpc(found, x="t"), "observed: successes")
    assert shown == pytest.approx(np.stack([sums.index, sums["y"] / sums["n"]], axis=1))
    assert points(nb.plot.fits(found, x="t"))[:, 1] == pytest.approx(frame["y"] / frame["n"])


def test_of_ordered_categories_a_check_has_the_share_above_each():
    frame, found = tree(LinearMixed(), nb.OrderedLogistic(3), np.arange(24) % 3 + 1)
    figure = nb.plot.vpc(found, x="t")
    for k in (1, 2):
        above = (frame["y"] > k).groupby(frame["t"]).mean()
        assert line(figure, f"observed: above {k}")[:, 1] == pytest.approx(above)
    with pytest.raises(nb.ModelError, match=r"y: a category has no place on the scale of the prediction.*; plot\.vpc"):
        nb.plot.fits(found, x="t")


def test_the_check_a_priori_knows_families_too():
    _, found = tree(HospitalProfile(), nb.Bernoulli(), np.arange(24) % 2)
    assert line(nb.plot.prior(found, x="t"), "observed: 1")[:, 1] == pytest.approx([0, 1] * 3)


def survival(entry=None):
    rng = np.random.default_rng(3)
    frame = pd.DataFrame({"id": np.arange(40), "entry": rng.uniform(0, 1, 40).round(1)})
    frame = frame.assign(time=(frame["entry"] + rng.exponential(3, 40)).round(1) + 0.1, died=rng.random(40) < 0.7)
    data = nb.Dataset.from_frame(frame, outcome="time", levels="id", status="died")
    return frame, stated(nb.Model(ParametricSurvival(), residual=nb.TimeToEvent(entry=entry)), data, draws=50)


def test_of_event_times_a_check_has_the_survival_of_scipy():
    frame, found = survival()
    shown = line(nb.plot.vpc(found), "observed")
    died = frame["died"].to_numpy()
    law = stats.ecdf(stats.CensoredData(uncensored=frame["time"][died], right=frame["time"][~died])).sf
    assert shown[:, 1] == pytest.approx(law.evaluate(shown[:, 0]), abs=1e-12)


def test_who_enters_late_is_not_at_risk_before():
    """The product over event times of one minus events by those at risk, counted one by one."""
    frame, found = survival("entry")
    shown = line(nb.plot.vpc(found), "observed")
    expected = np.ones(len(shown))
    for t in frame["time"][frame["died"]].unique():
        events = ((frame["time"] == t) & frame["died"]).sum()
        expected[shown[:, 0] >= t] *= 1 - events / ((frame["entry"] < t) & (frame["time"] >= t)).sum()
    assert shown[:, 1] == pytest.approx(expected)


def test_survival_of_nobody_at_risk_is_one():
    assert kaplan_meier(np.array([2.0]), np.array([False]), np.zeros(1), np.array([1.0, 3.0])).tolist() == [1, 1]
