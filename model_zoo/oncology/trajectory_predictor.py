import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytensor.tensor as pt
from scipy import optimize, special, stats

import nlmebayes as nb
from nlmebayes import Curve, Dataset, Model, Parameter


@dataclass(frozen=True)
class TrajectoryPredictor(Curve):
    r"""A feature that moves along a line in each patient, and a response whose odds depend on that line.

    .. math:: m_i(t) = b_{0i} + b_{1i} t, \qquad
              \operatorname{logit} P(y_i = 1) = \alpha + \beta_1 (b_{1i} - c_1) \; [+ \beta_0 (b_{0i} - c_0)]

    ``level`` b0 and ``slope`` b1 of a patient (unit of the feature, per time), ``log_odds`` alpha of a response at the
    references, log odds ratios ``per_slope`` beta1 and ``per_level`` beta0. The outcomes are ``feature``, with any
    residual, and ``response``, 0 or 1 once for each patient, with `Bernoulli`; its covariates stand in the formula of
    ``log_odds``. One stage is `fit` to both. Two stages, which take the least-squares slopes for the true ones, draw
    beta1 to 0 by the error of the slopes.

    Parameters
    ----------
    with_level : bool
        Whether the level matters beside the slope.
    reference : {0.0}
        c1; near the mean slope ``log_odds`` is estimated best.
    reference_level : {0.0}
        c0.

    References
    ----------
    Wang, Wang and Wang (2000), Biometrics 56, 487-495, doi:10.1111/j.0006-341X.2000.00487.x.

    Examples
    --------
    >>> import numpy as np, nlmebayes as nb
    >>> from model_zoo import TrajectoryPredictor
    >>> p = nb.Named(level=np.array([10.0]), slope=np.array([0.5]), log_odds=np.array([0.0]), per_slope=np.array([2.0]))
    >>> TrajectoryPredictor().curve(p, nb.Named(time=np.array([4.0])))["feature"].tolist()
    [12.0]
    """

    with_level: bool = False
    reference: float = 0.0
    reference_level: float = 0.0

    inputs = ("time",)
    outcomes = ("feature", "response")
    scattered = '{"feature": Additive(), "response": Bernoulli()}, or another for the feature'

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        def fixed(name, unit):
            return Parameter(name, unit, typical=0.0, spread=2.0, link="identity", varies=False)

        return (
            Parameter("level", "feature", typical=None, link="identity"),
            Parameter("slope", "feature/time", typical=0.0, spread=1.0, link="identity"),
            fixed("log_odds", "1"),
            fixed("per_slope", "time/feature"),
            *((fixed("per_level", "1/feature"),) if self.with_level else ()),
        )

    def curve(self, p, x):
        logit = p.log_odds + p.per_slope * (p.slope - self.reference)
        logit = logit + p.per_level * (p.level - self.reference_level) if self.with_level else logit
        return {"feature": p.level + p.slope * x.time, "response": pt.sigmoid(logit)}

    def lines(self, data: Dataset) -> pd.DataFrame:
        """The least-squares line of each patient. It is that of the patient's own records and of nothing else.

        Parameters
        ----------
        data : Dataset
            With the outcomes ``feature`` and ``response``.

        Returns
        -------
        DataFrame
            By patient: number of ``times``, ``level`` and ``slope`` (missing below two times), and ``response``.

        Raises
        ------
        ValueError
            No time column, limits, or several responses of one.

        Examples
        --------
        >>> import numpy as np, pandas as pd, nlmebayes as nb
        >>> from model_zoo import TrajectoryPredictor
        >>> structure = TrajectoryPredictor()
        >>> slopes, response = np.array([1.0, 2.0, 2.5, 1.5, 3.0, 2.2]), [0, 0, 1, 1, 1, 0]
        >>> frame = pd.DataFrame({"id": np.repeat(range(6), 2), "time": [0.0, 2.0] * 6, "feature": 10.0})
        >>> frame["feature"] += frame["time"] * np.repeat(slopes, 2)
        >>> frame["response"] = np.ravel([(np.nan, each) for each in response])
        >>> data = nb.Dataset.from_frame(frame, outcome=["feature", "response"], time="time", levels="id")
        >>> structure.lines(data)["slope"].round(1).to_dict()
        {'0': 1.0, '1': 2.0, '2': 2.5, '3': 1.5, '4': 3.0, '5': 2.2}
        """
        patient, records = data.subject, data.observations[data.observations["value"].notna()]
        known = records[records["outcome"] == "response"].set_index(patient)["value"]
        wrong = known.index[known.index.duplicated() | ~known.isin([0, 1])]
        if data.time is None or len(wrong) or records[["lower", "upper"]].notna().any(axis=None):
            see = f"; see {patient} {wrong[0]}" if len(wrong) else ""
            raise ValueError(f"lines: takes a time column, no limits, one response (0 or 1) of each {patient}{see}")
        feature = records[records["outcome"] == "feature"]
        each, of = feature.groupby(patient), feature[patient]
        t, y = (feature[c] - each[c].transform("mean") for c in (data.time, "value"))
        times = each[data.time].nunique()
        slope = (t * y).groupby(of).sum() / (t**2).groupby(of).sum().where(times > 1)
        level = each["value"].mean() - slope * each[data.time].mean()
        table = pd.DataFrame({"times": times, "level": level, "slope": slope, "response": known})
        return table.reindex(data.observations[patient].unique()).rename_axis(patient).fillna({"times": 0})

    def two_stage(self, data: Dataset, covariates: Sequence[str] = ()) -> pd.DataFrame:
        """A logistic regression on the least-squares slopes, by maximum likelihood.

        Parameters
        ----------
        data : Dataset
            As in `lines`.
        covariates : sequence of str
            Columns of numbers with one value a patient.

        Returns
        -------
        DataFrame
            ``estimate`` and ``se``. A warning names patients without a slope, a covariate or a response.

        Raises
        ------
        ValueError
            Predictors that are collinear, or separate the responses.

        Examples
        --------
        >>> import numpy as np, pandas as pd, nlmebayes as nb
        >>> from model_zoo import TrajectoryPredictor
        >>> structure = TrajectoryPredictor()
        >>> slopes, response = np.array([1.0, 2.0, 2.5, 1.5, 3.0, 2.2]), [0, 0, 1, 1, 1, 0]
        >>> frame = pd.DataFrame({"id": np.repeat(range(6), 2), "time": [0.0, 2.0] * 6, "feature": 10.0})
        >>> frame["feature"] += frame["time"] * np.repeat(slopes, 2)
        >>> frame["response"] = np.ravel([(np.nan, each) for each in response])
        >>> data = nb.Dataset.from_frame(frame, outcome=["feature", "response"], time="time", levels="id")
        >>> structure.two_stage(data)["estimate"].round(1).to_dict()
        {'log_odds': -3.4, 'per_slope': 1.7}
        """
        return _logistic(*_complete(*self._stage(data, covariates)))

    def _stage(self, data, covariates):
        """Predictors of each patient by coefficient, and responses; missing where unknown."""
        table, own = self.lines(data), data.units.drop_duplicates(data.subject).set_index(data.subject)
        numbers = list(own[list(data.covariates)].select_dtypes("number"))
        if set(covariates) - set(numbers):
            raise ValueError(f"two_stage: covariates {covariates}; those of numbers are {', '.join(numbers) or 'none'}")
        level = {"per_level": table["level"] - self.reference_level} if self.with_level else {}
        x = pd.DataFrame({"log_odds": 1.0, "per_slope": table["slope"] - self.reference} | level)
        return x.join(own[list(covariates)].astype(float)), table["response"]

    @staticmethod
    def cross_validated(
        model: Model, data: Dataset, folds: int = 5, random_seed: int | None = None, covariates: Sequence[str] = (),
        **settings: object,
    ) -> pd.DataFrame:  # fmt: skip
        """Probability of a response by both ways, from the patients of other folds and the patient's own features.

        Parameters
        ----------
        model : Model
            Of this class; it is fitted to the other folds, and forecasts a patient from the features alone.
        data : Dataset
            As in `lines`.
        folds : int
            Patients are dealt out at random, those who responded and those who did not alike.
        random_seed : int, optional
        covariates : sequence of str
            Of the logistic regression, as in `two_stage`.
        **settings
            Those of `fit`.

        Returns
        -------
        DataFrame
            By patient with a response ``fold``, ``response``, ``two_stage`` and ``one_stage``; missing, with a warning,
            where a way has no answer.

        Raises
        ------
        ValueError
            A model of another class; more folds than patients of either response.

        Examples
        --------
        >>> import numpy as np, pandas as pd, nlmebayes as nb
        >>> from model_zoo import TrajectoryPredictor
        >>> structure = TrajectoryPredictor()
        >>> slopes, response = np.array([1.0, 2.0, 2.5, 1.5, 3.0, 2.2]), [0, 0, 1, 1, 1, 0]
        >>> frame = pd.DataFrame({"id": np.repeat(range(6), 2), "time": [0.0, 2.0] * 6, "feature": 10.0})
        >>> frame["feature"] += frame["time"] * np.repeat(slopes, 2)
        >>> frame["response"] = np.ravel([(np.nan, each) for each in response])
        >>> data = nb.Dataset.from_frame(frame, outcome=["feature", "response"], time="time", levels="id")
        >>> model = nb.Model(structure, residual={"feature": nb.Additive(), "response": nb.Bernoulli()})
        >>> structure.cross_validated(model, data, folds=9)
        Traceback (most recent call last):
            ...
        ValueError: cross_validated: 9 folds must be 2 or more, and each needs both responses
        """
        if not isinstance(model.structure, TrajectoryPredictor):
            raise ValueError(f"cross_validated: takes a Model of TrajectoryPredictor; got {model.structure.label}")
        x, y = model.structure._stage(data, covariates)
        dealt = y.dropna().sample(frac=1.0, random_state=random_seed).sort_values(kind="stable").astype(int)
        if not 2 <= folds <= min((dealt == 0).sum(), (dealt == 1).sum()):
            raise ValueError(f"cross_validated: {folds} folds must be 2 or more, and each needs both responses")
        table = pd.DataFrame({"fold": np.arange(len(dealt)) % folds, "response": dealt})
        parts = [table.index[table["fold"] == k] for k in range(folds)]
        whole, labels = _complete(x, y)
        for held in parts:
            kept = ~whole.index.isin(held)
            coefficients = _logistic(whole[kept], labels[kept])["estimate"]
            table.loc[held, "two_stage"] = special.expit(x.loc[held] @ coefficients)
        for held in parts:
            of = {data.subject: held}
            tree = nb.fit(model, data.drop_sel(**of), random_seed=random_seed, **settings)
            table.loc[held, "one_stage"] = _forecast(tree, data.sel(**of), random_seed)
        return table.reindex(x.index[x.index.isin(table.index)])

    @staticmethod
    def scores(table: pd.DataFrame) -> pd.DataFrame:
        """How good the probabilities in each column but ``fold`` and ``response`` are, by patients that have all.

        Parameters
        ----------
        table : DataFrame
            From `cross_validated`.

        Returns
        -------
        DataFrame
            By column ``auc``, area under the ROC curve; ``brier``, mean of (p - y)^2; ``log_score``, mean
            log-probability of
            y; ``calibration_slope`` of y on logit(p), below 1 where p is too extreme (Cox 1958, Biometrika 45,
            562-565), and
            missing where p separates the responses or is the same for all.

        Examples
        --------
        >>> import pandas as pd
        >>> from model_zoo import TrajectoryPredictor
        >>> table = pd.DataFrame({"fold": 0, "response": [0, 0, 1, 1], "one_stage": [0.2, 0.6, 0.4, 0.9]})
        >>> TrajectoryPredictor.scores(table)[["auc", "brier"]].round(2).to_dict("index")
        {'one_stage': {'auc': 0.75, 'brier': 0.19}}
        """
        table = table.dropna()
        return pd.DataFrame(
            {name: _judged(table[name], table["response"]) for name in table if name not in ("fold", "response")}
        ).T.astype({"n": int})


def _complete(x, y):
    """Patients with everything; a warning names the others."""
    whole = x.notna().all(axis=1) & y.notna()
    if not whole.all():
        lost = ", ".join(x.index[~whole])
        why = "have no slope (from two times on), covariate or response and are left out"
        warnings.warn(f"two_stage: {(~whole).sum()} of {len(x)} patients {why}: {lost}", stacklevel=3)
    return x[whole], y[whole]


def _logistic(x, y):
    """Maximum likelihood in orthogonal columns; whether it exists is a linear programme (Albert and Anderson 1984,
    Biometrika 71, 1-10)."""
    (n, k), names, y = x.shape, ", ".join(x), y.to_numpy()
    q, r = np.linalg.qr(x.to_numpy())
    if n <= k or (np.abs(np.diag(r)) <= 1e-10 * np.linalg.norm(x, axis=0)).any():
        raise ValueError(f"logistic regression: {n} patients cannot tell {names} apart; is one of them constant?")
    q, back = q * np.sqrt(n), np.linalg.inv(r / np.sqrt(n))
    right = q * (2 * y - 1)[:, None]
    if -optimize.linprog(-right.sum(axis=0), A_ub=-right, b_ub=np.zeros(n), bounds=(-1, 1)).fun > 1e-6 * n:
        raise ValueError(
            f"logistic regression: {names} separate the responses of {n} patients, so that a coefficient is infinite; "
            "take fewer predictors or more patients, or one stage, whose priors keep it finite"
        )

    def bent(b):
        return (q.T * special.expit(q @ b) * special.expit(-q @ b)) @ q

    b = optimize.root(lambda b: q.T @ (special.expit(q @ b) - y), np.zeros(k), jac=bent, tol=1e-12).x
    se = np.sqrt(np.diag(back @ np.linalg.inv(bent(b)) @ back.T))
    return pd.DataFrame({"estimate": back @ b, "se": se}, index=x.columns)


def _forecast(tree, data, seed):
    """Mean probability of a response of each patient, from everything but the response."""
    hidden = data.with_values(response=np.full((data.observations["outcome"] == "response").sum(), np.nan))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*rare in this population")  # of many patients, one is
        found = nb.forecast_each(tree, hidden, method="importance", unusual="warn", random_seed=seed)
    for patient, why in found.failures.items():
        warnings.warn(f"one_stage: {data.subject} {patient} has no forecast: {why}", stacklevel=3)
    return pd.Series({k: float(v["posterior"]["f_response"].mean()) for k, v in found.trees.items()}, dtype=float)


def _judged(p, y):
    yes = y == 1
    if yes.all() or not yes.any():
        raise ValueError("scores: the patients with a probability by every method have all the same response")
    try:
        slope = _logistic(pd.DataFrame({"one": 1.0, "logit": special.logit(p)}), y).loc["logit", "estimate"]
    except ValueError:  # there is none: the probabilities are all alike, or separate the responses
        slope = np.nan
    above = stats.rankdata(p)[yes].sum() - yes.sum() * (yes.sum() + 1) / 2
    found = {"n": len(y), "auc": above / (yes.sum() * (~yes).sum()), "brier": ((p - y) ** 2).mean()}
    return found | {"log_score": np.log(np.where(yes, p, 1 - p)).mean(), "calibration_slope": slope}
