from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr

from nlmebayes import Curve, Parameter, intervals


@dataclass(frozen=True)
class ReliabilityICC(Curve):
    r"""Test-retest reliability of features, many at once, from repeats that need not be balanced.

    .. math::
        y_{fij} = \mu_f + b_{fi} + e_{fij}, \qquad ICC_f = \frac{\omega_f^2}{\omega_f^2 + \sigma_f^2}, \qquad
        SDD_f = 1.96 \sqrt{2}\, \sigma_f

    ``mu_feature`` level of a feature in a subject, one parameter for each feature. Feature, subject and repeat are f, i
    and j; SDD is the smallest difference between two measurements that is more than error. Features are columns of one
    dataset, standardised or alike in scale, since default priors take their scale from all of them; a missing repeat
    is missing for its feature only.

    Parameters
    ----------
    features : tuple of str
        Columns; each is an outcome with a residual of its own.

    References
    ----------
    Shrout and Fleiss (1979), Psychol. Bull. 86, 420-428, doi:10.1037/0033-2909.86.2.420, ICC(1,1); Bland and
    Altman (1986), Lancet 327, 307-310, doi:10.1016/S0140-6736(86)90837-8.

    Examples
    --------
    >>> import numpy as np, nlmebayes as nb
    >>> from model_zoo import ReliabilityICC
    >>> p = nb.Named(mu_volume=np.array([3.0]), mu_texture=np.array([0.5]))
    >>> ReliabilityICC(("volume", "texture")).curve(p, nb.Named())
    {'volume': array([3.]), 'texture': array([0.5])}
    """

    features: tuple[str, ...] = ("feature",)

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        return tuple(Parameter(f"mu_{f}", "outcome", typical=None, link="identity") for f in self.features)

    @property
    def outcomes(self):
        return self.features

    @property
    def direct(self):
        return tuple(p.name for p in self.parameters)

    def curve(self, p, x):
        return {f: vars(p)[f"mu_{f}"] for f in self.features}

    def reliability(self, tree: xr.DataTree) -> xr.Dataset:
        """Reliability of each feature, for every draw.

        Parameters
        ----------
        tree : DataTree
            From `fit` with `Additive` residuals; the outermost level is the one whose members are told apart.

        Returns
        -------
        Dataset (chain, draw, feature)
            ``icc``; ``error``, the SD of one measurement within a subject; ``sdd``.

        Examples
        --------
        >>> import pandas as pd, nlmebayes as nb
        >>> from model_zoo import ReliabilityICC
        >>> structure = ReliabilityICC(("volume", "texture"))
        >>> frame = {"id": [1, 1, 2, 2, 3, 3], "volume": [5.1, 5.0, 7.2, 7.0, 6.1, 6.3],
        ...          "texture": [1.0, 2.0, 1.5, 1.8, 0.7, 2.1]}
        >>> data = nb.Dataset.from_frame(pd.DataFrame(frame), outcome=["volume", "texture"], levels="id")
        >>> known = {"omega_id": [1.0, 0.3], "sigma_volume_a": 0.1, "sigma_texture_a": 0.6}
        >>> tree = nb.simulate(nb.Model(structure), data, draws=1, values=known, random_seed=1)
        >>> tree["posterior"] = tree["prior"].to_dataset()
        >>> structure.reliability(tree)["icc"].squeeze().to_series().round(1).to_dict()
        {'volume': 1.0, 'texture': 0.2}
        """
        posterior = tree["posterior"]
        between, within = [], []
        for f in self.features:
            omegas = [v for v in posterior if v.startswith("omega_") and f"mu_{f}" in _effects(posterior[v])]
            parts = [posterior[v].sel({posterior[v].dims[-1]: f"mu_{f}"}, drop=True) ** 2 for v in omegas]
            between.append(parts[0])
            within.append(sum(parts[1:]) + posterior[f"sigma_{f}_a"] ** 2)
        index = pd.Index(self.features, name="feature")
        between, within = (xr.concat(each, index) for each in (between, within))
        error = np.sqrt(within)
        found = xr.Dataset({"icc": between / (between + within), "error": error, "sdd": 1.96 * np.sqrt(2) * error})
        return found.transpose("chain", "draw", "feature")

    def table(self, tree: xr.DataTree, wanted: float = 0.9) -> pd.DataFrame:
        """How reliable each feature is, as a table of posterior means.

        Parameters
        ----------
        tree : DataTree
            As in `reliability`.
        wanted : float
            A reliability.

        Returns
        -------
        DataFrame
            By feature the ``icc`` with its 90 % interval, ``error``, ``sdd``, and ``repeats``, how many must be
            averaged for
            the reliability ``wanted`` by the formula of Spearman and Brown.

        Examples
        --------
        >>> import pandas as pd, nlmebayes as nb
        >>> from model_zoo import ReliabilityICC
        >>> structure = ReliabilityICC(("volume", "texture"))
        >>> frame = {"id": [1, 1, 2, 2, 3, 3], "volume": [5.1, 5.0, 7.2, 7.0, 6.1, 6.3],
        ...          "texture": [1.0, 2.0, 1.5, 1.8, 0.7, 2.1]}
        >>> data = nb.Dataset.from_frame(pd.DataFrame(frame), outcome=["volume", "texture"], levels="id")
        >>> known = {"omega_id": [1.0, 0.3], "sigma_volume_a": 0.1, "sigma_texture_a": 0.6}
        >>> tree = nb.simulate(nb.Model(structure), data, draws=1, values=known, random_seed=1)
        >>> tree["posterior"] = tree["prior"].to_dataset()
        >>> structure.table(tree, wanted=0.9)["repeats"].round(1).to_dict()
        {'volume': 0.1, 'texture': 36.0}
        """
        found = self.reliability(tree)
        table = intervals(found["icc"]).rename(columns={"mean": "icc"})
        needed = wanted / (1 - wanted) * (1 - found["icc"]) / found["icc"]
        rest = {"error": found["error"], "sdd": found["sdd"], "repeats": needed.median(("chain", "draw"))}
        return table.assign(**{k: v.mean([d for d in v.dims if d != "feature"]).to_series() for k, v in rest.items()})


def _effects(variable):
    return list(variable[variable.dims[-1]].to_numpy())
