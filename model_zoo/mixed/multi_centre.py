from dataclasses import dataclass

import numpy as np
import xarray as xr
from scipy import special

from nlmebayes import LinearPredictor


@dataclass(frozen=True)
class MultiCentre(LinearPredictor):
    r"""A trial at many sites: how a treatment does on average, at each site, and at a site not seen yet.

    .. math::
        y_{sij} = \mu_{sij} + e_{sij}, \qquad \mu_{sij} = \beta_0 + b_{0s} + (\beta_1 + b_{1s})\, treatment + c_i

    ``mu`` expected value (unit of the outcome), b_s effects of the sites, c_i of the patients, if they have several
    records. `new_unit` splits the variance of the prediction for a patient in estimates, site, patient and residual.

    Parameters
    ----------
    site, subject, treatment : str
        Columns. Without a subject a patient has one record; without a treatment nothing is compared.

    References
    ----------
    Fleiss (1986), Control. Clin. Trials 7, 267-275, doi:10.1016/0197-2456(86)90034-5.

    Examples
    --------
    Means of two sites whose effects of treatment, one on average, differ with an SD of a half:

    >>> import pandas as pd, nlmebayes as nb
    >>> from model_zoo import MultiCentre
    >>> structure = MultiCentre(site="site", treatment="arm")
    >>> structure.formulas
    ('mu ~ 1 + arm + (1 + arm|site)',)
    >>> frame = pd.DataFrame({"site": list("aabb"), "arm": [0, 1, 0, 1], "y": 0.0})
    >>> data = nb.Dataset.from_frame(frame, outcome="y", levels="site")
    >>> known = {"theta_mu": [2.0, 1.0], "omega_site": [0.0, 0.5], "sigma_y_a": 1.0}
    >>> tree = nb.simulate(nb.Model(structure), data, draws=1, values=known, random_seed=1)
    >>> tree["prior"]["f_y"].to_numpy().ravel().round(2).tolist()
    [2.0, 3.13, 2.0, 3.5]
    """

    site: str = "site"
    subject: str = ""
    treatment: str = "treatment"

    @property
    def formulas(self):
        compared = f" + {self.treatment}" if self.treatment else ""
        patients = f" + (1|{self.subject})" if self.subject else ""
        return (f"mu ~ 1{compared} + (1{compared}|{self.site}){patients}",)

    def effect(self, tree: xr.DataTree) -> xr.Dataset:
        """The effect of the treatment, for every draw.

        Parameters
        ----------
        tree : DataTree
            From `fit` with the class's own formula, and a treatment of two arms, or a dose.

        Returns
        -------
        Dataset (chain, draw)
            ``average`` over sites; ``spread``, the SD among sites; ``positive``, the probability that the effect at a
            new site is above 0, ``Phi(average / spread)``; ``by_site`` (site).

        Raises
        ------
        ValueError
            More than two arms.

        Examples
        --------
        >>> import nlmebayes as nb
        >>> from model_zoo import MultiCentre
        >>> structure = MultiCentre(site="Subject", treatment="Days")
        >>> tree = nb.fit(nb.Model(structure), nb.datasets.sleepstudy(), method="ml")
        >>> float(structure.effect(tree)["average"].squeeze().round(1))
        10.5
        """
        posterior = tree["posterior"]
        terms = [t for t in posterior["mu_term"].to_numpy() if t.split("[")[0] == self.treatment]
        if len(terms) != 1:
            raise ValueError(f"effect is about a treatment of two arms; the terms are {', '.join(terms) or 'none'}")
        (term,), dim = terms, f"{self.site}_effect"
        average = posterior["theta_mu"].sel(mu_term=term, drop=True)
        spread = posterior[f"omega_{self.site}"].sel({dim: f"mu:{term}"}, drop=True)
        positive = xr.apply_ufunc(special.ndtr, average / np.maximum(spread, 1e-300))
        own = average + posterior[f"eta_{self.site}"].sel({dim: f"mu:{term}"}, drop=True)
        return xr.Dataset({"average": average, "spread": spread, "positive": positive, "by_site": own})
