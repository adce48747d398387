from dataclasses import dataclass

from nlmebayes import Curve, Parameter


@dataclass(frozen=True)
class HospitalProfile(Curve):
    r"""Outcome rates of hospitals: each has a risk of its own, and small ones are drawn to the others.

    .. math:: y_h \sim \text{Binomial}(n_h, p_h), \qquad \text{logit}\,p_h = X_h \theta + \eta_h

    ``risk`` p, the probability of the outcome for one patient (1). Case mix stands in its formula:
    ``"risk ~ 1 + age + (1|hospital)"``. The residual is ``Binomial("n")``, or `Bernoulli` with a row for each patient.
    Ranks, and the probability to be above the average of the system, are those of the draws of ``risk``.

    References
    ----------
    Normand, Glickman and Gatsonis (1997), J. Am. Stat. Assoc. 92, 803-814.

    Examples
    --------
    Herds instead of hospitals, with the number of animals in the column ``size``:

    >>> import nlmebayes as nb
    >>> from model_zoo import HospitalProfile
    >>> model = nb.Model(HospitalProfile(), "risk ~ 1 + (1|herd)", residual=nb.Binomial("size"))
    >>> tree = nb.fit(model, nb.datasets.cbpp(), method="ml")
    >>> nb.summary(tree).set_index("quantity")["mean"].round(2).to_dict()
    {'risk': 0.11, 'omega_herd risk': 0.82}
    """

    parameters = (Parameter("risk", "1", typical=0.1, link="logit"),)

    def curve(self, p, x):
        return p.risk
