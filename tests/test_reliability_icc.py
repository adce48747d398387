"""`ReliabilityICC`: analysis of variance of balanced repeats, unbalanced ones, many features."""

import numpy as np
import pandas as pd
import pytest
from trees import stated

import nlmebayes as nb
from model_zoo import ReliabilityICC

FEATURES = ("volume", "entropy", "contrast")
TRUTH = {"volume": (0.9, 0.2), "entropy": (0.6, 0.6), "contrast": (0.6, 0.9)}
STRUCTURE = ReliabilityICC(FEATURES)
MODEL = nb.Model(STRUCTURE)


def retest(subjects=40, repeats=2, missing=0.0, seed=1):
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"id": np.repeat(np.arange(subjects), repeats)})
    for f, (between, within) in TRUTH.items():
        frame[f] = rng.normal(0, between, subjects)[frame["id"]] + rng.normal(0, within, len(frame))
    for f in FEATURES:
        frame.loc[rng.random(len(frame)) < missing, f] = np.nan
    return frame


def dataset(frame):
    return nb.Dataset.from_frame(frame, outcome=FEATURES, levels="id", duplicates="keep")


@pytest.fixture(scope="module")
def tree():
    return nb.fit(MODEL, dataset(retest()), draws=400, tune=400, chains=2, random_seed=1, progressbar=False)


def one_way(frame, feature):
    """ICC(1,1) of Shrout and Fleiss (1979): (MSB - MSW) / (MSB + (k - 1) MSW)."""
    wide = frame.assign(k=frame.groupby("id").cumcount()).pivot(index="id", columns="k", values=feature).to_numpy()
    k = wide.shape[1]
    within = wide.var(axis=1, ddof=1).mean()
    between = k * wide.mean(axis=1).var(ddof=1)
    return (between - within) / (between + (k - 1) * within), np.sqrt(within)


@pytest.mark.parametrize("feature", FEATURES)
def test_balanced_repeats_agree_with_the_analysis_of_variance(tree, feature):
    icc, error = one_way(retest(), feature)
    table = STRUCTURE.table(tree)
    assert abs(table.loc[feature, "icc"] - icc) < table.loc[feature, "sd"]
    assert table.loc[feature, "error"] == pytest.approx(error, rel=0.1)
    assert table.loc[feature, "sdd"] == pytest.approx(1.96 * np.sqrt(2) * table.loc[feature, "error"])


def test_each_feature_has_its_own_partition(tree):
    found = STRUCTURE.reliability(tree)["icc"]
    for f in FEATURES:
        each = nb.partition(tree, outcome=f, draws=10_000)["icc"].sel(level="id", drop=True)
        assert found.sel(feature=f).to_numpy() == pytest.approx(each.to_numpy(), rel=1e-6)


def test_a_missing_repeat_is_missing_for_its_feature_only():
    frame = retest(missing=0.2)
    data = dataset(frame)
    counts = data.observations["outcome"].value_counts()
    assert counts.to_dict() == frame[list(FEATURES)].notna().sum().to_dict()
    tree = stated(MODEL, data, draws=3)
    assert np.isfinite(STRUCTURE.reliability(tree)["icc"]).all()


def test_the_number_of_repeats_follows_spearman_and_brown():
    """Averages of so many repeats have the reliability wanted."""
    tree = stated(MODEL, dataset(retest()), omega_id=[0.9, 0.6, 0.3], **{f"sigma_{f}_a": 0.6 for f in FEATURES})
    table = STRUCTURE.table(tree, wanted=0.8)
    between = np.array([0.9, 0.6, 0.3]) ** 2
    assert between / (between + 0.36 / table["repeats"].to_numpy()) == pytest.approx(np.full(3, 0.8))


def test_sessions_within_subjects_count_as_error():
    frame = retest(repeats=4)
    frame["session"] = frame.groupby("id").cumcount() // 2
    data = nb.Dataset.from_frame(frame, outcome=FEATURES, levels=("id", "id/session"), duplicates="keep")
    sd = {"omega_id": [0.9, 0.6, 0.3], "omega_session": [0.4, 0.4, 0.4]} | {f"sigma_{f}_a": 0.3 for f in FEATURES}
    found = STRUCTURE.reliability(stated(MODEL, data, **sd))
    assert found["error"].to_numpy().ravel() == pytest.approx(np.full(3, 0.5))
    assert found["icc"].to_numpy().ravel() == pytest.approx(np.array([0.81, 0.36, 0.09]) / [1.06, 0.61, 0.34])
