"""What is wrong with the fields of a case: collected, so that all of it is said at once."""

import warnings
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Problem:
    """What is wrong with a field, in one line with the mend; ``stops`` is false of what is only to be looked at."""

    field: str
    message: str
    stops: bool = True

    def __str__(self):
        return f"{self.field}: {self.message}"


@dataclass(eq=False)
class Notes:
    """Problems as they are found, and what was understood of each field."""

    problems: list = field(default_factory=list)
    shown: dict = field(default_factory=dict)

    def say(self, place, message, *, stops=True):
        problem = Problem(place, " ".join(str(message).split()), stops)
        if problem not in self.problems:
            self.problems.append(problem)

    def ask(self, place, message):
        """For what is missing, but of a field that could not be read."""
        if not self.stopped(place):
            self.say(place, message)

    def stopped(self, place):
        """Whether a field has a problem that stops."""
        return any(problem.field == place and problem.stops for problem in self.problems)

    @contextmanager
    def at(self, place):
        """What is refused inside is a problem of a field, and what is warned of is one that does not stop."""
        try:
            with warnings.catch_warnings(record=True) as warned:
                warnings.simplefilter("always", UserWarning)
                yield
        except ValueError as error:
            self.say(place, error)
        for each in warned:
            self.say(place, each.message, stops=False)
