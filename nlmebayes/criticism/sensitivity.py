r"""Do priors and data pull apart? Power scaling of the population's priors.

The posterior under the prior to the power alpha, or the likelihood to the power alpha, is that of weighted draws; how
fast a quantity moves with log2 alpha is its sensitivity (cumulative Jensen-Shannon distance, ArviZ' `psense`). Both are
large where the prior wants one thing and the data another, whichever of them wins. The law of the random effects is no
prior of the population: to that the effects are as good as data, and their density is part of the likelihood.

Source: Kallioinen, Paananen, Bürkner and Vehtari (2024), Stat. Comput. 34, 57.
"""

import numpy as np
import pandas as pd
import xarray as xr
from arviz_stats import psense

from nlmebayes.evaluation.log_priors import correlations, log_priors, values_of, within

FEWEST = 400  # draws whose weights tell 0.15 from noise
PULLED, MOVED = 0.15, 0.05  # sensitivities to prior and likelihood from which on it is said


def log_likelihood(design, records, posterior):
    """Log-density of the measurements and of the random effects given the population, (chain, draw)."""
    total = sum(x.sum([d for d in x.dims if d not in ("chain", "draw")]).to_numpy() for x in records.values())
    for level in design.levels:
        eta, omega = (posterior[f"{name}_{level.name}"].to_numpy() for name in ("eta", "omega"))
        corr = (
            posterior[f"corr_{level.name}"].to_numpy() if f"corr_{level.name}" in posterior else np.eye(omega.shape[-1])
        )
        chol = omega[..., None] * np.linalg.cholesky(corr)
        z = np.linalg.solve(chol, np.swapaxes(eta, -1, -2))  # (chain, draw, effect, group)
        size = np.log(np.diagonal(chol, axis1=-2, axis2=-1)).sum(axis=-1)
        total = total - 0.5 * (z**2).sum(axis=(-1, -2)) - eta.shape[-2] * size
    return total


def sensitivity(laws, design, tree):
    """One row for each quantity with a prior: its sensitivity to prior and likelihood, the prior that moves it most,
    which way (-1 down, 1 up)."""
    posterior = tree["posterior"].to_dataset()
    own = within(laws, posterior)
    values = values_of(own, posterior)
    others, beside = correlations(laws, design, posterior)
    each = np.concatenate([log_priors(own, values), *(x[..., None] for x in beside)], axis=-1)
    likelihood = log_likelihood(design, tree["log_likelihood"], posterior)
    groups = {"posterior": {"x": (("chain", "draw", "quantity"), values)}}
    groups |= {"log_prior": {"all": (("chain", "draw", "one"), each.sum(axis=-1, keepdims=True))}}
    groups |= {"log_likelihood": {"all": (("chain", "draw", "one"), likelihood[..., None])}}
    scaled = xr.DataTree.from_dict({
        name: xr.Dataset(x, coords={d: np.arange(values.shape[i]) for i, d in enumerate(("chain", "draw"))})
        for name, x in groups.items()
    })  # fmt: skip
    found = {group: psense(scaled, group=group)["x"].to_numpy() for group in ("prior", "likelihood")}
    pull = _covariances(values, each)
    mover = np.abs(pull).argmax(axis=1)
    return pd.DataFrame({
        "quantity": [law.name for law in own], **found, "mover": [(own + others)[k].name for k in mover],
        "text": [(own + others)[k].text for k in mover], "way": np.sign(pull[np.arange(len(own)), mover]),
    })  # fmt: skip


def findings(laws, design, tree):
    """Sentences on priors that pull against the data, one for each prior with all that it moves; none where draws are
    too few, or stand still."""
    posterior = tree["posterior"].to_dataset()
    values = values_of(within(laws, posterior), posterior)
    if values[..., 0].size < FEWEST or not (values.std(axis=(0, 1)) > 0).all():
        return
    table = sensitivity(laws, design, tree)
    pulled = table[(table["prior"] > PULLED) & (table["likelihood"] > MOVED)]
    for mover, rows in pulled.groupby("mover", sort=False):
        ways = ["up" if way > 0 else "down" for way in rows["way"]]
        moved = ", ".join(f"{name} {way}" for name, way in zip(rows["quantity"], ways, strict=True))
        prior, data = rows["prior"].max(), rows["likelihood"].max()
        yield (
            f"the prior of {mover}, {rows['text'].iloc[0]}, and the data pull apart (power scaling: prior {prior:.2f}, "
            f"data {data:.2f}; {PULLED} is much): it holds {moved}. Unless you believe it more than these data, state "
            "a wider one"
        )


def _covariances(values, log_densities):
    """Covariance of each quantity with each log-density, in SDs of the quantity, (law, density): how far a prior twice
    as strong would move it, to first order."""
    x = values.reshape(-1, values.shape[-1])
    x = (x - x.mean(axis=0)) / np.maximum(x.std(axis=0), 1e-300)
    return x.T @ (log_densities - log_densities.mean(axis=(0, 1))).reshape(len(x), -1) / len(x)
