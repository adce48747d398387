"""`Curve`: a prediction that is a formula of the individual parameters and of inputs at the same record."""

from abc import abstractmethod

from pytensor.tensor import TensorVariable

from nlmebayes.structure.structure import Named, Structure


class Curve(Structure):
    """f = curve(phi, x): no doses, no state, any inputs (time, a concentration, a temperature).

    Examples
    --------
    >>> import numpy as np, nlmebayes as nb
    >>> class Line(nb.Curve):
    ...     parameters = (nb.Parameter("a", "mm", 10.0), nb.Parameter("b", "mm/day", 0.5))
    ...     inputs = ("time",)
    ...     def curve(self, p, x):
    ...         return p.a + p.b * x.time
    >>> Line().curve(nb.Named(a=10.0, b=0.5), nb.Named(time=np.array([0.0, 4.0]))).tolist()
    [10.0, 12.0]
    """

    recordwise = True

    @abstractmethod
    def curve(self, p: Named, x: Named) -> TensorVariable | dict[str, TensorVariable]:
        """Prediction from parameters and inputs.

        Parameters
        ----------
        p : Named
            Individual parameters, (record,) or (draw, record) each.
        x : Named
            Inputs, (record,) each.

        Returns
        -------
        tensor (record,) or (draw, record), or dict of outcome -> tensor
            A dict of a structure with several outcomes.

        Examples
        --------
        >>> import numpy as np, nlmebayes as nb
        >>> from model_zoo import Emax
        >>> Emax().curve(nb.Named(e0=0.0, emax=50.0, ec50=5.0), nb.Named(concentration=np.array([0.0, 5.0]))).tolist()
        [0.0, 25.0]
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
