"""What the page shows of an answer: sentences, printed tables and charts, with no draws behind them."""

from dataclasses import dataclass

import pandas as pd

from nlmebayes.bedside import curves
from nlmebayes.reporting.tables import interval, number, table

CI_PROB = 0.9
SHARES = ("p_below", "p_in", "p_above")


@dataclass(frozen=True, eq=False)
class Shown:
    """An answer as it is printed.

    ``bars`` are the probabilities of each regimen and target in percent, the best regimen first.
    """

    best: str
    bars: tuple
    targets: tuple
    course: object
    late: object | None
    changes: object | None
    following: str
    samples: object | None
    standing: object
    weights: tuple
    covariates: dict
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
    unit, zero = _unit(read), _zero(read.patient)
    late = len(answer.changed) > 0
    return Shown(
        best=_best(answer.regimens), bars=tuple(_bars(answer.regimens)),
        targets=tuple(dict.fromkeys(answer.regimens["target"])) if len(answer.regimens) else (),
        course=curves.course(answer.course, _samples(read.patient), _doses(read.patient), unit, zero, read.now),
        late=curves.changed(answer.changed, unit, zero) if late else None,
        changes=_changes(answer.changes) if late else None,
        following=_following(answer.samples, zero), samples=_next(answer.samples, zero),
        standing=_standing(answer.standing), weights=tuple((n, f"{w:.2f}") for n, w in answer.weights.items()),
        covariates=dict(read.covariates), warnings=tuple(answer.warnings),
    )  # fmt: skip


def _unit(read):
    return read.patient.unit_of.get(read.patient.outcomes[0], "")


def _zero(patient):
    """When time 0 was by the clock, if that was entered."""
    return next(iter(patient.origin.values()), None)


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


def _best(regimens):
    if not len(regimens):
        return ""
    own = regimens[regimens["regimen"] == regimens["regimen"].iloc[0]]
    reached = "; ".join(f"{row.target} with probability {row.p_in:.2f}" for row in own.itertuples())
    return f"{own['regimen'].iloc[0]}: {reached}"


def _bars(regimens):
    for i, row in enumerate(regimens.to_dict("records")):
        between = interval(row["eti_lb"], row["eti_ub"])
        shares = tuple(row[name] for name in SHARES)
        first = row["regimen"] == regimens["regimen"].iloc[0]
        yield Bar(row["regimen"], row["target"], shares, number(row["median"]), between, first and i < len(regimens))


def _changes(changes):
    heads = {"change": "If the next dose is", "target": "Target", "p_below": "P(below)", "p_in": "P(in range)",
             "p_above": "P(above)", "median": "Median", "eti_lb": "", "eti_ub": ""}  # fmt: skip
    return table(changes, "changes", "The best regimen, over its first interval.", heads, CI_PROB)


def _next(samples, zero):
    if not len(samples):
        return None
    said = samples.assign(time=[curves.said(t, zero) for t in samples["time"]])
    heads = {"time": "Sample at", "sd_now": "SD now", "sd_after": "SD after it", "reduction": "Falls by, %"}
    return table(said, "samples", "The best time first. The SD is about a coefficient of variation.", heads)


def _following(samples, zero):
    if not len(samples):
        return ""
    best = samples.iloc[0]
    return f"{curves.said(best['time'], zero)}: the uncertainty falls by {best['reduction']:.0f} %"


def _standing(standing):
    between = [interval(*pair) for pair in zip(standing["expected_lb"], standing["expected_ub"], strict=True)]
    heads = {"model": "Model", "parameter": "Parameter", "unit": "Unit", "median": "Patient", "eti_lb": "",
             "eti_ub": "", "expected": "Expected before", "between": "90 % of such people",
             "percentile": "Percentile"}  # fmt: skip
    heads = {key: head for key, head in heads.items() if key in standing or key == "between"}
    caption = "Percentile: how many people with the same covariates have less."
    return table(standing.assign(between=between), "standing", caption, heads, CI_PROB)
