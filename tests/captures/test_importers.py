"""Scores of other libraries: the signs and positive classes are theirs, the numbers stay."""

from __future__ import annotations

import pickle
import time

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

import isomax_viz as iv

RNG = np.random.default_rng(5)
KNOWN, NEAR, FAR = RNG.normal(1, 1, 500), RNG.normal(0, 1, 300), RNG.normal(-2, 1, 200)
CLASSES = RNG.integers(0, 10, 500)


def auroc(known, unknown):
    from sklearn.metrics import roc_auc_score

    return roc_auc_score([1] * len(known) + [0] * len(unknown), np.concatenate([known, unknown]))


def test_two_bare_arrays_give_metrics_figures_threshold_and_explorer():
    capture = iv.from_scores(KNOWN, NEAR)
    row = iv.evaluate(capture).iloc[0]
    assert (row["score"], row["ood"], row["n_id"], row["n_ood"]) == ("score", "ood", 500, 300)
    assert row["AUROC"] == pytest.approx(auroc(KNOWN, NEAR), abs=1e-12)
    threshold = np.sort(KNOWN)[25]  # accepts 475 of 500
    counts = iv.thresholds.threshold_table(capture).iloc[0]
    assert counts["threshold"] == threshold and counts["ood_accepted"] == (NEAR >= threshold).sum()
    for plot in (iv.plot_scores, iv.plot_roc):
        assert plot(capture).lines
    assert len(iv.plot_operating_point(capture).axes) == 2
    plt.close("all")
    assert iv.explore(capture).state()["score"] == "score"
    assert capture.meta["scores"] == "as they were given"


def test_it_takes_less_than_two_seconds_of_the_processor():
    begin = time.process_time()
    capture = iv.from_scores(KNOWN, NEAR)
    iv.evaluate(capture), iv.plot_scores(capture), iv.plot_roc(capture)
    plt.close("all")
    assert time.process_time() - begin < 2


def test_what_needs_logits_says_so():
    capture = iv.from_scores(KNOWN, NEAR, name="knn")
    calls = (
        iv.plot_logits,
        iv.plot_entropy,
        iv.plot_reliability,
        lambda capture: iv.plot_scores(capture, score="es"),
        lambda capture: iv.evaluate(capture, scores="energy"),
    )
    for call in calls:
        with pytest.raises(ValueError, match="carry no logits. Name a score that they carry: score='knn'"):
            call(capture)
    plt.close("all")


def test_a_capture_of_scores_survives_the_file(tmp_path):
    capture = iv.from_scores(KNOWN, {"near": NEAR, "far": FAR})
    for again in (iv.Capture.load(capture.save(tmp_path / "c.safetensors")), pickle.loads(pickle.dumps(capture))):
        assert list(again.ood) == ["near", "far"] and again.meta == capture.meta
        np.testing.assert_array_equal(again.test.extra_scores["score"], KNOWN)
        pd.testing.assert_frame_equal(iv.evaluate(again), iv.evaluate(capture))
    frame = capture.to_frame()
    assert list(frame.columns) == ["loss", "set", "ood", "index", "label", "score"] and len(frame) == 1000


@pytest.mark.parametrize(
    "ood_scores",
    [
        {"energy": NEAR, "knn": 2 * NEAR},
        {"ood": {"energy": NEAR, "knn": 2 * NEAR}},
        pd.DataFrame({"energy": NEAR, "knn": 2 * NEAR}),
    ],
)
def test_several_scores_come_by_their_names_also_where_a_score_could_be_computed(ood_scores):
    capture = iv.from_scores({"energy": KNOWN, "knn": KNOWN + 0.1}, ood_scores)
    table = iv.evaluate(capture).set_index("score")["AUROC"]
    assert table["energy"] == pytest.approx(auroc(KNOWN, NEAR), abs=1e-12)
    assert table["knn"] == pytest.approx(auroc(KNOWN + 0.1, 2 * NEAR), abs=1e-12)


def test_the_sign_is_changed_on_request_and_a_likely_wrong_one_is_warned_of():
    capture = iv.from_scores(-KNOWN, {"near": -NEAR}, higher="ood")
    np.testing.assert_array_equal(capture.test.extra_scores["score"], KNOWN)
    assert "sign changed" in capture.meta["scores"]
    with pytest.warns(UserWarning, match="If the sign is wrong, pass higher='ood'"):
        iv.from_scores(-KNOWN, {"near": -NEAR})


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (([], NEAR), ValueError, r"id_scores\['score'\] is empty"),
        ((KNOWN, [np.nan]), ValueError, "1 of 1 values that are NaN"),
        ((KNOWN[:, None], NEAR), ValueError, "must be one-dimensional"),
        ((KNOWN, {1: NEAR}), TypeError, "A name in ood must be text, but is 1. Write it .*'1'"),
        (({"a": KNOWN, "b": KNOWN}, NEAR), ValueError, "must have the scores 'a', 'b', as id_scores has, but has 's"),
        (({}, {}), ValueError, "id_scores must have the scores of any name"),
        (({1: KNOWN}, {1: NEAR}), TypeError, "A name in extra_scores must be text, but is 1"),
        ((KNOWN, {"test": NEAR}), ValueError, "is the name of the in-distribution samples"),
    ],
)
def test_what_is_no_score_is_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        iv.from_scores(*arguments)
    with pytest.raises(ValueError, match="library must be one of 'pytorch-ood'"):
        iv.from_scores(KNOWN, NEAR, library="ood")
    with pytest.raises(ValueError, match="higher must be left out or 'ood' with library='oodeel', but is 'id'"):
        iv.from_scores(KNOWN, NEAR, library="oodeel", higher="id")


@pytest.mark.parametrize("suffix", ["npz", "csv", "parquet", "pt"])
@pytest.mark.parametrize("content", [b"", b"\xff" * 99, b"PK\x03\x04\xff half of it"])
def test_a_damaged_file_is_called_that(suffix, content, tmp_path):
    if suffix in ("parquet", "pt"):
        pytest.importorskip({"parquet": "pyarrow", "pt": "torch"}[suffix])
    path = tmp_path / f"scores.{suffix}"
    path.write_bytes(content)
    with pytest.raises(
        ValueError, match=r"scores\..* is damaged or holds something else than named arrays .*np\.savez"
    ):
        iv.read_scores(path, library="oodeel")


def test_what_is_no_file_of_the_library_is_named(tmp_path):
    with pytest.raises(ValueError, match="source must be a file with library='oodeel', but .* is a folder"):
        iv.read_scores(tmp_path, library="oodeel")
    np.savez(tmp_path / "cifar10.npz", pred=[0], conf=[0.5])
    with pytest.raises(ValueError, match="an array of .*cifar10.npz must be one of 'pred', 'conf', but is 'label'"):
        iv.read_scores(tmp_path, library="openood", id_name="cifar10")
    for scores in ({"id": {"test": None}, "ood": {"near": {}, "far": {}}}, {"id": {}, "ood": {}}, {"ood": 7}):
        with pytest.raises(ValueError, match=r"source must be evaluator\.scores of OpenOOD after eval_ood"):
            iv.read_scores(scores, library="openood")
    with pytest.raises(ValueError, match="labels range from 0 to 2, but in oodeel, labels of 1 are OOD, of 0 ID"):
        iv.from_labelled_scores([0.1, 0.2, 0.3], [0, 1, 2], library="oodeel")
    flags = iv.from_labelled_scores([0.1, 0.2, 0.3], [False, False, True], library="oodeel")
    assert flags.ood["ood"].extra_scores["score"].tolist() == [-0.3]


def test_pytorch_ood_gives_the_same_metrics(tmp_path):
    torch = pytest.importorskip("torch")
    ood = pytest.importorskip("pytorch_ood")
    from pytorch_ood.metrics import OODMetrics
    from pytorch_ood.utils import TensorBuffer

    scores = torch.tensor(np.concatenate([-KNOWN, -NEAR]))
    labels = torch.tensor(np.concatenate([CLASSES, np.full(300, -1)]))
    metrics = OODMetrics()
    metrics.update(scores, labels)
    theirs = metrics.compute()
    capture = iv.from_labelled_scores(scores, labels, library="pytorch-ood")
    assert capture.test.labels.tolist() == CLASSES.tolist() and ood
    buffer = TensorBuffer()
    buffer.append("scores", scores), buffer.append("labels", labels)
    buffer.save(tmp_path / "buffer.pt")
    for item in (capture, iv.read_scores(tmp_path / "buffer.pt", library="pytorch-ood")):
        ours = iv.evaluate(item).iloc[0]
        np.testing.assert_array_equal(next(iter(item.test.extra_scores.values())), KNOWN)
        assert ours["AUROC"] == pytest.approx(float(theirs["AUROC"]), abs=1e-12)
        assert auroc(KNOWN, NEAR) == pytest.approx(ours["AUROC"], abs=1e-12)
    many = iv.from_labelled_scores([-3.0, -1.0, -0.5], [4, -1, -2], library="pytorch-ood")
    assert list(many.ood) == ["ood -1", "ood -2"]


def test_the_files_of_openood(tmp_path):
    """As its evaluator writes them: scores/<set>.npz with pred, conf and label."""
    pred = np.where(np.arange(500) % 5, CLASSES, (CLASSES + 1) % 10)
    sets = {
        "cifar10": {"pred": pred, "conf": KNOWN, "label": CLASSES},
        "near": {"pred": np.zeros(300, int), "conf": NEAR, "label": np.full(300, -1)},
        "far": {"pred": np.zeros(200, int), "conf": FAR, "label": np.arange(200)},  # its own classes, in some versions
    }
    for name, arrays in sets.items():
        np.savez(tmp_path / name, **arrays)
    parts = {name: [values["pred"], values["conf"], values["label"]] for name, values in sets.items()}
    scores = {"id": {"train": None, "test": parts["cifar10"]}, "csid": {}}
    scores["ood"] = {"val": None, "near": {"near": parts["near"]}, "far": {"far": parts["far"], "other": None}}
    for capture in (
        iv.read_scores(tmp_path, library="openood", id_name="cifar10"),
        iv.read_scores(scores, library="openood"),
    ):
        table = iv.evaluate(capture).set_index("ood")
        assert table["AUROC"]["near"] == pytest.approx(auroc(KNOWN, NEAR), abs=1e-12)
        assert table["AUROC"]["far"] == pytest.approx(auroc(KNOWN, FAR), abs=1e-12)
        assert table["accuracy"].tolist() == [0.8, 0.8]
    with pytest.raises(ValueError, match="id_name must be one of 'cifar10', 'far', 'near', but is None. It names the"):
        iv.read_scores(tmp_path, library="openood")


def test_torch_uncertainty_gives_the_same_rates():
    torch = pytest.importorskip("torch")
    rates = pytest.importorskip("torch_uncertainty.metrics.classification.fpr")
    metric = rates.FPRx(recall_level=0.95, pos_label=1)
    scores, targets = torch.tensor(np.concatenate([-KNOWN, -NEAR])), torch.tensor([0] * 500 + [1] * 300)
    metric.update(scores, targets)
    capture = iv.from_labelled_scores(scores, targets, library="torch-uncertainty")
    # Their positive class is OOD: known samples below the threshold that finds 95 % of the unknown ones.
    threshold = np.sort(capture.ood["ood"].extra_scores["score"])[285 - 1]
    wrong = (capture.test.extra_scores["score"] <= threshold).mean()
    assert wrong == pytest.approx(float(metric.compute()), abs=1e-6)  # float32 there


def test_oodeel_gives_the_same_auroc():
    from sklearn.metrics import roc_auc_score

    theirs = pytest.importorskip("oodeel.eval.metrics")
    found = theirs.bench_metrics((-KNOWN, -NEAR), metrics=[roc_auc_score])
    scores, labels = np.concatenate([-KNOWN, -NEAR]), np.array([0] * 500 + [1] * 300)
    for capture in (
        iv.from_scores(-KNOWN, -NEAR, library="oodeel"),
        iv.from_labelled_scores(scores, labels, library="oodeel"),
    ):
        ours = iv.evaluate(capture)["AUROC"][0]
        assert ours == pytest.approx(found["roc_auc_score"], abs=1e-12)
        assert (capture.test.labels == -1).all()


def test_probly_gives_the_same_auroc():
    theirs = pytest.importorskip("probly.tasks")
    ours = iv.evaluate(iv.from_scores(-KNOWN, -NEAR, library="probly"))["AUROC"][0]
    assert ours == pytest.approx(theirs.out_of_distribution_detection(-KNOWN, -NEAR), abs=1e-12)


@pytest.mark.parametrize("kind", ["npz", "csv", "parquet", "mapping"])
@pytest.mark.parametrize("library", ["torch-uncertainty", "oodeel", "probly"])
def test_files_of_named_arrays(tmp_path, kind, library):
    arrays = {"uncertainty": np.concatenate([-KNOWN, -NEAR]), "is_ood": np.array([0] * 500 + [1] * 300)}
    path = tmp_path / f"scores.{kind}"
    if kind == "npz":
        np.savez(path, **arrays)
    elif kind == "csv":
        pd.DataFrame(arrays).to_csv(path, index=False)
    elif kind == "parquet":
        pd.DataFrame(arrays).to_parquet(path)
    source = arrays if kind == "mapping" else path
    capture = iv.read_scores(source, library=library, scores="uncertainty", labels="is_ood")
    np.testing.assert_array_equal(capture.test.extra_scores["uncertainty"], KNOWN)
    np.testing.assert_array_equal(capture.ood["ood"].extra_scores["uncertainty"], NEAR)
    with pytest.raises(ValueError, match="scores must be one of 'uncertainty', 'is_ood', but is 'scores'. These are"):
        iv.read_scores(source, library=library)


def test_files_that_are_not_read(tmp_path):
    with pytest.raises(FileNotFoundError, match="no file of scores"):
        iv.read_scores(tmp_path / "none.npz", library="oodeel")
    path = tmp_path / "scores.pkl"
    path.write_bytes(pickle.dumps({}))
    with pytest.raises(ValueError, match=r"must end in .npz.*A pickle can run code.*np\.savez"):
        iv.read_scores(path, library="openood")
    with pytest.raises(
        ValueError, match="labels must name samples of both kinds, but all are ID: in oodeel, labels of 1"
    ):
        iv.read_scores({"scores": [1.0], "labels": [0]}, library="oodeel")
