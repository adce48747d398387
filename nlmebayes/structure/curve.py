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

    def arrays(self, observed):
        return {name: (values, "obs") for name, values in observed.inputs.items()} | {"unit": (observed.unit, "obs")}

    def predict(self, p, x, outcome):
        at_records = Named(**{name: value[..., x.unit] for name, value in vars(p).items()})
        f = self.curve(at_records, x)
        return f[outcome] if isinstance(f, dict) else f
