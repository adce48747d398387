"""`Design`: a planned study, with nothing measured yet."""

import tomllib
from dataclasses import dataclass, fields, replace

import numpy as np
import pandas as pd

from nlmebayes.arguments import File, Seed, checked
from nlmebayes.data import limits
from nlmebayes.design.arm import ARM, Arm
from nlmebayes.design.extraction import arms_of
from nlmebayes.design.planned import planned
from nlmebayes.design.setting import setting
from nlmebayes.errors import ModelError
from nlmebayes.files import toml
from nlmebayes.model.model import Data


@checked
@dataclass(frozen=True)
class Design:
    """A planned study: who, how many, treated and sampled when, with nothing measured yet.

    Parameters
    ----------
    arms : list of Arm
        Those without a name are numbered.

    Examples
    --------
    >>> import nlmebayes as nb
    >>> design = nb.Design([nb.Arm(20, [1, 2, 245], doses={"time": 0, "amt": 20, "addl": 11, "ii": 24})])
    >>> design.subjects, design.records
    (20, 60)
    """

    arms: tuple[Arm, ...]

    ARGUMENT = "a Design, such as nb.Design([nb.Arm(20, [1, 2, 8])])"

    def __post_init__(self):
        if not self.arms:
            raise ModelError("Design: no arms; write Design([Arm(20, [1, 2, 8])])")
        named = [arm if arm.name else arm.but(name=str(i + 1)) for i, arm in enumerate(self.arms)]
        names = [arm.name for arm in named]
        twice = [name for name in names if names.count(name) > 1]
        if twice:
            raise ModelError(f"Design: two arms are named {twice[0]!r}")
        object.__setattr__(self, "arms", tuple(named))

    @classmethod
    @checked
    def from_dataset(cls, data: Data):
        """The design of a dataset: subjects with the same records and doses are an arm, their covariates lists."""
        return cls(arms_of(data))

    @classmethod
    @checked
    def from_toml(cls, path: File):
        """Read what `to_toml` writes: a table for each arm, ``[arm.placebo]``, the arguments of `Arm` its keys.

        Raises
        ------
        ModelError
            Names the file, the arm and the key.
        """
        try:
            said = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ModelError(f"{path} cannot be read as TOML: {error}; name the file of a design") from None
        strange = [key for key in said if key != ARM]
        if strange:
            raise ModelError(f"{path.name}: no key {strange[0]!r}; a design has arms, a table [arm.<name>] each")
        arms = said.get(ARM)
        if not isinstance(arms, dict) or not all(isinstance(each, dict) for each in arms.values()):
            raise ModelError(f"{path.name}: no arms; write a table for each, such as [arm.placebo]")
        return cls([_read(path.name, name, each) for name, each in arms.items()])

    @checked
    def to_toml(self, path: File):
        """Write the design to a file that `from_toml` reads and people can edit."""
        path.write_text(toml.written({ARM: {arm.name: arm.stated() for arm in self.arms}}), encoding="utf-8")

    @checked
    def but(self, **changes):
        """The same with other arguments of `Arm` in every arm: ``design.but(times=[1, 2, 8])``."""
        return Design([arm.but(**changes) for arm in self.arms])

    @property
    def subjects(self):
        """Number of subjects."""
        return sum(arm.n for arm in self.arms)

    @property
    def records(self):
        """Number of records; of a list of times, for each outcome."""
        return sum(arm.n * arm.records for arm in self.arms)

    @property
    def table(self):
        """One row per arm: its size, times, doses, and what else is said."""
        rows = [{"arm": arm.name} | {k: v for k, v in arm.stated().items()} for arm in self.arms]
        return pd.DataFrame(rows).set_index("arm")

    @checked
    def dataset(self, of: object, random_seed: Seed = 0):
        """The planned subjects as a `Dataset`, with nothing measured: ``value`` is missing in every record.

        Parameters
        ----------
        of : DataTree or Model
            Whose levels, outcomes and columns are meant.
        random_seed : int
            Of covariates and times that are drawn.

        Returns
        -------
        Dataset
            A column ``arm`` says who is in which. `predict` and `simulate` take it; `measured` makes a study of it.

        Raises
        ------
        ModelError, DataError
            The model has levels that the arms do not state, or they state outcomes that it does not have.
        """
        return planned(self.arms, setting(of), np.random.default_rng(random_seed))

    @checked
    def measured(self, data: Data, **values):
        """Planned data with measurements by outcome, those beyond the limits of quantification of their arm censored.

        Parameters
        ----------
        data : Dataset
            From `dataset`.
        **values : array
            By outcome, in the order of its records.
        """
        return measured(self.arms, data, values)


def _read(source, name, said):
    known = [f.name for f in fields(Arm) if f.name not in ("name", "_")]
    for key in said:
        if key not in known:
            raise ModelError(f"{source}: arm {name!r} has no key {key!r}; there are {', '.join(known)}")
    try:
        return Arm(**said, name=name)
    except ModelError as error:
        raise ModelError(f"{source}: arm {name!r}: {error}") from None


def measured(arms, data, values):
    """`Design.measured`."""
    frame = data.with_values(**values).observations
    low, high = (limits_of(arms, frame, word) for word in ("lloq", "uloq"))
    if low.isna().all() and high.isna().all():
        return replace(data, observations=frame)
    nothing = pd.Series(np.nan, index=frame.index)
    found = limits.limited(frame, nothing.fillna(0.0), nothing, low, high, data.blq, {"limit": "limit"}, data.source)
    return replace(data, observations=found)


def limits_of(arms, frame, word):
    """A limit of quantification by record, missing where there is none."""
    said = {arm.name: arm.limits(word) for arm in arms}
    pairs = zip(frame[ARM], frame["outcome"], strict=True)
    each = [said[arm].get(outcome, said[arm].get("", np.nan)) for arm, outcome in pairs]
    return pd.Series(each, index=frame.index, dtype=float)
