"""Individual forecasts that other software has printed or that were computed exactly.

Case by case: posologyr (its documentation and tests at commit 4af150b; numbers by rxode2, or by Monolix),
mapbayr (tests/testthat/test-blq.R at 080fb29), tdmore (tests/testthat/testNlmixr.R at 67c2082). The objective is
sum(log var + (y - f)^2 / var) + eta' Omega^-1 eta with the variance at the individual prediction.
"""

import json
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
from scipy import optimize
from scipy.integrate import solve_ivp

import nlmebayes as nb
from model_zoo import TwoCompartment


def chart(times, values, doses, covariates=None, levels="id", **options):
    """A patient; doses are (time, amount, duration)."""
    frame = pd.DataFrame({"id": "p", "time": times, "conc": values} | (covariates or {}))
    given = pd.DataFrame(doses, columns=["time", "amt", "duration"]).assign(id="p")
    constant = {k: v for k, v in (covariates or {}).items() if np.ndim(v) == 0}
    return nb.Dataset.from_frame(
        frame, outcome="conc", time="time", levels=levels, doses=given.assign(**constant), **options
    )


def most_probable(tree, patient):
    """eta of the mode by effect, of the patient's level; and the best objective."""
    mode, target = nb.forecaster(tree).mode(patient)
    eta = target.effects(mode.z[:1, None], np.zeros(1, dtype=int))
    return {level: value[0] for level, value in eta.items()}, mode


VANCOMYCIN = {"crcl": 65.0, "wt": 70.0, "dial": 0.0}


@pytest.mark.parametrize(
    ("second", "sample", "eta"),
    [(1000.0, 9.5, (0.08208197, 0.06122329, 0.06285911)), (1400.0, 10.5, (0.10796221, 0.04643863, 0.06859768))],
)
def test_vancomycin_of_posologyr(second, sample, eta):
    """auc_based_dosing.Rmd and test_doseoptim.R: the model of Goti 2018."""
    patient = chart([13.0, 48.0], [12.0, sample], [(0.0, 2000.0, 2.0), (24.2, second, 2.0)], VANCOMYCIN)
    found, _ = most_probable(nb.published("vancomycin_goti_2018"), patient)
    assert found["id"][0] == pytest.approx(eta, abs=1e-4)


def test_the_exact_posterior_of_a_vancomycin_patient():
    """400,000 importance draws: moments, evidence (-5.680824, Laplace -5.614541), latent concentration at 60 h."""
    patient = chart([13.0, 48.0], [12.0, 9.5], [(0.0, 2000.0, 2.0), (24.2, 1000.0, 2.0)], VANCOMYCIN)
    tree = nb.published("vancomycin_goti_2018")
    forecast = nb.forecast(tree, patient, draws=20_000, proposals=40_000, random_seed=1)
    eta = forecast["posterior"]["eta_id"].to_numpy()[0, :, 0]
    assert eta.mean(axis=0) == pytest.approx([0.019948, 0.068731, 0.055027], abs=0.012)
    assert eta.std(axis=0) == pytest.approx([0.321448, 0.668949, 0.512169], rel=0.03)
    report = json.loads(forecast.attrs["nlmebayes_forecast"])
    assert report["log_evidence"] == pytest.approx(-5.680824, abs=0.02)
    later = nb.predict(forecast, patient.over(time=[60.0]), random_seed=1)["posterior"]["f_conc"].to_numpy()
    quantiles = np.quantile(later, [0.05, 0.25, 0.5, 0.75, 0.95])
    assert quantiles == pytest.approx([2.677249, 4.890466, 6.596851, 8.390817, 11.269602], rel=0.025)
    laplace = nb.forecast(tree, patient, method="laplace", random_seed=1)
    assert json.loads(laplace.attrs["nlmebayes_forecast"])["log_evidence"] == pytest.approx(-5.614541, abs=1e-5)


def test_gentamicin_of_posologyr():
    """README.md: Xuan 2003, in which k12 and k21 vary by themselves."""
    structure = Gentamicin()
    tree = nb.population(
        structure, "cl ~ 1 + offset(log(crcl)) + (1|id)", "v ~ 1 + offset(log(wt)) + (1|id)",
        theta={"cl": 0.047, "v": 0.28, "k12": 0.092, "k21": 0.071},
        omega={"variance": {"cl": 0.084, "v": 0.003, "k12": 0.398, "k21": 0.342}},
        sigma={"a": 0.23, "b": 0.237}, residual=nb.Combined("sd"),
    )  # fmt: skip
    patient = chart([1.0, 11.0], [9.0, 2.0], [(0.0, 180.0, 0.5)], {"crcl": 38.0, "wt": 63.0})
    found, _ = most_probable(tree, patient)
    assert found["id"][0] == pytest.approx([0.03701064, 0.001447308, 0.08904703, -0.04838898], abs=1e-5)


@dataclass(frozen=True)
class Gentamicin(nb.Mammillary):
    peripherals = ("peripheral",)

    def disposition_parameters(self):
        each = [("cl", 3.0), ("v", 20.0), ("k12", 0.1), ("k21", 0.1)]
        return {"clearance": tuple(nb.Parameter(name, "", typical=value) for name, value in each)}

    def disposition(self, p):
        return nb.Disposition(p.v, p.cl / p.v, ((p.k12, p.k21),))

    def disposition_order(self):
        return ()


def test_tobramycin_of_posologyr_and_monolix():
    """test_map_mlx.R: a power of weight on the rate constant; Monolix' mode ke 0.1258, V 18.21."""
    tree = nb.population(
        TwoCompartment(parametrisation="rates"),
        "k10 ~ 1 + offset(0.89 * log(crcl / 67.8) - 1.09 * log(wt / 66.4)) + (1|id)",
        "v1 ~ 1 + offset(0.8 * log(wt / 66.4)) + (1|id)",
        theta={"k10": 0.21, "v1": 19.8, "k12": 0.041, "k21": 0.12}, omega={"variance": {"k10": 0.08075, "v1": 0.01203}},
        sigma={"b": 0.198},
    )  # fmt: skip
    patient = chart([1.0, 14.0], [25.0, 5.5], [(0.0, 500.0, 0.5)], {"crcl": 80.0, "wt": 65.0})
    found, _ = most_probable(tree, patient)
    assert found["id"][0] == pytest.approx([-0.6828811, -0.0663349], abs=2e-4)
    forecast = nb.forecast(tree, patient, method="map")["posterior"]
    assert [float(forecast[name].squeeze()) for name in ("k10", "v1")] == pytest.approx([0.1258, 18.21], rel=0.01)


def test_a_sample_below_quantification_of_mapbayr():
    """test-blq.R, M3: variance 0.1 f^2 + 0.5, the last sample below 1."""
    tree = nb.population(
        TwoCompartment(), theta={"cl": 0.2, "v1": 2.0, "q": 0.1, "v2": 0.5},
        omega={"variance": {"cl": 0.05, "v1": 0.02}}, sigma={"variance": {"a": 0.5, "b": 0.1}},
        residual=nb.Combined("variance"),
    )  # fmt: skip
    patient = chart([1.0, 6.0, 24.0, 48.0], [75.0, 25.0, 7.0, 0.5], [(0.0, 100.0, 1 / 12)], lloq=1.0)
    found, _ = most_probable(tree, patient)
    assert found["id"][0] == pytest.approx([-0.0427451, -0.122636], abs=1e-4)


def test_default_model_of_tdmore():
    """testNlmixr.R: V2 = V1 is one parameter; one sample at 2 h."""
    tree = nb.population(
        Shared("first-order", flip_flop=True), theta={"cl": 3.7, "v": 61.0, "q": 10.0, "ka": 3.7},
        omega={"variance": {"cl": 0.0784, "v": 0.0361}}, sigma={"b": 0.23},
    )  # fmt: skip
    found, _ = most_probable(tree, chart([2.0], [0.04], [(0.0, 5.0, 0.0), (24.0, 5.0, 0.0)]))
    assert found["id"][0] == pytest.approx([0.0336, 0.1175], abs=1e-4)


@dataclass(frozen=True)
class Shared(nb.Mammillary):
    peripherals = ("peripheral",)

    def disposition_parameters(self):
        each = [("cl", 3.0), ("v", 20.0), ("q", 10.0)]
        return {"clearance": tuple(nb.Parameter(name, "", typical=value) for name, value in each)}

    def disposition(self, p):
        return nb.Disposition(p.v, p.cl / p.v, ((p.q / p.v, p.q / p.v),))

    def disposition_order(self):
        return ()


def methotrexate(interpolation):
    tree = nb.population(
        TwoCompartment(), "cl ~ 1 + offset(0.28 * log(crcl / 95) + 0.15 * log(bsa / 1.75)) + (1|id) + (1|occ)",
        theta={"cl": 10.8, "v1": 34.0, "q": 0.35, "v2": 6.3},
        omega={"id": {"variance": {"cl": 0.10878, "v2": 0.116808}}, "occ": {"variance": {"cl": 0.017}}},
        sigma={"variance": {"b": 0.318}},
    )  # fmt: skip
    frame = pd.DataFrame({
        "ID": 1, "OCC": 1, "TIME": [0.0, 36.0, 42.0, 48.0], "DV": [np.nan, 10.32, 6.59, 4.58],
        "AMT": [11723.0, 0, 0, 0], "RATE": [11723.0 / 3, 0, 0, 0], "CRCL": [59.0, 175.0, 175.0, 175.0], "BSA": 2.049,
    })  # fmt: skip
    data = nb.Dataset.from_nonmem(frame, levels=("id", "occ"), outcome="conc", interpolation=interpolation)
    return tree, data


def test_methotrexate_with_creatinine_that_changes():
    """test_issue_30.R: variability between occasions, creatinine clearance carried forward (locf)."""
    found, _ = most_probable(*methotrexate("locf"))
    assert (found["id"][0, 0], found["id"][0, 1]) == pytest.approx((-0.78916725, 0.05709275), abs=1e-3)
    # the two effects on clearance share the samples as their variances do
    assert found["occ"][0, 0] == pytest.approx(-0.78916725 * 0.017 / 0.10878, abs=1e-3)


def test_carrying_a_covariate_backward_is_another_forecast():
    nocb, locf = (most_probable(*methotrexate(each))[0]["id"][0, 0] for each in ("nocb", "locf"))
    assert abs(nocb - locf) > 0.05


def test_piperacillin_with_four_occasions():
    """test_map_iov.R: Monolix' modes of clearance 10.58, 24.0, 18.4, 26.3 by occasion, to one per cent."""
    tree = nb.published("piperacillin_roberts_2010")
    doses = pd.DataFrame({"TIME": np.arange(0.0, 113.0, 8.0), "AMT": 4000.0, "RATE": 500.0, "EVID": 1, "DV": np.nan})
    doses["OCC"] = np.searchsorted([48.0, 72.0, 96.0], doses["TIME"], side="right") + 1
    seen = {"TIME": [47.9, 71.9, 95.9, 120.0], "DV": [63.0, 19.7, 31.0, 16.0], "OCC": [1, 2, 3, 4]}
    frame = pd.concat([doses, pd.DataFrame(seen).assign(EVID=0, AMT=0.0, RATE=0.0)]).sort_values("TIME", kind="stable")
    frame = frame.assign(ID=1, WT=92.0)
    patient = nb.Dataset.from_nonmem(frame, levels=("id", "occ"), outcome="conc", interpolation="locf")
    forecast = nb.forecast(tree, patient, method="map")["posterior"]
    assert forecast["cl"].to_numpy().ravel() == pytest.approx([10.58, 24.0, 18.4, 26.3], rel=0.01)
    others = [float(forecast[name].to_numpy().ravel()[0]) for name in ("tlag", "v1", "q", "v2")]
    assert others == pytest.approx([0.07, 7.2, 52.0, 17.8], rel=0.02)


@dataclass(frozen=True, kw_only=True)
class Warfarin(nb.System):
    """Two transit steps and turnover of prothrombin, inhibited by Emax: nlmixr's example of multiple endpoints."""

    states = ("depot", "gut", "center", "effect")
    parameters = (
        *(nb.Parameter(name, "", typical=1.0) for name in ("ktr", "ka", "cl", "v")),
        nb.Parameter("emax", "", typical=0.9, link="logit"),
        *(nb.Parameter(name, "", typical=1.0) for name in ("ec50", "kout", "e0")),
    )

    def rhs(self, t, y, p):
        c = y.center / p.v
        gone = p.emax * c / (p.ec50 + c)
        return {
            "depot": -p.ktr * y.depot, "gut": p.ktr * y.depot - p.ka * y.gut,
            "center": p.ka * y.gut - p.cl / p.v * y.center, "effect": p.e0 * p.kout * (1 - gone) - p.kout * y.effect,
        }  # fmt: skip

    def outcomes(self, t, y, p):
        return {"cp": y.center / p.v, "pca": y.effect}

    def initial(self, p):
        return {"effect": p.e0}


THETA = {"ktr": 0.106, "ka": -0.087, "cl": -2.03, "v": 2.07, "emax": 3.4, "ec50": 0.00724, "kout": -2.9, "e0": 4.57}
OMEGA2 = [1.024695, 0.9518403, 0.5300943, 0.4785394, 0.7134424, 0.7204165, 0.3563706, 0.2660827]
CP = ([1.0, 3.0, 6.0, 24.0, 36.0, 48.0, 72.0], [1.9, 6.6, 10.8, 5.6, 4.0, 2.7, 0.8])
PCA = ([24.0, 36.0, 48.0, 72.0, 144.0], [44.0, 27.0, 28.0, 31.0, 71.0])
PRINTED = [-0.32297013, -0.54003647, 0.79433822, -0.02976759, 0.02346678, -0.28140889, -0.30867037, -0.08384263]


def warfarin_objective(eta):
    """Independent of the library: SciPy's integrator at tight tolerances."""
    ktr, ka, cl, v, emax, ec50, kout, e0 = np.exp(np.array(list(THETA.values())) + eta)
    emax = emax / (1 + emax)

    def slope(t, y):
        c = y[2] / v
        gone = emax * c / (ec50 + c)
        return [-ktr * y[0], ktr * y[0] - ka * y[1], ka * y[1] - cl / v * y[2], e0 * kout * (1 - gone) - kout * y[3]]

    times = sorted({*CP[0], *PCA[0]})
    y = solve_ivp(slope, (0, 144), [100, 0, 0, e0], t_eval=times, method="LSODA", rtol=1e-10, atol=1e-12).y
    cp, pca = y[2, np.isin(times, CP[0])] / v, y[3, np.isin(times, PCA[0])]
    var = np.concatenate([0.144**2 + (0.15 * cp) ** 2, np.full(5, 3.91**2)])
    off = np.concatenate([cp - CP[1], pca - PCA[1]])
    return np.sum(np.log(var) + off**2 / var) + np.sum(eta**2 / OMEGA2)


def warfarin():
    theta = {k: 1 / (1 + np.exp(-v)) if k == "emax" else np.exp(v) for k, v in THETA.items()}
    return nb.population(
        Warfarin(), theta=theta, omega={"variance": dict(zip(THETA, OMEGA2, strict=True))},
        sigma={"cp": {"a": 0.144, "b": 0.15}, "pca": {"a": 3.91}},
        residual={"cp": nb.Combined("variance"), "pca": nb.Additive()},
    )  # fmt: skip


def warfarin_patient():
    frame = pd.DataFrame({"time": CP[0], "cp": CP[1]}).merge(pd.DataFrame({"time": PCA[0], "pca": PCA[1]}), how="outer")
    doses = pd.DataFrame({"id": ["p"], "time": 0.0, "amt": 100.0})
    return nb.Dataset.from_frame(frame.assign(id="p"), outcome=["cp", "pca"], time="time", levels="id", doses=doses)


def test_warfarin_with_two_outcomes():
    """multiple_endpoints.Rmd: eight effects, to the printed tolerance 0.005, or a better objective."""
    found, _ = most_probable(warfarin(), warfarin_patient())
    ours = found["id"][0]
    assert warfarin_objective(ours) <= warfarin_objective(np.array(PRINTED)) + 1e-6
    assert ours == pytest.approx(PRINTED, abs=0.005)
    polished = optimize.minimize(warfarin_objective, ours, method="Nelder-Mead", options={"maxiter": 300})
    assert warfarin_objective(ours) - polished.fun < 1e-4


def test_one_of_two_analytes_is_enough():
    """Concentrations alone: what is known of the response is its population, but for what kinetics say."""
    patient = warfarin_patient().sel(outcome="cp")
    forecast = nb.forecast(warfarin(), patient, method="map")
    eta = forecast["posterior"]["eta_id"].to_numpy()[0, 0, 0]
    assert np.abs(eta[4:]).max() < 1e-6 < np.abs(eta[:4]).max()
    assert nb.predict(forecast, patient.over(time=[100.0]), random_seed=1)["posterior"].sizes["cp_obs"] == 1
