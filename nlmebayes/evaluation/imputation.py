"""Covariates of a new patient that nobody knows: drawn from the population's, and weighed by the samples.

    p(eta, x | y)  ∝  p(y | theta, eta, x) p(eta) p(x | known covariates)

Of a fit, continuous covariates of the subjects, as logarithms where all are positive, are taken as jointly normal;
words and indicators have their shares. A published model states them. A value drawn for each population moves the
linear predictors of the patient by the same in all his units, so it is kept in the intercepts of that population: draws
that explain the samples count for more, covariates included, and nothing else needs to know.
"""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy import special
from scipy.stats import qmc

from nlmebayes.arguments import NotNegative, Number, Positive, Text, kind_of, read
from nlmebayes.data.lines import continuous
from nlmebayes.errors import ModelError

COUNT = 1000  # least number of values drawn
SAME = 1e-9  # linear predictors that differ by less do not
STATED_AS = "{mean, sd}, {median, cv_percent} or {share = {value: probability}}"


@dataclass(frozen=True, eq=False)
class CovariateLaw:
    """Joint distribution of covariates: normal ``mean`` and ``covariance`` of the continuous ones ``names``, logarithms
    where ``logged``; ``shares`` of the others, name -> (values, probabilities)."""

    names: tuple
    logged: np.ndarray
    mean: np.ndarray
    covariance: np.ndarray
    shares: dict

    def given(self, known, missing):
        """`CovariateLaw` of the ``missing`` covariates given the values of ``known`` ones."""
        for name in missing:
            if name not in (*self.names, *self.shares):
                stated = ", ".join((*self.names, *self.shares)) or "none"
                raise ModelError(
                    f"forecast: {name} is missing, and its distribution is not known (that of {stated} is): give the "
                    f"value, or state it with population(..., covariates={{{name!r}: ...}}), as {STATED_AS}"
                )
        a = np.array([i for i, name in enumerate(self.names) if name in missing], dtype=int)
        b = np.array([i for i, name in enumerate(self.names) if name in known], dtype=int)
        values = np.array([known[self.names[i]] for i in b], dtype=float)
        with np.errstate(all="ignore"):
            values = np.where(self.logged[b], np.log(values), values)
        slopes = np.linalg.lstsq(self.covariance[np.ix_(b, b)], self.covariance[np.ix_(b, a)], rcond=None)[0].T
        covariance = self.covariance[np.ix_(a, a)] - slopes @ self.covariance[np.ix_(b, a)]
        return CovariateLaw(
            tuple(self.names[i] for i in a), self.logged[a], self.mean[a] + slopes @ (values - self.mean[b]),
            covariance, {name: self.shares[name] for name in missing if name in self.shares},
        )  # fmt: skip

    def at(self, uniform):
        """Covariates by name, (draw,), at points (draw, covariate) of the unit cube."""
        n = len(self.names)
        scale, rows = np.linalg.eigh(self.covariance) if n else (np.zeros(0), np.zeros((0, 0)))
        normal = self.mean + special.ndtri(uniform[:, :n]) * np.sqrt(np.maximum(scale, 0.0)) @ rows.T
        normal = np.where(self.logged, np.exp(np.minimum(normal, 700.0)), normal)
        found = {name: normal[:, i] for i, name in enumerate(self.names)}
        for i, (name, (values, shares)) in enumerate(self.shares.items()):
            place = np.searchsorted(np.cumsum(shares), uniform[:, n + i])
            found[name] = np.asarray(values)[np.minimum(place, len(values) - 1)]
        return found

    def drawn(self, n, rng):
        """n draws, each covariate stratified."""
        return self.at(np.clip(qmc.LatinHypercube(self.size, rng=rng).random(n), 1e-12, 1 - 1e-12))

    def middle(self):
        """Medians, and of shares the largest, by name."""
        found = {name: values[0] for name, values in self.at(np.full((1, self.size), 0.5)).items()}
        return found | {name: values[int(np.argmax(shares))] for name, (values, shares) in self.shares.items()}

    @property
    def size(self):
        return len(self.names) + len(self.shares)


def of_subjects(units, subject, names):
    """`CovariateLaw` of the covariates ``names`` of the subjects of a fit, each in its first unit."""
    first = units.drop_duplicates(subject)[list(names)]
    numbers = [name for name in names if continuous(first[name])]
    if len(first) < len(numbers) + 2:
        lost = ", ".join(names)
        raise ModelError(f"forecast: {len(first)} subjects are too few to impute {lost} from; give the value")
    values = first[numbers].to_numpy(float)
    logged = (values > 0).all(axis=0)
    values = np.where(logged, np.log(np.where(logged, values, 1.0)), values)
    covariance = np.cov(values.T).reshape(len(numbers), len(numbers))
    shares = {}
    for name in (name for name in names if name not in numbers):
        share = first[name].astype(object).value_counts(normalize=True, sort=False)
        shares[name] = (share.index.tolist(), share.to_numpy())
    return CovariateLaw(tuple(numbers), logged, values.mean(axis=0), covariance, shares)


def stated(covariates):
    """`CovariateLaw` of covariates that a published model states, independent of each other.

    Raises
    ------
    ModelError
        A covariate of no known kind.
    """
    names, logged, mean, sd, shares = [], [], [], [], {}
    for name, said in covariates.items():
        keys = set(said) if isinstance(said, dict) else set()
        if keys == {"share"}:
            each = read(f"covariates of {name}", "share", kind_of(dict[Text, NotNegative]), said["share"])
            values, share = list(each), np.array(list(each.values()), dtype=float)
            if abs(share.sum() - 1) > 1e-6:
                raise ModelError(f"covariates: the shares of {name} are {share.tolist()}; they must sum to 1")
            shares[name] = ([_number(value) for value in values], share)
            continue
        if keys not in ({"mean", "sd"}, {"median", "cv_percent"}):
            raise ModelError(f"covariates: {name} is stated as {said!r}; write {STATED_AS}")
        wanted = {"mean": Number, "sd": NotNegative, "median": Positive, "cv_percent": NotNegative}
        said = {key: read(f"covariates of {name}", key, kind_of(wanted[key]), said[key]) for key in keys}
        names.append(name)
        logged.append("median" in said)
        mean.append(np.log(said["median"]) if "median" in said else said["mean"])
        sd.append(np.sqrt(np.log1p((said["cv_percent"] / 100) ** 2)) if "median" in said else said["sd"])
    square = np.diag(np.square(np.array(sd, dtype=float)))
    return CovariateLaw(tuple(names), np.array(logged, dtype=bool), np.array(mean, dtype=float), square, shares)


def _number(text):
    try:
        return float(text)
    except ValueError:
        return text


def missing(patient, names):
    """Those of ``names`` of which the patient's records hold no value, with the column that has it in any case."""
    own = _columns(patient, names)
    return {name: column for name, column in own.items() if _values(patient, column).empty}


def known(patient, names):
    """First value of those of ``names`` that the patient's records hold as numbers."""
    own = {name: _values(patient, column) for name, column in _columns(patient, names).items()}
    return {k: float(v.iloc[0]) for k, v in own.items() if len(v) and pd.api.types.is_numeric_dtype(v)}


def _columns(patient, names):
    """The patient's column of each name, in another case if there is one, else the name."""
    columns = {str(c).lower(): c for c in patient.observations.columns}
    return {n: n if n in patient.observations else columns.get(n.lower(), n) for n in names}


def _values(patient, column):
    frames = (patient.observations, patient.doses, patient.events)
    parts = [f[column].dropna() for f in frames if column in f and len(f)]
    return pd.concat(parts) if parts else pd.Series([], dtype=float)


def filled(patient, values):
    """The patient's data with ``values`` of covariates, name -> value, in every record."""
    frames = {name: getattr(patient, name) for name in ("observations", "doses", "events")}
    frames = {k: f.assign(**{c: pd.Series([v] * len(f), index=f.index) for c, v in values.items()}) for k, f in
              frames.items()}  # fmt: skip
    more = tuple(name for name in values if name not in (*patient.covariates, *patient.inputs))
    return replace(patient, **frames, covariates=(*patient.covariates, *more))


@dataclass(frozen=True, eq=False)
class Imputed:
    """Of each population: ``values`` by covariate, and how far they move the intercepts, ``shifts`` by parameter."""

    values: dict
    shifts: dict

    def told(self, dataset, which, *, moved):
        """A group of a forecast with ``covariate_<name>`` of the draws ``which``; the intercepts moved or not."""
        found = {
            f"covariate_{name}": (("chain", "draw"), values[which][None].astype(float))
            for name, values in self.values.items()
            if np.issubdtype(values.dtype, np.number)
        }
        for name, shift in () if moved else self.shifts.items():
            theta = dataset[f"theta_{name}"].copy(deep=True)
            theta.loc[{f"{name}_term": "Intercept"}] -= shift[which][None]
            found[f"theta_{name}"] = theta
        return dataset.assign(found)


def at_medians(law):
    """The `Imputed` of one population at which nothing moves."""
    return Imputed({name: np.array([value]) for name, value in law.middle().items()}, {})


def imputed(model, design, population, law, rng):
    """A population in which each draw has a value of every missing covariate in its intercepts, and the `Imputed`.

    Parameters
    ----------
    design : Design
        Of the patient's records with the medians.
    law : CovariateLaw
        Of the missing covariates.

    Raises
    ------
    ModelError
        A covariate whose effect is not that of an intercept.
    """
    count = max(population.size, COUNT)
    population = population.take(np.resize(rng.permutation(population.size), count))
    values = law.drawn(count, rng)
    units = design.units
    many = units.iloc[np.tile(np.arange(len(units)), count)].reset_index(drop=True)
    many = many.assign(**{name: np.repeat(drawn, len(units)) for name, drawn in values.items()})
    for (parameter, text), matrix in design.random.items():
        if np.ptp(matrix.at(many)[0].reshape(count, -1), axis=0).max(initial=0.0) > SAME:
            raise ModelError(
                f"forecast: {', '.join(values)} cannot be imputed: ({text}|...) of {parameter} varies with it"
            )
    theta, shifts = dict(population.theta), {}
    for p in model.structure.parameters:
        matrix = design.fixed[p.name]
        x, offset = matrix.at(many)
        moved = np.einsum("sut,st->su", (x - np.tile(matrix.values, (count, 1))).reshape(count, len(units), -1),
                          theta[p.name])  # fmt: skip
        moved = moved + (offset - np.tile(matrix.offset, count)).reshape(count, -1)
        if np.abs(moved).max(initial=0.0) <= SAME:
            continue
        if "Intercept" not in matrix.terms or np.ptp(moved, axis=1).max() > SAME:
            raise ModelError(
                f"forecast: {', '.join(values)} cannot be imputed: {p.name} has no intercept, or an effect of it that "
                "changes from record to record; give the value"
            )
        place = matrix.terms.index("Intercept")
        shifts[p.name] = moved[:, 0]
        theta[p.name] = theta[p.name].copy()
        theta[p.name][:, place] += moved[:, 0]
    return replace(population, theta=theta), Imputed(values, shifts)
