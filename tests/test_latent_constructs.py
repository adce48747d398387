"""`LatentConstructs`: moments and maximum likelihood of the two-level linear model by hand, scores, products."""

import numpy as np
import pandas as pd
import pytensor.tensor as pt
import pytest
from laws import compiled, extrapolated_slope
from mixed import agrees
from scipy import linalg, optimize, special, stats
from trees import stated

import nlmebayes as nb
from model_zoo import LatentConstructs
from nlmebayes.evaluation import evaluator
from nlmebayes.formula.design import resolve
from nlmebayes.structure.structure import Named

STRUCTURE, LINEAR = LatentConstructs(), LatentConstructs(joint=False)
COLUMNS = STRUCTURE.outcomes
NU = [0.2, -0.1, 0.3, 0.0, 0.1, -0.2]
LOADING = {"f2": 0.8, "f3": 1.2, "a2": 0.9, "a3": 0.7}
EFFECT = {"effect_fidelity": 0.6, "effect_adaptation": 0.3}
SIGMA = dict(zip(COLUMNS, [0.5, 0.6, 0.7, 0.6, 0.5, 0.8, 0.6], strict=True))
CLINIC, PROVIDER = (0.6, 0.5, -0.4), (0.9, 0.8, 0.3)  # SDs and correlation of the two constructs
JOINT, BASE, TAU = 0.4, 0.5, 0.4
UNIT = {"fidelity": 1.0, "adaptation": (1 + 0.9 + 0.7) / 3}  # average loading where that of the first item is 1


def values(model, data):
    """The truth as `simulate` takes it."""
    unit = UNIT["adaptation"]
    theta = dict(zip((f"nu_{c}" for c in COLUMNS), NU, strict=False)) | {"base": BASE}
    theta |= {"effect_fidelity": 0.6, "effect_adaptation": 0.3 / unit}
    theta |= {f"lambda_{item}": np.log(value) for item, value in LOADING.items()}
    found = {f"theta_{name}": [value] for name, value in theta.items()}
    found |= {f"sigma_{c}_a": value for c, value in SIGMA.items()}
    found |= {"theta_joint_fidelity_adaptation": [JOINT / unit]} if model.structure.joint else {}
    corr = linalg.block_diag([[1, CLINIC[2]], [CLINIC[2], 1]], 1)
    found |= {"omega_clinic": [CLINIC[0], CLINIC[1] * unit, TAU], "corr_clinic": corr}
    found |= {"omega_provider": [PROVIDER[0], PROVIDER[1] * unit]}
    return found | {"corr_provider": [[1, PROVIDER[2]], [PROVIDER[2], 1]]}


def frame(clinics, providers=3, gaps=()):
    clinic = np.repeat(np.arange(clinics), providers)
    found = pd.DataFrame({"clinic": clinic, "provider": np.arange(len(clinic))}).assign(**dict.fromkeys(COLUMNS, 0.0))
    for row, column in gaps:
        found.loc[row, column] = np.nan
    return found


def dataset(table):
    return nb.Dataset.from_frame(table, outcome=COLUMNS, levels=("clinic", "provider"), duplicates="keep")


def simulated(model, data, seed=1):
    drawn = stated(model, data, seed=seed, **values(model, data))["prior_predictive"]
    return data.with_values(**{c: drawn[c].to_numpy().ravel() for c in COLUMNS})


def moments(nu, loading, effect, base, sigma, clinic, provider, tau, providers):
    """Mean and covariance of all columns of the providers of a clinic, of a linear model; the loadings of the first
    items are 1."""
    a = np.zeros((7, 2))
    a[:3, 0], a[3:6, 1], a[6] = [1, *loading[:2]], [1, *loading[2:]], effect
    between, within = (
        a @ np.array([[s**2, r * s * t], [r * s * t, t**2]]) @ a.T for s, t, r in (clinic, provider)
    )  # fmt: skip
    between[6, 6] += tau**2
    cov = np.kron(np.ones((providers, providers)), between) + np.kron(np.eye(providers), within + np.diag(sigma**2))
    return np.tile([*nu, base], providers), cov


TRUTH = NU, [*LOADING.values()], [*EFFECT.values()], BASE, np.array([*SIGMA.values()]), CLINIC, PROVIDER, TAU


def test_the_moments_of_a_clinic_are_those_of_the_two_level_model():
    """Without the product all is linear in the effects: each effect by itself gives a column of its matrix."""
    model, data = nb.Model(LINEAR), dataset(frame(2))
    design, v = resolve(model, data), values(model, data)
    sizes = {level.name: (len(level.labels), len(level.effects)) for level in design.levels}
    ends = np.cumsum([np.prod(size) for size in sizes.values()])
    each = np.split(np.vstack([np.zeros(ends[-1]), np.eye(ends[-1])]), ends[:-1], axis=1)
    eta = {name: part.reshape(-1, *size) for (name, size), part in zip(sizes.items(), each, strict=True)}
    theta = {p.name: np.tile(v.get(f"theta_{p.name}", []), (ends[-1] + 1, 1)) for p in LINEAR.parameters}
    f = evaluator.evaluator(model, design)(theta, eta)[1]
    f = np.stack([f[c] for c in COLUMNS], axis=-1)[:, :3].reshape(-1, 21)  # the providers of the first clinic
    effects = [np.asarray(v[f"corr_{k}"]) * np.outer(v[f"omega_{k}"], v[f"omega_{k}"]) for k in sizes]
    omega = linalg.block_diag(*(np.kron(np.eye(n), e) for (n, _), e in zip(sizes.values(), effects, strict=True)))
    slopes = f[1:] - f[0]
    mean, cov = moments(*TRUTH, providers=3)
    assert f[0] == pytest.approx(mean, abs=1e-12)
    assert slopes.T @ omega @ slopes + np.diag(np.tile([*SIGMA.values()], 3) ** 2) == pytest.approx(cov, abs=1e-12)


GAPS = ((0, "f1"), (4, "a2"), (7, "f2"), (7, "f3"), (10, "outcome"), (13, "a1"))


@pytest.fixture(scope="module")
def data():
    return simulated(nb.Model(LINEAR), dataset(frame(40, gaps=GAPS)))


@pytest.fixture(scope="module")
def tree(data):
    return nb.fit(nb.Model(LINEAR), data, draws=200, tune=300, chains=2, random_seed=1, progressbar=False)


def maximum(data):
    """Maximum likelihood of the linear model, each clinic a normal vector without what is missing.

    The correlations have their prior, LKJ(2) on the scale of atanh: without it that among clinics is at its edge, -1.
    """
    wide = data.observations.pivot(index="row", columns="outcome", values="value")[[*COLUMNS]]
    wide = wide.to_numpy().reshape(40, 21)
    patterns = {}
    for clinic in wide:
        patterns.setdefault(tuple(np.flatnonzero(np.isfinite(clinic))), []).append(clinic)

    def read(x):
        clinic, provider = ((*np.exp(k[:2]), np.tanh(k[2])) for k in (x[20:23], x[23:26]))
        return x[:6], np.exp(x[6:10]), x[10:12], x[12], np.exp(x[13:20]), clinic, provider, np.exp(x[26])

    def negative(x):
        mean, cov = moments(*read(x), providers=3)
        each = (
            stats.multivariate_normal(mean[[*k]], cov[np.ix_(k, k)]).logpdf(np.array(v)[:, k]).sum()
            for k, v in patterns.items()
        )
        return -sum(each) - 2 * np.log(1 - np.tanh(x[[22, 25]]) ** 2).sum()

    start = [*NU, *np.log([*LOADING.values()]), *EFFECT.values(), BASE, *np.log([*SIGMA.values()])]
    start += [x for s, t, r in (CLINIC, PROVIDER) for x in (np.log(s), np.log(t), np.arctanh(r))] + [np.log(TAU)]
    found = optimize.minimize(negative, start, method="L-BFGS-B", bounds=[(-3, 3)] * 27)
    assert found.success
    return read(found.x)


def test_posterior_means_are_near_the_maximum_of_the_marginal_likelihood(tree, data):
    nu, loading, effect, base, sigma, clinic, provider, tau = maximum(data)
    found = dict(zip((f"nu_{c}" for c in COLUMNS), nu, strict=False)) | {"base": base, "omega_clinic base": tau}
    found |= dict(zip((f"lambda_{item}" for item in LOADING), loading, strict=True))
    one, other = (1 + loading[:2].sum()) / 3, (1 + loading[2:].sum()) / 3
    found |= {"effect_fidelity": effect[0] / one, "effect_adaptation": effect[1] / other}
    found |= dict(zip((f"sigma_{c}_a" for c in COLUMNS), sigma, strict=True))
    for name, (s, t, r) in {"clinic": clinic, "provider": provider}.items():
        found |= {f"omega_{name} fidelity": s * one, f"omega_{name} adaptation": t * other}
        found |= {f"corr_{name} fidelity, adaptation": r}
    agrees(tree, found, within=1)


def test_the_truth_is_found_again(tree):
    found = {"effect_fidelity": 0.6, "effect_adaptation": 0.3 / UNIT["adaptation"]}
    found |= {f"lambda_{item}": value for item, value in LOADING.items()}
    found |= {"omega_provider fidelity": 0.9, "omega_provider adaptation": 0.8 * UNIT["adaptation"]}
    agrees(tree, found, within=3)


def test_an_item_that_is_missing_is_missing_alone(data):
    counts = data.observations["outcome"].value_counts()
    assert counts.to_dict() == {c: 120 - sum(c == gap for _, gap in GAPS) for c in COLUMNS}


def test_a_new_clinic_has_the_scores_of_the_regression_method():
    """Thomson's factor scores: the mean of a construct given items is linear in them, without a product."""
    model, known = nb.Model(LINEAR), dataset(frame(4))
    tree = stated(model, known, draws=400, **values(model, known))
    items = np.array([1.0, 0.4, np.nan, -0.5, -0.9, 0.2])
    answers = {c: value for c, value in zip(COLUMNS, items, strict=False) if np.isfinite(value)}
    new = pd.DataFrame({"clinic": "new", "provider": "one"} | answers, index=[0])
    patient = nb.Dataset.from_frame(new, outcome=[*answers], levels=("clinic", "provider"))
    mean, cov = moments(*TRUTH, providers=1)
    seen, (s, t, r), (u, w, q) = np.flatnonzero(np.isfinite(items)), CLINIC, PROVIDER
    phi = np.array([[s**2 + u**2, r * s * t + q * u * w], [r * s * t + q * u * w, t**2 + w**2]])
    a = np.zeros((7, 2))
    a[:3, 0], a[3:6, 1] = [1, 0.8, 1.2], [1, 0.9, 0.7]
    weights = phi @ a[seen].T @ np.linalg.inv(cov[np.ix_(seen, seen)])
    posterior = nb.forecast(tree, patient, draws=4000, random_seed=1)["posterior"]
    drawn = np.stack([posterior[name].to_numpy().ravel() / unit for name, unit in UNIT.items()])
    assert drawn.mean(axis=1) == pytest.approx(weights @ (items - mean[:6])[seen], abs=0.04)
    assert np.cov(drawn) == pytest.approx(phi - weights @ a[seen] @ phi, abs=0.03)


AT = {"fidelity": 0.7, "adaptation": -1.2, "base": BASE} | EFFECT
AT |= {f"nu_{c}": value for c, value in zip(COLUMNS, NU, strict=False)}
AT |= {f"lambda_{item}": value for item, value in LOADING.items()} | {"joint_fidelity_adaptation": JOINT}
MEAN = BASE + 0.6 * 0.7 - 0.3 * 1.2


@pytest.mark.parametrize(
    ("structure", "expected"),
    [
        (STRUCTURE, MEAN - JOINT * 0.7 * 1.2),
        (LINEAR, MEAN),
        (LatentConstructs(link="logit"), special.expit(MEAN - JOINT * 0.7 * 1.2)),
    ],
)
def test_the_curve_is_its_formula_and_slopes_are_differences(structure, expected):
    f = structure.curve(Named(**{k: pt.as_tensor(v) for k, v in AT.items()}), Named())
    assert f["outcome"].eval(mode="FAST_COMPILE") == pytest.approx(expected)
    assert f["a1"].eval(mode="FAST_COMPILE") == pytest.approx(-1.2 / UNIT["adaptation"])
    assert f["a2"].eval(mode="FAST_COMPILE") == pytest.approx(0.1 - 0.9 * 1.2 / UNIT["adaptation"])
    names = [p.name for p in structure.parameters]
    point = {name: AT[name] for name in names}
    law = compiled(lambda at: sum(structure.curve(Named(**at), Named()).values()), names)
    for name, slope in law(**point)[1].items():
        differences = extrapolated_slope(lambda x, name=name: law(**point | {name: x})[0][0], point[name] or 1e-3)
        assert slope[0] == pytest.approx(differences, rel=1e-7, abs=1e-9), name


MODEL = nb.Model(STRUCTURE)


@pytest.fixture(scope="module")
def many():
    """A tree of the truth with many providers."""
    many = dataset(frame(3000, 2))
    return stated(MODEL, many, seed=2, **values(MODEL, many))


def test_reliability_is_the_share_of_the_variance_of_a_sum_that_is_the_constructs(many):
    found = STRUCTURE.reliability(many).squeeze(drop=True)
    sums = {
        "fidelity": sum(many["prior_predictive"][c].to_numpy().ravel() for c in ("f1", "f2", "f3")),
        "adaptation": sum(many["prior_predictive"][c].to_numpy().ravel() for c in ("a1", "a2", "a3")),
    }
    for name, total in sums.items():
        own = many["posterior"][name].to_numpy().ravel()
        assert found["sd"].sel(construct=name) == pytest.approx(own.std(), rel=0.04)
        assert found["reliability"].sel(construct=name) == pytest.approx(np.corrcoef(total, own)[0, 1] ** 2, abs=0.02)
    assert found["clinics"].to_numpy() == pytest.approx([0.36 / 1.17, 0.25 / 0.89])
    assert float(found["reliability"][0]) == pytest.approx(9 * 1.17 / (9 * 1.17 + 0.25 + 0.36 + 0.49))


def test_effects_are_for_one_sd_of_a_construct(many):
    found = STRUCTURE.effects(many).squeeze(drop=True)
    assert found["effect"].to_numpy().tolist() == ["fidelity", "adaptation", "fidelity x adaptation"]
    one, other = np.sqrt([1.17, 0.89])
    assert found.to_numpy() == pytest.approx([0.6 * one, 0.3 * other, JOINT * one * other])


def test_the_surface_is_made_of_the_effects(many):
    found, each = STRUCTURE.surface(many, [-1, 0, 2]), STRUCTURE.effects(many)[0, 0].to_numpy()
    assert found.dims == ("chain", "draw", "fidelity", "adaptation")
    expected = BASE + 2 * each[0] - each[1] - 2 * each[2]
    assert found.sel(fidelity=2, adaptation=-1).item() == pytest.approx(expected)
    log_odds = LatentConstructs(link="logit")
    assert log_odds.surface(many, [-1, 0, 2]).to_numpy() == pytest.approx(special.expit(found.to_numpy()))


def test_the_sampled_products_have_the_mean_of_their_covariance(many):
    """E[outcome] = base + beta E[xi_1 xi_2], and the product has that mean at every level."""
    mean = BASE + JOINT * (CLINIC[0] * CLINIC[1] * CLINIC[2] + PROVIDER[0] * PROVIDER[1] * PROVIDER[2])
    assert float(many["prior_predictive"]["outcome"].mean()) == pytest.approx(mean, abs=0.06)


def test_patients_with_a_yes_or_no_are_a_model():
    structure = LatentConstructs(link="logit", patients=True)
    residual = dict.fromkeys(structure.outcomes, nb.Additive()) | {"outcome": nb.Bernoulli()}
    table = pd.concat([frame(4, 2), frame(4, 2).assign(**dict.fromkeys(COLUMNS[:-1], np.nan))])
    drawn = nb.simulate(
        nb.Model(structure, residual=residual), dataset(table.assign(years=1.0)), draws=20, random_seed=1
    )
    assert set(np.unique(drawn["prior_predictive"]["outcome"])) == {0.0, 1.0}
    assert drawn["prior"]["eta_provider"]["provider_effect"].to_numpy().tolist() == ["fidelity", "adaptation", "base"]


def test_formulas_follow_the_options():
    assert STRUCTURE.formulas == (
        "fidelity ~ 0 + (1|c|clinic/provider)", "adaptation ~ 0 + (1|c|clinic/provider)", "base ~ 1 + (1|clinic)",
    )  # fmt: skip
    alone = LatentConstructs(("trust =~ t1 + t2",), clinic="ward", provider="nurse", patients=True)
    assert alone.formulas == ("trust ~ 0 + (1|ward/nurse)", "base ~ 1 + (1|ward/nurse)")
    assert alone.products == () and alone.outcomes == ("t1", "t2", "outcome")
    three = LatentConstructs(("a =~ a1+a2", "b =~ b1+b2", "c =~ c1+c2"))
    assert [p.name for p in three.parameters if p.name.startswith("joint")] == ["joint_a_b", "joint_a_c", "joint_b_c"]


@pytest.mark.parametrize(
    ("constructs", "message"),
    [
        (("fidelity =~ f1",), "'fidelity =~ f1' is no construct of two items or more"),
        (("fidelity f1 + f2",), "is no construct of two items or more"),
        ("fidelity =~ f1 + f2", "constructs must be a list, each a text; got 'fidelity =~ f1 [+] f2'"),
        (("a =~ x + y", "b =~ y + z"), "'y' is twice among a, b, x, y, y, z, outcome, base"),
        (("a =~ x + y", "a =~ z + u"), "'a' is twice"),
        (("base =~ x + y",), "'base' is twice"),
        (("a =~ outcome + y",), "'outcome' is twice"),
    ],
)
def test_constructs_are_checked(constructs, message):
    with pytest.raises(ValueError, match=message):
        LatentConstructs(constructs)
