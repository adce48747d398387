from dataclasses import dataclass

from nlmebayes import Curve, Parameter


@dataclass(frozen=True)
class CountGLMM(Curve):
    r"""Counts with a log-linear rate: cells in patients, ticks on chicks, seizures.

    .. math:: y_{ij} \sim \text{Counts}(e_{ij} f_{ij}), \qquad \log f_{ij} = X_{ij} \theta + \sum_L Z_{ij} \eta_L

    ``rate`` f (counts per unit of the exposure e). Its formula carries everything: ``"rate ~ 1 + arm + (1|patient)"``.
    The residual is `Poisson`, `NegativeBinomial` or `ZeroInflated`, which reads the exposure (a time, an area, the size
    factor of a cell) from a column.

    References
    ----------
    Breslow and Clayton (1993), J. Am. Stat. Assoc. 88, 9-25.

    Examples
    --------
    >>> import nlmebayes as nb
    >>> from model_zoo import CountGLMM
    >>> model = nb.Model(CountGLMM(), "rate ~ 1 + trt + (1|subject)", residual=nb.Poisson())
    >>> tree = nb.fit(model, nb.datasets.epil(), method="ml")
    >>> tree["posterior"]["theta_rate"].squeeze().to_series().round(1).to_dict()
    {'Intercept': 1.8, 'trt[progabide]': -0.3}
    """

    parameters = (Parameter("rate", "1/exposure", typical=1.0, spread=2.0),)

    def curve(self, p, x):
        return p.rate
