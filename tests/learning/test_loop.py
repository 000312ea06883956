"""Training: protocols, batches, checkpoints that survive a kill, selection of epochs, precision."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from isomax_viz import Experiment, datasets
from isomax_viz.learning.backbones import Classifier, fast_cnn, fast_cnn_small, small_cnn
from isomax_viz.learning.losses import Head, IsoMax2Head, IsoMaxHead, IsoMaxPlusHead, PrototypeHead, SoftMaxHead
from isomax_viz.learning.training import batches as batches_module
from isomax_viz.learning.training import hardware as devices
from isomax_viz.learning.training.batches import Batches
from isomax_viz.learning.training.checkpoint import Checkpoint, TrainingState
from isomax_viz.learning.training.hardware import choose_precision, compile_pays, suitable_threads
from isomax_viz.learning.training.loop import TrainingError, train
from isomax_viz.learning.training.outliers import Outliers
from isomax_viz.learning.training.protocols import PRESETS, Protocol, Recipe, protocol_for
from isomax_viz.learning.training.start import held_out_split
from isomax_viz.store.folder import Store

CPU = torch.device("cpu")
SHORT = Protocol(epochs=3, milestones=(2,))


@pytest.fixture(scope="module")
def data():
    return datasets.load_id("digits").with_examples_per_class(12, seed=0)


def network(head=IsoMaxHead, seed=0) -> Classifier:
    torch.manual_seed(seed)
    return Classifier(small_cnn(1), head(128, 10))


def state(model: nn.Module) -> dict[str, np.ndarray]:
    return {name: value.numpy().copy() for name, value in model.state_dict().items()}


def same(a, b) -> bool:
    return all(np.array_equal(a[name], b[name]) for name in a)


def test_the_papers_protocol():
    paper = protocol_for("paper", data="cifar10", backbone="densenet_bc100", loss="isomax")
    rates = [
        round(paper.learning_rate * paper.learning_rate_factor(epoch), 6) for epoch in (1, 150, 151, 200, 201, 251)
    ]
    assert rates == [0.1, 0.1, 0.01, 0.01, 0.001, 0.0001]
    assert (paper.batch_size, paper.momentum, paper.weight_decay, paper.select) == (64, 0.9, 1e-4, "last")
    assert protocol_for("paper", data="tinyimagenet", backbone="resnet34", loss="isomax").epochs == 90
    warm = protocol_for("paper", data="cifar100", backbone="resnet110", loss="softmax")
    assert [round(warm.learning_rate * warm.learning_rate_factor(epoch), 6) for epoch in (1, 2)] == [0.01, 0.1]
    for other in ({"loss": "isomax"}, {"data": "cifar10"}, {"backbone": "resnet34"}):
        combination = {"data": "cifar100", "backbone": "resnet110", "loss": "softmax"} | other
        assert protocol_for("paper", **combination).warmup_epochs == 0


def test_one_step_is_nesterov_sgd_with_slow_scales(data):
    """The first update of every parameter against the formula, for the loss with two groups of parameters."""
    model = network(IsoMax2Head)
    one = Protocol(epochs=1, milestones=(), batch_size=len(data.train))  # a single batch
    before = {name: value.clone() for name, value in model.named_parameters()}
    twin = network(IsoMax2Head)
    order = torch.randperm(len(data.train), generator=torch.Generator().manual_seed(0))
    batches = Batches(data.train, mean=data.mean, std=data.std, device=CPU)
    images, targets = next(batches.in_order(len(data.train)))
    twin.train()
    twin.head.loss(twin(images[order]), targets[order]).backward()
    train(model, data, one, seed=0, device=CPU, progress=False)
    for (name, after), gradient in zip(model.named_parameters(), (p.grad for p in twin.parameters()), strict=True):
        slow = name in ("head.class_scales", "head.class_tilts")
        rate, decay = (0.01, 0.0) if slow else (0.1, 1e-4)
        step = gradient + decay * before[name]
        # Nesterov's first step: gradient + momentum * (momentum buffer = gradient).
        expected = before[name] - rate * 1.9 * step
        torch.testing.assert_close(after, expected, rtol=1e-4, atol=1e-5, msg=name)


def test_a_training_goes_on_from_its_checkpoint_to_the_identical_weights(data, tmp_path):
    whole, parts = network(), network()
    history = train(whole, data, SHORT, seed=3, padding=1, flip=True, device=CPU, progress=False)
    checkpoint = Checkpoint(tmp_path / "c.safetensors", every_s=0)
    train(parts, data, replace(SHORT, epochs=2), seed=3, padding=1, flip=True, device=CPU, progress=False,
          checkpoint=checkpoint)  # fmt: skip
    resumed = network(seed=99)  # whatever it holds is replaced
    again = train(resumed, data, SHORT, seed=3, padding=1, flip=True, device=CPU, progress=False,
                  checkpoint=Checkpoint(tmp_path / "c.safetensors", every_s=0))  # fmt: skip
    assert same(state(whole), state(resumed))
    assert again.equals(history)


KILLED = """
import sys
from isomax_viz import Experiment
experiment = Experiment(loss="isomax+", epochs=6, examples_per_class=60)
experiment.run(ood="uniform", store=sys.argv[1], progress=False, checkpoint_every_s=0)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL there")
def test_kill_9_in_mid_training_then_resume_gives_the_uninterrupted_result(tmp_path):
    experiment = Experiment(loss="isomax+", epochs=6, examples_per_class=60)
    whole = experiment.run(ood="uniform", store=tmp_path / "whole", progress=False)
    unfinished = Store(tmp_path / "killed").checkpoint_path(experiment.id)
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path / "killed")])
    deadline = time.monotonic() + 120
    while not unfinished.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "it finished before it could be killed"
    assert experiment.id not in Store(tmp_path / "killed")
    assert unfinished.exists()
    resumed = experiment.run(ood="uniform", store=tmp_path / "killed", progress=False)
    assert np.array_equal(whole.test.logits, resumed.test.logits)
    assert whole.history.equals(resumed.history)
    assert not unfinished.exists()  # cleaned up once the result is stored


def test_a_damaged_checkpoint_means_a_fresh_start(data, tmp_path, caplog):
    path = tmp_path / "c.safetensors"
    path.write_bytes(b"no checkpoint")
    model, fresh = network(), network()
    train(model, data, SHORT, device=CPU, progress=False, checkpoint=Checkpoint(path))
    train(fresh, data, SHORT, device=CPU, progress=False)
    assert "is damaged" in caplog.text and same(state(model), state(fresh))


def test_a_checkpoint_that_can_not_be_written_does_not_stop_the_training(data, tmp_path, caplog):
    (tmp_path / "file").write_text("in the way")
    checkpoint = Checkpoint(tmp_path / "file" / "c.safetensors", every_s=0)
    history = train(network(), data, SHORT, device=CPU, progress=False, checkpoint=checkpoint)
    assert history["epoch"].max() == 3 and "No checkpoint could be written" in caplog.text


def test_the_epoch_kept_is_the_one_asked_for(data):
    last, best = network(seed=1), network(seed=1)
    protocol = Protocol(epochs=4, milestones=(), learning_rate=0.5)  # restless enough for the best not to be the last
    history = train(last, data, protocol, device=CPU, progress=False)
    train(best, data, replace(protocol, select="best_test"), device=CPU, progress=False)
    test = Batches(data.test, mean=data.mean, std=data.std, device=CPU)

    def accuracy(model):
        model.eval()
        with torch.no_grad():
            return np.mean(
                [
                    (model(images).argmax(dim=1) == targets).float().mean().item()
                    for images, targets in test.in_order(599)
                ]
            )

    accuracies = history.query("split == 'test'")["accuracy"]
    assert accuracy(last) == pytest.approx(accuracies.iloc[-1], abs=1e-6)
    assert accuracy(best) == pytest.approx(accuracies.max(), abs=1e-6)


def test_validation_pictures_are_held_out_of_every_class(data):
    learned, held = held_out_split(data.train, 0.25, seed=0)
    assert np.bincount(held.labels).tolist() == [3] * 10 and np.bincount(learned.labels).tolist() == [9] * 10
    pixels = {image.tobytes() for image in learned.images}
    assert not any(image.tobytes() in pixels for image in held.images)
    history = train(network(), data, replace(SHORT, validation=0.25), device=CPU, progress=False)
    assert list(history["split"].unique()) == ["train", "validation", "test"]
    with pytest.raises(ValueError, match="select='best_validation' needs pictures held out"):
        train(network(), data, replace(SHORT, select="best_validation"), device=CPU, progress=False)
    with pytest.raises(ValueError, match="select='best_validation' needs pictures held out"):
        Experiment(select="best_validation")


def test_too_high_a_learning_rate_stops_with_advice(data):
    with pytest.raises(
        TrainingError, match=r"became nan in epoch \d at learning rate 1e\+30.*Try a lower learning rate"
    ):
        train(network(IsoMaxPlusHead), data, Protocol(3, (), learning_rate=1e30), device=CPU, progress=False)


def test_examples_per_class(tmp_path):
    few = datasets.load_id("digits").with_examples_per_class(7, seed=1)
    assert np.bincount(few.train.labels).tolist() == [7] * 10
    assert not np.array_equal(
        few.train.images, datasets.load_id("digits").with_examples_per_class(7, seed=2).train.images
    )
    with pytest.raises(ValueError, match=r"examples_per_class must be at most \d+ for 'digits'"):
        Experiment(examples_per_class=1000, preset="smoke").run(store=tmp_path)
    capture = Experiment(examples_per_class=7, preset="smoke").run(ood="uniform", store=tmp_path, progress=False)
    assert len(capture.train) == 70


def test_streamed_pictures_give_the_same_batches_as_those_on_the_device(data):
    options = {"mean": data.mean, "std": data.std, "device": CPU}
    kept, streamed = Batches(data.train, stream=False, **options), Batches(data.train, stream=True, **options)
    for function, arguments in (("in_order", {}), ("shuffled", {"padding": 2, "flip": True, "reflect": False})):
        for _ in range(2):
            pairs = []
            for batches in (kept, streamed):
                extra = {"generator": torch.Generator().manual_seed(0)} if arguments else {}
                pairs.append(list(getattr(batches, function)(50, **arguments, **extra)))
            for (a, labels_a), (b, labels_b) in zip(*pairs, strict=True):
                assert torch.equal(a, b) and torch.equal(labels_a, labels_b)


def test_precision_is_chosen_by_the_processor_and_the_size_of_the_pictures(monkeypatch):
    assert choose_precision("auto", CPU, side=8) == torch.float32  # too small to gain
    assert choose_precision("bfloat16", CPU, side=8) == torch.bfloat16
    for features, expected in (
        ({"avx2", "avx512_bf16", "amx_bf16"}, torch.bfloat16),
        ({"avx2", "avx512_bf16"}, torch.float32),  # vector instructions alone were measured to be slower
        ({"avx2"}, torch.float32),
        (set(), torch.float32),
    ):
        monkeypatch.setattr(devices, "cpu_features", lambda answer=features: frozenset(answer))
        assert choose_precision("auto", CPU, side=32) == expected
        # Wide convolutions gain from vector instructions too, but not from compiling.
        wide = torch.bfloat16 if features & {"avx512_bf16", "amx_bf16"} else torch.float32
        for backbone in (fast_cnn(), fast_cnn_small()):
            assert choose_precision("auto", CPU, side=32, backbone=backbone) == wide
            assert choose_precision("auto", CPU, side=8, backbone=backbone) == torch.float32
            assert not compile_pays(CPU, torch.bfloat16, pixels=1e12, backbone=backbone)
            assert compile_pays(torch.device("cuda"), torch.bfloat16, pixels=1e12, backbone=backbone)
        assert compile_pays(CPU, torch.bfloat16, pixels=1e12) == ("amx_bf16" in features)
    monkeypatch.setattr(devices, "cpu_features", lambda: frozenset({"amx_bf16"}))
    assert not compile_pays(CPU, torch.float32, pixels=1e12)
    assert not compile_pays(CPU, torch.bfloat16, pixels=1e5)
    with pytest.raises(ValueError, match="precision must be one of 'auto', 'float32', 'bfloat16', but is 'half'"):
        Experiment(precision="half")


def test_the_fast_mode_learns_what_float32_learns():
    data = datasets.load_id("digits").with_examples_per_class(60, seed=0)
    data = replace(data, test=data.test.subset(np.arange(0, len(data.test), 3)))  # bfloat16 is slow on most processors
    accuracies = {}
    for precision in ("float32", "bfloat16"):
        model = network()
        protocol = PRESETS["teaching"].with_epochs(6)
        history = train(model, data, protocol, device=CPU, precision=precision, progress=False)
        assert history.attrs["computing"] == {"precision": precision, "compiled": False}
        assert all(parameter.dtype == torch.float32 for parameter in model.parameters())
        accuracies[precision] = history["accuracy"].iloc[-1]
    assert accuracies["float32"] > 0.9
    assert accuracies["bfloat16"] == pytest.approx(accuracies["float32"], abs=0.05)


class OneConvolution(nn.Module):
    """Small enough to be compiled in a test."""

    num_features = 16

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(1, 16, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.layers(images)


@pytest.mark.skipif(shutil.which("c++") is None, reason="compiling for the CPU needs a C++ compiler")
def test_a_compiled_backbone_learns_the_same_weights(data):
    states = []
    for compiled in (False, True):
        torch.manual_seed(0)
        model = Classifier(OneConvolution(), IsoMaxHead(16, 10))
        history = train(model, data, SHORT, device=CPU, precision="float32", compile=compiled, progress=False)
        assert history.attrs["computing"] == {"precision": "float32", "compiled": compiled}
        states.append(model.state_dict())
    assert states[0].keys() == states[1].keys()
    for name, value in states[0].items():
        torch.testing.assert_close(states[1][name], value, rtol=1e-3, atol=1e-4)


def test_a_machine_that_can_not_compile_trains_uncompiled_and_says_so(data, monkeypatch, caplog):
    def broken(*_, **__):
        def fail(*_):
            raise RuntimeError("no compiler here")

        return fail

    monkeypatch.setattr(torch, "compile", broken)
    model, plain = network(), network()
    history = train(model, data, SHORT, device=CPU, precision="float32", compile=True, progress=False)
    assert "could not be compiled and runs uncompiled: no compiler here" in caplog.text
    assert history.attrs["computing"]["compiled"] is False
    train(plain, data, SHORT, device=CPU, precision="float32", progress=False)
    assert same(state(model), state(plain))  # the attempt left no trace


def test_small_pictures_use_one_thread_and_the_number_is_restored():
    before = torch.get_num_threads()
    with suitable_threads(CPU, side=8):
        assert torch.get_num_threads() == 1
    with suitable_threads(CPU, side=32):
        assert torch.get_num_threads() == before
    assert torch.get_num_threads() == before


def test_validation_leaves_something_to_learn_from_in_every_class():
    images = datasets.from_arrays(np.zeros((5, 8, 8, 1), np.uint8), [0, 0, 0, 1, 1], class_names=("a", "b"))
    learned, held = held_out_split(images, 0.9, seed=0)
    assert np.bincount(learned.labels).tolist() == [1, 1] and np.bincount(held.labels).tolist() == [2, 1]
    with pytest.raises(
        ValueError, match="validation=0.1 needs at least 2 training pictures of each class, but 'b' has 1"
    ):
        held_out_split(images.subset([0, 1, 3]), 0.1, seed=0)


def test_a_checkpoint_of_another_device_means_a_fresh_start(data, tmp_path, caplog):
    checkpoint = Checkpoint(tmp_path / "c.safetensors", every_s=0)
    train(network(), data, replace(SHORT, epochs=1), device=CPU, progress=False, checkpoint=checkpoint)
    tensors, written = checkpoint.load()
    checkpoint.save(tensors, written | {"device": "cuda"})
    model, fresh = network(), network()
    train(model, data, SHORT, device=CPU, progress=False, checkpoint=checkpoint)
    train(fresh, data, SHORT, device=CPU, progress=False)
    assert "was begun on" in caplog.text and "starts afresh" in caplog.text and same(state(model), state(fresh))


def other_checkpoints():
    """Give the arguments of a training that differ from those of the checkpoint, by what differs."""
    few = datasets.load_id("digits").with_examples_per_class(11, seed=0)
    noise = Outliers(Recipe("oe", "noise", 0.5), few.train)
    return {
        "pictures": {"data": few},
        "protocol": {"protocol": replace(SHORT, learning_rate=0.05)},
        "fewer epochs": {"protocol": replace(SHORT, epochs=1)},
        "one cycle": {"protocol": replace(SHORT, one_cycle=True, epochs=4)},
        "seed": {"seed": 1},
        "augmentation": {"padding": 1},
        "mirrored": {"flip": True},
        "precision": {"precision": "bfloat16"},
        "loss": {"head": SoftMaxHead},
        "setting": {"head": lambda n, k: IsoMaxHead(n, k, entropic_scale=3)},
        "outliers": {"outliers": noise},
    }


def from_there_and_afresh(path, **arguments) -> tuple[bool, int]:
    """Return whether both trainings end with the same weights, and after how many epochs."""
    arguments = {"protocol": SHORT, "device": CPU, "progress": False} | arguments
    head = arguments.pop("head", IsoMaxHead)
    there, fresh = network(head), network(head)
    history = train(there, **arguments, checkpoint=Checkpoint(path))
    train(fresh, **arguments)
    return same(state(there), state(fresh)), history["epoch"].max()


@pytest.mark.parametrize("what", other_checkpoints())
def test_a_checkpoint_of_another_training_means_a_fresh_start(what, data, tmp_path, caplog):
    other = other_checkpoints()[what]
    begun = replace(SHORT, one_cycle=True) if what == "one cycle" else SHORT
    path = tmp_path / "c.safetensors"
    two = replace(begun, epochs=2)
    train(network(seed=5), data, two, device=CPU, progress=False, checkpoint=Checkpoint(path, every_s=0))
    assert from_there_and_afresh(path, **{"data": data, **other}) == (True, other.get("protocol", SHORT).epochs)
    assert "belongs to another training" in caplog.text and "a file of its own" in caplog.text


def test_a_checkpoint_that_does_not_say_what_it_belongs_to_means_a_fresh_start(data, tmp_path, caplog):
    path = tmp_path / "c.safetensors"
    checkpoint = Checkpoint(path, every_s=0)
    train(network(seed=5), data, SHORT, seed=7, device=CPU, progress=False, checkpoint=checkpoint)
    tensors, written = checkpoint.load()
    checkpoint.save(tensors, {name: value for name, value in written.items() if name != "training"})
    assert from_there_and_afresh(path, data=data) == (True, 3) and "an earlier version's" in caplog.text
    save_file({"weights": torch.ones(1)}, path)  # of another program, without metadata
    assert from_there_and_afresh(path, data=data) == (True, 3) and "is damaged" in caplog.text


class NormalisedLast(nn.Module):
    """Normalises single numbers, as torchvision's ResNet18 does at 32x32: one picture has no variance."""

    num_features = 16

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(1, 16, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.BatchNorm1d(16))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.layers(images)


@pytest.mark.parametrize("stream", [False, True])
def test_a_last_batch_of_one_joins_the_one_before(stream, monkeypatch):
    monkeypatch.setattr("isomax_viz.learning.training.batches.device_memory", lambda device: 0 if stream else 2**40)
    data = datasets.load_id("digits").with_examples_per_class(13, seed=0)
    data = replace(data, train=data.train.subset(np.arange(121)))
    torch.manual_seed(0)
    model = Classifier(NormalisedLast(), SoftMaxHead(16, 10))
    seen = []
    model.head.register_forward_hook(lambda head, _, logits: seen.append(len(logits)) if head.training else None)
    protocol = Protocol(epochs=1, milestones=(), batch_size=40)
    train(model, data, protocol, device=CPU, progress=False)
    assert seen == [40, 40, 41]
    # As many outliers are beside them, also where these are used up in the middle of an epoch.
    seen.clear()
    outliers = Outliers(Recipe("oe", "noise", 0.5), data.train.subset(np.arange(33)))
    train(model, data, protocol, device=CPU, progress=False, outliers=outliers)
    assert seen == [80, 80, 82]


def test_what_is_streamed_gives_the_same_weights_with_dropout(data, monkeypatch):
    """Free memory decides about streaming; it must not decide about the numbers."""
    states = []
    for memory in (0, 2**40):
        monkeypatch.setattr("isomax_viz.learning.training.batches.device_memory", lambda device, answer=memory: answer)
        torch.manual_seed(0)
        model = Classifier(nn.Sequential(small_cnn(1), nn.Dropout(0.5)), IsoMaxHead(128, 10))
        train(model, data, SHORT, device=CPU, progress=False)
        states.append(state(model))
    assert same(*states)


class Plain(Head):
    def __init__(self, num_features, num_classes):
        super().__init__(num_features, num_classes)
        self.w = nn.Linear(num_features, num_classes)
        self.seen = set()

    def forward(self, features):
        self.seen.add((features.dtype, torch.is_autocast_enabled("cpu")))
        return self.w(features)


class Products(PrototypeHead):
    seen = frozenset()

    def forward(self, features):
        self.seen |= {(features.dtype, torch.is_autocast_enabled("cpu"))}
        return features @ self.prototypes.T


class Distances(Products):
    def forward(self, features):
        super().forward(features)
        return -torch.cdist(features, self.prototypes)


@pytest.mark.parametrize("head", [Plain, Products, Distances])
def test_heads_get_float32_outside_autocast(head, data):
    model = network(head)
    noise = Outliers(Recipe("oe", "noise", 0.5), data.train)
    one = Protocol(epochs=1, milestones=())
    history = train(model, data, one, device=CPU, precision="bfloat16", progress=False, outliers=noise)
    assert model.head.seen == {(torch.float32, False)} and history.attrs["computing"]["precision"] == "bfloat16"


class Scaled(IsoMaxHead):
    def scales(self):
        return {"number": np.float32(0.5), "tensor": self.prototypes.sum(), "one": torch.ones(1), "whole": 2}


def test_scales_of_any_kind_of_number_can_be_written_to_a_checkpoint(data, tmp_path, caplog):
    checkpoint = Checkpoint(tmp_path / "c.safetensors", every_s=0)
    history = train(network(Scaled), data, SHORT, device=CPU, progress=False, checkpoint=checkpoint)
    assert checkpoint.load()[1]["rows"] == history.to_dict("records") and not caplog.text
    assert history[["number", "one", "whole"]].iloc[0].tolist() == [0.5, 1.0, 2.0]


def test_with_outliers_the_example_to_compile_is_as_long_as_the_batches(data, monkeypatch):
    """Otherwise the first graph is compiled for nothing."""
    shapes = []

    def compiled(backbone, example, **_):
        def watched(images):
            shapes.append((images.shape, images.stride()))
            return backbone(images)

        shapes.append((example.shape, example.stride()))
        return watched

    monkeypatch.setattr(devices, "compiled", compiled)
    noise = Outliers(Recipe("oe", "noise", 0.5), data.train)
    for outliers, n in ((None, 60), (noise, 120)):
        shapes.clear()
        protocol = replace(SHORT, batch_size=60)
        train(network(), data, protocol, device=CPU, compile=True, outliers=outliers, progress=False)
        assert len(shapes) > 2 and set(shapes) == {shapes[0]} and shapes[0][0][0] == n


def test_a_compiler_that_fails_without_a_word_is_done_without_too(data, monkeypatch, caplog):
    def fail(*_):
        raise NotImplementedError

    monkeypatch.setattr(torch, "compile", lambda *_, **__: fail)
    history = train(network(), data, SHORT, device=CPU, precision="float32", compile=True, progress=False)
    assert "runs uncompiled: NotImplementedError" in caplog.text and not history.attrs["computing"]["compiled"]


@pytest.mark.parametrize(("deterministic", "inside"), [(False, (True, True)), (True, (True, False))])
def test_a_caller_who_is_only_warned_stays_so(deterministic, inside, data, monkeypatch):
    def asked():
        return torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()

    seen = set()
    model = network()
    model.register_forward_hook(lambda *_: None)
    model.head.register_forward_hook(lambda *_: seen.add(asked()))
    before = asked()
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        train(model, data, SHORT, device=CPU, deterministic=deterministic, progress=False)
        assert asked() == (True, True) and seen == {inside}
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])


class HalfBuffer(nn.Module):
    """Keeps a buffer in bfloat16, and a tensor or something else as extra state."""

    num_features = 64

    def __init__(self, extra):
        super().__init__()
        self.flat = nn.Flatten()
        self.register_buffer("shift", torch.full((1,), 0.5, dtype=torch.bfloat16))
        self.extra = extra

    def forward(self, images):
        return self.flat(images) + self.shift.float()

    def get_extra_state(self):
        return self.extra

    def set_extra_state(self, state):
        self.extra = state


def with_a_tensor(in_channels):
    return HalfBuffer(torch.tensor([4]))


def with_a_word(in_channels):
    return HalfBuffer("a word")


def test_buffers_in_bfloat16_and_extra_states_are_saved(tmp_path):
    experiment = Experiment(backbone=with_a_tensor, preset="smoke", examples_per_class=7)
    capture = experiment.run("uniform", store=tmp_path, progress=False)
    network = experiment.network(store=tmp_path)
    assert network.backbone.shift.dtype == torch.bfloat16 and network.backbone.extra.tolist() == [4]
    logits = network.head(torch.from_numpy(capture.test.features.copy()))
    np.testing.assert_allclose(logits.detach().numpy(), capture.test.logits, rtol=1e-5)


def test_a_state_that_can_not_be_saved_is_refused_before_training(data, tmp_path, monkeypatch):
    monkeypatch.setattr(Batches, "shuffled", lambda *a, **k: pytest.fail("trained"))
    with pytest.raises(TypeError, match="must be tensors, but 'backbone._extra_state' is of type str.*return a tensor"):
        Experiment(backbone=with_a_word, preset="smoke").run("uniform", store=tmp_path, progress=False)


def a_head_that_scales(num_features, num_classes):
    return IsoMax2Head(num_features, num_classes)


def test_a_function_that_returns_a_head_with_scales_gets_their_learning_rate(data):
    rates = []
    for experiment in (
        Experiment(loss=a_head_that_scales, scales_learning_rate=1.0),
        Experiment(loss="isomax2", scales_learning_rate=1.0),
        Experiment(loss=a_head_that_scales),
    ):
        model = network(IsoMax2Head)
        train(model, data, experiment.protocol.with_epochs(1), device=CPU, progress=False)
        rates.append(model.head.class_scales.tolist())
    assert rates[0] == rates[1] != rates[2]


def test_the_best_epoch_by_validation_looks_at_the_validation_pictures():
    model = network()
    state = training_state(model, "best_validation")
    for weight, validation, test in ((1.0, 0.5, 0.1), (2.0, 0.9, 0.2), (3.0, 0.8, 0.9)):
        nn.init.constant_(model.head.prototypes, weight)
        state.add({"validation": {"accuracy": validation}, "test": {"accuracy": test}})
    assert (state.kept["head.prototypes"] == 2).all()


def training_state(model, select="best_test") -> TrainingState:
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    return TrainingState(model, optimizer, torch.Generator(), select)


def test_a_checkpoint_holds_the_epoch_that_is_kept(tmp_path):
    model, checkpoint = network(), Checkpoint(tmp_path / "c.safetensors", every_s=0)
    before = training_state(model)
    for weight, accuracy in ((1.0, 0.9), (2.0, 0.5)):
        nn.init.constant_(model.head.prototypes, weight)
        before.add({"test": {"accuracy": accuracy}})
    checkpoint.keep(before)
    after = training_state(network())
    checkpoint.resume(after, digest="", epochs=9)
    assert after.epoch == 2 and after.best == 0.9
    assert (after.model.head.prototypes == 2).all()  # goes on from the last epoch
    after.add({"test": {"accuracy": 0.7}})
    assert (after.kept["head.prototypes"] == 1).all()  # but the first is kept


@pytest.fixture
def steps(monkeypatch):
    """Keep learning rate and weight decay of every group of parameters, at every step of the optimiser."""
    seen, step = [], torch.optim.SGD.step

    def watched(self, *arguments):
        seen.append([(group["lr"], group["weight_decay"]) for group in self.param_groups])
        return step(self, *arguments)

    monkeypatch.setattr(torch.optim.SGD, "step", watched)
    return seen


def test_the_one_cycle_rate_changes_with_every_batch(data, steps):
    protocol = Protocol(epochs=2, milestones=(), batch_size=50, learning_rate=0.2, one_cycle=True)
    train(network(), data, protocol, device=CPU, progress=False)
    middles = [(epoch + done) / 2 for epoch in (0, 1) for done in (25 / 120, 75 / 120, 110 / 120)]
    expected = [0.2 * (share / 0.25 if share < 0.25 else (1 - share) / 0.75) for share in middles]
    assert [groups[0][0] for groups in steps] == pytest.approx(expected)


def test_the_optimiser_gets_rate_and_decay_of_the_scales(data, steps):
    protocol = replace(SHORT, epochs=1, scales_learning_rate=0.5, scales_weight_decay=True)
    train(network(IsoMax2Head), data, protocol, device=CPU, progress=False)
    assert steps[0] == [(0.1, 1e-4), (0.05, 1e-4)]


def test_an_experiment_trains_with_its_augmentation_seed_and_precision(tmp_path, monkeypatch):
    augmented, precise = [], set()
    augment, both_logits = batches_module._augmented, Head.both_logits

    def watched_augmentation(pictures, *, generator, **options):
        augmented.append((generator.initial_seed(), torch.initial_seed(), options))
        return augment(pictures, generator=generator, **options)

    def watched_head(self, features):
        if self.training:
            precise.add(features.dtype)
        return both_logits(self, features)

    monkeypatch.setattr(batches_module, "_augmented", watched_augmentation)
    monkeypatch.setattr(Head, "both_logits", watched_head)
    source = replace(datasets.ID_SETS["digits"], padding=2)
    monkeypatch.setitem(datasets.ID_SETS, "digits", source)
    settings = {"preset": "smoke", "examples_per_class": 7, "seed": 5, "precision": "bfloat16"}
    capture = Experiment(**settings).run("uniform", store=tmp_path, progress=False)
    assert (
        all(call == (5, 5, {"padding": 2, "flip": True, "reflect": False}) for call in augmented)
        and len(augmented) == 4
    )
    assert precise == {torch.bfloat16} and capture.meta["computing"]["precision"] == "bfloat16"
