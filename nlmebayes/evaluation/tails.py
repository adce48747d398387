"""Equal-tailed intervals: what every table calls ``eti_lb`` and ``eti_ub``."""


def tails(ci_prob):
    """Probabilities at which an interval of probability ``ci_prob`` begins and ends."""
    tail = (1 - ci_prob) / 2
    return tail, 1 - tail
