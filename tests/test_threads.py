"""Verbs in several threads of one process give what they give alone."""

import os
import subprocess
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import pandas as pd

import nlmebayes as nb
from model_zoo import LinearMixed, OneCompartment
from nlmebayes.runtime import threads
from nlmebayes.runtime.quiet import UNHEEDED, quietly


def together(function, n):
    """What a function gives in ``n`` threads that begin at once."""
    gate = threading.Barrier(n)

    def begin(_):
        gate.wait()
        return function()

    with ThreadPoolExecutor(n) as pool:
        return list(pool.map(begin, range(n)))


def test_fits_in_threads_are_those_of_one():
    model = nb.Model(LinearMixed(), "mu ~ 1 + (1|Batch)")
    settings = {"draws": 20, "tune": 40, "chains": 2, "random_seed": 4, "progressbar": False}
    first, second = together(lambda: nb.fit(model, nb.datasets.dyestuff(), **settings), 2)
    alone = nb.fit(model, nb.datasets.dyestuff(), **settings)
    for tree in (first, second):
        for group in ("posterior", "posterior_predictive", "log_likelihood"):
            assert tree[group].equals(alone[group])


def test_forecasts_in_threads_are_those_of_one():
    tree = nb.population(
        OneCompartment(), theta={"cl": 3.0, "v": 40.0}, omega={"sd": {"cl": 0.3, "v": 0.2}}, sigma={"b": 0.15}
    )
    frame = pd.DataFrame({"id": "new", "time": [2.0, 10.0], "conc": [9.0, 6.0]})
    doses = pd.DataFrame({"id": ["new"], "time": 0.0, "amt": 400.0})
    patient = nb.Dataset.from_frame(frame, outcome="conc", time="time", levels="id", doses=doses)
    found = together(lambda: nb.forecast(tree, patient, random_seed=1)["posterior"], 4)
    alone = nb.forecast(tree, patient, random_seed=1)["posterior"]
    assert all(each.equals(alone) for each in found)


def test_filters_of_warnings_are_as_they_were():
    before, first, last = list(warnings.filters), threading.Event(), threading.Event()

    def late():
        with quietly():
            first.set()
            last.wait()

    thread = threading.Thread(target=late)
    with quietly():
        thread.start()
        first.wait()
        warnings.warn(UNHEEDED[0], stacklevel=1)
    warnings.warn(UNHEEDED[0], stacklevel=1)  # the other thread is still quiet
    last.set()
    thread.join()
    assert warnings.filters == before


def test_a_command_takes_one_thread_of_blas_unless_it_is_told_otherwise(monkeypatch):
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "2")
    monkeypatch.delenv("OPENBLAS_NUM_THREADS")  # which is as it was afterwards
    monkeypatch.setenv("MKL_NUM_THREADS", "3")
    threads.no_others()
    assert [os.environ[name] for name in threads.BLAS] == ["1", "3"]


def test_a_process_of_its_own_says_nothing_of_a_missing_blas():
    """Whichever graph is rewritten first makes PyTensor look for one: here that of a law in other units."""
    said = "import nlmebayes as nb; from model_zoo import Emax; nb.Model(Emax(), units={'amount': 'ug'})"
    found = subprocess.run([sys.executable, "-c", said], capture_output=True, text=True, check=True)
    assert found.stderr == ""
