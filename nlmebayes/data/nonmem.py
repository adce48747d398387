"""Read a NONMEM event table; what is not supported yet is refused by name."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from nlmebayes.data import validate
from nlmebayes.data.validate import DataError

KNOWN = (
    "ID",
    "TIME",
    "DV",
    "AMT",
    "EVID",
    "MDV",
    "CMT",
    "RATE",
    "ADDL",
    "II",
    "SS",
    "DVID",
    "OCC",
    "CENS",
    "LIMIT",
)
DATES = ("DATE", "DAT1", "DAT2", "DAT3")
EVENTS = {2: "other event", 3: "reset", 4: "reset and dose"}


@dataclass(frozen=True)
class EventTable:
    """The records of an event table, MDV=1 left out: ``row, id, time, outcome, value, amount, event`` and the rest."""

    frame: pd.DataFrame
    outcomes: tuple[str, ...]
    excluded: dict
    source: str


def read_nonmem(data, *, outcome, predict=False, source=None):
    """Read and check the columns that NONMEM reserves; returns an `EventTable`."""
    frame, name = read_table(data, "event table")
    source = source or name
    frame = _upper(frame, source)
    for name in ("ID", "TIME", "DV"):
        if name not in frame.columns:
            raise DataError(f"{source}: no column {name}; its columns are {', '.join(frame.columns)}")
    for name in DATES:
        if name in frame.columns:
            raise DataError(f"{source}: column {name} is not supported yet; give TIME as a number")
    validate.columns_exist(frame, (), source, reserved=(*validate.RESERVED, "amount", "event"))
    frame = validate.numbered(frame)
    for name in KNOWN:
        if name in frame.columns and name not in ("ID", "OCC", "DVID"):
            frame[name] = validate.numeric(frame, name, source)
    validate.finite(frame, ("TIME",), source)
    event = _events(frame, source)
    _refuse(frame, source)
    outcomes, named = _outcomes(frame, event, outcome, source)
    mdv = _not_measured(frame, source) & (event == 0).to_numpy()
    if len(outcomes) == 1:
        _one_compartment(frame, (event == 0).to_numpy() & ~mdv, source, "samples from several compartments need DVID")
    infinite = np.flatnonzero(np.isinf(frame["DV"]) & (event == 0) & ~mdv)
    if infinite.size:
        validate.fail(source, frame["row"].iloc[infinite[0]], "DV", "is infinite")
    observed = (event == 0) & ~mdv
    for i, name in enumerate(outcomes):
        if frame["DV"][observed & (named == i)].isna().all() and not predict:
            raise DataError(f"{source}, column DV: the outcome {name} is missing in every record")
    rest = [c for c in frame.columns if c not in (*KNOWN, "row")]
    table = frame[["row", *rest]].copy()
    table.insert(1, "id", frame["ID"])
    if "OCC" in frame.columns:
        table["occ"] = frame["OCC"]
    table["time"], table["value"] = frame["TIME"], frame["DV"].mask(mdv)
    table["amount"] = frame["AMT"] if "AMT" in frame.columns else 0.0
    table["event"] = event
    table["outcome"] = [outcomes[i] for i in named]
    left_out = mdv & (not predict)
    excluded = {"MDV is 1": int(left_out.sum())} if left_out.any() else {}
    return EventTable(table[~left_out].reset_index(drop=True), outcomes, excluded, source)


def read_table(data, name):
    """A frame and what to call it, from a frame (called ``name``) or the path of a CSV file."""
    if isinstance(data, pd.DataFrame):
        return data, name
    path = Path(data)
    if not path.is_file():
        raise DataError(f"no file {str(path)!r}")
    try:
        return pd.read_csv(path, na_values=["."], skipinitialspace=True), path.name
    except (ValueError, UnicodeDecodeError) as error:  # pandas' parser errors are ValueErrors
        raise DataError(f"{path.name} cannot be read as CSV: {str(error).strip()}") from error


def _upper(frame, source):
    """Reserved names in capitals, the others as they are."""
    names = [str(c).strip() for c in frame.columns]
    upper = [c.upper() if c.upper() in (*KNOWN, "DATE") else c for c in names]
    twice = [c for c in upper if upper.count(c) > 1]
    if twice:
        raise DataError(f"{source}: column {twice[0]} occurs twice (names are read in any case)")
    return frame.set_axis(upper, axis=1)


def _events(frame, source):
    amount = frame["AMT"].fillna(0.0) if "AMT" in frame.columns else pd.Series(0.0, frame.index)
    validate.finite(frame.assign(AMT=amount), ("AMT",), source)
    validate.not_negative(frame.assign(AMT=amount), "AMT", source)
    event = frame["EVID"] if "EVID" in frame.columns else (amount > 0).astype(float)
    missing = np.flatnonzero(event.isna())
    if missing.size:
        validate.fail(source, frame["row"].iloc[missing[0]], "EVID", "is missing")
    for i in np.flatnonzero(~event.isin([0, 1])):
        what = EVENTS.get(event.iloc[i], "not a NONMEM event")
        validate.fail(source, frame["row"].iloc[i], "EVID", f"{event.iloc[i]:g} ({what}) is not supported yet")
    for i in np.flatnonzero((event == 0) & (amount > 0)):
        validate.fail(source, frame["row"].iloc[i], "AMT", f"{amount.iloc[i]:g} on an observation record (EVID 0)")
    for i in np.flatnonzero((event == 1) & (amount == 0)):
        validate.fail(source, frame["row"].iloc[i], "AMT", "a dose record (EVID 1) without an amount")
    return event.astype(int)


def _refuse(frame, source):
    words = {
        "RATE": "infusions are", "ADDL": "additional doses are", "II": "dosing intervals are",
        "SS": "steady-state doses are", "CENS": "censored values are", "LIMIT": "censoring limits are",
    }  # fmt: skip
    for name, what in words.items():
        if name in frame.columns:
            used = np.flatnonzero(frame[name].notna() & (frame[name] != 0))
            if used.size:
                value = frame[name].iloc[used[0]]
                validate.fail(source, frame["row"].iloc[used[0]], name, f"{value:g}: {what} not supported yet")
    if "AMT" in frame.columns:
        dosed = (frame["AMT"].fillna(0) > 0).to_numpy()
        _one_compartment(frame, dosed, source, "doses into several compartments are not supported yet")


def _one_compartment(frame, records, source, problem):
    """These records name one compartment, if they name any."""
    if "CMT" in frame.columns:
        named = frame[records & frame["CMT"].notna().to_numpy()]
        other = np.flatnonzero(named["CMT"] != named["CMT"].iloc[0]) if len(named) else []
        if len(other):
            row = named.iloc[other[0]]
            validate.fail(source, int(row["row"]), "CMT", f"{row['CMT']:g}: {problem}")


def _not_measured(frame, source):
    """Whether MDV is 1."""
    if "MDV" not in frame.columns:
        return np.zeros(len(frame), bool)
    other = np.flatnonzero(frame["MDV"].notna() & ~frame["MDV"].isin([0, 1]))
    if other.size:
        validate.fail(source, frame["row"].iloc[other[0]], "MDV", f"{frame['MDV'].iloc[other[0]]:g} is neither 0 nor 1")
    return (frame["MDV"] == 1).to_numpy()


def _outcomes(frame, event, outcome, source):
    """Names of the outcomes and, per record, the position of its own. DVID holds numbers or names."""
    named = np.zeros(len(frame), dtype=int)
    if "DVID" not in frame.columns:
        if not isinstance(outcome, str):
            raise DataError(f"{source}: outcome= maps DVID to names, but there is no column DVID")
        return (outcome,), named
    present = frame["DVID"][event == 0]
    empty = np.flatnonzero((event == 0) & frame["DVID"].isna())
    if isinstance(outcome, str) and empty.size:
        validate.fail(source, frame["row"].iloc[empty[0]], "DVID", "is missing on an observation record")
    if len(set(map(type, present.dropna()))) > 1:
        raise DataError(f"{source}, column DVID: numbers and text are mixed")
    seen = sorted(present.dropna().unique())
    if isinstance(outcome, str):
        if len(seen) == 1:
            return (outcome,), named
        if not all(isinstance(label, str) for label in seen):
            example = ", ".join(f"{n:g}: 'outcome{i}'" for i, n in enumerate(seen, 1))
            raise DataError(f"{source}, column DVID: several outcomes; name them, e.g. outcome={{{example}}}")
        outcome = {label: label for label in seen}
    unnamed = np.flatnonzero((event == 0) & ~frame["DVID"].isin(list(outcome)))
    if unnamed.size:
        i = unnamed[0]
        validate.fail(source, frame["row"].iloc[i], "DVID", f"{frame['DVID'].iloc[i]} has no name in outcome=")
    for i, label in enumerate(outcome):
        named[(frame["DVID"] == label).to_numpy()] = i
    return tuple(outcome.values()), named
