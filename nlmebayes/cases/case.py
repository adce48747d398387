"""`Case`: one patient as he was entered, every value a text with its unit; what the texts say is read by `entry`."""

import unicodedata
from dataclasses import asdict, dataclass, field, fields
from datetime import date, time
from numbers import Real

from nlmebayes import arguments
from nlmebayes.arguments import Name, Text
from nlmebayes.data.validate import DataError

LONGEST = 200  # characters of a text
MOST = {"models": 8, "targets": 8, "later": 100, "doses": 500, "samples": 200, "regimens": 50}  # rows
TABLES = 30  # columns of a row, and values of a patient
ROWS = {
    "later": ("time",),  # and any value of a patient, which holds from then on
    "doses": ("time", "amount", "duration", "rate", "every", "doses", "steady", "occasion"),
    "samples": ("time", "value", "occasion"),
    "regimens": ("amount", "start", "every", "doses", "duration", "steady"),
}


def checked[Thing](thing: Thing) -> Thing:
    """`arguments.checked`, which refuses by `DataError`."""
    return arguments.checked(thing, error=DataError)


@checked
@dataclass(frozen=True)
class Case:
    """One patient as entered: every value is a text, a number with its unit or without.

    Parameters
    ----------
    models : sequence of str
        Published models by name, or those of ``population``; several are averaged.
    label : str
        Who it is: no name needs to stand here.
    patient : dict of str
        ``age, sex, weight, height, creatinine``, and covariates of the models by their names: ``{"weight": "154 lb"}``.
    later : sequence of dict
        Values of the patient that are others from a time on: ``{"time": "48", "creatinine": "120 umol/L"}``.
    doses : sequence of dict
        ``time, amount`` and, where wanted, ``duration`` or ``rate`` of an infusion; ``every`` with ``doses``, the
        number of equal doses, or with ``steady`` (yes); ``occasion``.
    samples : sequence of dict
        ``time, value``, such as ``"12.5 mg/L"`` or ``"<0.5"``; ``occasion``.
    targets : sequence of str
        Such as ``"auc24 400-600"``.
    regimens : sequence of dict
        Candidates: ``amount`` (without one the best is sought), ``start, every, doses, duration, steady``.
    now : str
        When it is asked; by default at the last record.
    equation : str
        By which creatinine is converted, a name in `physiology.EQUATIONS`.
    missing : {"refuse", "impute"}
        What becomes of a covariate that was not entered, see `forecast`.
    next_sample : str
        Candidate times of the next sample, ``"60, 66, 71.5"``; by default some within the first interval.
    late : str
        By how much the next dose may be late; by default a quarter of its interval.
    seed : str
    population : dict
        Models that are stated here, by name: tables with the keys of a published model's file.

    Raises
    ------
    DataError
        Too many rows, a key that there is not, a text that is too long.

    Examples
    --------
    >>> import nlmebayes as nb
    >>> samples = [{"time": "13", "value": "12 mg/L"}]
    >>> case = nb.Case(["vancomycin_goti_2018"], patient={"weight": "154 lb"}, samples=samples)
    >>> case.models, case.samples[0]["value"]
    (('vancomycin_goti_2018',), '12 mg/L')
    """

    models: tuple[Name, ...]
    label: Text = "patient"
    patient: dict[Text, Text] = field(default_factory=dict)
    later: tuple[dict[Text, Text], ...] = ()
    doses: tuple[dict[Text, Text], ...] = ()
    samples: tuple[dict[Text, Text], ...] = ()
    targets: tuple[Text, ...] = ()
    regimens: tuple[dict[Text, Text], ...] = ()
    now: Text = ""
    equation: Text = ""
    missing: Text = "refuse"
    next_sample: Text = ""
    late: Text = ""
    seed: Text = "1"
    population: dict[Text, dict] = field(default_factory=dict)

    def __post_init__(self):
        for name, most in MOST.items():
            if len(getattr(self, name)) > most:
                raise DataError(f"case: {len(getattr(self, name))} {name}; at most {most} are read")
        for name, known in ROWS.items():
            for number, row in enumerate(getattr(self, name), start=1):
                _check_row(row, f"{name}, number {number}", known if name != "later" else ())
        _check_row(self.patient, "patient", ())
        for f in fields(self):
            _check_length(getattr(self, f.name), f.name)

    @classmethod
    def of(cls, said: dict) -> "Case":
        """A case of plain tables, as TOML and JSON have them; numbers, truth values and dates may stand for texts.

        Parameters
        ----------
        said : dict
            The arguments of `Case`, as TOML and JSON have them.

        Returns
        -------
        Case

        Raises
        ------
        DataError
            A key that there is not, another shape, or too much of anything; names it.

        Examples
        --------
        >>> import nlmebayes as nb
        >>> said = {"models": ["vancomycin_goti_2018"], "samples": [{"time": 13, "value": 12.5}]}
        >>> nb.Case.of(said).samples[0]["value"]
        '12.5'
        """
        known = [f.name for f in fields(cls)]
        if not isinstance(said, dict):
            raise DataError(f"case: a case is a table with the keys {', '.join(known)}")
        for key in said:
            if key not in known:
                raise DataError(f"case: no key {str(key)[:40]!r}; its keys are {', '.join(known)}")
        return cls(**{key: value if key == "population" else plain(value) for key, value in said.items()})

    @property
    def tables(self) -> dict:
        """The plain tables of the case, without what was left open."""
        return {key: value for key, value in asdict(self).items() if value not in ("", (), {})}


def plain(value):
    """Numbers, truth values and dates as texts, inside of lists and tables too."""
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        if value.bit_length() > 3 * LONGEST:
            raise DataError(f"case: a whole number of {value.bit_length()} bits; no case has one that large")
        return str(value)
    if isinstance(value, Real):
        return f"{value:.15g}"
    return str(value).strip() if isinstance(value, str | date | time) else value


def _check_row(row, where, known):
    if len(row) > TABLES:
        raise DataError(f"case, {where}: {len(row)} values; at most {TABLES} are read")
    for key in row if known else ():
        if key not in known:
            raise DataError(f"case, {where}: no key {key[:40]!r}; its keys are {', '.join(known)}")


def _check_length(value, where):
    """No text is longer than anybody enters; a stated model is read elsewhere."""
    if where == "population":
        return
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, tuple) else ()
    for key, part in parts:
        _check_length(key, f"{where}, a name,")
        _check_length(part, f"{where}, {key if isinstance(key, str) else key + 1}")
    if isinstance(value, str) and len(value) > LONGEST:
        raise DataError(f"case, {where[:80]}: a text of {len(value)} characters; at most {LONGEST} are read")
    if isinstance(value, str) and any(unicodedata.category(sign) == "Cc" for sign in value):
        raise DataError(f"case, {where[:80]!r}: a text in one line, without control characters, is read")
