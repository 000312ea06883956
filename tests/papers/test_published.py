"""The published tables against each other, against the papers' text, and beside hand-made results."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import isomax_viz as iv
from isomax_viz import published
from isomax_viz._common import system as _paths

ROOT = Path(__file__).parents[2]
KEY = ["backbone", "id", "ood", "loss", "score", "method", "metric"]
COLUMNS = ["paper", "table", *KEY, "mean", "std", "unit", "notes"]
DENSE, RES34, RES110 = "densenet_bc100", "resnet34", "resnet110"
CIFARS, IDS, SVHN_FIRST = ("cifar10", "cifar100"), ("cifar10", "cifar100", "svhn"), ("svhn", "cifar10", "cifar100")
FAIR = ("SoftMax/MPS", "SoftMax/ES", "IsoMax/ES", "IsoMax2/ES")
DETECTION = ("TNR@TPR95", "AUROC", "DTACC")
ACCURACIES = ("train accuracy", "accuracy")
# How each table is laid out in the text: files, caption, models and training data in the order of the blocks, and the
# (method, metric) of the numbers of a row in their order.
GRIDS = {
    ("dismax", 2): (
        ("003",),
        "Table 2. Comp",
        (DENSE, RES34),
        IDS,
        [(m, k) for k in DETECTION for m in ("SoftMax+Maxprob", "SoftMax+Entropy", "DisMax+Entropy")],
    ),
    ("dismax", 3): (
        ("003",),
        "Table 3. Comp",
        (DENSE, RES34),
        IDS,
        [
            (m, k)
            for k in DETECTION[1:]
            for m in ("ODIN", "DisMax+Entropy", "Mahalanobis", "Mahalanobis - DisMax+Entropy")
        ],
    ),
    ("dismax", 4): (
        ("003",),
        "Table 4. Perf",
        (DENSE, RES34),
        SVHN_FIRST,
        [(m, k) for k in ("train loss", "train accuracy", "test loss", "accuracy") for m in ("SoftMax", "DisMax")],
    ),
    ("isomax2", 1): (("002", "000"), "Table 1: ", (DENSE, RES34), IDS, [(m, k) for k in DETECTION for m in FAIR]),
    ("isomax2", 2): (
        ("002", "000"),
        "Table 2: ",
        (DENSE, RES34),
        IDS,
        [(m, k) for k in DETECTION[1:] for m in ("ODIN", "ACET", "IsoMax2/ES", "Mahalanobis")],
    ),
    ("isomax2", 3): (("002", "000"), "Table 3: ", (DENSE,), ("cifar10",), None),
    ("isomax2", 4): (
        ("002", "000"),
        "Table 4: ",
        (DENSE, RES34),
        SVHN_FIRST,
        [(m, k) for m in ("SoftMax", "IsoMax", "IsoMax2") for k in ACCURACIES],
    ),
    ("isomax2", 5): (("002", "000"), "Table 5: ", (DENSE, RES34), IDS, [(m, k) for k in DETECTION for m in FAIR]),
    ("isomax+", 2): (
        ("001",),
        "TABLE 2",
        (DENSE, RES110),
        IDS,
        [(m, k) for k in ACCURACIES for m in ("SoftMax", "IsoMax", "IsoMax+")],
    ),
    ("isomax+", 3): (
        ("001",),
        "TABLE 3",
        (DENSE, RES110),
        IDS,
        [(m, k) for k in DETECTION[:2] for m in ("SoftMax_ES", "IsoMax_ES", "IsoMax+_MDS")],
    ),
    ("isomax+", 4): (
        ("001",),
        "TABLE 4",
        (DENSE, RES34),
        CIFARS,
        [(m, k) for k in DETECTION[1:] for m in ("ODIN", "Mahalanobis", "IsoMax+_MDS")],
    ),
    ("isomax+", 5): (
        ("001",),
        "TABLE 5",
        (DENSE, RES110),
        CIFARS,
        [(m, k) for k in DETECTION[:2] for m in ("SoftMax^OE_ES", "IsoMax_ES", "IsoMax+_MDS")],
    ),
    ("isomax+", 6): (
        ("001",),
        "TABLE 6",
        (DENSE, RES110),
        CIFARS,
        [(m, k) for k in DETECTION[:2] for m in ("IsoMax_ES", "IsoMax_MDS", "IsoMax+_ES", "IsoMax+_MDS")],
    ),
}
LABELS = {
    "svhn": {"SVHN"},
    "tinyimagenet_resize": {"TinyImageNet", "ImageNet"},
    "lsun_resize": {"LSUN"},
    "cifar10": {"CIFAR10"},
    "cifar100": {"CIFAR100"},
    "fooling": {"Fooling"},
    "gaussian": {"Gaussian"},
    "uniform": {"Uniform"},
}
NUMBER = re.compile(r"[+-]?\d+\.\d+(?:±\d+\.\d+)?|\bNA\b")
PRINTED = {label for labels in LABELS.values() for label in labels} | {"Regular", "Slower"}


def numbers() -> pd.DataFrame:
    return pd.concat([published.table(*key) for key in GRIDS], ignore_index=True)


@pytest.fixture(scope="module")
def texts() -> dict[str, list[str]]:
    folder = Path(os.environ.get("ISOMAX_VIZ_SHARED", ROOT.parent / "shared")) / "papers"
    found = {path.name[:3]: path.read_text(encoding="utf-8").splitlines() for path in folder.glob("00[0-3]_*.txt")}
    if len(found) < 4:
        say = pytest.fail if os.environ.get("ISOMAX_VIZ_REQUIRE_SHARED") else pytest.skip
        say(f"the papers' texts are not in {folder}; set ISOMAX_VIZ_SHARED to the folder that holds 'papers'")
    return found


def text_rows(lines: list[str], caption: str, count: int) -> list[tuple[str, list[str]]]:
    """Return (last word before the numbers, the numbers) of the ``count`` rows after the caption."""
    start = next(i for i, line in enumerate(lines) if line.strip().startswith(caption))
    rows = []
    for line in lines[start + 1 :]:
        line = re.sub(r"</?\w+>", "", line)
        first = NUMBER.search(line)
        label = line[: first.start()].split()[-1:] if first else []
        if label and label[0] in PRINTED:
            rows.append((label[0], NUMBER.findall(line)))
        if len(rows) == count:
            break
    return rows


def rows_of(paper: str, number: int, lines: list[str]) -> list[tuple[str, list[str]]]:
    _, caption, backbones, ids, _ = GRIDS[paper, number]
    frame = published.table(paper, number)
    per_block = 4 if (paper, number) == ("isomax2", 3) else frame.groupby(["backbone", "id"])["ood"].nunique().max()
    return text_rows(lines, caption, len(backbones) * len(ids) * per_block)


def in_text(value, lines: list[str]) -> str:
    """Return what the text prints in the place of one published value, found by its context and not by its order."""
    _, _, backbones, ids, places = GRIDS[value.paper, value.table]
    rows = rows_of(value.paper, value.table, lines)
    if (value.paper, value.table) == ("isomax2", 3):
        block, wanted = rows[:2] if "decay: yes" in value.method else rows[2:], {value.method.split()[-1].title()}
        place = ["AUROC", "DTACC"].index(value.metric)
    else:
        size = len(rows) // (len(backbones) * len(ids))
        start = size * (backbones.index(value.backbone) * len(ids) + ids.index(value.id))
        block, wanted = rows[start : start + size], LABELS[value.id if value.ood in ("", "average") else value.ood]
        place = places.index((value.method, value.metric))
    (found,) = [row for label, row in block if label in wanted]
    return found[place]


def as_printed(value) -> tuple[float, ...] | None:
    if pd.isna(value.mean):
        return None
    return (value.mean,) if pd.isna(value.std) else (value.mean, value.std)


def parsed(cell: str) -> tuple[float, ...] | None:
    return None if cell == "NA" else tuple(float(part) for part in cell.split("±"))


# -- structure ---------------------------------------------------------------------------------------------------------


def test_overview_lists_every_table_once_with_its_rows():
    overview = published.tables()
    assert overview.groupby("paper", sort=False)["table"].apply(list).to_dict() == {
        "dismax": [1, 2, 3, 4],
        "isomax2": [1, 2, 3, 4, 5],
        "isomax+": [1, 2, 3, 4, 5, 6],
    }
    rows = [20, 162, 144, 48, 216, 144, 8, 36, 432, 40, 36, 108, 72, 24, 32]
    assert (
        overview["rows"].tolist()
        == rows
        == [len(published.table(*key)) for key in zip(overview["paper"], overview["table"], strict=True)]
    )
    assert (overview["has_std"] == ((overview["paper"] == "isomax+") & (overview["kind"] == "numbers"))).all()
    assert set(overview["paper"]) == set(published.papers()["paper"])


def test_number_tables_have_the_columns_and_the_project_s_names():
    frame = numbers()
    assert list(frame.columns) == COLUMNS
    assert not frame.duplicated(["paper", "table", *KEY]).any()
    assert set(frame["backbone"]) == {DENSE, RES34, RES110}
    assert set(frame["id"]) == set(IDS)
    assert set(frame["ood"]) == set(LABELS) - {"cifar100"} | {"", "average"}
    assert set(frame["loss"]) == {"softmax", "isomax", "isomax+", "isomax2", "acet", "softmax+oe", ""}
    assert set(frame["score"]) == {"mps", "es", "mds", ""}
    assert set(frame["metric"]) == {*DETECTION, *ACCURACIES, "train loss", "test loss"}
    assert set(frame["unit"]) == {"percent", "percentage points", ""}
    assert frame.loc[frame["unit"] == "percent", "mean"].dropna().between(0, 100).all()
    assert frame.loc[frame["mean"].isna(), "notes"].eq("printed as NA").all()
    assert not (frame["id"] == frame["ood"]).any()


def test_feature_tables_have_one_value_for_each_method_and_feature():
    for paper, methods, features in (("dismax", 4, 5), ("isomax+", 10, 4)):
        frame = published.table(paper, 1)
        assert list(frame.columns) == ["paper", "table", "method", "feature", "value", "notes"]
        assert frame.pivot(index="method", columns="feature", values="value").shape == (methods, features)
        assert set(frame["value"]) <= {"Required", "Not Required", "Present", "Not Present"}


def test_a_table_is_a_copy():
    mine = published.table("isomax+", 3)
    mine["mean"] = -1.0
    assert published.table("isomax+", 3).loc[0, "mean"] == 40.4


def test_packaged_data_wins_over_the_checkout(tmp_path, monkeypatch):
    assert _paths.data_folder() == ROOT / "data" or _paths.data_folder().name == "_data"
    monkeypatch.setattr(_paths, "_package", tmp_path)
    (tmp_path / "_data").mkdir()
    assert _paths.data_folder() == tmp_path / "_data"
    monkeypatch.setattr(_paths, "_package", tmp_path / "absent")
    assert _paths.data_folder().name == "data"


# -- filters and errors ------------------------------------------------------------------------------------------------


def test_filters_keep_what_they_name():
    frame = published.table("isomax+", 3, backbone=RES110, id=("cifar10", "cifar100"), ood="svhn", metric="AUROC")
    assert frame["mean"].tolist() == [88.9, 94.8, 98.1, 73.6, 85.3, 88.9]
    assert frame.index.tolist() == list(range(6))
    assert published.table("dismax", 1, method="ODIN")["value"].eq("Required").sum() == 3
    assert published.table("isomax2", 1, loss="isomax2", score="mps").empty


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: published.table("isomax++", 3),
            ValueError,
            "paper must be one of 'dismax', .* Did you mean 'isomax\\+'",
        ),
        (
            lambda: published.table("dismax", 5),
            ValueError,
            "number must be a whole number of at least 1 and of at most 4",
        ),
        (lambda: published.table("dismax", "2"), TypeError, "number must be a whole number"),
        (
            lambda: published.table("isomax+", 3, ood="imagenet"),
            ValueError,
            "ood must be one of 'svhn'.*not in table 3",
        ),
        (
            lambda: published.table("isomax+", 1, ood="svhn"),
            ValueError,
            "the filter for table 1 of 'isomax\\+' must be one of 'method', but is 'ood'",
        ),
        (
            lambda: published.side_by_side(result().drop(columns=["loss"]), published.table("isomax+", 3)),
            ValueError,
            "results must have the columns .* but lacks 'loss'",
        ),
        (
            lambda: published.side_by_side(result().drop(columns=["AUROC"]), published.table("isomax+", 3)),
            ValueError,
            "the metrics of results must be one of 'TNR@TPR95'",
        ),
        (
            lambda: published.side_by_side(result(), published.table("isomax+", 1)),
            ValueError,
            "published must have the columns .* table of numbers",
        ),
        (
            lambda: published.side_by_side(result(), published.table("isomax+", 3), how="inner"),
            ValueError,
            "how must be one of 'left', 'outer'",
        ),
        (
            lambda: published.side_by_side(result(AUROC=[97.0, 98.0]), published.table("isomax+", 3)),
            ValueError,
            "results must be fractions in .0, 1., but one AUROC is 97. Divide percent by 100",
        ),
        (
            lambda: published.side_by_side(result(seed=0), published.table("isomax+", 3)),
            ValueError,
            "results must have one value per seed, but the AUROC of 'isomax\\+' has two for seed 0. "
            "Pass the results of one",
        ),
    ],
)
def test_errors_name_the_argument_and_the_remedy(call, error, message):
    with pytest.raises(error, match=message):
        call()


# -- the tables against each other -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other", "shared"),
    [
        (("isomax2", 1), ("isomax2", 5), 216),
        (("isomax2", 2), ("isomax2", 1), 36),
        (("isomax2", 2), ("dismax", 3), 72),
        (("dismax", 3), ("dismax", 2), 36),
        (("isomax+", 4), ("isomax+", 3), 6),
        (("isomax+", 5), ("isomax+", 6), 16),
    ],
)
def test_tables_that_repeat_values_agree(one, other, shared):
    pairs = published.table(*one).merge(published.table(*other), on=KEY, suffixes=("", "_other"))
    assert len(pairs) == shared
    np.testing.assert_array_equal(pairs["mean"], pairs["mean_other"])
    np.testing.assert_array_equal(pairs["std"], pairs["std_other"])


def test_averages_of_isomax_plus_follow_from_its_table_3():
    keys = [key for key in KEY if key != "ood"]
    single = published.table("isomax+", 3).groupby(keys)["mean"].mean().reset_index()
    pairs = published.table("isomax+", 6).merge(single, on=keys, suffixes=("", "_single"))
    assert len(pairs) == 16
    # Three values rounded to 0.1 and an average printed to 0.1 can differ by 0.1.
    np.testing.assert_allclose(pairs["mean"], pairs["mean_single"], atol=0.1 + 1e-9)


def test_printed_differences_follow_from_the_values_but_for_the_two_that_are_noted():
    frame = published.table("dismax", 3).pivot(index=["backbone", "id", "ood", "metric"], columns="method")
    wide = frame["mean"]
    off = (wide["Mahalanobis"] - wide["DisMax+Entropy"] - wide["Mahalanobis - DisMax+Entropy"]).abs() > 0.05
    noted = frame["notes"]["Mahalanobis - DisMax+Entropy"] != ""
    assert off.sum() == 2
    pd.testing.assert_series_equal(off, noted, check_names=False)


# -- the tables against the papers' text -------------------------------------------------------------------------------


@pytest.mark.parametrize("key", GRIDS, ids=lambda key: f"{key[0]}-{key[1]}")
def test_sums_and_counts_equal_the_text(texts, key):
    frame = published.table(*key)
    cells = [parsed(cell) for _, row in rows_of(*key, texts[GRIDS[key][0][0]]) for cell in row]
    assert len(cells) == len(frame)
    assert sum(cell is None for cell in cells) == frame["mean"].isna().sum()
    printed = [number for cell in cells if cell is not None for number in cell]
    assert sum(printed) == pytest.approx(frame["mean"].sum() + frame["std"].sum(), abs=1e-6)


def test_values_drawn_at_random_stand_in_their_row_of_the_text(texts):
    rng = np.random.default_rng(2021)
    frame = numbers()
    drawn = [
        rng.choice(group.index, size=min(8, len(group)), replace=False)
        for _, group in frame.groupby(["paper", "table"], sort=False)
    ]
    for value in frame.loc[np.concatenate(drawn)].itertuples(index=False):
        for file in GRIDS[value.paper, value.table][0]:
            assert parsed(in_text(value, texts[file])) == as_printed(value), (file, value)


@pytest.mark.parametrize("key", [("isomax2", 2), ("isomax+", 3), ("isomax+", 6)], ids=lambda key: f"{key[0]}-{key[1]}")
def test_what_is_bold_is_bold_in_the_paper(texts, key):
    """The tables in which the papers keep to a rule; others print single cells against their own."""
    lines = texts["000" if key[0] == "isomax2" else "001"]
    start = next(i for i, line in enumerate(lines) if line.strip().startswith(GRIDS[key][1]))
    marks = []
    for line in lines[start + 1 :]:
        plain = re.sub(r"</?\w+>", "", line)
        first = NUMBER.search(plain)
        if first and plain[: first.start()].split()[-1:] and plain[: first.start()].split()[-1] in PRINTED:
            pieces = re.split("(<b>[^<]*</b>)", re.sub(r"<sub>|</sub>", "", line))
            marks += [piece.startswith("<b>") for piece in pieces for _ in NUMBER.findall(re.sub(r"</?b>", "", piece))]
        if len(marks) == len(published.table(*key)):
            break
    printed = published.table(*key).assign(printed=marks)
    printed = printed.rename(columns={"id": "data"}).dropna(subset="mean")
    ours = iv.papers.from_published(*key).frame
    both = ours.merge(printed, on=["backbone", "data", "ood", "method", "metric"])
    assert len(both) == len(printed)
    np.testing.assert_array_equal(both["best"], both["printed"])


def test_feature_tables_equal_the_text(texts):
    def values(file, caption, count):
        start = next(i for i, line in enumerate(texts[file]) if line.strip().startswith(caption))
        lines = texts[file][start : start + 20]
        rows = [line.split("\t") for line in lines if "Not Required\t" in line or "Not Pr" in line]
        return [row[0] for row in rows[:count]], np.array([row[1:] for row in rows[:count]])

    heads, cells = values("003", "Table 1.", 5)
    frame = published.table("dismax", 1)
    assert all(head.startswith(name) for head, name in zip(heads, frame["feature"].unique(), strict=True))
    np.testing.assert_array_equal(cells.ravel(), frame["value"])

    heads, cells = values("001", "TABLE 1", 10)
    frame = published.table("isomax+", 1)
    assert all(name in head for head, name in zip(heads, frame["method"].unique(), strict=True))
    np.testing.assert_array_equal(cells.ravel(), frame["value"])


# -- side by side ------------------------------------------------------------------------------------------------------


def result(**changes) -> pd.DataFrame:
    row = {
        "data": "cifar10",
        "backbone": RES110,
        "loss": "isomax+",
        "entropic_scale": 10.0,
        "score": "mds",
        "ood": "svhn",
        "seed": [0, 1],
        "preset": "paper",
        "n_id": 10_000,
        "n_ood": 26_032,
        "AUROC": [0.97, 0.98],
    }
    return pd.DataFrame({**row, **changes})


def only_pair(results, *key):
    pairs = published.side_by_side(results, published.table(*key))
    assert len(pairs) == 1
    return pairs.iloc[0]


def test_a_result_from_the_papers_protocol_is_comparable():
    pair = only_pair(result(), "isomax+", 3)
    assert pair[["paper", "table", "method", "seeds"]].tolist() == ["isomax+", 3, "IsoMax+_MDS", 2]
    measured = pair[["mean", "std", "published_mean", "published_std", "difference"]].astype(float)
    np.testing.assert_allclose(measured, [0.975, 0.005 * 2**0.5, 0.981, 0.009, -0.006], atol=1e-12)
    assert pair["comparable"] and pair["why_not"] == ""


@pytest.mark.parametrize(
    ("changes", "has_value", "reason"),
    [
        ({"preset": "teaching"}, True, "preset 'teaching' is not the papers' protocol"),
        ({"preset": None}, True, "no preset is recorded, so the protocol is unknown"),
        ({"entropic_scale": 3.0}, True, "entropic scale 3 is not the papers' 10"),
        ({"entropic_scale": None}, True, "no entropic scale is recorded"),
        ({"variant": "epochs=10"}, True, "the training was changed: epochs=10"),
        (
            {"select": "best_test"},
            True,
            "the epoch was selected (best_test), not the last one",
        ),
        ({"precision": "bfloat16"}, True, "the backbone was trained in bfloat16, which the papers do not use"),
        ({"n_id": 500}, True, "500 images of 'cifar10' are not the papers' 10,000"),
        ({"n_ood": [26_032, 1000]}, True, "1,000 images of 'svhn' are not the papers' 26,032"),
        ({"data": "digits"}, False, "the papers do not use data 'digits'"),
        ({"data": None}, False, "no data is recorded"),
        ({"backbone": "small_cnn"}, False, "the papers do not use network 'small_cnn'"),
        ({"ood": "letters"}, False, "the papers do not use out-of-distribution set 'letters'"),
        ({"score": "energy"}, False, "the papers do not use score 'energy'"),
        ({"score": "es"}, False, "the published values given do not have this combination"),
        ({"AUROC": float("nan"), "AUPR-in": 0.5}, False, "the papers do not use metric 'AUPR-in'"),
    ],
)
def test_what_is_not_comparable_says_why(changes, has_value, reason):
    pair = only_pair(result(**changes), "isomax+", 3)
    assert not pair["comparable"]
    assert pair["why_not"] == reason
    assert pd.notna(pair["published_mean"]) == has_value == pd.notna(pair["difference"])


def test_several_reasons_are_all_given():
    pair = only_pair(result(data="digits", backbone="small_cnn", ood="letters", preset="teaching"), "isomax+", 3)
    assert pair["why_not"].split("; ") == [
        "the papers do not use data 'digits'",
        "the papers do not use network 'small_cnn'",
        "the papers do not use out-of-distribution set 'letters'",
        "preset 'teaching' is not the papers' protocol",
    ]


def test_softmax_has_no_entropic_scale_to_object_to():
    pair = only_pair(result(loss="softmax", score="es", entropic_scale=None), "isomax+", 3)
    assert pair["comparable"] and pair["published_mean"] == pytest.approx(0.889)


def test_presets_and_entropic_scales_are_not_averaged_together():
    changes = {"preset": "teaching"}, {"entropic_scale": 3.0}, {"variant": "epochs=10"}, {"select": "best_test"}
    changes += ({"precision": "bfloat16"},)
    results = pd.concat([result(), *(result(**change) for change in changes)])
    pairs = published.side_by_side(results, published.table("isomax+", 3))
    assert pairs["comparable"].tolist() == [True, False, False, False, False, False]
    assert pairs["seeds"].tolist() == [2] * 6


def test_equal_results_of_unknown_seeds_all_count():
    results = result(seed=[None] * 3, AUROC=[0.9, 0.9, 0.93])
    pair = only_pair(results, "isomax+", 3)
    assert pair["seeds"] == 3 and pair["mean"] == pytest.approx(0.91)


def test_each_published_table_gives_its_own_row():
    results = result(backbone=RES34, loss="isomax2", score="es", entropic_scale=None)
    both = pd.concat([published.table("isomax2", 1), published.table("isomax2", 5)])
    pairs = published.side_by_side(results, both)
    assert pairs["table"].tolist() == [1, 5]
    assert pairs["published_mean"].tolist() == [0.967, 0.967]
    assert pairs["seeds"].tolist() == [2, 2]
    # Both refer to another paper's protocol.
    assert set(pairs["why_not"]) == {
        "the paper has the protocol of Lee et al. (2018), preset 'paper' that of the IsoMax+ paper"
    }


def test_only_the_chosen_options_of_the_ablation_are_those_trained_here():
    results = result(backbone=DENSE, loss="isomax2", score="es", ood="fooling")
    pairs = published.side_by_side(results, published.table("isomax2", 3))
    refused = pairs.set_index("published_mean")["why_not"].str.startswith("published with weight decay")
    assert refused.to_dict() == {0.933: True, 0.9334: True, 0.9273: True, 0.9363: False}


def test_accuracy_is_counted_once_per_capture_and_needs_neither_score_nor_ood():
    results = pd.concat([result(accuracy=[0.94, 0.95]), result(accuracy=[0.94, 0.95], ood="lsun_resize", score="es")])
    expected = only_pair(results.drop(columns="AUROC"), "isomax+", 2)
    assert expected["std"] == pytest.approx(0.01 / 2**0.5)
    assert expected["published_mean"] == pytest.approx(0.946) and expected["comparable"]
    bare = result(accuracy=[0.94, 0.95]).drop(columns=["score", "ood", "AUROC"])
    assert only_pair(bare, "isomax+", 2)["comparable"]


def test_competitors_match_by_their_name_as_score():
    pair = only_pair(result(backbone=RES34, loss="softmax", score="odin", entropic_scale=None), "isomax+", 4)
    assert pair["method"] == "ODIN" and pair["published_mean"] == pytest.approx(0.86)


def test_outlier_exposure_is_found_under_our_name_for_it():
    pair = only_pair(result(loss="softmax+oe", score="es", ood="average", entropic_scale=None), "isomax+", 5)
    assert pair["method"] == "SoftMax^OE_ES" and pair["published_mean"] == pytest.approx(0.968)
    assert pair["why_not"] == "the papers train with other extra data"


def test_changed_trainings_come_with_their_changes():
    meta = iv.Experiment(epochs=10, held_out_classes=(8, 9), preset="paper").meta
    capture = iv.Capture.from_arrays([[3.0, 0.0]], [0], ood={"svhn": [[0.1, 0.0]]}, meta=meta)
    assert iv.evaluate(capture)["variant"].unique().tolist() == ["epochs=10, held_out_classes=(8, 9)"]
    plain = capture.replace(meta=iv.Experiment(preset="paper").meta)
    assert iv.evaluate(plain)["variant"].unique().tolist() == [None]


def test_results_tell_in_which_precision_the_backbone_was_trained():
    meta = iv.Experiment(preset="paper").meta | {"computing": {"precision": "bfloat16"}}
    capture = iv.Capture.from_arrays([[3.0, 0.0]], [0], ood={"svhn": [[0.1, 0.0]]}, meta=meta)
    assert iv.evaluate(capture)["precision"].unique().tolist() == ["bfloat16"]
    pairs = published.side_by_side(iv.evaluate(capture), published.table("isomax+", 3))
    assert pairs["why_not"].str.contains("trained in bfloat16").all()


def test_outer_keeps_published_values_without_a_result():
    theirs = published.table("isomax+", 3)
    pairs = published.side_by_side(result(), theirs, how="outer")
    assert len(pairs) == len(theirs)
    assert pairs["comparable"].sum() == 1
    rest = pairs.loc[~pairs["comparable"]]
    assert set(rest["why_not"]) == {"no result was given for this published value"}
    assert rest["published_mean"].notna().all() and rest["difference"].isna().all() and (rest["seeds"] == 0).all()
