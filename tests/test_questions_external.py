"""The same on public data that may not be shipped, run by name: ``pytest -m external --external-data=DIR``."""

import json

import numpy as np
import pandas as pd
import pytest

import nlmebayes as nb
from model_zoo import Emax, LitterDecay, OneCompartment, TumourGrowth, TumourGrowthInhibition

pytestmark = pytest.mark.external


def fitted(model, data):
    tree = nb.fit(model, data, method="ml", random_seed=1)
    return nb.summary(tree).set_index("quantity")["mean"], json.loads(tree.attrs["nlmebayes_fit"])["minus2ll"]


def test_litter_of_22_sites_agrees_with_nlme(external):
    frame = pd.read_csv(f"{external}/litter_nutnet.csv")
    data = nb.Dataset.from_frame(frame, outcome="y", time="t", levels=("site", "site/plot"), sort=True)
    found, _ = fitted(nb.Model(LitterDecay(), "k ~ 1 + (1|site/plot)"), data)
    printed = {"k": np.exp(-1.58260), "omega_site k": 0.40948, "omega_plot k": 0.14756, "sigma_y_a": 0.11677}
    assert found[list(printed)].to_dict() == pytest.approx(printed, rel=0.02)


def test_emax_with_a_baseline_agrees_with_saemix(external):
    """saemix' search is stochastic: its estimates are nearly as likely as ours, and no likelier."""
    frame = pd.read_csv(f"{external}/PD1_emax.tab", sep=r"\s+")
    data = nb.Dataset.from_frame(frame, outcome="response", levels="subject", inputs=["dose"])
    model = nb.Model(
        Emax(), "e0 ~ 1 + (1|subject)", "emax ~ 1 + (1|subject)", "ec50 ~ 1 + (1|subject)", residual=nb.Additive(),
        inputs={"concentration": "dose"}, links={"e0": "log"},
        typical={"e0": (20.0, 1.0), "emax": (100.0, 1.0), "ec50": (10.0, 1.0)},
    )  # fmt: skip
    tree = nb.fit(model, data, method="ml", random_seed=1)
    typical = {"e0": 23.37694, "emax": 106.6608, "ec50": 15.1092}
    printed = {f"theta_{name}": [np.log(value)] for name, value in typical.items()}
    printed |= {"omega_subject": np.sqrt([0.1313152, 0.3053411, 0.0578959]), "sigma_response_a": 4.8242122}
    found = nb.summary(tree).set_index("quantity")["mean"]
    assert found[list(typical)].to_dict() == pytest.approx(typical, rel=0.01)
    ours, theirs = (
        float(nb.log_likelihood(tree, at=at)["log_likelihood"].to_dataset().to_array().sum())
        for at in ("mean", printed)
    )
    assert -0.02 < ours - theirs < 0.5
    assert -2 * theirs == pytest.approx(2466.961, abs=0.2)  # saemix by Gaussian quadrature


def test_untreated_xenografts_grow_as_without_a_drug(external):
    """Lung tumours: the model of the drug without doses has the likelihood of the model of growth."""
    frame = pd.read_csv(f"{external}/tumour_lung_volume.txt", sep="\t")
    data = nb.Dataset.from_frame(frame, outcome="Observation", time="Time", levels="ID")
    own = ["y0 ~ 1", "r ~ 1 + (1|ID)"]
    growth = nb.Model(TumourGrowth("exponential"), *own, residual=nb.Proportional())
    found, minus2ll = fitted(growth, data)
    known = [f"{name} ~ 0 + offset(0)" for name in ("cl", "v", "k1", "k2")]
    sizes = nb.Dataset.from_frame(
        frame.rename(columns={"Observation": "size"}), outcome="size", time="Time", levels="ID"
    )
    drug = nb.Model(TumourGrowthInhibition(OneCompartment(), "exponential"), *known, *own, residual=nb.Proportional())
    again, same = fitted(drug, sizes)
    assert same == pytest.approx(minus2ll, abs=0.1)
    assert again["r"] == pytest.approx(found["r"], rel=1e-2)
