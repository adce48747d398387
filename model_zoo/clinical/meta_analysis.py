from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import xarray as xr
from scipy import special

from nlmebayes import Curve, Parameter


@dataclass(frozen=True)
class MetaAnalysis(Curve):
    r"""An effect over studies, or a model of dose, exposure and response over studies, from arm means and patients.

    .. math::
        y = \mu_s + e \quad\text{or}\quad y = e_{0s} + \frac{emax_s\, d}{ed_{50} + d} + e \quad\text{or}\quad
        exposure = \frac{d}{cl_s}, \; y = e_{0s} + \frac{emax_s\, exposure}{ec_{50} + exposure} + e

    ``mu`` effect of a study, such as a log risk ratio; ``e0`` response to placebo and ``emax`` the largest change from
    it (unit of the response), ``ed50`` dose and ``ec50`` exposure of half of it, ``cl`` clearance (dose per exposure).
    The error e of an arm is known (its standard error) or that of a patient over the root of the number of patients.
    The input ``dose`` is >= 0, placebo 0.

    Parameters
    ----------
    law : {"effect", "dose", "exposure"}
        The first two have one outcome, the last the outcomes ``exposure`` and ``response``.

    References
    ----------
    DerSimonian and Laird (1986), Control. Clin. Trials 7, 177-188, doi:10.1016/0197-2456(86)90046-2; Higgins
    and Thompson (2002), Stat. Med. 21, 1539-1558, doi:10.1002/sim.1186, for I^2; Mandema et al. (2011), Clin.
    Pharmacol. Ther. 90, 766-769, doi:10.1038/clpt.2011.242, for doses over studies.

    Examples
    --------
    >>> import numpy as np, nlmebayes as nb
    >>> from model_zoo import MetaAnalysis
    >>> p = nb.Named(e0=1.0, emax=10.0, ed50=20.0)
    >>> MetaAnalysis("dose").curve(p, nb.Named(dose=np.array([0.0, 20.0]))).tolist()
    [1.0, 6.0]
    """

    law: Literal["effect", "dose", "exposure"] = "effect"

    @property
    def inputs(self):
        return () if self.law == "effect" else ("dose",)

    @property
    def outcomes(self):
        return ("exposure", "response") if self.law == "exposure" else ()

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        alone = {"typical": None} if self.law == "dose" else {"typical": 0.0, "spread": 10.0, "variation": 2.0}
        placebo = Parameter("e0", "response", link="identity", **alone)
        largest = Parameter("emax", "response", typical=0.0, spread=10.0, variation=2.0, link="identity")
        return {
            "effect": (Parameter("mu", "outcome", typical=None, link="identity"),),
            "dose": (placebo, largest, Parameter("ed50", "dose", typical=10.0, spread=2.0, varies=False)),
            "exposure": (
                Parameter("cl", "dose/exposure", typical=1.0, spread=2.0), placebo, largest,
                Parameter("ec50", "exposure", typical=10.0, spread=2.0, varies=False),
            ),
        }[self.law]  # fmt: skip

    def curve(self, p, x):
        if self.law == "effect":
            return p.mu
        if self.law == "dose":
            return p.e0 + p.emax * x.dose / (p.ed50 + x.dose)
        exposure = x.dose / p.cl
        return {"exposure": exposure, "response": p.e0 + p.emax * exposure / (p.ec50 + exposure)}

    def heterogeneity(self, tree: xr.DataTree, errors: Sequence[float], *, study: str = "study") -> xr.Dataset:
        """How much studies differ, for every draw of a tree of the law ``"effect"`` without moderators.

        Parameters
        ----------
        tree : DataTree
        errors : array
            Known standard errors of the studies.
        study : str
            The level.

        Returns
        -------
        Dataset (chain, draw)
            ``effect`` average; ``tau``, the SD among studies; ``i2 = tau^2 / (tau^2 + s^2)`` with the typical sampling
            variance ``s^2``; ``positive``, the probability that the effect in a new study is above 0.

        Examples
        --------
        >>> import nlmebayes as nb
        >>> from model_zoo import MetaAnalysis
        >>> model = nb.Model(MetaAnalysis(), "mu ~ 1 + (1|study)", residual=nb.Aggregate(None, error="se"))
        >>> tree = nb.population(model, theta={"mu": -0.3}, omega={"sd": {"mu": 0.2}}, sigma={}, outcome="y")
        >>> found = MetaAnalysis().heterogeneity(tree, [0.1, 0.2, 0.3])
        >>> round(float(found["i2"].squeeze()), 2), round(float(found["positive"].squeeze()), 2)
        (0.53, 0.07)
        """
        weight = 1 / np.asarray(errors, dtype=float) ** 2
        sampling = (len(weight) - 1) * weight.sum() / (weight.sum() ** 2 - (weight**2).sum())
        posterior = tree["posterior"]
        effect = posterior["theta_mu"].sel(mu_term="Intercept", drop=True)
        tau = posterior[f"omega_{study}"].sel({f"{study}_effect": "mu"}, drop=True)
        positive = xr.apply_ufunc(special.ndtr, effect / np.maximum(tau, 1e-300))
        return xr.Dataset({"effect": effect, "tau": tau, "i2": tau**2 / (tau**2 + sampling), "positive": positive})
