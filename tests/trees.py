"""Trees with stated populations, without a fit."""

import nlmebayes as nb


def stated(model, data, *, draws=1, seed=1, **values):
    """A tree whose posterior is ``draws`` of the prior with the given values, e.g. ``omega_id=[0.3]``."""
    tree = nb.simulate(model, data, draws=draws, values=values, random_seed=seed)
    tree["posterior"] = tree["prior"].to_dataset()
    return tree
