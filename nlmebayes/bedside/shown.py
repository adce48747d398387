"""What the page shows of an answer: sentences, printed tables and charts, with no draws behind them."""

from dataclasses import dataclass

import pandas as pd

from nlmebayes.bedside import curves
from nlmebayes.evaluation.fitted import REPORT, said
from nlmebayes.reporting.tables import interval, number, table

CI_PROB = 0.9
RARE = 0.01  # share of people, below which it is not told more finely
LEAST = 1.0  # percent of the SD, which the simulated samples of `next_sample` tell from nothing
SHARES = ("p_below", "p_in", "p_above")


@dataclass(frozen=True, eq=False)
class Shown:
    """An answer as it is printed.

    ``bars`` are the probabilities of each regimen and target, the best regimen first.
    """

    best: str
    bars: tuple
    course: object
    late: object | None
    changes: object | None
    following: str
    samples: object | None
    standing: object
    weights: tuple
    by_model: object | None
    usual: str
    assumed: tuple
    warnings: tuple


@dataclass(frozen=True)
class Bar:
    """A regimen and a target: probabilities of being below, in and above it, and the exposure."""

    regimen: str
    target: str
    shares: tuple
    median: str
    between: str
    first: bool

    @property
    def parts(self):
        """(style, word, probability as printed, place and width on a sheet of 100)."""
        left = 0.0
        for style, word, share in zip(("under", "within", "over"), ("below", "in range", "above"), self.shares,
                                      strict=True):  # fmt: skip
            yield style, word, f"{share:.2f}", f"{left:.1f}", f"{100 * share:.1f}"
            left += 100 * share


def of(answer):
    """The `Shown` of an `Answer`."""
    read = answer.entry
    unit = read.patient.unit_of.get(read.patient.outcomes[0], "")
    drawn = curves.course(answer.course, _samples(read.patient), _doses(read.patient), unit, read.times, read.now)
    return Shown(
        best=_best(answer), bars=tuple(_bars(answer)), course=drawn,
        late=curves.changed(answer.changed, unit, read.times) if len(answer.changed) else None,
        changes=_changes(answer.changes) if len(answer.changes) else None,
        following=_following(answer, read.times), samples=_next(answer, read.times), standing=_standing(answer),
        weights=tuple((name, f"{weight:.2f}") for name, weight in answer.weights.items()),
        by_model=_by_model(answer) if len(answer.forecasts) > 1 and len(answer.by_model) else None,
        usual=_usual(answer), assumed=read.assumed, warnings=answer.warnings,
    )  # fmt: skip


def _samples(patient):
    """Time, value (a limit of one beyond it) and whether it is one."""
    seen = patient.observations[patient.observations["value"].notna()]
    below = (seen["lower"] < seen["upper"]).to_numpy()
    value = seen["value"].where(~below, seen["upper"])
    return pd.DataFrame({"time": seen[patient.time], "value": value, "below": below})


def _doses(patient):
    """Times of the doses, further ones too."""
    found = []
    for dose in patient.doses.to_dict("records"):
        found += [dose[patient.time] + i * dose["ii"] for i in range(int(dose["addl"]) + 1)]
    return found


def _best(answer):
    """The best regimen, when it starts, and what it reaches, in words."""
    if answer.best is None:
        return ""
    own = [bar for bar in _bars(answer) if bar.first]
    return f"{own[0].regimen}: {'; '.join(f'{bar.target} with probability {bar.shares[1]:.2f}' for bar in own)}"


def _bars(answer):
    """Rows of regimens; several models have no one exposure, so theirs is left out."""
    if not len(answer.regimens):
        return
    best = _first(answer.regimens, answer.regimens)
    for row, first in zip(answer.regimens.to_dict("records"), best, strict=True):
        exposure = (number(row["median"]), interval(row["eti_lb"], row["eti_ub"])) if "median" in row else ("", "")
        plan = answer.plans[row["regimen"], row["start"]]
        words = f"{worded(plan, answer)}, from {curves.said(row['start'], answer.entry.times)}"
        yield Bar(words, row["target"], tuple(row[name] for name in SHARES), *exposure, first)


def _first(table, regimens):
    """Which rows of a table are of the regimen that comes first."""
    return (table[["regimen", "start"]] == regimens[["regimen", "start"]].iloc[0]).all(axis=1)


def worded(plan, answer):
    """A plan with its units."""
    amount = f" {answer.entry.models[0].unit('amount')}".rstrip()
    return ", then ".join(part.worded(amount, " h") for part in plan.parts)


def _by_model(answer):
    heads = {"model": "Model", "target": "Target", "p_in": "P(in range)", "median": "Median", "eti_lb": "",
             "eti_ub": ""}  # fmt: skip
    best = answer.by_model[_first(answer.by_model, answer.regimens)].sort_values("target", kind="stable")
    return table(best, "by_model", "The best regimen by each model alone.", heads, CI_PROB)


def _usual(answer):
    """How unusual the samples are in the population of the model that counts most."""
    p = said(answer.forecasts[answer.leading], REPORT)["prior_p"]
    if p is None:
        return ""
    share = f"{100 * p:.0f}" if p >= RARE else f"less than {100 * RARE:g}"
    return f"Of people with the same covariates and doses, {share} % have samples as unusual as these or more so."


def _changes(changes):
    heads = {"change": "The next dose", "target": "Target", "p_below": "P(below)", "p_in": "P(in range)",
             "p_above": "P(above)", "median": "Median", "eti_lb": "", "eti_ub": ""}  # fmt: skip
    heads = {key: head for key, head in heads.items() if key in changes}
    return table(changes, "changes", "The best regimen over its first interval.", heads, CI_PROB)


def _next(answer, times):
    if not len(answer.samples):
        return None
    timed = answer.samples.assign(when=[curves.said(t, times) for t in answer.samples["time"]])
    heads = {"when": "Sample at", "sd_now": "SD now", "sd_after": "SD after it", "reduction": "Falls by, %"}
    caption = f"About {answer.sampled}, the best time first; the SD is about a coefficient of variation."
    return table(timed, "samples", caption, heads)


def _following(answer, times):
    if not len(answer.samples):
        return ""
    best = answer.samples.iloc[0]
    if best["reduction"] < LEAST:
        return f"No sample at these times is expected to tell more about {answer.sampled}."
    falls = f"the uncertainty about {answer.sampled} falls by {best['reduction']:.0f} %"
    return f"{curves.said(best['time'], times)}: {falls}"


def _standing(answer):
    frame = answer.standing
    between = list(map(interval, frame["expected_lb"], frame["expected_ub"]))
    heads = {"model": "Model"} if len(answer.forecasts) > 1 else {}
    heads |= {"parameter": "Parameter", "unit": "Unit", "median": "Patient", "eti_lb": "", "eti_ub": "",
              "expected": "Expected before", "between": "90 % of such people", "percentile": "Percentile"}  # fmt: skip
    caption = "Percentile: how many people with the same covariates have less."
    return table(frame.assign(between=between), "standing", caption, heads, CI_PROB)
