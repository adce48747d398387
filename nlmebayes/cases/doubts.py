"""What the library finds strange in the chart of a case, beside the fields that it is about."""

import re
import warnings

from nlmebayes.cases.covariates import CLEARANCE, DERIVED, MEASURES
from nlmebayes.dosing import plausibility
from nlmebayes.forecasting.options import Options
from nlmebayes.populations.stated import outside

ROW = re.compile(r"^.*?, row (\d+)(?:, column (\w+))?: ")
COLUMNS = {"amount": "amount", "rate": "duration", "time": "time"}  # of a record -> the field
ADVICE = re.compile(r'\. If it is right, forecast with unusual="warn"$')  # to programmers
OVERDUE = 1.5  # intervals after which a repeated dose that is not recorded was rather given
FAR = 10.0  # times less than the least that can be given: another unit


def look(models, patient, entered, fields, plans, missing, notes):
    """Units of samples and doses, the range of each model, infusions that overlap: problems go to the notes.

    Parameters
    ----------
    models : sequence of Ready
    patient : Dataset
    entered : dict of name -> str
        The patient's values as texts.
    fields : list of str
        Of each row of the patient's table.
    """
    known = {name: MEASURES[name].read(text) for name, text in entered.items() if name in MEASURES and text}
    for model in models:
        for line in outside(model.tree, patient, known):
            notes.say(_source(line.split()[0], entered), f"{line}, the range of {model.name}; it extrapolates",
                      stops=False)  # fmt: skip
    options = Options(unusual="warn", missing=missing)
    for line in _collected(lambda: models[0].forecaster.check_samples(patient, options)):
        place, text = placed(line, fields, "value")
        notes.say(place or "patient", text)
    for line in plausibility.doubts(models[0].training, patient, plans):
        place, text = placed(line, fields, "amount")
        notes.say(place or "regimens", text, stops=False)
    _least(models[0], patient, fields, notes)
    _twice(patient, fields, notes)
    _overdue(patient, fields, notes)


def _least(model, patient, fields, notes):
    least, unit = model.dispensing.least or model.dispensing.step, model.unit("amount")
    for row, amount in zip(patient.doses["row"], patient.doses["amount"], strict=True):
        if least and amount < least / FAR:
            notes.say(f"{fields[int(row) - 1]}.amount", f"{amount:g} {unit} is far below the least that can be given, "
                      f"{least:g} {unit}; is it in another unit?", stops=False)  # fmt: skip


def _twice(patient, fields, notes):
    """Two doses at once may be one that was entered twice."""
    seen = {}
    for row, time, state in zip(patient.doses["row"], patient.doses[patient.time], patient.doses["state"], strict=True):
        first = seen.setdefault((time, str(state)), fields[int(row) - 1])
        if first != fields[int(row) - 1]:
            number = int(first.split(".")[1]) + 1
            notes.say(f"{fields[int(row) - 1]}.time", f"dose number {number} was given at this time too; if it is the "
                      "same one, leave one out", stops=False)  # fmt: skip


def given_by(now, patient, fields, notes):
    """Repeated doses were given by now: the others are to come, and belong to a regimen."""
    for record, last in _lasts(patient):
        if now is not None and record["addl"] and last > now:
            message = f"the last of these doses is at {last:g} h, after now, {now:g} h; write how many were given"
            notes.say(f"{fields[int(record['row']) - 1]}.doses", message)


def _overdue(patient, fields, notes):
    """A sample long after a dose that is repeated, without another: the number of doses may be missing."""
    seen, lasts = patient.observations[patient.time].to_numpy(float), list(_lasts(patient))
    for record, last in lasts:
        following = min((each[patient.time] for each, _ in lasts if each[patient.time] > last), default=float("inf"))
        late = seen[(seen > last + OVERDUE * record["ii"]) & (seen <= following)] if record["ii"] else seen[:0]
        if late.size:
            message = f"given every {record['ii']:g} h, and none is recorded in the {late.max() - last:g} h to a sample"
            place = f"{fields[int(record['row']) - 1]}.doses"
            notes.say(place, f"{message}; write how many doses were given", stops=False)


def _lasts(patient):
    """Each dose record, and when the last of its doses is."""
    for record in patient.doses.to_dict("records"):
        yield record, record[patient.time] + record["addl"] * record["ii"]


def _source(column, entered):
    """The field that a column comes from."""
    if column in entered:
        return f"patient.{column}"
    if column == CLEARANCE:
        return "patient.creatinine"
    return f"patient.{DERIVED[column].needs[0] if column in DERIVED else column}"


def placed(line, fields, ending):
    """The field that a line is about, where it names a row, and what it says."""
    found, text = ROW.match(line), ADVICE.sub("", ROW.sub("", line))
    if found is None:
        return None, text
    return f"{fields[int(found[1]) - 1]}.{COLUMNS.get(found[2], ending)}", text


def _collected(job):
    """What a job refuses or warns of, as texts."""
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always", UserWarning)
        try:
            job()
        except ValueError as error:
            return [*(str(each.message) for each in warned), str(error)]
    return [str(each.message) for each in warned]
