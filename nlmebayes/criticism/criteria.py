r"""Criteria of a maximum likelihood: what is paid for each parameter.

.. math::
    AIC = -2 \log L + 2 p, \qquad BIC = -2 \log L + p \log N, \qquad
    BIC_c = -2 \log L + p_R \log N + p_F \log n

L is the marginal likelihood at its maximum, p the number of estimated parameters, N that of subjects and n that of
records. How much is known of a parameter grows with N where it is of what differs between subjects, and with n where
every record tells of it; which parameters are of which kind is answered in two ways:

- *Monolix* (2019): p_R counts omegas, correlations and the coefficients of covariates on parameters with random
  effects; p_F everything else, so also typical values. Found from two printed cases, 407.09 and 2495.59.
- *Delattre*, Lavielle and Poursat (2014), Electron. J. Stat. 8, 456-475, doi:10.1214/14-EJS890: p_R counts all fixed
  effects of parameters with random effects, typical values too, with omegas and correlations; p_F the fixed effects of
  other parameters and the residual.
"""

from dataclasses import dataclass, fields

import numpy as np

CRITERIA = "aic", "bic_subjects", "bic_records", "bicc_monolix", "bicc_delattre"


@dataclass(frozen=True)
class Counted:
    """How many parameters of each kind a model estimates.

    ``typical`` and ``slopes`` of parameters with random effects, ``typical_fixed`` and ``slopes_fixed`` of others,
    ``spreads`` (omegas and correlations), ``residual`` (parts of the residuals).
    """

    typical: int
    slopes: int
    typical_fixed: int
    slopes_fixed: int
    spreads: int
    residual: int

    @property
    def total(self):
        return sum(getattr(self, field.name) for field in fields(self))


def counted(model, design, outcomes):
    """`Counted` of a model on a design, with residuals of these outcomes."""
    varying = {effect.parameter for level in design.levels for effect in level.effects}
    number = {(varies, first): 0 for varies in (True, False) for first in (True, False)}
    for name, matrix in design.fixed.items():
        level = int(_holds_level(matrix.values))  # of the same model, whatever the coding of its factors
        number[name in varying, True] += level
        number[name in varying, False] += len(matrix.terms) - level
    spreads = sum(len(level.effects) for level in design.levels)
    blocks = [len(b.effects) for level in design.levels for b in level.blocks if b.name]
    parts = [(outcome, part) for outcome in outcomes for part in model.residual_of(outcome).priors(1.0)]
    return Counted(
        number[True, True], number[True, False], number[False, True], number[False, False],
        spreads + sum(n * (n - 1) // 2 for n in blocks),
        sum(len(design.scales[key].terms) if key in design.scales else 1 for key in parts),
    )  # fmt: skip


def _holds_level(columns):
    """Whether columns (unit, term) add up to a constant: an intercept, or the indicators of a factor."""
    constant = np.ones(len(columns))
    return np.allclose(columns @ np.linalg.lstsq(columns, constant)[0], constant, atol=1e-8)


def criteria(minus2ll, count, subjects, records):
    """The criteria by name, from -2 log L at the maximum and a `Counted`."""
    by_subject = {
        "monolix": count.spreads + count.slopes,
        "delattre": count.spreads + count.slopes + count.typical,
    }
    found = {
        "aic": 2 * count.total,
        "bic_subjects": count.total * np.log(subjects),
        "bic_records": count.total * np.log(records),
    }
    for name, random in by_subject.items():
        found[f"bicc_{name}"] = random * np.log(subjects) + (count.total - random) * np.log(records)
    return {name: float(minus2ll + paid) for name, paid in found.items()}
