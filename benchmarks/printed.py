"""Log-likelihoods that other programs print, beside the exact marginal ones, as a table in Markdown.

Programs print the log-likelihood of an approximation: nlme of a model linearised at the modes, NONMEM's FOCEI and
glmer's Laplace of one node, saemix three that differ. Here each model is fitted by `fit(..., method="ml")` or "reml";
the table has the log-likelihood at our maximum and, by `log_likelihood(tree, at=...)`, at the printed estimates.
A restricted likelihood at their variances has the fixed effects integrated out: log L is quadratic in them.

Printed values are those of nlme 3.1-162, lme4 1.1-31 and saemix under R 4.2, unless a line says otherwise; they are
constants here, everything else is computed. FOLDER holds data that do not come with the package (PD1_emax.tab,
tumour_lung_volume.txt, litter_nutnet.csv, organoid_pdac.csv, pf_antibody_7antigens.csv,
Oral_1CPT.csv, Bolus_1CPTMM.csv).

Run: python benchmarks/printed.py FOLDER [CASE ...]; cases are chosen by the beginning of their names.
"""

import argparse
import json
import sys
import time
import warnings
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path

import maximum
import numpy as np
import pandas as pd
import pytensor.tensor as pt
from scipy import stats

import nlmebayes as nb
from model_zoo import (
    DoseResponseNested,
    Emax,
    Gompertz,
    HospitalProfile,
    LinearMixed,
    LitterDecay,
    LogisticGrowth,
    OneCompartment,
    TwoCompartment,
)

NEAR = 0.05  # of a log-likelihood, that is agreement
LINEARISED = "nlme, linearised"
SAEMIX = ("saemix, linearised", "saemix, importance sampling", "saemix, Gaussian quadrature")


@dataclass(frozen=True)
class Biexponential(nb.Curve):
    """nlme's SSbiexp: a1 exp(-rate1 t) + a2 exp(-rate2 t)."""

    inputs = ("time",)
    parameters = (
        nb.Parameter("a1", "mg/L", typical=2.8, spread=2.0, link="identity"), nb.Parameter("rate1", "1/h", typical=2.2),
        nb.Parameter("a2", "mg/L", typical=0.5, spread=0.5, link="identity"), nb.Parameter("rate2", "1/h", typical=0.3),
    )  # fmt: skip

    def curve(self, p, x):
        return p.a1 * pt.exp(-p.rate1 * x.time) + p.a2 * pt.exp(-p.rate2 * x.time)


@dataclass(frozen=True)
class Plateau(nb.Curve):
    """log(plateau + decaying exp(-rate t)), t in years."""

    inputs = ("time",)
    parameters = (
        nb.Parameter("plateau", "MFI", typical=10000.0), nb.Parameter("decaying", "MFI", typical=20000.0),
        nb.Parameter("rate", "1/year", typical=7.0),
    )  # fmt: skip

    def curve(self, p, x):
        return pt.log(p.plateau + p.decaying * pt.exp(-p.rate * x.time))


@dataclass(frozen=True)
class Told:
    """One printed log-likelihood (or -2 log L, or an objective without n log 2 pi) and the estimates with it."""

    by: str
    value: float
    kind: str = "log L"
    at: dict | None = None
    why: str = ""


@dataclass(frozen=True)
class Case:
    """A model, its data, and what other programs print of it."""

    model: nb.Model
    data: object
    told: tuple
    method: str = "ml"
    constant: object = field(default=lambda data: 0.0)


def at(theta, omega, sigma, corr=None):
    """Printed estimates: theta on the link scale, SDs by level and effect, parts of the residual."""
    return {"theta": theta, "omega": omega, "sigma": sigma, "corr": corr or {}}


def variables(tree, told):
    """Printed estimates as values of the population variables of the tree."""
    posterior, found = tree["posterior"], {f"theta_{p}": np.atleast_1d(v) for p, v in told["theta"].items()}
    for level, sds in told["omega"].items():
        found[f"omega_{level}"] = [sds[str(e)] for e in posterior[f"{level}_effect"].to_numpy()]
    for level, pairs in told["corr"].items():
        effects = [str(e) for e in posterior[f"{level}_effect"].to_numpy()]
        found[f"corr_{level}"] = [[1.0 if a == b else pairs[frozenset((a, b))] for b in effects] for a in effects]
    parts = [v for v in posterior.data_vars if v.startswith("sigma_")]
    return found | {next(v for v in parts if v.endswith(f"_{part}")): s for part, s in told["sigma"].items()}


def marginal(tree, values, model):
    return float(nb.log_likelihood(tree, at=values, model=model)["log_likelihood"]["marginal"].sum())


def restricted(tree, values, model):
    """Fixed effects integrated out under a flat prior, by second differences of a quadratic function."""
    names = [v for v in values if v.startswith("theta_")]
    sizes = [len(values[v]) for v in names]
    x, step = np.concatenate([values[v] for v in names]), tree["estimates"]["se"].to_numpy()[: sum(sizes)]

    def log_likelihood(moved):
        parts = np.split(x + step * moved, np.cumsum(sizes)[:-1])
        return marginal(tree, values | dict(zip(names, parts, strict=True)), model)

    one, here = np.eye(len(x)), log_likelihood(np.zeros(len(x)))
    up, down = (np.array([log_likelihood(sign * e) for e in one]) for sign in (1, -1))
    curved = np.diag(2 * here - up - down)
    for i, j in combinations(range(len(x)), 2):
        curved[i, j] = curved[j, i] = up[i] + up[j] - here - log_likelihood(one[i] + one[j])
    slope = (up - down) / 2
    log_h = np.linalg.slogdet(curved)[1] - 2 * np.log(step).sum()
    return here + 0.5 * slope @ np.linalg.solve(curved, slope) - 0.5 * log_h + 0.5 * len(x) * np.log(2 * np.pi)


def printed(told, n):
    """A printed value as a log-likelihood."""
    constant = n * np.log(2 * np.pi) if told.kind == "OFV" else 0.0
    return told.value if told.kind == "log L" else -0.5 * (told.value + constant)


def frame_of(folder, name, **options):
    return pd.read_csv(Path(folder, name), **options)


# Linear mixed models


def wafer(_):
    table = nb.datasets.table("wafer")
    wave = {"c": np.cos(4.5679 * table["voltage"]), "s": np.sin(4.5679 * table["voltage"])}
    return nb.Dataset.from_frame(table.assign(**wave), outcome="current", levels="Wafer", duplicates="keep")


def ovary(_):
    table = nb.datasets.table("ovary")
    wave = {"s": np.sin(2 * np.pi * table["Time"]), "c": np.cos(2 * np.pi * table["Time"])}
    return nb.Dataset.from_frame(table.assign(**wave), outcome="follicles", time="Time", levels="Mare")


def ratpup(_):
    """With the orthogonal polynomials that R takes for an ordered factor."""
    table = nb.datasets.table("ratpupweight")
    place = table["Treatment"].map({"Control": -1.0, "Low": 0.0, "High": 1.0})
    columns = {"L": place / np.sqrt(2), "Q": (3 * place**2 - 2) / np.sqrt(6), "female": table["sex"].eq("Female") * 1.0}
    return nb.Dataset.from_frame(table.assign(**columns), outcome="weight", levels="Litter", duplicates="keep")


SLEEP = ([251.40510485, 10.46728596], "mu", "mu:Days")


def sleep(value, sds, sigma, corr=None, by="lmer REML, exact"):
    pairs = {"Subject": {frozenset(SLEEP[1:]): corr}} if corr else None
    omega = {"Subject": dict(zip(SLEEP[1:], sds, strict=True))}
    return (Told(by, value, at=at({"mu": SLEEP[0]}, omega, {"a": sigma}, pairs)),)


def linear(*formulas, **options):
    return nb.Model(LinearMixed(), *formulas, **options)


SLOPES = linear("mu ~ 1 + Days + (1 + Days|Subject)")
RATPUP = "mu ~ 1 + L + Q + female + Lsize + L:female + Q:female + (1|Litter)"
CODING = "REML with R's orthogonal polynomials; dummies differ by log|X'X|, ML does not"
LINEAR = {
    "sleepstudy, REML": Case(SLOPES, lambda _: nb.datasets.sleepstudy(), sleep(
        -871.814136, [24.74065799498, 5.92213765890], 25.59179572168, 0.06555123824), "reml"),
    "sleepstudy, ML": Case(SLOPES, lambda _: nb.datasets.sleepstudy(), sleep(
        -875.9696722, [23.77975958946, 5.71679851393], 25.59190703649, 0.08132109343, "lmer ML, exact")),
    "sleepstudy, uncorrelated": Case(
        linear("mu ~ 1 + Days + (1|Subject) + (0 + Days|Subject)"), lambda _: nb.datasets.sleepstudy(),
        sleep(-871.8346468, [25.051328325, 5.988186674], 25.565279202), "reml"),
    "Pastes": Case(linear("mu ~ 1 + (1|batch/cask)"), lambda _: nb.datasets.pastes(), (Told(
        "lmer REML, exact", -123.4953729, at=at({"mu": 60.05333333}, {"batch": {"mu": 1.2873658811},
        "cask": {"mu": 2.9040774665}}, {"a": 0.8234075234})),), "reml"),
    "Penicillin": Case(linear("mu ~ 1 + (1|plate) + (1|sample)"), lambda _: nb.datasets.penicillin(), (Told(
        "lmer REML, exact", -165.4302945, at=at({"mu": 22.97222222}, {"plate": {"mu": 0.8467025103},
        "sample": {"mu": 1.9316137923}}, {"a": 0.5499226821})),), "reml"),
    "Dyestuff": Case(linear("mu ~ 1 + (1|Batch)"), lambda _: nb.datasets.dyestuff(), (Told(
        "lmer REML, exact", -159.8271384, at=at({"mu": 1527.5}, {"Batch": {"mu": 42.00059531}},
        {"a": 49.51009997})),), "reml"),
    "RatPupWeight": Case(linear(RATPUP), ratpup, (Told("lme REML, exact", -201.6507735, at=at(
        {"mu": [7.86564124765, -0.64067889650, 0.01144004287, -0.34805817623, -0.12838209919, 0.07567678308,
                -0.02478406583]}, {"Litter": {"mu": 0.3106722}}, {"a": 0.404337}), why=CODING),), "reml"),
    "RatPupWeight, SD by treatment": Case(linear(RATPUP, "sigma ~ 1 + Treatment"), ratpup, (Told(
        "lme REML, exact", -181.040956, at=at(
            {"mu": [7.88877092126, -0.63871294428, 0.01196492697, -0.35123831666, -0.13000725740, 0.06693904455,
                    -0.02341719480]}, {"Litter": {"mu": 0.3134846}},
            {"a": np.log([0.5147948, 0.6394383, 0.5649830])}), why=CODING),), "reml"),
    "Ovary, AR(1)": Case(
        linear("mu ~ 1 + s + c + (1|Mare) + (0 + s|Mare)", residual=nb.Autoregressive()), ovary,
        (Told("lme REML, exact", -774.7239581, at=at(
            {"mu": [12.1880885702, -2.9852974149, -0.8777617926]}, {"Mare": {"mu": 2.858385, "mu:s": 1.257977}},
            {"a": 3.507053, "rho": 0.5721866})),), "reml"),
    "Wafer, sine (stopped at SD 1e-4)": Case(
        linear("mu ~ 1 + c + s + (1|Wafer) + (0 + c|Wafer) + (0 + s|Wafer)"), wafer, (Told(
            LINEARISED, -1247.646306, at=at({"mu": [8.2575621232, -0.2795780252, -0.2862122292]},
            {"Wafer": {"mu": 0.0001239369, "mu:c": 0.0001672175, "mu:s": 0.0001632001}}, {"a": 5.4749176247})),)),
}  # fmt: skip


# Growth, counts, decay


def saturated(data):
    """Log-likelihood of counts at their own proportions, which glmer leaves out where nAGQ > 1."""
    table = nb.datasets.table("cbpp")
    return stats.binom.logpmf(table["incidence"], table["size"], table["incidence"] / table["size"]).sum()


def lung(folder):
    return nb.Dataset.from_frame(
        frame_of(folder, "tumour_lung_volume.txt", sep="\t"), outcome="Observation", time="Time", levels="ID"
    )


def litter(folder):
    table = frame_of(folder, "litter_nutnet.csv")
    return nb.Dataset.from_frame(table, outcome="y", time="t", levels=("site", "site/plot"), sort=True)


def organoids(folder):
    table = frame_of(folder, "organoid_pdac.csv").query("drug == 'GEM' and viability > 0")
    return nb.Dataset.from_frame(
        table.rename(columns={"file": "plate", "dose_uM": "dose"}), outcome="viability", inputs=["dose"],
        levels=("organoid", "plate"), duplicates="keep",
    )  # fmt: skip


def antibodies(antigen):
    def read(folder):
        chosen = f"antigen == {antigen!r} and t_id != 'Neg. control' and 7 <= t_d < 450"
        table = frame_of(folder, "pf_antibody_7antigens.csv").query(chosen)
        table = table.assign(year=table["t_d"] / 365.25, log_year=np.log(table["t_d"] / 365.25))
        return nb.Dataset.from_frame(
            table[["idn", "year", "log_year", "log_MFI"]], outcome="log_MFI", time="year", levels="idn", sort=True
        )

    return read


def cbpp(theta, sd):
    return at({"risk": theta}, {"herd": {"risk": sd}}, {})


def orange(theta, sd, sigma):
    names = ("asym", "xmid", "scal")
    return at(dict(zip(names, theta, strict=True)), {"Tree": {"asym": sd}}, {"a": sigma})


def curve_of(antigen, value, theta, sds, sigma):
    told = at({"plateau": theta[0], "decaying": theta[1], "rate": theta[2]},
              {"idn": {"plateau": sds[0], "decaying": sds[1]}}, {"a": sigma})  # fmt: skip
    model = nb.Model(Plateau(), "plateau ~ 1 + (1|idn)", "decaying ~ 1 + (1|idn)", "rate ~ 1")
    return Case(model, antibodies(antigen), (Told(LINEARISED, value, at=told, why="linearised"),))


def line_of(antigen, value, theta, sd, sigma):
    told = at({"mu": theta}, {"idn": {"mu": sd}}, {"a": sigma})
    return Case(linear("mu ~ 1 + log_year + (1|idn)"), antibodies(antigen),
                (Told("lme REML, exact", value, at=told),), "reml")  # fmt: skip


HERDS = nb.Model(HospitalProfile(), "risk ~ 1 + period + (1|herd)", residual=nb.Binomial("size"))
LINKS = {"links": {"xmid": "identity", "scal": "identity"}, "typical": {"xmid": (700, 100), "scal": (350, 50)}}
EVERY = nb.Model(LogisticGrowth(), *(f"{p} ~ 1 + (1|p|Tree)" for p in ("asym", "xmid", "scal")), **LINKS)
ASYM = nb.Model(LogisticGrowth(), **LINKS)
SAEMIX_ORANGE = orange([191.45108, 725.01238, 345.94731], np.sqrt(997.17355), 7.856261)
LUNG = at({"alpha": np.log(0.770748265), "beta": np.log(0.084730739)},
          {"ID": {"alpha": np.sqrt(0.038980778), "beta": np.sqrt(0.087789239)}}, {"b": 0.24571355},
          {"ID": {frozenset(("alpha", "beta")): 0.97692614}})  # fmt: skip
EMAX = at({"e0": np.log(23.376936), "emax": np.log(106.6608), "ec50": np.log(15.109203)},
          {"subject": {"e0": np.sqrt(0.13131518), "emax": np.sqrt(0.3053411), "ec50": np.sqrt(0.057895899)}},
          {"a": 4.8242122})  # fmt: skip


def emax(folder):
    table = frame_of(folder, "PD1_emax.tab", sep=r"\s+")
    return nb.Dataset.from_frame(table, outcome="response", inputs=["dose"], levels="subject")


def three(values, estimates, reasons):
    """What saemix prints of one fit."""
    return tuple(Told(by, value, "-2 log L", estimates, why)
                 for by, value, why in zip(SAEMIX, values, reasons, strict=True))  # fmt: skip


ROUGH = ("linearised", "why was not looked for", "why was not looked for")
NONLINEAR = {
    "cbpp": Case(HERDS, lambda _: nb.datasets.cbpp(), (
        Told("glmer, AGQ of 25 nodes, the constant added", -50.00501527, "deviance",
             cbpp([-1.3992237278, -0.9914088838, -1.1278095942, -1.5794809507], 0.6475199145)),
        Told("glmer, Laplace", -92.02656639, at=cbpp(
            [-1.398342864, -0.991924975, -1.128216216, -1.579745414], 0.6420699277), why="one node"),
    ), constant=saturated),
    "Orange": Case(ASYM, lambda _: nb.datasets.orange(), (
        Told(LINEARISED, -131.5845533, at=orange([191.0500375, 722.5594850, 344.1685102], 31.482555, 7.846255)),
        Told("nlmer, Laplace", -131.5719, at=orange([192.0528, 727.9045, 348.0721], 31.646, 7.843)),
        *three([263.1513, 263.1518, 263.1519], SAEMIX_ORANGE, ROUGH),
    )),
    "Orange, all random": Case(EVERY, lambda _: nb.datasets.orange(), (Told(
        LINEARISED, -129.9907, at=at({"asym": 192.0967, "xmid": 727.5938, "scal": 356.6052},
        {"Tree": {"asym": 27.0516, "xmid": 24.2577, "scal": 36.5965}}, {"a": 7.3215}, {"Tree": {
            frozenset(("asym", "xmid")): -0.327, frozenset(("asym", "scal")): -0.992,
            frozenset(("xmid", "scal")): 0.443}}), why="linearised; correlations printed to three digits"),)),
    "PD1 Emax": Case(nb.Model(Emax(), links={"e0": "log"}, typical={"e0": (20, 1), "emax": (100, 1), "ec50": (15, 1)},
                              inputs={"concentration": "dose"}), emax,
                     three([2462.774, 2466.004, 2466.961], EMAX, ROUGH)),
    "lung tumours": Case(
        nb.Model(Gompertz(), "alpha ~ 1 + (1|p|ID)", "beta ~ 1 + (1|p|ID)", fixed={"v0": 1.0},
                 residual=nb.Proportional()), lung, three([2334.982, 2348.443, 2326.984], LUNG, ROUGH)),
    "litter": Case(nb.Model(LitterDecay(), "k ~ 1 + (1|site/plot)"), litter, (Told(
        LINEARISED, 221.2075962, at=at({"k": -1.58260025}, {"site": {"k": 0.4094756}, "plot": {"k": 0.1475564}},
        {"a": 0.1167668}), why="linearised"),)),
    "organoids, gemcitabine": Case(
        nb.Model(DoseResponseNested(), "top ~ 1 + (1|plate)", "bottom ~ 1 + (1|organoid)",
                 "ec50 ~ 1 + (1|organoid) + (1|plate)", "hill ~ 1", typical={"ec50": 0.03}),
        organoids, (Told(LINEARISED, 445.0488899, at=at(
            {"top": 0.9643427995, "bottom": 0.2454692766, "ec50": -1.5797639889 * np.log(10),
             "hill": np.log(2.5511758228)},
            {"organoid": {"bottom": 0.1794009, "ec50": 0.2370973 * np.log(10)},
             "plate": {"top": 0.1188083, "ec50": 0.308695 * np.log(10)}}, {"a": 0.1313164}), why="linearised"),)),
    "antibody AMA1": curve_of("AMA1", -114.9699164, [9.679298303, 9.831346482, 2.014001232],
                              [0.8400426, 0.6910238], 0.2959847),
    "antibody MSP1_19": curve_of("MSP1_19", -58.14763484, [9.709307685, 10.401759933, 1.818460290],
                                 [0.5847627, 0.5111819], 0.2054809),
    "antibody GAMA": curve_of("GAMA", -104.238267, [8.803792737, 10.647250271, 1.850545054],
                              [0.7802702, 0.5610578], 0.2681611),
    "antibody MSP1_19, line": line_of("MSP1_19", -88.54054763, [9.6922637482, -0.3065859639], 0.4281113, 0.3048218),
    "antibody GAMA, line": line_of("GAMA", -137.4855342, [8.8121484958, -0.5674135106], 0.4865882, 0.4304689),
    "antibody AMA1, line": line_of("AMA1", -124.7955008, [9.587546, -0.242348], 0.7003985, 0.3481605),
}  # fmt: skip


# Pharmacokinetics


def theophylline(_):
    """Without the samples at time 0, as saemix has them."""
    return nb.datasets.theophylline().drop_sel(time=0.0)


def per_weight(_):
    """Doses in mg/kg, all samples, as in nlme."""
    table = nb.datasets.table("theophylline").rename(columns={"Subject": "id", "Time": "time"})
    doses = table.drop_duplicates("id")[["id"]].assign(time=0.0, amt=table.drop_duplicates("id")["Dose"])
    return nb.Dataset.from_frame(table, outcome="conc", time="time", levels="id", doses=doses)


def steady(_):
    """As if the dose were given every 24 h at steady state, without the samples at time 0."""
    table = nb.datasets.table("theophylline").rename(columns={"Subject": "ID", "Time": "TIME", "conc": "DV"})
    first = table.drop_duplicates("ID")
    dose = first.assign(TIME=0.0, AMT=first["Dose"] * first["Wt"], EVID=1, SS=1, II=24.0, DV=np.nan)
    rows = pd.concat([dose, table.query("TIME > 0").assign(AMT=0.0, EVID=0, SS=0, II=0.0)])
    rows = rows.sort_values(["ID", "TIME"], kind="stable")[["ID", "TIME", "AMT", "EVID", "SS", "II", "DV"]]
    return nb.Dataset.from_nonmem(rows, outcome="conc", levels=("id",))


def oral(theta, sds, **sigma):
    """Natural ka, V, CL with SDs of their logarithms, in that order."""
    names = ("ka", "v", "cl")
    return at(dict(zip(names, np.log(theta), strict=True)), {"id": dict(zip(names, sds, strict=True))}, sigma)


def rates(lke, lka, lcl):
    """log k, log V and log ka from those that SSfol takes."""
    return {"k": lke, "v": lcl - lke, "ka": lka}


ORAL = OneCompartment(absorption="first-order")
RATES = OneCompartment(absorption="first-order", parametrisation="rates")
DIAGONAL = nb.Model(RATES, "k ~ 1", "v ~ 1 + (1|id)", "ka ~ 1 + (1|id)", typical={"v": 0.5})
FULL = nb.Model(RATES, *(f"{p} ~ 1 + (1|p|id)" for p in ("k", "v", "ka")), typical={"v": 0.5})
BI = ("a1 ~ 1 + (1{0}|id)", "rate1 ~ 1 + (1{0}|id)", "a2 ~ 1 + (1{0}|id)", "rate2 ~ 1")
INFANTS = at({"cl": -5.0932429587, "v": 0.3425341445}, {"id": {"cl": 0.4402095, "v": 0.45044}}, {"a": 2.7927433})
NEONATES = at({"cl": np.log(0.00469555), "v": [np.log(0.984258 * 1.158920), -np.log(1.158920)]},
              {"id": {"cl": np.sqrt(0.0293508), "v": np.sqrt(0.0279060)}}, {"b": np.sqrt(0.0132410)})  # fmt: skip
TWO = at(dict(zip(("cl", "v1", "q", "v2"), np.log([7.7731971, 8.9811881, 5.5106364, 19.7563388]), strict=True)),
         {"id": dict(zip(("cl", "v1", "q", "v2"), np.sqrt([0.035079279, 2.0066899e-09, 0.11223828, 0.065462141]),
                         strict=True))}, {"b": 0.14450895})  # fmt: skip


KINETICS = {
    "theophylline, constant error": Case(nb.Model(ORAL), theophylline, (
        *three([344.0312, 345.4300, 345.4552], oral(
            [1.5748845, 31.5907445, 2.7527619], np.sqrt([0.39329294, 0.018726676, 0.069821636]), a=0.73908292), ROUGH),
        Told("adaptive quadrature, 15 nodes", 345.4349, "-2 log L",
             oral([1.5790, 31.6255, 2.7477], [0.6276, 0.1337, 0.2660], a=0.7380)),
        Told("the same, elsewhere", 345.9039, "-2 log L", oral([1.5, 32, 2.8], [0.6, 0.15, 0.25], a=0.75)),
    )),
    "theophylline, combined error": Case(nb.Model(ORAL, residual=nb.Combined("variance")), theophylline, three(
        [341.4032, 343.4106, 343.4241], oral([1.5330789, 31.5403477, 2.7607723], np.sqrt(
            [0.38630797, 0.01722116, 0.070975609]), a=0.581296576, b=0.078602034), ROUGH)),
    "theophylline, steady state": Case(nb.Model(ORAL, residual=nb.Proportional()), steady, (Told(
        "Monolix, importance sampling", 380.483, "-2 log L", oral(
            [1.27977, 37.2585, 3.24981], [0.64048, 0.05655, 0.17282], b=0.19674), why="Monte Carlo error"),)),
    "theophylline, SSfol diagonal": Case(DIAGONAL, per_weight, (
        Told(LINEARISED, -177.021417, at=at(rates(-2.4547043800, 0.4657362896, -3.2272228859),
             {"id": {"v": 0.1669282, "ka": 0.6435747}}, {"a": 0.7092544}), why="linearised"),
        Told("nlmer, Laplace; SD of lKe .00093 as 0", -176.992, at=at(rates(-2.46609, 0.48198, -3.23078),
             {"id": {"v": 0.16725, "ka": 0.65878}}, {"a": 0.70764}), why="one node, Gauss-Newton curvature"))),
    "theophylline, SSfol full": Case(FULL, per_weight, (Told(
        LINEARISED, -173.3202746, why="linearised; correlations .012, .995, -.089 are printed, which none can be"),)),
    "theophylline, lKa lCl lV diagonal": Case(nb.Model(ORAL, typical={"cl": 0.04, "v": 0.5}), per_weight, (Told(
        LINEARISED, -179.3245, at=at({"ka": 0.44545, "cl": -3.21166, "v": -0.78622},
        {"id": {"ka": 0.64223, "cl": 0.26446, "v": 0.13457}}, {"a": 0.69217}), why="linearised"),)),
    "Indometh, SSbiexp diagonal": Case(nb.Model(Biexponential(), *(f.format("") for f in BI)),
        lambda _: nb.datasets.indometh(), (Told(LINEARISED, 54.59481486, at=at(
            {"a1": 2.8275658701, "rate1": 0.7734616222, "a2": 0.4612749729, "rate2": -1.3444952362},
            {"id": {"a1": 0.57138457, "rate1": 0.15809678, "a2": 0.11156788}}, {"a": 0.08149465}),
            why="linearised"),)),
    "Indometh, SSbiexp full": Case(nb.Model(Biexponential(), *(f.format("|p") for f in BI)),
        lambda _: nb.datasets.indometh(), (Told(LINEARISED + ", no correlations printed", 58.5, why="linearised"),)),
    "Indometh, two compartments": Case(
        nb.Model(TwoCompartment(), *(f"{p} ~ 1 + (1|id)" for p in ("cl", "v1", "q", "v2")),
                 residual=nb.Proportional()),
        lambda _: nb.datasets.indometh(), three([-177.4173, -177.2968, -177.269], TWO, ROUGH)),
    "phenobarbital": Case(nb.Model(OneCompartment()), lambda _: nb.datasets.phenobarbital(), (Told(
        LINEARISED, -505.4157106, at=INFANTS, why="linearised"),)),
    "phenobarbital, covariates": Case(
        nb.Model(OneCompartment(), "cl ~ 1 + offset(log(wt)) + (1|id)", "v ~ 1 + offset(log(wt)) + apgarind + (1|id)",
                 residual=nb.Proportional()), lambda _: nb.datasets.phenobarbital(), (Told(
            "NONMEM 7.4.2 FOCEI", 586.27605628, "OFV", NEONATES, why="FOCEI: one node"),)),
}  # fmt: skip
FOCEI, SAEM = "FOCEI: one node", "an approximation, which is not printed"
OBJECTIVES = {  # OFV of NONMEM 7.4.3 and nlmixr2 (nlmixr2test); their estimates are in maximum.py
    "oral, single dose": {
        "NONMEM FOCEI": (19365.194, FOCEI), "nlmixr2 FOCEI": (19365.27, FOCEI), "nlmixr2 SAEM": (19374.37, SAEM),
    },
    "oral, all doses": {"NONMEM FOCEI": (62205.879, FOCEI), "nlmixr2 SAEM": (62212.38, SAEM)},
    "saturable, single dose": {
        "NONMEM FOCEI": (20957.258, FOCEI), "nlmixr2 FOCEI": (20957.58, FOCEI), "nlmixr2 SAEM": (20964.06, SAEM),
    },
    "saturable, all doses": {"NONMEM FOCEI": (74197.160, FOCEI), "nlmixr2 SAEM": (74207.4, SAEM)},
}  # fmt: skip


def simulated(case):
    """A case of maximum.py with the objectives that its programs printed."""
    name, query, model, published = maximum.CASES[case]
    parameters = [p.name for p in model.parameters]

    def estimates(theta, sds, scale):
        theta, sds = (dict(zip(parameters, each, strict=True)) for each in (theta, sds))
        return at(theta, {"id": sds}, {"b": scale})

    told = (Told(by, value, "OFV", estimates(*published[by]), why) for by, (value, why) in OBJECTIVES[case].items())
    return Case(model, lambda folder: maximum.read(folder, name, query), tuple(told))


CASES = LINEAR | NONLINEAR | KINETICS | {case: simulated(case) for case in OBJECTIVES}


def verdict(told, value, ours):
    apart = ours - value
    reason = told.why or "no reason known"
    return f"agree ({apart:+.4f})" if abs(apart) < NEAR else f"{apart:+.3f}: {reason}"


def rows(name, case, folder):
    """Lines of the table."""
    data = case.data(folder)
    there = {"ml": marginal, "reml": restricted}[case.method]
    tree = nb.fit(case.model, data, method=case.method, progressbar=False, random_seed=1)
    about = json.loads(tree.attrs["nlmebayes_fit"])
    own = -0.5 * about["minus2reml" if case.method == "reml" else "minus2ll"]
    mark = "" if about["converged"] else " (not at a maximum)"
    best = f"{own:.4f}{mark}"
    for told in case.told:
        value = printed(told, len(data.observations)) if told.kind != "deviance" else told.value + case.constant(data)
        theirs = there(tree, variables(tree, told.at), case.model) if told.at else None
        shown = "" if theirs is None else f"{theirs:.4f}"
        why = verdict(told, value, own if theirs is None else theirs)
        yield f"| {name} | {told.by} | {value:.4f} | {best} | {shown} | {why} |"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("cases", nargs="*", help="beginnings of names")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    print("| data, model | printed by | printed log L | ours at the maximum | ours at theirs | ours less printed |")
    print("|---|---|---|---|---|---|")
    for name, case in CASES.items():
        if given.cases and not name.startswith(tuple(given.cases)):
            continue
        start = time.perf_counter()
        for line in rows(name, case, given.folder):
            print(line, flush=True)
        print(f"{name}: {time.perf_counter() - start:.1f} s", file=sys.stderr)


if __name__ == "__main__":
    main()
