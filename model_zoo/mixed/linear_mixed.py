from dataclasses import dataclass

from nlmebayes import LinearPredictor


@dataclass(frozen=True)
class LinearMixed(LinearPredictor):
    r"""Linear mixed model: the prediction is the linear predictor itself.

    .. math:: f_j = \mu_j = X_j \theta + \sum_L Z_j \eta_L

    ``mu`` has the unit of the outcome. Its formula carries everything: ``"mu ~ 1 + Days + (1 + Days|Subject)"``. The
    default prior of the intercept is Normal(mean, 2.5 SD) of the measurements at the mean of the covariates, of a slope
    2.5 SD per SD of what its covariate holds beside the others, of omega HalfNormal(SD).

    References
    ----------
    Laird and Ware (1982), Biometrics 38, 963-974, doi:10.2307/2529876, eq. 2.1.

    Examples
    --------
    >>> import nlmebayes as nb
    >>> from model_zoo import LinearMixed
    >>> model = nb.Model(LinearMixed(), "mu ~ 1 + Days + (1 + Days|Subject)")
    >>> tree = nb.fit(model, nb.datasets.sleepstudy(), method="ml")
    >>> tree["posterior"]["theta_mu"].squeeze().to_series().round(1).to_dict()
    {'Intercept': 251.4, 'Days': 10.5}
    """

    formulas = ()
