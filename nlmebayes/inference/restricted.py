r"""Restricted maximum likelihood of linear mixed models: variances by a likelihood with fixed effects integrated out.

.. math:: \log L_R(\psi) = \max_\theta \log L(\theta, \psi)
          - \tfrac12 \log |H_{\theta\theta}| + \tfrac p2 \log 2 \pi

with H minus the second derivatives of log L in the p fixed effects, in which it is quadratic (Patterson and Thompson
1971, Biometrika 58, 545-554; Harville 1977, J. Am. Stat. Assoc. 72, 320-338).
"""

import numpy as np
from scipy import optimize

from nlmebayes.errors import ModelError
from nlmebayes.inference.maximum import Search, differences

EXACT = 1e-5  # of the log-likelihood of a linear model, that two rules may differ by
SAME = 1e-3  # relative difference of H at two places that is none
FEW, MANY = 40, 400  # rows of nodes
STEP = 1e-4  # of a difference in the fixed effects, in their scales; the function is quadratic
MOVE = 1e-3  # of a difference in the variances, whose coordinates are logarithms


class Restricted:
    """The restricted likelihood of a `Search`, as a function of the coordinates of the variances."""

    def __init__(self, search: Search, x, start):
        self.search, self.x, self.start = search, x.copy(), start
        self.fixed = np.arange(len(search.coordinates.theta))
        self.free = np.arange(len(self.fixed), len(x))

    def at(self, psi):
        """Log-likelihood, fixed effects that maximise it, and the inverse of H."""
        x = self.x.copy()
        x[self.free] = psi
        place = self.search.population.place(x, self.start)
        integral = self.search.integral(x, place, FEW)

        def slope(theta):
            here = x.copy()
            here[self.fixed] = theta
            dense, each = integral.sloped(here, self.search.steps)
            weighed = integral.weighed(here, dense)
            return weighed.value.sum(), weighed.scores(each).sum(axis=0)[self.fixed]

        value, score = slope(x[self.fixed])
        h = differences(lambda theta: slope(theta)[1], x[self.fixed], STEP * self.search.scales[self.fixed])
        inverse = np.linalg.inv(h)
        step = inverse @ score
        found = value + 0.5 * score @ step + 0.5 * len(h) * np.log(2 * np.pi) - 0.5 * np.linalg.slogdet(h)[1]
        return found, x[self.fixed] + step, inverse

    def maximum(self):
        """Coordinates of the maximum, the log-likelihood there and the covariance of the coordinates.

        Raises
        ------
        ModelError
            The model is not linear in its fixed and random effects with normal errors.
        """
        self._check()
        low = self.search.lowest[self.free]
        end = optimize.minimize(
            lambda psi: -self.at(psi)[0], self.x[self.free], method="L-BFGS-B",
            bounds=[(None if np.isneginf(b) else b, None) for b in low], options={"ftol": 1e-13, "gtol": 1e-6},
        )  # fmt: skip
        boundary = np.zeros(len(self.x), dtype=bool)
        boundary[self.free] = end.x <= low + 1e-6
        inner, psi = ~boundary[self.free], end.x.copy()
        curved = np.linalg.inv(differences(self._slope, psi, np.full(len(psi), 10 * MOVE))[np.ix_(inner, inner)])
        step = curved @ self._slope(psi)[inner]
        psi[inner] += np.where(np.abs(step).max(initial=0.0) < MOVE, step, 0.0)  # below what a line search can tell
        value, theta, inverse = self.at(psi)
        x = self.x.copy()
        x[self.fixed], x[self.free] = theta, psi
        covariance = np.zeros((len(x), len(x)))
        covariance[np.ix_(self.fixed, self.fixed)] = inverse
        covariance[np.ix_(self.free[inner], self.free[inner])] = curved
        return x, value, covariance, boundary

    def _slope(self, psi):
        moves = MOVE * np.eye(len(psi))
        return np.array([(self.at(psi + m)[0] - self.at(psi - m)[0]) / (2 * MOVE) for m in moves])

    def _check(self):
        """A linear model has the same integral by one node at the mode and by many, for any fixed effects."""
        x, search, inverse = self.x, self.search, []
        for far in (0.0, 0.03):
            here = x.copy()
            here[self.fixed] += far * search.scales[self.fixed]
            place = search.population.place(here, self.start)
            one, many = (search.integral(here, place, rows).log_likelihood(here) for rows in (FEW, MANY))
            self.x = here
            inverse.append(self.at(x[self.free])[2])
            self.x = x
            size = np.sqrt(np.diag(inverse[0]))
            apart = np.abs(inverse[-1] - inverse[0]) / np.outer(size, size)
            if not np.abs(one - many).max() < EXACT or not apart.max(initial=0.0) < SAME:
                raise ModelError(
                    "method='reml' is of linear mixed models with normal errors of constant scatter; this one is not "
                    "linear in its effects: take method='ml'"
                )
