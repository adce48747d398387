"""Are trees of the same measurements? A likelihood of other ones says nothing of which model is better."""

import numpy as np
import pandas as pd

from nlmebayes.data.tidy import MEASUREMENT
from nlmebayes.errors import ModelError
from nlmebayes.evaluation.fitted import REPORT
from nlmebayes.populations.stated import ABOUT


def of_fits(known):
    """Refuse `Fitted` trees that are no fits: a forecast of a patient, a stated population."""
    for name, each in known.items():
        kinds = {"a forecast": REPORT, "a stated population, which has no data": ABOUT}
        for what, attribute in kinds.items():
            if attribute in each.tree.attrs:
                raise ModelError(f"compare: {name} is {what}; compare takes trees of fit")


def same_records(known):
    """Refuse `Fitted` trees, by name, of different levels, records or doses.

    Raises
    ------
    ModelError
        Names the first row and column in which two differ.
    """
    (first, reference), *others = ((name, each.training_data) for name, each in known.items())
    for name, data in others:
        if data.levels != reference.levels:
            raise ModelError(
                f"compare: {first} has the levels {', '.join(reference.levels)}, {name} {', '.join(data.levels)}; fit "
                "both to one Dataset (a formula need not use every level)"
            )
        for part, columns in (("observations", _columns(data)), ("doses", list(reference.doses.columns))):
            said = _difference(getattr(reference, part), getattr(data, part), columns, first, name)
            if said:
                raise ModelError(
                    f"compare: {first} and {name} are fits of different data: {part}, {said}. Likelihoods compare "
                    "models of the same measurements; of a transformed outcome fit the original one with a residual "
                    "such as LogNormal()"
                )


def other_covariates(known):
    """Sentences on columns that two trees both have, with other values: allowed, and said."""
    (first, reference), *others = ((name, each.training_data.observations) for name, each in known.items())
    for name, frame in others:
        own = {"row", *MEASUREMENT}
        shared = [c for c in frame.columns if c in reference.columns and c not in own]
        different = [c for c in shared if not _same(reference[c], frame[c]).all()]
        if different:
            yield f"{', '.join(different)}: other values in the data of {name} than in those of {first}"


def _columns(data):
    return [*data.levels, *([data.time] if data.time else []), *MEASUREMENT]


def _difference(one, other, columns, first, name):
    """In words, where two frames differ in some columns; empty if they do not."""
    if len(one) != len(other):
        return f"{len(one)} rows in {first}, {len(other)} in {name}"
    for column in columns:
        if (column in one) != (column in other):
            return f"column {column} is in one of them only"
        if column not in one:
            continue
        same = _same(one[column], other[column])
        if not same.all():
            at = int(np.argmin(same))
            row = one["row"].iloc[at] if "row" in one else at + 1
            return f"row {row}, column {column}: {one[column].iloc[at]} in {first}, {other[column].iloc[at]} in {name}"
    return ""


def _same(one, other):
    """Which values of two columns are equal, or both missing, (row,)."""
    a, b = one.to_numpy(), other.to_numpy()
    if pd.api.types.is_numeric_dtype(one) and pd.api.types.is_numeric_dtype(other):
        return (a == b) | ((a != a) & (b != b))
    return np.array([str(x) == str(y) for x, y in zip(a, b, strict=True)], dtype=bool)
