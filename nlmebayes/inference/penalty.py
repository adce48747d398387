"""The log-prior of a population as a function of its coordinates: what makes of the likeliest population the most
probable one."""

import numpy as np

from nlmebayes.evaluation.log_priors import correlations, densities, values_of, within
from nlmebayes.evaluation.prediction import labelled_population

STEP = 1e-4  # of a difference


class Penalty:
    """Log-density of the priors ``laws`` at coordinates, on the natural scale of SDs, correlations and scales, and its
    slopes by differences. Improper priors add nothing."""

    def __init__(self, laws, coordinates, design):
        self.coordinates, self.design = coordinates, design
        self.laws = within(laws, self._population(np.zeros((1, coordinates.size))))
        self.every, self.density = laws, densities(self.laws)

    def __call__(self, x):
        steps = STEP * np.eye(len(x))
        value = self._at(np.concatenate([x[None], x + steps, x - steps]))
        n = len(x)
        return value[0], (value[1 : n + 1] - value[n + 1 :]) / (2 * STEP)

    def _population(self, x):
        return labelled_population(self.design, self.coordinates.population(x), (1, len(x)))

    def _at(self, x):
        population = self._population(x)
        found = np.zeros(len(x))
        if self.laws:
            found += self.density(values_of(self.laws, population))[0].sum(axis=-1)
        return found + sum(each[0] for each in correlations(self.every, self.design, population)[1])
