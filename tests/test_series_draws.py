"""Scores of series drawn given what is known of them, against dense normal laws and rejection."""

import numpy as np
import pytest

from nlmebayes.evaluation import series
from nlmebayes.outcomes.autocorrelation import Series, linked

PLACE = np.array([0.0, 3.0, 1.0, 2.5, 4.0, 7.0, 0.5])
LABEL = np.array(list("aaaaaab"), dtype=object)
COVARIANCE = np.where(np.equal.outer(LABEL, LABEL), 0.7 ** np.abs(np.subtract.outer(PLACE, PLACE)), 0.0)


@pytest.mark.parametrize("known", [[], [1], [0, 4], [0, 1, 2, 3, 4, 5]], ids=str)
def test_scores_given_some_have_the_conditional_law(known):
    n, rng = 40_000, np.random.default_rng(1)
    here, z = np.isin(np.arange(7), known), np.zeros((n, 7))
    z[:, known] = [0.8, -0.4, 1.1, 0.2, -1.5, 0.6][: len(known)]
    found = series.given(Series(LABEL, PLACE), here, z, np.full((n, 1), 0.7), rng)
    rest = np.setdiff1d(np.arange(7), known)
    pull = COVARIANCE[np.ix_(rest, known)] @ np.linalg.inv(COVARIANCE[np.ix_(known, known)])
    assert (found[:, known] == z[:, known]).all()
    assert found[:, rest].mean(axis=0) == pytest.approx(pull @ z[0, known], abs=0.03)
    cov = COVARIANCE[np.ix_(rest, rest)] - pull @ COVARIANCE[np.ix_(known, rest)]
    assert np.atleast_2d(np.cov(found[:, rest].T)) == pytest.approx(cov, abs=0.03)


def test_a_score_at_the_place_of_a_known_one_is_that():
    both = Series(np.array(["a", "a", "a"], dtype=object), np.array([1.0, 2.0, 1.0]))
    known = np.array([True, True, False])
    z = series.given(both, known, np.array([[0.7, -0.2, 0.0]]), np.array([[0.5]]), np.random.default_rng(1))
    assert z[0, 2] == pytest.approx(0.7)


@pytest.mark.parametrize("hidden", [[4], [0], [2, 3], [4, 5], [1, 3, 4]], ids=str)
def test_censored_scores_are_those_of_rejection(hidden):
    n, rng = 400_000, np.random.default_rng(2)
    censored, seen = np.isin(np.arange(7), hidden), np.setdiff1d(np.arange(7), hidden)
    value, top = np.array([0.8, 0.5, 1.1, 0.2, 0.4, -0.6, 0.1]), np.where(censored, 0.5, np.inf)
    pull = COVARIANCE[np.ix_(hidden, seen)] @ np.linalg.inv(COVARIANCE[np.ix_(seen, seen)])
    cov = COVARIANCE[np.ix_(hidden, hidden)] - pull @ COVARIANCE[np.ix_(seen, hidden)]
    drawn = rng.multivariate_normal(pull @ value[seen], cov, size=n)
    kept = drawn[(drawn < 0.5).all(axis=1)]
    limits = np.full((20_000, 7), -np.inf), np.tile(top, (20_000, 1))
    columns = linked(Series(LABEL, PLACE), ~censored, censored)
    found = series.filled(columns, np.tile(value, (20_000, 1)), *limits, np.full((20_000, 1), 0.7), rng)
    assert (found[:, hidden] < 0.5).all() and (found[:, seen] == value[seen]).all()
    assert found[:, hidden].mean(axis=0) == pytest.approx(kept.mean(axis=0), abs=0.02)
    assert np.cov(found[:, hidden].T) == pytest.approx(np.cov(kept.T), abs=0.03)
