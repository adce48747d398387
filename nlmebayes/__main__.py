"""``python -m nlmebayes``."""

from nlmebayes.cli import app

app()
