"""Options that several commands take, each with its help and the panel that it stands in."""

from pathlib import Path
from typing import Annotated

import typer


def option(kind, text, *names, panel=None):
    return Annotated[kind | None, typer.Option(*names, help=text, rich_help_panel=panel)]


def data(kind, text, *names):
    return option(kind, text, *names, panel="Data")


def model(kind, text, *names):
    return option(kind, text, *names, panel="Model")


def sampling(kind, text, *names):
    return option(kind, text, *names, panel="Sampling")


def dosing(kind, text, *names):
    return option(kind, text, *names, panel="Doses")


Level = data(list[str], "Level, outermost first; repeat it. By default id.")
Outcome = data(list[str], "Name of DV, DVID=NAME of several, or a measured column of a tidy table; repeat it.")
Tidy = data(bool, "One row per time and one column per outcome, instead of a NONMEM event table.")
Time = data(str, "Time column of a tidy table.")
Doses = data(Path, "CSV file with the doses of a tidy table: levels, time, amount.")
Amount = data(str, "Amount column of --doses. By default amt.")
Subject = data(str, "Level of a tidy table that is followed in time. By default the innermost.")
Covariate = data(list[str], "Column that must have one value per innermost unit; repeat it.")
Input = data(list[str], "Column that varies from record to record, or INPUT=COLUMN of the model; repeat it.")
Sort = data(bool, "Sort each subject by time instead of refusing disorder.")
Duplicates = data(str, "Records that agree in all: error (by default), or keep them as replicates.")
Interpolation = data(str, "Covariates between records: nocb, locf or linear.")
Lloq = data(list[str], "Lower limit of quantification, OUTCOME=LIMIT (repeat it), or <: each cell says it.")
Blq = data(str, "Records below it: M1, M3 or M4.")
Column = data(list[str], "OLD=NEW: another name for a column of the file; repeat it.")
Ignore = data(list[str], "NONMEM's IGNORE=: a character, or conditions such as 'WT.GT.150'; repeat it.")
Accept = data(list[str], "NONMEM's ACCEPT=: conditions, of which one suffices; repeat it.")
Missing = data(list[float], "Number that stands for a missing value, such as -99; repeat it.")
Encoding = data(str, "Of the file, such as cp1252. By default utf-8.")
Decimal = data(str, "Sign before decimals, . or , where the file does not tell.")
Dates = data(str, "dmy or mdy: order in dates that end in the year, where they do not tell.")
Seed = sampling(int, "Random seed. By default 1.")
