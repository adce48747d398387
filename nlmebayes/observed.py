"""`ObservedOutcome`: the records of one outcome, as a design holds them."""

from dataclasses import dataclass, field, replace

import numpy as np

from nlmebayes.hazards import Nodes
from nlmebayes.variables import ModelError


@dataclass(frozen=True, eq=False)
class ObservedOutcome:
    """The records of one outcome: their units, subjects (label and number), inputs and values.

    A censored value lies between ``lower`` and ``upper``, which are missing for a measured one. ``columns`` are those
    that the residual reads, ``scales`` the designs (record, term) of its parts that have a formula.
    """

    name: str
    row: np.ndarray
    unit: np.ndarray
    subject: np.ndarray
    subject_number: np.ndarray
    inputs: dict
    values: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    columns: dict = field(default_factory=dict)
    scales: dict = field(default_factory=dict)
    nodes: Nodes | None = None  # of times to an event: where the hazard is asked for

    @property
    def censored(self):
        """Whether each record is censored."""
        return ~np.isnan(self.lower)

    def at(self, chosen):
        """The records where ``chosen`` is true."""
        if "before" in self.columns and not (chosen.dtype == bool and chosen.all()):
            raise ModelError(f"{self.name}: records with correlated residuals cannot be taken apart")
        values = {
            name: {k: v[chosen] for k, v in value.items()} if isinstance(value, dict) else value[chosen]
            for name, value in vars(self).items()
            if name not in ("name", "nodes")
        }
        return replace(self, **values, nodes=self.nodes and self.nodes.at(chosen))

    @property
    def asked(self):
        """The records at which the structure is asked: these, or those of all nodes as records of their own.

        Of a node the value is 1 where it is the time of an event that was seen, and ``weight`` that of the hazard.
        """
        if self.nodes is None:
            return self
        time, cumulative = self.nodes.asked
        many = time.shape[1]
        own = replace(self, nodes=None, columns={}).at(np.repeat(np.arange(len(self.row)), many))
        inputs = own.inputs | ({"time": time.ravel()} if "time" in own.inputs else {})
        inputs |= {"cumulative": np.tile(cumulative, len(time))} if self.nodes.cumulative.any() else {}
        return replace(own, inputs=inputs, **self.nodes.counts())

    @property
    def fitted(self):
        """The same without nodes that only a simulation needs."""
        return self if self.nodes is None else replace(self, nodes=self.nodes.fitted)

    def read(self, f):
        """What is reported of predictions (sample, record): of a hazard, the cumulative one."""
        return f if self.nodes is None else self.nodes.total(f)

    def folded(self, f):
        """Predictions at what is `asked`, (sample, node), as (sample, record, column) where records have several."""
        return f if self.nodes is None else f.reshape(len(f), len(self.row), -1)
