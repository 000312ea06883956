"""Sweeps: lists of experiments, and running them here, in processes, on a real Dask cluster and under submitit."""

from __future__ import annotations

import _thread
import io
import os
import pickle
import re
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
import traceback
import weakref
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import isomax_viz as iv
from isomax_viz import Experiment, SweepError, cli
from isomax_viz.experiments import sweep as sweeps
from isomax_viz.experiments import workers as _workers
from isomax_viz.experiments.workers import Outcome, Processes, Task, WorkerError
from isomax_viz.store.folder import Store

ROOT = Path(__file__).resolve().parents[2]
TINY = {"preset": "smoke", "examples_per_class": 10}
# Long enough to be killed in the middle.
LONG = TINY | {"epochs": 8}


@pytest.fixture(scope="module")
def trained_store(tmp_path_factory) -> Path:
    """Four finished experiments; tests copy what they need."""
    folder = tmp_path_factory.mktemp("trained")
    for experiment in iv.Experiment.grid(loss="isomax", seed=range(4), **TINY):
        experiment.run("uniform", store=folder, progress=False)
    return folder


@pytest.fixture
def finished(trained_store, tmp_path):
    """Return a function that puts finished experiments into the test's own store."""

    def copy(*experiments: Experiment, to: Path = tmp_path) -> None:
        for experiment in experiments:
            shutil.copytree(trained_store / experiment.id, to / experiment.id)

    return copy


# ------------------------------------------------------------------------------------------------------------- lists


def test_a_grid_is_the_product_in_the_order_of_its_settings():
    experiments = iv.Experiment.grid(loss=["isomax", "isomax+"], seed=range(2), entropic_scale=(1, 10), preset="smoke")
    described = [(e.loss, e.seed, e.entropic_scale, e.preset) for e in experiments]
    assert described[:3] == [("isomax", 0, 1, "smoke"), ("isomax", 0, 10, "smoke"), ("isomax", 1, 1, "smoke")]
    assert described[-1] == ("isomax+", 1, 10, "smoke") and len(described) == 8
    assert iv.Experiment.grid() == [Experiment()]


def test_what_describes_the_same_network_is_there_once():
    experiments = iv.Experiment.grid(loss=["softmax", "isomax"], entropic_scale=[1, 10, 10])
    assert [(e.loss, e.entropic_scale) for e in experiments] == [("softmax", 1), ("isomax", 1), ("isomax", 10)]
    assert len(iv.Experiment.grid(epochs=[None, 30])) == 1  # the preset has 30 anyway


@pytest.mark.parametrize(
    ("values", "seeds"),
    [
        (np.arange(2), [0, 1]),
        (pd.Series([3, 4]), [3, 4]),
        ((i for i in (5, 6)), [5, 6]),
        (np.int64(7), [7]),
        (8, [8]),
    ],
)
def test_anything_that_holds_values_is_a_list(values, seeds):
    assert [e.seed for e in iv.Experiment.grid(seed=values)] == seeds


def test_a_tuple_of_classes_is_one_value():
    assert [e.held_out_classes for e in iv.Experiment.grid(held_out_classes=(8, 9))] == [(8, 9)]
    assert [e.held_out_classes for e in iv.Experiment.grid(held_out_classes=[(), (8, 9), [7]])] == [(), (8, 9), (7,)]
    assert [e.held_out_classes for e in iv.Experiment.grid(held_out_classes=())] == [()]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"seed": []}, "seed is empty. Give at least one value, or leave it out"),
        ({"seed": range(0)}, "seed is empty"),
        ({"los": "isomax"}, "the name of a setting must be one of .*but is 'los'. Did you mean 'loss'"),
        ({"loss": ["isomax", "isomx"]}, "loss must be one of .*but is 'isomx'. Did you mean 'isomax'"),
        ({"seed": [0, -1]}, "seed must be a whole number of at least 0"),
    ],
)
def test_impossible_grids_say_what_is_accepted(settings, message):
    with pytest.raises(ValueError, match=message):
        iv.Experiment.grid(**settings)


# -------------------------------------------------------------------------------------------------- in this process


def test_in_this_process_in_order_with_one_bar_and_read_the_second_time(tmp_path, monkeypatch, capsys):
    experiments = iv.Experiment.grid(loss=["isomax", "softmax"], **TINY)
    first = iv.sweep([*experiments, experiments[0]], ood="uniform", store=tmp_path)
    assert [c.meta["loss"] for c in first] == ["isomax", "softmax", "isomax"]
    assert first[0] is first[2] and list(first[0].ood) == ["uniform"]
    shown = capsys.readouterr().err
    assert "2/2" in shown and "epoch" not in shown
    own = experiments[1].run("uniform", store=tmp_path, progress=False)
    assert np.array_equal(own.test.logits, first[1].test.logits)
    monkeypatch.setattr("isomax_viz.experiments.run.train", lambda *a, **k: pytest.fail("trained again"))
    again = iv.sweep(experiments, store=tmp_path, ood=(name for name in ["uniform"]), progress=False)
    assert np.array_equal(again[0].test.logits, first[0].test.logits)
    assert capsys.readouterr().err == ""


def test_failures_are_named_at_the_end_and_the_rest_is_kept(tmp_path):
    experiments = iv.Experiment.grid(loss="isomax", preset="smoke", examples_per_class=[5000, 10], seed=[0, 1])[:3]
    with pytest.raises(SweepError) as caught:
        iv.sweep(experiments, ood="uniform", store=tmp_path, progress=False)
    error = caught.value
    assert [failure.experiment for failure in error.failures] == experiments[:2]
    assert all(isinstance(failure.error, ValueError) for failure in error.failures)
    assert [capture.meta["id"] for capture in error.captures] == [experiments[2].id] == Store(tmp_path).ids()
    first, *lines = str(error).splitlines()
    assert first.startswith(f"2 of 3 experiments failed. What is finished (1) is kept in {tmp_path}")
    assert (
        lines[1]
        .strip()
        .startswith(
            "Experiment(loss='isomax', seed=1, preset='smoke', examples_per_class=5000): ValueError: examples_per_class"
        )
    )
    assert error.__cause__ is error.failures[0].error


def test_many_failures_are_spelled_out_up_to_a_point():
    failures = [sweeps.Failure(Experiment(seed=seed), RuntimeError("no")) for seed in range(30)]
    message = str(SweepError(failures, [], Path("runs")))
    assert message.count("RuntimeError: no") == 20 and "... and 10 more" in message


def test_what_the_store_refuses_to_read_fails_alone(tmp_path, finished):
    experiments = iv.Experiment.grid(loss="isomax", seed=range(2), **TINY)
    finished(*experiments)
    manifest = tmp_path / experiments[0].id / "manifest.json"
    manifest.write_text(re.sub(r'"version": \d+', '"version": 99', manifest.read_text(), count=1))
    with pytest.raises(SweepError, match="1 of 2 (.|\n)*version 99") as caught:
        iv.sweep(experiments, ood="uniform", store=tmp_path, progress=False)
    assert len(caught.value.captures) == 1


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        (([],), ValueError, "experiments is empty. Give at least one Experiment"),
        (
            (["isomax"],),
            TypeError,
            "experiments must be a list of Experiment, but holds 'isomax'. Build one with iv.Experiment.grid",
        ),
        ((5,), TypeError, "experiments must be a list of Experiment, but holds 5"),
        ((Experiment(), "fast"), TypeError, "executor must be the number of processes.*get_executor.*but is 'fast'"),
        ((Experiment(), 0), ValueError, "executor must be a whole number of at least 1, but is 0"),
        ((Experiment(), 1.5), TypeError, "executor must be a whole number of at least 1, but is 1.5"),
        ((Experiment(), True), TypeError, "executor must be a whole number of at least 1, but is True"),
    ],
)
def test_impossible_arguments_are_refused_before_anything_runs(arguments, kind, message, monkeypatch):
    monkeypatch.setattr(Experiment, "run", lambda *a, **k: pytest.fail("ran"))
    with pytest.raises(kind, match=message):
        iv.sweep(*arguments, progress=False)
    with pytest.raises(ValueError, match="ood must be one of .*Did you mean 'letters'"):
        iv.sweep([Experiment()], ood="leters")


def test_threads_and_forks_are_refused():
    with ThreadPoolExecutor(1) as pool, pytest.raises(ValueError, match="runs threads.*share PyTorch's random numbers"):
        iv.sweep([Experiment()], pool)
    if sys.platform == "linux":
        with (
            ProcessPoolExecutor(1, mp_context=get_context("fork")) as pool,
            pytest.raises(ValueError, match="executor forks this process.*get_context\\('spawn'\\)"),
        ):
            iv.sweep([Experiment()], pool)


def test_ctrl_c_keeps_what_is_finished(tmp_path, monkeypatch, finished):
    experiments = iv.Experiment.grid(loss="isomax", seed=range(3), **TINY)

    def interrupted(self, *args, **kwargs):
        if self.seed == 1:
            raise KeyboardInterrupt
        finished(self)

    monkeypatch.setattr(Experiment, "run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        iv.sweep(experiments, ood="uniform", store=tmp_path, progress=False)
    assert Store(tmp_path).ids() == [experiments[0].id]


def test_a_failure_does_not_keep_its_network_in_memory(tmp_path, monkeypatch):
    """A network that did not fit would keep the next ones from fitting."""

    class Network:
        pass

    left, alive = [], []

    def run(self, *args, **kwargs):
        alive.append([network() for network in left])
        network = Network()
        left.append(weakref.ref(network))
        try:
            raise MemoryError("out of memory")
        except MemoryError as error:
            raise RuntimeError("can't train") from error

    monkeypatch.setattr(Experiment, "run", run)
    with pytest.raises(SweepError, match="3 of 3") as caught:
        iv.sweep(iv.Experiment.grid(seed=range(3)), store=tmp_path, progress=False)
    assert alive == [[], [None], [None, None]]
    assert "can't train" in "".join(traceback.format_exception(caught.value.failures[0].error))


def test_a_store_that_can_not_be_read_in_one_place_fails_there_alone(tmp_path, monkeypatch, finished):
    experiments = iv.Experiment.grid(loss="isomax", seed=range(2), **TINY)
    finished(*experiments)
    real = Store.capture

    def capture(self, name, **options):
        if name == experiments[0].id:
            raise PermissionError(13, "Permission denied")
        return real(self, name, **options)

    monkeypatch.setattr(Store, "capture", capture)
    with pytest.raises(SweepError, match="1 of 2 (.|\n)*PermissionError: .*Permission denied") as caught:
        iv.sweep(experiments, ood="uniform", store=tmp_path, progress=False)
    assert [found.meta["id"] for found in caught.value.captures] == [experiments[1].id]


# ------------------------------------------------------------------------------------- any executor, without its cost


class Here(Executor):
    """Does at once, in this process, what a worker would do, with what a worker would be sent."""

    def __init__(self, change=lambda outcome: outcome):
        self.change, self.sent = change, []

    def submit(self, fn, /, *args):
        self.sent.append(pickle.loads(args[0]))
        future = Future()
        try:
            future.set_result(self.change(pickle.loads(pickle.dumps(fn(*args)))))
        except Exception as error:  # noqa: BLE001 - as an executor does
            future.set_exception(error)
        return future


def test_only_what_is_missing_is_sent_and_read_from_the_store(tmp_path, monkeypatch, finished):
    monkeypatch.chdir(tmp_path)
    experiments = iv.Experiment.grid(loss="isomax", seed=[1, 0], **TINY)
    finished(experiments[1], to=tmp_path / "runs")
    executor = Here()
    captures = iv.sweep(experiments, executor, ood="uniform", store="runs", progress=False)
    assert executor.sent == experiments[:1]
    assert [capture.meta["seed"] for capture in captures] == [1, 0]
    # A set that the stored capture lacks is sent for, too.
    iv.sweep(experiments, executor, ood=["uniform", "gaussian"], store="runs", progress=False)
    assert executor.sent[1:] == experiments


def test_an_error_in_a_worker_comes_back_with_where_it_happened(tmp_path, finished):
    finished(Experiment(loss="isomax", **TINY))
    experiments = iv.Experiment.grid(loss="isomax", preset="smoke", examples_per_class=[5000, 10])
    with pytest.raises(SweepError, match="1 of 2") as caught:
        iv.sweep(experiments, Here(), ood="uniform", store=tmp_path, progress=False)
    error = caught.value.failures[0].error
    (note,) = error.__notes__
    assert isinstance(error, ValueError) and "Where it ran:" in note and "in run_one" in note


def test_errors_that_can_not_be_copied_are_told_in_words(monkeypatch):
    class Odd(Exception):
        def __init__(self, one, two):
            super().__init__(f"{one} and {two}")

    def run(*args, **kwargs):
        raise Odd("this", "that")

    monkeypatch.setattr(Experiment, "run", run)
    outcome = _workers.work(pickle.dumps(Experiment()), pickle.dumps(Task(None, Path("runs"), None)))
    assert isinstance(outcome.error, RuntimeError) and str(outcome.error) == "Odd: this and that"


@pytest.mark.parametrize(
    ("outcome", "message"),
    [
        (
            Outcome("ID", "node7", Path("/scratch/runs"), "0.1.0"),
            re.escape(f"worker on node7 finished it and wrote it to {Path('/scratch/runs')}"),
        ),
        (
            Outcome("other", "node7", Path("runs"), "0.0.9"),
            r"node7 calls the experiment other, .*\(0.0.9 there, .*Make them",
        ),
    ],
)
def test_a_store_that_is_not_shared_is_named(outcome, message, tmp_path, monkeypatch):
    monkeypatch.setattr(sweeps, "_PATIENCE_S", (0.01,))
    monkeypatch.setattr(_workers, "work", lambda *content: None)
    experiment = Experiment()
    seen = Outcome(experiment.id if outcome.id == "ID" else outcome.id, outcome.host, outcome.folder, outcome.version)
    with pytest.raises(SweepError, match=message) as caught:
        iv.sweep([experiment], Here(lambda _: seen), store=tmp_path, progress=False)
    assert isinstance(caught.value.failures[0].error, WorkerError)


def test_a_slow_file_system_is_waited_for(tmp_path, monkeypatch, finished):
    """What a worker elsewhere has written may be seen here only a little later."""
    experiment = Experiment(loss="isomax", **TINY)
    finished(experiment, to=tmp_path / "there")
    monkeypatch.setattr(sweeps, "_PATIENCE_S", (0.01, 0.01))
    pauses = []

    def appear(seconds):
        pauses.append(seconds)
        if len(pauses) == 3:
            (tmp_path / "there").rename(tmp_path / "here")

    monkeypatch.setattr(sweeps.time, "sleep", appear)
    monkeypatch.setattr(_workers, "work", lambda *content: None)
    outcome = Outcome(experiment.id, "node7", tmp_path / "here", iv.__version__)
    assert (
        len(iv.sweep([experiment], Here(lambda _: outcome), ood="uniform", store=tmp_path / "here", progress=False))
        == 1
    )


def test_dead_pools_cancelled_tasks_and_late_answers(tmp_path, finished):
    experiments = iv.Experiment.grid(loss="isomax", seed=range(4), **TINY)

    class Dying(Here):
        def submit(self, fn, /, *args):
            number = pickle.loads(args[0]).seed
            future = Future()
            if number == 0:
                future.set_exception(BrokenProcessPool("a process died"))
            elif number == 1:
                future.cancel()
                future.set_running_or_notify_cancel()
            elif number == 2:
                raise RuntimeError("cannot schedule new futures after shutdown")
            else:  # it finished, and died before it could say so
                finished(experiments[3])
                future.set_exception(BrokenProcessPool("a process died"))
            return future

    with pytest.raises(SweepError, match="3 of 4") as caught:
        iv.sweep(experiments, Dying(), ood="uniform", store=tmp_path, progress=False)
    texts = [str(failure.error) for failure in caught.value.failures]
    assert "its worker process died" in texts[0] and "it was cancelled" in texts[1] and "after shutdown" in texts[2]
    assert [capture.meta["seed"] for capture in caught.value.captures] == [3]


def test_what_can_not_be_sent_says_where_it_belongs(tmp_path):
    from isomax_viz.learning.losses import IsoMaxHead

    class Mine(IsoMaxHead):
        pass

    with pytest.raises(SweepError, match="can't be sent to a worker.*top level of a module"):
        iv.sweep([Experiment(loss=Mine, **TINY)], Here(), store=tmp_path, progress=False)
    outcome = _workers.work(b"cno_such_module\nThing\n.", b"")
    assert "can't load it (No module named 'no_such_module')" in str(outcome.error)


def test_ctrl_c_cancels_what_has_not_begun(tmp_path, monkeypatch, finished):
    class Never(Here):
        futures: list[Future] = []

        def submit(self, fn, /, *args):
            if not self.futures:
                self.futures.append(super().submit(fn, *args))
            else:
                self.futures.append(Future())
            return self.futures[-1]

    experiments = iv.Experiment.grid(loss="isomax", seed=range(3), **TINY)
    monkeypatch.setattr(Experiment, "run", lambda self, *args, **kwargs: finished(self))
    executor = Never()

    def interrupt():
        while not (tmp_path / experiments[0].id).exists():
            time.sleep(0.02)
        time.sleep(0.3)
        _thread.interrupt_main()

    threading.Thread(target=interrupt, daemon=True).start()
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    try:
        with pytest.raises(KeyboardInterrupt):
            iv.sweep(experiments, executor, ood="uniform", store=tmp_path, progress=False)
    finally:
        signal.signal(signal.SIGINT, before)
    assert [future.cancelled() for future in executor.futures] == [False, True, True]
    assert Store(tmp_path).ids() == [experiments[0].id]


def test_ctrl_c_while_tasks_are_sent_cancels_those_that_were(tmp_path):
    futures: list[Future] = []

    class Interrupted(Executor):
        def submit(self, fn, /, *args):
            if len(futures) == 2:
                raise KeyboardInterrupt
            futures.append(Future())
            return futures[-1]

    with pytest.raises(KeyboardInterrupt):
        iv.sweep(iv.Experiment.grid(seed=range(3)), Interrupted(), store=tmp_path, progress=False)
    assert [future.cancelled() for future in futures] == [True, True]


def test_experiments_in_one_process_take_turns(monkeypatch, caplog):
    running, most = [], []

    def run(self, *args, **kwargs):
        running.append(self)
        most.append(len(running))
        time.sleep(0.05)
        running.remove(self)

    monkeypatch.setattr(Experiment, "run", run)
    described = [pickle.dumps(Experiment(seed=seed)) for seed in range(3)]
    with ThreadPoolExecutor(3) as threads:
        list(threads.map(_workers.work, described, [pickle.dumps(Task(None, Path("runs"), None))] * 3))
    assert most == [1, 1, 1] and "Give each worker one thread" in caplog.text


def test_processes_share_cores_and_gpus(monkeypatch):
    import torch

    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(_workers, "available_cores", lambda: 8)
    assert [_workers._share(workers) for workers in (1, 3, 16)] == [8, 2, 1]
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert _workers._share(3) is None  # the user's own choice
    seen = []
    monkeypatch.setattr(Experiment, "run", lambda *a, **k: seen.append(torch.get_num_threads()))
    before = torch.get_num_threads()
    _workers.work(pickle.dumps(Experiment()), pickle.dumps(Task(None, Path("runs"), None, threads=before + 1)))
    assert seen == [before + 1] and torch.get_num_threads() == before
    assert _workers._environments("cpu") == [{}]
    monkeypatch.setattr(_workers, "choose_device", torch.device)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert _workers._environments("cuda") == [{"CUDA_VISIBLE_DEVICES": "0"}, {"CUDA_VISIBLE_DEVICES": "1"}]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,GPU-7")
    assert [e["CUDA_VISIBLE_DEVICES"] for e in _workers._environments("cuda")] == ["3", "GPU-7"]
    assert _workers._environments("cuda:1") == [{}]  # one was chosen


# --------------------------------------------------------------------------------------------------- real processes


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def wait_until(condition, seconds: float = 300) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def test_a_process_that_dies_takes_nothing_but_its_own_task():
    with Processes(2, environments=[{"ISOMAX_VIZ_WORKER": "a"}, {"ISOMAX_VIZ_WORKER": "b"}]) as pool:
        dying, others = pool.submit(os._exit, 3), [pool.submit(abs, -number) for number in range(6)]
        assert [future.result(timeout=60) for future in others] == list(range(6))
        with pytest.raises(BrokenProcessPool):
            dying.result(timeout=60)
        names = {pool.submit(os.getenv, "ISOMAX_VIZ_WORKER").result() for _ in range(4)}
        assert names <= {"a", "b"} and names  # also the new process knows which it is


def test_leaving_by_an_error_stops_the_processes():
    with pytest.raises(KeyboardInterrupt), Processes(1) as pool:
        pid = pool.submit(os.getpid).result()
        tasks = [pool.submit(time.sleep, 600) for _ in range(3)]
        wait_until(tasks[0].running)
        raise KeyboardInterrupt
    wait_until(lambda: not alive(pid))
    assert tasks[2].cancelled()


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_killed_parents_leave_no_processes_behind():
    code = "import os, time\nfrom isomax_viz.experiments.workers import Processes\npool = Processes(2)\n"
    code += "print(*[p.submit(os.getpid).result() for p in pool._pools], flush=True)\n"
    code += "tasks = [pool.submit(time.sleep, 600) for _ in range(2)]\ntime.sleep(600)\n"
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    pids = [int(word) for word in parent.stdout.readline().split()]
    assert len(pids) == 2 and all(map(alive, pids))
    parent.kill()
    parent.wait()
    parent.stdout.close()
    wait_until(lambda: not any(map(alive, pids)), seconds=20)


@contextmanager
def killing(client, store: Path, experiments):
    """Kill -9 a busy worker of a Dask cluster as soon as the first experiment is finished."""
    finished: dict[str, int] = {}

    def written(name: str) -> int:
        return (store / name / "manifest.json").stat().st_mtime_ns

    def kill():
        wait_until(lambda: Store(store).ids())
        pids, busy = client.run(os.getpid), [worker for worker, tasks in client.processing().items() if tasks]
        finished.update({name: written(name) for name in Store(store).ids()})
        os.kill(pids[busy[0]], signal.SIGKILL)

    thread = threading.Thread(target=kill)
    thread.start()
    yield
    thread.join()
    assert 1 <= len(finished) < len(experiments)  # it was in mid-sweep
    assert {name: written(name) for name in finished} == finished  # and nothing finished was done again


def section() -> dict[str, list[str]]:
    """Return the blocks of the page on sweeps, by language."""
    text = (ROOT / "docs/how_to/more_machines.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```(\w+)\n(.*?)```", text.partition("\n## ")[0], re.DOTALL)
    return {kind: [code for language, code in blocks if language == kind] for kind in ("python", "sh")}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """A client of the cluster that the README's commands start, and the folder where they ran."""
    if sys.platform == "win32":
        pytest.skip("the README's commands are for bash; kill -9 is a signal")
    distributed = pytest.importorskip("dask.distributed")
    folder = tmp_path_factory.mktemp("cluster")
    start = [line for line in section()["sh"][0].splitlines() if line.startswith("dask")]
    assert len(start) == 2 and "scheduler" in start[0] and "worker" in start[1]
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    environment |= {"PYTHONPATH": str(ROOT)}
    with (folder / "log").open("w") as log:
        script = "\n".join([*start, "wait"])
        shell = subprocess.Popen(
            ["bash", "-c", script], cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True
        )
        try:
            wait_until((folder / "cluster.json").is_file)
            with distributed.Client(scheduler_file=str(folder / "cluster.json")) as client:
                client.wait_for_workers(2, timeout=300)
                yield client, folder
        finally:
            os.killpg(shell.pid, signal.SIGKILL)
            shell.wait()


def allow_failures(client, number: int) -> None:
    """Set how often a task may die with its worker until Dask gives it up; 3 unless told."""

    def change(dask_scheduler):
        dask_scheduler.allowed_failures = number

    client.run_on_scheduler(change)


def test_a_killed_dask_worker_in_mid_sweep_costs_nothing(cluster, tmp_path):
    client, _ = cluster
    experiments = iv.Experiment.grid(loss="isomax", seed=range(4), **LONG)
    with killing(client, tmp_path, experiments):
        captures = iv.sweep(experiments, client.get_executor(), ood="uniform", store=tmp_path, progress=False)
    assert [capture.meta["seed"] for capture in captures] == [0, 1, 2, 3]
    assert {capture.meta["id"] for capture in captures} == set(Store(tmp_path).ids())
    # Where it was computed, and whether it was cut off, makes no difference to the numbers.
    here = experiments[0].run("uniform", store=tmp_path / "other", progress=False)
    assert np.array_equal(captures[0].test.logits, here.test.logits)


def test_dask_names_what_failed_and_the_next_call_runs_only_that(cluster, tmp_path):
    client, _ = cluster
    experiments = iv.Experiment.grid(loss="isomax", seed=range(3), **LONG)
    allow_failures(client, 0)
    try:
        with killing(client, tmp_path, experiments), pytest.raises(SweepError) as caught:
            iv.sweep(experiments, client, ood="uniform", store=tmp_path, progress=False)  # a client will do, too
    finally:
        allow_failures(client, 3)
    failed = [failure.experiment for failure in caught.value.failures]
    assert 1 <= len(failed) < 3 and "KilledWorker" in str(caught.value)
    stored = set(Store(tmp_path).ids())
    assert stored == {capture.meta["id"] for capture in caught.value.captures}
    assert not stored & {experiment.id for experiment in failed}
    captures = iv.sweep(experiments, client.get_executor(), ood="uniform", store=tmp_path, progress=False)
    assert [capture.meta["seed"] for capture in captures] == [0, 1, 2]


def test_the_readme_runs_as_written(cluster, tmp_path, monkeypatch, capsys):
    """Two processes train; Dask and submitit then find everything stored; the commands train what is new.

    The first block runs as a script without a main guard: workers that ran it again would start workers of their own,
    or print tracebacks about it.
    """
    client, folder = cluster
    monkeypatch.setenv("ISOMAX_VIZ_STORE", str(tmp_path / "runs"))
    monkeypatch.chdir(folder)
    first, *others = section()["python"]
    wanted = ["isomax"] * 2 + ["isomax+"] * 2
    quiet = first.replace("executor=2)", "executor=2, progress=False)")
    script = f"print('begun')\n{quiet}\nprint([capture.meta['loss'] for capture in captures])\n"
    (folder / "script.py").write_text(script)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "script.py"], env=environment, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == (f"begun\n{wanted}\n", "")
    names: dict = {}
    for code in (first, *others):
        exec(code, names)
        assert [capture.meta["loss"] for capture in names["captures"]] == wanted
        del names["captures"]
    assert len(Store().ids()) == 4
    for line in section()["sh"][0].splitlines():
        if line.startswith("python -m isomax_viz"):
            assert cli.main(shlex.split(line)[3:]) == 0
    assert len(Store().ids()) == 6
    table = pd.read_csv(io.StringIO(capsys.readouterr().out.partition("\nid,")[2].join(["id,", ""])))
    assert table["AUROC"].between(0, 1).all() and set(table["score"]) == {"es", "mds"} and table["seed"].nunique() == 3


@pytest.mark.skipif(sys.platform == "win32", reason="submitit uses signals")
def test_a_submitit_executor_makes_each_experiment_a_job(tmp_path):
    submitit = pytest.importorskip("submitit")
    executor = submitit.AutoExecutor(tmp_path / "logs", cluster="local")
    experiments = iv.Experiment.grid(loss="isomax", preset="smoke", examples_per_class=[5000, 10])
    with pytest.raises(SweepError, match="1 of 2 (.|\n)*ValueError: examples_per_class must be at most") as caught:
        iv.sweep(experiments, executor, ood="uniform", store=tmp_path / "runs", progress=False)
    # The one that succeeds is read from the store.
    (capture,) = caught.value.captures
    here = experiments[1].run("uniform", store=tmp_path / "here", progress=False)
    assert capture.meta["id"] == experiments[1].id and np.array_equal(capture.test.logits, here.test.logits)
    assert Store(tmp_path / "runs").ids() == [experiments[1].id]
