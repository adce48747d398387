"""`answer`: what the verbs of the library say of a case, from the chart to the next dose."""

from dataclasses import dataclass

import pandas as pd

from nlmebayes.arguments import checked
from nlmebayes.cases.case import Case
from nlmebayes.cases.entry import Entry


@dataclass(frozen=True, eq=False)
class Answer:
    """What is found of a case.

    Attributes
    ----------
    entry : Entry
    forecasts, weights : dict
        Tree of each model, and what it counts.
    course : DataFrame
        ``time, median, eti_lb, q25, q75, eti_ub`` of the concentration after the samples, under the doses recorded and
        then the best regimen, ``new_eti_lb, new_eti_ub`` of a measurement, ``before_median, before_eti_lb,
        before_eti_ub`` as expected before the samples.
    standing : DataFrame
        Of each model and parameter the patient's interval, the population's, and the ``percentile``.
    regimens : DataFrame
        As `recommend` gives it, weighed over the models.
    changes : DataFrame
        The same of the best regimen as planned, late and missed, over the first interval: column ``change``.
    changed : DataFrame
        The courses under these: column ``change``, and as ``course``.
    samples : DataFrame
        As `next_sample` gives it, of the model that counts most.
    warnings : tuple of str
    """

    entry: Entry
    forecasts: dict
    weights: dict
    course: pd.DataFrame
    standing: pd.DataFrame
    regimens: pd.DataFrame
    changes: pd.DataFrame
    changed: pd.DataFrame
    samples: pd.DataFrame
    warnings: tuple[str, ...]

    @property
    def tables(self):
        """Tables by name, for files and pages."""
        names = ("course", "standing", "regimens", "changes", "changed", "samples")
        return {name: getattr(self, name) for name in names}

    def said(self):
        """All of it as plain values, which JSON takes: the same on the page and on the command line."""
        raise NotImplementedError

    def report(self, path):
        """Write the one-page report of the model that counts most."""
        raise NotImplementedError


@checked
def answer(case: Case):
    """The `Answer` about a case.

    Raises
    ------
    DataError
        The case has problems that stop it; names all of them with their fields.
    """
    raise NotImplementedError
