"""Answers about cases are those of the verbs called by hand, and of the papers; the command line gives the same."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import nlmebayes as nb
from nlmebayes.cases import courses
from nlmebayes.cases.answers import mixture
from nlmebayes.cases.entry import read
from nlmebayes.cli import app
from nlmebayes.evaluation.fitted import fitted

CHARTS = Path(__file__).parent / "charts"
VANCOMYCIN = nb.read_case(CHARTS / "vancomycin_b.toml")
RUN = CliRunner()


@pytest.fixture(scope="module")
def found():
    return nb.answer(VANCOMYCIN)


@pytest.fixture(scope="module")
def averaged():
    return nb.answer(replace(VANCOMYCIN, models=("vancomycin_goti_2018", "vancomycin_thomson_2009")))


def forecast_by_hand():
    rows = nb.Dataset.from_nonmem(CHARTS / "vancomycin_b.csv", outcome="conc")
    return nb.forecast(nb.published("vancomycin_goti_2018"), rows, random_seed=1)


PRINTED = {  # of test_forecast_references, which calls the library without a case
    "vancomycin_b": ([0.08208197, 0.06122329, 0.06285911], 1e-4),
    "vancomycin_04": ([0.10796221, 0.04643863, 0.06859768], 1e-4),
    "tobramycin": ([-0.6828811, -0.0663349], 2e-4),
    "below_quantification": ([-0.0427451, -0.122636], 1e-4),
    "methotrexate": ([-0.78916725, 0.05709275], 1e-3),
    # of k10 = cl / v, so that its effect is the difference of the two printed ones
    "gentamicin": ([0.03701064 - 0.001447308, 0.08904703, -0.04838898, 0.001447308], 1e-5),
}


@pytest.mark.parametrize("name", PRINTED)
def test_a_case_file_leads_to_the_printed_mode(name):
    entry, (eta, tolerance) = read(nb.read_case(CHARTS / f"{name}.toml")), PRINTED[name]
    mode, target = entry.models[0].forecaster.mode(entry.patient)
    assert target.effects(mode.z[:1, None], np.zeros(1, dtype=int))["id"][0, 0] == pytest.approx(eta, abs=tolerance)


def test_a_case_file_with_occasions_leads_to_the_printed_clearances():
    entry = read(nb.read_case(CHARTS / "piperacillin.toml"))
    posterior = nb.forecast(entry.models[0].tree, entry.patient, method="map")["posterior"]
    assert posterior["cl"].to_numpy().ravel() == pytest.approx([10.58, 24.0, 18.4, 26.3], rel=0.01)


def test_the_forecast_is_that_of_the_verb(found):
    by_hand = forecast_by_hand()
    tree = found.forecasts["vancomycin_goti_2018"]
    for group in ("posterior", "prior"):
        assert np.array_equal(tree[group]["cl"], by_hand[group]["cl"])
    assert found.weights == {"vancomycin_goti_2018": 1.0} and found.warnings == ()


def test_regimens_are_those_of_recommend(found):
    plans = [nb.Regimen(mg, every=every, duration=2.0, steady=True) for mg in (750, 1000, 1250, 1500)
             for every in (12, 24)]  # fmt: skip
    with pytest.warns(UserWarning, match="starts at 48.4"):
        table = nb.recommend(forecast_by_hand(), plans, nb.DailyAUC(400, 600))
    assert found.regimens.drop(columns="start").equals(table.drop(columns="start"))
    assert found.entry.assumed[0].startswith("the regimen starts at 48.4, 24.2 after the last dose")
    assert str(found.best) == table["regimen"].iloc[0]


def test_the_course_is_that_of_predict(found):
    entry, tree = found.entry, found.forecasts[found.leading]
    before_the_plan = found.course[found.course["time"] <= 48.0]
    f = nb.predict(tree, entry.patient.over(time=before_the_plan["time"]), random_seed=1)["posterior"]["f_conc"][0]
    expected = np.quantile(f, [0.05, 0.5, 0.95], axis=0)
    assert pytest.approx(expected, rel=1e-9) == before_the_plan[["eti_lb", "median", "eti_ub"]].to_numpy().T
    expected = found.course[["before_eti_lb", "before_median", "before_eti_ub"]].to_numpy()
    assert (np.diff(expected[1:]) > 0).all()


def test_a_dose_late_or_missed_is_written_out(found):
    tree, start, mg = found.forecasts[found.leading], found.best.start, found.best.amount
    target = nb.DailyAUC(400, 600, start=start, end=start + 12)
    later = nb.Regimen(mg, start=start + 12, every=12, doses=3, duration=2)
    plans = {
        "as planned": nb.Regimen(mg, start=start, every=12, doses=4, duration=2),
        "3 h late": nb.Plan(nb.Regimen(mg, start=start + 3, duration=2), later),
        "missed": nb.Plan(nb.Regimen(0, start=start, duration=0), later),
    }
    table = found.changes.set_index("change")
    for name, plan in plans.items():
        by_hand = nb.recommend(tree, plan, target).iloc[0]
        assert table.loc[name, ["p_in", "median"]].tolist() == by_hand[["p_in", "median"]].tolist()
    assert table["median"].is_monotonic_decreasing
    assert set(found.changed["change"]) == set(plans)


def test_the_next_sample_is_that_of_the_verb(found):
    plan = courses.repeated(found.best, 48.0)
    times = sorted(found.samples["time"])
    by_hand = nb.next_sample(found.forecasts[found.leading], times, nb.DailyAUC(400, 600), plan=plan, replicates=200)
    assert found.samples.equals(by_hand) and found.best.start < times[0] and times[-1] == found.best.start + 12


def test_where_the_patient_stands(found):
    own = found.standing.set_index("parameter").loc["cl"]
    tree = found.forecasts[found.leading]
    prior, posterior = (tree[group]["cl"].to_numpy().ravel() for group in ("prior", "posterior"))
    assert own["percentile"] == pytest.approx(100 * (prior < np.median(posterior)).mean())


def test_two_models_are_averaged_by_their_evidence(averaged):
    entry = averaged.entry
    by_hand = nb.average({model.name: model.tree for model in entry.models}, entry.patient, random_seed=1)
    assert averaged.weights == by_hand.weights
    best = averaged.regimens.iloc[0]
    own = averaged.by_model[averaged.by_model["regimen"] == best["regimen"]].set_index("model")["p_in"]
    assert best["p_in"] == pytest.approx(sum(by_hand.weights[name] * own[name] for name in own.index), abs=1e-15)
    assert "median" not in averaged.regimens and set(averaged.standing["model"]) == set(averaged.weights)


def test_a_model_without_weight_changes_nothing(averaged):
    names = list(averaged.weights)
    tables = {name: averaged.by_model[averaged.by_model["model"] == name].reset_index(drop=True) for name in names}
    alone = mixture(tables, {names[0]: 1.0, names[1]: 0.0})
    assert alone["p_in"].tolist() == tables[names[0]]["p_in"].tolist()
    known = fitted(averaged.forecasts[names[0]])
    curve = courses.curve(known, None, np.array([10.0, 40.0]))
    mixed = courses.bands([curve, 2 * curve], [1.0, 0.0], 0.9)
    assert mixed["median"].tolist() == pytest.approx(courses.bands([curve], [1.0], 0.9)["median"], rel=1e-3)


def test_amounts_that_are_sought_are_those_of_optimise(found):
    sought = nb.answer(replace(VANCOMYCIN, regimens=({"every": "24 h", "duration": "2 h"},)))
    plan = nb.Regimen(1000, start=48.2 + 0.2, every=24, duration=2, steady=True)
    best = nb.optimise(found.forecasts[found.leading], plan, nb.DailyAUC(400, 600), given=250)["amount"].iloc[0]
    assert sought.best.amount == best and best % 250 == 0


def test_an_amount_far_above_those_that_were_given_is_warned_of():
    answer = nb.answer(replace(VANCOMYCIN, targets=("auc24 1800-2200",), regimens=({"every": "24", "duration": "2"},)))
    assert re.search(r"is \d.* times the largest that was given; enter the amounts", " ".join(answer.warnings))


def test_without_regimens_the_interval_of_the_chart_is_taken():
    entry = read(replace(VANCOMYCIN, regimens=()))
    assert [(each.plan.every, each.sought, each.plan.infusion) for each in entry.candidates] == [(24.0, True, 2.0)]


def test_a_case_with_problems_has_no_answer():
    with pytest.raises(nb.DataError, match=r"case: patient.crcl: .*; doses.0.amount: '-1' is not above 0"):
        nb.answer(replace(VANCOMYCIN, patient={"crcl": "x", "weight": "70", "dial": "0"},
                          doses=({"time": "0", "amount": "-1"},)))  # fmt: skip


def test_a_case_without_targets_or_samples():
    alone = replace(VANCOMYCIN, targets=(), regimens=(), samples=(), now="48")
    answer = nb.answer(alone)
    assert answer.best is None and answer.sampled == "cl" and not len(answer.changes)
    assert answer.course["time"].max() == 72.0 and json.dumps(answer.said())


def test_the_command_line_gives_the_same_answer(found, tmp_path):
    path, out = CHARTS / "vancomycin_b.toml", tmp_path / "out"
    told = RUN.invoke(app, ["forecast", str(path), "--out", str(out)])
    assert told.exit_code == 0, told.output
    assert json.loads((out / "forecast.json").read_text(encoding="utf-8")) == json.loads(json.dumps(found.said()))
    assert nb.read_case(out / "case.toml") == VANCOMYCIN
    assert f"Best: {found.said()['best']['words']}, from 48.4 h on" in told.output and "3 h late" in told.output
    assert {"report.html", "forecast.nc", "regimens.csv", "changes.csv"} <= {p.name for p in out.iterdir()}
    found.report(tmp_path / "page.html")
    assert "Best of those compared" in (tmp_path / "page.html").read_text(encoding="utf-8")
    found.write_tables(tmp_path / "tables")
    assert {p.stem for p in (tmp_path / "tables").iterdir()} == set(found.tables)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["vancomycin_goti_2018"], "give DATA too, the CSV file of one patient, or a case file"),
        ([str(CHARTS / "vancomycin_b.toml"), "--target", "auc24 400-600"], "--target belongs to a patient's CSV file"),
        ([str(CHARTS / "vancomycin_b.toml"), "--seed", "2"], "--seed belongs to"),
    ],
)
def test_what_the_command_refuses_beside_a_case(words, message):
    told = RUN.invoke(app, ["forecast", *words])
    assert told.exit_code == 1 and message in " ".join(told.output.split())


def test_the_page_about_cases_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    page = (Path(__file__).parent.parent / "docs" / "cases.md").read_text(encoding="utf-8")
    (tmp_path / "patient.toml").write_text(re.search(r"```toml\n(.*?)```", page, re.S)[1], encoding="utf-8")
    names = {}
    for code in re.findall(r"```python\n(.*?)```", page, re.S):
        exec(compile(code, "cases.md", "exec"), names)
    answer = names["answer"]
    assert answer.entry.covariates["crcl"] in page and len(answer.weights) == 2
    assert [each.sought for each in answer.entry.candidates] == [False, True]


def test_a_second_answer_is_quick_enough(found):
    assert found.entry.models[0] is read(VANCOMYCIN).models[0]  # read and prepared once
