"""Doubts before a fit: thirty designs, each with the sentence that is due, and none where none is due."""

import numpy as np
import pandas as pd
import pytest
from trees import stated

import nlmebayes as nb
from model_zoo import Emax, LinearMixed, OneCompartment
from nlmebayes.formula.design import resolve
from nlmebayes.inference import sampler
from nlmebayes.inference.expected_information import expected
from nlmebayes.inference.parting import unparted
from nlmebayes.model.hierarchy import centre, fixed_prior, scale_of_data

ORAL = OneCompartment(absorption="first-order")
RICH = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 12.0, 24.0)
LATE = (6.0, 8.0, 12.0, 24.0)
SCATTER = {"a": 0.3, "b": 0.15, "nu": 8.0, "alpha": 0.3, "rho": 0.5}


def study(times, people=20, each=None, occasions=None, units=None):
    """Records of people at the same ``times``, or at ``each`` of them; on that many occasions, ten days apart."""
    rng, many = np.random.default_rng(1), [occasions or 1] * people if np.ndim(occasions) == 0 else occasions
    rows = [
        (i, f"{i}{'abc'[k]}", 240.0 * k + t)
        for i, count in enumerate(many) for k in range(count)
        for t in (times if each is None else np.sort(rng.choice(times, each if np.ndim(each) == 0 else each[i], False)))
    ]  # fmt: skip
    frame = pd.DataFrame(rows, columns=["id", "occ", "time"])
    frame = frame.assign(wt=50.0 + frame["id"], conc=1.0 + rng.random(len(frame)))
    doses = frame.drop_duplicates("occ")[["id", "occ"]].assign(amt=100.0)
    doses["time"] = 240.0 * doses["occ"].str[-1].map("abc".index)
    levels = ["id", "id/occ"] if occasions else ["id"]
    frame, doses = (x if occasions else x.drop(columns="occ") for x in (frame, doses))
    return nb.Dataset.from_frame(
        frame, outcome="conc", time="time", levels=levels, doses=doses, subject="id", units=units
    )


def said(model, data, **theta):
    """Sentences at the typical values."""
    design = resolve(model, data)
    scale = scale_of_data(model, design)
    at = {}
    for p in model.parameters:
        terms = design.fixed[p.name].terms
        at[p.name] = np.array([centre(p, scale)[0] if term == "Intercept" else 0.0 for term in terms])
    sigma = {o.name: {k: SCATTER.get(k, 0.3) for k in model.residual_of(o.name).priors(1.0)} for o in design.outcomes}
    return list(unparted(model, data, design, at, sigma))


def kinetics(*formulas, structure=ORAL, residual=nb.Proportional(), **options):  # noqa: B008
    return nb.Model(structure, *formulas, residual=residual, **options)


def linear(x=(0, 1, 2), people=20, each=1, y=None, sites=None):
    """Records of people under ``x`` again and again."""
    rng = np.random.default_rng(2)
    n = people * each
    frame = pd.DataFrame({"id": np.repeat(np.arange(people), each), "x": np.resize(np.array(x, dtype=float), n)})
    frame["y"] = rng.normal(size=n) if y is None else y(rng, n)
    if sites is not None:
        frame["site"] = frame["id"] % sites
    levels = ["id"] if sites is None else ["site", "site/id"]
    return nb.Dataset.from_frame(frame, outcome="y", levels=levels, inputs=("x",), duplicates="keep")


def coins(rng, n):
    return rng.integers(0, 2, n).astype(float)


def response(concentrations, people=12):
    """Effects of people at the same concentrations."""
    frame = pd.DataFrame({
        "id": np.repeat(np.arange(people), len(concentrations)),
        "concentration": np.tile(np.array(concentrations, dtype=float), people),
        "y": np.random.default_rng(1).normal(20, 5, people * len(concentrations)),
    })  # fmt: skip
    return nb.Dataset.from_frame(frame, outcome="y", levels="id", inputs=("concentration",))


def counts(rng, n):
    return rng.poisson(3, n)


def high(rng, n):
    return 100 + rng.normal(size=n)


def answers(*formulas, residual):
    return nb.Model(LinearMixed(), *formulas, residual=residual, links={"mu": nb.Logit()}, typical={"mu": 0.4})


INPUT, BOLUS = LinearMixed(), OneCompartment()
IOV = ("cl ~ 1 + (1|id) + (1|occ)", "v ~ 1 + (1|id)")
CORRELATED = ("cl ~ 1 + (1|p|id)", "v ~ 1 + (1|p|id)")
NESTED = "mu ~ 1 + (1|site) + (1|id)"
SOME, ONE = "the records cannot part ", "the records say next to nothing of "
DESIGNS = {
    # one record of a group
    "one sample a person": (kinetics(), study(RICH, each=1), [
        SOME + "omega_id of cl, omega_id of v, omega_id of ka and sigma_conc_b: each id has one record; "
        "take two or more of some ids"
    ]),
    "one sample of most": (kinetics(), study((1.0, 2.0), 40, each=[1] * 39 + [2]), [
        SOME + "omega_id of cl, omega_id of v, omega_id of ka and sigma_conc_b: almost every id has one record",
        ONE + "cl: there are records at time 1, 2 h only",
    ]),
    "one sample of half": (kinetics(structure=BOLUS), study(RICH, 24, each=[1, 6] * 12), []),
    "one sample, no effects": (kinetics("cl ~ 1", "v ~ 1", "ka ~ 1"), study(RICH, each=1), []),
    "one sample, no absorption": (kinetics(structure=BOLUS), study((4.0,)), [
        SOME + "omega_id of cl, omega_id of v and sigma_conc_b: each id has one record",
        SOME + "cl and v: all have the same records, at time 4 h only; take some at time between 0 and 3.09 h too",
    ]),
    "one sample an occasion": (kinetics("cl ~ 1 + (1|occ)", "v ~ 1", structure=BOLUS), study(RICH, each=1, occasions=3),
                               [SOME + "omega_occ of cl and sigma_conc_b: each occ has one record"]),
    "one measurement": (nb.Model(INPUT, "mu ~ 1 + x + (1|id)"), linear(), [
        SOME + "omega_id of mu and sigma_y_a: each id has one record; take two or more of some ids"
    ]),
    "one measurement in sites": (nb.Model(INPUT, NESTED), linear(sites=4), [
        SOME + "omega_id of mu and sigma_y_a: each id has one record"
    ]),
    "one count": (nb.Model(INPUT, residual=nb.Poisson(), links={"mu": "log"}, typical={"mu": 3.0}),
                  linear(y=counts), []),
    "one answer": (answers(residual=nb.Bernoulli()), linear(y=coins), [ONE + "omega_id of mu: each id has one record"]),
    "six answers": (answers(residual=nb.Bernoulli()), linear(each=6, y=coins), []),
    "eight trials": (answers(residual=nb.Binomial(8)), linear(y=counts), []),
    "a prior of sigma": (kinetics("cl ~ 1 + (1|id)", "v ~ 1", structure=BOLUS, priors={
        "sigma_conc_b": nb.Prior("HalfNormal", sigma=0.1)}), study(RICH, each=1), []),
    # groups of two levels that are the same
    "one occasion of most": (kinetics(*IOV, structure=BOLUS), study((0.25, 0.5), occasions=[1] * 19 + [2]), [
        SOME + "omega_id of cl and omega_occ of cl: almost every id has one occ; take records on two or more "
        "occs of some ids"
    ]),
    "two occasions": (kinetics(*IOV, structure=BOLUS), study(RICH, occasions=2), []),
    "sites": (nb.Model(INPUT, NESTED), linear(each=3, sites=4), []),
    # places of the records
    "no absorption": (kinetics(), study(LATE), [
        SOME + "ka and omega_id of ka: all have the same records, at time 6, 8, 12, 24 h only; take some at time "
        "between 0.202 and 0.605 h too"
    ]),
    "no absorption, ka known": (kinetics(fixed={"ka": 1.5}), study(LATE), []),
    "no absorption, a prior": (kinetics("ka ~ 1", priors={"theta_ka": nb.Prior("Normal", mu=0.4, sigma=0.2)}),
                               study(LATE), []),
    "no absorption, a typical value with its spread": (kinetics("ka ~ 1", typical={"ka": (1.5, 0.2)}), study(LATE), []),
    "two times, three effects": (kinetics(), study((1.0, 8.0)), [
        SOME + "v, ka, omega_id of ka and sigma_conc_b: all have the same records, at time 1, 8 h only; take some at "
        "time between 0.0672 and 0.941 h too"
    ]),
    "two times of many": (kinetics(), study(RICH, 60, each=2), []),
    "two times, a bolus": (kinetics(structure=BOLUS), study((1.0, 8.0), 200), []),
    "two times, correlated": (kinetics(*CORRELATED, structure=BOLUS), study((1.0, 8.0)), [
        SOME + "omega_id of cl, omega_id of v, corr_id of cl and v and sigma_conc_b: all have the same records"
    ]),
    "rich, correlated": (kinetics(*CORRELATED, structure=BOLUS), study(RICH), []),
    "before elimination": (kinetics(structure=BOLUS), study((0.05, 0.1)), [
        SOME + "cl and omega_id of cl: all have the same records, at time 0.05, 0.1 h only; take some at time between 1"
    ]),
    "one concentration": (kinetics("cl ~ 1", "v ~ 1", structure=BOLUS, residual=nb.Combined()), study((1.0, 1.02)), [
        SOME + "cl and sigma_conc_a: all have the same records, at time 1, 1.02 h only"
    ]),
    "two parts of a scatter": (nb.Model(INPUT, "mu ~ 1", residual=nb.Combined()), linear(each=4, y=high), [
        SOME + "sigma_y_a and sigma_y_b: predictions are too much alike"
    ]),
    "rich": (kinetics(residual=nb.Combined()), study(RICH), []),
    "rich, remembered": (nb.Model(INPUT, residual=nb.Autoregressive(nb.Additive(), over="x")),
                         linear(range(6), each=6), []),
    "rich, few": (kinetics(residual=nb.StudentT()), study(RICH, people=4), []),
    "rich, covariate": (kinetics("cl ~ 1 + log(wt/70) + (1|id)"), study(RICH), []),
    "theophylline": (kinetics(residual=nb.Combined()), nb.datasets.theophylline(), []),
    "slopes of two": (nb.Model(INPUT, "mu ~ 1 + x + (1 + x|id)"), linear((0, 1), each=2), [
        SOME + "omega_id of mu, omega_id of mu:x, corr_id of mu and mu:x and sigma_y_a: each id has 2 records for 2"
    ]),
    "slopes of four": (nb.Model(INPUT, "mu ~ 1 + x + (1 + x|id)"), linear((0, 1, 2, 3), each=4), []),
    "slopes of nothing": (nb.Model(INPUT, "mu ~ 1 + x + (1|id)"), linear((1,), each=4), [
        SOME + "mu and the effect of x on mu: they are too few or too much alike"
    ]),
    "an effect from nothing to all": (nb.Model(Emax()), response((0, 1, 3, 10, 30, 100)), []),
    "an effect below half": (nb.Model(Emax()), response((0, 0.05, 0.1, 0.15)), [
        SOME + "emax, ec50, omega_id of emax and omega_id of ec50: all have the same records, at concentration 0, "
        "0.05, 0.1, 0.15 only"
    ]),
    "an effect at its top": (nb.Model(Emax()), response((100, 200, 400)), [
        ONE + "e0: all have the same records, at concentration 100, 200, 400 only; take some at concentration "
        "near 0 too"
    ]),
    # units
    "days for hours": (kinetics(structure=BOLUS), study(RICH, units={"time": "day"}), [
        "time is in day, and the parameters of OneCompartment() and their default priors are in h: convert the time"
    ]),
    "hours": (kinetics(structure=BOLUS), study(RICH, units={"time": "hours"}), []),
}  # fmt: skip


@pytest.mark.parametrize(("model", "data", "due"), DESIGNS.values(), ids=DESIGNS)
def test_each_design_has_the_sentence_that_is_due(model, data, due):
    found = said(model, data)
    assert len(found) == len(due), found
    assert [sentence[: len(start)] for sentence, start in zip(found, due, strict=True)] == due


def test_information_of_balanced_groups_is_that_of_their_closed_form():
    """n groups of m records: of the mean n m / (s2 + m t2), of log t the trace with V = s2 I + t2 J."""
    data, model = linear((0,), people=7, each=4), nb.Model(INPUT)
    design = resolve(model, data)
    scale = scale_of_data(model, design)
    found = expected(model, design, {"mu": np.zeros(1)}, {"y": {"a": 0.2}})
    t2, s2, n, m = centre(model.parameters[0], scale)[2] ** 2, 0.2**2, 7, 4
    assert [quantity.name for quantity in found.quantities] == ["mu", "omega_id of mu", "sigma_y_a"]
    total = s2 + m * t2
    (spread,) = fixed_prior(model.parameters[0], design.fixed["mu"], scale).parameters["sigma"].values()
    assert found.matrix[0, 0] == pytest.approx(n * m / total * spread**2, rel=1e-6)
    variances = [[(m / total) ** 2, m / total**2], [m / total**2, 1 / total**2 + (m - 1) / s2**2]]
    own = np.array([2 * t2, 2 * s2])
    assert found.matrix[1:, 1:] == pytest.approx(0.5 * n * np.outer(own, own) * variances, rel=1e-4)


def test_a_fit_and_its_check_say_what_cannot_be_parted(monkeypatch):
    def stop(*_, **__):
        raise InterruptedError

    monkeypatch.setattr(sampler.compilation, "compiled", stop)
    with pytest.warns(UserWarning, match="cannot part omega_id of mu and sigma_y_a"), pytest.raises(InterruptedError):
        nb.fit(nb.Model(INPUT), linear())
    tree = stated(nb.Model(INPUT), linear(), draws=50)
    tree = nb.predict(tree, random_seed=1)
    assert any("each id has one record" in finding for finding in nb.check(tree).findings)
