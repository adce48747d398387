"""The formula language, stage by stage: scan, arithmetic, terms, parse; then evaluate and matrix, on data."""

from nlmebayes.formula.parse import Formula, GroupTerm, parse
from nlmebayes.formula.scan import FormulaError

__all__ = ["Formula", "FormulaError", "GroupTerm", "parse"]
