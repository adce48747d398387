"""Regimens and targets: what a plan does to the patient of a forecast, and which one to choose."""
