"""The command line: what it prints, in which form, and how it ends."""

from __future__ import annotations

import argparse
import importlib
import io
import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pandas as pd
import pytest

import isomax_viz as iv
from isomax_viz import Experiment, cli
from isomax_viz.cli import output, trainings
from isomax_viz.cli.results import METRICS

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = ("train", "sweep", "evaluate", "look", "figures", "store", "doctor")
TINY = {"preset": "smoke", "examples_per_class": 10}
TINY_OPTIONS = ["--preset", "smoke", "--examples-per-class", "10", "--ood", "uniform", "--quiet"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    """A store with two finished experiments; tests only read it."""
    folder = tmp_path_factory.mktemp("runs")
    iv.sweep(iv.Experiment.grid(loss=["isomax", "softmax"], **TINY), ood="uniform", store=folder, progress=False)
    return folder


@pytest.fixture
def run(runs, capsys, monkeypatch):
    """Return a function that runs a command on that store and gives its exit code, output and messages."""

    def call(*arguments: str, store: Path = runs) -> tuple[int, str, str]:
        monkeypatch.setenv("ISOMAX_VIZ_STORE", str(store))
        try:
            code = cli.main([*arguments])
        except SystemExit as error:  # from argparse
            code = error.code
        return code, *capsys.readouterr()

    return call


def lines(text: str) -> list[str]:
    return [line.strip() for line in text.strip().splitlines()]


# ---------------------------------------------------------------------------------------------------------- the whole


def test_a_command_without_a_docstring_is_called_by_its_name():
    commands = argparse.ArgumentParser().add_subparsers()  # python -OO drops docstrings
    assert "usage:" in output.add_command(commands, "trial", lambda options: None).format_help()


def test_help_names_every_command_and_needs_no_torch():
    code = (
        "import sys; from isomax_viz import cli\ntry: cli.main(['--help'])\nfinally: assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=120)
    assert done.returncode == 0, done.stderr
    assert all(f"\n    {command} " in done.stdout and f"isomax_viz {command}" in done.stdout for command in COMMANDS)


@pytest.mark.parametrize("command", [*COMMANDS, "store list", "store verify", "store remove", "store size"])
def test_every_command_explains_itself_by_examples(command, run):
    code, out, _ = run(*command.split(), "--help")
    assert code == 0 and f"examples:\n  python -m isomax_viz {command}" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "COMMAND"),
        (["paint"], "invalid choice: 'paint'"),
        (["train", "--loss", "isomx"], "loss must be one of .* Did you mean 'isomax'"),
        (["train", "--seed", "one"], "seed must be a whole number of at least 0 .*, but is 'one'"),
        (["train", "--epochs", "many"], "epochs must be a whole number of at least 1, but is 'many'"),
        (["train", "--seed", "none"], "seed must be a whole number of at least 0 .*, but is 'none'"),
        (
            ["train", "--energy-margins", "low,high"],
            "energy_margins must be a pair of numbers .such as -25,-7., but is 'low,high'",
        ),
        (["train", "--scales-weight-decay", "maybe"], "scales_weight_decay must be yes or no, but is 'maybe'"),
        (["train", "--seed", "0,1"], "seed must be a whole number of at least 0 .*, but is '0,1'"),
        (["train", "--seed", "[0,1]"], "seed must be a whole number of at least 0"),
        (["train", "--seed", "-1"], "seed must be a whole number of at least 0"),
        (["train", "--seed", "0", "1"], "usage: .* train .*unrecognized arguments: 1"),
        (["sweep", "--loss", "isomax", "isomx"], "loss must be one of"),
        (["sweep", "--workers", "0"], "--workers must be at least 1, but is 0"),
        (["sweep", "--workers", "2", "--dask", "tcp://x:1"], "not allowed with argument"),
        (["store", "paint"], "invalid choice: 'paint'"),
        (["store"], r"list\|verify\|remove\|size"),
        (["store", "remove"], "the following arguments are required: ID"),
        (["store", "list", "x"], "usage: .* store list .*unrecognized arguments: x"),
        (["evaluate", "--json", "--csv"], "not allowed with argument"),
    ],
)
def test_wrong_usage_ends_with_2(arguments, message, run):
    code, out, err = run(*arguments)
    assert code == 2 and out == ""
    assert re.search(message, err, re.DOTALL), err


def test_ctrl_c_ends_with_130_and_says_what_is_kept(run, monkeypatch):
    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(Experiment, "run", interrupted)
    code, _, err = run("train", *TINY_OPTIONS)
    assert code == 130 and "stopped. What is finished is kept" in err


def test_the_console_script_is_the_same_program():
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    module, _, name = scripts["isomax-viz"].partition(":")
    assert getattr(importlib.import_module(module), name) is cli.main


@pytest.mark.skipif(sys.platform == "win32", reason="a closed pipe has no error of its own there")
def test_a_reader_that_has_seen_enough_is_no_error(runs):
    command = [sys.executable, "-m", "isomax_viz", "evaluate", "--csv", "--store", str(runs)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT, text=True)
    process.stdout.close()
    assert process.wait(timeout=120) == 1 and process.stderr.read() == ""
    process.stderr.close()


def test_what_analyses_works_without_torch(runs, hide_torch):
    code = f"""
from isomax_viz.cli import main
print([main([*words.split(), "--store", {str(runs)!r}]) for words in
       ("evaluate --json", "store list", "store verify", "store size", "doctor", "train")])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=120)
    assert lines(done.stdout)[-1] == "[0, 0, 0, 0, 0, 1]", done.stdout + done.stderr
    assert "warn  torch" in done.stdout and "Captures can be analysed, but nothing trained" in done.stdout
    assert "isomax_viz: PyTorch is needed to train or run a network" in done.stderr


# ------------------------------------------------------------------------------------------------------------ training


@pytest.mark.parametrize(
    ("words", "settings"),
    [
        ("--held-out-classes 8,9", {"held_out_classes": (8, 9)}),
        ("--held-out-classes none --epochs none", {}),
        ("--held-out-classes 8", {"held_out_classes": (8,)}),
        ("--entropic-scale 3 --validation 0.1", {"entropic_scale": 3.0, "validation": 0.1}),
        ("--loss isomax2 --scales-weight-decay yes", {"loss": "isomax2", "scales_weight_decay": True}),
        ("--outliers energy --energy-margins=-9,-3", {"outliers": "energy", "energy_margins": (-9.0, -3.0)}),
        ("--outliers energy --energy-margins -9,-3", {"outliers": "energy", "energy_margins": (-9.0, -3.0)}),
        ("--loss softmax --outliers energy --energy-margins -25,-7", {"loss": "softmax", "outliers": "energy"}),
        ("--outliers none --adversarial-steps none", {}),
    ],
)
def test_options_are_read_as_settings(words, settings, run):
    code, out, _ = run("sweep", "--dry-run", "--json", *words.split())
    assert code == 0
    assert json.loads(out)[0]["id"] == Experiment(**settings).id


def test_a_setting_of_several_classes_is_swept_over_like_any_other(run):
    _, out, _ = run("sweep", "--dry-run", "--json", "--held-out-classes", "none", "8", "8,9")
    assert [row["experiment"]["held_out_classes"] for row in json.loads(out)] == [[], [8], [8, 9]]


def test_train_prints_what_the_library_computes(run, tmp_path):
    experiment = Experiment(loss="isomax", **TINY)
    code, out, err = run("train", "--loss", "isomax", *TINY_OPTIONS, "--json", store=tmp_path)
    told = json.loads(out)
    capture = experiment.run("uniform", store=tmp_path, progress=False)
    assert code == 0 and err == "" and told["id"] == experiment.id
    assert told["folder"] == str(tmp_path / experiment.id) and Path(told["folder"]).is_dir()
    assert Experiment(**told["experiment"]) == experiment
    pd.testing.assert_frame_equal(pd.DataFrame(told["metrics"]), iv.evaluate(capture))
    _, out, _ = run("train", "--loss", "isomax", *TINY_OPTIONS, store=tmp_path)
    assert f"accuracy {capture.test.accuracy:.1%}" in out and experiment.title in out
    row = iv.evaluate(capture).query("score == 'es'").iloc[0]
    assert any(line.startswith("es ") and f"{row['AUROC']:.1%}" in line for line in lines(out))


def test_sweep_lists_then_runs_and_names_what_failed(run, tmp_path):
    words = ["sweep", "--loss", "softmax", "isomax", "--entropic-scale", "1", "10", "--preset", "smoke"]
    words += ["--examples-per-class", "10", "5000", "--ood", "uniform"]
    code, out, _ = run(*words, "--dry-run")
    assert code == 0 and len(lines(out)) == 6 and lines(out)[0].startswith("stored  Experiment(loss='softmax', ")
    assert lines(out)[4].startswith("stored  Experiment(loss='isomax', preset='smoke', examples_per_class=10")
    words[words.index("1")] = "10"  # now the stored ones, and the impossible ones
    code, out, err = run(*words, "--json", "--quiet")
    told = json.loads(out)
    assert code == 1 and "2 of 4 experiments failed" in err and "examples_per_class must be at most" in err
    assert [row["experiment"]["loss"] for row in told["finished"]] == ["softmax", "isomax"]
    assert [row["error"].partition(":")[0] for row in told["failed"]] == ["ValueError"] * 2
    words = [word for word in words if word != "5000"]
    code, out, _ = run(*words, "--workers", "2", "--quiet")  # all stored: no process is started
    assert code == 0 and len(lines(out)) == 3 and lines(out)[2].startswith("2 of 2 are in")


def test_a_dask_cluster_that_is_not_there_is_named(run, monkeypatch, tmp_path):
    monkeypatch.setattr(trainings, "_SCHEDULER_FILE_S", 0.1)
    code, _, err = run("sweep", "--dask", str(tmp_path / "cluster.json"))
    assert code == 1 and "Start a scheduler: dask scheduler --scheduler-file" in err
    monkeypatch.setitem(sys.modules, "dask.distributed", None)
    code, _, err = run("sweep", "--dask", "tcp://127.0.0.1:1")
    assert code == 1 and "dask is needed to run on a Dask cluster" in err and 'install "dask[distributed]"' in err


# ------------------------------------------------------------------------------------------------------------- results


def expected(runs: Path, **options) -> pd.DataFrame:
    store = iv.store.Store(runs)
    parts = [iv.evaluate(store.capture(name), **options).assign(id=name) for name in store.ids()]
    return pd.concat(parts, ignore_index=True)


def test_evaluate_as_csv_and_json_holds_what_the_library_computes(run, runs):
    wanted = expected(runs, scores=["es", "energy"])
    _, out, _ = run("evaluate", "--scores", "es", "energy", "--csv")
    found = pd.read_csv(io.StringIO(out))
    pd.testing.assert_frame_equal(found[["id", "score", *METRICS]], wanted[["id", "score", *METRICS]])
    _, out, _ = run("evaluate", "--scores", "es", "energy", "--json")
    assert [row["AUROC"] for row in json.loads(out)] == list(wanted["AUROC"])
    assert {row["entropic_scale"] for row in json.loads(out)} == {10.0, None}


def test_csv_has_one_line_per_row_on_windows_too(run, monkeypatch):
    monkeypatch.setattr("os.linesep", "\r\n")
    assert "\r" not in run("evaluate", "--csv")[1]


def test_json_is_json_whatever_the_numbers_are_and_whoever_reads_it():
    table = pd.DataFrame({"set": ["né"], "AUROC": [float("inf")], "n": [3], "seed": [None]})
    text = output.json_text(table)
    assert text.isascii() and json.loads(text) == [{"set": "né", "AUROC": None, "n": 3, "seed": None}]
    with pytest.raises(ValueError, match="not JSON compliant"):
        output.json_text({"accuracy": float("nan")})


def test_a_missing_share_is_a_dash():
    table = pd.DataFrame({"id": ["a", "b"], "accuracy": [0.5, float("nan")]})
    assert lines(output.table_text(table, percent=("accuracy",))) == ["id accuracy", "a    50.0%", "b        -"]


def test_evaluate_for_people_says_once_what_is_the_same(run, runs):
    _, out, _ = run("evaluate", "--scores", "es")
    head, *rows = lines(out)
    assert "data digits" in head and "ood uniform" in head and "digits" not in "".join(rows)
    for row in expected(runs, scores="es").itertuples():
        assert any(line.startswith(row.loss) and f"{row.AUROC:.1%}" in line for line in rows)


def test_evaluate_chooses_by_pattern_and_by_file(run, runs, tmp_path, capture):
    _, out, _ = run("evaluate", "*-softmax-*", "--csv")
    assert set(pd.read_csv(io.StringIO(out))["loss"]) == {"softmax"}
    capture.save(tmp_path / "mine.safetensors")
    _, out, _ = run("evaluate", str(tmp_path / "mine.safetensors"), "--ood", "far", "--csv")
    table = pd.read_csv(io.StringIO(out))
    assert set(table["id"]) == {str(tmp_path / "mine.safetensors")} and set(table["ood"]) == {"far"}
    _, out, _ = run("evaluate", str(tmp_path / "mine.safetensors"), "*", "--ood", "far", "uniform", "--csv")
    assert set(pd.read_csv(io.StringIO(out))["ood"]) == {"far", "uniform"}  # each what it has of them


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["digits-small_cnn-isomax-smoke"],
            "is neither a file nor one of the 2 ids in .* Did you mean digits-small_cnn-i",
        ),
        (["--ood", "unifrom"], "ood must be one of 'uniform', but is 'unifrom'. Did you mean 'uniform'"),
        (["--scores", "msp"], "score must be one of .*but is 'msp'"),
    ],
)
def test_what_can_not_be_evaluated_is_named(arguments, message, run):
    code, out, err = run("evaluate", *arguments)
    assert code == 1 and out == "" and err.startswith("isomax_viz: ")
    assert re.search(message, err), err


@pytest.mark.parametrize("name", ["capture.safetensors", "manifest.json"])
def test_evaluate_goes_on_without_what_is_damaged_and_says_so(name, run, runs, tmp_path, caplog):
    """The table is that of iv.store.frame, which leaves out the same experiment."""
    shutil.copytree(runs, tmp_path / "runs")
    damaged, whole = iv.store.Store(runs).ids()
    file = tmp_path / "runs" / damaged / name
    file.write_bytes(file.read_bytes()[:-40])
    code, out, err = run("evaluate", "--json", store=tmp_path / "runs")
    rows = json.loads(out)
    wanted = iv.store.frame(folder=tmp_path / "runs")
    assert {row["id"] for row in rows} == {whole} and [row["AUROC"] for row in rows] == list(wanted["AUROC"])
    assert code == 1 and f"{damaged} is left out of the table: " in caplog.text and "is damaged" in caplog.text
    assert "1 of 2 captures are left out of the table" in err and whole not in err
    code, out, err = run("evaluate", damaged, store=tmp_path / "runs")
    assert code == 1 and out == "" and "None of these captures can be read" in err


def test_an_empty_store_says_how_to_fill_it(run, tmp_path):
    code, _, err = run("evaluate", store=tmp_path)
    assert code == 1 and f"There is nothing in {tmp_path}. Train something" in err
    code, out, _ = run("store", "list", store=tmp_path)
    assert code == 0 and out == f"There is nothing in {tmp_path}.\n"


# ---------------------------------------------------------------------------------------------------------------- look


def test_look_puts_the_tour_where_one_is_and_never_over_what_lies_there(run, monkeypatch, tmp_path):
    from jupyterlab.labapp import LabApp

    started = []
    monkeypatch.setattr(LabApp, "launch_instance", started.append)
    monkeypatch.chdir(tmp_path)
    assert run("look")[0] == 0
    tour = tmp_path / "07_explorer.ipynb"
    assert tour.read_bytes() == (ROOT / "notebooks" / tour.name).read_bytes()
    assert {f"--notebook-dir={tmp_path}", "--ip=127.0.0.1"} < set(started[0]) and "--no-browser" not in started[0]
    assert "--LabApp.default_url=/lab/tree/07_explorer.ipynb" in started[0]
    tour.write_text("mine")
    assert run("look", str(tmp_path), "--no-browser")[0] == 0 and tour.read_text() == "mine"
    assert run("look", "new/folder")[0] == 0 and (tmp_path / "new/folder" / tour.name).is_file()
    assert "--no-browser" in started[1] and f"--notebook-dir={tmp_path / 'new/folder'}" in started[2]
    (tmp_path / "file").write_text("in the way")
    code, _, err = run("look", "file")
    assert code == 1 and "file" in err and len(started) == 3


# --------------------------------------------------------------------------------------------------------------- store


def test_the_store_is_listed_measured_verified_and_emptied(run, runs, tmp_path):
    ids = iv.store.Store(runs).ids()
    for name in ids:
        (tmp_path / name).mkdir()
        for file in (runs / name).iterdir():
            (tmp_path / name / file.name).write_bytes(file.read_bytes())
    _, out, _ = run("store", "list", "--json", store=tmp_path)
    assert {row["id"] for row in json.loads(out)} == set(ids)
    _, out, _ = run("store", "list", store=tmp_path)
    assert all(any(name in line for line in lines(out)) for name in ids) and "data digits" in lines(out)[0]
    total = sum(file.stat().st_size for file in tmp_path.rglob("*") if file.is_file())
    _, out, _ = run("store", "size", "--json", store=tmp_path)
    assert json.loads(out) == {"bytes": total}
    assert run("store", "size", store=tmp_path)[1] == f"{total / 1e6:.2f}MB in {tmp_path}\n"
    code, out, _ = run("store", "verify", store=tmp_path)
    assert code == 0 and out == f"2 experiments in {tmp_path}, 0 with problems\n"
    weights = tmp_path / ids[0] / "network.safetensors"
    weights.write_bytes(weights.read_bytes()[:-8])
    code, out, _ = run("store", "verify", store=tmp_path)
    assert code == 1 and lines(out)[0].startswith(f"{ids[0]}  network.safetensors: ") and "1 with problems" in out
    code, out, _ = run("store", "verify", ids[1], "--json", store=tmp_path)
    assert code == 0 and json.loads(out) == []
    code, _, _ = run("store", "remove", ids[0], store=tmp_path)
    assert code == 0 and iv.store.Store(tmp_path).ids() == [ids[1]]
    code, _, err = run("store", "remove", ids[0], store=tmp_path)
    assert code == 1 and f"There is no experiment {ids[0]}" in err
    code, _, err = run("store", "remove", "../runs", store=tmp_path)
    assert code == 1 and "is no experiment id" in err


def test_the_option_store_holds_for_the_command(run, runs, tmp_path):
    code, out, _ = run("store", "size", "--json", "--store", str(runs), store=tmp_path)
    assert code == 0 and json.loads(out)["bytes"] == iv.store.size(runs) > 0
