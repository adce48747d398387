"""Kinetics of public data beside the answers of NONMEM and nlmixr. Estimates against posteriors under weak priors."""

import numpy as np
import pandas as pd
import pytest

import nlmebayes as nb
from model_zoo import OneCompartment

pytestmark = pytest.mark.external
COLUMNS = ["ID", "TIME", "DV", "AMT", "EVID", "MDV", "SS", "II", "CMT"]
WEAK = {"omega_id": nb.Prior("HalfNormal", sigma=1.0)}
ORAL = OneCompartment(absorption="first-order")


def oral(external, query):
    """Oral_1CPT with SS = 99, which means "none" there, as 0. CMT 1 is dosed, CMT 2 is sampled."""
    frame = pd.read_csv(f"{external}/Oral_1CPT.csv").query(query)
    return nb.Dataset.from_nonmem(frame[COLUMNS].assign(SS=frame["SS"].replace(99, 0)))


def compared(table, printed, scale=1.0):
    """Posterior means within half a posterior SD of the estimates, and SDs near the standard errors."""
    table = table.set_index("quantity")
    for name, (estimate, error) in printed.items():
        row = table.loc[name]
        assert abs(row["mean"] - estimate) < 0.5 * row["sd"] * scale, name
        if error is not None:
            assert row["sd"] == pytest.approx(error, rel=0.2), name


# NONMEM 7.4.3 FOCEI (nlmixr2test, runs N023, N024, N026): log theta (SE), omega squared, proportional SD (SE).
NONMEM = {
    "SD == 1": (
        (1.3901, 0.0236), (4.1928, 0.0258), (-0.026632, 0.0331), (0.06425, 0.07515, 0.1038), (0.19861, 0.00299),
    ),
    "SD == 0": (
        (1.392, 0.0244), (4.2068, 0.0265), (-0.0083169, 0.0382), (0.07067, 0.07964, 0.13), (0.19683, 0.00186),
    ),
    "SD >= 0": (
        (1.39, 0.0239), (4.2031, 0.0258), (-0.0045566, 0.0326), (0.06788, 0.07785, 0.1106), (0.19805, 0.00169),
    ),
}  # fmt: skip


@pytest.mark.parametrize("query", NONMEM)
def test_oral_subsets_agree_with_nonmem(external, query):
    """120 patients: single doses, then seven doses, then a steady state; posterior beside FOCEI.

    The typical ka of the posterior is that of nlmixr2's SAEM (-0.0115, and 0.0047 for all doses), 0.3 to 0.5 SD above
    FOCEI, which linearises; so means are compared at one SD.
    """
    model = nb.Model(ORAL, residual=nb.Proportional(), priors=WEAK)
    tree = nb.fit(model, oral(external, query), draws=700, random_seed=1, progressbar=False)
    table = nb.summary(tree)
    cl, v, ka, squares, b = NONMEM[query]
    for name, (mean, error) in {"cl": cl, "v": v, "ka": ka}.items():
        values = tree["posterior"][f"theta_{name}"]
        assert abs(float(values.mean()) - mean) < float(values.std()), name
        assert float(values.std()) == pytest.approx(error, rel=0.2), name
    printed = {f"omega_id {n}": (np.sqrt(s), None) for n, s in zip(("cl", "v", "ka"), squares, strict=True)}
    compared(table, printed | {"sigma_dv_b": b}, scale=2.0)
    assert (table["rhat"] < 1.03).all()


def test_theophylline_after_many_doses_is_that_after_one(external):
    """theo_md: the twelve of Theoph, with 7 doses. EVID 101 is RxODE's code of a dose into compartment 1."""
    frame = pd.read_csv(f"{external}/theo_md.csv")
    frame = frame.assign(MDV=(frame["EVID"] > 0).astype(int), EVID=frame["EVID"].replace(101, 1))
    data = nb.Dataset.from_nonmem(frame)
    assert len(data.doses) == 84
    tree = nb.fit(nb.Model(ORAL, residual=nb.Combined(), priors=WEAK), data, random_seed=1, progressbar=False)
    single = {"cl": (np.exp(1.02), 0.0836), "v": (np.exp(3.45), 0.0469)}  # nlmixr, SAEM, log scale SE
    for name, (value, error) in single.items():
        theta = tree["posterior"][f"theta_{name}"]
        assert abs(float(theta.mean()) - np.log(value)) < 2 * np.hypot(error, float(theta.std())), name


def test_warfarin_agrees_with_nlmixr(external):
    """nlmixr, SAEM: one transit stage before absorption; cl, v and the residual, which do not depend on that much.

    ktr and ka are weakly identified (their CV is 89 and 59 %), so they are compared with their standard errors added.
    """
    frame = pd.read_csv(f"{external}/warfarin.csv").query("dvid == 'cp'")
    data = nb.Dataset.from_nonmem(frame.drop(columns="dvid").assign(MDV=(frame["evid"] > 0).astype(int)))
    model = nb.Model(
        OneCompartment(absorption="transit", transits=0, flip_flop=True), residual=nb.Combined("variance"), priors=WEAK
    )
    tree = nb.fit(model, data, random_seed=1, target_accept=0.95, progressbar=False)
    posterior = tree["posterior"]
    for name, value, error in (
        ("cl", -2.01, 0.0501),
        ("v", 2.05, 0.0441),
        ("ka", 0.0416, 0.267),
        ("mtt", -0.265, 0.338),
    ):
        theta = posterior[f"theta_{name}"]
        assert abs(float(theta.mean()) - value) < 2 * np.hypot(error, float(theta.std())), name
    compared(nb.summary(tree), {"omega_id cl": (0.274, None), "omega_id v": (0.222, None)}, scale=4.0)


def test_phenobarbital_agrees_with_nonmem():
    """NONMEM 7.4.2 FOCEI, pheno_real: cl = th1 wt, v = th2 wt (1 + th3 [Apgar < 5]), proportional error."""
    data = nb.datasets.phenobarbital()
    model = nb.Model(
        OneCompartment(),
        "cl ~ 1 + offset(log(wt)) + (1|id)",
        "v ~ 1 + offset(log(wt)) + apgarind + (1|id)",  # the first level, an Apgar score below 5, is the reference
        residual=nb.Proportional(), priors=WEAK, typical={"cl": (0.005, 2.0), "v": (1.0, 2.0)},
    )  # fmt: skip
    tree = nb.fit(model, data, draws=1500, random_seed=1, progressbar=False)
    posterior = tree["posterior"]
    expected = {"theta_cl": np.log(0.00469555), "theta_v": np.log(0.984258 * 1.158920)}
    for name, value in expected.items():
        values = posterior[name].isel({posterior[name].dims[-1]: 0})
        assert abs(float(values.mean()) - value) < float(values.std()), name
    apgar = posterior["theta_v"].isel(v_term=1)
    assert abs(float(apgar.mean()) + np.log(1.158920)) < float(apgar.std())
    table = {"omega_id cl": (np.sqrt(0.0293508), None), "omega_id v": (np.sqrt(0.0279060), None)}
    compared(nb.summary(tree), table | {"sigma_conc_b": (np.sqrt(0.0132410), None)}, scale=3.0)
