"""`average`: several models, or the classes of a mixture, weighed by what they say of one patient.

    weight_k  ∝  prior_k  p(y | model k)                        "evidence": Bayes' rule, calibrated
    weight_k  ∝  prior_k  exp(-OFV_k / 2)                        "ofv"
    weight_k  =  that of `compare`                               weights=

with OFV_k the objective at the mode, sum(log var + (y - f)^2 / var) + eta' Omega^-1 eta. The second is the scheme of
Uster, Stocker, Carland et al. (2021), Clin. Pharmacol. Ther. 109, 175-183, doi:10.1002/cpt.2065. It leaves out how
large a part of the population explains the samples (log |Omega| and the curvature), so a wide prior costs it nothing.
The third is what the models were worth for subjects left out of their fits (stacking), the same for every patient: the
patient's own samples do not change it.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from nlmebayes.arguments import Count, NotNegative, Seed, Text, Tree, checked
from nlmebayes.criticism.model_comparison import Comparison
from nlmebayes.errors import ModelError
from nlmebayes.evaluation.fitted import REPORT, said
from nlmebayes.evaluation.prediction import predict
from nlmebayes.forecasting.forecaster import forecaster, rare_allowed
from nlmebayes.forecasting.options import Method, Options
from nlmebayes.model.model import Data

Scheme = Literal["evidence", "ofv"]


@dataclass(frozen=True, eq=False)
class Average:
    """Forecasts of one patient under several models, as `average` gives them.

    `predict` mixes the draws of all; for a choice of doses take each of ``forecasts`` and weigh its probabilities.

    Attributes
    ----------
    forecasts : dict of name -> DataTree
        As `forecast` gives them.
    weights : dict of name -> float
        They add up to 1.
    table : DataFrame
        Behind the weights: log evidence, OFV and prior by model.

    Examples
    --------
    >>> import pandas as pd, nlmebayes as nb
    >>> from model_zoo import OneCompartment
    >>> tree = nb.population(OneCompartment(), theta={"cl": 3.0, "v": 40.0},
    ...                      omega={"sd": {"cl": 0.3, "v": 0.2}}, sigma={"b": 0.15})
    >>> records = pd.DataFrame({"id": "ann", "time": [0, 2, 8], "amt": [100, 0, 0], "dv": [None, 2.1, 0.9]})
    >>> patient = nb.Dataset.from_nonmem(records, outcome="conc")
    >>> slow = nb.population(OneCompartment(), theta={"cl": 2.0, "v": 40.0},
    ...                      omega={"sd": {"cl": 0.3, "v": 0.2}}, sigma={"b": 0.15})
    >>> both = nb.average({"fast": tree, "slow": slow}, patient, prior={"fast": 0.5, "slow": 0.5}, random_seed=1)
    >>> {name: round(float(weight), 1) for name, weight in both.weights.items()}
    {'fast': 0.9, 'slow': 0.1}
    """

    forecasts: dict
    weights: dict
    table: pd.DataFrame

    @checked
    def predict(
        self, data: Data, *, draws: Count = 2000, random_seed: Seed | None = None
    ) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """Draws of the prediction and of a measurement from the mixture, {outcome: (draw, record)} each.

        Each draw comes from a model with the probability of its weight.

        Parameters
        ----------
        data : Dataset
            Of the patient: ``patient.over(time=...)``.
        draws : int
            Of the mixture.
        random_seed : int, optional

        Returns
        -------
        tuple of dict of outcome -> array (draw, record)
            The prediction, and a measurement.

        Raises
        ------
        ModelError, DataError, FormulaError
            As the verb `predict`.

        Examples
        --------
        >>> import pandas as pd, nlmebayes as nb
        >>> from model_zoo import OneCompartment
        >>> tree = nb.population(OneCompartment(), theta={"cl": 3.0, "v": 40.0},
        ...                      omega={"sd": {"cl": 0.3, "v": 0.2}}, sigma={"b": 0.15})
        >>> records = pd.DataFrame({"id": "ann", "time": [0, 2, 8], "amt": [100, 0, 0], "dv": [None, 2.1, 0.9]})
        >>> patient = nb.Dataset.from_nonmem(records, outcome="conc")
        >>> both = nb.average({"one": tree, "same": tree}, patient, random_seed=1)
        >>> f, measured = both.predict(patient.over(time=[12.0, 24.0]), draws=100, random_seed=1)
        >>> f["conc"].shape
        (100, 2)
        """
        rng = np.random.default_rng(random_seed)
        count = rng.multinomial(draws, list(self.weights.values()))
        f, measured = {}, {}
        for tree, n in zip(self.forecasts.values(), count, strict=True):
            if not n:
                continue
            found = predict(tree, data, random_seed=int(rng.integers(2**31)))
            for outcome in found["posterior_predictive"].data_vars:
                values = (
                    found["posterior"][f"f_{outcome}"].to_numpy(),
                    found["posterior_predictive"][outcome].to_numpy(),
                )
                chosen = rng.integers(values[0].shape[0] * values[0].shape[1], size=n)
                for kept, each in zip((f, measured), values, strict=True):
                    kept.setdefault(outcome, []).append(each.reshape(-1, each.shape[-1])[chosen])
        return {k: np.concatenate(v) for k, v in f.items()}, {k: np.concatenate(v) for k, v in measured.items()}


@checked
def average(
    trees: dict[Text, Tree], patient: Data, *, prior: dict[Text, NotNegative] | None = None,
    scheme: Scheme | None = None, weights: Comparison | dict[Text, NotNegative] | None = None,
    method: Method = "auto", random_seed: Seed | None = None, **options: Options,
) -> Average:  # fmt: skip
    """Forecast a patient under several models.

    Parameters
    ----------
    trees : dict of name -> DataTree
        Published models or fits of the same measurements; or the classes of a mixture population, such as
        ``{"extensive": ..., "poor": ...}``, the prior then being the shares of the classes.
    patient : Dataset
        With what every model reads; it may have more columns.
    prior : dict of name -> probability, optional
        By default equal.
    scheme : {"evidence", "ofv"}, optional
        What weighs a model; see the first lines of the module. By default the evidence.
    weights : Comparison or dict of name -> number, optional
        Weights that the patient's samples do not change, in place of prior and scheme: of a comparison of these fits
        those of stacking; ``comparison.weights("pseudo_bma")`` gives the others.
    method, random_seed, **options
        Of `forecast`.

    Returns
    -------
    Average

    Raises
    ------
    ModelError
        No model, an unknown scheme, a prior of other names, or what `forecast` refuses.

    Examples
    --------
    >>> import pandas as pd, nlmebayes as nb
    >>> from model_zoo import OneCompartment
    >>> tree = nb.population(OneCompartment(), theta={"cl": 3.0, "v": 40.0},
    ...                      omega={"sd": {"cl": 0.3, "v": 0.2}}, sigma={"b": 0.15})
    >>> records = pd.DataFrame({"id": "ann", "time": [0, 2, 8], "amt": [100, 0, 0], "dv": [None, 2.1, 0.9]})
    >>> patient = nb.Dataset.from_nonmem(records, outcome="conc")
    >>> slow = nb.population(OneCompartment(), theta={"cl": 2.0, "v": 40.0},
    ...                      omega={"sd": {"cl": 0.3, "v": 0.2}}, sigma={"b": 0.15})
    >>> both = nb.average({"fast": tree, "slow": slow}, patient, prior={"fast": 0.5, "slow": 0.5}, random_seed=1)
    >>> {name: round(float(weight), 1) for name, weight in both.weights.items()}
    {'fast': 0.9, 'slow': 0.1}
    """
    if not trees:
        raise ModelError("average: trees must hold models by name, e.g. {'extensive': tree, 'poor': other}; got none")
    if weights is not None and (prior is not None or scheme is not None):
        raise ModelError("average: weights= stand in place of prior= and scheme=; give either")
    weights = weights.weights() if isinstance(weights, Comparison) else weights
    prior = prior or dict.fromkeys(trees, 1.0)
    for argument, given in (("prior", prior), ("weights", prior if weights is None else weights)):
        if set(given) != set(trees) or not sum(given.values()):
            raise ModelError(
                f"average: {argument} must give each of {', '.join(trees)} a probability, not all of them 0"
            )
    own = Options(**options)
    found, rows = {}, []
    for name, tree in trees.items():
        ready = forecaster(tree)
        with rare_allowed():  # a patient whom one of the models has rarely is what they are compared for
            found[name] = ready.forecast(patient, method=method, random_seed=random_seed, **options)
        evidence = said(found[name], REPORT)["log_evidence"]
        rows.append({"model": name, "log_evidence": evidence, "ofv": objective(ready, patient, own)})
    table = pd.DataFrame(rows).assign(prior=[prior[name] for name in trees])
    table["weight"] = _weight(table, scheme, [weights[name] for name in trees] if weights else None)
    return Average(found, dict(zip(trees, table["weight"].tolist(), strict=True)), table)


def _weight(table, scheme, weights):
    """Weights that sum to one: those that are given, or by a scheme."""
    if weights is not None:
        return np.array(weights) / sum(weights)
    score = -0.5 * table["ofv"] if scheme == "ofv" else table["log_evidence"]
    with np.errstate(divide="ignore"):
        score = score + np.log(table["prior"])
    weight = np.exp(score - score.max())
    return weight / weight.sum()


def objective(ready, patient, options):
    """The objective of a `Forecaster` at the mode: sum(log var + (y - f)^2 / var) + eta' Omega^-1 eta.

    A sample below quantification adds -2 log of its probability; of a residual that is not normal it is -2 log of the
    density, less log(2 pi) for each sample, so that models are comparable.
    """
    mode, target = ready.mode(patient, **options.density)
    measured = sum(int((~each.records.censored[each.first]).sum()) for each in target.observed)
    return float(-2 * mode.value[0] - (target.size + measured) * np.log(2 * np.pi))
