from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr

from nlmebayes import LinearPredictor, intervals, training_dataset


@dataclass(frozen=True)
class Crossover(LinearPredictor):
    r"""Treatments compared within subjects, who take them in turn: 2x2 and higher designs.

    .. math::
        y_{ik} = \mu_{ik} + e_{ik}, \qquad
        \mu_{ik} = \beta_0 + \gamma_{seq(i)} + \pi_k + \tau_{d(i,k)} + \lambda_{d(i,k-1)} + b_i + l_i\, k + c_{ik}

    ``mu`` expected value of subject i in period k (unit of the outcome): sequence, period, treatment and carry-over
    of the treatment before; b_i effect of the subject, l_i its slope of learning, c_ik its effect in the period, which
    several records of a period tell from the error. A period that was missed is a row that is not there.

    Parameters
    ----------
    subject, period, treatment : str
        Columns; periods are numbers, treatments text.
    sequence, carry : str
        Columns of the sequence and of the treatment before (see `carried`), or nothing.
    learning, by_period : bool
        Whether subjects differ in the slope over periods, and from period to period.
    unequal : str
        Column by which the error differs, such as that of the treatments or of the periods, or nothing. The residual is
        then `Additive`.

    References
    ----------
    Jones and Kenward (2014), Design and Analysis of Cross-Over Trials, 3rd ed., CRC Press, chapter 5.

    Examples
    --------
    Means of two people, A then B and B then A, where B takes half a unit off, and the second period adds a tenth:

    >>> import pandas as pd, nlmebayes as nb
    >>> from model_zoo import Crossover
    >>> Crossover(sequence="sequence").formulas
    ('mu ~ 1 + sequence + C(period) + treatment + (1|subject)',)
    >>> structure = Crossover(sequence="")
    >>> frame = pd.DataFrame({"subject": [1, 1, 2, 2], "period": [1, 2, 1, 2], "treatment": list("ABBA"), "y": 0.0})
    >>> data = nb.Dataset.from_frame(frame, outcome="y", levels="subject")
    >>> known = {"theta_mu": [2.0, 0.1, -0.5], "omega_subject": 0.0, "sigma_y_a": 1.0}
    >>> tree = nb.simulate(nb.Model(structure), data, draws=1, values=known, random_seed=1)
    >>> tree["prior"]["f_y"].to_numpy().ravel().round(2).tolist()
    [2.0, 1.6, 1.5, 2.1]
    """

    subject: str = "subject"
    period: str = "period"
    treatment: str = "treatment"
    sequence: str = "sequence"
    carry: str = ""
    learning: bool = False
    by_period: bool = False
    unequal: str = ""

    @property
    def formulas(self):
        fixed = [self.sequence, f"C({self.period})", self.treatment, self.carry]
        random = [f"(1{f' + {self.period}' if self.learning else ''}|{self.subject})"]
        random += [f"(1|{self.subject}:{self.period})"] if self.by_period else []
        scatter = (f"sigma ~ 1 + {self._scatter}",) if self.unequal else ()
        return (f"mu ~ 1 + {' + '.join([*filter(None, fixed), *random])}", *scatter)

    @property
    def _scatter(self):
        return f"C({self.period})" if self.unequal == self.period else self.unequal

    def carried(self, frame: pd.DataFrame, reference: str) -> pd.Series:
        """The treatment of the period before of each row, for the column ``carry``.

        In the first period it is ``reference``, of which nothing is carried over, so that effects of the others are
        differences from it. A subject needs a row for every period before its last one (the outcome may be missing,
        not the treatment), and the design must tell carry-over from the other effects, which the 2x2 does not unless
        sequences are taken as alike (``sequence=""``).

        Parameters
        ----------
        frame : DataFrame
            One row for each subject and period.
        reference : str
            A treatment.

        Returns
        -------
        Series of the frame's index

        Raises
        ------
        ValueError
            A treatment that is not known; a design that cannot tell.

        Examples
        --------
        >>> import pandas as pd
        >>> from model_zoo import Crossover
        >>> frame = pd.DataFrame({"subject": [1, 1, 2, 2], "period": [1, 2, 1, 2], "treatment": ["A", "B", "B", "A"]})
        >>> Crossover(sequence="").carried(frame, "A").tolist()
        ['A', 'A', 'A', 'B']
        """
        given = frame.drop_duplicates([self.subject, self.period]).set_index([self.subject, self.period])
        periods = sorted(frame[self.period].unique())
        before = dict(zip(periods[1:], periods, strict=False))
        found = []
        for who, when in zip(frame[self.subject], frame[self.period], strict=True):
            key = (who, before.get(when))
            if when in before and (key not in given.index or pd.isna(given.loc[key, self.treatment])):
                raise ValueError(
                    f"carry-over in period {when} of {self.subject} {who}: the treatment of period {before[when]} is "
                    "not known; add a row for it, whose outcome may be missing"
                )
            found.append(given.loc[key, self.treatment] if when in before else reference)
        found = pd.Series(found, index=frame.index, name=self.carry or "carry")
        self._told_apart(frame, found)
        return found

    def _told_apart(self, frame, carried):
        columns = [frame[c].astype(str) for c in (self.sequence, self.period, self.treatment) if c]
        others, whole = (_indicators(each) for each in (columns, [*columns, carried.astype(str)]))
        if np.linalg.matrix_rank(whole) < np.linalg.matrix_rank(others) + carried.nunique() - 1:
            raise ValueError(
                "this design does not tell carry-over from the effects of sequence, period and treatment; leave "
                "sequences out (sequence='') or the carry-over"
            )

    def contrasts(self, tree: xr.DataTree) -> xr.DataArray:
        """Differences between treatments, for every draw.

        Parameters
        ----------
        tree : DataTree
            From `fit`.

        Returns
        -------
        DataArray (chain, draw, contrast)
            Labelled ``"B - A"``.

        Raises
        ------
        ValueError
            Treatments that are numbers.

        Examples
        --------
        >>> import numpy as np, pandas as pd, nlmebayes as nb
        >>> from model_zoo import Crossover
        >>> frame = pd.DataFrame({"subject": np.repeat([1, 2, 3, 4], 2), "period": [1, 2] * 4,
        ...                       "treatment": list("ABBAABBA"), "y": [1.0, 1.4, 1.6, 1.1, 0.8, 1.1, 1.5, 1.2]})
        >>> structure = Crossover(sequence="")
        >>> data = nb.Dataset.from_frame(frame, outcome="y", levels="subject")
        >>> tree = nb.fit(nb.Model(structure), data, method="ml")
        >>> structure.contrasts(tree).squeeze("contrast").round(1).to_numpy().tolist()
        [[0.4]]
        """
        theta = tree["posterior"]["theta_mu"]
        names = [t for t in theta["mu_term"].to_numpy() if t.startswith(f"{self.treatment}[")]
        if not names:
            raise ValueError(f"contrasts: no treatments {self.treatment}[...] in mu; make the column text")
        effects = {t[len(self.treatment) + 1 : -1]: theta.sel(mu_term=t, drop=True) for t in names}
        known = training_dataset(tree).observations[self.treatment].astype(str).unique()
        (reference,) = [label for label in known if label not in effects]
        effects = {reference: xr.zeros_like(next(iter(effects.values())))} | effects
        pairs = [(a, b) for i, a in enumerate(effects) for b in list(effects)[i + 1 :]]
        index = pd.Index([f"{b} - {a}" for a, b in pairs], name="contrast")
        found = xr.concat([effects[b] - effects[a] for a, b in pairs], index)
        return found.transpose("chain", "draw", "contrast")

    def errors(self, tree: xr.DataTree) -> xr.DataArray:
        """SD of the error by value of the column ``unequal``.

        Parameters
        ----------
        tree : DataTree
            From `fit`.

        Returns
        -------
        DataArray (chain, draw, value)

        Raises
        ------
        ValueError
            No column ``unequal``.

        Examples
        --------
        >>> import numpy as np, pandas as pd, nlmebayes as nb
        >>> from model_zoo import Crossover
        >>> frame = pd.DataFrame({"subject": np.repeat([1, 2, 3, 4], 2), "period": [1, 2] * 4,
        ...                       "treatment": list("ABBAABBA"), "y": [1.0, 1.4, 1.6, 1.1, 0.8, 1.1, 1.5, 1.2]})
        >>> structure = Crossover(sequence="", unequal="treatment")
        >>> data = nb.Dataset.from_frame(frame, outcome="y", levels="subject")
        >>> tree = nb.simulate(nb.Model(structure), data, draws=1, random_seed=1)
        >>> tree["posterior"] = tree["prior"].to_dataset()
        >>> list(structure.errors(tree)["treatment"].to_numpy())
        ['A', 'B']
        """
        if not self.unequal:
            raise ValueError("errors: the error is the same everywhere; say by which column it differs, unequal=")
        sigma = next(x for name, x in tree["posterior"].items() if name.startswith("sigma_"))
        (term,) = [d for d in sigma.dims if d.endswith("_term")]
        size = np.exp(sigma.sel({term: "Intercept"}, drop=True))
        others = {t.split("[")[-1][:-1]: t for t in sigma[term].to_numpy() if t != "Intercept"}
        known = training_dataset(tree).observations[self.unequal].drop_duplicates().tolist()
        labels = [str(int(x)) if isinstance(x, float) and x.is_integer() else str(x) for x in known]
        (reference,) = [x for x in labels if x not in others]
        found = {reference: size} | {x: size * np.exp(sigma.sel({term: t}, drop=True)) for x, t in others.items()}
        found = xr.concat(found.values(), pd.Index(found, name=self.unequal))
        return found.transpose("chain", "draw", self.unequal)

    def equivalence(self, tree: xr.DataTree, low: float = 0.8, high: float = 1.25) -> pd.DataFrame:
        """Ratios of treatments, of the logarithm of an outcome.

        Parameters
        ----------
        tree : DataTree
            From `fit`.
        low, high : float
            Between which they are equivalent.

        Returns
        -------
        DataFrame
            By contrast the ``ratio`` with its 90 % interval, and the probability that it is from ``low`` to ``high``.

        Raises
        ------
        ValueError
            As `contrasts`.

        Examples
        --------
        >>> import numpy as np, pandas as pd, nlmebayes as nb
        >>> from model_zoo import Crossover
        >>> frame = pd.DataFrame({"subject": np.repeat([1, 2, 3, 4], 2), "period": [1, 2] * 4,
        ...                       "treatment": list("ABBAABBA"), "y": [1.0, 1.4, 1.6, 1.1, 0.8, 1.1, 1.5, 1.2]})
        >>> structure = Crossover(sequence="")
        >>> data = nb.Dataset.from_frame(frame, outcome="y", levels="subject")
        >>> tree = nb.fit(nb.Model(structure), data, method="ml")
        >>> structure.equivalence(tree)["ratio"].round(2).to_dict()
        {'B - A': 1.45}
        """
        difference = self.contrasts(tree)
        within = ((difference > np.log(low)) & (difference < np.log(high))).mean(("chain", "draw"))
        table = np.exp(intervals(difference)[["mean", "eti_lb", "eti_ub"]]).rename(columns={"mean": "ratio"})
        return table.assign(p_within=within.to_series())


def _indicators(columns):
    """A column of ones and one for each value of the columns."""
    each = [pd.get_dummies(c, dtype=float).to_numpy() for c in columns]
    return np.concatenate([np.ones((len(columns[0]), 1)), *each], axis=1)
