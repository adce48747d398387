"""``nlmebayes forecast``: a patient's parameters from few samples, and the doses that follow."""

import json
import warnings
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd

import nlmebayes as nb
from nlmebayes.app import doses, predict, statement
from nlmebayes.dosing import wanted
from nlmebayes.evaluation import fitted, storage
from nlmebayes.files import trees, whole
from nlmebayes.files.text import finite
from nlmebayes.populations import library, stated
from nlmebayes.reporting.document import INTENDED, today
from nlmebayes.words import StatementError

OWN = ("forecast.json", "forecast.nc", "forecast.png", "doses.png", "regimens.csv", "samples.csv", "report.html")
SHOWN = 4  # regimens in the picture


@dataclass(frozen=True, eq=False)
class Population:
    """What the patient is compared with: a tree, how its data are read, and its units by name, as far as known."""

    tree: object
    reading: dict
    units: dict = field(default_factory=dict)

    @property
    def unit(self):
        """That of the concentrations, if known."""
        return self.units.get(self.reading.get("outcome"))


def population(path):
    """The `Population` of MODEL: a folder of ``nlmebayes fit``, its ``fit.nc``, or a published model, by name or as a
    TOML file."""
    path = Path(path)
    if path.suffix == ".toml" or str(path) in library.published_names():
        with statement.refused():
            tree = library.read_population(path) if path.suffix else nb.published(str(path))
        reading, units = predict.reading(tree), json.loads(tree.attrs[stated.ABOUT]).get("units", {})
        return Population(tree, reading, units)
    if not path.exists() and not path.suffix:
        raise StatementError(
            f"no file, folder or published model {str(path)!r}{library.near(str(path))} published are "
            f"{', '.join(library.published_names())}"
        )
    tree = predict.opened(path / "fit.nc" if path.is_dir() else path)
    return Population(tree, predict.reading(tree))


def run(path, said, out, say, *, targets=(), plan=None, history="follow", about=None, now=None, samples=None,
        force=False, seed=1, then=(), time_sd=None, impute=False, report=True):  # fmt: skip
    """Forecast one patient and write what was found into the folder ``out``, whole or not at all.

    Parameters
    ----------
    path : path of a population
    said : dict
        Table ``data`` of the patient; what it leaves open is read as the data of the population were.
    targets : sequence of str
        Such as ``"trough 10-15 mg/L"``, see `nlmebayes.dosing.wanted`.
    plan : dict, optional
        Texts ``amounts``, ``every``, ``duration``; numbers ``step``, ``start``, ``until``, ``number``, ``salt``;
        ``state``, ``steady``.
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
    report : bool
        Whether `nlmebayes.report` writes its page too.
    """
    people = population(path)
    with _warned() as warned:
        aims = [wanted.target(text, people.unit) for text in targets]
        patient = statement.dataset(people.reading | said | {"unmeasured": "predict"})
    with whole.folder(out, OWN, force=force) as folder, _warned(warned):
        forecast = nb.forecast(
            people.tree, patient, random_seed=seed, now=now, time_sd=wanted.number_or_name(time_sd),
            missing="impute" if impute else "refuse",
        )  # fmt: skip
        found = {"patient": _patient(forecast, patient), "parameters": parameters(forecast)}
        trees.save(forecast, folder / "forecast.nc")
        _save(nb.plot.forecast(forecast), folder / "forecast.png")
        lines = told(found)
        if aims:
            options = {"history": history, "outcome": about, "now": now, "covariates": wanted.coming(then)}
            found["targets"] = [str(aim) for aim in aims]
            units = doses.Units.of(people.units, patient, about)
            lines += _dosed(forecast, patient, aims, dict(plan or {}), options, samples, folder, found, units)
        elif samples:
            raise StatementError("--sample says what of a target a sample would tell; give --target")
        found |= {"warnings": warned, "units": people.units, "intended_use": INTENDED}
        if report:
            tables = {name: pd.DataFrame(found[name]) for name in ("regimens", "samples") if name in found}
            nb.report(forecast, folder / "report.html", warned=warned, date=today(), **tables)
        (folder / "forecast.json").write_text(json.dumps(finite(found), indent=2) + "\n", encoding="utf-8")
    say("\n".join([*lines, *(f"warning: {doubt}" for doubt in warned), INTENDED]))
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
    report = fitted.said(forecast, fitted.REPORT)
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
        rows.append(
            {"name": p.name, "unit": p.unit, "median": median, "eti_lb": low, "eti_ub": high, "population": expected}
        )
    return rows


def told(found):
    """The forecast in words."""
    who, name = found["patient"], next(iter(found["patient"]))
    lines = [
        f"{name} {who[name]}: {who['samples']} samples, {who['dose_records']} dose records; effective sample size "
        f"{who['effective_sample_size']:.0f}, k-hat {who['khat']:.2f}",
        *(
            f"{level} {label}: none that the population knows; its effects are as uncertain as those of any other"
            for level, labels in who["unseen"].items()
            for label in labels
        ),
        f"{'':12}{'median':>10}   {'5 to 95 %':<22}{'population':>10}",
    ]
    for p in found["parameters"]:
        band = f"{p['eti_lb']:.4g} to {p['eti_ub']:.4g}"
        lines.append(f"{p['name']:<12}{p['median']:>10.4g}   {band:<22}{p['population']:>10.4g}  {p['unit']}")
    return lines


def _dosed(forecast, patient, aims, plan, options, samples, folder, found, units):
    """Lines about doses and the next sample; tables and pictures go into the folder."""
    shown = {key: value for key, value in options.items() if key != "now"}
    plans, found["assumed"] = doses.planned(forecast, patient, aims, plan, options)
    with statement.refused():
        table = nb.recommend(forecast, plans, aims, **options)
    order = list(dict.fromkeys(table["regimen"]))
    ranked = sorted(plans, key=lambda each: order.index(str(each)))
    table.to_csv(folder / "regimens.csv", index=False)
    _save(nb.plot.doses(forecast, ranked[:SHOWN], aims, **shown), folder / "doses.png")
    found["regimens"] = table.to_dict("records")
    found["best"] = found["regimens"][: len(aims)]
    worded = {str(each): units.regimen(each) for each in plans}
    lines = ["", *(f"Assumed: {line}" for line in found["assumed"]), *doses.listed(table, aims, worded, units), ""]
    lines += doses.answer(found["best"], aims, ranked[0], units)
    if samples:
        times = wanted.numbers(samples, "--sample")
        said = nb.next_sample(forecast, times, aims[0], plan=ranked[0], **shown)
        said.to_csv(folder / "samples.csv", index=False)
        found["samples"] = said.to_dict("records")
        lines += ["", *doses.sampled(said, aims[0], units)]
    return lines


def _save(figure, path):
    figure.savefig(path, dpi=120)
    plt.close(figure)
