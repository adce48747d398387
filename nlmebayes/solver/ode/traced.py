"""The courses of a timeline in JAX, through diffrax: a second engine of `States`, for accelerators and as a twin.

Importing this module teaches `States` and its gradient to PyTensor's JAX backend. All courses of all draws are solved
side by side. The records, starts of doses and ends of infusions of a course are its break points; between two of them
time is normalised, dy/ds = h (f(t + s h, y) + rate) for 0 <= s <= 1, so that slopes in the times of events are those in
``t`` and ``h``, and an interval without length has slopes too. Shapes of inputs: see `courses`.
"""

from collections import namedtuple
from functools import partial

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.scipy import special
from pytensor.compile.sharedvalue import SharedVariable
from pytensor.graph.basic import Constant
from pytensor.graph.traversal import graph_inputs
from pytensor.link.jax.dispatch import jax_funcify

from nlmebayes.data.ties import ROUNDING
from nlmebayes.solver.ode.march import FIRST_CASE
from nlmebayes.solver.ode.op import CONSTANT, FIXED, States, StatesPullback
from nlmebayes.solver.shared.schedule import BOLUS, MODELLED_DURATION, MODELLED_RATE

EXPLICIT, STIFF = diffrax.Tsit5(), diffrax.Kvaerno5()
QUICK = 1000  # explicit steps of an interval after which the automatic method starts the course again, stiff
CHECKPOINTS = 32  # steps of an interval that are kept for the gradient; those between them are taken again
LEAST_SIZE = 1e-290  # of an absolute tolerance
SHORTEST = 1e-14  # step, in parts of an interval, below which a solution has ended
NAMES = {
    name: getattr(jnp, name)
    for name in ("exp", "log", "log2", "log10", "log1p", "expm1", "sqrt", "sin", "cos", "tan", "sinh", "cosh", "tanh",
                 "floor", "ceil", "where", "maximum", "minimum", "sign")
} | {
    "atan": jnp.arctan, "asin": jnp.arcsin, "acos": jnp.arccos, "fabs": jnp.abs, "negated": jnp.logical_not,
    "softplus": jax.nn.softplus, "erf": special.erf, "erfc": special.erfc, "lgamma": special.gammaln,
    "digamma": special.digamma, "INF": jnp.inf, "NAN": jnp.nan,
}  # fmt: skip

# What is fixed when a graph is compiled: the law; states that routes enter; states read; relative tolerance, most steps
# of a course, solvers with their most steps of an interval, absolute tolerances; most records and doses of a course,
# whether there are infusions, how many places; shapes of the timeline.
Plan = namedtuple("Plan", "field routes reads rtol most methods atol records doses infused places shapes")
Timeline = namedtuple("Timeline", "courses records of_record doses of_dose")  # its values may change afterwards
# What a course depends on: parameters (record, parameter) and initial states; (dose,) each of what its doses are.
Values = namedtuple("Values", "parameters initial amount rate duration start")
# (record,): time, position, whether there is one; (dose,): position, whether there is one, the state that it enters.
Fixed = namedtuple("Fixed", "time position recorded order dosed target")


@jax_funcify.register(States)
def _traced(op, node, **kwargs):
    plan = _plan(op.text, node.inputs)

    def states(*inputs):
        return *_states(plan, inputs), jnp.empty((0, 0))

    return states


@jax_funcify.register(StatesPullback)
def _traced_pullback(op, node, **kwargs):
    plan = _plan(op.text, node.inputs)

    def pullback(*inputs):
        *given, cotangent, _ = inputs
        _, slopes = jax.vjp(lambda *values: _states(plan, (*given[:CONSTANT], *values))[0], *given[CONSTANT:])
        return slopes(cotangent)

    return pullback


def _plan(text, inputs):
    """The `Plan` of the inputs of a node.

    Raises
    ------
    NotImplementedError
        The timeline is neither constant nor shared, a course starts at a steady state, or the slopes have cases.
    """
    routes, reads, _, tol, cases, *timeline = map(_known, FIXED.split(", "), inputs[:CONSTANT])
    t = Timeline(*timeline)
    if len(cases) > FIRST_CASE:
        raise NotImplementedError(
            "right-hand sides that jump or bend (comparisons, switch, maximum, abs ... of the time or of a state, and "
            "declared breaks) are solved by Numba alone"
        )
    if (t.courses[:, 4] >= 0).any():
        raise NotImplementedError("steady states (SS=1) of differential equations are solved by Numba alone")
    env = dict(NAMES)
    exec(text[text.index("def field_(") :].split("\ndef ")[0], env)
    most = int(tol[1])
    methods = (((EXPLICIT, min(QUICK, most)), (STIFF, most)), ((EXPLICIT, most),), ((STIFF, most),))[int(tol[2])]
    records, doses = (int((t.courses[:, i + 1] - t.courses[:, i]).max(initial=0)) for i in (0, 2))
    return Plan(
        env["field_"], routes, reads, tol[0], most, methods, tol[3:], records, doses, (t.doses[:, 3] != BOLUS).any(),
        int(t.of_record[:, 1].max(initial=-1)) + 1, [x.shape for x in timeline],
    )  # fmt: skip


def _known(name, variable):
    if not all(isinstance(x, Constant | SharedVariable) for x in graph_inputs([variable])):
        raise NotImplementedError(f"JAX solves differential equations of constant or shared data alone, not of {name}")
    return np.asarray(variable.data if isinstance(variable, Constant) else variable.eval(mode="FAST_COMPILE"))


def _states(plan, inputs):
    """States read (draw, read, place) and whether they failed (draw, place)."""
    timeline = Timeline(*map(jnp.asarray, inputs[CONSTANT - len(Timeline._fields) : CONSTANT]))
    if [x.shape for x in timeline] != plan.shapes:
        raise NotImplementedError("data of other shapes need another compilation")
    return jax.vmap(partial(_population, plan, timeline))(*inputs[CONSTANT:])


def _population(plan, timeline, parameters, initial, fraction, lag, extra):
    """All courses of one draw. A course that is not as planned fails."""
    courses, records, of_record, doses, of_dose = timeline
    first, last, first_dose, last_dose, head = courses.T
    planned = (last - first <= plan.records) & (last_dose - first_dose <= plan.doses) & (head < 0)
    planned &= plan.infused | (doses[:, 3] == BOLUS).all()
    here, recorded = _slots(first, last, plan.records, len(records))
    dose, dosed = _slots(first_dose, last_dose, plan.doses, len(doses))
    target = jnp.asarray(plan.routes)[of_dose[:, 1]]
    given = (jnp.where(dosed, x[dose], 0.0) for x in _described(doses, of_dose, fraction, lag, extra))
    unit = of_record[here, 0]
    start = initial[:, unit[:, 0]].T if len(initial) else jnp.zeros((len(courses), len(plan.atol)))
    values = Values(jnp.moveaxis(parameters[:, unit], 0, -1), start, *given)
    fixed = Fixed(records[here, 0], records[here, 1], recorded, doses[dose, 1], dosed, target[dose])
    y, failed = jax.vmap(_gated(partial(_course, plan)))(values, fixed)

    each = jnp.arange(len(records))
    course = jnp.searchsorted(first, each, side="right") - 1
    failed = (failed | ~planned)[course]
    y = jnp.where(failed[:, None], 1.0, y[course, jnp.clip(each - first[course], 0, plan.records - 1)])
    place = jnp.where(of_record[:, 1] >= 0, of_record[:, 1], plan.places)
    reads = jnp.ones((len(plan.reads), plan.places)).at[:, place].set(y.T, mode="drop")
    return reads, jnp.ones(plan.places, bool).at[place].set(failed, mode="drop")


def _slots(first, last, most, size):
    """(course, slot) each: which record or dose it holds, and whether it holds one."""
    at = first[:, None] + jnp.arange(most)
    inside = at < last[:, None]
    return jnp.clip(jnp.where(inside, at, first[:, None]), 0, max(size - 1, 0)), inside


def _described(doses, of_dose, fraction, lag, extra):
    """Amount, rate, duration (0 for a bolus) and start of each dose, as `schedule` has them."""
    unit, route = of_dose.T
    code, one = doses[:, 3], jnp.ones(len(doses))
    start = doses[:, 0] + (lag[route, unit] if len(lag) else 0.0)
    amount = doses[:, 2] * (fraction[route, unit] if len(fraction) else one)
    modelled = extra[route, unit] if len(extra) else one
    rate = jnp.where(code == MODELLED_RATE, modelled, jnp.where(code > 0.0, code, 1.0))
    duration = jnp.where(code == MODELLED_DURATION, modelled, jnp.where(code == BOLUS, 0.0, amount / rate))
    length = (start + duration) - start
    rounded = jnp.abs(length - duration) > 1e-9 * length
    span = jnp.where(length > 0.0, jnp.where(rounded, length, duration), 1.0)
    rate = jnp.where(rounded | (code == MODELLED_DURATION), amount / span, rate)
    return amount, jnp.where(length > 0.0, rate, 0.0), jnp.where(length > 0.0, duration, 0.0), start


def _gated(function):
    """A course whose slopes are zero where it failed: those of a solution that ended need not be numbers."""

    def forward(values, fixed):
        y, slopes, failed = jax.vjp(lambda v: function(v, fixed), values, has_aux=True)
        return (y, failed), (slopes, failed)

    def backward(saved, cotangents):
        slopes, failed = saved
        (found,) = slopes(cotangents[0])
        return jax.tree.map(lambda x: jnp.where(failed, 0.0, x), found), None

    gated = jax.custom_vjp(function)
    gated.defvjp(forward, backward)
    return gated


def _course(plan, values, fixed):
    """States at the records of one course (record, read), and whether it failed."""
    at, order, jump, rate = _break_points(plan, values, fixed)
    begin = jnp.concatenate([fixed.time[:1], at[:-1]])
    ahead = lax.cummin(jnp.where(order < plan.records, order, plan.records), reverse=True)  # the record that comes next
    parameters = values.parameters[jnp.clip(ahead, 0, fixed.recorded.sum() - 1)]
    xs = (begin, at - begin, rate, parameters, jump)
    size, atol = _sizes(plan, values, fixed)
    possible = jnp.array([jnp.isfinite(x).all() for x in values]).all()
    found, solved, steps = jnp.ones((len(at), len(size))), ~possible, 0
    for method, most in plan.methods:
        todo = ~solved
        carry = jnp.where(possible, values.initial, 0.0), todo, steps
        (_, reached, steps), y = lax.scan(partial(_interval, plan, size, atol, method, most), carry, xs)
        found, solved = jnp.where(todo & reached, y, found), solved | reached
    failed = ~(possible & solved & (steps <= plan.most))
    return found[jnp.argsort(order)[: plan.records]][:, plan.reads], failed


def _break_points(plan, values, fixed):
    """In the order in which they act: their times; which they are, records first; what is added to the states there;
    and the rates of input before."""
    infused = values.duration > 0.0
    into = jax.nn.one_hot(fixed.target, len(plan.atol)) * fixed.dosed[:, None]
    bolus, flow = (x[:, None] * into for x in (jnp.where(infused, 0.0, values.amount), values.rate))
    change = jnp.concatenate([bolus, flow, infused[:, None] * into], axis=1)
    start = _at_records(values.start, fixed)
    time = [jnp.where(fixed.recorded, fixed.time, jnp.inf), jnp.where(fixed.dosed, start, jnp.inf)]
    position, changes = [fixed.position, fixed.order], [jnp.zeros((plan.records, change.shape[1])), change]
    if plan.infused:
        time.append(jnp.where(infused, values.start + values.duration, jnp.inf))
        position.append(jnp.full(plan.doses, -jnp.inf))
        changes.append(-change.at[:, : len(plan.atol)].set(0.0))
    time, position, changes = map(jnp.concatenate, (time, position, changes))
    order = jnp.lexsort((position, lax.stop_gradient(time)))
    first, last = fixed.time[0], jnp.where(fixed.recorded, fixed.time, -jnp.inf).max()
    at = time[order]
    at = jnp.where(at < first, first, jnp.where(at > last, last, at))
    jump, flow, running = jnp.split(changes[order], 3, axis=1)
    rate, running = (jnp.cumsum(x, axis=0) - x for x in (flow, running))
    return at, order, jump, jnp.where(running > 0.5, rate, 0.0)


def _at_records(start, fixed):
    """Starts of doses, those that are at a record but for rounding at it, with their own slopes."""
    time = jnp.where(fixed.recorded, fixed.time, jnp.inf)
    near = time[jnp.argmin(jnp.abs(time - start[:, None]), axis=1)]
    gap = lax.stop_gradient(near - start)
    tied = jnp.abs(gap) <= ROUNDING * jnp.maximum(jnp.abs(near), jnp.abs(start))
    return start + jnp.where(tied, gap, 0.0)


def _interval(plan, size, atol, method, most, carry, x):
    """From one break point to the next; gives the state before what is added there."""
    y, alive, steps = carry
    *inputs, jump = x
    args = (alive, *inputs)
    slope = partial(_slope, plan.field)
    found = diffrax.diffeqsolve(
        diffrax.ODETerm(slope), method, jnp.where(alive, 0.0, 1.0), 1.0, _first_step(plan, size, slope, y, args), y,
        args, saveat=diffrax.SaveAt(t1=True), max_steps=most, throw=False,
        adjoint=diffrax.RecursiveCheckpointAdjoint(checkpoints=min(CHECKPOINTS, most)),
        stepsize_controller=diffrax.PIDController(plan.rtol, atol, dtmin=SHORTEST, force_dtmin=False),
    )  # fmt: skip
    after = found.ys[0]
    alive &= (found.result == diffrax.RESULTS.successful) & jnp.isfinite(after).all()
    after = jnp.where(alive, after, 0.0)
    steps += jnp.where(inputs[1] > 0.0, found.stats["num_steps"], 0)
    return (after + jump, alive, steps), after


def _slope(field, s, y, args):
    alive, begin, h, rate, parameters = args
    found = jnp.stack([jnp.asarray(x, dtype=float) for x in field(begin + s * h, *y, *parameters, *rate)])
    return jnp.where(alive, h * found, 0.0)


def _first_step(plan, size, slope, y, args):
    """As in `interval`; all of an interval in which nothing moves."""
    y, args = lax.stop_gradient((y, args))
    k, weight = slope(0.0, y, args), jnp.where(size > 0.0, 1.0 / jnp.where(size > 0.0, size, 1.0), 0.0)
    largest, steepest = (jnp.abs(x * weight).max() for x in (y, k))
    moves = steepest > 0.0
    h = jnp.where(largest > 0.0, jnp.minimum(1.0, 0.01 * largest / jnp.where(moves, steepest, 1.0)), 1e-6)
    bend = jnp.abs((slope(h, y + h * k, args) - k) * weight).max()
    most = h * jnp.maximum(steepest, bend) / (plan.rtol * jnp.maximum(largest, 0.01))
    h = h * jnp.minimum(100.0, (0.01 / jnp.maximum(most, 1e-12)) ** 0.2)
    return jnp.where(moves, jnp.clip(h, SHORTEST, 1.0), 1.0)


def _sizes(plan, values, fixed):
    """Sizes of the states of a course and their absolute tolerances, as in `interval`."""
    values, fixed = lax.stop_gradient((values, fixed))
    n = len(plan.atol)
    into = jax.nn.one_hot(fixed.target, n) * (jnp.abs(values.amount) * fixed.dosed)[:, None]
    begin, span = fixed.time[0], jnp.where(fixed.recorded, fixed.time, -jnp.inf).max() - fixed.time[0]
    rate = (begin, span, jnp.zeros(n), values.parameters[0])

    def fed(part, size):
        f, known = _slope(plan.field, 0.25 * (part % 4), size, (True, *rate)), size > 0.0
        lasting = jnp.where(known & (f != 0.0), size / jnp.where(f != 0.0, jnp.abs(f), 1.0), 1.0).min()
        grown = f * jnp.minimum(lasting, 1.0)
        each = jnp.where(jnp.eye(n, dtype=bool), grown, size)
        back = jnp.diag(jax.vmap(lambda y: _slope(plan.field, 0.25 * (part % 4), y, (True, *rate)))(each))
        found = jnp.abs(jnp.where(back * f < 0.0, grown * f / jnp.where(f != back, f - back, 1.0), grown))
        return jnp.where(known | ~jnp.isfinite(found), size, found)

    size = lax.fori_loop(0, 4 * n, fed, jnp.maximum(jnp.abs(values.initial), into.max(axis=0, initial=0.0)))
    return size, jnp.where(plan.atol > 0.0, plan.atol, jnp.maximum(-plan.atol * size, LEAST_SIZE))
