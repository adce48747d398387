"""Command line: ``nlmebayes demo``, ``zoo``, ``models``, ``check-data``, ``fit``, ``design``, and so on."""

from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

import nlmebayes as nb
from nlmebayes import app as jobs
from nlmebayes.app import options
from nlmebayes.runtime import garbage, threads
from nlmebayes.words import StatementError

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="Bayesian nonlinear mixed-effects models.",
    pretty_exceptions_enable=False,
)


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
    garbage.left_at_the_end()


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
        typer.echo("\n".join(jobs.listing.lines() if name is None else jobs.listing.told(name)))


@app.command()
def models():
    """List the published populations: drug and patients, range of their covariates, citation."""
    typer.echo("\n".join(jobs.models.lines()))


@app.command("check-data")
def check_data(
    ctx: typer.Context,
    data: Annotated[Path, typer.Argument(help="CSV file: a NONMEM event table, or tidy (--time or --tidy).")],
    level: options.Level = None,
    outcome: options.Outcome = None,
    tidy: options.Tidy = None,
    time: options.Time = None,
    doses: options.Doses = None,
    amount: options.Amount = None,
    subject: options.Subject = None,
    covariate: options.Covariate = None,
    input: options.Input = None,
    sort: options.Sort = None,
    duplicates: options.Duplicates = None,
    interpolation: options.Interpolation = None,
    lloq: options.Lloq = None,
    blq: options.Blq = None,
    column: options.Column = None,
    ignore: options.Ignore = None,
    accept: options.Accept = None,
    missing: options.Missing = None,
    encoding: options.Encoding = None,
    decimal: options.Decimal = None,
    dates: options.Dates = None,
):
    """Read a file with every check and print what it holds, or the first thing that is wrong."""
    with _errors():
        typer.echo(jobs.statement.dataset(jobs.arguments.data(ctx.params)))


@app.command()
def fit(
    ctx: typer.Context,
    data: Annotated[Path | None, typer.Argument(help="CSV file: a NONMEM event table, or a tidy table.")] = None,
    config: options.option(
        Path, "TOML file with the sections data, model, sampling; options replace what it says."
    ) = None,
    out: Annotated[Path, typer.Option(help="Folder for the results.")] = Path("results"),
    force: Annotated[bool, typer.Option("--force", help="Replace earlier results in that folder.")] = False,
    report: Annotated[bool, typer.Option("--report/--no-report", help="A report as one HTML file.")] = True,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bar.")] = False,
    model: options.model(str, "Zoo class in any spelling, such as one-compartment; `nlmebayes zoo` lists them.") = None,
    option: options.model(list[str], "NAME=VALUE of an option of the zoo class; repeat it.") = None,
    formula: options.model(list[str], "'cl ~ 1 + log(wt/70) + (1|id)'; repeat it for each parameter.") = None,
    residual: options.model(
        list[str], "additive (by default), proportional, combined, ...; OUTCOME=KIND of several."
    ) = None,
    prior: options.model(list[str], "'omega_id=HalfNormal(sigma=0.3)'; repeat it.") = None,
    typical: options.model(list[str], "NAME=VALUE or NAME=VALUE,SPREAD; repeat it.") = None,
    fixed: options.model(list[str], "NAME=VALUE of a parameter that is known; repeat it.") = None,
    link: options.model(list[str], "NAME=LINK: log, identity, logit or probit; repeat it.") = None,
    parametrisation: options.model(
        list[str], "auto (by default), transport, centred, noncentred; NAME=KIND of a parameter or level."
    ) = None,
    level: options.Level = None,
    outcome: options.Outcome = None,
    tidy: options.Tidy = None,
    time: options.Time = None,
    doses: options.Doses = None,
    amount: options.Amount = None,
    subject: options.Subject = None,
    covariate: options.Covariate = None,
    input: options.Input = None,
    sort: options.Sort = None,
    duplicates: options.Duplicates = None,
    interpolation: options.Interpolation = None,
    lloq: options.Lloq = None,
    blq: options.Blq = None,
    column: options.Column = None,
    ignore: options.Ignore = None,
    accept: options.Accept = None,
    missing: options.Missing = None,
    encoding: options.Encoding = None,
    decimal: options.Decimal = None,
    dates: options.Dates = None,
    method: options.sampling(str, "nuts (by default), ml for maximum likelihood, map, laplace or pathfinder.") = None,
    draws: options.sampling(int, "Draws per chain. By default 1000.") = None,
    tune: options.sampling(int, "Warm-up draws per chain. By default 1000.") = None,
    chains: options.sampling(int, "By default 4.") = None,
    cores: options.sampling(int, "Chains that run at once. By default all cores.") = None,
    target_accept: options.sampling(
        float, "Towards 1 when draws diverge. By default 0.8 or 0.9, by the parametrisation."
    ) = None,
    seed: options.Seed = None,
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
    by: options.option(str, "Level whose groups are left out. By default that of subjects.") = None,
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
    out: Annotated[Path, typer.Option(help="HTML file, a folder, which gets every table too, or .docx.")] = Path(
        "report"
    ),
    compare: options.option(list[Path], "Another fit of the same data to compare it with; repeat it.") = None,
    title: options.option(str, "What stands on top.") = None,
    word: Annotated[bool, typer.Option("--word", help="The tables as a Word document too.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace an earlier report.")] = False,
):
    """Write a fit or a forecast as one HTML file that loads nothing and prints to A4."""
    with _errors():
        jobs.report.run(fit, out, typer.echo, others=compare or (), title=title, word=word, force=force)


@app.command()
def predict(
    ctx: typer.Context,
    tree: Annotated[Path, typer.Argument(help="NetCDF file of a fit, such as results/fit.nc.")],
    data: Annotated[Path, typer.Argument(help="CSV file, read as the data of the fit were; DV may be missing.")],
    out: Annotated[Path, typer.Option(help="CSV file for the predictions.")] = Path("prediction.csv"),
    netcdf: options.option(Path, "File for the whole tree of predictions.") = None,
    times: options.option(str, "0,1,2: predict each unit at these instead of its records.") = None,
    grid: options.option(str, "start:stop:n: the same at n evenly spaced values.") = None,
    over: Annotated[str, typer.Option(help="Column that --times and --grid are values of.")] = "time",
    force: Annotated[bool, typer.Option("--force", help="Replace the files.")] = False,
    seed: Annotated[int, typer.Option(help="Random seed.")] = 1,
    level: options.Level = None,
    outcome: options.Outcome = None,
    tidy: options.Tidy = None,
    time: options.Time = None,
    doses: options.Doses = None,
    amount: options.Amount = None,
    subject: options.Subject = None,
    covariate: options.Covariate = None,
    input: options.Input = None,
    sort: options.Sort = None,
    duplicates: options.Duplicates = None,
    interpolation: options.Interpolation = None,
    lloq: options.Lloq = None,
    blq: options.Blq = None,
    column: options.Column = None,
    ignore: options.Ignore = None,
    accept: options.Accept = None,
    missing: options.Missing = None,
    encoding: options.Encoding = None,
    decimal: options.Decimal = None,
    dates: options.Dates = None,
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
            help="The population: a folder of `nlmebayes fit`, its fit.nc, a published model by name or as TOML; "
            "or a case file, which says all."
        ),
    ],
    data: Annotated[
        Path | None, typer.Argument(help="CSV file of one patient, read as the data of the population were.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the results.")] = Path("forecast"),
    force: Annotated[bool, typer.Option("--force", help="Replace earlier results in that folder.")] = False,
    report: Annotated[bool, typer.Option("--report/--no-report", help="A page as one HTML file.")] = True,
    seed: Annotated[int, typer.Option(help="Random seed.")] = 1,
    target: options.dosing(
        list[str], "'trough 10-15 mg/L', 'auc24 400-600', 't>mic 50% mic 4', ...; repeat it."
    ) = None,
    amounts: options.dosing(
        str, "Amounts: 500,750 or first:last:step. By default the best is sought.", "--doses"
    ) = None,
    every: options.dosing(str, "Interval, or several: 8,12,24.") = None,
    duration: options.dosing(str, "Of an infusion, or several: 1,2; 0 at once. By default as the last dose.") = None,
    step: options.dosing(float, "Best amounts are multiples of it. By default as the published model states.") = None,
    start: options.dosing(float, "Time of the first dose. By default the next that the records imply.") = None,
    until: options.dosing(float, "Time by which the last interval ends.") = None,
    number: options.dosing(int, "Doses. Without it and --until, the steady state with --every, else one.") = None,
    steady: options.dosing(bool, "A new steady state, whatever was given before.", "--steady") = None,
    state: options.dosing(str, "State that is dosed, by name or CMT number. By default as the last dose.") = None,
    salt: options.dosing(float, "What part of the amount is the drug.") = None,
    history: options.dosing(
        str, "Recorded doses: follow them (by default), replace those from the start on, or none."
    ) = None,
    now: options.dosing(float, "A sample recorded for later is refused; a dose too, if it stays.") = None,
    then: options.dosing(list[str], "Covariate to come: crcl=40 from the start on, 'crcl=40 at 72'; repeat it.") = None,
    time_sd: options.dosing(str, "SD of the error of the sampling times, or the column that holds it.") = None,
    impute: options.dosing(bool, "Draw covariates that are missing from the population's.", "--impute") = None,
    about: options.dosing(str, "Outcome that the targets are about, if there are several.") = None,
    sample: options.dosing(str, "Candidate times of the next sample: 26,30 or first:last:step.") = None,
    level: options.Level = None,
    outcome: options.Outcome = None,
    tidy: options.Tidy = None,
    time: options.Time = None,
    doses: options.data(Path, "CSV file with the doses of a tidy table: levels, time, amount.", "--dose-table") = None,
    amount: options.data(str, "Amount column of --dose-table. By default amt.") = None,
    subject: options.Subject = None,
    covariate: options.Covariate = None,
    input: options.Input = None,
    sort: options.Sort = None,
    duplicates: options.Duplicates = None,
    interpolation: options.Interpolation = None,
    lloq: options.Lloq = None,
    blq: options.Blq = None,
    column: options.Column = None,
    ignore: options.Ignore = None,
    accept: options.Accept = None,
    missing: options.Missing = None,
    encoding: options.Encoding = None,
    decimal: options.Decimal = None,
    dates: options.Dates = None,
):
    """Forecast one patient from its samples, and tell which doses reach a target, with what probability."""
    with _errors():
        if data is None:
            jobs.case.alone(ctx)
            jobs.case.run(model, out, typer.echo, force=force, report=report)
            return
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
def bedside(
    port: Annotated[int, typer.Option(help="By default a free one.", min=0, max=65535)] = 0,
    host: Annotated[str, typer.Option(help="Where to listen; other machines need --password.")] = "127.0.0.1",
    password: Annotated[
        str | None, typer.Option(help="That the page asks for.", envvar="NLMEBAYES_PASSWORD", show_envvar=True)
    ] = None,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the page.")] = True,
):
    """Serve a page for one patient to the browser of this machine: chart, course, doses, next sample."""
    with _errors():
        jobs.bedside.run(typer.echo, host=host, port=port, password=password, browser=browser)


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
    fixed: options.option(
        list[str], "Number that is known: sigma_conc_b; omega_id are all that begin so; repeat it."
    ) = None,
    variances: Annotated[bool, typer.Option("--variances", help="Variances in the place of SDs.")] = False,
    power: options.option(
        str, "Parameter whose power to be told from 0 is asked for, such as 'cl: log(wt / 70)'."
    ) = None,
    wanted: Annotated[float, typer.Option(help="Power for which the number of subjects is told.")] = 0.8,
    optimise: options.option(
        list[str], "times=0.5:24, amt=50:200, n=5:40: seek the best between these; repeat it."
    ) = None,
    step: options.option(list[str], "times=0.5: of what the best is a multiple; repeat it.") = None,
    out: options.option(Path, "Folder for the tables and a picture. By default they are printed only.") = None,
    force: Annotated[bool, typer.Option("--force", help="Replace earlier results in that folder.")] = False,
    seed: Annotated[int, typer.Option(help="Of what is drawn: covariates, windows, effects.")] = 0,
):
    """Tell what a planned study will tell of a population: expected errors, shrinkage, what cannot be told apart."""
    with _errors():
        jobs.design.run(
            model, plan, typer.echo, method=method, fixed=fixed or (), variances=variances, power=power, wanted=wanted,
            optimise=optimise or (), step=step or (), out=out, force=force, seed=seed,
        )  # fmt: skip
