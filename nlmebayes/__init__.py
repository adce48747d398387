"""Bayesian nonlinear mixed-effects models: read, model, fit, check, forecast a new patient, choose a dose.

Names load on first use, so that ``import nlmebayes`` and the command line start at once.
"""

from nlmebayes import structure  # a public name as it stands: all that authors of structures need
from nlmebayes.runtime import caches, quiet
from nlmebayes.runtime.imports import imported

caches.provide()
quiet.ignore_no_blas()

_HOME = {
    "outcomes.aggregate": ("Aggregate",),
    "outcomes.autocorrelation": ("Autoregressive",),
    "forecasting.averaging": ("Average", "average"),
    "individuals.likelihood": ("log_likelihood",),
    "forecasting.batches": ("Forecasts", "forecast_each"),
    "design.performance": ("Studies",),
    "design.studies": ("simulate_studies",),
    "criticism.frames": ("to_frame", "write_table"),
    "criticism.check": ("Diagnosis", "Report", "check"),
    "criticism.model_comparison": ("Comparison", "compare"),
    "criticism.npc": ("npc",),
    "criticism.npde": ("npde",),
    "criticism.ppc": ("ppc",),
    "criticism.predictive": ("vpc",),
    "criticism.residuals": ("residuals",),
    "summaries.effects": ("contrast", "effects", "slopes"),
    "summaries.hypothesis": ("hypothesis",),
    "summaries.influence": ("influence",),
    "summaries.summary": ("summary",),
    "data.dataset": ("Dataset",),
    "data.validate": ("DataError",),
    "design.arm": ("Arm",),
    "design.design": ("Design",),
    "design.gain": ("InformationGain", "information_gain"),
    "design.information": ("information",),
    "design.optimisation": ("optimise_design",),
    "design.optimum": ("OptimalDesign",),
    "design.expectation": ("DesignInformation",),
    "dosing.recommendation": ("Loss", "recommend"),
    "forecasting.forecaster": ("Forecaster", "forecast", "forecaster"),
    "outcomes.counts": ("NegativeBinomial", "Poisson", "ZeroInflated"),
    "outcomes.families": ("Bernoulli", "Beta", "Binomial", "Gamma", "OrderedLogistic"),
    "files.errors": ("FileError",),
    "files.trees": ("load", "save"),
    "cases.case": ("Case",),
    "cases.file": ("read_case", "write_case"),
    "cases.answers": ("answer",),
    "formula": ("FormulaError",),
    "formula.curves": ("FormulaCurve", "FunctionCurve", "curve"),
    "outcomes.hazards": ("TimeToEvent",),
    "inference.fit": ("fit",),
    "inference.sampler": ("sampler",),
    "model.priors": ("priors",),
    "errors": ("ModelError",),
    "model.build": ("build",),
    "model.model": ("Model",),
    "model.notation": ("latex",),
    "model.source": ("code",),
    "dosing.monitoring": ("next_sample",),
    "evaluation.prediction": ("predict", "simulate"),
    "populations.stated": ("population",),
    "populations.library": ("published", "published_names"),
    "summaries.ranking": ("pooling", "ranking"),
    "dosing.regimen": ("Plan", "Regimen", "regimens", "tablets"),
    "outcomes.residual": ("Additive", "Combined", "LogNormal", "Power", "Proportional", "Residual", "StudentT"),
    "reporting.document": ("report",),
    "dosing.search": ("optimise",),
    "forecasting.updating": ("update",),
    "forecasting.retrospect": ("Retrospect", "retrospect"),
    "evaluation.storage": ("training_dataset",),
    "summaries.variation": ("intervals", "new_unit", "partition"),
    "dosing.targets": ("AUC", "AverageConcentration", "DailyAUC", "Peak", "Target", "TimeAbove", "Trough"),
}
_HOME |= structure.BELOW | {f"structure.{module}": names for module, names in structure.HOME.items()}
_MODULE = {name: module for module, names in _HOME.items() for name in names}
_ROOMS = {"datasets": "data.bundled", "physiology": "physiology", "plot": "plot"}
__version__ = "0.1.0"
__all__ = sorted([*_MODULE, *_ROOMS])


def __getattr__(name):
    if name in _ROOMS:
        value = imported(f"nlmebayes.{_ROOMS[name]}")
    elif name in _MODULE:
        value = getattr(imported(f"nlmebayes.{_MODULE[name]}"), name)
    else:
        raise AttributeError(f"module 'nlmebayes' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__():
    return sorted([*globals(), *__all__])
