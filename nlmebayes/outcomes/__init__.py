"""How measurements scatter: residuals and families, censoring, autocorrelation, aggregates, times to events."""
