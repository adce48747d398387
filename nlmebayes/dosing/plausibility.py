"""Doubts about a chart and a plan: what can be read, but hardly be meant. Each is one line."""

import numpy as np

OTHER_UNIT = 100.0  # times the largest, or one part in so many of the smallest: another unit, rather than another dose


def doubts(training, patient, plans):
    """Lines about amounts and infusions of a patient's records and of plans, given the data of the population.

    Parameters
    ----------
    training, patient : Dataset
    plans : sequence of Regimen or Plan
    """
    known = training.doses["amount"].to_numpy(float)
    known = known[known > 0]
    yield from _amounts(patient, known)
    yield from _infusions(patient)
    own = patient.doses["amount"].to_numpy(float)
    known = np.append(known, own[own > 0])
    for plan in plans:
        for part in plan.parts:
            words = _far(part.amount * part.salt, known)
            if words:
                yield f"the regimen {part}: its amount is {words}; is it in another unit?"


def _amounts(patient, known):
    doses = patient.doses
    for row, amount in zip(doses["row"], doses["amount"], strict=True):
        others = doses["amount"][doses["row"] != row].to_numpy(float)
        words = _far(amount, known if known.size else others[others > 0]) if amount > 0 else None
        if words:
            yield f"{patient.source}, row {row}, column amount: {amount:g} is {words}; is it in another unit?"


def _far(amount, known):
    """How far an amount is from those known, in words, or None."""
    if not known.size or not amount > 0:
        return None
    if amount > OTHER_UNIT * known.max():
        return f"{amount / known.max():.3g} times the largest of the doses known, {known.max():g}"
    if amount < known.min() / OTHER_UNIT:
        return f"{known.min() / amount:.3g} times less than the smallest of the doses known, {known.min():g}"
    return None


def _infusions(patient):
    """Recorded infusions that are not over when the next dose into the same state begins."""
    doses = patient.doses.sort_values(patient.time, kind="stable")
    for _, same in doses.groupby([str(state) for state in doses["state"]], sort=False):
        times = same[patient.time].to_numpy(float)
        following = np.append(times[1:], np.inf)
        for dose, next_time in zip(same.to_dict("records"), following, strict=True):
            gap = min(next_time - dose[patient.time], dose["ii"] or np.inf)
            lasts = dose["amount"] / dose["rate"] if dose["rate"] > 0 else 0.0
            if lasts > gap * (1 + 1e-6) and gap > 0:
                where = f"{patient.source}, row {dose['row']}, column rate"
                yield f"{where}: the infusion lasts {lasts:g}, the next dose comes after {gap:g}; is the rate right?"


def other_unit(target, medians):
    """A line where the median exposures under all regimens are far from the target, or None."""
    lowest, highest = np.min(medians), np.max(medians)
    wanted, unit = f"the target {target}: every regimen gives", "is it in another unit?"
    if np.isfinite(target.high) and lowest > OTHER_UNIT * target.high > 0:
        return f"{wanted} {lowest:.3g} or more, {lowest / target.high:.0f} times that; {unit}"
    if target.low > 0 and 0 < highest < target.low / OTHER_UNIT:
        return f"{wanted} {highest:.3g} at most, {target.low / highest:.0f} times less; {unit}"
    return None
