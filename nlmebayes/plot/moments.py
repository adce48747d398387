"""Where a curve is drawn: on even points, between neighbouring records, and through every record, dose, lag and end of
an infusion."""

from dataclasses import replace

import numpy as np
import pytensor.tensor as pt

from nlmebayes.dosing.regimen import acts, each_time
from nlmebayes.evaluation.evaluator import effects, evaluator, spread
from nlmebayes.plot.panels import GRID
from nlmebayes.runtime.threads import in_turns
from nlmebayes.runtime.uncompiled import UNCOMPILED
from nlmebayes.structure.structure import Named

BEFORE = 1e-6  # of the span that is drawn: how close to a jump its other side is
PLACES = (0.05, 0.25, 0.5, 0.75, 0.95)  # of lags and modelled durations among the draws
ROUGH = 50  # draws that they are taken from
MOST = 400  # events of a subject that are drawn through
PIECES = 8  # of a gap between neighbouring places, so that a curve is smooth on a logarithmic axis too


def fine(places, count=GRID):
    """Even points from the first of some places to the last, and points that part the gaps between neighbours."""
    places = np.unique(places)
    pieces = int(np.clip(2 * count // max(len(places) - 1, 1), 1, PIECES))
    between = np.interp(np.arange(pieces * (len(places) - 1) + 1) / pieces, np.arange(len(places)), places)
    return np.unique(np.concatenate([np.linspace(places[0], places[-1], count), between]))


def curves(known, data, x):
    """The dataset to predict curves over ``x`` of: the records of each subject over its own span, and events."""
    if x != data.time:
        return data.over(**{x: fine(data.observations[x])})
    own = {label: _times(known, data, label) for label in dict.fromkeys(data.observations[data.subject])}
    whole = data.over(**{x: np.unique(np.concatenate(list(own.values())))})
    seen = whole.observations
    kept = np.zeros(len(seen), dtype=bool)
    for label, times in own.items():
        kept |= (seen[data.subject] == label).to_numpy() & seen[x].isin(times).to_numpy()
    return replace(whole, observations=seen[kept].reset_index(drop=True))


def _times(known, data, label):
    """Times of one subject, from its first record or dose to its last record."""
    one = data.sel(**{data.subject: label})
    records = one.observations[one.time].to_numpy(float)
    first = min([records.min(), *(one.doses[one.time].to_numpy(float))]) if len(one.doses) else records.min()
    jumps = happening(known, one)
    return _joined(one, fine([first, *records, *jumps[(jumps > first) & (jumps < records.max())]]), jumps)


def through(known, data, times):
    """Times with those of records and events of one subject among them, and with both sides of every jump."""
    return _joined(data, times, happening(known, data))


def _joined(data, times, jumps):
    inside = jumps[(jumps >= times.min()) & (jumps <= times.max())][:MOST]
    records = data.observations[data.time].to_numpy(float)
    records = records[(records >= times.min()) & (records <= times.max())]
    before = inside - BEFORE * (np.ptp(times) or 1.0)
    return np.unique(np.concatenate([times, records, inside, before[before > times.min()]]))


def happening(known, data):
    """Times of one subject at which doses and infusions start and end, and resets happen, in order."""
    resets = data.events.loc[data.events["kind"] == "reset", data.time].to_numpy(float) if len(data.events) else []
    if not len(data.doses):
        return np.unique(np.asarray(resets, dtype=float))
    return np.unique(np.concatenate([acts(data), resets, *_modelled(known, data)]))


@in_turns
def _modelled(known, data):
    """Times at which doses start after their lags, and end after their modelled durations, among some draws."""
    routes, found = known.model.structure.routes, []
    if not callable(routes):
        return found
    symbols = {p.name: pt.dvector(p.name) for p in known.model.structure.parameters}
    if not any(_moves(route) for route in _each(routes(Named(**symbols)))):
        return found  # before the parameters of this subject are computed
    for route in _each(routes(Named(**_parameters(known, data)))):
        for dose in data.doses.to_dict("records"):
            lag, duration, rate = (_numbers(x) for x in (route.lag, route.duration, route.rate))
            lasts = duration if route.rate is None else dose["amount"] / rate
            late = [each for each in (lag, lag + lasts) if each.any()]
            times = each_time(dose, data.time)[:, None]
            found += [(times + np.quantile(each, PLACES)).ravel() for each in late]
    return found


def _each(routes):
    """Every route into some state."""
    return [route for each in routes.values() for route in (each if isinstance(each, tuple) else (each,))]


def _moves(route):
    """Whether doses start or end when parameters say so."""
    return any(part is not None for part in (route.lag, route.duration, route.rate))


def _numbers(expression):
    """An expression of parameters (draw,) as numbers; 0 where there is none."""
    return pt.as_tensor(0.0 if expression is None else expression).eval(mode=UNCOMPILED)


def _parameters(known, data):
    """Individual parameters by name, (draw,) each, of the first unit of one subject under some draws."""
    design, draws = known.design(data), known.draws_of(data.outcomes)
    draws = spread(draws, min(ROUGH, draws.size))
    phi = evaluator(known.model, design)(draws.theta, effects(design, draws, np.random.default_rng(0)))[0]
    return {name: values[:, 0] for name, values in phi.items()}
