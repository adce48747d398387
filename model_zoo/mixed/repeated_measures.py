import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr

from nlmebayes import LinearPredictor, training_dataset


@dataclass(frozen=True)
class RepeatedMeasures(LinearPredictor):
    r"""Subjects measured at the same visits after a treatment, e.g. QTc after dosing: its effect visit by visit.

    .. math::
        y_{ik} = \mu_{ik} + e_{ik}, \qquad \mu_{ik} = \beta_k + \delta_k\, treatment_i + \gamma\, baseline_i + b_i,
        \qquad
        \text{corr}(y_{ik}, y_{il}) = \frac{\omega^2 + a^2 \rho^{|t_k - t_l|}}{\omega^2 + a^2}

    ``mu`` expected value (unit of the outcome), b_i ~ N(0, omega^2) effect of the subject, a SD of the residual e. The
    residual is the statement of the model: `Additive` has rho = 0, compound symmetry; `Autoregressive` remembers, by
    order or, with ``over="hour"``, in time. A visit that was missed is a row that is not there.

    Parameters
    ----------
    subject, visit, treatment : str
        Columns; visits are numbers. Without a treatment nothing is compared.
    baseline : str
        Column of a covariate, such as the value before dosing, or nothing.

    References
    ----------
    Jennrich and Schluchter (1986), Biometrics 42, 805-820, doi:10.2307/2530695, for structured covariance.

    Examples
    --------
    Means at two hours, without and with a drug that adds one at the first and three at the second:

    >>> import pandas as pd, nlmebayes as nb
    >>> from model_zoo import RepeatedMeasures
    >>> structure = RepeatedMeasures(treatment="drug")
    >>> structure.formulas
    ('mu ~ 1 + C(hour) + C(hour):drug + (1|subject)',)
    >>> frame = pd.DataFrame({"subject": [1, 1, 2, 2], "hour": [0, 4, 0, 4], "drug": [0, 0, 1, 1], "y": 0.0})
    >>> data = nb.Dataset.from_frame(frame, outcome="y", levels="subject")
    >>> known = {"theta_mu": [5.0, -0.5, 1.0, 3.0], "omega_subject": 0.0, "sigma_y_a": 1.0}
    >>> tree = nb.simulate(nb.Model(structure), data, draws=1, values=known, random_seed=1)
    >>> tree["prior"]["f_y"].to_numpy().ravel().round(2).tolist()
    [5.0, 4.5, 6.0, 7.5]
    """

    subject: str = "subject"
    visit: str = "hour"
    treatment: str = "treatment"
    baseline: str = ""

    @property
    def formulas(self):
        compared = f"C({self.visit}):{self.treatment}" if self.treatment else ""
        fixed = " + ".join(filter(None, ("1", f"C({self.visit})", compared, self.baseline)))
        return (f"mu ~ {fixed} + (1|{self.subject})",)

    def difference(self, tree: xr.DataTree) -> xr.DataArray:
        """The effect of the treatment at each visit; of a dose, per unit of it.

        Parameters
        ----------
        tree : DataTree
            From `fit` with the class's own formula.

        Returns
        -------
        DataArray (chain, draw, difference)
            Labelled e.g. ``"drug at 2"``.

        Raises
        ------
        ValueError
            Nothing is compared.

        Examples
        --------
        >>> import nlmebayes as nb
        >>> from model_zoo import RepeatedMeasures
        >>> structure = RepeatedMeasures(subject="Rat", visit="Time", treatment="Diet")
        >>> few = nb.datasets.bodyweight().sel(Time=[1, 8, 15])
        >>> tree = nb.fit(nb.Model(structure), few, method="ml")
        >>> structure.difference(tree).squeeze().to_series().round(1).to_dict()
        {'2 at 1': 202.4, '3 at 1': 257.4, '2 at 8': 204.3, '3 at 8': 250.5, '2 at 15': 212.4, '3 at 15': 258.7}
        """
        theta = tree["posterior"]["theta_mu"]
        pattern = re.compile(rf"C\({re.escape(self.visit)}\)\[(.+?)\]:{re.escape(self.treatment)}(?:\[(.+)\])?")
        found = {term: pattern.fullmatch(term) for term in theta["mu_term"].to_numpy()}
        labels = {term: f"{m[2] or self.treatment} at {m[1]}" for term, m in found.items() if m}
        if not self.treatment or not labels:
            raise ValueError(
                f"difference: mu has no terms C({self.visit}):{self.treatment}; fit the class's own formula"
            )
        own = theta.sel(mu_term=list(labels)).rename(mu_term="difference")
        return own.assign_coords(difference=list(labels.values()))

    def correlation(self, tree: xr.DataTree, lags: Sequence[float]) -> xr.DataArray:
        """Correlation of two records of a subject by their distance; at 0 that of one with itself.

        Parameters
        ----------
        tree : DataTree
            From `fit` with the class's own formula, and `Additive` or an `Autoregressive` one of it within subjects.
        lags : sequence of float
            Distances: numbers of records or, where the residual has ``over``, in its units.

        Returns
        -------
        DataArray (chain, draw, lag)

        Raises
        ------
        ValueError
            Another residual, or other effects; lags that are negative, or not whole where they must be.

        Examples
        --------
        >>> import nlmebayes as nb
        >>> from model_zoo import RepeatedMeasures
        >>> structure = RepeatedMeasures(subject="Rat", visit="Time", treatment="Diet")
        >>> few = nb.datasets.bodyweight().sel(Time=[1, 8, 15])
        >>> tree = nb.fit(nb.Model(structure), few, method="ml")
        >>> structure.correlation(tree, [0, 1, 2]).squeeze().to_series().round(1).to_dict()
        {0.0: 1.0, 1.0: 1.0, 2.0: 1.0}
        """
        posterior, outcome = tree["posterior"], training_dataset(tree).outcomes[0]
        parts = {v.removeprefix(f"sigma_{outcome}_"): posterior[v] for v in posterior if v.startswith("sigma_")}
        omega = posterior[f"omega_{self.subject}"]
        if not {"a"} <= set(parts) <= {"a", "rho"} or parts["a"].ndim > 2 or omega.shape[-1] > 1:
            raise ValueError(
                "correlation is that of an intercept for each subject and an Additive residual, alone or in "
                f"Autoregressive, of the same SD at all records; this fit has {', '.join(parts)} of the residual and "
                f"{', '.join(omega[f'{self.subject}_effect'].to_numpy())} of each {self.subject}"
            )
        lag = xr.DataArray(np.asarray(lags, dtype=float), dims="lag", coords={"lag": np.asarray(lags, dtype=float)})
        rho = parts.get("rho", xr.zeros_like(parts["a"]))
        if (lag < 0).any() or ((lag % 1 != 0).any() and (rho < 0).any()):
            raise ValueError(f"correlation: lags are 0 or more, and whole where rho may be negative; got {list(lags)}")
        between, within = omega.isel({f"{self.subject}_effect": 0}, drop=True) ** 2, parts["a"] ** 2
        return ((between + within * rho**lag) / (between + within)).transpose("chain", "draw", "lag")
