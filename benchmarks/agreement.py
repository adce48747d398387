"""Theophylline beside other software: our posterior, and what they print for the same model and data.

One-compartment oral, additive residual, random effects on ka, CL, V (diagonal), the 132 concentrations of 12 subjects.
saemix and Gauss-Hermite leave out the 12 samples at time 0. Typical values on the natural scale; omega is the SD of the
log parameter. Run: python benchmarks/agreement.py
"""

import numpy as np
import pandas as pd
import results

import nlmebayes as nb
from model_zoo import OneCompartment

QUANTITIES = ("cl", "v", "ka", "omega_id cl", "omega_id v", "omega_id ka", "sigma_conc_a")
OTHERS = {
    # nlmixr documentation, "running nlmixr": SAEM, log scale; BSV as CV %.
    "nlmixr SAEM": (
        *np.exp([1.02, 3.45, 0.451]), *np.sqrt(np.log1p(np.array([0.270, 0.140, 0.719]) ** 2)), 0.692,
    ),
    # saemix 3, exact likelihood by SAEM.
    "saemix": (2.75276, 31.59074, 1.57488, 0.26424, 0.13685, 0.62713, 0.73908),
    # Adaptive Gauss-Hermite quadrature, 15 nodes: exact maximum likelihood.
    "Gauss-Hermite ML": (2.7477, 31.6255, 1.5790, 0.2660, 0.1337, 0.6276, 0.7380),
    # rstan with wide priors: half-Cauchy on omega.
    "Stan, wide priors": (np.nan, np.nan, np.nan, 0.306, 0.166, 0.747, 0.710),
}  # fmt: skip


def main():
    data = nb.datasets.theophylline()
    priors = {"default": {}, "narrow": {"omega_id": nb.Prior("HalfNormal", sigma=0.1)}}
    columns, quality = {}, {}
    for name, chosen in priors.items():
        model = nb.Model(OneCompartment(absorption="first-order"), residual=nb.Additive(), priors=chosen)
        table = nb.summary(nb.fit(model, data, random_seed=1, progressbar=False)).set_index("quantity")
        columns |= {f"{what}, {name} priors": table.loc[list(QUANTITIES), what] for what in ("mean", "sd")}
        quality[name] = {"rhat": float(table["rhat"].max()), "ess_bulk": float(table["ess_bulk"].min())}
        print(f"{name} priors: R-hat <= {quality[name]['rhat']:.4f}, bulk ESS >= {quality[name]['ess_bulk']:.0f}")
    found = pd.DataFrame(columns | {k: pd.Series(v, index=QUANTITIES) for k, v in OTHERS.items()})
    print(found.to_string(float_format=lambda x: f"{x:.3f}", na_rep=""))
    rows = found.astype(object).where(found.notna(), None).to_dict("index")
    results.keep("theophylline", rows=rows, quality=quality)


if __name__ == "__main__":
    main()
