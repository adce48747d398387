"""Units of measurement as they are written, ``"mg/L/h"``: which of their words is time."""

TIMES = {
    "s": "s", "sec": "s", "min": "min", "h": "h", "hr": "h", "hour": "h", "hours": "h", "d": "day", "day": "day",
    "days": "day", "week": "week", "weeks": "week", "month": "month", "months": "month", "year": "year",
    "years": "year",
}  # fmt: skip
SECONDS = {"s": 1.0, "min": 60.0, "h": 3600.0, "day": 86400.0, "week": 604800.0, "year": 31557600.0}


def time_of(parameters):
    """The unit of time that the units of parameters agree on; empty where they tell none, or several."""
    words = [word for p in parameters for word in p.unit.split("/")]
    found = {TIMES[word] for word in words if word in TIMES}
    return found.pop() if len(found) == 1 else ""
