"""`DesignInformation`: what a design is expected to tell of a population."""

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal

import numpy as np
import pandas as pd
from scipy import optimize, special

from nlmebayes.arguments import Name, Names, Number, Share, checked
from nlmebayes.design.numbers import Numbers
from nlmebayes.errors import ModelError

SINGULAR = 1e-12  # least eigenvalue of the information, numbers scaled, that tells something
TRADED = 0.6  # part of an error that is left when another number is known, below which both are told together
UNSURE = 50.0  # RSE (%) of a number that is hardly told
LEAST, MOST = 1e-3, 1e7  # subjects
Criterion = Literal["D", "Ds", "A", "ED"]


@dataclass(frozen=True, eq=False)
class DesignInformation:
    """What a design is expected to tell of a population, as `information` gives it.

    Attributes
    ----------
    method : str
        As `information` was asked.
    numbers : Numbers
        Names, kinds, values of all numbers of the population.
    whole : array (coordinate, coordinate)
        Information on the coordinates of the population; that of a former study, ``former``, included.
    subjects, records : int
        Of the design.
    fixed : tuple of str
        Numbers that are taken for known.
    former : array (coordinate, coordinate) or 0
        Information of a former study.
    shrinkage : DataFrame
        To first order: by level and effect, expected shrinkage in % of the SD and of the variance.
    drawn : tuple
        (Numbers, information) of each draw of the population, where `criterion` is to average them.
    error : array (number,), optional
        Of ``method="exact"``: Monte Carlo error of each standard error, as a part of it.
    remarks : tuple of str
        What else was done, such as records that are expected beyond their limits of quantification.
    about : tuple
        The design in its model, for pictures.
    doubts : callable
        What records cannot part, in words, when it is asked.

    Examples
    --------
    >>> import nlmebayes as nb
    >>> from model_zoo import OneCompartment
    >>> tree = nb.population(OneCompartment(), theta={"cl": 4.0, "v": 50.0},
    ...                      omega={"sd": {"cl": 0.3, "v": 0.2}}, sigma={"b": 0.15})
    >>> design = nb.Design([nb.Arm(30, [1, 6, 24], doses={"time": 0, "amt": 100})])
    >>> told = nb.information(tree, design)
    >>> told.table[["value", "rse"]].round(1).loc["cl"].to_dict()
    {'value': 4.0, 'rse': 5.7}
    """

    method: str
    numbers: Numbers
    whole: np.ndarray
    subjects: int
    records: int
    fixed: tuple = ()
    former: np.ndarray | float = 0.0
    shrinkage: pd.DataFrame | None = None
    drawn: tuple = ()
    error: np.ndarray | None = None
    remarks: tuple = ()
    about: tuple = field(default=(), repr=False)
    doubts: object = field(default=tuple, repr=False)

    @cached_property
    def free(self) -> np.ndarray:
        """Positions of the numbers that are not fixed."""
        known = self.numbers.places(self.fixed)
        return np.array([i for i in range(len(self.numbers.names)) if i not in known], dtype=int)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the numbers that are not fixed, in the order of the matrix."""
        return tuple(self.numbers.names[i] for i in self.free)

    @cached_property
    def matrix(self) -> pd.DataFrame:
        """Expected information on the numbers that are not fixed, a DataFrame."""
        return pd.DataFrame(self._of(self.numbers, self.whole), self.names, self.names)

    def _of(self, numbers, whole):
        return numbers.information(whole)[np.ix_(self.free, self.free)]

    @cached_property
    def covariance(self) -> np.ndarray:
        """Its inverse; infinite where the design leaves some combination of numbers open."""
        return _inverse(self.matrix.to_numpy())

    @cached_property
    def table(self) -> pd.DataFrame:
        """One row per number: ``value``, expected standard error ``se``, ``rse`` in %, ``kind``; of an exact
        information also ``error``, the Monte Carlo error of the RSE, as a part of it."""
        value, se = self.numbers.values[self.free], np.sqrt(np.diag(self.covariance))
        with np.errstate(divide="ignore", invalid="ignore"):
            rse = 100 * se / np.abs(value)
        kinds = [self.numbers.kinds[i] for i in self.free]
        found = pd.DataFrame({"value": value, "se": se, "rse": rse, "kind": kinds}, pd.Index(self.names, name="number"))
        return found if self.error is None else found.assign(error=self.error)

    @property
    def condition(self) -> float:
        """Largest by smallest eigenvalue of the correlations of the estimates, as NONMEM's; infinite if something is
        left open."""
        if not np.isfinite(self.covariance).all():
            return np.inf
        scale = 1 / np.sqrt(np.diag(self.covariance))
        values = np.linalg.eigvalsh(scale[:, None] * self.covariance * scale)
        return float(values.max() / values.min())

    @cached_property
    def sentences(self) -> tuple[str, ...]:
        """What cannot be told apart, or is not told, in words."""
        return tuple(dict.fromkeys((*self.doubts(), *self._traded(), *self.remarks)))

    def _traded(self):
        """Pairs of numbers each of which would be known much better if the other was."""
        rse = self.table["rse"].to_numpy()
        if not np.isfinite(self.covariance).all():
            yield "some combination of the numbers is left open: the information is singular"
            return
        scale = 1 / np.sqrt(np.diag(self.covariance))
        left = np.sqrt(np.maximum(1 - (scale[:, None] * self.covariance * scale) ** 2, 0.0))
        pairs = [(j, i) for i in range(len(rse)) for j in range(i)]
        pairs = [(j, i) for j, i in pairs if left[i, j] < TRADED and min(rse[i], rse[j]) > UNSURE]
        for j, i in pairs:
            yield (
                f"{self.names[j]} (RSE {rse[j]:.0f} %) and {self.names[i]} ({rse[i]:.0f} %) can hardly be told apart: "
                f"if one was known, the RSE of the other would be {rse[j] * left[i, j]:.0f} % or "
                f"{rse[i] * left[i, j]:.0f} %"
            )
        for i in range(len(rse)):
            if rse[i] > 2 * UNSURE and not any(i in pair for pair in pairs):
                yield f"little is told of {self.names[i]}: its RSE is {rse[i]:.0f} %"

    @checked
    def criterion(self, kind: Criterion = "D", of: Names = ()) -> float:
        """A criterion, of which more is better.

        Parameters
        ----------
        kind : {"D", "Ds", "A", "ED"}
            D: log det M. Ds: that of the information on the numbers ``of``, when the others are not known, log det M -
            log det M of the others. A: minus the sum of the variances of the estimates, or of those ``of``. ED: the
            mean of log det M over draws of the population.
        of : names, optional
            Of numbers; ``"omega_id"`` means all that begin so.

        Returns
        -------
        float

        Raises
        ------
        ModelError
            ED without draws, Ds without ``of``, a number that is fixed.

        Examples
        --------
        >>> import nlmebayes as nb
        >>> from model_zoo import OneCompartment
        >>> tree = nb.population(OneCompartment(), theta={"cl": 4.0, "v": 50.0},
        ...                      omega={"sd": {"cl": 0.3, "v": 0.2}}, sigma={"b": 0.15})
        >>> design = nb.Design([nb.Arm(30, [1, 6, 24], doses={"time": 0, "amt": 100})])
        >>> told = nb.information(tree, design)
        >>> round(told.criterion("D"), 1), round(told.criterion("Ds", of="cl"), 1)
        (22.3, 3.0)
        """
        if kind == "ED":
            if not self.drawn:
                raise ModelError("criterion 'ED' averages over draws of the population; give information(..., draws=)")
            return float(np.mean([_log_det(self._of(*each)) for each in self.drawn]))
        if kind == "Ds" and not of:
            raise ModelError("criterion 'Ds' is that of some numbers; name them, of=")
        return criterion_of(self.matrix.to_numpy(), kind, self._chosen(of))

    def _chosen(self, of):
        places = self.numbers.places(of)
        known = [self.numbers.names[i] for i in places if i not in self.free]
        if known:
            raise ModelError(f"{known[0]} is fixed; of= names what is estimated")
        return [list(self.free).index(i) for i in places]

    @checked
    def efficiency(self, other: object, kind: Literal["D", "Ds", "ED"] = "D", of: Names = ()) -> float:
        """How many times as many subjects the other design would need to tell as much: (det M / det M_other)^(1/p).

        Parameters
        ----------
        other : DesignInformation
            Of another design, about the same numbers.
        kind : {"D", "Ds", "ED"}
            Criterion.
        of : names
            Of ``"Ds"``.

        Returns
        -------
        float

        Raises
        ------
        ModelError
            Designs that tell of other numbers; what `criterion` refuses.

        Examples
        --------
        >>> import nlmebayes as nb
        >>> from model_zoo import OneCompartment
        >>> tree = nb.population(OneCompartment(), theta={"cl": 4.0, "v": 50.0},
        ...                      omega={"sd": {"cl": 0.3, "v": 0.2}}, sigma={"b": 0.15})
        >>> design = nb.Design([nb.Arm(30, [1, 6, 24], doses={"time": 0, "amt": 100})])
        >>> told = nb.information(tree, design)
        >>> early = nb.information(tree, design.but(times=[0.5, 1, 2]))
        >>> round(early.efficiency(told), 2)
        0.18
        """
        if not isinstance(other, DesignInformation):
            raise ModelError(
                f"efficiency: other is what `information` tells of another design; got {type(other).__name__}"
            )
        if self.names != other.names:
            raise ModelError(f"efficiency: the designs tell of {self.names} and of {other.names}; fix the same numbers")
        many = len(self._chosen(of)) if kind == "Ds" else len(self.free)
        return float(np.exp((self.criterion(kind, of) - other.criterion(kind, of)) / many))

    @checked
    def power(self, parameter: Name, null: Number = 0.0, alpha: Share = 0.05) -> float:
        """Power of Wald's two-sided test that a number is ``null``.

        Parameters
        ----------
        parameter : str
            A number of the table.
        null : float
            Its value under the null hypothesis.
        alpha : float
            Level of the test.

        Returns
        -------
        float

        Raises
        ------
        ModelError
            No such number, or one that is fixed.

        Examples
        --------
        >>> import nlmebayes as nb
        >>> from model_zoo import OneCompartment
        >>> tree = nb.population(OneCompartment(), theta={"cl": 4.0, "v": 50.0},
        ...                      omega={"sd": {"cl": 0.3, "v": 0.2}}, sigma={"b": 0.15})
        >>> design = nb.Design([nb.Arm(30, [1, 6, 24], doses={"time": 0, "amt": 100})])
        >>> told = nb.information(tree, design)
        >>> round(told.power("cl", null=3.5), 2)
        0.59
        """
        value, se = self._one(parameter)
        return float(_power((value - null) / se, alpha))

    @checked
    def subjects_for(self, parameter: Name, power: Share = 0.8, null: Number = 0.0, alpha: Share = 0.05) -> int:
        """The least number of subjects for a power, treated and sampled as these are; groups outside of the subjects
        grow in number with them.

        Parameters
        ----------
        parameter : str
            A number of the table.
        power : float
            That is wanted.
        null, alpha
            As in `power`.

        Returns
        -------
        int

        Raises
        ------
        ModelError
            No such number; one that no number of subjects tells from ``null``.

        Examples
        --------
        >>> import nlmebayes as nb
        >>> from model_zoo import OneCompartment
        >>> tree = nb.population(OneCompartment(), theta={"cl": 4.0, "v": 50.0},
        ...                      omega={"sd": {"cl": 0.3, "v": 0.2}}, sigma={"b": 0.15})
        >>> design = nb.Design([nb.Arm(30, [1, 6, 24], doses={"time": 0, "amt": 100})])
        >>> told = nb.information(tree, design)
        >>> told.subjects_for("cl", 0.9, null=3.5)
        66
        """
        value, se = self._one(parameter)
        if value == null or not np.isfinite(se):
            raise ModelError(f"subjects_for: {parameter} is {value:g}, with the error {se:g}; no number has a power of "
                             f"{power:g} to tell it from {null:g}")  # fmt: skip

        def lacking(subjects):
            return power - self.of_subjects(subjects).power(parameter, null, alpha)

        if lacking(MOST) > 0:
            raise ModelError(f"subjects_for: more than {MOST:g} subjects are needed to tell {parameter} from {null:g}")
        return int(np.ceil(optimize.brentq(lacking, LEAST, MOST) - 1e-9)) if lacking(LEAST) > 0 else 1

    def of_subjects(self, subjects: float) -> "DesignInformation":
        """The same of another number of subjects, treated and sampled as these are; a former study stays as it was.

        Parameters
        ----------
        subjects : float
            Number of subjects.

        Returns
        -------
        DesignInformation

        Examples
        --------
        >>> import nlmebayes as nb
        >>> from model_zoo import OneCompartment
        >>> tree = nb.population(OneCompartment(), theta={"cl": 4.0, "v": 50.0},
        ...                      omega={"sd": {"cl": 0.3, "v": 0.2}}, sigma={"b": 0.15})
        >>> design = nb.Design([nb.Arm(30, [1, 6, 24], doses={"time": 0, "amt": 100})])
        >>> told = nb.information(tree, design)
        >>> float(round(told.of_subjects(120).table["rse"]["cl"] / told.table["rse"]["cl"], 2))
        0.5
        """
        times = subjects / self.subjects
        whole, *drawn = (
            self.former + times * (each - self.former) for each in (self.whole, *(matrix for _, matrix in self.drawn))
        )
        drawn = tuple((own, matrix) for (own, _), matrix in zip(self.drawn, drawn, strict=True))
        return replace(self, whole=whole, drawn=drawn, subjects=subjects, records=round(self.records * times))

    def _one(self, parameter):
        (place,) = self._chosen((self.numbers.names[self.numbers.place(parameter)],))
        return self.numbers.values[self.free[place]], np.sqrt(self.covariance[place, place])

    def fixing(self, *names: str) -> "DesignInformation":
        """The same with more numbers taken for known.

        Parameters
        ----------
        *names : str
            Numbers, or how the names of several begin.

        Returns
        -------
        DesignInformation

        Examples
        --------
        >>> import nlmebayes as nb
        >>> from model_zoo import OneCompartment
        >>> tree = nb.population(OneCompartment(), theta={"cl": 4.0, "v": 50.0},
        ...                      omega={"sd": {"cl": 0.3, "v": 0.2}}, sigma={"b": 0.15})
        >>> design = nb.Design([nb.Arm(30, [1, 6, 24], doses={"time": 0, "amt": 100})])
        >>> told = nb.information(tree, design)
        >>> told.fixing("omega_id", "sigma_conc").names
        ('cl', 'v')
        """
        return replace(self, fixed=(*self.fixed, *names))

    def __str__(self):
        words = f"{self.subjects} subjects, {self.records} records; information {self.method!r}, log det "
        first = f"{words}{self.criterion():.6g}, condition number {self.condition:.3g}"
        tables = [each.round(4).to_string() for each in (self.table, self.shrinkage) if each is not None]
        return "\n".join([first, *tables, *self.sentences])


def criterion_of(matrix, kind, of):
    """A criterion of information; ``of`` are positions of numbers."""
    if kind == "A":
        return -float(np.diag(_inverse(matrix))[of or slice(None)].sum())
    if kind == "Ds":
        rest = [i for i in range(len(matrix)) if i not in of]
        whole = _log_det(matrix)
        return whole - _log_det(matrix[np.ix_(rest, rest)]) if np.isfinite(whole) else -np.inf
    return _log_det(matrix)


def _inverse(matrix):
    """The inverse of information; infinite where that is singular."""
    scale = 1 / np.sqrt(np.maximum(np.diag(matrix), 1e-300))
    scaled = scale[:, None] * matrix * scale
    values = np.linalg.eigvalsh(scaled) if np.isfinite(scaled).all() else np.zeros(1)
    if values.min() < SINGULAR:
        return np.full_like(matrix, np.inf)
    return scale[:, None] * np.linalg.inv(scaled) * scale


def _log_det(matrix):
    sign, value = np.linalg.slogdet(matrix)
    return float(value) if sign > 0 else -np.inf


def _power(z, alpha):
    edge = special.ndtri(1 - alpha / 2)
    return special.ndtr(np.abs(z) - edge) + special.ndtr(-np.abs(z) - edge)
