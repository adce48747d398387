"""The questions of the notebooks on bundled tables: estimates beside those that other programs print."""

import re
import runpy
from pathlib import Path

import numpy as np
import pytest
from scipy import optimize

import nlmebayes as nb
from model_zoo import Emax, LinearMixed, NestedMixed, OneCompartment

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.py"))
USED = re.compile(r'nb\.datasets\.(?:table\("(\w+)"\)|(\w+)\(\))')


def estimates(model, data, method="ml"):
    return nb.summary(nb.fit(model, data, method=method, random_seed=1)).set_index("quantity")["mean"]


def tables(path):
    """Names of the bundled tables that a notebook reads."""
    return {a or b for a, b in USED.findall(path.read_text(encoding="utf-8"))} & set(nb.datasets.names())


@pytest.fixture(scope="module")
def maker():
    return runpy.run_path(str(ROOT / "docs" / "make_questions.py"))


def test_most_bundled_tables_answer_a_question_of_a_notebook():
    assert len(set().union(*map(tables, NOTEBOOKS))) >= 22


def test_headers_name_the_tables_and_have_an_answer(maker):
    for notebook in maker["notebooks"].found():
        path, said = notebook.path, notebook.header
        real = said["data"].split(";")[0].removeprefix("real: ") if said["data"].startswith("real: ") else ""
        assert set(filter(None, real.split(", "))) == tables(path), path.stem
        assert 20 < len(said["answer"]) < 200, path.stem


def test_the_page_of_questions_is_made_from_the_headers(maker):
    """Mend by ``python docs/make_questions.py``."""
    assert maker["PAGE"].read_text(encoding="utf-8") == maker["page"]()


def test_pups_in_litters_agree_with_nlme():
    model = nb.Model(NestedMixed(), "mu ~ 1 + Treatment * sex + Lsize + (1|Litter)")
    found = estimates(model, nb.datasets.ratpupweight(), "reml")
    printed = {"mu: Lsize": -0.1283821, "omega_Litter mu": 0.3106722, "sigma_weight_a": 0.404337}  # lme, REML
    assert found[list(printed)].to_dict() == pytest.approx(printed, rel=2e-3)


def test_puromycin_agrees_with_least_squares():
    state = 'T(state, "untreated")'
    model = nb.Model(
        Emax(), "e0 ~ 0 + offset(0)", f"emax ~ 1 + {state}", f"ec50 ~ 1 + {state}", residual=nb.Additive(),
        inputs={"concentration": "conc"}, typical={"emax": (200.0, 0.5), "ec50": (0.05, 1.0)},
    )  # fmt: skip
    found = estimates(model, nb.datasets.puromycin())
    for name, here in nb.datasets.table("puromycin").groupby("state"):
        (vmax, km), _ = optimize.curve_fit(
            lambda c, vmax, km: vmax * c / (km + c), here["conc"], here["rate"], (200, 0.05)
        )
        more = {p: found[found.index.str.startswith(f"{p}: ")].iloc[0] * (name == "treated") for p in ("emax", "ec50")}
        assert found["emax"] * np.exp(more["emax"]) == pytest.approx(vmax, rel=1e-3)
        assert found["ec50"] * np.exp(more["ec50"]) == pytest.approx(km, rel=3e-3)


def test_mares_agree_with_nlme():
    sine, cosine = (f"I({f}(6.283185307179586 * Time))" for f in ("sin", "cos"))
    model = nb.Model(
        LinearMixed(), f"mu ~ 1 + {sine} + {cosine} + (1|Mare) + (0 + {sine}|Mare)", residual=nb.Autoregressive()
    )
    found = estimates(model, nb.datasets.ovary(), "ml")
    printed = {"mu": 12.188, "sigma_follicles_rho": 0.572, "sigma_follicles_a": 3.507}  # lme, REML: here a little less
    assert found[list(printed)].to_dict() == pytest.approx(printed, rel=0.04)


def test_newborns_agree_with_nonmem():
    """Clearance and volume by weight, more of the latter after a low Apgar score: NONMEM's FOCE linearises, so that its
    estimates are nearly as likely as ours, and no likelier."""
    model = nb.Model(
        OneCompartment(), "cl ~ 1 + offset(log(wt)) + (1|id)", "v ~ 1 + offset(log(wt)) + I(apgar < 5) + (1|id)",
        typical={"cl": 0.005, "v": 1.0}, residual=nb.Proportional(),
    )  # fmt: skip
    tree = nb.fit(model, nb.datasets.phenobarbital(), method="ml", random_seed=1)
    printed = {
        "theta_cl": [np.log(0.00469555)], "theta_v": [np.log(0.984258), np.log1p(0.158920)],
        "omega_id": np.sqrt([0.0293508, 0.0279060]), "sigma_conc_b": 0.0132410**0.5,
    }  # fmt: skip
    ours, theirs = (
        float(nb.log_likelihood(tree, at=at)["log_likelihood"].to_dataset().to_array().sum())
        for at in ("mean", printed)
    )
    assert -0.02 < ours - theirs < 0.5


def test_clearance_of_quinidine_falls_with_the_protein_that_binds_it():
    model = nb.Model(
        OneCompartment("first-order"), "cl ~ 1 + log(glyco/1.2) + (1|id)", "v ~ 1", "ka ~ 1",
        typical={"cl": 12.0, "v": 250.0, "ka": 1.0}, residual=nb.Proportional(),
    )  # fmt: skip
    found = estimates(model, nb.datasets.quinidine())
    assert found["cl: log(glyco / 1.2)"] == pytest.approx(-0.5, abs=0.1)
