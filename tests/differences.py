"""Slopes of a built model beside central differences of its log-density."""

import pytest

STEP = 1e-5


def check_slopes(built, point):
    """Of every free variable, each of one number, at a point."""
    whole, slope = built.compile_logp(mode="FAST_COMPILE"), built.compile_dlogp(mode="FAST_COMPILE")(point)
    for i, name in enumerate(v.name for v in built.value_vars):
        up, down = ({**point, name: point[name] + step} for step in (STEP, -STEP))
        assert slope[i] == pytest.approx((whole(up) - whole(down)) / (2 * STEP), rel=1e-5, abs=1e-7)
