"""`Dataset`: validated tidy frames of observations, doses and other events, with their levels."""

from dataclasses import dataclass, field, replace
from os import PathLike
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd

from nlmebayes import arguments
from nlmebayes.arguments import ANYTHING, Integer, Name, Names, Number, Switch, Text
from nlmebayes.data import validate
from nlmebayes.data.contents import AMOUNT, Contents, contents
from nlmebayes.data.grid import over_subjects, over_units, with_observations
from nlmebayes.data.limits import Blq
from nlmebayes.data.nonmem import read_nonmem
from nlmebayes.data.reading import Reading
from nlmebayes.data.study import read_study
from nlmebayes.data.summary import lines
from nlmebayes.data.tidy import MEASUREMENT, label
from nlmebayes.data.validate import DataError

RECORDS = 10_000_000  # of a grid, which take a gigabyte
Duplicates = Literal["error", "keep"]
Unmeasured = Literal["exclude", "predict"]
Interpolation = Literal["nocb", "locf", "linear"]
Limits = Number | Name | dict[Name, Number] | None  # of quantification
Code = Integer | Number | Name  # of an outcome, in DVID or CMT
Units = dict[Name, Name]
Table = Annotated[pd.DataFrame | str | PathLike, ANYTHING]  # what the readers make of it, they say themselves


def checked[Thing](thing: Thing) -> Thing:
    """`arguments.checked`, which refuses by `DataError`."""
    return arguments.checked(thing, error=DataError)


@dataclass(frozen=True, eq=False)
class Dataset:
    """Who, when, how much, and what was seen.

    Made by `from_frame` or `from_nonmem`; every check has been passed, nothing changes afterwards.

    Attributes
    ----------
    observations : DataFrame
        One row per measurement: ``row`` (1-based row of the source), the levels (labels; nested ones as
        ``site/subject``), the time column, ``outcome`` (its name), ``value``, ``lower``, ``upper``, and every
        covariate and input. A missing ``value`` marks a time at which only a prediction is wanted (see `over`). A
        censored measurement is known to lie between ``lower`` and ``upper`` (which may be infinite), and ``value``
        is its limit; both are missing for a measured one.
    doses : DataFrame
        One row per dose record: ``row``, the levels, the time column, ``amount``, ``position`` (a dose acts on the
        observations of its subject that are later, or at the same time with ``row`` after ``position``), ``state``
        (label of the dosed state, None for the default), ``rate`` (0 a bolus, positive an infusion, -1 a modelled
        rate, -2 a modelled duration), ``addl`` (additional doses), ``ii`` (the interval between them, or of a steady
        state), ``ss`` (0, 1 a steady state in place of what was, 2 added to it), and every covariate and input.
    levels : tuple of str
        Grouping factors, outermost first.
    outcomes : tuple of str
        Names of what was measured.
    time : str or None
        Name of the time column.
    covariates, inputs : tuple of str
        Columns with one value per innermost unit; columns that vary from record to record.
    subject : str
        The level whose members are followed in time (an occasion is a level below it).
    excluded : dict
        What was left out and why: reason -> number of records.
    source : str
        Where the table came from, as errors name it.
    events : DataFrame
        Records that are neither: ``row``, the levels, the time column, ``position``, ``kind``
        (``"reset"`` of every state, or ``"other"``: a time at which covariates change), and every covariate and input.
    interpolation : {"nocb", "locf", "linear"}
        Where the value of an input on a record holds: from the previous record up to it, from it up to the next, or
        there alone, on a line from each to the next.
    blq : {"M3", "M1", "M4"}
        What becomes of measurements below a limit of quantification; see `from_frame`.
    origin : dict
        Subject -> (kind of date, hours) of its time zero, where times came as dates or by the clock.
    unique : tuple of str
        Levels below another whose labels say who is meant without it, as those of ``levels=("centre", "id")`` do and
        those of ``("centre", "centre/id")`` do not.
    spelled : dict
        Columns of numbers, no levels, in which a file writes one number in two ways -> these, in words. They are no
        labels of groups.
    unit_of : dict
        Column, outcome or ``"amount"`` of the doses -> its unit of measurement, as pictures and tables print it.
    notes : tuple of str
        What else to know of how the table was read.

    Examples
    --------
    >>> import nlmebayes as nb
    >>> data = nb.datasets.theophylline()
    >>> data.levels, data.outcomes, data.covariates
    (('id',), ('conc',), ('wt', 'dose'))
    >>> len(data.observations), len(data.doses)
    (132, 12)
    """

    observations: pd.DataFrame
    doses: pd.DataFrame
    levels: tuple[str, ...]
    outcomes: tuple[str, ...]
    time: str | None
    covariates: tuple[str, ...]
    inputs: tuple[str, ...]
    subject: str
    excluded: dict = field(default_factory=dict)
    source: str = "data"
    events: pd.DataFrame = field(default_factory=pd.DataFrame)
    interpolation: str = "nocb"
    blq: str = "M3"
    origin: dict = field(default_factory=dict)
    unique: tuple[str, ...] = ()
    spelled: dict = field(default_factory=dict)
    unit_of: dict = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @classmethod
    @checked
    def from_frame(
        cls, frame: Table, *, outcome: Names, levels: Names, time: Name | None = None, covariates: Names = (),
        inputs: Names = (), doses: Table | None = None, amount: Name = "amt", subject: Name | None = None,
        sort: Switch = False, duplicates: Duplicates = "error", unmeasured: Unmeasured = "exclude",
        censored: Name | None = None, limit: Name | None = None, lloq: Limits = None, uloq: Limits = None,
        blq: Blq = "M3", interpolation: Interpolation = "nocb", source: Text | None = None,
        status: Name | dict[Name, Name] | None = None, complete: Names = (), units: Units | None = None,
        **reading: Annotated[Any, Reading],
    ) -> "Dataset":  # fmt: skip
        """Make a dataset from a tidy frame: one row per time, one column per outcome.

        Parameters
        ----------
        frame : DataFrame or path of a text file, an Excel sheet, a Parquet file or one of SAS transport (.xpt)
        outcome : str or sequence of str
            Column(s) with measurements. A missing one is left out and counted in ``excluded``; a row without any
            stays an event at which inputs are known.
        levels : str or sequence of str
            Grouping factors, outermost first. ``("site", "site/subject")`` says that subjects are labelled
            within sites. Labels are text: those of a file are read as they are written, so 01 and 1 are two; of
            numbers in a frame 1 and 1.0 are one.
        time : str, optional
            Time column. Structures with doses need it.
        covariates, inputs : sequence of str, optional
            Columns that have one value per innermost unit (an error if not) or vary from record to record.
            Every other column is sorted into the two by what it does. Text of digits is read as numbers, unless some
            begin with 0 (007); make a column of numbered groups a pandas category, or write ``C(group)`` in the
            formula.
        doses : DataFrame or path of a CSV file, optional
            One row per dose: the level columns down to ``subject`` (deeper ones may be there), ``time``, ``amt`` (or
            as ``amount=`` says),
            and where wanted ``rate`` or ``duration`` of an infusion, ``addl`` additional doses every ``ii``, ``ss=1``
            or 2 for a steady state of doses every ``ii``, ``state`` or ``cmt`` that is dosed, covariates. The rules
            are those of NONMEM (see `from_nonmem`). A dose at the time of an observation acts before it.
        amount : str
            Column of ``doses`` with the amounts.
        subject : str, optional
            Level followed in time; by default the innermost. With doses it is asked for where members of the innermost
            level follow one another, as occasions do.
        sort : bool
            Sort the records of each subject by time instead of refusing decreasing times. A clock that starts anew,
            with doses before and after, is refused all the same.
        duplicates : {"error", "keep"}
            What records of one subject are that agree in time, outcome and value: an error, or replicates.
        unmeasured : {"exclude", "predict"}
            What a record without a measurement is: left out and counted, or a time at which a prediction is wanted
            (of a patient who has not been sampled yet).
        censored, limit : str, optional
            Columns that say which measurements of a single outcome are limits: 1 if it is known only that the
            measurement is below the recorded value (and above ``limit``, where there is one), -1 if it is above it
            (and below ``limit``), 0 if it was measured. This is the convention of CENS and LIMIT.
        complete : str or sequence of str
            Columns without which a record is left out, and counted in ``excluded``; elsewhere a missing covariate is an
            error of the model that reads it.
        status : str or dict of outcome -> str, optional
            Of outcomes that are times to an event: the column that says whether it was seen then (1), or only that it
            had not happened by then (0, right-censored). Other intervals: ``censored`` and ``limit``.
        lloq, uloq : float, str or dict, optional
            Limits of quantification: a number, a column, or a number for each outcome. Values below ``lloq`` or
            above ``uloq`` (not those that equal it) are censored at it; missing ones stay missing. Cells that say so in
            words (``BLQ``, ``<0.5``, ``>100``) are too; ``"<"`` and ``">"``: each at the limit that it says.
        blq : {"M3", "M1", "M4"}
            What becomes of measurements that are censored from below, by the names of Beal (2001),
            doi:10.1023/A:1012299115260. M3: each is known to lie in its interval. M1: left out and counted. M4: as
            M3, of measurements that are all known to be positive.
        interpolation : {"nocb", "locf", "linear"}
            Where the value of an input on a record holds: from the previous record up to it, as in NONMEM, or from
            it up to the next. ``"linear"``: numbers change on a line from record to record, as `data.lines` says;
            columns of text, and indicators (0 and 1 only), are carried as by ``"nocb"``.
        units : dict, optional
            Unit of measurement of a column, an outcome or the ``"amount"`` of the doses, such as ``{"time": "h",
            "conc": "mg/L"}``: pictures print it. Nothing is converted.
        source : str, optional
            Where the table is from, for messages; by default the name of the file.
        **reading
            ``columns, ignore, accept, missing, encoding, decimal, dates``: how the table is read, see `Reading`.

        Returns
        -------
        Dataset

        Raises
        ------
        DataError
            Names row and column.

        Examples
        --------
        >>> import pandas as pd, nlmebayes as nb
        >>> frame = pd.DataFrame({"id": [1, 1, 2], "time": [0, 1, 1], "conc": [0.0, 4.2, 3.1], "wt": [70, 70, 82]})
        >>> nb.Dataset.from_frame(frame, outcome="conc", time="time", levels="id").covariates
        ('wt',)
        """
        parts = read_study(
            frame, outcome=outcome, levels=levels, time=time, covariates=covariates, inputs=inputs, doses=doses,
            amount=amount, subject=subject, sort=sort, duplicates=duplicates, unmeasured=unmeasured, censored=censored,
            limit=limit, lloq=lloq, uloq=uloq, blq=blq, source=source, status=status,
            complete=complete, reading=Reading(**reading),
        )  # fmt: skip
        return cls(**parts, interpolation=interpolation)._measured_in(units or {})

    @classmethod
    @checked
    def from_nonmem(
        cls, data: Table, *, levels: Names = ("id",), outcome: Name | dict[Code, Name] = "dv", covariates: Names = (),
        inputs: Names = (), sort: Switch = False, duplicates: Duplicates = "error",
        unmeasured: Unmeasured = "exclude", lloq: Limits = None, uloq: Limits = None, blq: Blq = "M3",
        interpolation: Interpolation = "nocb", source: Text | None = None, units: Units | None = None,
        **reading: Annotated[Any, Reading],
    ) -> "Dataset":  # fmt: skip
        """Make a dataset from a NONMEM event table (a CSV path or a frame).

        Records that are flagged by ``C``, ``c``, ``@`` or ``#`` in a column C, or that begin with ``#``, are left out
        and counted, as with IGNORE=C, IGNORE=@ and NONMEM's default.

        Reads ID TIME DATE DAT1 DAT2 DAT3 DV AMT EVID MDV CMT RATE ADDL II SS DVID OCC CENS LIMIT in any case; every
        other column is a covariate, or an input if it varies within the innermost unit. ``.`` and empty cells are
        missing. Records with MDV=1 or without DV are left out and counted, but stay events at which covariates
        change, as those of EVID 2; with ``unmeasured="predict"`` they are times at which a prediction is wanted.

        Doses are those of NONMEM: EVID 1 (4 with a reset of all states before), AMT, RATE (positive, or -1 modelled
        rate, -2 modelled duration), ADDL doses every II, SS=1 (or 3) a steady state in place of what was, SS=2 added to
        it; SS with AMT=0, II=0 and a RATE is an infusion that has always run. CMT is a number or a name of a state;
        empty or 0 is the default one; that of a measurement says nothing, unless it names the outcomes. Without EVID a
        record with an amount is a dose.

        CENS=1: the measurement is below DV, and above LIMIT where there is one; CENS=-1: above DV, and below LIMIT.

        TIME is a number, and taken as it is. Clock times (hh:mm or hh:mm:ss), dates with times (yyyy-mm-dd hh:mm) in
        TIME, or a column of dates beside it make ``time`` the hours since the subject's first record. DATE is
        month/day/year, DAT1 day/month/year, DAT2 year/month/day, DAT3 year/day/month, with - or / or points; a year
        below 100 is 19xx above 50 and otherwise 20xx; without a year it is no leap year; a lone number is the number of
        a day. Of dates that end in the year in TIME, and with points in DATE, ``dates=`` says whether the day or the
        month is first, unless some day beyond the twelfth shows it.

        A column named UNIT or ending so (DVUNIT, AMTUNITS) must say the same of all that it is about, which is printed
        as its unit.

        Parameters
        ----------
        data : path of a text file, an Excel sheet or a Parquet file, or DataFrame
            One event a row.
        outcome : str or dict
            Name of DV (default ``"dv"``), or a mapping from DVID to name for several outcomes; without DVID from CMT.
        levels, covariates, inputs, sort, duplicates, unmeasured, lloq, uloq, blq, interpolation, source, units
            As in `from_frame`; level names are read in any case.
        **reading
            ``columns, ignore, accept, missing, encoding, decimal, dates``: how the table is read, see `Reading`.

        Returns
        -------
        Dataset

        Raises
        ------
        DataError
            Names row and column.

        Examples
        --------
        >>> import pandas as pd, nlmebayes as nb
        >>> table = pd.DataFrame({"ID": 1, "TIME": [0, 2, 8], "AMT": [100, 0, 0], "DV": [None, 2.1, 0.9], "WT": 70})
        >>> data = nb.Dataset.from_nonmem(table, outcome="conc")
        >>> data.observations[["id", "time", "value", "WT"]]
          id  time  value    WT
        0  1   2.0    2.1  70.0
        1  1   8.0    0.9  70.0
        >>> data.doses[["time", "amount"]]
           time  amount
        0   0.0   100.0
        """
        parts = read_nonmem(
            data, levels=levels, outcome=outcome, covariates=covariates, inputs=inputs, sort=sort,
            duplicates=duplicates, unmeasured=unmeasured, lloq=lloq, uloq=uloq, blq=blq, source=source,
            reading=Reading(**reading),
        )  # fmt: skip
        if not len(parts["observations"]):
            raise DataError(
                f"{parts['source']}: no records to measure or to predict; give times of interest as rows with EVID 0"
            )
        return cls(**parts, interpolation=interpolation)._measured_in(units or {})

    def _measured_in(self, units):
        """The same with units of measurement, beside those that its columns said."""
        known = [c for c in self.observations.columns if c not in ("row", *MEASUREMENT)]
        known += [*self.outcomes, AMOUNT]
        for name in units:
            if name not in known:
                raise DataError(f"{self.source}: units= names {name!r}; there are {', '.join(known)}")
        return replace(self, unit_of=self.unit_of | units)

    @property
    def units(self) -> pd.DataFrame:
        """The distinct combinations of levels and covariates, in order of appearance."""
        return self.observations[[*self.levels, *self.covariates]].drop_duplicates().reset_index(drop=True)

    @checked
    def sel(self, **labels: object) -> "Dataset":
        """The part with the given values, e.g. ``data.sel(id="12", time=[1, 9])``, with every dose of its subjects.

        Records of outcomes that are left out stay events at which inputs are known.

        Parameters
        ----------
        **labels : value or list of values
            By column of ``observations``.

        Returns
        -------
        Dataset

        Raises
        ------
        DataError
            A column or a value that is not in the data; nothing is left.

        Examples
        --------
        >>> import nlmebayes as nb
        >>> len(nb.datasets.theophylline().sel(id=["1", "2"]).observations)
        22
        """
        return self._filtered(labels, keep=True)

    @checked
    def drop_sel(self, **labels: object) -> "Dataset":
        """All but the part with the given values, e.g. ``data.drop_sel(id="12")``.

        Parameters
        ----------
        **labels : value or list of values
            By column of ``observations``.

        Returns
        -------
        Dataset

        Raises
        ------
        DataError
            As `sel`.

        Examples
        --------
        >>> import nlmebayes as nb
        >>> nb.datasets.theophylline().drop_sel(id="12").observations["id"].nunique()
        11
        """
        return self._filtered(labels, keep=False)

    def _filtered(self, labels, keep):
        if not labels:
            known = ", ".join(self.observations.columns)
            raise DataError(f"sel, drop_sel: say what, e.g. id='12'; columns are {known}")
        chosen, rest = (np.ones(len(self.observations), bool) for _ in range(2))
        for column, wanted in labels.items():
            if column not in self.observations.columns:
                raise DataError(f"no column {column!r}; columns are {', '.join(self.observations.columns)}")
            wanted = _listed(wanted)
            if not all(np.isscalar(x) for x in wanted):
                raise DataError(f"{column}={validate.short(wanted)}: give a value, or a list of values")
            wanted = [label(x) for x in wanted] if column in self.levels else wanted
            values = self.observations[column]
            present = set(values.unique().tolist())
            absent = [x for x in wanted if (x not in present or x != x) and not (values == x).any()]
            if absent:
                raise DataError(f"no {column} {absent[0]!r} in the data")
            here = values.isin(wanted).to_numpy()
            chosen, rest = chosen & here, rest & (here | (column == "outcome"))
        kept = chosen if keep else ~chosen
        observations, other = self.observations[kept].reset_index(drop=True), self.observations[rest & ~kept]
        followed = self.time is not None and (self.inputs or self.levels[-1] != self.subject)
        known = with_observations(self, other) if "outcome" in labels and followed and len(other) else self.events
        if not len(observations):
            said = ", ".join(f"{k}={validate.short(v)}" for k, v in labels.items())
            raise DataError(f"no record is left of the data by {said}")
        doses, events = (
            frame[frame[self.subject].isin(observations[self.subject])].reset_index(drop=True) if len(frame) else frame
            for frame in (self.doses, known)
        )
        outcomes = tuple(name for name in self.outcomes if (observations["outcome"] == name).any())
        return replace(self, observations=observations, doses=doses, events=events, outcomes=outcomes)

    @checked
    def over(self, **grid: object) -> "Dataset":
        """The same units and doses with prediction records (no measurement) over a grid of one column.

        ``data.over(time=np.linspace(0, 24, 97))`` gives each subject these times for every outcome. Levels below the
        subject and inputs are those of the record that governs each time (see ``interpolation``); the records
        stay as events without a prediction, since they govern the intervals of the past. Over an input it is each
        innermost unit that gets the grid, and the other inputs keep the value of its first record. Outcomes are
        all present, with a missing ``value``.

        Parameters
        ----------
        **grid : array
            The values of one column: the time, or an input.

        Returns
        -------
        Dataset

        Raises
        ------
        DataError
            No such column, several, an empty grid or one that is not finite; more than 10 million records.

        Examples
        --------
        >>> import numpy as np, nlmebayes as nb
        >>> len(nb.datasets.theophylline().over(time=np.linspace(0, 24, 97)).observations)
        1164
        """
        if len(grid) != 1:
            got = ", ".join(grid) or "none"
            raise DataError(f"over: give one column, e.g. data.over(time=np.linspace(0, 24, 97)); got {got}")
        ((column, values),) = grid.items()
        if column == "time" and self.time is not None:
            column = self.time
        if column not in (self.time, *self.inputs):
            allowed = ", ".join(map(str, filter(None, (self.time, *self.inputs))))
            raise DataError(f"over: no time or input {column!r}; there are {allowed or 'none'}")
        values = validate.series(values, f"over: {column}")
        count = len(values) * len(self.outcomes) * self.observations[self.levels[-1]].nunique()
        if count > RECORDS:
            raise DataError(
                f"over: {len(values):,} values of {column} make {count:,} records; at most {RECORDS:,} can be"
            )
        if not len(values) or not np.isfinite(values).all():
            raise DataError(f"over: the grid of {column} is empty, or holds a value that is missing or infinite")
        followed = self.levels[-1] != self.subject or self.inputs
        if column != self.time or not followed:
            return replace(self, observations=over_units(self, column, values), excluded={})
        return replace(self, observations=over_subjects(self, values), events=with_observations(self), excluded={})

    @checked
    def with_values(self, **measured: object) -> "Dataset":
        """The same records with other measurements, e.g. simulated ones: ``data.with_values(conc=array)``.

        Limits stay: a censored record is censored with any value.

        Parameters
        ----------
        **measured : array (record,)
            By outcome, in the order of its records; missing ones are times at which a prediction is wanted.

        Returns
        -------
        Dataset

        Raises
        ------
        DataError
            No such outcome, another number of values, or an infinite one.

        Examples
        --------
        >>> import nlmebayes as nb
        >>> data = nb.datasets.dyestuff()
        >>> data.with_values(Yield=range(30)).observations["value"].tail(2).tolist()
        [28.0, 29.0]
        """
        frame = self.observations.copy()
        for name, values in measured.items():
            here = frame["outcome"] == name
            if name not in self.outcomes:
                raise DataError(f"with_values: no outcome {name!r}; there are {', '.join(self.outcomes)}")
            values = validate.series(values, f"with_values: {name}")
            if len(values) != here.sum():
                raise DataError(f"with_values: {name} has {here.sum()} records; got {len(values)} values")
            if np.isinf(values).any():
                row = frame["row"][here].iloc[int(np.argmax(np.isinf(values)))]
                raise DataError(f"with_values: {name}, row {row}: is infinite")
            frame.loc[here, "value"] = values
        return replace(self, observations=frame)

    def summary(self) -> Contents:
        """What is in it, as a `Contents`: tables of levels, outcomes with their censored records, times, doses,
        covariates with ranges and missing values, and what was left out and why; it prints.

        Returns
        -------
        Contents

        Examples
        --------
        >>> import nlmebayes as nb
        >>> found = nb.datasets.theophylline().summary()
        >>> found.levels["groups"].item()
        12
        """
        return contents(self)

    def __repr__(self):
        return "\n".join(lines(self))


def _listed(wanted):
    """A value, or those of a list, as a list."""
    wanted = wanted.tolist() if isinstance(wanted, np.ndarray) else wanted
    several = pd.api.types.is_list_like(wanted, allow_sets=False) and not isinstance(wanted, dict | pd.DataFrame)
    return list(wanted) if several else [wanted]
