"""An integral of which some groups have nodes of their own, with the words of `integral.Integral`."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from nlmebayes.individuals.integral import Integral


@dataclass(frozen=True, eq=False)
class Several:
    """Integrals of all groups, ``whole``, and ``own`` ones, of a group each, that count for those at ``hard``."""

    whole: Integral
    hard: np.ndarray
    own: tuple

    @property
    def gauss(self):
        return self.whole.gauss

    @property
    def absorbed(self):
        return self.whole.absorbed

    @cached_property
    def each(self):
        return (self.whole, *self.own)

    def records(self, x):
        return [integral.records(x) for integral in self.each]

    def local(self, x, steps):
        return SeveralLocal([integral.local(x, steps) for integral in self.each])

    def weighed(self, x, dense):
        return SeveralWeighed(self.hard, [i.weighed(x, each) for i, each in zip(self.each, dense, strict=True)])

    def log_likelihood(self, x):
        """(group,) at coordinates x."""
        return self.weighed(x, self.records(x)).value


@dataclass(frozen=True, eq=False)
class SeveralLocal:
    """As `integral.Local`, a list for each number."""

    each: list

    @property
    def value(self):
        return [local.value for local in self.each]

    @property
    def slope(self):
        return [local.slope for local in self.each]

    def held(self, share):
        return SeveralLocal([local.held(one) for local, one in zip(self.each, share, strict=True)])

    def at(self, x):
        return tuple(map(list, zip(*(local.at(x) for local in self.each), strict=True)))


@dataclass(frozen=True, eq=False)
class SeveralWeighed:
    """As `integral.Weighed`."""

    hard: np.ndarray
    each: list

    @property
    def joint(self):
        return [weighed.joint for weighed in self.each]

    @property
    def value(self):
        return self._merged([weighed.value for weighed in self.each])

    def scores(self, slope):
        return self._merged([weighed.scores(one) for weighed, one in zip(self.each, slope, strict=True)])

    def means(self):
        """Those of the nodes of all groups: where modes are sought from."""
        return self.each[0].means()

    def _merged(self, found):
        whole, *own = found
        whole = whole.copy()
        for i, one in zip(self.hard, own, strict=True):
            whole[i] = one[0]
        return whole
