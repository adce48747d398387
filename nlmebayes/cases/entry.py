"""What a `Case` says: its texts as numbers in the units of its models, and every problem beside the field that has it.

Fields are named by their place: ``patient.weight``, ``doses.0.amount``, ``samples.2.time``, ``now``.
"""

from dataclasses import dataclass

from nlmebayes.arguments import checked
from nlmebayes.cases.case import Case
from nlmebayes.data.dataset import Dataset
from nlmebayes.dosing.regimen import Regimen
from nlmebayes.dosing.targets import Target


@dataclass(frozen=True)
class Problem:
    """What is wrong with a field, in one line with the mend; ``stops`` is false of what is only to be looked at."""

    field: str
    message: str
    stops: bool = True


@dataclass(frozen=True, eq=False)
class Entry:
    """A case that was read.

    Attributes
    ----------
    problems : tuple of Problem
        All of them; with one that stops there is no ``patient``.
    shown : dict of str
        Field -> what was understood, in the units of the models: ``{"patient.weight": "69.9 kg"}``.
    patient : Dataset or None
        Times in hours since the first record.
    covariates : dict
        Column of the models -> how it came about, in words: ``{"crcl": "65.0 mL/min by Cockcroft-Gault, ..."}``.
    now : float or None
    """

    case: Case
    problems: tuple[Problem, ...]
    shown: dict[str, str]
    trees: dict[str, object]
    patient: Dataset | None
    covariates: dict[str, str]
    targets: tuple[Target, ...]
    regimens: tuple[Regimen, ...]
    now: float | None = None
    seed: int = 1

    @property
    def stopped(self):
        """Whether a problem stands in the way of an answer."""
        return any(problem.stops for problem in self.problems)


@checked
def read(case: Case):
    """The `Entry` of a case; nothing that was entered raises an error, it becomes a `Problem`."""
    raise NotImplementedError
