from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
import pytensor.tensor as pt
import xarray as xr

from nlmebayes import Curve, Parameter


@dataclass(frozen=True)
class TreatmentHeterogeneity(Curve):
    r"""Risk of an event under a treatment that is alike for all on a relative scale, and not in absolute terms.

    .. math::
        risk_1 = 1 - (1 - risk)^{ratio} \quad\text{(hazard)} \qquad\text{or}\qquad
        \frac{risk_1}{1 - risk_1} = ratio \, \frac{risk}{1 - risk} \quad\text{(odds)}

    ``risk`` probability of an event without the treatment (fraction), whose formula has what makes patients differ,
    ``ratio`` hazard or odds ratio of the treatment (dimensionless), the same for all. The input ``treated`` is 0 or 1.
    The benefit, risk - risk_1, differs with the risk.

    Parameters
    ----------
    constant : {"hazard", "odds"}
        Whose ratio is constant.

    References
    ----------
    Kent et al. (2010), Trials 11, 85, doi:10.1186/1745-6215-11-85; Stinnett and Mullahy (1998), Med. Decis.
    Making 18, S68-S80, for the net benefit.

    Examples
    --------
    >>> import numpy as np, nlmebayes as nb
    >>> from model_zoo import TreatmentHeterogeneity
    >>> p = nb.Named(risk=0.2, ratio=0.5)
    >>> TreatmentHeterogeneity().curve(p, nb.Named(treated=np.array([0.0, 1.0]))).eval().round(2).tolist()
    [0.2, 0.11]
    """

    constant: Literal["hazard", "odds"] = "hazard"

    inputs = ("treated",)
    parameters = (
        Parameter("risk", "fraction", typical=0.2, link="logit"),
        Parameter("ratio", "dimensionless", typical=1.0, spread=0.5, varies=False),
    )

    def curve(self, p, x):
        if self.constant == "hazard":
            return -pt.expm1(p.ratio**x.treated * pt.log1p(-p.risk))
        return pt.sigmoid(pt.log(p.risk) - pt.log1p(-p.risk) + x.treated * pt.log(p.ratio))

    def benefit(self, p: Mapping) -> Any:
        """Events that the treatment spares per patient, ``risk - risk_1``.

        Parameters
        ----------
        p : dict, or the posterior of a tree
            ``risk`` and ``ratio``: numbers, arrays, or variables for every draw and unit.

        Returns
        -------
        As the parameters

        Examples
        --------
        >>> from model_zoo import TreatmentHeterogeneity
        >>> round(float(TreatmentHeterogeneity().benefit({"risk": 0.2, "ratio": 0.5})), 3)
        0.094
        """
        risk, ratio = p["risk"], p["ratio"]
        if self.constant == "hazard":
            return risk + np.expm1(ratio * np.log1p(-risk))
        return risk - ratio * risk / (1 - risk + ratio * risk)

    def worth(self, tree: xr.DataTree, *, cost: float, gain: float, price: float) -> pd.DataFrame:
        """What the treatment is worth in each unit of a tree.

        Parameters
        ----------
        tree : DataTree
            From `fit`, or from `predict` for patients of interest.
        cost : float
            Of one treatment.
        gain : float
            What an event spared brings, such as QALYs.
        price : float
            What is paid for one unit of gain.

        Returns
        -------
        DataFrame
            By unit ``risk``; ``benefit`` with ``eti_lb`` and ``eti_ub`` (of 90 %); ``nnt``, the number to treat for one
            event spared;
            ``icer = cost / (gain benefit)``; ``net = price gain benefit - cost``, and ``p_worth`` that it is above 0.
            Ratios are of posterior means.

        Examples
        --------
        >>> import xarray as xr
        >>> from model_zoo import TreatmentHeterogeneity
        >>> dims, coords = ("chain", "draw", "unit"), {"unit": ["low", "high"]}
        >>> drawn = {"risk": (dims, [[[0.05, 0.4]]]), "ratio": (dims, [[[0.5, 0.5]]])}
        >>> tree = xr.DataTree.from_dict({"posterior": xr.Dataset(drawn, coords)})
        >>> found = TreatmentHeterogeneity().worth(tree, cost=1000.0, gain=1.0, price=20_000.0)
        >>> found[["risk", "benefit", "nnt", "net"]].round(2).to_dict("index")["high"]
        {'risk': 0.4, 'benefit': 0.17, 'nnt': 5.73, 'net': 2491.93}
        """
        drawn = tree["posterior"].to_dataset()[["risk", "ratio"]].stack(sample=("chain", "draw"), create_index=False)
        benefit = self.benefit(drawn).transpose("unit", "sample")
        mean, net = benefit.mean("sample").to_numpy(), price * gain * benefit - cost
        low, high = np.quantile(benefit.to_numpy(), [0.05, 0.95], axis=1)
        with np.errstate(divide="ignore"):
            nnt = np.where(mean > 0, 1 / mean, np.inf)
        return pd.DataFrame(
            {
                "risk": drawn["risk"].mean("sample").to_numpy(), "benefit": mean, "eti_lb": low, "eti_ub": high,
                "nnt": nnt, "icer": cost * nnt / gain, "net": net.mean("sample").to_numpy(),
                "p_worth": (net > 0).mean("sample").to_numpy(),
            },
            index=pd.Index(benefit["unit"].to_numpy(), name="unit"),
        )  # fmt: skip
