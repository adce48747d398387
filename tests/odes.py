"""Differential equations whose difficulties are well known, as classes and as plain functions of NumPy.

Hairer and Wanner (1996), Solving Ordinary Differential Equations II, and Hairer, Norsett and Wanner (1993), I.
"""

from types import SimpleNamespace

import numpy as np
import pytensor
import pytensor.tensor as pt

from nlmebayes.parameter.parameter import Parameter
from nlmebayes.structure.structure import Named
from nlmebayes.structure.system import System


def system(name, states, slopes, start, **typical):
    """A `System` class, with its point: ``slopes(m, t, y, p)`` gives a tuple, ``m`` the module of functions."""

    def rhs(self, t, y, p):
        return dict(zip(states, slopes(pt, t, y, p), strict=True))

    def initial(self, p):
        return dict(zip(states, start, strict=True))

    def outcomes(self, t, y, p):
        return vars(y)

    parameters = tuple(Parameter(key, "1", typical=1.0) for key in typical)
    members = {"states": states, "parameters": parameters, "rhs": rhs, "initial": initial, "outcomes": outcomes}
    cls = type(name, (System,), members)

    def numpy_rhs(t, y):
        return np.array(slopes(np, t, SimpleNamespace(**dict(zip(states, y, strict=True))), SimpleNamespace(**typical)))

    return SimpleNamespace(cls=cls, typical=typical, rhs=numpy_rhs, start=np.array(start, dtype=float), states=states)


def solution(structure, times, read=None, mode="FAST_COMPILE", **phi):
    """A function of the parameters in the order of ``phi`` that gives (states, slopes of a weighted sum of them)."""
    read, n = read or structure.states, len(times)
    p = {name: pt.dvector(name) for name in phi}
    timeline = {
        "courses": np.array([[0, n + 1, 0, 0, -1]]), "of_record": np.array([[0, i] for i in range(-1, n)]),
        "records": np.array([[t, i] for i, t in enumerate([0.0, *times])]), "doses": np.empty((0, 5)),
        "of_dose": np.empty((0, 2), dtype=np.int64),
    }  # fmt: skip
    x = {f"timeline_{key}": pt.constant(value) for key, value in timeline.items()}
    y, failed = structure.amounts(Named(**p), x, read)
    weights = pt.dmatrix("weights")
    slopes = pytensor.grad((weights * y).sum(), list(p.values()))
    compute = pytensor.function([*p.values(), weights], [y, failed, *slopes], mode=mode)

    def evaluate(weights=None, **changed):
        given = [np.atleast_1d(float(value)) for value in (phi | changed).values()]
        weights = np.zeros((len(read), n)) if weights is None else weights
        y, failed, *slopes = compute(*given, weights)
        return y, failed, np.concatenate(slopes)

    return evaluate


SYSTEMS = {
    "predator and prey": (
        system("LotkaVolterra", ("prey", "predator"), lambda m, t, y, p: (
            y.prey * (p.a - p.b * y.predator), -y.predator * (p.c - p.d * y.prey)),
            (10.0, 5.0), a=1.1, b=0.4, c=0.4, d=0.1), np.linspace(1, 40, 30)),
    "Brusselator": (
        system("Brusselator", ("x", "y"), lambda m, t, y, p: (
            p.a + y.x**2 * y.y - (p.b + 1) * y.x, p.b * y.x - y.x**2 * y.y),
            (1.5, 3.0), a=1.0, b=3.0), np.linspace(0.5, 20, 25)),
    "Lorenz, a short while": (
        system("Lorenz", ("x", "y", "z"), lambda m, t, y, p: (
            p.s * (y.y - y.x), y.x * (p.r - y.z) - y.y, y.x * y.y - p.b * y.z),
            (1.0, 1.0, 1.0), s=10.0, r=28.0, b=8 / 3), np.linspace(0.1, 5, 25)),
    "a forced oscillator": (
        system("Forced", ("x", "v"), lambda m, t, y, p: (y.v, -p.k * y.x - p.c * y.v + p.f * m.sin(p.w * t)),
               (1.0, 0.0), k=2.0, c=0.1, f=0.5, w=1.3), np.linspace(0.5, 30, 30)),
    "an epidemic": (
        system("Epidemic", ("s", "i", "r"), lambda m, t, y, p: (
            -p.b * y.s * y.i, p.b * y.s * y.i - p.g * y.i, p.g * y.i),
            (0.999, 0.001, 0.0), b=0.6, g=0.2), np.linspace(2, 80, 30)),
    "saturable elimination": (
        system("Saturable", ("gut", "central", "deep"), lambda m, t, y, p: (
            -p.ka * y.gut,
            p.ka * y.gut - p.vmax * y.central / (p.km * p.v1 + y.central) - p.q / p.v1 * y.central
            + p.q / p.v2 * y.deep,
            p.q / p.v1 * y.central - p.q / p.v2 * y.deep),
            (100.0, 0.0, 0.0), ka=1.0, vmax=10.0, km=2.0, v1=10.0, q=2.0, v2=20.0), np.linspace(0.25, 24, 20)),
    "a target that binds fast (stiff)": (
        system("Target", ("l", "r", "c"), lambda m, t, y, p: (
            -p.kel * y.l - p.kon * y.l * y.r + p.koff * y.c, p.ks - p.kd * y.r - p.kon * y.l * y.r + p.koff * y.c,
            p.kon * y.l * y.r - p.koff * y.c - p.ki * y.c),
            (100.0, 10.0, 0.0), kel=0.1, kon=1e3, koff=1.0, ks=1.0, kd=0.1, ki=0.05), np.linspace(0.5, 60, 25)),
    "Robertson (stiff)": (
        system("Robertson", ("a", "b", "c"), lambda m, t, y, p: (
            -p.k1 * y.a + p.k3 * y.b * y.c, p.k1 * y.a - p.k3 * y.b * y.c - p.k2 * y.b**2, p.k2 * y.b**2),
            (1.0, 0.0, 0.0), k1=0.04, k2=3e7, k3=1e4), np.geomspace(0.01, 1e5, 25)),
    "van der Pol (stiff)": (
        system("VanDerPol", ("x", "v"), lambda m, t, y, p: (y.v, p.mu * ((1 - y.x**2) * y.v) - y.x),
               (2.0, 0.0), mu=1000.0), np.linspace(50, 1800, 30)),
    "HIRES (stiff)": (
        system("Hires", tuple("abcdefgh"), lambda m, t, y, p: (
            -1.71 * y.a + p.k * y.b + 8.32 * y.c + 0.0007, 1.71 * y.a - 8.75 * y.b,
            -10.03 * y.c + p.k * y.d + 0.035 * y.e, 8.32 * y.b + 1.71 * y.c - 1.12 * y.d,
            -1.745 * y.e + p.k * (y.f + y.g), -280 * y.f * y.h + 0.69 * y.d + 1.71 * y.e - p.k * y.f + 0.69 * y.g,
            280 * y.f * y.h - 1.81 * y.g, -280 * y.f * y.h + 1.81 * y.g),
            (1.0, 0, 0, 0, 0, 0, 0, 0.0057), k=0.43), np.linspace(2, 321.8122, 25)),
    "Oregonator (stiff)": (
        system("Oregonator", ("x", "y", "z"), lambda m, t, y, p: (
            p.s * (y.y + y.x * (1 - p.q * y.x - y.y)), (y.z - (1 + y.x) * y.y) / p.s, p.w * (y.x - y.z)),
            (1.0, 2.0, 3.0), s=77.27, q=8.375e-6, w=0.161), np.linspace(5, 360, 30)),
}  # fmt: skip
EXPLICIT = [name for name in SYSTEMS if "stiff" not in name]
