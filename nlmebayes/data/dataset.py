"""`Dataset`: validated tidy frames of observations and doses, with their levels."""

from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from nlmebayes.data import validate
from nlmebayes.data.nonmem import read_nonmem, read_table
from nlmebayes.data.tidy import dose_frame, in_time, label, labelled_levels, melted
from nlmebayes.data.validate import DataError


@dataclass(frozen=True, eq=False)
class Dataset:
    """Who, when, how much, and what was seen.

    Made by `from_frame` or `from_nonmem`; every check has been passed, nothing changes afterwards.

    Attributes
    ----------
    observations : DataFrame
        One row per measurement: ``row`` (1-based row of the source), the levels (labels; nested ones as
        ``site/subject``), the time column, ``outcome`` (its name), ``value``, and every covariate and input.
        A missing ``value`` marks a time at which only a prediction is wanted (see `over`).
    doses : DataFrame
        One row per dose: ``row``, the levels, the time column, ``amount``, ``position`` (a dose acts on the
        observations of its subject that are later, or at the same time with ``row`` after ``position``).
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

    @classmethod
    def from_frame(
        cls, frame, *, outcome, levels, time=None, covariates=(), inputs=(), doses=None, amount="amt",
        subject=None, sort=False, duplicates="error", unmeasured="exclude", source=None,
    ):  # fmt: skip
        """Make a dataset from a tidy frame: one row per time, one column per outcome.

        Parameters
        ----------
        frame : DataFrame or path of a CSV file
        outcome : str or sequence of str
            Column(s) with measurements. A missing one is left out and counted in ``excluded``.
        levels : str or sequence of str
            Grouping factors, outermost first. ``("site", "site/subject")`` says that subjects are labelled
            within sites.
        time : str, optional
            Time column. Structures with doses need it.
        covariates, inputs : sequence of str, optional
            Columns that have one value per innermost unit (an error if not) or vary from record to record.
            Every other column is sorted into the two by what it does. Text of digits is read as numbers; make a
            column of numbered groups a pandas category, or write ``C(group)`` in the formula.
        doses : DataFrame, optional
            Boluses: the level columns down to ``subject``, ``time``, and ``amount``. A dose at the time of
            an observation acts before it.
        subject : str, optional
            Level followed in time; by default the innermost.
        sort : bool
            Sort the records of each subject by time instead of refusing decreasing times.
        duplicates : {"error", "keep"}
            What records of one subject are that agree in time, outcome and value: an error, or replicates.

        unmeasured : {"exclude", "predict"}
            What a record without a measurement is: left out and counted, or a time at which a prediction is wanted
            (of a patient who has not been sampled yet).

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
        frame, name = read_table(frame, "data")
        source = source or name
        outcomes, covariates, inputs = _names(outcome), _names(covariates), _names(inputs)
        declared = _names(levels)
        parts = tuple(dict.fromkeys(name for level in declared for name in level.split("/")))
        levels = tuple(level.split("/")[-1] for level in declared)
        times, subject = (time,) if time else (), subject or (levels or [None])[-1]
        if not levels or not outcomes or subject not in levels:
            raise DataError(
                f"{source}: needs an outcome, at least one level, and as subject= one of the levels {levels}"
            )
        roles = {"a level": levels, "the time": times, "an outcome": outcomes, "a covariate": covariates}
        validate.apart(source, **roles, **{"an input": inputs})
        validate.columns_exist(frame, (*parts, *times, *outcomes, *covariates, *inputs), source)
        frame = validate.numbered(frame)
        if frame.empty:
            raise DataError(f"{source}: no rows")
        labelled = labelled_levels(frame, declared, source)
        for column in (*times, *outcomes):
            labelled[column] = validate.numeric(frame, column, source)
        rest = [c for c in frame.columns if c not in (*levels, *times, *outcomes, "row")]
        for column in rest:
            labelled[column] = validate.column_of_covariate(frame, column, source)
        for column in covariates:
            validate.constant(labelled, levels[-1], column, source)
        varying = [
            c for c in rest if c in inputs or (c not in covariates and validate.changes(labelled, levels[-1], c))
        ]
        long = melted(labelled, outcomes)
        for name in outcomes if unmeasured == "exclude" else ():
            validate.not_all_missing(long[long["outcome"] == name].rename(columns={"value": name}), name, source)
        return cls._assemble(
            long, dose_frame(doses, declared, time, amount, subject, sort, f"{source}, doses"),
            levels=levels, outcomes=outcomes, time=time, subject=subject,
            covariates=tuple(c for c in rest if c not in varying), inputs=tuple(varying),
            sort=sort, duplicates=duplicates, unmeasured=unmeasured, source=source, excluded={},
        )  # fmt: skip

    @classmethod
    def from_nonmem(
        cls, data, *, levels=("id",), outcome="dv", covariates=(), inputs=(), sort=False, duplicates="error",
        unmeasured="exclude", source=None,
    ):  # fmt: skip
        """Make a dataset from a NONMEM event table (a CSV path or a frame).

        Reads ID TIME DV AMT EVID MDV CMT RATE ADDL II SS DVID OCC CENS LIMIT in any case; every other column
        is a covariate (one value per innermost unit) unless listed in ``inputs``. ``.`` and empty cells are
        missing. Records with MDV=1 or without DV are left out and counted, or with ``unmeasured="predict"`` kept as
        times at which a prediction is wanted.

        Supported now: observations (EVID 0) and single boluses (EVID 1) into the dosed state. Infusions, ADDL,
        steady state, resets, several dosing compartments and censored values are refused by name.

        Parameters
        ----------
        outcome : str or dict
            Name of DV (default ``"dv"``), or a mapping from DVID to name for several outcomes.
        levels, covariates, inputs, sort, duplicates, unmeasured
            As in `from_frame`; level names are read in any case.

        Raises
        ------
        DataError
            Names row and column.
        """
        table = read_nonmem(data, outcome=outcome, predict=unmeasured == "predict", source=source)
        frame, source = table.frame, table.source
        declared = tuple(name.lower() for name in _names(levels))
        if "occ" in declared and "id" in declared:
            declared = tuple("id/occ" if name == "occ" else name for name in declared)
        rename = {c: c.lower() for c in frame.columns if c.lower() in {p for d in declared for p in d.split("/")}}
        frame = frame.rename(columns=rename)
        if not declared:
            raise DataError(f"{source}: needs at least one level, such as levels=('id',)")
        parts = tuple(dict.fromkeys(name for level in declared for name in level.split("/")))
        validate.columns_exist(
            frame.drop(columns=["row", "outcome", "value"]),
            (*parts, *_names(covariates), *_names(inputs)),
            source,
        )
        names = tuple(level.split("/")[-1] for level in declared)
        subject = "id" if "id" in names else names[-1]
        labelled = labelled_levels(frame, declared, source)
        rest = [c for c in frame.columns if c not in (*names, "row", "time", "outcome", "value", "amount", "event")]
        for column in rest:
            labelled[column] = validate.column_of_covariate(frame, column, source)
            if column not in _names(inputs) and column != "occ":
                validate.constant(labelled, names[-1], column, source)
        for column in ("time", "outcome", "value", "amount", "event"):
            labelled[column] = frame[column]
        validate.apart(source, **{"a column": (*names, "time", *rest), "an outcome": table.outcomes})
        varying = tuple(c for c in rest if validate.changes(labelled, names[-1], c))
        if not sort:
            validate.together(labelled, subject, source)
        labelled = in_time(labelled, subject, "time", sort, source)
        doses = labelled[labelled["event"] == 1]
        observed = labelled[labelled["event"] == 0].drop(columns=["amount", "event"])
        return cls._assemble(
            observed, doses[["row", *names, "time", "amount"]].assign(position=doses["row"]),
            levels=names, outcomes=table.outcomes, time="time", subject=subject,
            covariates=tuple(c for c in rest if c not in varying), inputs=varying,
            sort=sort, duplicates=duplicates, unmeasured=unmeasured, source=source, excluded=table.excluded,
        )  # fmt: skip

    @classmethod
    def _assemble(cls, observations, doses, *, sort, duplicates, unmeasured, excluded, **kind):
        source, subject, time = kind["source"], kind["subject"], kind["time"]
        validate.nested(observations, kind["levels"], source)
        if duplicates not in ("error", "keep"):
            raise ValueError(f"duplicates={duplicates!r}: write 'error' or 'keep'")
        if unmeasured not in ("exclude", "predict"):
            raise ValueError(f"unmeasured={unmeasured!r}: write 'exclude' or 'predict'")
        if time is not None:
            validate.finite(observations, (time,), source)
            observations = in_time(observations, subject, time, sort, source)
            if duplicates == "error":
                keys = [kind["levels"][-1], time, "outcome", "value", *kind["inputs"]]
                validate.no_duplicates(observations[observations["value"].notna()], keys, source)
        infinite = observations[np.isinf(observations["value"])]
        if len(infinite):
            validate.fail(source, infinite["row"].iloc[0], infinite["outcome"].iloc[0], "is infinite")
        missing = observations["value"].isna() & (unmeasured == "exclude")
        excluded = dict(excluded)
        for name, count in observations["outcome"][missing].value_counts(sort=False).items():
            excluded[f"{name} is missing"] = int(count)
        observations = observations[~missing].reset_index(drop=True)
        unseen = ~doses[subject].isin(observations[subject]) if len(doses) else np.zeros(0, dtype=bool)
        if unseen.any():
            excluded[f"dose of a {subject} without observations"] = int(unseen.sum())
        return cls(observations, doses[~unseen].reset_index(drop=True), excluded=excluded, **kind)

    @property
    def units(self):
        """The distinct combinations of levels and covariates, in order of appearance."""
        return self.observations[[*self.levels, *self.covariates]].drop_duplicates().reset_index(drop=True)

    def sel(self, **labels):
        """The part with the given values, e.g. ``data.sel(id="12", time=[1, 9])``, with every dose of its subjects."""
        return self._filtered(labels, keep=True)

    def drop_sel(self, **labels):
        """All but the part with the given values, e.g. ``data.drop_sel(id="12")``."""
        return self._filtered(labels, keep=False)

    def _filtered(self, labels, keep):
        if not labels:
            raise DataError("sel, drop_sel: say what, e.g. id='12'")
        chosen = np.ones(len(self.observations), bool)
        for column, wanted in labels.items():
            if column not in self.observations.columns:
                raise DataError(f"no column {column!r}; columns are {', '.join(self.observations.columns)}")
            wanted = [wanted] if np.ndim(wanted) == 0 else list(wanted)
            wanted = [label(x) for x in wanted] if column in self.levels else wanted
            absent = [x for x in wanted if not (self.observations[column] == x).any()]
            if absent:
                raise DataError(f"no {column} {absent[0]!r} in the data")
            chosen &= self.observations[column].isin(wanted).to_numpy()
        observations = self.observations[chosen if keep else ~chosen].reset_index(drop=True)
        doses = self.doses[self.doses[self.subject].isin(observations[self.subject])].reset_index(drop=True)
        outcomes = tuple(name for name in self.outcomes if (observations["outcome"] == name).any())
        return replace(self, observations=observations, doses=doses, outcomes=outcomes)

    def over(self, **grid):
        """The same units and doses with prediction records (no measurement) over a grid of one column.

        ``data.over(time=np.linspace(0, 24, 97))`` gives each unit these times for every outcome. Other inputs
        keep the value of the unit's first record. Outcomes are all present, with a missing ``value``.
        """
        if len(grid) != 1:
            raise ValueError("over: give one column, e.g. data.over(time=np.linspace(0, 24, 97))")
        ((column, values),) = grid.items()
        if column == "time" and self.time is not None:
            column = self.time
        if column not in (self.time, *self.inputs):
            allowed = ", ".join(map(str, filter(None, (self.time, *self.inputs))))
            raise DataError(f"over: no time or input {column!r}; there are {allowed or 'none'}")
        values = np.atleast_1d(np.asarray(values, dtype=float))
        if not np.isfinite(values).all():
            raise DataError(f"over: the grid of {column} holds a value that is missing or infinite")
        first = self.observations.drop_duplicates(self.levels[-1])
        each = len(self.outcomes) * len(values)
        frame = first.loc[first.index.repeat(each)].reset_index(drop=True)
        frame["outcome"] = np.tile(np.repeat(self.outcomes, len(values)), len(first))
        frame[column] = np.tile(values, len(self.outcomes) * len(first))
        frame["value"] = np.nan
        # Numbered after every record there is, so that a dose at the same time comes first.
        last = max(self.observations["row"].max(), self.doses["position"].max() if len(self.doses) else 0)
        frame["row"] = int(last) + 1 + np.arange(len(frame))
        return replace(self, observations=frame, excluded={})

    def with_values(self, **measured):
        """The same records with other measurements, e.g. simulated ones: ``data.with_values(conc=array)``."""
        frame = self.observations.copy()
        for name, values in measured.items():
            here = frame["outcome"] == name
            if name not in self.outcomes or len(values) != here.sum():
                raise DataError(f"with_values: needs {here.sum()} values of one of {', '.join(self.outcomes)}")
            frame.loc[here, "value"] = np.asarray(values, dtype=float)
        return replace(self, observations=frame)

    def __repr__(self):
        lines = [f"Dataset of {self.source}"]
        for level in self.levels:
            lines.append(f"  level {level}: {self.observations[level].nunique()}")
        for name in self.outcomes:
            lines.append(f"  outcome {name}: {int((self.observations['outcome'] == name).sum())} records")
        if self.time:
            span = self.observations[self.time]
            lines.append(f"  time {self.time}: {span.min():g} to {span.max():g}")
        lines.append(f"  doses: {len(self.doses)}")
        for kind, names in (("covariates", self.covariates), ("inputs", self.inputs)):
            lines.append(f"  {kind}: {', '.join(names) or 'none'}")
        lines.append("  excluded: " + ("; ".join(f"{n} x {why}" for why, n in self.excluded.items()) or "none"))
        return "\n".join(lines)


def _names(names):
    return (names,) if isinstance(names, str) else tuple(names)
