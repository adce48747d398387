"""Columns of a dataset, as what groups or records are compared by; which of them a model does not read."""

from dataclasses import dataclass, fields, is_dataclass

import numpy as np
import pandas as pd

from nlmebayes.criticism.significance import indicators, orthonormal, polynomials
from nlmebayes.formula import parse
from nlmebayes.formula.scan import written
from nlmebayes.formula.sigma import is_scale

CODES = 12  # whole numbers so few may be labels
MEMBERS = 2  # a label has on average, at least
LABELS = 100  # that are compared, at most
MANY = 5  # labels from which on their effects are random
COPY = 0.999  # rank correlation with the measurements from which on a column is taken for them
BEND = 2  # degree of what records are compared by


@dataclass(frozen=True, eq=False)
class Column:
    """Values (row,) of a column, numbers or ``labelled``; missing ones are not compared. ``dates`` are times, without
    an origin."""

    name: str
    values: np.ndarray
    labelled: bool
    dates: bool = False

    @property
    def known(self):
        return ~pd.isna(self.values)

    def take(self, index):
        """The same at some rows, or of groups whose first rows they are."""
        return Column(self.name, self.values[index], self.labelled, self.dates)

    def enough(self, values):
        """Whether rows can be compared by ``values`` of the column."""
        count = len(np.unique(values))
        return count > 1 and (not self.labelled or (count <= LABELS and count * MEMBERS <= len(values)))

    @property
    def positive(self):
        """Whether its logarithm is taken, as of a weight."""
        return not (self.labelled or self.dates) and bool((self.values[self.known] > 0).all())

    def line(self, values):
        """Basis of groups that have ``values``: a straight line, or the labels."""
        if self.labelled:
            return indicators(values)
        return orthonormal((np.log(values) if self.positive else values)[:, None])

    def curve(self, values):
        """Basis of records that have ``values``: a bent line of the ranks, or the labels."""
        return indicators(values) if self.labelled else polynomials(values, BEND)

    @property
    def term(self):
        """As a term of a formula."""
        if self.labelled:
            name = written(self.name)
            return name if self.values.dtype == object else f"C({name})"
        if not self.positive:
            return self.drift
        return f"log({written(self.name)}/{_rounded(np.median(self.values[self.known]))})"

    @property
    def factor(self):
        """As what groups."""
        return written(self.name)

    @property
    def drift(self):
        """As a term that follows it on a straight line."""
        return f"center({written(self.name)})"

    @property
    def many(self):
        """Whether it has so many labels that their effects are random."""
        return self.labelled and len(np.unique(self.values[self.known])) >= MANY


def _rounded(x):
    return f"{float(f'{x:.2g}'):g}"


def columns_of(data):
    """Every `Column` of a dataset that differs between rows; one of few whole numbers is there as both kinds."""
    for name in (*data.levels, *data.covariates, *data.inputs):
        values = data.observations[name]
        if values.nunique() < 2 or _copies(data.observations, values):
            continue
        if pd.api.types.is_numeric_dtype(values):
            numbers = values.to_numpy(dtype=float)
            distinct = np.unique(numbers[~np.isnan(numbers)])
            yield Column(name, numbers, False)
            if 2 < len(distinct) <= CODES and (distinct == np.round(distinct)).all():
                yield Column(name, numbers, True)
            continue
        text = values.astype(object).where(values.notna(), None).to_numpy()
        dates = None if name in data.levels else _dates(text)
        yield Column(name, text, True) if dates is None else Column(name, dates, False, True)


def _dates(text):
    """Days of dates in ISO's spelling, or None where some value is none."""
    try:
        found = pd.to_datetime(pd.Series(text), format="ISO8601", utc=True)
    except (ValueError, TypeError):
        return None
    days = (found - found.min()).dt.total_seconds().to_numpy() / 86400
    return np.where(found.isna(), np.nan, days)


def _copies(observations, column):
    """Whether a column is the measurements themselves on some scale."""
    if not pd.api.types.is_numeric_dtype(column):
        return False
    both = observations["value"].notna() & column.notna()
    here = pd.DataFrame({"outcome": observations["outcome"], "x": column, "y": observations["value"]})[both]
    return any(
        len(each) > 2 and each["x"].nunique() > 2 and abs(each["x"].corr(each["y"], method="spearman")) > COPY
        for _, each in here.groupby("outcome", observed=True)
    )


def read_by(model):
    """Names of columns that the structure and the residuals read, or may."""
    return _texts(model.structure) | _texts(model.residual) | _texts(model.inputs) | set(model.structure.inputs)


def _texts(value):
    """Every text in the fields of records and the values of containers."""
    if isinstance(value, str):
        return {value}
    if isinstance(value, dict):
        return _texts(tuple(value.values()))
    if is_dataclass(value):
        return _texts(tuple(getattr(value, f.name) for f in fields(value)))
    return {text for each in value for text in _texts(each)} if isinstance(value, (tuple, list, set)) else set()


def of_formula(formula):
    """Names of the columns that a formula reads or groups by."""
    read, factors = formula.columns
    return {*read, *factors}


def of_scatter(model):
    """Names of the columns that the formulas of residual parts read."""
    return {name for text in model.formulas if is_scale(text) for name in of_formula(parse(text))}
