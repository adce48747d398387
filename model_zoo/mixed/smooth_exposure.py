from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr

from nlmebayes import Dataset, LinearPredictor, predict, training_dataset


@dataclass(frozen=True)
class SmoothExposure(LinearPredictor):
    r"""An outcome that follows an exposure by an unknown curve, in areas that differ: activity by distance to a park.

    .. math:: y_{ij} = \mu_{ij} + e_{ij}, \qquad \mu_{ij} = \beta_0 + s(x_{ij}) + \gamma^T z_{ij} + b_i

    ``mu`` expected value (unit of the outcome), x the exposure, s a penalised spline whose curvature the data choose, z
    covariates, b_i effect of the area.

    Parameters
    ----------
    exposure, area : str
        Columns; the exposure is a number.
    covariates : tuple of str
        Columns, of numbers or text.
    k : {10, 5, 20}
        Columns of the spline and one, or any number from 4: more than the curve needs, since it is penalised.

    References
    ----------
    Wood (2017), Generalized Additive Models, 2nd ed., CRC Press, chapters 5 to 6.

    Examples
    --------
    A curve that the prior holds possible, at the least, middle and largest age of a boy, in cm:

    >>> import nlmebayes as nb
    >>> from model_zoo import SmoothExposure
    >>> SmoothExposure(exposure="distance", area="area").formulas
    ('mu ~ 1 + s(distance, k=10) + (1|area)',)
    >>> structure = SmoothExposure(exposure="age", area="Subject", k=4)
    >>> tree = nb.simulate(nb.Model(structure), nb.datasets.oxboys(), draws=1, random_seed=1)
    >>> tree["prior"]["f_height"].squeeze()[[0, 4, 8]].to_numpy().round().tolist()
    [91.0, 143.0, 224.0]
    """

    exposure: str = "distance"
    area: str = "area"
    covariates: tuple[str, ...] = ()
    k: int = 10

    @property
    def formulas(self):
        fixed = " + ".join(("1", f"s({self.exposure}, k={self.k})", *self.covariates))
        return (f"mu ~ {fixed} + (1|{self.area})",)

    def response(
        self, tree: xr.DataTree, grid: Sequence[float], reference: float | None = None, **at: object
    ) -> xr.DataArray:
        """The expected outcome over a grid of the exposure in the typical area, for every draw.

        Parameters
        ----------
        tree : DataTree
            From `fit` with this class.
        grid : sequence of float
            Exposures. Beyond those of the data the curve is a line that the data do not know.
        reference : float, optional
            The exposure from which differences are taken; by default it is the expected outcome itself.
        **at : number or str
            Values of covariates; others have the mean of the records, or the most frequent value if they are text.

        Returns
        -------
        DataArray (chain, draw, exposure)
            The last dim has the name of the column.

        Raises
        ------
        ValueError
            No such covariate; effects of more than the level.

        Examples
        --------
        >>> import nlmebayes as nb
        >>> from model_zoo import SmoothExposure
        >>> structure = SmoothExposure(exposure="age", area="Subject", k=4)
        >>> tree = nb.simulate(nb.Model(structure), nb.datasets.oxboys(), draws=20, random_seed=1)
        >>> tree["posterior"] = tree["prior"].to_dataset()
        >>> structure.response(tree, [-1.0, 0.0, 1.0], reference=0.0).mean(("chain", "draw")).sel(age=0.0).item()
        0.0
        """
        if set(at) - set(self.covariates):
            have = ", ".join(self.covariates) or "none"
            raise ValueError(f"response: no covariate {min(set(at) - set(self.covariates))!r}; there are {have}")
        training, grid = training_dataset(tree), np.asarray(grid, dtype=float)
        outcome, places = training.outcomes[0], grid if reference is None else np.append(grid, reference)
        records = training.observations
        frame = pd.DataFrame({level: records[level].iloc[0] for level in training.levels}, index=range(len(places)))
        frame = frame.assign(**{c: at.get(c, _typical(records[c])) for c in self.covariates})
        frame = frame.assign(**{self.exposure: places, outcome: np.nan})
        data = Dataset.from_frame(
            frame, outcome=outcome, levels=training.levels, unmeasured="predict", duplicates="keep"
        )
        found = predict(tree, data)["posterior"]
        effects = [found[v] for v in found if v.startswith("eta_")]
        slopes = [str(name) for each in effects for name in each[each.dims[-1]].to_numpy() if name != "mu"]
        if slopes:
            raise ValueError(f"response is for effects of the level alone; this fit has {', '.join(slopes)}")
        values = (found[f"f_{outcome}"] - sum(each.squeeze(each.dims[2:], drop=True) for each in effects)).to_numpy()
        values = values if reference is None else values[..., :-1] - values[..., -1:]
        coords = {"chain": found["chain"], "draw": found["draw"], self.exposure: grid}
        return xr.DataArray(values, coords, ("chain", "draw", self.exposure), outcome)


def _typical(column):
    return column.mean() if pd.api.types.is_numeric_dtype(column) else column.mode().iloc[0]
