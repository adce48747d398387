"""Power scaling of priors: conjugate posteriors whose prior wins, loses, or agrees with the data."""

from types import SimpleNamespace

import numpy as np
import pytest
import xarray as xr
from scipy import stats

import nlmebayes as nb
from nlmebayes.criticism import sensitivity
from nlmebayes.evaluation import storage
from nlmebayes.parameter.laws import Law
from nlmebayes.parameter.parameter import Prior

FLAT = SimpleNamespace(levels=())


def law(mu, sigma):
    return Law("theta_mu", "Intercept", Prior("Normal", mu=mu, sigma=sigma), False, "default")


def posterior(mu, sigma, mean, se):
    """Draws of a normal mean under a normal prior, with their log-likelihood: 4,000 of the exact posterior."""
    precision = np.array([sigma**-2.0, se**-2.0])
    x = np.random.default_rng(1).normal(precision @ [mu, mean] / precision.sum(), precision.sum() ** -0.5, (4, 1000))
    coords = {"mu_term": ["Intercept"]}
    return xr.DataTree.from_dict({
        "posterior": xr.Dataset({"theta_mu": (("chain", "draw", "mu_term"), x[..., None])}, coords),
        "log_likelihood": xr.Dataset({"y": (("chain", "draw", "y_obs"), stats.norm(mean, se).logpdf(x)[..., None])}),
    })  # fmt: skip


def said(*given):
    return list(sensitivity.findings([law(*given[:2])], FLAT, posterior(*given)))


@pytest.mark.parametrize(("given", "way"), [
    ((0.0, 1.0, 6.0, 1.0), "down"),  # neither wins
    ((0.0, 0.01, 1.0, 0.1), "down"),  # the prior wins: a posterior within one of its SDs
    ((0.0, 1.0, -20.0, 0.1), "up"),  # the data win
])  # fmt: skip
def test_a_prior_that_pulls_against_the_data_is_said_whichever_wins(given, way):
    (text,) = said(*given)
    assert text.startswith(
        f"the prior of theta_mu[Intercept], Normal(mu=0, sigma={given[1]:g}), and the data pull apart"
    )
    assert f"it holds theta_mu[Intercept] {way}." in text


@pytest.mark.parametrize(
    "given", [(0.0, 1.0, 1.0, 0.3), (0.0, 1.0, 0.5, 1.0), (0.0, 1.0, 0.0, 100.0), (3.0, 0.01, 3.0, 1.0)]
)
def test_a_prior_that_agrees_or_that_nothing_contradicts_is_not(given):
    assert not said(*given)


def test_few_draws_and_draws_that_stand_still_say_nothing():
    found = posterior(0.0, 1.0, 6.0, 1.0)
    few, still = found.isel(draw=slice(0, 20)), found.map_over_datasets(lambda each: each * 0 + 1.0)
    assert [list(sensitivity.findings([law(0.0, 1.0)], FLAT, tree)) for tree in (few, still)] == [[], []]


def test_log_priors_are_those_of_scipy():
    square = Prior("InverseGamma", alpha=3.0, beta=0.2)
    laws = [law(0.0, 2.0), Law("omega_id", "cl", square, True, "model"), law(1.0, 3.0)]
    x = np.random.default_rng(0).uniform(0.1, 1.0, (2, 5, 3))
    wanted = [
        stats.norm(0, 2).logpdf(x[..., 0]),
        stats.invgamma(3, scale=0.2).logpdf(x[..., 1] ** 2) + np.log(x[..., 1]),
        stats.norm(1, 3).logpdf(x[..., 2]),
    ]
    assert sensitivity.log_priors(laws, x) == pytest.approx(np.stack(wanted, axis=-1), rel=1e-6, abs=1e-6)


def test_the_law_of_the_effects_is_part_of_the_likelihood():
    rng = np.random.default_rng(2)
    eta, omega, r = rng.normal(size=(1, 3, 5, 2)), rng.uniform(0.5, 2.0, (1, 3, 2)), rng.uniform(-0.9, 0.9, (1, 3))
    corr = np.array([[[[1.0, x], [x, 1.0]] for x in r[0]]])
    dims = {"eta_id": ("g", "e"), "omega_id": ("e",), "corr_id": ("e", "e2")}
    drawn = {"eta_id": eta, "omega_id": omega, "corr_id": corr}
    posterior = xr.Dataset({name: (("chain", "draw", *dims[name]), x) for name, x in drawn.items()})
    records = xr.Dataset({"y": (("chain", "draw", "y_obs"), rng.normal(size=(1, 3, 4)))})
    design = SimpleNamespace(levels=[SimpleNamespace(name="id")])
    laws = [stats.multivariate_normal(cov=np.outer(w, w) * c) for w, c in zip(omega[0], corr[0], strict=True)]
    wanted = [law.logpdf(x).sum() + 5 * np.log(2 * np.pi) for law, x in zip(laws, eta[0], strict=True)]
    found = sensitivity.log_likelihood(design, records, posterior)[0] - records["y"].sum("y_obs").to_numpy()[0]
    assert found == pytest.approx(wanted, rel=1e-10)


def test_laws_are_carried_and_a_damaged_one_is_refused():
    laws = [law(0.0, 2.0), Law("omega_id", "cl", Prior("InverseGamma", alpha=3, beta=0.2), True, "model")]
    tree = xr.DataTree()
    tree.attrs[storage.LAWS] = storage.written_laws(laws)
    assert storage.laws_of(tree, None, None) == laws
    for damaged in ('{"a": 1}', "[{}]", "no", tree.attrs[storage.LAWS].replace("Normal", "CustomDist")):
        tree.attrs[storage.LAWS] = damaged
        with pytest.raises(nb.ModelError):
            storage.laws_of(tree, None, None)
