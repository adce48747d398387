"""`Curve`: a prediction that is a formula of the individual parameters and of inputs at the same record."""

from abc import abstractmethod

from nlmebayes.structure.structure import Named, Structure


class Curve(Structure):
    """f = curve(phi, x): no doses, no state, any inputs (time, a concentration, a temperature)."""

    @abstractmethod
    def curve(self, p, x):
        """Prediction from parameters ``p`` and inputs ``x``, each (record,) or (draw, record).

        With several outcomes, a dict by name.
        """

    def arrays(self, design):
        found = {}
        for o in design.outcomes:
            found |= {f"{name}_{o.name}": (values, (f"{o.name}_obs",)) for name, values in o.inputs.items()}
            found[f"unit_{o.name}"] = (o.unit, (f"{o.name}_obs",))
        return found

    def predict(self, p, x, outcomes):
        return {name: self._at_records(p, x, name) for name in outcomes}

    def _at_records(self, p, x, outcome):
        unit = vars(x)[f"unit_{outcome}"]
        at_records = Named(**{name: value[..., unit] for name, value in vars(p).items()})
        f = self.curve(at_records, Named(**{name: vars(x)[f"{name}_{outcome}"] for name in self.inputs}))
        return f[outcome] if isinstance(f, dict) else f
