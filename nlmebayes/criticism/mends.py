"""Lines that mend a model, each tried before it is advised: what is written can be pasted and is a model."""

from dataclasses import MISSING, dataclass, fields, is_dataclass, replace

import numpy as np

from nlmebayes.data.validate import DataError
from nlmebayes.errors import ModelError
from nlmebayes.evaluation.measurement import log_density
from nlmebayes.formula import FormulaError, parse
from nlmebayes.formula.design import Design
from nlmebayes.formula.sigma import is_scale
from nlmebayes.model.build import assemble, designed
from nlmebayes.outcomes.autocorrelation import Autoregressive

PART = 0.5  # of a residual whose density is tried


@dataclass(frozen=True, eq=False)
class Mends:
    """A model on its data, and other statements of it; ``f``: predictions by outcome (record,)."""

    model: object
    data: object
    design: Design
    f: dict

    def works(self, **changes):
        """Whether the model with other parts is one on these data."""
        try:
            other = self.model.but(**changes)
            assemble(other, designed(other, self.data, measured=True))
        except (ModelError, FormulaError, DataError):
            return False
        return True

    def with_term(self, parameter, term):
        """The formula of a parameter with another term, or None where that is no model."""
        formula = self._of(parameter)
        groups = dict.fromkeys(group.text for group in formula.groups)
        return self._formula(f"{parameter} ~ " + " + ".join([formula.fixed.text, term, *groups]))

    def with_group(self, parameter, factor, column="Intercept"):
        """The same with random effects of a column of labels."""
        inside = "1" if column == "Intercept" else f"0 + {column}"
        formula = self._of(parameter)
        return self._formula(f"{formula.text} + ({inside}|{factor})")

    def with_correlation(self, level, one, other):
        """Formulas of two parameters whose effects at a level are correlated, or None."""
        named = [b.name for each in self.design.levels if each.name == level for b in each.blocks if b.name]
        return self._formula(*(self._joined(e.parameter, level, named[0] if named else "p") for e in (one, other)))

    def _joined(self, parameter, level, name):
        formula = self._of(parameter)
        groups = [f"({g.effects.text}|{name}|{level})" if g.factors == (level,) else g.text for g in formula.groups]
        return f"{parameter} ~ " + " + ".join([formula.fixed.text, *dict.fromkeys(groups)])

    def _of(self, parameter):
        return next(f for f in self.design.formulas if f.parameter == parameter)

    def _formula(self, *texts):
        """Formulas in quotation marks, or None where the model with them is none."""
        names = {parse(text).parameter for text in texts}
        others = tuple(t for t in self.model.formulas if parse(t).parameter not in names)
        return ", ".join(f'"{text}"' for text in texts) if self.works(formulas=(*others, *texts)) else None

    def of_scatter(self, outcome, term):
        """A formula of the scatter of an outcome with another term, or None."""
        parts = list(self.model.residual_of(outcome).priors(1.0))
        stated = {parse(text).parameter: parse(text) for text in self.model.formulas if is_scale(text)}
        short = ["sigma"] * (len(self.design.outcomes) == 1) + [f"sigma_{outcome}"]
        for part in reversed(parts):
            names = [*(short if len(parts) == 1 else []), f"sigma_{outcome}_{part}"]
            name = next((n for n in names if n in stated), names[0])
            fixed = stated[name].fixed.text if name in stated else "1"
            found = self._formula(f"{name} ~ {fixed} + {term}")
            if found:
                return found
        return None

    def with_memory(self, outcome):
        """``residual=`` with one that remembers, or None where there is none."""
        residual = self.model.residual_of(outcome)
        for over in dict.fromkeys([self.data.time, None]):
            try:
                other = Autoregressive(residual, over=over)
            except (ModelError, ValueError, TypeError):
                return None
            found = self._residual(outcome, other)
            if found:
                return found
        return None

    def with_scatter(self, outcome):
        """``residual=`` with a scatter that depends on the prediction in another way, or None."""
        residual = self.model.residual_of(outcome)
        freer = residual.alone.freer
        if freer is None:
            return None
        other = replace(residual, residual=freer) if residual.correlated else freer
        return self._residual(outcome, other)

    def _residual(self, outcome, other):
        if not self._dense(outcome, other):
            return None
        if len(self.design.outcomes) == 1:
            return f"residual={said(other)}" if self.works(residual=other) else None
        each = {o.name: self.model.residual_of(o.name) for o in self.design.outcomes} | {outcome: other}
        if not self.works(residual=each):
            return None
        return "residual={" + ", ".join(f"{name!r}: {said(r)}" for name, r in each.items()) + "}"

    def _dense(self, outcome, residual):
        """Whether the measurements have a density, which zeros at predictions of zero may not."""
        observed, residual = self.design.outcome(outcome), residual.alone
        parts = {part: np.full(1, PART) for part in residual.priors(1.0)}
        parts |= {part: np.zeros((1, x.shape[1])) for part, x in observed.scales.items() if part in parts}
        try:
            return bool(np.isfinite(log_density(residual, self.f[outcome][None], parts, observed)).all())
        except ModelError:
            return False


def said(residual):
    """A residual as it is written, options by default left out."""
    given = []
    for i, field in enumerate(fields(residual)):
        value = getattr(residual, field.name)
        default = field.default if field.default_factory is MISSING else field.default_factory()
        if is_dataclass(value):
            given.append(said(value) if i == 0 else f"{field.name}={said(value)}")
        elif value != default:
            given.append(f"{field.name}={value!r}")
    place = "nb." if type(residual).__module__.startswith("nlmebayes.") else ""
    return f"{place}{type(residual).__name__}({', '.join(given)})"
