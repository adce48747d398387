"""Physiological formulas that published models take their covariates from, each with units, domain and source.

Weights are in kg, heights in cm, ages in years, creatinine in umol/L or mg/dL (``unit=``), clearances in mL/min. Each
formula refuses whom it was not made for.
"""

from nlmebayes.physiology.body import (
    adjusted_weight,
    body_mass_index,
    body_surface,
    fat_free_weight,
    ideal_weight,
    lean_weight,
)
from nlmebayes.physiology.kidney import (
    EQUATIONS,
    ckd_epi,
    cockcroft_gault,
    cockcroft_gault_weight,
    creatinine_clearance,
    deindexed,
    schwartz,
)
from nlmebayes.physiology.maturation import glomerular_filtration, maturation

__all__ = [
    "EQUATIONS", "adjusted_weight", "body_mass_index", "body_surface", "ckd_epi", "cockcroft_gault",
    "cockcroft_gault_weight", "creatinine_clearance", "deindexed", "fat_free_weight", "glomerular_filtration",
    "ideal_weight", "lean_weight", "maturation", "schwartz",
]  # fmt: skip
