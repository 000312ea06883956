"""The settings of an experiment: each declared once, and everything that is said of it derived from there."""

from __future__ import annotations

import inspect
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import isomax_viz as iv
from isomax_viz import Experiment
from isomax_viz.captures.provenance import SOURCE_COLUMNS, variant
from isomax_viz.experiments.experiment import SETTINGS
from isomax_viz.learning import losses
from isomax_viz.learning.backbones import BACKBONES
from isomax_viz.learning.losses import HEADS, IsoMax2Head, IsoMaxHead, PrototypeHead
from isomax_viz.learning.training import protocols

PACKAGE = Path(iv.__file__).parent


def test_a_setting_is_added_in_one_place(tmp_path):
    """One field more in the source: documentation, command line, id, meta, variant and messages know it."""
    shutil.copytree(PACKAGE, tmp_path / "isomax_viz", ignore=shutil.ignore_patterns("__pycache__"))
    file = tmp_path / "isomax_viz" / "experiments" / "experiment.py"
    start = "    outliers: str | None = _setting(\n"
    setting = '_setting(0.0, "Share of the label given to the others.", bounds={"at_least": 0}, losses=("softmax",))'
    field = f"    smoothing: float = {setting}\n"
    assert file.read_text().count(start) == 1
    file.write_text(file.read_text().replace(start, field + start))
    code = """
import json
import isomax_viz as iv
from isomax_viz.captures.provenance import variant
from isomax_viz.cli import main
described = [iv.Experiment(loss=loss, smoothing=value) for loss in ("softmax", "isomax") for value in (0, 0.1)]
captures = [iv.Capture.from_arrays([[1.0, 0.0]], [0], meta=one.meta) for one in described]
try:
    iv.Experiment(smoothing=-1)
except ValueError as error:
    print(error)
print(json.dumps([[one.id for one in described], ["smoothing" in one.meta for one in described],
                  [variant(one) for one in captures], iv.Experiment.from_meta(described[1].meta).smoothing]))
print(iv.Experiment.__doc__)
main(["train", "--help"])
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=120,
                          env={"PYTHONPATH": str(tmp_path), "PATH": "", "COLUMNS": "200"})  # fmt: skip
    message, told, *rest = done.stdout.splitlines()
    assert done.returncode == 0, done.stderr
    ids, in_meta, variants, again = json.loads(told)
    assert message == "smoothing must be a number of at least 0, but is -1."
    assert ids[0] == Experiment(loss="softmax").id != ids[1] and ids[2] == ids[3] == Experiment(loss="isomax").id
    assert in_meta == [True, True, False, False] and variants == ["", "smoothing=0.1", "", ""] and again == 0.1
    text = " ".join(" ".join(rest).split())
    words = "Share of the label given to the others. At least 0. Used by softmax only."
    assert f"smoothing : float {words}" in text and f"--smoothing X {words} (0.0)" in text


def test_the_documentation_names_every_setting_as_it_is():
    text = inspect.getdoc(Experiment)
    for name, setting in SETTINGS.items():
        assert f"\n{name} : " in text and setting.text.split(".")[0] in " ".join(text.split())
    assert "epochs : int, optional\n" in text and "held_out_classes : tuple of int\n" in text
    assert "loss : str, class or function\n" in text and "energy_margins : (float, float), optional\n" in text


def test_what_settings_accept_is_what_there_is():
    """Describing imports no PyTorch, so words stand in the fields; here they are held against what they mean."""
    there = {
        "data": iv.datasets.ID_SETS,
        "backbone": BACKBONES,
        "loss": HEADS,
        "distance": losses.DISTANCES,
        "training_function": losses.FUNCTIONS,
        "detection_function": losses.FUNCTIONS,
        "similarity": losses.SIMILARITIES,
        "initialisation": losses.INITIALISATIONS,
        "preset": protocols.PRESETS,
    }
    for name, accepted in there.items():
        assert tuple(SETTINGS[name].accepted) == tuple(accepted), name


@pytest.mark.parametrize("loss", HEADS)
def test_a_loss_uses_the_settings_that_its_head_takes(loss):
    head = HEADS[loss]
    used = {name for name in SETTINGS if Experiment(loss=loss).uses(name) and SETTINGS[name].losses}
    assert used - {"scales_learning_rate", "scales_weight_decay"} == set(getattr(head, "settings", ()))
    takes = {name for name in inspect.signature(head).parameters if name in SETTINGS}
    assert takes == set(getattr(head, "settings", ()))
    scales = {name for name in ("scales_learning_rate", "scales_weight_decay") if Experiment(loss=loss).uses(name)}
    assert bool(scales) == bool(getattr(head, "slow_parameters", ()))
    # One of the reader's own that changes nothing takes the same.
    own = type("Own", (head,), {"__module__": __name__})
    assert {name for name in SETTINGS if Experiment(loss=own).uses(name)} == {
        name for name in SETTINGS if Experiment(loss=loss).uses(name)
    }


def my_isomax2(num_features, num_classes):
    return IsoMax2Head(num_features, num_classes)


def my_isomax(num_features, num_classes):
    return IsoMaxHead(num_features, num_classes)


@pytest.mark.parametrize("loss", [*HEADS, my_isomax])
@pytest.mark.parametrize("outliers", [None, "oe", "acet"])
def test_meta_and_variant_name_only_what_the_training_used(loss, outliers):
    plain = Experiment(loss=loss, outliers=outliers)
    usual = {name: item.default for name, item in Experiment.model_fields.items()}
    other = {"entropic_scale": 3.0, "scales_learning_rate": 1.0, "scales_weight_decay": True, "distance": "cosine"}
    other |= {"training_function": "log", "detection_function": "log", "similarity": "inner", "temperature": 0.1}
    other |= {"outlier_data": "permuted", "outlier_weight": 0.2, "adversarial_radius": 0.1, "adversarial_steps": 3}
    for name, value in other.items():
        one = plain.model_copy(update={name: value})
        capture = iv.Capture.from_arrays([[3.0, 0.0]], [0], ood={"x": [[1.0, 0.0]]}, meta=one.meta)
        counts = one.id != plain.id
        assert (one.meta.get(name, usual[name]) == value) == counts, name
        told = f"{name}={value}" if counts and name not in SOURCE_COLUMNS else ""
        assert variant(capture) == told and (iv.evaluate(capture)["variant"][0] or "") == told
    assert plain.meta["changed"] == {}


def test_a_loss_that_uses_no_scales_does_not_speak_of_them():
    meta = Experiment(loss="softmax", scales_learning_rate=1.0).meta
    capture = iv.Capture.from_arrays([[3.0, 0.0]], [0], ood={"x": [[1.0, 0.0]]}, meta=meta)
    assert "scales_learning_rate" not in meta and iv.evaluate(capture)["variant"].isna().all()


def test_what_is_set_for_the_head_of_a_function_is_not_ignored():
    plain, fast = Experiment(loss=my_isomax2), Experiment(loss=my_isomax2, scales_learning_rate=1.0)
    assert fast.protocol.scales_learning_rate == 1.0 and fast.id != plain.id
    assert fast.meta["changed"] == {"scales_learning_rate": 1.0}


class Distant(PrototypeHead):
    settings = ("temperature",)


@pytest.mark.parametrize("loss", ["isomax", "isomax+", "isomax2", "dismax"])
def test_prototypes_start_as_asked(loss, tmp_path):
    usual = "normal" if loss == "isomax+" else "zeros"
    (other,) = {"zeros", "normal"} - {usual}
    plain, changed = Experiment(loss=loss), Experiment(loss=loss, initialisation=other)
    assert Experiment(loss=loss, initialisation=usual) == plain and plain.id == Experiment(loss=loss).id != changed.id
    assert plain.settings.keys().isdisjoint({"initialisation"}) and changed.settings["initialisation"] == other
    assert changed.meta["changed"] == {"initialisation": other} and Experiment.from_meta(changed.meta) == changed
    assert Experiment(loss="softmax", initialisation=other).id == Experiment(loss="softmax").id
    for experiment, wanted in ((plain, usual), (changed, other)):
        torch.manual_seed(0)
        prototypes = HEADS[loss](200, 50, **experiment.settings).prototypes.detach()
        torch.manual_seed(0)
        assert torch.equal(prototypes, torch.zeros(50, 200) if wanted == "zeros" else torch.empty(50, 200).normal_())
    with pytest.raises(ValueError, match="initialisation must be one of 'zeros', 'normal', but is 'ones'"):
        HEADS[loss](2, 2, initialisation="ones")


def test_a_head_of_ones_own_names_what_it_uses():
    experiment = Experiment(loss=Distant, temperature=0.5, entropic_scale=3)
    assert experiment.settings == {"temperature": 0.5} and experiment.meta["changed"] == {"temperature": 0.5}
    assert experiment.meta["entropic_scale"] is None


def test_the_entropic_scale_goes_through_four_files(tmp_path, monkeypatch):
    """From the description to the loss: who reads the code opens each file once."""
    walks = []
    build = IsoMaxHead.__init__

    def watched(self, *arguments, **options):
        stack = [frame.filename for frame in inspect.stack()[1:]]
        files = [
            Path(name).relative_to(PACKAGE).as_posix() for name in reversed(stack) if Path(name).is_relative_to(PACKAGE)
        ]
        walks.append([name for i, name in enumerate(files) if i == 0 or name != files[i - 1]])
        build(self, *arguments, **options)
        assert self.entropic_scale == 3.0

    monkeypatch.setattr(IsoMaxHead, "__init__", watched)
    Experiment(loss="isomax", entropic_scale=3, preset="smoke", examples_per_class=5).run(
        ood="uniform", store=tmp_path, progress=False
    )
    head = Path(inspect.getfile(IsoMaxHead)).relative_to(PACKAGE).as_posix()
    assert [*walks[0], head] == ["experiments/experiment.py", "experiments/run.py", "learning/build.py", head]
