"""``nlmebayes forecast CASE.toml``: the answer about a case, as the page at the bedside gives it."""

import json

from nlmebayes.cases.answers import answer
from nlmebayes.cases.file import read_case, written
from nlmebayes.files import trees, whole
from nlmebayes.reporting.document import today
from nlmebayes.words import StatementError

OWN = ("case.toml", "forecast.json", "forecast.nc", "report.html", "*.csv")
TAKEN = ("model", "data", "out", "force", "report")  # parameters of the command
LISTED = 10  # regimens in the printed table


def run(path, out, say, *, force=False, report=True):
    """Answer a case file and write what was found into the folder ``out``, whole or not at all."""
    if path.suffix != ".toml" or not path.is_file():
        raise StatementError(f"forecast {path}: give DATA too, the CSV file of one patient, or a case file, CASE.toml")
    case = read_case(path)
    found = answer(case)
    said = found.said()
    with whole.folder(out, OWN, force=force) as folder:
        (folder / "case.toml").write_text(written(case), encoding="utf-8")
        (folder / "forecast.json").write_text(json.dumps(said, indent=2) + "\n", encoding="utf-8")
        trees.save(found.forecasts[found.leading], folder / "forecast.nc")
        for name, table in found.tables.items():
            table.to_csv(folder / f"{name}.csv", index=False)
        if report:
            found.report(folder / "report.html", date=today())
    say("\n".join([*_patient(found, said), *_regimens(found, said), *_doubts(said)]))
    say(f"Written to {out}: " + ", ".join(sorted(each.name for each in out.iterdir())))


def alone(context):
    """Refuse options beside a case file, which says all that they would."""
    for name in context.params:
        if name not in TAKEN and context.get_parameter_source(name).name == "COMMANDLINE":
            raise StatementError(
                f"--{name.replace('_', '-')} belongs to a patient's CSV file; write it into the case file"
            )


def _patient(found, said):
    """The case, its models, covariates and parameters."""
    case = found.entry.case
    yield f"{case.label}: {len(case.doses)} dose records, {len(case.samples)} samples"
    for model in said["models"]:
        yield f"{model['model']}, weight {model['weight']:.2f}: {model.get('citation', '')}".rstrip(": ")
    yield from (f"{name}: {words}" for name, words in found.entry.covariates.items())
    yield f"{'':12}{'median':>10}   {'5 to 95 %':<22}{'population':>10}{'percentile':>12}"
    for p in found.standing.query("model == @found.leading").to_dict("records"):
        band = f"{p['eti_lb']:.4g} to {p['eti_ub']:.4g}"
        place = f"{p['percentile']:.0f}" if p["percentile"] == p["percentile"] else ""
        yield f"{p['parameter']:<12}{p['median']:>10.4g}   {band:<22}{p['expected']:>10.4g}{place:>12}  {p['unit']}"


def _regimens(found, said):
    """Regimens, the best first, what a change of the next dose does, and the next sample."""
    if found.best is None:
        return
    yield from ["", *(f"Assumed: {line}" for line in found.entry.assumed)]
    for row in found.regimens.head(LISTED).to_dict("records"):
        yield (f"{row['regimen']}: {row['target']} with probability {row['p_in']:.2f}, below {row['p_below']:.2f}, "
               f"above {row['p_above']:.2f}")  # fmt: skip
    if len(found.regimens) > LISTED:
        yield f"... and {len(found.regimens) - LISTED} more, in regimens.csv"
    yield f"Best: {said['best']['words']}, from {said['best']['when']} on"
    for row in said.get("changes", ()):
        yield f"  next dose {row['change']}: {row['target']} with probability {row['p_in']:.2f}"
    first = found.samples.iloc[0]
    when = found.entry.times.worded(first["time"])
    falls = f"its SD falls by {first['reduction']:.0f} %"
    yield f"Next sample, to know {found.sampled} better: at {when}, {falls}"


def _doubts(said):
    yield from (f"look at {each['field']}: {each['message']}" for each in said["looked_at"])
    yield from (f"warning: {line}" for line in said["warnings"])
    yield said["intended_use"]
