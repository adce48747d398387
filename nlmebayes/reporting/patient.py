"""The page of a forecast: the patient, where he stands in the population, his course, regimens, the next sample."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from nlmebayes import plot
from nlmebayes.evaluation.fitted import said
from nlmebayes.evaluation.storage import IMPUTED
from nlmebayes.evaluation.tails import tails
from nlmebayes.evaluation.weights import KHAT
from nlmebayes.populations.stated import ABOUT
from nlmebayes.reporting.blocks import Picture, Table
from nlmebayes.reporting.figures import pictured
from nlmebayes.reporting.tables import as_given, interval, number, table

LAST = 4  # doses and samples that are listed
FOLLOWING = 3  # samples to come that are named
ROWS = 6  # of regimens and targets
RARE = 0.001  # prior predictive p-value below which samples are rare in a population
ELSEWHERE = 0.05  # probability of other modes from which on they are worth a word
SIZE = (6.4, 2.4)  # inches of the course


@dataclass(frozen=True, eq=False)
class Page:
    """What stands on the page: sentences about the patient, tables, the course, doubts."""

    population: str
    covariates: str
    doses: Table | None
    samples: Table | None
    standing: Table
    course: Picture
    regimens: Table | None
    chosen: str
    following: Table | None
    sampled: str
    doubts: tuple[str, ...]

    @property
    def blocks(self):
        """Those that are there."""
        found = (self.doses, self.samples, self.standing, self.course, self.regimens, self.following)
        return [block for block in found if block is not None]


def of_forecast(known, options, regimens=None, samples=None):
    """The `Page` of a forecast."""
    return Page(
        population=_population(known), covariates=_covariates(known), doses=_doses(known.data),
        samples=_samples(known, options["ci_prob"]), standing=_standing(known, options["ci_prob"]),
        course=pictured(
            lambda: _course(known, options),
            "",
        ),
        regimens=None if regimens is None else _regimens(regimens), chosen=_chosen(regimens),
        following=None if samples is None else _following(samples), sampled=_sampled(samples),
        doubts=tuple(_doubts(known)),
    )  # fmt: skip


def _course(known, options):
    figure = plot.forecast(known.tree, **options)
    figure.set_size_inches(*SIZE)
    return figure


def _population(known):
    about = said(known.tree, ABOUT)
    if about:
        return ". ".join(str(about[key]).rstrip(".") for key in ("name", "citation", "doi") if about.get(key)) + "."
    training = known.training_data
    people = training.observations[training.subject].nunique()
    return f"{known.model.structure.label.removesuffix('()')}, fitted to {people} of level {training.subject}."


def _covariates(known):
    """The last values of what the formulas may read, in words."""
    data, drawn = known.data, said(known.tree, IMPUTED)
    last = data.observations.iloc[-1]
    names = [*data.covariates, *(name for name in data.inputs if name != data.time)]
    return ", ".join(
        f"{name} {_shown(last[name])} {data.unit_of.get(name, '')}".rstrip() + " (imputed)" * (name in drawn)
        for name in names
    )


def _shown(value):
    return as_given(value) if isinstance(value, int | float | np.number) else str(value)


def _of_last(rows, what):
    more = f"The last {LAST} of {len(rows)} {what}." if len(rows) > LAST else f"All {what}."
    return rows.tail(LAST).reset_index(drop=True), more


def _doses(data):
    given = data.doses
    if not len(given):
        return None
    rate = given["rate"].to_numpy(float)
    over = np.where(rate > 0, given["amount"] / np.where(rate > 0, rate, 1.0), 0.0)
    unit = data.unit_of.get("amount", "")
    frame = pd.DataFrame({
        data.time or "time": given[data.time], f"amount {unit}".strip(): given["amount"], "infused over": over,
        "further doses": given["addl"], "interval": given["ii"],
    })  # fmt: skip
    shown, caption = _of_last(frame, "dose records")
    shown = shown.loc[:, [name for i, name in enumerate(shown) if i < 2 or (shown[name].fillna(0) != 0).any()]]
    return table(shown, "doses", caption, shown=as_given)


def _samples(known, ci_prob):
    data, rows = known.data, []
    for name in data.outcomes:
        here = data.observations[data.observations["outcome"] == name]
        drawn = known.tree["posterior_predictive"][name].stack(sample=("chain", "draw")).to_numpy()
        low, middle, high = np.quantile(drawn, [tails(ci_prob)[0], 0.5, tails(ci_prob)[1]], axis=1)
        for i, record in enumerate(here.to_dict("records")):
            if not np.isnan(record["value"]):
                when = {data.time: record[data.time]} if data.time else {}
                rows.append(when | {
                    "outcome": name, "measured": _measured(record), "unit": data.unit_of.get(name, ""),
                    "predicted": number(middle[i]), f"{100 * ci_prob:g} % interval": interval(low[i], high[i]),
                })  # fmt: skip
    if not rows:
        return None
    shown, caption = _of_last(pd.DataFrame(rows), "samples")
    return table(shown, "samples", caption, shown=as_given)


def _measured(record):
    """A sample in words: a number, or beyond a limit."""
    if not record["lower"] < record["upper"]:
        return as_given(record["value"])
    if np.isneginf(record["lower"]) or record["lower"] == 0:
        return f"below {as_given(record['upper'])}"
    if np.isposinf(record["upper"]):
        return f"above {as_given(record['lower'])}"
    return interval(record["lower"], record["upper"], as_given)


def standing(known, ci_prob):
    """Individual parameters beside those that were expected of him before the samples, and how many people with his
    covariates have less, in percent."""
    rows, edges = [], [tails(ci_prob)[0], 0.5, tails(ci_prob)[1]]
    for p in known.model.parameters:
        after, before = (known.tree[group][p.name].isel(unit=-1).to_numpy().ravel() for group in ("posterior", "prior"))
        own, expected = np.quantile(after, edges), np.quantile(before, edges)
        place = (before < own[1]).mean() if expected[0] < expected[2] else np.nan
        rows.append({
            "parameter": p.name, "unit": p.unit, "median": own[1], "eti_lb": own[0], "eti_ub": own[2],
            "expected": expected[1], "expected_lb": expected[0], "expected_ub": expected[2], "percentile": 100 * place,
        })  # fmt: skip
    return pd.DataFrame(rows)


def _standing(known, ci_prob):
    frame = standing(known, ci_prob)
    between = map(interval, frame["expected_lb"], frame["expected_ub"])
    heads = {
        "parameter": "Parameter", "unit": "Unit", "median": "Patient", "eti_lb": "", "expected": "Expected before",
        "between": f"{100 * ci_prob:g} % of such people", "percentile": "Percentile",
    }  # fmt: skip
    caption = "The patient beside people with his covariates; percentile: how many of them have less."
    return table(frame.assign(between=list(between)), "standing", caption, heads, ci_prob)


def _regimens(frame):
    order = list(dict.fromkeys(frame["regimen"]))
    best = max(1, ROWS // max(1, frame["target"].nunique()))
    shown = frame[frame["regimen"].isin(order[:best])].reset_index(drop=True)
    heads = {
        "regimen": "Regimen", "target": "Target", "p_below": "P(below)", "p_in": "P(in range)", "p_above": "P(above)",
        "median": "Median", "eti_lb": "", "p_all": "P(all targets)",
    }  # fmt: skip
    if frame["target"].nunique() == 1:
        heads.pop("p_all")
    more = f"The best {best} of {len(order)} regimens" if len(order) > best else "Regimens, the best first"
    return table(shown, "regimens", f"{more}; exposures without measurement error.", heads, 0.9)


def _chosen(frame):
    """The best regimen in words."""
    if frame is None or not len(frame):
        return ""
    best = frame.iloc[0]
    own = frame[frame["regimen"] == best["regimen"]]
    parts = [f"{row.target} with probability {row.p_in:.2f}" for row in own.itertuples()]
    return f"Best of those compared: {best['regimen']}; reaches {'; '.join(parts)}."


def _following(frame):
    heads = {"time": "Time", "sd_now": "SD now", "sd_after": "SD after it", "reduction": "Falls by, %"}
    return table(frame, "next_sample", "Samples that would say most.", heads)


def _sampled(frame):
    """The samples that would say most in words."""
    if frame is None or not len(frame):
        return ""
    each = [f"{as_given(row.time)} (SD from {number(row.sd_now)} to {number(row.sd_after)}, {row.reduction:.0f} % less)"
            for row in frame.head(FOLLOWING).itertuples()]  # fmt: skip
    return f"Samples that would say most, by time: {'; '.join(each)}."


def _doubts(known):
    """What a reader must know of a forecast, in words."""
    found = known.report
    if found.get("khat") is not None and found["khat"] > KHAT:
        yield f"k-hat {found['khat']:.2f} is above {KHAT}, so the draws may be off"
    if found.get("prior_p") is not None and found["prior_p"] < RARE:
        yield f"samples like these are rare in this population (prior predictive p {found['prior_p']:.2g})"
    for level, labels in found.get("unseen", {}).items():
        yield f"{level} {', '.join(map(str, labels))}: none that the population knows, and as uncertain as any other"
    others = sum(mode["probability"] for mode in found.get("modes", [])[1:])
    if others > ELSEWHERE:
        yield f"the samples agree with two kinds of parameters; the less likely ones have probability {others:.2f}"
