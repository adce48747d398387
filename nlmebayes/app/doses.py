"""Doses on the command line: regimens of its options, and what is told of them, with units and by the clock."""

from dataclasses import dataclass, replace

import nlmebayes as nb
from nlmebayes.app import statement
from nlmebayes.data import clock
from nlmebayes.dosing import inheritance, wanted
from nlmebayes.dosing.regimen import doses_until, varied
from nlmebayes.evaluation import storage
from nlmebayes.populations.dispensing import Dispensing, rounded
from nlmebayes.words import StatementError

LISTED = 10  # regimens in the printed table
CHOICE = ("every", "duration", "number", "until", "step", "steady")  # options that are no argument of a `Regimen`


@dataclass(frozen=True)
class Units:
    """Units in print, `` mg``, or nothing where they are not known, and when the clock of the chart began."""

    amount: str = ""
    time: str = ""
    outcome: str | None = None
    began: tuple | None = None

    @classmethod
    def of(cls, units, patient, outcome):
        """From a published model's units by name, and the patient's clock."""
        amount, time = (f" {units[name]}" if name in units else "" for name in ("amount", "time"))
        began = patient.origin.get(patient.observations[patient.subject].iloc[0])
        return cls(amount, time or (" h" if began else ""), units.get(outcome or patient.outcomes[0]), began)

    def regimen(self, plan):
        return plan.worded(self.amount, self.time)

    def at(self, time):
        """A time, and the date or the hour of the chart that it is."""
        return f"{time:g}{self.time}" + (f" ({clock.moment(self.began, time)})" if self.began else "")

    def exposure(self, aim):
        """The unit of an exposure; a ratio to an MIC and a share of time have none."""
        if self.outcome is None or aim.mic:
            return ""
        mass, slash, volume = self.outcome.partition("/")
        hours = f"*{self.time.strip()}" if isinstance(aim, wanted.AREAS) else ""
        return f" {mass}{hours}{slash}{volume}"


def planned(forecast, patient, aims, plan, options):
    """Regimens of the options with nothing left open, and lines that say what was assumed; where no amounts are given
    the best one is sought, and rounded to what can be given."""
    amounts, step = wanted.numbers(plan.pop("amounts", None), "--doses"), plan.get("step")
    given = Dispensing.of(forecast)
    step = step or given.step
    chart = inheritance.Chart.of(patient, storage.stored_model(forecast).structure, given.infused)
    plans, lines = choices(patient, amounts, plan, chart, options["history"], options["now"])
    if amounts is None:
        with statement.refused():
            best = [nb.optimise(forecast, each, aims, given=step, **options)["amount"].iloc[0] for each in plans]
        plans = [varied(p, "amount", b if step else rounded(b)) for p, b in zip(plans, best, strict=True)]
        lines.append(_rounding(step, given))
    return plans, lines


def _rounding(step, given):
    if step is None:
        return "amounts have three significant digits, for the steps that can be given are not known; say --step"
    source = ", as the published model states" if step == given.step else ""
    return f"amounts are multiples of {step:g}{given.unit('amount')}{source}; for others say --step or --doses"


def choices(patient, amounts, plan, chart, history, now=None):
    """Regimens of the options, and what they take from the chart; without amounts one of each interval and duration, to
    be searched from."""
    every, duration = (wanted.numbers(plan.get(name), f"--{name}") for name in ("every", "duration"))
    count, until, steady = (plan.get(name) for name in ("number", "until", "steady"))
    if every is None and (count or until or steady):
        raise StatementError("--number, --until and --steady need the interval, --every")
    if count and until is not None:
        raise StatementError("give --number or --until, not both")
    same = {key: value for key, value in plan.items() if value is not None and key not in CHOICE}
    same |= {"doses": count} if count else {}
    if steady or (every is not None and not count and until is None):
        same["steady"] = True
    if amounts is None:
        recorded = patient.doses["amount"].to_numpy(float)
        amounts = [recorded[-1] if len(recorded) else 1.0]
    with statement.refused():
        found = [
            inheritance.stated(each, chart, history, now)
            for each in nb.regimens(amounts, every=every, duration=duration, **same)
        ]
        lines = dict.fromkeys(inheritance.sentence(words, "--{}") for _, words in found if words)
        plans = [each for each, _ in found]
        if until is not None:
            plans = [replace(each, doses=doses_until(until, each.start, each.every)) for each in plans]
    return plans, list(lines)


def listed(table, aims, worded, units):
    """The table of regimens in words, of each target."""
    for aim in aims:
        part = table[table["target"] == str(aim)]
        names = [worded[text] for text in part["regimen"][:LISTED]]
        wide = max(10, *(len(text) for text in names)) + 2
        yield f"{aim}{units.exposure(aim)}:"
        yield f"{'regimen':<{wide}}{'below':>7}{'in range':>10}{'above':>7}{'median':>10}   5 to 95 %"
        for name, row in zip(names, part.to_dict("records"), strict=False):
            yield (
                f"{name:<{wide}}{row['p_below']:>7.2f}{row['p_in']:>10.2f}{row['p_above']:>7.2f}"
                f"{row['median']:>10.4g}   {row['eti_lb']:.4g} to {row['eti_ub']:.4g}"
            )
        if len(part) > LISTED:
            yield f"... and {len(part) - LISTED} more, in regimens.csv"


def answer(best, aims, plan, units):
    """The best regimen in words."""
    together = f", all targets together {best[0]['p_all']:.2f}" if len(best) > 1 else ""
    yield f"Best: {units.regimen(plan)}, from {units.at(plan.start)} on{together}"
    named = {str(aim): aim for aim in aims}
    for row in best:
        unit = units.exposure(named[row["target"]])
        yield (
            f"  {row['target']}{unit}: in range with probability {row['p_in']:.2f} (Monte Carlo error "
            f"{row['mcse']:.2f}), below {row['p_below']:.2f}, above {row['p_above']:.2f}"
        )


def sampled(table, aim, units):
    """When the next sample says most, in words."""
    yield f"Next sample, to know the exposure ({aim}) better:"
    for row in table.to_dict("records"):
        falls = f"{row['reduction']:.0f} % (from {row['sd_now']:.3g} to {row['sd_after']:.3g})"
        yield f"  at {units.at(row['time'])}: its SD falls by {falls}"
