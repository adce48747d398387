"""`Curve`: a prediction that is a formula of the individual parameters and of inputs at the same record."""

from abc import abstractmethod

from nlmebayes.structure.structure import Named, Structure


class Curve(Structure):
    """f = curve(phi, x): no doses, no state, any inputs (time, a concentration, a temperature)."""

    recordwise = True

    @abstractmethod
    def curve(self, p, x):
        """Prediction from parameters ``p`` and inputs ``x``, each (record,) or (draw, record).

        With several outcomes, a dict by name.
        """

    def arrays(self, design):
        found = {}
        for outcome in design.outcomes:
            o, dim = outcome.asked, f"{outcome.name}_{'obs' if outcome.nodes is None else 'node'}"
            found |= {f"{name}_{o.name}": (values, (dim,)) for name, values in o.inputs.items()}
            found[f"unit_{o.name}"] = (o.unit, (dim,))
        return found

    def predict(self, p, x, outcomes):
        return {name: self._at_records(p, x, name) for name in outcomes}

    def _at_records(self, p, x, outcome):
        unit = vars(x)[f"unit_{outcome}"]
        at_records = Named(**{name: value[..., unit] for name, value in vars(p).items()})
        names = (*self.inputs, "cumulative") if self.closed else self.inputs
        own = {name: vars(x)[f"{name}_{outcome}"] for name in names if f"{name}_{outcome}" in vars(x)}
        f = self.curve(at_records, Named(**own))
        return f[outcome] if isinstance(f, dict) else f
