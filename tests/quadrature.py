"""An independent judge of marginal likelihoods: closed forms of our own and adaptive Gauss-Hermite on two grids.

log L_g = log of the integral over z of p(y_g | eta = C z) N(z; 0, 1), C the Cholesky factor of Omega. Nodes stand
around the mode in z, scaled by the inverse root of the curvature there (Liu and Pierce 1994, Biometrika 81, 624-629).
Nothing here imports the library. Effects of a level below another are integrated at every node of the outer one.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from itertools import product

import numpy as np
import pandas as pd
from scipy import stats
from scipy.optimize import minimize
from scipy.special import expit, gammaln, lambertw, logsumexp, roots_hermite

GRIDS = 13, 17  # nodes of each effect
STEP = 1e-4  # of differences in z
FARTHEST = 8.0  # SDs of the population in which a mode is sought


@dataclass(frozen=True)
class Judged:
    """A small data set, a population, and the marginal log-likelihood of each outermost group there.

    ``values`` are by the names of the posterior; ``log_likelihood(order)`` gives {group: value} with so many nodes.
    """

    frame: pd.DataFrame
    values: dict
    log_likelihood: Callable
    doses: pd.DataFrame | None = None
    options: dict = field(default_factory=dict)  # of the dataset

    def certain(self, within=5e-3):
        """The log-likelihood by group on the finer grid; the two grids must agree in all of -2 log L."""
        coarse, fine = (self.log_likelihood(order) for order in GRIDS)
        assert 2 * sum(abs(coarse[g] - fine[g]) for g in fine) < within
        return fine


def log_integral(log_joint, dimension, order):
    """log of the integral of exp(log_joint(z)), which takes z (n, dimension) and gives (n,)."""
    mode = _mode(log_joint, dimension)
    root = np.linalg.cholesky(np.linalg.inv(-_hessian(log_joint, mode)))
    x, w = roots_hermite(order)
    nodes = np.array(list(product(x, repeat=dimension)))
    weights = np.array(list(product(np.log(w), repeat=dimension))).sum(axis=1) + (nodes**2).sum(axis=1)
    values = log_joint(mode + np.sqrt(2) * nodes @ root.T) + weights
    return logsumexp(values) + 0.5 * dimension * np.log(2) + np.log(np.diag(root)).sum()


def _around_zero(order, spreads):
    """Nodes (node, effect) and log-weights of independent normal effects, not adapted: for records that say little."""
    x, w = roots_hermite(order)
    nodes = np.array(list(product(x, repeat=len(spreads))))
    weights = np.array(list(product(np.log(w), repeat=len(spreads)))).sum(axis=1)
    return np.sqrt(2) * nodes * spreads, weights - 0.5 * len(spreads) * np.log(np.pi)


def _mode(log_joint, dimension):
    """The best of climbs from the middle and from both sides of each axis."""
    starts = [np.zeros(dimension), *(s * np.eye(dimension)[k] for k in range(dimension) for s in (-1.5, 1.5))]
    bounds = [(-FARTHEST, FARTHEST)] * dimension
    found = [
        minimize(lambda z: -log_joint(z[None])[0], s, jac=lambda z: -_gradient(log_joint, z), bounds=bounds)
        for s in starts
    ]
    return min(found, key=lambda each: each.fun).x


def _gradient(log_joint, z):
    steps = STEP * np.eye(len(z))
    ahead, behind = np.split(log_joint(np.concatenate([z + steps, z - steps])), 2)
    return (ahead - behind) / (2 * STEP)


def _hessian(log_joint, z):
    rows = [(_gradient(log_joint, z + s) - _gradient(log_joint, z - s)) / (2 * STEP) for s in STEP * np.eye(len(z))]
    return 0.5 * (np.array(rows) + np.transpose(rows))


def of_group(log_density, chol, order):
    """log L of one group, whose records have log_density(eta (n, effect)) -> (n,)."""
    dimension = len(chol)

    def log_joint(z):
        return log_density(z @ chol.T) + stats.norm.logpdf(z).sum(axis=-1)

    return log_integral(log_joint, dimension, order)


def by_group(frame, column, chol, density):
    """Function of the order that gives log L of each group; ``density(rows)`` is its log_density."""
    groups = {str(label): rows for label, rows in frame.groupby(column, sort=False)}
    return lambda order: {label: of_group(density(rows), chol, order) for label, rows in groups.items()}


def oral(t, dose, cl, v, ka):
    """One compartment with first-order absorption; times after the dose, 0 before it."""
    k, t = cl / v, np.maximum(t, 0.0)
    return dose * ka / (v * (ka - k)) * (np.exp(-k * t) - np.exp(-ka * t))


def michaelis_menten(t, dose, vmax, km, v):
    """A bolus that is eliminated at vmax C / (km + C), by Lambert's function; exp(c0 / km) must be finite."""
    c0 = dose / v
    return km * lambertw(c0 / km * np.exp((c0 - vmax / v * t) / km)).real


SCATTER = {
    "additive": ({"a": 0.7}, lambda f: stats.norm(f, 0.7)),
    "proportional": ({"b": 0.15}, lambda f: stats.norm(f, 0.15 * f)),
    "combined": ({"a": 0.2, "b": 0.1}, lambda f: stats.norm(f, 0.2 + 0.1 * f)),
    "log-normal": ({"a": 0.2}, lambda f: stats.lognorm(0.2, scale=f)),
}
ORAL = {"cl": 2.8, "v": 32.0, "ka": 1.5}
SPREADS = {"cl": 0.3, "v": 0.2, "ka": 0.6}
DOSE = 320.0


def _grid(subjects, times):
    ids, t = np.repeat(np.arange(1, subjects + 1), len(times)), np.tile(times, subjects)
    return pd.DataFrame({"id": ids, "time": t}), np.repeat(np.arange(subjects), len(times))


def _boluses(subjects):
    return pd.DataFrame({"id": np.arange(1, subjects + 1), "time": 0.0, "amt": DOSE})


def _individual(eta, typical):
    """Parameters (n, 1) each, with a random effect on the logarithm of each."""
    return [value * np.exp(eta[:, [k]]) for k, value in enumerate(typical)]


def _population(typical, spreads):
    found = {f"theta_{name}": [np.log(value)] for name, value in typical.items()}
    return found | {"omega_id": list(spreads.values())}


def oral_case(scatter, lloq=None, subjects=6, seed=1):
    """Oral doses; below ``lloq`` it is known only that a measurement lies there (M3)."""
    parts, law = SCATTER[scatter]
    rng = np.random.default_rng(seed)
    frame, who = _grid(subjects, np.array([0.5, 1.0, 2.0, 4.0, 8.0, 12.0, 24.0]))
    spreads = np.array(list(SPREADS.values()))
    phi = np.array(list(ORAL.values())) * np.exp(spreads * rng.normal(size=(subjects, 3)))
    frame["conc"] = law(oral(frame["time"].to_numpy(), DOSE, *phi[who].T)).rvs(random_state=rng)

    def density(rows):
        t, y = rows["time"].to_numpy(), rows["conc"].to_numpy()
        below = y < lloq if lloq else np.zeros(len(y), bool)

        def log_density(eta):
            of = law(oral(t, DOSE, *_individual(eta, ORAL.values())))
            return np.where(below, of.logcdf(lloq or 0.0), of.logpdf(y)).sum(axis=1)

        return log_density

    values = _population(ORAL, SPREADS) | {f"sigma_conc_{k}": v for k, v in parts.items()}
    found = by_group(frame, "id", np.diag(spreads), density)
    return Judged(frame, values, found, _boluses(subjects), {"lloq": lloq} if lloq else {})


def saturable_case(subjects=6, seed=2):
    """Boluses with saturable elimination: an ODE to the library, Lambert's function here."""
    rng = np.random.default_rng(seed)
    frame, who = _grid(subjects, np.array([0.5, 2.0, 6.0, 12.0, 24.0]))
    typical, spreads, b = {"vmax": 17.0, "v": 45.0}, np.array([0.3, 0.2]), 0.1
    phi = np.array(list(typical.values())) * np.exp(spreads * rng.normal(size=(subjects, 2)))
    f = michaelis_menten(frame["time"].to_numpy(), DOSE, phi[who, 0], 5.7, phi[who, 1])
    frame["conc"] = f * (1 + b * rng.normal(size=len(f)))

    def density(rows):
        t, y = rows["time"].to_numpy(), rows["conc"].to_numpy()

        def log_density(eta):
            vmax, v = _individual(eta, typical.values())
            f = michaelis_menten(t, DOSE, vmax, 5.7, v)
            return stats.norm.logpdf(y, f, b * f).sum(axis=1)

        return log_density

    values = _population(typical | {"km": 5.7}, dict(zip(typical, spreads.tolist(), strict=True)))
    values["sigma_conc_b"] = b
    return Judged(frame, values, by_group(frame, "id", np.diag(spreads), density), _boluses(subjects))


def nested_case(sites=4, each=3, seed=3):
    """Boluses in subjects at sites; clearance varies at both levels, volume between subjects."""
    rng = np.random.default_rng(seed)
    frame, who = _grid(sites * each, np.array([1.0, 6.0, 20.0]))
    frame.insert(0, "site", [f"s{s}" for s in who // each])
    cl, v, omega_site, spreads, b = 3.0, 30.0, 0.25, np.array([0.2, 0.15]), 0.1
    of_site = omega_site * rng.normal(size=sites)
    eta = spreads * rng.normal(size=(sites * each, 2))
    own_cl, own_v = cl * np.exp(of_site[who // each] + eta[who, 0]), v * np.exp(eta[who, 1])
    f = DOSE / own_v * np.exp(-own_cl / own_v * frame["time"].to_numpy())
    frame["conc"] = f * (1 + b * rng.normal(size=len(f)))

    def found(order):
        nodes, weights = _around_zero(7 * order, spreads)
        result = {}
        for label, rows in frame.groupby("site", sort=False):
            t, y = (rows[name].to_numpy().reshape(each, -1) for name in ("time", "conc"))

            def density(shift, t=t, y=y):
                own_cl = cl * np.exp(shift[:, :, None, None] + nodes[:, 0, None])  # (n, 1, node, 1)
                own_v = v * np.exp(nodes[:, 1, None])
                f = DOSE / own_v * np.exp(-own_cl / own_v * t[:, None])  # (n, subject, node, record)
                f = np.maximum(f, 1e-9)  # at nodes whose weights are nothing
                log_density = stats.norm.logpdf(y[:, None], f, b * f).sum(axis=-1)
                return logsumexp(log_density + weights, axis=-1).sum(axis=-1)

            result[label] = of_group(density, np.array([[omega_site]]), order)
        return result

    doses = _boluses(sites * each).assign(site=[f"s{k // each}" for k in range(sites * each)])
    values = {
        "theta_cl": [np.log(cl)], "theta_v": [np.log(v)], "omega_site": [omega_site], "omega_id": spreads.tolist(),
        "sigma_conc_b": b,
    }  # fmt: skip
    return Judged(frame, values, found, doses)


def _slopes(groups, each, seed):
    """A table of groups with a covariate x in the records, and a generator."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"id": np.repeat(np.arange(1, groups + 1), each)})
    return frame.assign(x=rng.uniform(-1, 1, len(frame)).round(3)), rng


def logistic_case(groups=8, each=10, seed=4):
    """Answers 0 and 1, a random intercept on the logit scale."""
    frame, rng = _slopes(groups, each, seed)
    base, slope, omega = -0.4, 0.8, 0.9
    linear = base + slope * frame["x"] + omega * rng.normal(size=groups)[frame["id"] - 1]
    frame["y"] = (rng.random(len(frame)) < expit(linear)).astype(float)

    def density(rows):
        x, y = rows["x"].to_numpy(), rows["y"].to_numpy()
        return lambda eta: stats.bernoulli.logpmf(y, expit(base + slope * x + eta)).sum(axis=1)

    values = {"theta_risk": [base, slope], "omega_id": [omega]}
    return Judged(frame, values, by_group(frame, "id", np.array([[omega]]), density))


def poisson_case(groups=8, each=6, seed=5):
    """Counts with correlated intercepts and slopes on the log scale."""
    frame, rng = _slopes(groups, each, seed)
    base, slope, omega, rho = 1.0, 0.5, np.array([0.6, 0.4]), 0.4
    corr = np.array([[1.0, rho], [rho, 1.0]])
    chol = omega[:, None] * np.linalg.cholesky(corr)
    eta = (rng.normal(size=(groups, 2)) @ chol.T)[frame["id"] - 1]
    frame["y"] = rng.poisson(np.exp(base + eta[:, 0] + (slope + eta[:, 1]) * frame["x"])).astype(float)

    def density(rows):
        x, y = rows["x"].to_numpy(), rows["y"].to_numpy()
        return lambda eta: stats.poisson.logpmf(y, np.exp(base + eta[:, [0]] + (slope + eta[:, [1]]) * x)).sum(axis=1)

    values = {"theta_rate": [base, slope], "omega_id": omega.tolist(), "corr_id": corr}
    return Judged(frame, values, by_group(frame, "id", chol, density))


def ordinal_case(groups=8, each=8, seed=6):
    """Categories 1 to 4: P(y > k) = logit^-1(f - c_k), c = 0, 1.0, 2.2."""
    frame, rng = _slopes(groups, each, seed)
    base, slope, omega, cuts = 1.2, 0.9, 0.8, np.array([0.0, 1.0, 2.2])
    f = base + slope * frame["x"].to_numpy() + omega * rng.normal(size=groups)[frame["id"] - 1]
    frame["y"] = 1.0 + (f[:, None] + rng.logistic(size=(len(f), 1)) > cuts).sum(axis=1)

    def density(rows):
        x, y = rows["x"].to_numpy(), rows["y"].to_numpy(int)
        ends = np.array([-np.inf, *cuts, np.inf])

        def log_density(eta):
            f = base + slope * x + eta
            return np.log(expit(ends[y] - f) - expit(ends[y - 1] - f)).sum(axis=1)

        return log_density

    values = {"theta_mu": [base, slope], "omega_id": [omega], "sigma_y_step2": 1.0, "sigma_y_step3": 1.2}
    return Judged(frame, values, by_group(frame, "id", np.array([[omega]]), density))


def weibull_case(groups=8, each=6, seed=7):
    """Times to an event under the hazard rate k t^(k - 1), follow-up to time 5, a frailty of each centre."""
    frame, rng = _slopes(groups, each, seed)
    log_rate, slope, shape, omega, end = np.log(0.15), 0.6, 1.4, 0.7, 5.0
    linear = log_rate + slope * frame["x"].to_numpy() + omega * rng.normal(size=groups)[frame["id"] - 1]
    t = (rng.exponential(size=len(frame)) / np.exp(linear)) ** (1 / shape)
    frame = frame.assign(person=np.arange(1, len(t) + 1), event=np.minimum(t, end), seen=(t < end).astype(int))

    def density(rows):
        x, t, seen = (rows[name].to_numpy() for name in ("x", "event", "seen"))

        def log_density(eta):
            log_hazard = log_rate + slope * x + eta + np.log(shape) + (shape - 1) * np.log(t)
            return (seen * log_hazard - np.exp(log_rate + slope * x + eta) * t**shape).sum(axis=1)

        return log_density

    values = {"theta_rate": [log_rate, slope], "theta_shape": [np.log(shape)], "omega_id": [omega]}
    return Judged(frame, values, by_group(frame, "id", np.array([[omega]]), density), options={"status": "seen"})


def crossed_case(rows=8, columns=3, seed=8):
    """Counts of plates by raters: at every node of the raters the plates are independent; all are one group."""
    rng = np.random.default_rng(seed)
    plate, rater = np.divmod(np.arange(rows * columns), columns)
    base, omega_plate, omega_rater = 1.2, 0.5, 0.4
    mean = np.exp(base + omega_plate * rng.normal(size=rows)[plate] + omega_rater * rng.normal(size=columns)[rater])
    frame = pd.DataFrame({"plate": plate + 1, "rater": rater + 1, "y": rng.poisson(mean).astype(float)})
    y = frame["y"].to_numpy().reshape(rows, columns)

    def found(order):
        eta, weights = _around_zero(4 * order, np.array([omega_plate]))

        def density(of_rater):
            linear = base + of_rater[:, None, None, :] + eta  # (n, 1, node, rater)
            each = (y[:, None, :] * linear - np.exp(linear) - gammaln(y + 1)[:, None, :]).sum(axis=-1)
            return logsumexp(each + weights, axis=-1).sum(axis=-1)

        return {"all": of_group(density, omega_rater * np.eye(columns), order)}

    values = {"theta_rate": [base], "omega_plate": [omega_plate], "omega_rater": [omega_rater]}
    return Judged(frame, values, found)


def linear_by_group(y, groups, fixed, levels, sigma):
    """Exact log L of a linear mixed model: of each of ``groups``, or of all where it is None.

    ``fixed`` (record,) the expectation; ``levels`` a list of (group of each record, SD) of intercepts.
    """
    cover = sigma**2 * np.eye(len(y)) + sum(sd**2 * (np.equal.outer(of, of)) for of, sd in levels)
    whole = np.full(len(y), "all") if groups is None else np.asarray(groups)
    members = {str(g): np.flatnonzero(whole == g) for g in dict.fromkeys(whole.tolist())}
    return {
        label: float(stats.multivariate_normal(fixed[here], cover[np.ix_(here, here)]).logpdf(y[here]))
        for label, here in members.items()
    }


def monolix_theophylline(frame, order=15):
    """-2 log L of each subject at the estimates of Monolix 5.1.1: every dose the sixth of one a day, times above 0.

    ``frame`` holds ``id``, ``time``, ``conc`` and ``amt``, the amount of each dose, on every row.
    """
    typical, spreads, b = MONOLIX["typical"], np.diag(MONOLIX["omega"]), MONOLIX["b"]

    def density(rows):
        t, y, dose = (rows[name].to_numpy() for name in ("time", "conc", "amt"))

        def log_density(eta):
            ka, v, cl = _individual(eta, typical)
            f = sum(oral(t + 24.0 * k, dose, cl, v, ka) for k in range(6))
            return stats.norm.logpdf(y, f, b * f).sum(axis=1)

        return log_density

    return by_group(frame, "id", spreads, density)(order)


MONOLIX = {  # saemixdevelopment/saemixextension @3677f32, bootstrapSIR/mlx/theoCondDist: ka, V, CL; SDs; proportional
    "typical": (1.27976812696076, 37.2585287383796, 3.24980542318229),
    "omega": (0.640479223996228, 0.0565527342208045, 0.172817812060764),
    "b": 0.196742398620417,
    # Quadrature by a programme of its own, two grids; Monolix' own importance sampling gives 380.483 for the sum.
    "minus2ll": (
        39.329815935372054, 33.883646968672366, 23.31333572254698, 31.96152377714103, 39.65526200029879,
        29.629055210540713, 31.896013476927365, 25.705599394071093, 27.487005925831298, 33.363849741961445,
        24.088702029087074, 40.128865365652814,
    ),
    "criteria": {"minus2ll": 380.48, "aic": 394.48, "bic": 397.88, "bicc": 407.09},
}  # fmt: skip

DYESTUFF = {  # exact, two grids; mu ~ Normal(1500, 200), tau and sigma ~ HalfNormal(100)
    "elpd": {
        "A": -28.61120262685955, "B": -26.267674714839956, "C": -26.802364145087125, "D": -29.37001323064453,
        "E": -28.84211449162956, "F": -26.990877135436932,
    },
    "mean": {"tau": 51.427978864541, "sigma": 52.5066348460852, "mu": 1527.0747138711674},
}  # fmt: skip


SPAN, SIGMAS = 400.0, (20.0, 220.0)  # of the SDs between and within batches: less than 1e-6 lies beyond


@dataclass(frozen=True)
class OneWay:
    """Exact posterior of y = mu + b + e in equal batches, on a grid of the two SDs; mu given them is normal.

    Priors: mu ~ Normal(1500, 200), SDs ~ HalfNormal(100). ``y`` is (batch, record).
    """

    y: np.ndarray
    points: int = 160

    @property
    def grid(self):
        """(between, within) SDs, each (point,): middles of equal cells, so that sums are integrals."""
        middle = (np.arange(self.points) + 0.5) / self.points
        between, within = SPAN * middle, SIGMAS[0] + np.ptp(SIGMAS) * middle
        return (x.ravel() for x in np.meshgrid(between, within))

    def log_joint(self, tau, sigma):
        """log p(tau, sigma) p(y | tau, sigma), mu integrated out."""
        batches, each = self.y.shape
        means, square = self.y.mean(axis=1), ((self.y - self.y.mean(axis=1, keepdims=True)) ** 2).sum()
        v = tau**2 + sigma**2 / each
        centre, spread = self._mu(tau, sigma)
        quadratic = (means**2).sum() / v + 1500.0**2 / 200.0**2 - centre**2 / spread**2
        log_y = -0.5 * (batches * np.log(2 * np.pi * v) + quadratic) + np.log(spread) - np.log(200.0)
        log_y += -0.5 * (
            batches * (each - 1) * np.log(2 * np.pi * sigma**2) + square / sigma**2
        ) - 0.5 * batches * np.log(each)
        return log_y + stats.halfnorm.logpdf(tau, scale=100) + stats.halfnorm.logpdf(sigma, scale=100)

    def _mu(self, tau, sigma):
        """Mean and SD of mu given the SDs."""
        batches, each = self.y.shape
        precision = batches / (tau**2 + sigma**2 / each) + 1 / 200.0**2
        centre = (self.y.mean(axis=1).sum() / (tau**2 + sigma**2 / each) + 1500.0 / 200.0**2) / precision
        return centre, 1 / np.sqrt(precision)

    def log_evidence(self):
        """log p(y), up to the same constant for every y of the same grid."""
        return logsumexp(self.log_joint(*self.grid))

    def draws(self, n, seed):
        """(mu, tau, sigma) from the exact posterior, (n,) each."""
        rng = np.random.default_rng(seed)
        tau, sigma = self.grid
        height = self.log_joint(tau, sigma)
        weight = np.exp(height - logsumexp(height))
        at = rng.choice(len(tau), size=n, p=weight / weight.sum())
        widths = SPAN / self.points, np.ptp(SIGMAS) / self.points
        tau, sigma = (x[at] + d * (rng.random(n) - 0.5) for x, d in zip((tau, sigma), widths, strict=True))
        centre, spread = self._mu(tau, sigma)
        return centre + spread * rng.normal(size=n), tau, sigma

    def log_likelihood(self, mu, tau, sigma):
        """log p(y_g | mu, tau, sigma), (draw, batch)."""
        each = self.y.shape[1]
        v = sigma**2 + each * tau**2
        means, within = self.y.mean(axis=1), ((self.y - self.y.mean(axis=1, keepdims=True)) ** 2).sum(axis=1)
        squares = within / sigma[:, None] ** 2 + each * (means - mu[:, None]) ** 2 / v[:, None]
        return -0.5 * (each * np.log(2 * np.pi) + ((each - 1) * np.log(sigma**2) + np.log(v))[:, None] + squares)


CASES = {
    **{name: (lambda name=name: oral_case(name)) for name in SCATTER},
    "below quantification": lambda: oral_case("combined", lloq=1.0),
    "saturable": saturable_case,
    "nested": nested_case,
    "logistic": logistic_case,
    "poisson": poisson_case,
    "ordinal": ordinal_case,
    "weibull": weibull_case,
    "crossed": crossed_case,
}


@cache
def certain(name):
    """(case, log-likelihood by group) of a case, computed once."""
    case = CASES[name]()
    return case, case.certain()
