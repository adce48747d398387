"""Documents of a fit and of a forecast: one self-contained HTML file, with the tables as CSV beside it."""
