"""`JointModel`: its laws by hand, and the likelihood that the package JM printed for the trial of didanosine."""

import re

import numpy as np
import pandas as pd
import pytensor.tensor as pt
import pytest

import nlmebayes as nb
from model_zoo import JointModel
from nlmebayes.evaluation import evaluator, measurement
from nlmebayes.model.build import designed
from nlmebayes.structure.structure import Named

T = np.array([0.5, 1.5, 4.0])
VALUES = {"level": 2.0, "slope": -0.3, "rate": 0.2, "association": -0.4, "association_slope": 0.9, "ratio2": 3.0}


@pytest.mark.parametrize(
    ("kind", "relative"),
    [
        ("value", -0.4 * (2.0 - 0.3 * T - 1.0)),
        ("slope", -0.4 * -0.3 + 0 * T),
        ("shared", -0.4 * (2.0 - 1.0) + 0.9 * -0.3 + 0 * T),
    ],
)
def test_marker_and_hazard_are_their_formulas(kind, relative):
    structure = JointModel(kind, (1.0,), 1.0)
    found = structure.curve(Named(**{k: pt.as_tensor(v) for k, v in VALUES.items()}), Named(time=pt.as_tensor(T)))
    assert found["marker"].eval(mode="FAST_COMPILE") == pytest.approx(2.0 - 0.3 * T)
    hazard = 0.2 * np.where(T > 1, 3.0, 1.0) * np.exp(relative)
    assert found["event"].eval(mode="FAST_COMPILE") == pytest.approx(hazard)


def test_breaks_increase():
    with pytest.raises(ValueError, match="breaks must be positive and increase"):
        JointModel(breaks=(2.0, 1.0))


def test_the_level_takes_its_prior_from_the_marker_alone():
    frame = pd.DataFrame({"patient": np.repeat(list("abc"), 2), "time": np.tile([0.0, 1.0], 3)})
    frame["marker"] = [5.0, 6.0, 7.0, 7.5, 4.0, 4.5]
    frame["event"], frame["death"] = [900.0, np.nan, 700.0, np.nan, 800.0, np.nan], 1.0
    data = nb.Dataset.from_frame(
        frame, outcome=("marker", "event"), levels="patient", time="time", status={"event": "death"}
    )
    model = nb.Model(
        JointModel(), "level ~ 1 + (1|patient)", residual={"marker": nb.Additive(), "event": nb.TimeToEvent(nodes=5)}
    )
    prior = nb.priors(model, data).set_index("variable").loc["theta_level", "prior"]
    mu, sigma = (float(x) for x in re.fullmatch(r"Normal\(mu=(.*), sigma=(.*)\)", prior).groups())
    sd = frame["marker"].std(ddof=0)
    assert mu == pytest.approx(frame["marker"].mean(), abs=0.01 * sd)
    assert sigma == pytest.approx(2.5 * sd, rel=0.005)


@pytest.mark.external
def test_the_likelihood_is_that_of_jm(external):
    """jointModel(..., method = "piecewise-PH-aGH") at its estimates: log.Lik -4328.261, by its own quadrature."""
    frame, patients = (pd.read_csv(f"{external}/{name}.csv", dtype={"patient": str}) for name in ("aids", "aids_id"))
    breaks = tuple(np.quantile(patients["Time"], np.arange(1, 7) / 7))
    event = frame["patient"].duplicated(keep="first").map({False: 1.0, True: np.nan}) * frame["Time"]
    data = nb.Dataset.from_frame(
        pd.DataFrame({
            "patient": frame["patient"], "time": frame["obstime"], "marker": frame["CD4"], "event": event,
            "death": frame["death"], "ddi": (frame["drug"] == "ddI").astype(float),
        }), outcome=("marker", "event"), levels="patient", time="time", status={"event": "death"},
    )  # fmt: skip
    model = nb.Model(
        JointModel(breaks=breaks), "level ~ 1 + (1|p|patient)", "slope ~ 1 + ddi + (1|p|patient)", "rate ~ 1 + ddi",
        residual={"marker": nb.Additive(), "event": nb.TimeToEvent(nodes=35)},
    )  # fmt: skip
    xi = np.array([-2.5438, -2.2722, -1.9554, -2.5011, -2.4152, -2.4018, -2.4239])
    theta = {"level": [7.2203], "slope": [-0.1917, 0.0116], "rate": [xi[0], 0.3348], "association": [-0.2875]}
    theta |= {f"ratio{j}": [xi[j - 1] - xi[0]] for j in range(2, 8)}
    sd = np.array([4.5839, 0.1822])
    omega = np.outer(sd, sd) * np.array([[1, -0.0468], [-0.0468, 1]])
    design = designed(model, data)
    centre, factor = _given_the_marker(design, theta, omega, 1.7377)
    nodes, weights = np.polynomial.hermite_e.hermegauss(11)
    z = np.stack(np.meshgrid(nodes, nodes), axis=-1).reshape(-1, 2)
    eta = centre + np.einsum("gab,nb->nga", factor, z)
    f = evaluator.evaluator(model, design)({k: np.tile(v, (len(z), 1)) for k, v in theta.items()}, {"patient": eta})[1]
    whole = -0.5 * np.einsum("nga,ab,ngb->ng", eta, np.linalg.inv(omega), eta) - 0.5 * np.linalg.slogdet(omega)[1]
    for o in design.outcomes:
        s = {"a": np.full(len(z), 1.7377)} if o.name == "marker" else {}
        dense = measurement.log_density(model.residual_of(o.name), f[o.name], s, o)
        np.add.at(whole, (slice(None), o.subject_number), dense)
    whole += 0.5 * (z**2).sum(axis=1)[:, None] + np.log(np.einsum("gaa->ga", factor)).sum(axis=1)
    weight = np.outer(weights, weights).ravel()[:, None] / (2 * np.pi)
    highest = whole.max(axis=0)
    assert (highest + np.log((np.exp(whole - highest) * weight).sum(axis=0))).sum() == pytest.approx(
        -4328.261, abs=0.01
    )


def _given_the_marker(design, theta, omega, sigma):
    """Mean and Cholesky factor of each patient's effects given the marker alone."""
    o = design.outcomes[0]
    linear = [design.fixed[name].values[o.unit] @ np.array(theta[name]) for name in ("level", "slope")]
    x = np.column_stack([np.ones(len(o.values)), o.inputs["time"]])
    residual = o.values - linear[0] - linear[1] * x[:, 1]
    count = o.subject_number.max() + 1
    precision, pull = np.tile(np.linalg.inv(omega), (count, 1, 1)), np.zeros((count, 2))
    np.add.at(precision, o.subject_number, x[:, :, None] * x[:, None, :] / sigma**2)
    np.add.at(pull, o.subject_number, x * residual[:, None] / sigma**2)
    covariance = np.linalg.inv(precision)
    return np.einsum("gab,gb->ga", covariance, pull), np.linalg.cholesky(covariance)
