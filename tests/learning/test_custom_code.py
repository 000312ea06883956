"""Heads and backbones of the reader's own, passed as objects: identity, labels, refusals, and every use of them."""

from __future__ import annotations

import importlib
import json
import linecache
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import isomax_viz as iv
from isomax_viz import Experiment
from isomax_viz._common.checks import name_of
from isomax_viz.catalog.style import loss_style
from isomax_viz.learning.backbones import SmallCNN
from isomax_viz.learning.custom_code import fingerprint, reference
from isomax_viz.learning.losses import Head, IsoMaxHead, PrototypeHead

ROOT = Path(__file__).resolve().parents[2]
TINY = {"preset": "smoke", "examples_per_class": 10}
WIDTH = 12


class CosineHead(PrototypeHead):
    """Logits are cosines minus 1."""

    settings = ("entropic_scale",)

    def __init__(self, num_features, num_classes, *, entropic_scale=10.0):
        super().__init__(num_features, num_classes)
        nn.init.normal_(self.prototypes)
        self.entropic_scale = entropic_scale

    def distances(self, features):
        return 1 - torch.cosine_similarity(features[:, None], self.prototypes, dim=2)

    def class_logits(self, logits):
        return self.entropic_scale * logits


class Labelled(CosineHead):
    label = "Cosine (mine)"


class Flat(nn.Module):
    num_features = WIDTH

    def __init__(self, in_channels):
        super().__init__()
        self.layers = nn.Sequential(
            nn.AdaptiveAvgPool2d(8), nn.Flatten(), nn.Linear(64 * in_channels, WIDTH), nn.ReLU()
        )

    def forward(self, images):
        return self.layers(images)


def flat(in_channels=3):
    return Flat(in_channels)


def gentle(num_features, num_classes):
    return IsoMaxHead(num_features, num_classes, entropic_scale=2.0)


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    store = tmp_path_factory.mktemp("own")
    experiment = Experiment(loss=CosineHead, backbone=flat, entropic_scale=7.0, **TINY)
    return experiment, experiment.run(ood=("letters", "uniform"), store=store, progress=False), store


def test_a_head_and_a_backbone_of_ones_own_are_trained_and_recorded(own):
    experiment, capture, store = own
    network = experiment.network(store=store)
    assert isinstance(network.head, CosineHead) and isinstance(network.backbone, Flat)
    assert network.head.entropic_scale == 7.0 and capture.test.features.shape[1] == WIDTH
    features = torch.from_numpy(capture.test.features.copy())
    expected = torch.cosine_similarity(features[:, None], network.head.prototypes, dim=2) - 1
    np.testing.assert_allclose(capture.test.logits, expected.detach().numpy(), atol=1e-5)
    assert capture.loss == "CosineHead" and capture.meta["backbone"] == "flat"
    assert capture.meta["entropic_scale"] == 7.0
    assert experiment.id.startswith("digits-flat-CosineHead-smoke-s0-")
    assert Experiment(loss=gentle, **TINY).settings == {}


def test_they_appear_in_tables_figures_and_the_explorer_without_registration(own):
    _, capture, _ = own
    second = iv.Experiment(loss="softmax", **TINY)
    table = iv.evaluate([capture], scores=("es", "mds"))
    assert set(table["loss"]) == {"CosineHead"} and set(table["backbone"]) == {"flat"}
    assert "CosineHead" in iv.plot_logits(capture, ood="letters").get_title(loc="left")
    explorer = iv.explore([capture])
    assert explorer.look["score"] and "CosineHead" in repr(capture)
    assert second.title.startswith("SoftMax") and Experiment(loss=Labelled).title.startswith("Cosine (mine) · digits")
    assert name_of(Labelled) == "Cosine (mine)" and Experiment(loss=Labelled).method == "Cosine (mine)"
    assert "Cosine__mine_" in Experiment(loss=Labelled).id  # a name for a folder
    assert loss_style("CosineHead").label == "CosineHead"


def farthest(samples):
    return -samples.distances.max(axis=1)


def test_a_score_of_ones_own_is_stored_beside_the_samples_for_the_explorer(own):
    _, capture, store = own
    scored = iv.add_scores(capture, farthest)
    for name in ("test", "letters"):
        expected = -capture.samples[name].distances.max(axis=1)
        np.testing.assert_allclose(scored.samples[name].extra_scores["farthest"], expected)
    again = iv.Capture.load(scored.save(store / "scored.safetensors"))
    by_name, by_object = (iv.evaluate(item, scores=score) for item, score in ((again, "farthest"), (capture, farthest)))
    assert by_name["AUROC"].tolist() == by_object["AUROC"].tolist()


def test_the_capture_leads_back_to_the_experiment(own):
    experiment, capture, store = own
    assert Experiment.from_meta(capture.meta) == experiment
    again = iv.Capture.load(capture.save(store / "again.safetensors"))
    assert Experiment.from_meta(again.meta).id == capture.meta["id"]
    with pytest.raises(ValueError, match="does not say which experiment recorded it"):
        Experiment.from_meta({"loss": "isomax"})


def test_json_holds_module_name_and_fingerprint_and_is_followed_back(own):
    experiment, _, _ = own
    told = json.loads(experiment.to_json())
    assert told["loss"] == f"{__name__}:CosineHead#{fingerprint(CosineHead)}" == reference(CosineHead)
    assert Experiment.from_json(experiment.to_json()) == experiment
    assert Experiment(loss=told["loss"]).loss is CosineHead
    assert experiment.model_copy(update={"seed": 3}).loss is CosineHead
    changed = experiment.to_json().replace(fingerprint(CosineHead), "0" * 12)
    with pytest.raises(ValueError, match="loss='.*' means CosineHead of the module .*has been changed since"):
        Experiment.from_json(changed)
    with pytest.raises(ValueError, match="which has nothing of that name"):
        Experiment.from_json(experiment.to_json().replace(":CosineHead#", ":Gone#"))
    with pytest.raises(ValueError, match="module antigravity, which is not imported. Import it first"):
        Experiment(backbone="antigravity:fly#0")
    assert "antigravity" not in sys.modules


HEAD = """
import torch
from isomax_viz.learning.losses import Head
from nets import Layer

FACTOR = {factor}

def helper(x):
    return {helper}

class Mine(Head):
    def __init__(self, num_features, num_classes):
        super().__init__(num_features, num_classes)
        self.layer = Layer(num_features, num_classes)

    def forward(self, features):
        return FACTOR * helper(self.layer(features)){method}

"""
NETS = """
import torch

class Layer(torch.nn.Linear):
    def extra(self):
        return {extra}
"""


@pytest.fixture
def print_of(tmp_path, monkeypatch):
    """Write the two files, import them afresh and return the fingerprint of the class."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def read(*, factor="2", helper="x", method="", extra="1") -> str:
        (tmp_path / "mine.py").write_text(HEAD.format(factor=factor, helper=helper, method=method))
        (tmp_path / "nets.py").write_text(NETS.format(extra=extra))
        for name in ("mine", "nets"):
            sys.modules.pop(name, None)
        importlib.invalidate_caches()
        linecache.checkcache()
        return fingerprint(importlib.import_module("mine").Mine)

    yield read
    for name in ("mine", "nets"):
        sys.modules.pop(name, None)


def test_the_identity_follows_the_source_of_the_object_and_of_what_it_uses(print_of, tmp_path):
    changed = {
        "itself": print_of(method=" + 0"),
        "a global value": print_of(factor="3"),
        "a function it calls": print_of(helper="x + 0"),
        "a class of another file": print_of(extra="2"),
    }
    first = print_of()
    assert len({first, *changed.values()}) == 1 + len(changed), changed
    assert print_of() == first
    code = "from mine import Mine; from isomax_viz.learning.custom_code import fingerprint; print(fingerprint(Mine))"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    command = [sys.executable, "-B", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)
    assert done.stdout.strip() == first, done.stderr  # in another process
    assert Experiment(loss=sys.modules["mine"].Mine).id != Experiment(loss=CosineHead).id


IMPORTS = """
import dataclasses, enum, functools
import numpy as np
import torch
from torch import nn
from isomax_viz.learning.losses import IsoMaxHead
"""
ATTRIBUTE = IMPORTS + "class Mine(IsoMaxHead):\n    value = {}\n"
GLOBAL = IMPORTS + "{}\nclass Mine(IsoMaxHead):\n    def value(self): return VALUE\n"
METHOD = IMPORTS + "class Mine(IsoMaxHead):\n    {}\n    def value(self): return {}\n"
BOX = "class Box:\n    def get(self): return {}\nVALUE = Box()"
DATACLASS = "@dataclasses.dataclass\nclass Width:\n    number: int = 1\nVALUE = Width({})"


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """Return a function that imports a module of that text, and one for its helpers, afresh; it gives ``Mine``."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def read(text: str, helpers: str = ""):
        (tmp_path / "mine_too.py").write_text(text)
        (tmp_path / "mine_helpers.py").write_text(helpers)
        for name in ("mine_too", "mine_helpers"):
            sys.modules.pop(name, None)
        importlib.invalidate_caches()
        linecache.clearcache()
        return importlib.import_module("mine_too").Mine

    yield read
    for name in ("mine_too", "mine_helpers"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize(
    ("form", "one", "other"),
    [
        (ATTRIBUTE, "[[1], {'a': 2}]", "[[1], {'a': 3}]"),
        (ATTRIBUTE, "{'a': {'b': {1, 2}}}", "{'a': {'b': {1, 3}}}"),
        (ATTRIBUTE, "torch.ones(2)", "torch.zeros(2)"),
        (ATTRIBUTE, "torch.ones(2, dtype=torch.bfloat16)", "torch.ones(2, dtype=torch.float16)"),
        (ATTRIBUTE, "np.ones(2)", "np.ones((2, 1))"),
        (ATTRIBUTE, "nn.Dropout(0.1)", "nn.Dropout(0.2)"),
        (ATTRIBUTE, "functools.partial(max, 1)", "functools.partial(max, 2)"),
        (ATTRIBUTE, "{'a': torch.sin}", "{'a': torch.cos}"),
        (ATTRIBUTE, "np.exp", "np.log"),
        (ATTRIBUTE, "torch.float32", "torch.float64"),
        (GLOBAL, "VALUE = [[1]]", "VALUE = [[2]]"),
        (GLOBAL, "VALUE = torch.ones(1)", "VALUE = torch.zeros(1)"),
        (GLOBAL, DATACLASS.format(1), DATACLASS.format(2)),
        (GLOBAL, "class Way(enum.Enum):\n    A = 1\nVALUE = Way.A", "class Way(enum.Enum):\n    A = 2\nVALUE = Way.A"),
        (GLOBAL, BOX.format(1), BOX.format(2)),
        (METHOD, ("@torch.no_grad()", 1), ("@torch.no_grad()", 2)),
        (METHOD, ("@torch.autocast('cpu', enabled=True)", 1), ("@torch.autocast('cpu', enabled=False)", 1)),
        (METHOD, ("@functools.lru_cache", 1), ("@functools.lru_cache", 2)),
        (METHOD, ("@functools.cached_property", 1), ("@functools.cached_property", 2)),
    ],
)  # fmt: skip
def test_whatever_a_class_depends_on_tells_it_from_another_of_its_name(form, one, other, mine):
    """Or the store would answer with the network of the other."""
    texts = [form.format(*(value if isinstance(value, tuple) else (value,))) for value in (one, other, one)]
    prints, ids = [], []
    for text in texts:
        head = mine(text)
        prints.append(fingerprint(head))
        ids.append(Experiment(loss=head).id)
    assert prints[0] == prints[2] != prints[1] and ids[0] == ids[2] != ids[1]
    assert ids[0].rpartition("-")[0] == ids[1].rpartition("-")[0]  # the same names, so nothing else tells them apart


def test_helpers_by_the_name_of_their_module_count(mine):
    text = IMPORTS + "import mine_helpers as it\nclass Mine(IsoMaxHead):\n    def value(self): return it.used(1)\n"
    helpers = "def used(x): return inner(x)\ndef inner(x): return x + {}\ndef unused(): return {}\n"
    first, unused, used = (fingerprint(mine(text, helpers.format(*pair))) for pair in ((1, 1), (1, 2), (2, 1)))
    assert first == unused != used


def test_comments_and_the_place_of_a_definition_do_not_count(mine):
    text = "def Mine(in_channels):\n    {}return in_channels{}\n"
    first, comment, lower, other = (
        fingerprint(mine(item))
        for item in (
            text.format("", ""),
            text.format("# as in the paper\n    ", "  # here"),
            f"import math\n\n{text.format('', '')}",
            text.format("", " + 1"),
        )
    )
    assert first == comment == lower != other


def test_what_has_no_source_is_refused():
    names = {"__name__": "__main__"}
    exec("def mine(in_channels): return in_channels", names)
    with pytest.raises(
        ValueError, match="it uses mine, which has no source. Write it into a file or a notebook's cell"
    ):
        Experiment(backbone=names["mine"])


def test_a_file_that_was_edited_does_not_lend_its_new_text_to_the_code_that_runs(mine, tmp_path):
    text = "\ndef inner(x): return [y for y in x]\ndef Mine(in_channels):\n    return {}\n"
    former, file = mine(text.format(1)), tmp_path / "mine_too.py"
    file.write_text("import math\n" * 3 + text.format(1))  # moved, but the same
    before = fingerprint(former)
    file.write_text(text.format(22))
    assert fingerprint(former) == before  # of what runs: its id stands while a training lasts
    assert fingerprint(mine(text.format(1))) == before
    unseen = mine(text.format(3))
    file.write_text(text.format(22))
    with pytest.raises(ValueError, match="uses Mine, whose source in .*mine_too.py is not what runs.*importlib.reload"):
        Experiment(backbone=unseen)
    assert fingerprint(mine(text.format(22))) != before


CELL = """
from isomax_viz.learning.losses import PrototypeHead
class Mine(PrototypeHead):
    {decorator}
    def distances(self, features):
        return torch.cdist(features.float(), self.prototypes.float(), p=1){ending}
"""


def test_a_notebook_gives_the_source_too():
    """Its module is no file, and a cell that imports what it calls compiles to other bytecode than others."""
    from IPython.core.interactiveshell import InteractiveShell

    def print_in(*cells: str) -> str:
        shell = InteractiveShell()
        for cell in cells:
            shell.run_cell(cell).raise_error()
        return fingerprint(shell.user_ns["Mine"])

    plain, other = (CELL.format(decorator="", ending=ending) for ending in ("", " + 1"))
    decorated = CELL.format(decorator="@torch.no_grad()", ending="")
    alone = print_in("import torch", plain)
    assert alone == print_in("import torch\n" + plain) == print_in("%precision 3\nimport torch", "%time\n" + plain)
    assert alone == print_in("from __future__ import annotations\nimport torch", plain)
    assert alone == print_in("import asyncio, torch", plain + "await asyncio.sleep(0)")
    assert len({alone, print_in("import torch", other), print_in("import torch", decorated)}) == 3


def test_the_loss_of_the_page_is_the_same_in_one_cell_and_in_two():
    from IPython.core.interactiveshell import InteractiveShell

    page = (ROOT / "docs/how_to/your_loss.md").read_text(encoding="utf-8")
    imports, definition = page.partition("```python\n")[2].partition("\n\ncapture =")[0].split("\n\n\n")
    ids = []
    for cells in ([imports + "\n" + definition], [imports, definition], [imports, "# mine\n" + definition]):
        shell = InteractiveShell()
        for cell in cells:
            shell.run_cell(cell).raise_error()
        ids.append(Experiment(loss=shell.user_ns["ManhattanHead"]).id)
    assert len(set(ids)) == 1 and "ManhattanHead" in ids[0]


def made_by(width):
    def backbone(in_channels):
        return Flat(in_channels) if width else None

    return backbone


def test_functions_made_by_functions_are_told_apart_by_the_values_they_hold():
    for one, other in ((1, 2), (torch.ones(1), torch.zeros(1)), (gentle, CosineHead)):
        assert fingerprint(made_by(one)) == fingerprint(made_by(one)) != fingerprint(made_by(other))


class NoHead(nn.Module):
    pass


class Text(IsoMaxHead):
    settings = "entropic_scale"


class Demanding(Head):
    settings = ("margin",)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"loss": lambda n, k: IsoMaxHead(n, k)}, "loss must be one of 'softmax', .*is a lambda.*def my_loss"),
        ({"backbone": lambda in_channels: SmallCNN(in_channels)}, "is a lambda, which has no name to appear under"),
        ({"loss": IsoMaxHead(4, 3)}, "loss must be .*an object of type IsoMaxHead. Write a class or a function"),
        ({"loss": 5}, "loss must be one of .*a class or a function, but is 5"),
        ({"backbone": SmallCNN(1)}, "backbone must be .*an object of type SmallCNN"),
        ({"loss": NoHead}, "loss must be a class derived from isomax_viz.learning.losses.Head, but NoHead is not"),
        ({"loss": Demanding}, r"Demanding names the settings \['margin'\], which no Experiment has"),
        ({"loss": Text}, r"settings of Text must be a tuple of names.*settings = \('entropic_scale',\)"),
        ({"losss": "isomax"}, "has no setting 'losss'.*Did you mean 'loss'"),
        ({"held_out_classes": True}, r"held_out_classes must be class numbers such as \(8, 9\), but is True"),
        ({"held_out_classes": "8"}, "held_out_classes must be class numbers .*but is '8'"),
        ({"loss": "cosine"}, "loss must be one of .*A class or function of your own is accepted too"),
    ],
)
def test_what_can_not_be_told_apart_or_used_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        Experiment(**settings)


def no_module(in_channels):
    return 5


def no_size(in_channels):
    return nn.Flatten()


def no_head(num_features, num_classes):
    return nn.Linear(num_features, num_classes)


class NoInit(Head):
    def __init__(self, num_features, num_classes):
        self.num_features = num_features


class Pair(Flat):
    def forward(self, images):
        return super().forward(images), images


class Maps(nn.Module):
    num_features = WIDTH

    def __init__(self, in_channels):
        super().__init__()
        self.layer = nn.Conv2d(in_channels, WIDTH, 3)

    def forward(self, images):
        return self.layer(images)


class Wide(Flat):
    num_features = WIDTH + 1


class Broken(Flat):
    def forward(self, images):
        return super().forward(images) / 0


class Linear(Head):
    outputs = 0

    def __init__(self, num_features, num_classes):
        super().__init__(num_features, num_classes)
        self.layer = nn.Linear(num_features, num_classes + self.outputs)

    def forward(self, features):
        return self.layer(features)


class More(Linear):
    outputs = 3


class SeveralScales(Linear):
    def scales(self):
        return {"scale": self.layer.weight}


class NoScales(Linear):
    def scales(self):
        return 2.0


class Each(Linear):
    def criterion(self, class_logits, targets):
        return nn.functional.cross_entropy(class_logits, targets, reduction="none")


class OwnLoss(Linear):
    def loss(self, logits, targets):
        return super().loss(logits, targets) + 1


SHARED = Flat(1)


def same_each_time(in_channels):
    return SHARED


class Filled(Linear):
    def __init__(self, num_features, num_classes, sizes=[]):  # noqa: B006 - what is tested
        super().__init__(num_features, num_classes)
        sizes.append(num_features)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"backbone": no_module}, "backbone=no_module must give a torch.nn.Module with .*num_features.*but gave int"),
        ({"backbone": no_size}, "backbone=no_size must give .*num_features.*but gave Flatten"),
        ({"loss": no_head}, "loss=no_head must give a head derived from .*Head, but gave Linear"),
        ({"loss": NoInit}, r"loss=NoInit must call super\(\).__init__"),
        ({"backbone": Pair}, "backbone=Pair must give one feature vector of length 12 per picture.*but gave a tuple"),
        ({"backbone": Maps}, r"backbone=Maps must give one feature vector.*but gave shape \(2, 12, 6, 6\)"),
        ({"backbone": Wide}, r"backbone=Wide must give one feature vector of length 13.*but gave shape \(2, 12\)"),
        ({"backbone": Broken}, "backbone=Broken gives NaN or infinite numbers before anything is trained"),
        ({"loss": More}, r"loss=More must give one logit vector of length 10.*but gave shape \(2, 13\)"),
        ({"loss": SeveralScales}, r"Scales.scales must give a dict of single numbers.*Return \{name: tensor.item"),
        ({"loss": NoScales}, "NoScales.scales must give a dict of single numbers, .*but gave 2.0"),
        ({"loss": OwnLoss}, r"loss=OwnLoss has a method loss of its own.*write .* criterion\(self, class_logits"),
        ({"loss": Each}, r"Each.criterion must give one number that can be differentiated.*but gave shape \(2,\)"),
        ({"backbone": same_each_time}, "gives the same layers each time that it is called.*return copy.deepcopy"),
        ({"loss": Filled}, "changes while it is used.*its id would be another each time"),
    ],
)
def test_what_gives_something_else_says_so_before_anything_is_trained(settings, message, tmp_path, monkeypatch):
    monkeypatch.setattr("isomax_viz.experiments.run.train", lambda *a, **k: pytest.fail("trained"))
    with pytest.raises((TypeError, ValueError), match=message):
        Experiment(**settings, **TINY).run(store=tmp_path, progress=False)


class Narrow(IsoMaxHead):
    """Takes no entropic scale, though the head that it is derived from does."""

    def __init__(self, num_features, num_classes):
        super().__init__(num_features, num_classes)


def test_an_error_in_ones_own_code_tells_how_it_was_called(tmp_path):
    with pytest.raises(TypeError, match="unexpected keyword argument 'entropic_scale'") as caught:
        Experiment(loss=Narrow, **TINY).run(store=tmp_path, progress=False)
    assert caught.value.__notes__ == ["This was raised by loss=Narrow, called with (128, 10, entropic_scale=...)."]


def test_trying_it_out_changes_nothing_of_the_training(own, tmp_path, monkeypatch):
    experiment, capture, _ = own
    monkeypatch.setattr("isomax_viz.experiments.run.try_out", lambda *a, **k: None)
    plain = experiment.run(ood=("uniform",), store=tmp_path, progress=False)
    assert np.array_equal(plain.test.logits, capture.test.logits)


class Centres(Head):
    """Has distances, but calls its prototypes otherwise."""

    def __init__(self, num_features, num_classes):
        super().__init__(num_features, num_classes)
        self.centres = nn.Parameter(torch.randn(num_classes, num_features))

    def distances(self, features):
        return torch.cdist(features, self.centres)

    def forward(self, features):
        return -self.distances(features)


class Products(Head):
    """Has prototypes, but no distances to them."""

    def __init__(self, num_features, num_classes):
        super().__init__(num_features, num_classes)
        self.prototypes = nn.Parameter(torch.randn(num_classes, num_features))

    def forward(self, features):
        return features @ self.prototypes.T


def test_distances_are_those_that_the_head_gives_and_said_to_be(tmp_path):
    capture = Experiment(loss=Centres, **TINY).run(ood=("letters",), store=tmp_path, progress=False)
    for samples in (capture.test, capture.ood["letters"]):
        np.testing.assert_allclose(samples.distances, -samples.logits, atol=1e-6)
    assert capture.meta["distances"] == "distances that the head gives (it names no prototypes)"
    network = Experiment(loss=Centres, **TINY).network(store=tmp_path)
    data = iv.datasets.load_id("digits")
    letters = {"letters": iv.datasets.load_ood("letters", data)}
    again = iv.record(network, data.test, ood=letters, normalise=(data.mean, data.std))
    assert again.meta["distances"] == "distances that the head gives (it names no prototypes)"
    np.testing.assert_allclose(again.ood["letters"].distances, -again.ood["letters"].logits, atol=1e-6)


def test_where_a_head_gives_no_distances_those_to_the_class_means_stand_in(tmp_path):
    experiment = Experiment(loss=Products, **TINY)
    for ood in ("letters", ("letters", "uniform")):  # one set joins the stored ones
        capture = experiment.run(ood=ood, store=tmp_path, progress=False)
    train = capture.train
    means = np.stack([train.features[train.labels == k].mean(axis=0) for k in range(10)])
    for samples in (train, capture.test, capture.ood["letters"], capture.ood["uniform"]):
        expected = np.linalg.norm(samples.features[:, None] - means, axis=2)
        np.testing.assert_allclose(samples.distances, expected, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(capture.prototypes, means, rtol=1e-4, atol=1e-4)
    said = "distances to the class means of the training features (the head gives no distances to its prototypes)"
    assert capture.meta["distances"] == said
    assert set(iv.evaluate([capture], scores="mds")["ood"]) == {"letters", "uniform"}


COMMON = """
import abc, argparse, collections, datetime, decimal, functools, operator, random, types, typing
import pydantic
import pandas as pd
"""
SLOTS = "class Box:\n    __slots__ = ('__x',)\n    def __init__(self, x): self.__x = x\nVALUE = Box({})"
FINDS = "class Box:\n    def find(self, x): return VALUE[0]\nVALUE = [{}, Box()]"


@pytest.mark.parametrize(
    "value",
    [
        "VALUE = argparse.Namespace(width={})",
        "VALUE = types.SimpleNamespace(width={})",
        "VALUE = decimal.Decimal({})",
        "VALUE = datetime.date(2020, 1, {})",
        "VALUE = collections.deque([{}])",
        "VALUE = types.MappingProxyType({{'width': {}}})",
        "VALUE = pd.Series([{}])",
        "VALUE = pd.DataFrame({{'a': ['x', '{}']}}, index=['y', 'z'])",
        "VALUE = np.array(['a', {}], dtype=object)",
        "VALUE = operator.itemgetter({})",
        "VALUE = {{'a': [functools.partial(operator.itemgetter({}))]}}",
        "class Box(collections.deque): pass\nVALUE = Box([{}])",
        "VALUE = [{}]\nVALUE.append(VALUE)",
        "VALUE = types.SimpleNamespace(width={})\nVALUE.itself = {{'a': VALUE}}",
        "VALUE = collections.defaultdict(list, {{'a': {}}})",
        "def f(x): return {}\nVALUE = {{f}}",
        "def f(x): return {}\nVALUE = {{f: 1}}",
        "class Box(typing.NamedTuple):\n    x: int = {}\nVALUE = Box()",
        "Box = collections.namedtuple('Box', 'x', defaults=[{}])\nVALUE = Box",
        "class Box(pydantic.BaseModel):\n    x: int = {}\nVALUE = Box",
        "class Box(abc.ABC):\n    @abc.abstractmethod\n    def x(self): return {}\nVALUE = Box",
        "@dataclasses.dataclass\nclass VALUE:\n    x: list = dataclasses.field(default_factory=lambda: [{}])",
        "@functools.singledispatch\ndef VALUE(x): return {}",
        "class Type(type):\n    def __call__(self): return {}\nclass VALUE(metaclass=Type): pass",
        "def f(): pass\nf.width = {}\nVALUE = f",
        "VALUE = functools.partialmethod(max, {})",
        "class Box:\n    def x(self): return {}\nVALUE = Box().x",
        "VALUE = (lambda x: x, lambda x: {})",
        SLOTS,
        FINDS,
    ],
)
def test_values_of_common_types_count_by_what_they_hold(value, mine):
    texts = [IMPORTS + COMMON + value.format(number) + "\ndef Mine(in_channels): return VALUE" for number in (1, 2, 1)]
    prints = [fingerprint(mine(text)) for text in texts]
    assert prints[0] == prints[2] != prints[1]
    defaults = [text.replace("(in_channels): return VALUE", "(in_channels, more=VALUE): return 1") for text in texts]
    prints = [fingerprint(mine(text)) for text in defaults]
    assert prints[0] == prints[2] != prints[1]


def test_the_order_of_a_dict_counts_but_not_that_of_a_set(mine):
    """The one may be that of layers, the other differs from process to process."""
    text = IMPORTS + "VALUE = {}\ndef Mine(in_channels): return VALUE"
    assert fingerprint(mine(text.format("{'a': 1, 'b': 2}"))) != fingerprint(mine(text.format("{'b': 2, 'a': 1}")))
    assert fingerprint(mine(text.format("{'a', 'b', 1}"))) == fingerprint(mine(text.format("{1, 'b', 'a'}")))


def test_values_give_the_same_text_in_every_process(mine, tmp_path):
    values = """VALUE = [
        pd.Series({'a': [1]}), collections.deque([2]), {operator.itemgetter(1), decimal.Decimal(1)}, {"a", "b", "c"},
        nn.BatchNorm2d(2), torch.ones(3), nn.ReLU, np.exp, torch.sin, enum.Enum("A", "B"), torch.device("cpu"),
    ]"""
    first = fingerprint(mine(IMPORTS + COMMON + values + "\ndef Mine(in_channels): return VALUE"))
    code = (
        "from mine_too import Mine; from isomax_viz.learning.custom_code import fingerprint; print(fingerprint(Mine))"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    command = [sys.executable, "-B", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)
    assert done.stdout.strip() == first, done.stderr


@pytest.mark.parametrize(
    ("value", "use"),
    [
        ("logging.getLogger('mine')", "VALUE.isEnabledFor(10)"),
        ("datasets.load_id('digits')", "VALUE.train.fingerprint, VALUE.mean"),
    ],
)
def test_what_changes_by_being_used_does_not_change_the_identity(value, use, mine):
    """An experiment would have another id after its training."""
    imports = "import logging\nfrom isomax_viz import datasets\n"
    thing = mine(IMPORTS + imports + f"VALUE = {value}\ndef Mine(in_channels): return {use}\n")
    before = fingerprint(thing)
    thing(1)
    assert fingerprint(thing) == before


def test_a_global_with_the_name_of_an_attribute_is_another_thing(mine):
    """In a notebook, where ``data`` is both."""
    texts = [
        IMPORTS + COMMON + f"data = pd.Series([{number}])\ndef Mine(in_channels): return in_channels.data{more}"
        for number, more in ((1, ""), (2, ""), (1, ", [data for _ in '12']"), (2, ", [data for _ in '12']"))
    ]
    one, two, used, used_too = (fingerprint(mine(text)) for text in texts)
    assert one == two and len({one, used, used_too}) == 3


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("memoryview(b'a')", "memoryview"),
        ("[threading.Lock()]", "lock"),
        ("open(__file__)", "TextIOWrapper"),
        ("{'a': torch.ones(1, device='meta')}", "Tensor"),
        ("functools.partial(max, threading.Lock())", "lock"),
    ],
)
def test_a_value_that_nothing_tells_apart_is_refused(value, kind, mine):
    thing = mine(IMPORTS + f"import threading\nVALUE = {value}\ndef Mine(in_channels): return VALUE")
    message = f"backbone 'Mine' can't be identified: it uses an object of type {kind}, whose content .* Make it inside"
    with pytest.raises(ValueError, match=message):
        Experiment(backbone=thing)


renamed = os.remove


@pytest.mark.parametrize(
    ("module", "name", "message"),
    [
        ("shutil", "rmtree", "shutil, which is part of an installed library. Pass the object itself"),
        ("torch.nn", "Linear", "is part of an installed library"),
        ("isomax_viz.store.folder", "Store", "is part of an installed library"),
        (__name__, "os.remove", "is neither a function defined there nor a class derived from Module"),
        (__name__, "Path", "is neither a function defined there nor a class derived from Module"),
        (__name__, "iv", "is neither a function defined there nor a class derived from Module"),
        (__name__, "renamed", "is neither a function defined there nor a class derived from Module"),
        (__name__, "Experiment.id", "is neither a function defined there nor a class derived from Module"),
    ],
)
def test_a_description_can_name_only_own_definitions_and_calls_nothing(module, name, message):
    """A stored capture or a file from elsewhere may say anything."""
    with pytest.raises(ValueError, match=message):
        Experiment.from_json(json.dumps({"backbone": f"{module}:{name}#000000000000"}))
    with pytest.raises(ValueError, match="installed library|derived from Head"):
        Experiment.from_json(json.dumps({"loss": f"{module}:{name}#000000000000"}))


def test_a_backbone_is_no_head_though_both_are_modules():
    with pytest.raises(ValueError, match="nor a class derived from Head"):
        Experiment(loss=reference(Flat))
    assert Experiment(backbone=reference(Flat)).backbone is Flat
