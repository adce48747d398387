"""What a type checker knows of the public names: ``make types``. Nothing here is run."""

from typing import Any, assert_type

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.figure import Figure

import nlmebayes as nb
from model_zoo import OneCompartment

model = nb.Model(OneCompartment("first-order"), "cl ~ 1 + (1|id)", residual=nb.Combined(), fixed={"v": 30.0})
assert_type(model, nb.Model)
assert_type(model.but(residual=nb.StudentT()), nb.Model)
assert_type(model.parameters, tuple[nb.Parameter, ...])

data = nb.Dataset.from_frame(pd.DataFrame(), outcome=["conc"], levels="id", time="time", decimal=",")
assert_type(data, nb.Dataset)
assert_type(nb.Dataset.from_nonmem("table.csv", units={"time": "h"}), nb.Dataset)
assert_type(nb.datasets.theophylline(), nb.Dataset)
assert_type(data.over(time=np.linspace(0, 24)), nb.Dataset)

tree = nb.fit(model, data, draws=100, method="ml", random_seed=1)
assert_type(tree, xr.DataTree)
assert_type(nb.load("tree.nc"), xr.DataTree)
assert_type(nb.published("vancomycin_goti_2018"), xr.DataTree)
assert_type(nb.check(tree).findings, tuple[str, ...])
assert_type(nb.predict(tree, data.sel(id="1")), xr.DataTree)
for table in (nb.summary(tree), nb.residuals(tree), nb.vpc(tree, bins=4), nb.effects(tree, "wt"), nb.pooling(tree)):
    assert_type(table, pd.DataFrame)
assert_type(nb.compare({"one": tree, "other": tree}).weights("stacking"), dict[str, float])

forecast = nb.forecast(tree, data, random_seed=1, draws=100, missing="impute")
assert_type(forecast, xr.DataTree)
plans = nb.regimens([250, 500], every=(12, 24), start=24, doses=4)
assert_type(plans, list[nb.Regimen])
assert_type(nb.recommend(forecast, plans, [nb.Trough(10, 15), nb.DailyAUC(400, 600)]), pd.DataFrame)
assert_type(nb.optimise(forecast, nb.Regimen(500), nb.AUC(400), given=[250, 500]), pd.DataFrame)
assert_type(nb.next_sample(forecast, [9, 12], "cl"), pd.DataFrame)

design = nb.Design([nb.Arm(20, [1, 2, (6, 9)], doses={"time": 0, "amt": 100}, covariates={"wt": [60, 70]})])
assert_type(design.dataset(tree), nb.Dataset)
assert_type(nb.information(tree, design, fixed="sigma").table, pd.DataFrame)
assert_type(nb.simulate_studies(tree, design, 4).failed, tuple[float, float])
for figure in (nb.plot.vpc(tree), nb.plot.fits(tree, subjects=["1"]), nb.plot.data(data)):
    assert_type(figure, Figure)


class Saturable(nb.System):
    states, dosed = ("central",), "central"
    parameters = (nb.Parameter("vmax", "mg/h", 10.0), nb.Parameter("km", "mg/L", 2.0), nb.Parameter("v", "L", 30.0))

    def rhs(self, t: Any, y: Any, p: Any) -> dict[str, Any]:
        c = y.central / p.v
        return {"central": -p.vmax * c / (p.km + c)}

    def outcomes(self, t: Any, y: Any, p: Any) -> dict[str, Any]:
        return {"conc": y.central / p.v}


assert_type(nb.Model(Saturable(rtol=1e-8)), nb.Model)
