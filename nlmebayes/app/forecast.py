"""``nlmebayes forecast``: a patient's parameters from few samples, and the doses that follow."""

import json
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import nlmebayes as nb
from nlmebayes import library, publication, storage
from nlmebayes.app import predict, statement, wanted
from nlmebayes.app.words import StatementError
from nlmebayes.dosing.regimen import varied
from nlmebayes.files import trees, whole

OWN = ("forecast.json", "forecast.nc", "forecast.png", "doses.png", "regimens.csv", "samples.csv")
SHOWN = 4  # regimens in the picture
LISTED = 10  # regimens in the printed table


@dataclass(frozen=True, eq=False)
class Population:
    """What the patient is compared with: a tree, how its data are read, the unit of its concentrations, if known."""

    tree: object
    reading: dict
    unit: str | None = None


def population(path):
    """The `Population` of MODEL: a folder of ``nlmebayes fit``, its ``fit.nc``, or a published model, by name or as a
    TOML file."""
    path = Path(path)
    if path.suffix == ".toml" or str(path) in library.published_names():
        with statement.refused():
            tree = library.read_population(path) if path.suffix else nb.published(str(path))
        reading, units = predict.reading(tree), json.loads(tree.attrs[publication.ABOUT]).get("units", {})
        return Population(tree, reading, units.get(reading.get("outcome")))
    tree = predict.opened(path / "fit.nc" if path.is_dir() else path)
    return Population(tree, predict.reading(tree))


def run(path, said, out, say, *, targets=(), plan=None, history="follow", about=None, now=None, samples=None,
        force=False, seed=1, then=(), time_sd=None, impute=False):  # fmt: skip
    """Forecast one patient and write what was found into the folder ``out``, whole or not at all.

    Parameters
    ----------
    path : path of a population
    said : dict
        Table ``data`` of the patient; what it leaves open is read as the data of the population were.
    targets : sequence of str
        Such as ``"trough 10-15 mg/L"``, see `nlmebayes.app.wanted`.
    plan : dict, optional
        Texts ``amounts``, ``every``, ``duration``; numbers ``start``, ``until``, ``number``, ``salt``; ``state``,
        ``steady``.
    about : str, optional
        Outcome that the targets are about, if there are several.
    samples : str, optional
        Candidate times of the next sample.
    then : sequence of str
        Covariates to come, ``crcl=40`` or ``crcl=40 at 72``.
    time_sd : str, optional
        SD of the error of the sampling times, or the column that holds it.
    impute : bool
        Whether missing covariates are drawn from the population's.
    """
    people = population(path)
    with _warned() as warned:
        aims = [wanted.target(text, people.unit) for text in targets]
        patient = statement.dataset(people.reading | said | {"unmeasured": "predict"})
    with whole.folder(out, OWN, force=force) as folder, _warned(warned):
        forecast = nb.forecast(
            None, people.tree, patient, random_seed=seed, now=now, time_sd=wanted.number_or_name(time_sd),
            missing="impute" if impute else "refuse",
        )  # fmt: skip
        found = {"patient": _patient(forecast, patient), "parameters": parameters(forecast)}
        trees.save(forecast, folder / "forecast.nc")
        _save(nb.plot.forecast(forecast), folder / "forecast.png")
        lines = told(found)
        if aims:
            options = {"history": history, "outcome": about, "now": now, "covariates": wanted.coming(then)}
            found["targets"] = [str(aim) for aim in aims]
            lines += _dosed(forecast, patient, aims, dict(plan or {}), options, samples, folder, found)
        elif samples:
            raise StatementError("--sample says what of a target a sample would tell; give --target")
        found["warnings"] = warned
        (folder / "forecast.json").write_text(json.dumps(_finite(found), indent=2) + "\n", encoding="utf-8")
    say("\n".join([*lines, *(f"warning: {doubt}" for doubt in warned)]))
    say(f"Written to {out}: " + ", ".join(sorted(each.name for each in Path(out).iterdir())))


@contextmanager
def _warned(found=None):
    """Texts of the warnings of the library, in a list that fills up."""
    found = [] if found is None else found
    with warnings.catch_warnings():
        warnings.simplefilter("always", UserWarning)

        def collect(message, category, *_, **__):
            text = " ".join(str(message).splitlines())
            if issubclass(category, UserWarning) and text not in found:
                found.append(text)

        warnings.showwarning = collect
        yield found


def _patient(forecast, patient):
    report = json.loads(forecast.attrs["nlmebayes_forecast"])
    seen = patient.observations["value"].notna()
    return {
        patient.subject: str(patient.observations[patient.subject].iloc[0]), "samples": int(seen.sum()),
        "dose_records": len(patient.doses), **report,
    }  # fmt: skip


def parameters(forecast):
    """Quantiles of the individual parameters of the last unit, and of the population's, by name."""
    model = storage.stored_model(forecast)
    rows = []
    for p in model.structure.parameters:
        after, before = (forecast[group][p.name].isel(unit=-1) for group in ("posterior", "prior"))
        low, median, high = (float(q) for q in after.quantile([0.05, 0.5, 0.95]))
        expected = float(before.median())
        rows.append({"name": p.name, "unit": p.unit, "median": median, "q05": low, "q95": high, "population": expected})
    return rows


def told(found):
    """The forecast in words."""
    who, name = found["patient"], next(iter(found["patient"]))
    lines = [
        f"{name} {who[name]}: {who['samples']} samples, {who['dose_records']} dose records; effective sample size "
        f"{who['effective_sample_size']:.0f}, k-hat {who['khat']:.2f}",
        f"{'':12}{'median':>10}   {'5 to 95 %':<22}{'population':>10}",
    ]
    for p in found["parameters"]:
        band = f"{p['q05']:.4g} to {p['q95']:.4g}"
        lines.append(f"{p['name']:<12}{p['median']:>10.4g}   {band:<22}{p['population']:>10.4g}  {p['unit']}")
    return lines


def _dosed(forecast, patient, aims, plan, options, samples, folder, found):
    """Lines about doses and the next sample; tables and pictures go into the folder."""
    amounts = wanted.numbers(plan.pop("amounts", None), "--doses")
    now, shown = options["now"], {key: value for key, value in options.items() if key != "now"}
    plans = planned(patient, amounts, plan, options["history"], now)
    if amounts is None:
        with statement.refused():
            best = [nb.optimise(forecast, each, aims, **options) for each in plans]
        plans = [varied(p, "amount", t["amount"].iloc[0]) for p, t in zip(plans, best, strict=True)]
    with statement.refused():
        table = nb.recommend(forecast, plans, aims, **options)
    order = list(dict.fromkeys(table["regimen"]))
    ranked = sorted(plans, key=lambda each: order.index(str(each)))
    table.to_csv(folder / "regimens.csv", index=False)
    _save(nb.plot.doses(forecast, ranked[:SHOWN], aims, **shown), folder / "doses.png")
    found["regimens"] = table.to_dict("records")
    found["best"] = found["regimens"][: len(aims)]
    lines = ["", *listed(table), "", *answer(found["best"])]
    if samples:
        times = wanted.numbers(samples, "--sample")
        said = nb.next_sample(forecast, times, aims[0], plan=ranked[0], **shown)
        said.to_csv(folder / "samples.csv", index=False)
        found["samples"] = said.to_dict("records")
        lines += ["", *sampled(said, aims[0])]
    return lines


def planned(patient, amounts, plan, history, now=None):
    """Regimens of the options; without amounts one of each interval and duration, to be searched from."""
    every, duration = (wanted.numbers(plan.pop(name, None), f"--{name}") for name in ("every", "duration"))
    plan = {key: value for key, value in plan.items() if value is not None}
    count = plan.pop("number", None)
    if every is None and (count or plan.get("until") or plan.get("steady")):
        raise StatementError("--number, --until and --steady need the interval, --every")
    if count and plan.get("until"):
        raise StatementError("give --number or --until, not both")
    if count:
        plan["doses"] = count
    elif every is not None and "until" not in plan:
        plan["steady"] = True
    if "start" not in plan:
        plan["start"] = _begins(patient, history) if now is None else now
    if amounts is None:
        given = patient.doses["amount"].to_numpy(float)
        amounts = [given[-1] if len(given) else 1.0]
    with statement.refused():
        return nb.regimens(amounts, every=every, duration=duration, **plan)


def _begins(patient, history):
    """Where a regimen begins that does not say so: at the last sample, if that is after the last dose; where no dose
    stays, at the last record, whose covariates and occasion hold from there on."""
    if history == "none":
        records = (patient.observations, patient.doses, patient.events)
        return float(max(frame[patient.time].max() for frame in records if len(frame)))
    doses, seen = patient.doses, patient.observations[patient.time].max()
    last = (doses[patient.time] + doses["addl"] * doses["ii"]).max() if len(doses) else -np.inf
    if not last < seen:
        raise StatementError(
            f"no record is later than the last dose, at {last:g}: say when the regimen starts, --start"
        )
    return float(seen)


def listed(table):
    """The table of regimens in words, of each target."""
    for target in dict.fromkeys(table["target"]):
        part = table[table["target"] == target]
        wide = max(10, *(len(text) for text in part["regimen"][:LISTED])) + 2
        yield f"{target}:"
        yield f"{'regimen':<{wide}}{'below':>7}{'in range':>10}{'above':>7}{'median':>10}   5 to 95 %"
        for row in part.head(LISTED).to_dict("records"):
            yield (
                f"{row['regimen']:<{wide}}{row['p_below']:>7.2f}{row['p_in']:>10.2f}{row['p_above']:>7.2f}"
                f"{row['median']:>10.4g}   {row['q05']:.4g} to {row['q95']:.4g}"
            )
        if len(part) > LISTED:
            yield f"... and {len(part) - LISTED} more, in regimens.csv"


def answer(best):
    """The best regimen in words."""
    together = f", all targets together {best[0]['p_all']:.2f}" if len(best) > 1 else ""
    yield f"Best: {best[0]['regimen']}{together}"
    for row in best:
        yield (
            f"  {row['target']}: in range with probability {row['p_in']:.2f} (Monte Carlo error {row['mcse']:.2f}), "
            f"below {row['p_below']:.2f}, above {row['p_above']:.2f}"
        )


def sampled(table, aim):
    """When the next sample says most, in words."""
    yield f"Next sample, to know the exposure ({aim}) better:"
    for row in table.to_dict("records"):
        falls = f"{row['reduction']:.0f} % (from {row['sd_now']:.3g} to {row['sd_after']:.3g})"
        yield f"  at {row['time']:g}: its SD falls by {falls}"


def _save(figure, path):
    figure.savefig(path, dpi=120)
    plt.close(figure)


def _finite(value):
    """JSON has no infinity and no missing number."""
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    if isinstance(value, float | np.floating):
        return float(value) if np.isfinite(value) else None
    return value.item() if isinstance(value, np.generic) else value
