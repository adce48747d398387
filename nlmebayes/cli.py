"""Command line: ``nlmebayes demo``, ``nlmebayes zoo``, ``nlmebayes check-data FILE``."""

from pathlib import Path
from typing import Annotated

import typer

import nlmebayes as nb
from nlmebayes.app import demo as theophylline
from nlmebayes.app import zoo as collection

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="Bayesian nonlinear mixed-effects models.",
    pretty_exceptions_enable=False,
)


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
    structure = collection.classes()["OneCompartment"](absorption="first-order")
    theophylline.run(
        structure, folder, typer.echo, draws=draws, tune=tune, chains=chains, seed=seed, progressbar=not quiet
    )


@app.command()
def zoo():
    """List the models with their parameters, units and typical values."""
    for name, kind in collection.classes().items():
        options = ", ".join(option for option, _ in collection.variants(kind) if option)
        typer.echo(f"\n{name}: {collection.about(kind)}" + (f"\n    options: {options}" if options else ""))
        for parameter, unit, typical, option in collection.rows(kind):
            typer.echo(f"    {parameter:<6} {typical:>13} {unit:<9}" + (f" with {option}" if option else ""))


@app.command("check-data")
def check_data(
    file: Annotated[Path, typer.Argument(help="CSV file: a NONMEM event table, or a tidy table with --outcome.")],
    level: Annotated[list[str] | None, typer.Option(help="Levels, outermost first; repeat the option.")] = None,
    outcome: Annotated[list[str] | None, typer.Option(help="Outcome column(s) of a tidy table.")] = None,
    time: Annotated[str | None, typer.Option(help="Time column of a tidy table.")] = None,
    sort: Annotated[bool, typer.Option(help="Sort each subject by time instead of refusing disorder.")] = False,
):
    """Read a file with every check and print what it holds, or the first thing that is wrong."""
    levels = tuple(level or ("id",))
    try:
        if outcome:
            typer.echo(nb.Dataset.from_frame(file, outcome=tuple(outcome), time=time, levels=levels, sort=sort))
        else:
            typer.echo(nb.Dataset.from_nonmem(file, levels=levels, sort=sort))
    except nb.DataError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from None
