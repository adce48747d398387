"""Concentrations over time of the patient of a case: before and after his samples, under what is planned."""

from dataclasses import replace

import numpy as np
import pandas as pd

from nlmebayes.dosing.prospect import Case as Prospective
from nlmebayes.dosing.prospect import course
from nlmebayes.dosing.regimen import Plan, Regimen, acts
from nlmebayes.evaluation.prediction import predicted
from nlmebayes.evaluation.tails import tails

POINTS = 100  # of a curve, beside those at doses and records
NEXT = 1e-6  # of the span: the other side of a jump


def moments(patient, plans, until):
    """Times to draw at, from the first record on: even ones, records, and both sides of every dose."""
    seen = patient.observations[patient.time].to_numpy(float)
    jumps = np.unique(np.concatenate([acts(patient, plan) for plan in plans] or [acts(patient)]))
    first = min(seen.min(), *patient.doses[patient.time], until) if len(patient.doses) else seen.min()
    inside = jumps[(jumps >= first) & (jumps <= until)]
    return np.unique(np.concatenate([np.linspace(first, until, POINTS), seen, inside, inside + NEXT * (until - first)]))


def curve(known, plan, times):
    """Predictions (draw, time) of a forecast that was read, under the doses recorded and then a plan, or none."""
    if plan is None:
        found = predicted(known, known.data.over(**{known.data.time: times}), random_seed=0)["posterior"]
        return found[f"f_{known.data.outcomes[0]}"].to_numpy().reshape(-1, len(times))
    case = Prospective.read(known, known.data.outcomes[0], "follow", "new", None)
    return course(case, plan, times).predicted([part.amount for part in plan.parts])[:, : len(times)]


def bands(curves, weights, ci_prob, prefix=""):
    """Quantiles of curves of several models, (draw, time) each, mixed by weight, as columns."""
    low, high = tails(ci_prob)
    edges = {"eti_lb": low, "q25": 0.25, "median": 0.5, "q75": 0.75, "eti_ub": high}
    if len(curves) == 1:
        found = np.quantile(curves[0], list(edges.values()), axis=0)
    else:
        each = np.concatenate([np.full(len(f), w / len(f)) for f, w in zip(curves, weights, strict=True)])
        values = np.concatenate(curves)
        found = np.quantile(values, list(edges.values()), axis=0, method="inverted_cdf",
                            weights=np.broadcast_to(each[:, None], values.shape))  # fmt: skip
    return pd.DataFrame(dict(zip((prefix + name for name in edges), found, strict=True)))


def repeated(plan, span):
    """A plan at a steady state as doses one after the other over a ``span`` of time at least."""
    *first, last = plan.parts
    if not last.steady:
        return plan
    doses = max(last.doses, int(np.ceil(span / last.every)))
    last = replace(last, steady=False, doses=doses)
    return Plan(*first, last) if first else last


def changes(plan, late=None):
    """A plan as it is, with its first dose ``late`` (by default a quarter of the interval), and without it, by name.

    The doses after it stand at their times.
    """
    first, *rest = plan.parts
    found = {"as planned": plan}
    if not first.every or len(first.times) < 2:
        return found
    late = late or first.every / 4
    found[f"{late:g} h late"] = _after(replace(first, doses=1, every=None, start=first.start + late), first, rest)
    found["missed"] = _after(Regimen(0.0, start=first.start, duration=0.0, state=first.state), first, rest)
    return found


def _after(begun, first, rest):
    """What stands in the place of the first dose of a part, then its other doses at their times."""
    following = [replace(first, start=first.start + first.every, doses=first.doses - 1)] if first.doses > 1 else []
    return Plan(begun, *following, *rest)
