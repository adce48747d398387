"""Links, individual parameters and priors."""

from dataclasses import FrozenInstanceError
from functools import cache

import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from nlmebayes.parameter.parameter import LINKS, Identity, Log, Logit, Parameter, Prior, Probit

quick = settings(deadline=None, max_examples=60)
ALL = (*LINKS.values(), Logit(0.0, 100.0), Logit(-3.0, 2.0), Probit(0.0, 100.0), Probit(5.0, 6.0))
BOUNDED = [link for link in ALL if np.isfinite(link.bounds).all()]
FRACTIONS = st.floats(1e-9, 1 - 1e-9)


@cache
def _inverse(link):
    linear = pt.dvector()
    value = link.inverse(linear)
    slope = pytensor.grad(value.sum(), linear)
    return pytensor.function([linear], [value, slope], mode="FAST_COMPILE")


def inverse(link, linear):
    return _inverse(link)(np.atleast_1d(np.asarray(linear, dtype=float)))[0]


def slope(link, linear):
    return _inverse(link)(np.atleast_1d(np.asarray(linear, dtype=float)))[1]


# --- links -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("link", BOUNDED, ids=str)
@quick
@given(fraction=FRACTIONS)
def test_a_bounded_link_is_undone_by_its_inverse(link, fraction):
    lower, upper = link.bounds
    value = lower + (upper - lower) * fraction
    assert inverse(link, link.forward(value)) == pytest.approx(value, rel=1e-12, abs=1e-12 * (upper - lower))


@quick
@given(st.floats(1e-250, 1e250))
def test_log_is_undone_by_its_inverse(value):
    assert inverse(Log(), Log().forward(value)) == pytest.approx(value, rel=1e-12, abs=0)


@quick
@given(st.floats(-1e300, 1e300))
def test_identity_changes_nothing(value):
    assert inverse(Identity(), Identity().forward(value)) == value


@pytest.mark.parametrize("link", ALL, ids=str)
@quick
@given(linear=st.floats(-5, 5))
def test_every_inverse_is_undone_by_its_link(link, linear):
    assert link.forward(inverse(link, linear)) == pytest.approx(linear, rel=1e-8, abs=1e-8)


@pytest.mark.parametrize("link", ALL, ids=str)
@quick
@given(linear=st.floats(-5, 5), step=st.floats(1e-6, 3))
def test_links_increase_and_stay_in_their_bounds(link, linear, step):
    low, high = inverse(link, [linear, linear + step])
    lower, upper = link.bounds
    assert lower < low < high < upper


@pytest.mark.parametrize("link", ALL, ids=str)
@quick
@given(linear=st.floats(-5, 5))
def test_slopes_of_links_are_those_of_finite_differences(link, linear):
    h = 1e-5
    difference = np.diff(inverse(link, [linear - h, linear + h])) / (2 * h)
    assert slope(link, linear) == pytest.approx(difference, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("link", BOUNDED, ids=str)
def test_far_out_a_bounded_link_stays_finite(link):
    values = inverse(link, [-700.0, -38.0, 38.0, 700.0])
    assert ((link.bounds[0] <= values) & (values <= link.bounds[1])).all()
    assert np.isfinite(slope(link, [-700.0, -38.0, 38.0, 700.0])).all()


def test_logit_and_probit_are_distribution_functions():
    linear = np.linspace(-4, 4, 9)
    assert inverse(Logit(), linear) == pytest.approx(stats.logistic.cdf(linear), rel=1e-14)
    assert inverse(Probit(), linear) == pytest.approx(stats.norm.cdf(linear), rel=1e-14)
    assert inverse(Logit(10, 30), linear) == pytest.approx(10 + 20 * stats.logistic.cdf(linear))


def test_the_middle_of_an_interval_is_zero():
    assert [float(link.forward(sum(link.bounds) / 2)) for link in BOUNDED] == pytest.approx([0] * len(BOUNDED))


# --- parameters ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "link"), LINKS.items())
def test_a_link_may_be_given_by_name_or_as_an_object(name, link):
    assert Parameter("p", typical=0.5, spread=1.0, link=name).scale == link
    assert Parameter("p", typical=0.5, spread=1.0, link=link).scale is link


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"link": "cloglog"}, "parameter k: no link 'cloglog'; links are identity, log, logit, probit"),
        ({"typical": 0.0}, r"parameter k: typical value 0 is outside \(0, inf\), the range of its log link"),
        ({"typical": -1.0}, r"typical value -1 is outside \(0, inf\)"),
        ({"typical": np.inf}, r"typical must be a finite number or None; got inf"),
        ({"typical": np.nan}, r"typical must be a finite number or None; got nan"),
        (
            {"typical": 1.0, "link": "logit"},
            r"typical value 1 is outside \(0, 1\), the range of its logit link",
        ),
        ({"typical": 100, "link": Logit(0, 100)}, r"typical value 100 is outside \(0, 100\)"),
        ({"link": "identity", "unit": "mmHg"}, "parameter k: an identity link needs spread=, in mmHg"),
        ({"link": "identity"}, "parameter k: an identity link needs spread=, in its unit"),
    ],
)
def test_a_parameter_that_cannot_be_says_why(options, message):
    with pytest.raises(ValueError, match=message):
        Parameter("k", **options)


def test_a_parameter_without_a_scale_of_its_own_takes_the_datas():
    assert Parameter("mu", "outcome", typical=None, link="identity").typical is None


def test_parameters_are_frozen_values():
    assert Parameter("cl", "L/h") == Parameter("cl", "L/h")
    assert hash(Parameter("cl", "L/h")) == hash(Parameter("cl", "L/h"))
    with pytest.raises(FrozenInstanceError):
        Parameter("cl").typical = 2.0


# --- priors ----------------------------------------------------------------------------------------------------------


def logp(prior, value, labels=(), dims=None):
    """Log-density of one variable under the prior, with the labels as its coordinate."""
    with pm.Model(coords={"label": list(labels)} if labels else None):
        variable = prior.add("x", dims=dims, labels=labels)
    value = np.asarray(value, dtype=float)
    return pm.logp(variable, value).eval(mode="FAST_COMPILE")


def test_a_prior_is_a_distribution_by_name():
    assert logp(Prior("HalfNormal", sigma=0.5), 0.3) == pytest.approx(stats.halfnorm.logpdf(0.3, scale=0.5))
    assert logp(Prior("Gamma", alpha=2.0, beta=0.1), 4.0) == pytest.approx(stats.gamma.logpdf(4.0, 2, scale=10))


def test_a_mapping_follows_the_order_of_the_coordinate():
    prior = Prior("Normal", mu={"Days": 0, "Intercept": 250}, sigma={"Intercept": 100, "Days": 20})
    assert {k: v.tolist() for k, v in prior.at(("Intercept", "Days"), "theta_mu").items()} == {
        "mu": [250.0, 0.0], "sigma": [100.0, 20.0],
    }  # fmt: skip
    expected = stats.norm.logpdf([200.0, 10.0], [250, 0], [100, 20])
    assert logp(prior, [200.0, 10.0], ("Intercept", "Days"), "label") == pytest.approx(expected)


def test_numbers_hold_for_every_label():
    expected = stats.norm.logpdf([1.0, 2.0, 3.0], 0, 2)
    assert logp(Prior("Normal", mu=0.0, sigma=2.0), [1.0, 2.0, 3.0], "abc", "label") == pytest.approx(expected)


def test_arrays_run_over_the_coordinate():
    expected = stats.norm.logpdf([1.0, 2.0], [3, 4], 2)
    assert logp(Prior("Normal", mu=np.array([3.0, 4.0]), sigma=2.0), [1.0, 2.0], "ab", "label") == pytest.approx(
        expected
    )


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({"Intercept": 1.0}, "prior of theta_cl, mu: needs one value for each of Intercept, wt; missing wt"),
        ({"Intercept": 1.0, "wt": 0.0, "age": 0.0}, "needs one value for each of Intercept, wt; unknown age"),
        ({"intercept": 1.0, "wt": 0.0}, "missing Intercept; unknown intercept"),
        ({}, "missing Intercept, wt"),
    ],
)
def test_a_mapping_names_every_label_once(mapping, message):
    with pytest.raises(ValueError, match=message):
        Prior("Normal", mu=mapping, sigma=1.0).at(("Intercept", "wt"), "theta_cl")


@pytest.mark.parametrize("family", ["normal", "Norml", "Deterministic", "sample", "Model", "Data", ""])
def test_what_is_no_distribution_is_refused(family):
    with pytest.raises(ValueError, match=f"no distribution '{family}' in PyMC"):
        Prior(family)


def test_values_may_come_as_a_mapping_where_their_names_are_taken():
    assert Prior("Normal", {"mu": 1.0}, sigma=2.0) == Prior("Normal", mu=1.0, sigma=2.0)


def test_priors_are_frozen_and_print_as_they_are_written():
    prior = Prior("Normal", mu=0, sigma=1)
    assert repr(prior) == "Normal(mu=0, sigma=1)"
    assert hash(prior) == hash(Prior("Normal", mu=0, sigma=1))
    with pytest.raises(FrozenInstanceError):
        prior.family = "StudentT"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "a b"}, "must be a Python name"),
        ({"link": 3}, "link must be a text or a Link; got 3"),
        ({"spread": -1.0}, "spread must be a positive number or None; got -1.0"),
        ({"variation": 0.0}, "variation must be a positive number or None; got 0.0"),
    ],
)
def test_parameters_that_cannot_be(options, message):
    with pytest.raises(ValueError, match=message):
        Parameter(**({"name": "cl", "unit": "L/h", "typical": 1.0} | options))


@pytest.mark.parametrize("link", [Logit, Probit])
def test_a_reversed_interval_is_refused(link):
    with pytest.raises(ValueError, match="is no interval"):
        link(1.0, 0.0)
