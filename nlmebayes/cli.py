"""Command line: ``nlmebayes demo``, ``zoo``, ``models``, ``check-data``, ``fit``, ``design``, and so on."""

from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

import nlmebayes as nb
from nlmebayes import app as jobs
from nlmebayes.app.words import StatementError
from nlmebayes.runtime import threads

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="Bayesian nonlinear mixed-effects models.",
    pretty_exceptions_enable=False,
)


def _option(kind, text, *names, panel=None):
    return Annotated[kind | None, typer.Option(*names, help=text, rich_help_panel=panel)]


def _data(kind, text, *names):
    return _option(kind, text, *names, panel="Data")


def _model(kind, text, *names):
    return _option(kind, text, *names, panel="Model")


def _sampling(kind, text, *names):
    return _option(kind, text, *names, panel="Sampling")


def _dosing(kind, text, *names):
    return _option(kind, text, *names, panel="Doses")


Level = _data(list[str], "Level, outermost first; repeat it. By default id.")
Outcome = _data(list[str], "Name of DV, DVID=NAME of several, or a measured column of a tidy table; repeat it.")
Tidy = _data(bool, "One row per time and one column per outcome, instead of a NONMEM event table.")
Time = _data(str, "Time column of a tidy table.")
Doses = _data(Path, "CSV file with the doses of a tidy table: levels, time, amount.")
Amount = _data(str, "Amount column of --doses. By default amt.")
Subject = _data(str, "Level of a tidy table that is followed in time. By default the innermost.")
Covariate = _data(list[str], "Column that must have one value per innermost unit; repeat it.")
Input = _data(list[str], "Column that varies from record to record, or INPUT=COLUMN of the model; repeat it.")
Sort = _data(bool, "Sort each subject by time instead of refusing disorder.")
Duplicates = _data(str, "Records that agree in all: error (by default), or keep them as replicates.")
Interpolation = _data(str, "Covariates between records: nocb, locf or linear.")
Lloq = _data(list[str], "Lower limit of quantification, OUTCOME=LIMIT (repeat it), or <: each cell says it.")
Blq = _data(str, "Records below it: M1, M3 or M4.")
Column = _data(list[str], "OLD=NEW: another name for a column of the file; repeat it.")
Ignore = _data(list[str], "NONMEM's IGNORE=: a character, or conditions such as 'WT.GT.150'; repeat it.")
Accept = _data(list[str], "NONMEM's ACCEPT=: conditions, of which one suffices; repeat it.")
Missing = _data(list[float], "Number that stands for a missing value, such as -99; repeat it.")
Encoding = _data(str, "Of the file, such as cp1252. By default utf-8.")
Decimal = _data(str, "Sign before decimals, . or , where the file does not tell.")
Seed = _sampling(int, "Random seed. By default 1.")


@contextmanager
def _errors():
    """What the library refuses, as one line on stderr."""
    try:
        yield
    except (StatementError, nb.DataError, nb.FileError, nb.FormulaError, nb.ModelError, OSError) as error:
        typer.echo("error: " + " ".join(str(error).splitlines()), err=True)
        raise typer.Exit(1) from None


def _version(asked: bool):
    if asked:
        typer.echo(f"nlmebayes {nb.__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and end.", callback=_version, is_eager=True)
    ] = False,
):
    """Bayesian nonlinear mixed-effects models."""
    threads.no_others()


@app.command()
def demo(
    folder: Annotated[Path, typer.Argument(help="Where figures and tables go.")] = Path("demo"),
    draws: Annotated[int, typer.Option(help="Draws per chain.")] = 1000,
    tune: Annotated[int, typer.Option(help="Warm-up draws per chain.")] = 1000,
    chains: int = 4,
    seed: int = 1,
    quiet: Annotated[bool, typer.Option(help="No progress bar.")] = False,
):
    """Theophylline end to end: fit 11 patients, check, forecast the twelfth, choose a dose."""
    structure = jobs.zoo.classes()["OneCompartment"](absorption="first-order")
    jobs.demo.run(
        structure, folder, typer.echo, draws=draws, tune=tune, chains=chains, seed=seed, progressbar=not quiet
    )


@app.command()
def zoo(name: Annotated[str | None, typer.Argument(help="One model in any spelling: equations, all of it.")] = None):
    """List the models with their parameters, units and typical values, or tell all about one."""
    with _errors():
        typer.echo("\n".join(jobs.zoo.lines() if name is None else jobs.zoo.told(name)))


@app.command()
def models():
    """List the published populations: drug and patients, range of their covariates, citation."""
    typer.echo("\n".join(jobs.models.lines()))


@app.command("check-data")
def check_data(
    ctx: typer.Context,
    data: Annotated[Path, typer.Argument(help="CSV file: a NONMEM event table, or tidy (--time or --tidy).")],
    level: Level = None,
    outcome: Outcome = None,
    tidy: Tidy = None,
    time: Time = None,
    doses: Doses = None,
    amount: Amount = None,
    subject: Subject = None,
    covariate: Covariate = None,
    input: Input = None,
    sort: Sort = None,
    duplicates: Duplicates = None,
    interpolation: Interpolation = None,
    lloq: Lloq = None,
    blq: Blq = None,
    column: Column = None,
    ignore: Ignore = None,
    accept: Accept = None,
    missing: Missing = None,
    encoding: Encoding = None,
    decimal: Decimal = None,
):
    """Read a file with every check and print what it holds, or the first thing that is wrong."""
    with _errors():
        typer.echo(jobs.statement.dataset(jobs.arguments.data(ctx.params)))


@app.command()
def fit(
    ctx: typer.Context,
    data: Annotated[Path | None, typer.Argument(help="CSV file: a NONMEM event table, or a tidy table.")] = None,
    config: _option(Path, "TOML file with the sections data, model, sampling; options replace what it says.") = None,
    out: Annotated[Path, typer.Option(help="Folder for the results.")] = Path("results"),
    force: Annotated[bool, typer.Option("--force", help="Replace earlier results in that folder.")] = False,
    report: Annotated[bool, typer.Option("--report/--no-report", help="A report as one HTML file.")] = True,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bar.")] = False,
    model: _model(str, "Zoo class in any spelling, such as one-compartment; `nlmebayes zoo` lists them.") = None,
    option: _model(list[str], "NAME=VALUE of an option of the zoo class; repeat it.") = None,
    formula: _model(list[str], "'cl ~ 1 + log(wt/70) + (1|id)'; repeat it for each parameter.") = None,
    residual: _model(list[str], "additive (by default), proportional, combined, ...; OUTCOME=KIND of several.") = None,
    prior: _model(list[str], "'omega_id=HalfNormal(sigma=0.3)'; repeat it.") = None,
    typical: _model(list[str], "NAME=VALUE or NAME=VALUE,SPREAD; repeat it.") = None,
    fixed: _model(list[str], "NAME=VALUE of a parameter that is known; repeat it.") = None,
    link: _model(list[str], "NAME=LINK: log, identity, logit or probit; repeat it.") = None,
    parametrisation: _model(
        list[str], "auto (by default), transport, centred, noncentred; NAME=KIND of a parameter or level."
    ) = None,
    level: Level = None,
    outcome: Outcome = None,
    tidy: Tidy = None,
    time: Time = None,
    doses: Doses = None,
    amount: Amount = None,
    subject: Subject = None,
    covariate: Covariate = None,
    input: Input = None,
    sort: Sort = None,
    duplicates: Duplicates = None,
    interpolation: Interpolation = None,
    lloq: Lloq = None,
    blq: Blq = None,
    column: Column = None,
    ignore: Ignore = None,
    accept: Accept = None,
    missing: Missing = None,
    encoding: Encoding = None,
    decimal: Decimal = None,
    method: _sampling(str, "nuts (by default), ml for maximum likelihood, map, laplace or pathfinder.") = None,
    draws: _sampling(int, "Draws per chain. By default 1000.") = None,
    tune: _sampling(int, "Warm-up draws per chain. By default 1000.") = None,
    chains: _sampling(int, "By default 4.") = None,
    cores: _sampling(int, "Chains that run at once. By default all cores.") = None,
    target_accept: _sampling(
        float, "Towards 1 when draws diverge. By default 0.8 or 0.9, by the parametrisation."
    ) = None,
    seed: Seed = None,
):
    """Fit a model to a file; the fit, its check, tables, figures and the whole statement go into a folder."""
    with _errors():
        said = jobs.arguments.said(ctx.params)
        if config is not None:
            said = jobs.statement.merged(jobs.statement.read(config), said)
        jobs.fit.run(said, out, typer.echo, force=force, progressbar=not quiet, report=report)


@app.command()
def compare(
    fits: Annotated[list[Path], typer.Argument(help="Folders of `nlmebayes fit`, or their fit.nc, of the same data.")],
    out: Annotated[Path, typer.Option(help="Folder for the results.")] = Path("comparison"),
    force: Annotated[bool, typer.Option("--force", help="Replace earlier results in that folder.")] = False,
    by: _option(str, "Level whose groups are left out. By default that of subjects.") = None,
    draws: Annotated[int, typer.Option(help="Of each posterior.")] = 400,
    refit: Annotated[bool, typer.Option("--refit", help="Fit again without each group that needs it.")] = False,
    maximum: Annotated[bool, typer.Option("--maximum", help="Run maximum likelihood for AIC, BIC and BICc.")] = False,
    seed: Annotated[int, typer.Option(help="Random seed.")] = 1,
):
    """Compare fits of the same data: subjects left out, AIC, BIC, weights."""
    with _errors():
        jobs.compare.run(
            fits, out, typer.echo, by=by, draws=draws, refit=refit, maximum=maximum, force=force, seed=seed
        )


@app.command()
def report(
    fit: Annotated[Path, typer.Argument(help="Folder of `nlmebayes fit` or `nlmebayes forecast`, or a NetCDF file.")],
    out: Annotated[Path, typer.Option(help="HTML file, or a folder, which gets every table too.")] = Path("report"),
    compare: _option(list[Path], "Another fit of the same data to compare it with; repeat it.") = None,
    title: _option(str, "What stands on top.") = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an earlier report.")] = False,
):
    """Write a fit or a forecast as one HTML file that loads nothing and prints to A4."""
    with _errors():
        jobs.report.run(fit, out, typer.echo, others=compare or (), title=title, force=force)


@app.command()
def predict(
    ctx: typer.Context,
    tree: Annotated[Path, typer.Argument(help="NetCDF file of a fit, such as results/fit.nc.")],
    data: Annotated[Path, typer.Argument(help="CSV file, read as the data of the fit were; DV may be missing.")],
    out: Annotated[Path, typer.Option(help="CSV file for the predictions.")] = Path("prediction.csv"),
    netcdf: _option(Path, "File for the whole tree of predictions.") = None,
    times: _option(str, "0,1,2: predict each unit at these instead of its records.") = None,
    grid: _option(str, "start:stop:n: the same at n evenly spaced values.") = None,
    over: Annotated[str, typer.Option(help="Column that --times and --grid are values of.")] = "time",
    force: Annotated[bool, typer.Option("--force", help="Replace the files.")] = False,
    seed: Annotated[int, typer.Option(help="Random seed.")] = 1,
    level: Level = None,
    outcome: Outcome = None,
    tidy: Tidy = None,
    time: Time = None,
    doses: Doses = None,
    amount: Amount = None,
    subject: Subject = None,
    covariate: Covariate = None,
    input: Input = None,
    sort: Sort = None,
    duplicates: Duplicates = None,
    interpolation: Interpolation = None,
    lloq: Lloq = None,
    blq: Blq = None,
    column: Column = None,
    ignore: Ignore = None,
    accept: Accept = None,
    missing: Missing = None,
    encoding: Encoding = None,
    decimal: Decimal = None,
):
    """Predict new data from a fit: known subjects keep what was learnt of them, others come from the population."""
    with _errors():
        said = jobs.arguments.data(ctx.params)
        jobs.predict.run(
            tree, said, out, typer.echo, times=times, grid=grid, over=over, netcdf=netcdf, force=force, seed=seed
        )


@app.command()
def forecast(
    ctx: typer.Context,
    model: Annotated[
        Path,
        typer.Argument(
            help="The population: a folder of `nlmebayes fit`, its fit.nc, a published model by name or as a TOML file."
        ),
    ],
    data: Annotated[Path, typer.Argument(help="CSV file of one patient, read as the data of the population were.")],
    out: Annotated[Path, typer.Option(help="Folder for the results.")] = Path("forecast"),
    force: Annotated[bool, typer.Option("--force", help="Replace earlier results in that folder.")] = False,
    report: Annotated[bool, typer.Option("--report/--no-report", help="A page as one HTML file.")] = True,
    seed: Annotated[int, typer.Option(help="Random seed.")] = 1,
    target: _dosing(list[str], "'trough 10-15 mg/L', 'auc24 400-600', 't>mic 50% mic 4', ...; repeat it.") = None,
    amounts: _dosing(str, "Amounts: 500,750 or first:last:step. By default the best is sought.", "--doses") = None,
    every: _dosing(str, "Interval, or several: 8,12,24.") = None,
    duration: _dosing(str, "Of an infusion, or several: 1,2; 0 at once. By default as the last dose.") = None,
    step: _dosing(float, "Best amounts are multiples of it. By default as the published model states.") = None,
    start: _dosing(float, "Time of the first dose. By default the next that the records imply.") = None,
    until: _dosing(float, "Time by which the last interval ends.") = None,
    number: _dosing(int, "Doses. Without it and --until, the steady state with --every, else one.") = None,
    steady: _dosing(bool, "A new steady state, whatever was given before.", "--steady") = None,
    state: _dosing(str, "State that is dosed, by name or CMT number. By default as the last dose.") = None,
    salt: _dosing(float, "What part of the amount is the drug.") = None,
    history: _dosing(str, "Recorded doses: follow them (by default), replace those from the start on, or none.") = None,
    now: _dosing(float, "A sample recorded for later is refused; a dose too, if it stays.") = None,
    then: _dosing(list[str], "Covariate to come: crcl=40 from the start on, 'crcl=40 at 72'; repeat it.") = None,
    time_sd: _dosing(str, "SD of the error of the sampling times, or the column that holds it.") = None,
    impute: _dosing(bool, "Draw covariates that are missing from the population's.", "--impute") = None,
    about: _dosing(str, "Outcome that the targets are about, if there are several.") = None,
    sample: _dosing(str, "Candidate times of the next sample: 26,30 or first:last:step.") = None,
    level: Level = None,
    outcome: Outcome = None,
    tidy: Tidy = None,
    time: Time = None,
    doses: _data(Path, "CSV file with the doses of a tidy table: levels, time, amount.", "--dose-table") = None,
    amount: _data(str, "Amount column of --dose-table. By default amt.") = None,
    subject: Subject = None,
    covariate: Covariate = None,
    input: Input = None,
    sort: Sort = None,
    duplicates: Duplicates = None,
    interpolation: Interpolation = None,
    lloq: Lloq = None,
    blq: Blq = None,
    column: Column = None,
    ignore: Ignore = None,
    accept: Accept = None,
    missing: Missing = None,
    encoding: Encoding = None,
    decimal: Decimal = None,
):
    """Forecast one patient from its samples, and tell which doses reach a target, with what probability."""
    with _errors():
        plan = {
            "amounts": amounts, "every": every, "duration": duration, "start": start, "until": until, "number": number,
            "steady": steady, "state": state, "salt": salt, "step": step,
        }  # fmt: skip
        jobs.forecast.run(
            model, jobs.arguments.data(ctx.params), out, typer.echo, targets=target or (), plan=plan,
            history=history or "follow", about=about, now=now, samples=sample, force=force, seed=seed,
            then=then or (), time_sd=time_sd, impute=bool(impute), report=report,
        )  # fmt: skip


@app.command()
def design(
    model: Annotated[
        Path,
        typer.Argument(
            help="The population: a folder of `nlmebayes fit`, its fit.nc, a published model by name or as a TOML file."
        ),
    ],
    plan: Annotated[
        Path, typer.Argument(help="TOML file of the design, as Design.to_toml writes it.", metavar="DESIGN")
    ],
    method: Annotated[str, typer.Option(help="fo (reduced), full, foce or exact.")] = "fo",
    fixed: _option(list[str], "Number that is known: sigma_conc_b; omega_id are all that begin so; repeat it.") = None,
    variances: Annotated[bool, typer.Option("--variances", help="Variances in the place of SDs.")] = False,
    power: _option(str, "Parameter whose power to be told from 0 is asked for, such as 'cl: log(wt / 70)'.") = None,
    wanted: Annotated[float, typer.Option(help="Power for which the number of subjects is told.")] = 0.8,
    optimise: _option(list[str], "times=0.5:24, amt=50:200, n=5:40: seek the best between these; repeat it.") = None,
    step: _option(list[str], "times=0.5: of what the best is a multiple; repeat it.") = None,
    out: _option(Path, "Folder for the tables and a picture. By default they are printed only.") = None,
    force: Annotated[bool, typer.Option("--force", help="Replace earlier results in that folder.")] = False,
    seed: Annotated[int, typer.Option(help="Of what is drawn: covariates, windows, effects.")] = 0,
):
    """Tell what a planned study will tell of a population: expected errors, shrinkage, what cannot be told apart."""
    with _errors():
        jobs.design.run(
            model, plan, typer.echo, method=method, fixed=fixed or (), variances=variances, power=power, wanted=wanted,
            optimise=optimise or (), step=step or (), out=out, force=force, seed=seed,
        )  # fmt: skip
