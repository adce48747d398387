"""What a patient's records must be before they are believed: who is forecast, what is known, what looks wrong."""

import numpy as np

from nlmebayes.errors import ModelError, warn
from nlmebayes.evaluation.measurement import log_precisions
from nlmebayes.populations.stated import outside

FOLD = 200.0  # a sample this many times off the population's is a matter of units
REACH = 6.0  # SDs of the residual
LIKELY = (0.001, 0.999)  # of the population's predictions, beyond which such a sample lies


def unknown_groups(design, population, patient, *, several=False):
    """(level, positions of the groups the tree does not know) of each level.

    Raises
    ------
    ModelError
        A patient who was in the training data; several of them, unless they are wanted.
    """
    innermost = patient.levels[-1]
    number = patient.observations[patient.subject].nunique()
    if number != 1 and not several:
        raise ModelError(f"forecast takes one patient; the data have {number} of level {patient.subject}")
    found = []
    for level in design.levels:
        new = [g for g, label in enumerate(level.labels) if label not in population.groups.get(level.name, ())]
        known = sorted(set(range(len(level.labels))) - set(new))
        if level.name in (innermost, patient.subject) and known:
            raise ModelError(
                f"{level.name} {level.labels[known[0]]} was in the training data: its samples would count twice. Use "
                "predict, or give the new patient another label"
            )
        found.append((level, np.array(new, dtype=int)))
    return tuple(found)


def warn_outside(tree, patient):
    """Warn of each covariate in which the patient is outside the domain of a published model."""
    for line in outside(tree, patient):
        warn(
            f"{patient.subject} {patient.observations[patient.subject].iloc[0]}: {line}, the range of the published "
            "model; the forecast extrapolates"
        )


def unseen(unknown, groups, patient):
    """Labels by level above the patient that the population does not know, though it knows others of the level."""
    own = patient.levels[patient.levels.index(patient.subject) :]
    above = [(level, new) for level, new in unknown if level.name not in own and groups.get(level.name)]
    return {level.name: [level.labels[g] for g in new] for level, new in above if len(new)}


def check_now(patient, now):
    """Nothing has been measured after ``now``; a dose after it is warned of."""
    if now is None:
        return
    seen = patient.observations[patient.observations["value"].notna()]
    late = seen[seen[patient.time] > now]
    if len(late):
        row = late.iloc[0]
        raise ModelError(
            f"{patient.source}, row {row['row']}: a sample at {row[patient.time]:g} lies after now={now:g}; correct one"
        )
    planned = not_yet(patient, now)
    if planned:
        warn(planned)


def not_yet(patient, now):
    """A line about the first dose, additional ones included, that is recorded for a time after ``now``, or None."""
    for dose in patient.doses.to_dict("records"):
        times = dose[patient.time] + dose["ii"] * np.arange(dose["addl"] + 1)
        if times[-1] > now:
            where = f"{patient.source}, row {dose['row']}, column {patient.time}"
            late = times[times > now][0]
            return f"{where}: a dose at {late:g} is recorded as given, and now is {now:g}; leave it out, or plan it"
    return None


def check_samples(target, patient, f, *, refuse=True):
    """Samples agree with the doses and the units of the population.

    Parameters
    ----------
    f : dict of (draw, record)
        The population's predictions for this patient, by outcome.
    refuse : bool
        Whether a sample that is hundreds of times off is an error, or a warning.
    """
    first = patient.doses[patient.time].min() if len(patient.doses) else np.inf
    for name, seen, records, *_ in target.judged:
        if not target.model.residual_of(name).comparable:
            continue
        for i in np.flatnonzero(~records.censored & (records.values != 0)):
            value, here = records.values[i], f[name][:, seen[i]]
            time = records.inputs.get("time", np.full(len(records.values), np.nan))[i]
            where = f"{patient.source}, row {records.row[i]}: {name} {value:g}"
            if not np.isfinite(here).any():
                continue
            if value < 0:
                if (here >= 0).all() and not _reached(target, name, value, here):
                    _say(
                        f"{where} is negative, further below the predictions of the population than its residual "
                        "reaches; correct it, or give the limit of quantification with lloq=", refuse,
                    )  # fmt: skip
                continue
            if (here == 0).all():
                if time < first:
                    begun = f"before the first dose at {first:g}" if len(patient.doses) else "and no dose is recorded"
                    _say(
                        f"{where} was measured at {time:g}, {begun}; correct the time, or give the doses before it",
                        target.model.residual_of(name).positive or refuse,
                    )  # fmt: skip
                continue
            low, middle, high = np.nanquantile(here, [LIKELY[0], 0.5, LIKELY[1]])
            off = value / middle if middle > 0 else 1.0
            if (off > FOLD and value > high) or (off < 1 / FOLD and value < low):
                _say(
                    f"{where} is {off:.2g} times what the population expects ({low:.3g} to {high:.3g}): check the "
                    "units of samples and doses, and the times", refuse,
                )  # fmt: skip


def _reached(target, name, value, f):
    """Whether a value lies within the scatter of one of the predictions ``f`` (draw,) above it; what scatters as other
    columns or a formula say is taken to."""
    residual, sigma = target.model.residual_of(name).alone, target.population.sigma.get(name, {})
    if residual.columns or any(np.ndim(x) > 1 for x in sigma.values()):
        return True
    scatter = np.exp(-log_precisions(residual, f, {part: np.mean(x) for part, x in sigma.items()})) / np.sqrt(2 * np.pi)
    return bool((f - value < REACH * scatter).any())


def _say(text, refuse):
    if refuse:
        raise ModelError(text + '. If it is right, forecast with unusual="warn"')
    warn(text)
