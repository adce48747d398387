"""Validated tidy data: who was measured, when, under which doses and covariates, and what was seen."""
