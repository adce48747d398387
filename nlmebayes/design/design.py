"""`Design`: a planned study, with nothing measured yet."""

import tomllib
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

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

if TYPE_CHECKING:
    from nlmebayes.data.dataset import Dataset


@checked
@dataclass(frozen=True)
class Design:
    """A planned study: who, how many, treated and sampled when, with nothing measured yet.

    Parameters
    ----------
    arms : list of Arm
        Those without a name are numbered.

    Raises
    ------
    ModelError
        No arms, or two of one name.

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
    def from_dataset(cls, data: Data) -> "Design":
        """The design of a dataset: subjects with the same records and doses are an arm, their covariates lists.

        Parameters
        ----------
        data : Dataset
            Its measurements are not read.

        Returns
        -------
        Design

        Raises
        ------
        ModelError
            What no `Arm` can say.

        Examples
        --------
        >>> import nlmebayes as nb
        >>> design = nb.Design.from_dataset(nb.datasets.indometh())
        >>> design.subjects, design.records
        (6, 66)
        """
        return cls(arms_of(data))

    @classmethod
    @checked
    def from_toml(cls, path: File) -> "Design":
        """Read what `to_toml` writes: a table for each arm, ``[arm.placebo]``, the arguments of `Arm` its keys.

        Parameters
        ----------
        path : path

        Returns
        -------
        Design

        Raises
        ------
        ModelError
            Names the file, the arm and the key.

        Examples
        --------
        >>> import nlmebayes as nb
        >>> nb.Design([nb.Arm(20, [1, 2, 8])]).to_toml("design.toml")
        >>> nb.Design.from_toml("design.toml").subjects
        20
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
    def to_toml(self, path: File) -> None:
        """Write the design to a file that `from_toml` reads and people can edit.

        Parameters
        ----------
        path : path

        Raises
        ------
        OSError
            The file cannot be written.
        ModelError
            What is no path.

        Examples
        --------
        >>> import nlmebayes as nb
        >>> nb.Design([nb.Arm(20, [1, 2, 8])]).to_toml("design.toml")
        >>> from pathlib import Path
        >>> print(Path("design.toml").read_text().strip())
        [arm.1]
        n = 20
        times = [1.0, 2.0, 8.0]
        """
        path.write_text(toml.written({ARM: {arm.name: arm.stated() for arm in self.arms}}), encoding="utf-8")

    @checked
    def but(self, **changes: object) -> "Design":
        """The same with other arguments of `Arm` in every arm: ``design.but(times=[1, 2, 8])``.

        Parameters
        ----------
        **changes
            Arguments of `Arm` by name.

        Returns
        -------
        Design

        Raises
        ------
        ModelError
            As `Arm`.

        Examples
        --------
        >>> import nlmebayes as nb
        >>> nb.Design([nb.Arm(20, [1, 2]), nb.Arm(10, [4])]).but(times=[1, 2, 8]).records
        90
        """
        return Design([arm.but(**changes) for arm in self.arms])

    @property
    def subjects(self) -> int:
        """Number of subjects."""
        return sum(arm.n for arm in self.arms)

    @property
    def records(self) -> int:
        """Number of records; of a list of times, for each outcome."""
        return sum(arm.n * arm.records for arm in self.arms)

    @property
    def table(self) -> pd.DataFrame:
        """One row per arm: its size, times, doses, and what else is said."""
        rows = [{"arm": arm.name} | {k: v for k, v in arm.stated().items()} for arm in self.arms]
        return pd.DataFrame(rows).set_index("arm")

    @checked
    def dataset(self, of: object, random_seed: Seed = 0) -> "Dataset":
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

        Examples
        --------
        >>> import nlmebayes as nb
        >>> from model_zoo import OneCompartment
        >>> tree = nb.population(OneCompartment(), theta={"cl": 4.0, "v": 50.0},
        ...                      omega={"sd": {"cl": 0.3, "v": 0.2}}, sigma={"b": 0.15})
        >>> design = nb.Design([nb.Arm(30, [1, 6, 24], doses={"time": 0, "amt": 100})])
        >>> data = design.dataset(tree)
        >>> data.observations[["id", "time", "arm"]].head(3)
          id  time arm
        0  1   1.0   1
        1  1   6.0   1
        2  1  24.0   1
        """
        return planned(self.arms, setting(of), np.random.default_rng(random_seed))

    @checked
    def measured(self, data: Data, **values: object) -> "Dataset":
        """Planned data with measurements by outcome, those beyond the limits of quantification of their arm censored.

        Parameters
        ----------
        data : Dataset
            From `dataset`.
        **values : array (record,)
            By outcome, in the order of its records.

        Returns
        -------
        Dataset

        Raises
        ------
        DataError
            No such outcome, or another number of values.

        Examples
        --------
        >>> import nlmebayes as nb
        >>> from model_zoo import OneCompartment
        >>> tree = nb.population(OneCompartment(), theta={"cl": 4.0, "v": 50.0},
        ...                      omega={"sd": {"cl": 0.3, "v": 0.2}}, sigma={"b": 0.15})
        >>> design = nb.Design([nb.Arm(30, [1, 6, 24], doses={"time": 0, "amt": 100})])
        >>> design = design.but(lloq=0.5)
        >>> drawn = nb.predict(tree, design.dataset(tree), random_seed=1)["posterior_predictive"]["conc"]
        >>> study = design.measured(design.dataset(tree), conc=drawn.to_numpy().ravel())
        >>> bool(study.observations["upper"].notna().any())
        True
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
