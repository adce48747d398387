"""`Studies`: how estimates of simulated studies lie about the truth, each number with its Monte Carlo error.

Definitions and errors are those of Morris, White and Crowther (2019), Stat. Med. 38, 2074-2102, doi:10.1002/sim.8086.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import special, stats

from nlmebayes.arguments import Number, Share, Text, checked
from nlmebayes.errors import ModelError
from nlmebayes.files.errors import FileError

FEWEST = 2  # studies of which anything is said
NUMBERS = ["truth", "value", "se", "lower", "upper"]
COLUMNS = ["study", "quantity", *NUMBERS]


@dataclass(frozen=True, eq=False)
class Studies:
    """What `simulate_studies` found.

    Attributes
    ----------
    estimates : DataFrame
        A row for each study and quantity: ``study, quantity, truth, value, se, lower, upper``, the bounds of the stated
        interval; without ``se`` where the estimate is at its boundary, an SD of 0.
    ratios : DataFrame
        ``study, quantity, ratio, df`` of likelihood-ratio tests.
    failures : dict
        Study -> why it could not be fitted.
    seconds : dict
        Study -> time it took.
    subjects : int
        How many each study has.
    ci_prob : float
        Probability of the stated intervals.

    Examples
    --------
    >>> import nlmebayes as nb
    >>> from model_zoo import LinearMixed
    >>> model = nb.Model(LinearMixed(), "mu ~ 1 + (1|id)")
    >>> tree = nb.population(model, theta={"mu": 10.0}, omega={"sd": {"mu": 1.0}}, sigma={"a": 1.0}, outcome="y")
    >>> design = nb.Design([nb.Arm(30, inputs={"sample": [1, 2, 3]})])
    >>> studies = nb.simulate_studies(tree, design, 4, progressbar=False)
    >>> studies.n, float(studies.table.loc["mu", "truth"])
    ((4, 4), 10.0)
    """

    estimates: pd.DataFrame
    ratios: pd.DataFrame
    failures: dict
    seconds: dict
    subjects: int
    ci_prob: float

    @classmethod
    def of(cls, entries: Iterable[dict], subjects: int, ci_prob: float) -> "Studies":
        """Of what was found of each study of so many ``subjects``, dicts as a file holds them.

        Parameters
        ----------
        entries : list of dict
            One of each study.
        subjects : int
        ci_prob : float
            As the attributes.

        Returns
        -------
        Studies

        Raises
        ------
        FileError
            One is none.

        Examples
        --------
        >>> import nlmebayes as nb
        >>> nb.Studies.of([{"study": 0, "failure": "no maximum", "seconds": 1.0}], subjects=30, ci_prob=0.9).reasons
        {'no maximum': 1}
        """
        rows, ratios, failures = [pd.DataFrame(columns=COLUMNS)], [], {}
        for entry in entries:
            if "failure" in entry:
                failures[entry["study"]] = entry["failure"]
                continue
            try:
                rows.append(pd.DataFrame({name: entry[name] for name in COLUMNS}))
            except (KeyError, ValueError) as error:
                raise FileError(f"study {entry['study']} of the file is damaged: {error}") from error
            ratios += [(entry["study"], name, *x) for name, x in entry.get("ratios", {}).items()]
        estimates = pd.concat(rows[len(rows) > 1 :], ignore_index=True)
        estimates[NUMBERS] = estimates[NUMBERS].astype(float)
        seconds = {entry["study"]: entry["seconds"] for entry in entries}
        tests = pd.DataFrame(ratios, columns=["study", "quantity", "ratio", "df"])
        return cls(estimates, tests, failures, seconds, subjects, ci_prob)

    @property
    def n(self) -> tuple[int, int]:
        """How many studies were simulated, and how many of them fitted."""
        return len(self.seconds), len(self.seconds) - len(self.failures)

    @property
    def failed(self) -> tuple[float, float]:
        """Share of studies that could not be fitted, and its Monte Carlo error."""
        return _share(len(self.failures), len(self.seconds))

    @property
    def reasons(self) -> dict[str, int]:
        """Why studies failed, the most frequent first: reason -> number of studies."""
        return dict(Counter(self.failures.values()).most_common())

    @property
    def table(self) -> pd.DataFrame:
        """A row for each quantity, over the studies that were fitted.

        ``truth`` (the mean of them, where each study has its own), ``n``; ``bias`` of the estimates, and in %;
        ``empirical_se``, the SD of their errors, in % of the truth ``empirical_rse_pct``; ``stated_se``, the mean of
        the standard errors; ``coverage`` of the stated intervals; ``boundary``, the share of studies without one.
        ``*_mcse`` are Monte Carlo errors.
        """
        rows = {name: self._row(part) for name, part in self.estimates.groupby("quantity", sort=False)}
        return pd.DataFrame(rows.values(), index=pd.Index(rows, name="quantity"))

    def _row(self, part):
        part = part[part["value"].notna()]
        n, truth, error = len(part), part["truth"].mean(), part["value"] - part["truth"]
        stated = part[part["se"].notna()]
        inside = (stated["lower"] <= stated["truth"]) & (stated["truth"] <= stated["upper"])
        spread = _spread(error.to_numpy())
        relative = 100 / abs(truth) if truth else np.nan
        coverage, boundary = _share(inside.sum(), len(stated)), 1 - len(stated) / n
        return {
            "truth": truth, "n": n,
            "bias": error.mean(), "bias_mcse": spread[0] / np.sqrt(n),
            "bias_pct": relative * error.mean(), "bias_pct_mcse": relative * spread[0] / np.sqrt(n),
            "empirical_se": spread[0], "empirical_se_mcse": spread[1],
            "empirical_rse_pct": relative * spread[0], "empirical_rse_pct_mcse": relative * spread[1],
            "stated_se": stated["se"].mean(), "stated_se_mcse": stated["se"].sem(),
            "coverage": coverage[0], "coverage_mcse": coverage[1], "boundary": boundary,
        }  # fmt: skip

    @checked
    def power(self, quantity: Text, *, null: Number = 0.0, alpha: Share = 0.05) -> pd.DataFrame:
        """How often a test at level ``alpha`` tells a quantity from ``null``.

        A row for Wald's test, and one for the likelihood ratio's where a smaller model was given, with ``power``, its
        Monte Carlo error and the number of studies. An estimate without a standard error, at its boundary, is no
        rejection. The likelihood ratio is compared with chi-square, which is conservative for an SD of 0.

        Parameters
        ----------
        quantity : str
            As in `table`.
        null : float
            Its value under the null hypothesis.
        alpha : float
            Level of the test.

        Returns
        -------
        DataFrame
            ``test, power, power_mcse, n``.

        Raises
        ------
        ModelError
            There is no such quantity.

        Examples
        --------
        >>> import nlmebayes as nb
        >>> from model_zoo import LinearMixed
        >>> model = nb.Model(LinearMixed(), "mu ~ 1 + (1|id)")
        >>> tree = nb.population(model, theta={"mu": 10.0}, omega={"sd": {"mu": 1.0}}, sigma={"a": 1.0}, outcome="y")
        >>> design = nb.Design([nb.Arm(30, inputs={"sample": [1, 2, 3]})])
        >>> nb.simulate_studies(tree, design, 4, progressbar=False).power("mu", null=5.0)["power"].item()
        1.0
        """
        quantity = spelled(quantity, self.estimates["quantity"].unique(), "power")
        part = self.estimates[self.estimates["quantity"] == quantity]
        tests = {"Wald": (part["value"] - null).abs() / part["se"] > special.ndtri(1 - alpha / 2)}
        ratios = self.ratios[self.ratios["quantity"] == quantity]
        if len(ratios):
            tests["likelihood ratio"] = ratios["ratio"] > stats.chi2.isf(alpha, ratios["df"])
        rows = [(name, *_share(x.sum(), len(x)), len(x)) for name, x in tests.items()]
        return pd.DataFrame(rows, columns=["test", "power", "power_mcse", "n"])

    def __repr__(self):
        whole, fitted = self.n
        return f"Studies({fitted} of {whole} studies fitted; .table, .power(quantity), .failed, .reasons)"


def spelled(name, names, where):
    """The one of ``names`` that agrees with a name but for spaces.

    Raises
    ------
    ModelError
        There is none.
    """
    found = [each for each in names if each.replace(" ", "") == name.replace(" ", "")]
    if not found:
        raise ModelError(f"{where}: no quantity {name!r}; there are {', '.join(names) or 'none'}")
    return found[0]


def _share(count, n):
    """A share with its Monte Carlo error."""
    share = count / n if n else np.nan
    return share, np.sqrt(share * (1 - share) / n) if n else np.nan


def _spread(x):
    """The SD of numbers, and the error of it by their fourth moment."""
    n = len(x)
    if n < FEWEST:
        return np.nan, np.nan
    variance = x.var(ddof=1)
    if variance == 0:
        return 0.0, 0.0
    fourth = ((x - x.mean()) ** 4).mean()
    return np.sqrt(variance), np.sqrt(max(fourth - variance**2 * (n - 3) / (n - 1), 0.0) / n / variance) / 2
