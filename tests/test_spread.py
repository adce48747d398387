"""Work on many machines: the same as on one, whichever workers are lost, and gone on from where the client died.

A cluster of two processes. Models are closed forms; what is compared is equal, number for number.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path

import dask
import distributed
import numpy as np
import pandas as pd
import pytest
from distributed import Client, LocalCluster

import nlmebayes as nb
from model_zoo import LinearMixed, OneCompartment
from nlmebayes.errors import heard, unheard, warn
from nlmebayes.runtime import spread
from nlmebayes.runtime.spread import Lost, Work, each, in_order

MODEL = nb.Model(LinearMixed(), "mu ~ 1 + (1|Batch)")
SHORT = {"draws": 100, "tune": 200, "chains": 3, "random_seed": 4, "progressbar": False}


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    patient = {"distributed.comm.timeouts.connect": "300s", "distributed.comm.timeouts.tcp": "300s"}
    with (
        dask.config.set(patient),  # of machines that do much else
        LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=":0", local_directory=tmp_path_factory.mktemp("dask")
        ) as cluster,
        Client(cluster) as found,
    ):
        found.wait_for_workers(2)
        yield found


@pytest.fixture
def killing(client, monkeypatch):
    """A function: after some of so many results, chosen at random, a worker is killed; it gives a list of those."""

    def begin(results, kills):
        rng, count, killed, usual = np.random.default_rng(results), [0], [], spread._unpacked
        after = sorted(rng.choice(results - 2, kills, replace=False) + 1)

        def unpacked(sent):
            count[0] += 1
            alive = [nanny.pid for nanny in client.cluster.workers.values() if nanny.pid]
            if after and count[0] >= after[0] and alive:
                after.pop(0)
                killed.append(alive[rng.integers(len(alive))])
                os.kill(killed[-1], signal.SIGKILL)
            return usual(sent)

        monkeypatch.setattr(spread, "_unpacked", unpacked)
        return killed

    return begin


def population():
    return nb.population(OneCompartment(), theta={"cl": 4.0, "v": 40.0}, omega={"sd": {"cl": 0.3, "v": 0.2}},
                         sigma={"b": 0.1})  # fmt: skip


def patients(n, times=(2.0, 11.0)):
    labels = [f"p{i}" for i in range(n)]
    rng = np.random.default_rng(1)
    conc = 10 * np.exp(-0.1 * np.tile(times, n)) * rng.lognormal(0, 0.3, n * len(times))
    frame = pd.DataFrame({"id": np.repeat(labels, len(times)), "time": np.tile(times, n), "conc": conc})
    doses = pd.DataFrame({"id": labels, "time": 0.0, "amt": 400.0})
    return nb.Dataset.from_frame(frame, outcome="conc", time="time", levels="id", doses=doses)


def made(base):
    return base, os.getpid()


def added(ready, item):
    base, maker = ready
    assert maker == os.getpid()  # what is ready was made here
    if item == "bad":
        raise ZeroDivisionError("one over nothing")
    if item == "ends":
        os._exit(1)
    if item == "warns":
        warn("look out")
    return base + str(item)


def waits(ready, item):
    """Until nobody waits for it: then a file says so."""
    if item is not None:
        item.with_suffix(".begun").touch()
        while not spread.abandoned():
            time.sleep(0.02)
        item.touch()


def test_results_are_those_of_this_process_and_in_order(client):
    work = Work(made, ("a",), added)
    assert in_order(each(work, range(30), client)) == in_order(each(work, range(30))) == [f"a{i}" for i in range(30)]


def test_items_are_read_as_they_are_needed(client):
    """As many tasks are under way as are asked for at least, whatever their number."""
    read = []
    done = each(Work(made, ("a",), added), (read.append(i) or i for i in range(10**9)), client)
    for _ in range(40):
        next(done)
    done.close()
    assert len(read) <= 40 + spread.LEAST


def test_an_error_and_a_warning_are_those_of_the_item(client):
    with pytest.raises(ZeroDivisionError, match="one over nothing"):
        list(each(Work(made, ("a",), added), [1, "bad", 2], client))
    with pytest.warns(UserWarning, match="look out"):
        assert in_order(each(Work(made, ("a",), added), ["warns"], client)) == ["awarns"]


def test_warnings_are_heard_and_left_out_by_thread():
    texts = []
    with heard(texts.append):
        warn("one")
        with unheard("two"):
            warn("two things")
            warn("three")
    assert texts == ["one", "three"]


def test_a_task_that_nobody_waits_for_knows_it(client, tmp_path):
    left = tmp_path / "left"
    done = each(Work(made, ("a",), waits), [None, left], client)
    assert next(done) == (0, None)
    while not left.with_suffix(".begun").exists():
        time.sleep(0.05)
    done.close()
    while not left.exists():
        time.sleep(0.05)


def test_a_task_that_kills_its_workers_is_lost_and_stops_no_other(client, monkeypatch):
    monkeypatch.setattr(spread, "TRIES", 1)
    monkeypatch.setattr(client.cluster.scheduler, "allowed_failures", 0)
    found = in_order(each(Work(made, ("a",), added), [1, "ends", 2], client, most=1))
    assert found[::2] == ["a1", "a2"] and isinstance(found[1], Lost)


def test_workers_of_another_version_are_refused(client, monkeypatch):
    """Before anything is sent that they could not read."""
    usual = client.get_versions

    def another(packages):
        found = usual(packages=packages)
        return found | {"client": {"packages": found["client"]["packages"] | differs}}

    monkeypatch.setattr(client, "get_versions", another)
    differs = {"nlmebayes": "0.0.9"}
    with pytest.raises(nb.ModelError, match=r"the worker tcp.* has nlmebayes .*, this process 0\.0\.9; inst"):
        list(each(Work(made, ("a",), added), [1], client))
    differs = {"nutpie": "0.0.9"}
    with pytest.warns(UserWarning, match=r"has nutpie .* for 0\.0\.9: its draws may be others"):
        assert in_order(each(Work(made, ("a",), added), [1], client)) == ["a1"]


def test_what_is_no_client_is_refused():
    with pytest.raises(nb.ModelError, match="client must be a client of dask"):
        nb.forecast_each(population(), patients(2), client="tcp://here")


@pytest.mark.parametrize("method", ["map", "importance"])
def test_forecasts_are_those_of_this_process(client, method):
    tree, data = population(), patients(5)
    options = {"method": method, "random_seed": 3} | ({} if method == "map" else {"draws": 50, "proposals": 200})
    here, there = (nb.forecast_each(tree, data, client=each, **options) for each in (None, client))
    pd.testing.assert_frame_equal(here.table, there.table)
    assert list(here.trees) == list(there.trees) and here.failures == there.failures == {}


def test_a_retrospect_is_that_of_this_process(client):
    tree, data = population(), patients(4)
    options = {"draws": 50, "proposals": 200, "random_seed": 3}
    here, there = (nb.retrospect(tree, data, client=each, **options) for each in (None, client))
    pd.testing.assert_frame_equal(here.table, there.table)
    assert len(here.table) == 8 and here.failures == there.failures == {}


def test_studies_are_those_of_this_process(client, tmp_path):
    here, there = (studied(6, client=each) for each in (None, client))
    pd.testing.assert_frame_equal(here.estimates, there.estimates)


def studied(n, **options):
    tree = nb.population(MODEL, theta={"mu": 10.0}, omega={"sd": {"mu": 2.0}}, sigma={"a": 1.0}, outcome="y",
                         levels=("Batch",))  # fmt: skip
    frame = pd.DataFrame({"Batch": np.repeat(np.arange(12), 4), "y": 0.0})
    data = nb.Dataset.from_frame(frame, outcome="y", levels="Batch", duplicates="keep")
    return nb.simulate_studies(tree, data, n, progressbar=False, **options)


def test_chains_on_workers_are_those_of_one_machine(client):
    """Transported effects, which the warm-up recalibrates, and more chains than workers."""
    here, there = (nb.fit(MODEL, nb.datasets.dyestuff(), client=each, **SHORT) for each in (None, client))
    assert here["posterior"].equals(there["posterior"]) and here["log_likelihood"].equals(there["log_likelihood"])
    assert here["sample_stats"].equals(there["sample_stats"])
    assert here.attrs["nlmebayes_fit"] == there.attrs["nlmebayes_fit"]
    more = {"resume": here, "chains": 3, "draws": 20, "tune": 20, "random_seed": 5, "progressbar": False}
    here, there = (nb.fit(MODEL, nb.datasets.dyestuff(), client=each, **more) for each in (None, client))
    assert here["posterior"].equals(there["posterior"])


def test_a_tree_is_saved_where_there_is_a_client(client, tmp_path):
    nb.save(population(), tmp_path / "tree.nc")
    assert nb.load(tmp_path / "tree.nc").identical(population())


def test_draws_on_disk_are_those_in_memory(client, tmp_path):
    here = nb.fit(MODEL, nb.datasets.dyestuff(), **SHORT)
    there = nb.fit(MODEL, nb.datasets.dyestuff(), store=tmp_path / "fit", client=client, **SHORT)
    for name in ("posterior", "log_likelihood", "sample_stats"):
        for v, x in here[name].data_vars.items():
            np.testing.assert_array_equal(there[name][v].transpose(*x.dims), x)


def test_a_chain_whose_worker_dies_is_drawn_again(client, killing):
    killed = killing(8, 2)  # nine results: two parts of a warm-up and the rest, three chains each
    there = nb.fit(MODEL, nb.datasets.dyestuff(), client=client, **SHORT)
    assert len(killed) == 2
    assert there["posterior"].equals(nb.fit(MODEL, nb.datasets.dyestuff(), **SHORT)["posterior"])


@pytest.mark.parametrize(
    ("forecasts", "fits", "kills"), [(200, 20, 2), pytest.param(1000, 50, 10, marks=pytest.mark.recovery)]
)
def test_workers_that_die_change_nothing(client, killing, tmp_path, forecasts, fits, kills):
    """Patients one by one, and a study, whose workers are killed meanwhile: nothing is lost, nothing twice."""
    tree, data, options = population(), patients(forecasts), {"method": "laplace", "draws": 20, "random_seed": 3}
    killed = killing(forecasts, kills)
    there = nb.forecast_each(tree, data, client=client, **options)
    assert len(killed) == kills
    pd.testing.assert_frame_equal(nb.forecast_each(tree, data, **options).table, there.table)
    assert there.failures == {} and len(there.table) == forecasts
    killed, file = killing(fits, kills), tmp_path / "studies.jsonl"
    studies = studied(fits, client=client, file=file)
    assert len(killed) == kills
    pd.testing.assert_frame_equal(studied(fits).estimates, studies.estimates)
    done = [json.loads(line)["study"] for line in file.read_text().splitlines()[1:]]
    assert sorted(done) == list(range(fits))


def test_the_page_runs_as_printed(client, monkeypatch):
    """Its first part, on this cluster; clusters that are not at hand are only read."""
    page = (Path(__file__).parent.parent / "docs" / "scaling.md").read_text(encoding="utf-8")
    first, *others = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    monkeypatch.setattr(distributed, "LocalCluster", lambda **options: nullcontext())
    monkeypatch.setattr(distributed, "Client", lambda cluster: nullcontext(client))
    names = {"__name__": "__main__"}
    exec(compile(first, "docs/scaling.md", "exec"), names)
    assert names["tree"]["posterior"].sizes["chain"] == 4
    for code in others:
        compile(code, "docs/scaling.md", "exec")


CLIENT = """
import sys
sys.path.insert(0, {folder!r})
from distributed import Client
from test_spread import studied
studied(1000, client=Client({address!r}), file={file!r})
"""


def test_a_client_that_died_goes_on_from_its_file(client, tmp_path):
    file = tmp_path / "studies.jsonl"
    code = CLIENT.format(folder=str(Path(__file__).parent), address=client.scheduler.address, file=str(file))
    process = subprocess.Popen([sys.executable, "-c", code])
    while not (file.exists() and len(file.read_text().splitlines()) > 3):
        assert process.poll() is None
        time.sleep(0.05)
    process.kill()
    process.wait()
    text = file.read_text()
    file.write_text(text[: text.rindex("\n") + 1])
    before = len(file.read_text().splitlines()) - 1
    found = studied(before + 5, client=client, file=file)
    lines = [json.loads(line)["study"] for line in file.read_text().splitlines()[1:]]
    assert len(lines) == len(set(lines)) and len(found.seconds) == before + 5
    pd.testing.assert_frame_equal(studied(3).estimates, found.estimates[found.estimates["study"] < 3])
