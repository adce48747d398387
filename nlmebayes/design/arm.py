"""`Arm`: subjects of a planned study who are treated and sampled in the same way."""

from dataclasses import KW_ONLY, dataclass, fields, replace
from itertools import pairwise
from typing import Annotated, Any

import numpy as np
import pandas as pd

from nlmebayes.arguments import Count, Kind, Name, Number, Text, checked
from nlmebayes.errors import ModelError
from nlmebayes.evaluation import imputation

ARM = "arm"  # column that says who is in which
DOSE = ("time", "amt", "rate", "duration", "addl", "ii", "ss", "state", "cmt")
Time = Number | tuple[Number, ...]
Times = tuple[Time, ...]
Value = Number | Text
Law = dict[Text, object]  # of a covariate, as `population` states it
Shared = dict[Name, Value | Law | tuple[Value, ...]]
Limit = Number | dict[Name, Number]


def _of_regimen(value):
    return tuple(value.records)


def _of_frame(frame):
    """Columns of a table as lists: its rows are dealt to the subjects in turn."""
    if not isinstance(frame, pd.DataFrame) or frame.empty:
        raise TypeError
    return {str(name): tuple(column.tolist()) for name, column in frame.items()}


Given = Annotated[tuple, Kind("a Regimen or a Plan", _of_regimen)]
Rows = Annotated[dict, Kind("a table of one subject a row", _of_frame)]
One = dict[Text, Value]


@checked
@dataclass(frozen=True)
class Arm:
    """Subjects of a planned study who are treated and sampled in the same way.

    Parameters
    ----------
    n : int
        Number of subjects.
    times : list, or dict of outcome -> list, optional
        When samples are taken. An entry ``(low, high)`` is a window: each subject's time in it is drawn evenly.
    doses : dict, list of dict, Regimen or Plan, optional
        Each as a record with the words of NONMEM: ``time``, ``amt``, and where wanted ``rate`` or ``duration``,
        ``addl``, ``ii``, ``ss``, ``state`` or ``cmt``.
    covariates : dict, or DataFrame, optional
        By name a value of all; a list, dealt to the subjects in turn; or a distribution as `population` states it,
        ``{"mean": 70, "sd": 12}``, ``{"median": 70, "cv_percent": 20}`` or ``{"share": {"f": 0.5, "m": 0.5}}``. Rows
        of a table are dealt in turn, so that what stands together stays together.
    occasions : list or int, optional
        When occasions begin, the first one included. A sample at the start of one still belongs to the one before, a
        dose to the new one. A number where there is no time: all records are taken on each of so many.
    by_occasion : dict, optional
        Covariates with a value for each occasion, ``{"treatment": ["A", "B"]}``.
    inputs : dict, optional
        By column a value for each record of a subject, beside ``times`` or in their place, such as
        ``{"concentration": [0, 1, 10]}``.
    within : dict, optional
        Groups outside of the subject, outermost first: how many there are, ``{"site": 10}``, or their labels, dealt
        to the subjects in turn. Arms share groups of the same label.
    lloq, uloq : float or dict of outcome -> float, optional
        Limits of quantification.
    name : str, optional
        Label in the column ``arm`` of the planned data; by default the number of the arm.

    Raises
    ------
    ModelError
        A word that no dose has, windows or occasions out of order, lists of other lengths, a column that is stated
        twice.

    Examples
    --------
    >>> import nlmebayes as nb
    >>> nb.Arm(20, [1, 2, (6, 9)], doses={"time": 0, "amt": 100}).times
    (1.0, 2.0, (6.0, 9.0))
    """

    n: Count
    times: Times | dict[Name, Times] | None = None
    _: KW_ONLY
    doses: One | tuple[One, ...] | Given | None = None
    covariates: Shared | Rows | None = None
    occasions: Count | tuple[Number, ...] | None = None
    by_occasion: dict[Name, tuple[Value, ...]] | None = None
    inputs: dict[Name, tuple[Value, ...]] | None = None
    within: dict[Name, Count | tuple[Text, ...]] | None = None
    lloq: Limit | None = None
    uloq: Limit | None = None
    name: Name | None = None

    def __post_init__(self):
        if isinstance(self.doses, dict):
            object.__setattr__(self, "doses", (self.doses,))
        self._check_records()
        self._check_doses()
        self._check_occasions()
        laws = {name: x for name, x in (self.covariates or {}).items() if isinstance(x, dict)}
        imputation.stated(laws)
        for what in ("covariates", "within"):
            for name, values in (getattr(self, what) or {}).items():
                if isinstance(values, tuple) and not values:
                    raise ModelError(f"Arm: {what} of {name} is an empty list; give a value")
        if ARM in {**(self.covariates or {}), **(self.by_occasion or {}), **(self.inputs or {})}:
            raise ModelError(f"Arm: the column {ARM!r} holds the names of the arms; name the covariate otherwise")
        twice = [c for c in self.covariates or {} if c in (*(self.by_occasion or {}), *(self.inputs or {}))]
        if twice:
            raise ModelError(f"Arm: {twice[0]} is stated twice; give it as covariates, by_occasion or inputs")

    def _check_records(self):
        for name, times in self.by_outcome.items():
            for time in times:
                if isinstance(time, tuple) and not (len(time) == 2 and time[0] < time[1]):
                    raise ModelError(f"Arm: a window is (low, high), the lower first; got {time} in times of {name}")
        many = {name: len(values) for name, values in (self.inputs or {}).items()}
        if many and isinstance(self.times, dict):
            raise ModelError("Arm: inputs have a value for each record; give times as one list beside them")
        many |= {"times": len(self.times)} if many and self.times else {}
        if len(set(many.values())) > 1:
            raise ModelError(
                f"Arm: inputs and times differ in length: {', '.join(f'{k} {n}' for k, n in many.items())}"
            )
        if not any(many.values()) and not any(map(len, self.by_outcome.values())):
            raise ModelError("Arm: no records; give times=, or inputs= of a model without time")

    def _check_doses(self):
        for dose in self.doses or ():
            strange = [key for key in dose if key not in DOSE]
            if strange:
                raise ModelError(f"Arm: no word {strange[0]!r} for a dose; there are {', '.join(DOSE)}")
            for key in ("time", "amt"):
                if key not in dose:
                    raise ModelError(f"Arm: a dose needs {key}; got {dose}")

    def _check_occasions(self):
        count = len(self.starts)
        if any(late <= early for early, late in pairwise(self.starts)):
            raise ModelError(f"Arm: occasions are the times at which they begin, in order; got {list(self.starts)}")
        if isinstance(self.occasions, int) and (self.times is not None or self.doses):
            raise ModelError(f"Arm: occasions={self.occasions}: say when they begin, occasions=[0, 168]")
        for name, values in (self.by_occasion or {}).items():
            if len(values) != count:
                raise ModelError(f"Arm: by_occasion: {name} has {len(values)} values, and occasions= {count}")

    @property
    def by_outcome(self) -> dict[str, tuple]:
        """Times by outcome; ``""`` are all outcomes."""
        if isinstance(self.times, dict):
            return self.times
        return {"": self.times or ()}

    @property
    def starts(self) -> tuple[float, ...]:
        """Starts of the occasions; numbers of them where there is no time; none where nothing is said."""
        if isinstance(self.occasions, int):
            return tuple(float(k) for k in range(self.occasions))
        return self.occasions or ()

    @property
    def records(self) -> int:
        """Number of records of a subject; of a list of times, for each outcome."""
        if self.times is None:
            return len(next(iter(self.inputs.values()))) * max(1, len(self.starts))
        return sum(map(len, self.by_outcome.values()))

    @property
    def random(self) -> bool:
        """Whether times or covariates are drawn."""
        windows = any(isinstance(t, tuple) for times in self.by_outcome.values() for t in times)
        return windows or any(isinstance(x, dict) for x in (self.covariates or {}).values())

    def limits(self, word: str) -> dict[str, float]:
        """``lloq`` or ``uloq`` by outcome; ``""`` are all outcomes.

        Parameters
        ----------
        word : {"lloq", "uloq"}

        Returns
        -------
        dict of outcome -> float

        Examples
        --------
        >>> import nlmebayes as nb
        >>> nb.Arm(20, [1, 2], lloq=0.1).limits("lloq")
        {'': 0.1}
        """
        said = getattr(self, word)
        return said if isinstance(said, dict) else {} if said is None else {"": said}

    def but(self, **changes: Any) -> "Arm":
        """The same with other parts: ``arm.but(times=[1, 2])``.

        Parameters
        ----------
        **changes
            Arguments of `Arm` by name.

        Returns
        -------
        Arm

        Examples
        --------
        >>> import nlmebayes as nb
        >>> nb.Arm(20, [1, 2, 8]).but(n=40).n
        40
        """
        return replace(self, **changes)

    def stated(self) -> dict[str, Any]:
        """What is said, by the names of the parameters.

        Returns
        -------
        dict
            Without what is not said, and without the name.

        Examples
        --------
        >>> import nlmebayes as nb
        >>> nb.Arm(20, [1, 2], name="high").stated()
        {'n': 20, 'times': (1.0, 2.0)}
        """
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return {name: value for name, value in values.items() if value is not None and name != "name"}

    def drawn(self, rng: np.random.Generator) -> dict[str, tuple[float, ...]]:
        """Times of one subject by outcome, windows drawn.

        Parameters
        ----------
        rng : numpy.random.Generator

        Returns
        -------
        dict of outcome -> tuple of float

        Examples
        --------
        >>> import numpy as np, nlmebayes as nb
        >>> times = nb.Arm(20, [1, (6, 9)]).drawn(np.random.default_rng(1))[""]
        >>> times[0], 6 < times[1] < 9
        (1.0, True)
        """
        return {
            name: tuple(float(rng.uniform(*t)) if isinstance(t, tuple) else t for t in times)
            for name, times in self.by_outcome.items()
        }

    def dealt(self, n: int, rng: np.random.Generator) -> list[dict]:
        """Covariates of n subjects, a dict each.

        Parameters
        ----------
        n : int
            Number of subjects.
        rng : numpy.random.Generator
            Of covariates that are drawn.

        Returns
        -------
        list of dict

        Examples
        --------
        >>> import numpy as np, nlmebayes as nb
        >>> nb.Arm(20, [1], covariates={"sex": ["f", "m"], "wt": 70}).dealt(3, np.random.default_rng(1))
        [{'sex': 'f', 'wt': 70.0}, {'sex': 'm', 'wt': 70.0}, {'sex': 'f', 'wt': 70.0}]
        """
        said = self.covariates or {}
        law = imputation.stated({name: x for name, x in said.items() if isinstance(x, dict)})
        drawn = law.drawn(n, rng) if law.size else {}
        rows = []
        for i in range(n):
            dealt = {k: x[i % len(x)] if isinstance(x, tuple) else x for k, x in said.items() if k not in drawn}
            rows.append({k: dealt[k] if k in dealt else _plain(drawn[k][i]) for k in said})
        return rows


def _plain(value):
    return value.item() if isinstance(value, np.generic) else value
