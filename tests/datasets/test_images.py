"""ImageSet, InDistribution, from_arrays and conversion, against Pillow and plain numpy."""

from __future__ import annotations

import json

import numpy as np
import pytest
from dataset_files import random_images
from PIL import Image

from isomax_viz.datasets import ImageSet, InDistribution, from_arrays


def make(n=6, height=8, width=8, channels=1, **options):
    return ImageSet("mine", random_images(n, height, width, channels), np.arange(n) % 2, ("a", "b"), **options)


def test_arrays_are_read_only_and_not_copied():
    pixels = random_images(2, 4, 4, 3)
    images = ImageSet("mine", pixels, [0, 1], ("a", "b"))
    assert np.shares_memory(images.images, pixels)
    with pytest.raises(ValueError, match="read-only"):
        images.images[0] = 0
    with pytest.raises(ValueError, match="read-only"):
        images.labels[0] = 1
    with pytest.raises(AttributeError):
        images.name = "other"


def test_fingerprint_depends_on_pixels_labels_order_and_shape_only():
    images = make()
    same = ImageSet("other name", images.images.copy(), images.labels, ("x", "y"), {"source": "elsewhere"})
    assert images.fingerprint == same.fingerprint
    assert len(images.fingerprint) == 64
    others = [
        images.subset([1, 0, 2, 3, 4, 5]),
        ImageSet("mine", images.images, 1 - images.labels, ("a", "b")),
        ImageSet("mine", images.images ^ 1, images.labels, ("a", "b")),
        ImageSet("mine", images.images.reshape(6, 4, 16, 1), images.labels, ("a", "b")),
    ]
    assert len({item.fingerprint for item in [images, *others]}) == 5


def test_noted_keeps_what_is_known_and_the_fingerprint():
    images = make(provenance={"source": "me"})
    expected = images.fingerprint
    noted = images.with_provenance(source="you", home="here")
    assert dict(noted.provenance) == {"source": "me", "home": "here"}
    assert noted.fingerprint == expected


def test_subset_by_indices_and_mask():
    images = make()
    np.testing.assert_array_equal(images.subset([4, 1]).images, images.images[[4, 1]])
    np.testing.assert_array_equal(images.subset(images.labels == 1).labels, [1, 1, 1])
    with pytest.raises(ValueError, match="indices is empty"):
        images.subset([])
    for wrong in ([0, 6], [0.5], np.ones(5, bool)):
        with pytest.raises(ValueError, match=r"indices must be whole numbers in 0 \.\. 5 or a mask of length 6, but"):
            images.subset(wrong)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"images": np.zeros((2, 4, 4, 1))}, TypeError, "images must be uint8, but its dtype is float64"),
        ({"images": np.zeros((2, 4, 4), np.uint8)}, ValueError, r"must have shape \(n, height, width, 1 or 3\)"),
        ({"images": np.zeros((2, 4, 4, 4), np.uint8)}, ValueError, r"but has shape \(2, 4, 4, 4\)"),
        ({"images": np.zeros((0, 4, 4, 1), np.uint8), "labels": []}, ValueError, "images is empty"),
        ({"labels": [0]}, ValueError, r"labels must have shape \(2,\)"),
        ({"labels": [0, 2]}, ValueError, "labels must lie in"),
        ({"labels": [0, -1]}, ValueError, "labels must be indices into class_names"),
        ({"provenance": {"made": object()}}, TypeError, "provenance must hold JSON values only"),
        ({"provenance": {"made": float("nan")}}, TypeError, "provenance must hold JSON values only"),
    ],
)
def test_bad_fields(changes, error, message):
    fields = {"images": np.zeros((2, 4, 4, 1), np.uint8), "labels": [0, 1], "class_names": ("a", "b")}
    with pytest.raises(error, match=message):
        ImageSet("mine", **(fields | changes))


def test_grey_conversion_equals_pillow():
    images = make(n=50, channels=3)
    grey = images.matched_to(make(channels=1))
    expected = [np.asarray(Image.fromarray(image).convert("L")) for image in images.images]
    np.testing.assert_array_equal(grey.images[..., 0], expected)
    assert grey.provenance["conversions"] == ["colour to grey"]


def test_resizing_equals_pillow_after_a_centre_crop():
    images = make(n=3, height=20, width=30, channels=3)
    small = images.matched_to(make(height=8, width=8, channels=3))
    expected = [
        np.asarray(Image.fromarray(image[:, 5:25]).resize((8, 8), Image.Resampling.BILINEAR)) for image in images.images
    ]
    np.testing.assert_array_equal(small.images, expected)
    assert small.provenance["conversions"] == [
        "centre crop from 20x30 to 20x20",
        "resized from 20x20 to 8x8 (bilinear)",
    ]


def test_a_constant_picture_stays_constant():
    images = ImageSet("flat", np.full((1, 13, 7, 1), 77, np.uint8), [0], ("a",))
    assert (images.matched_to(make(height=9, width=16, channels=3)).images == 77).all()


def test_grey_is_repeated_and_equal_sizes_are_untouched():
    grey = make(channels=1)
    colour = grey.matched_to(make(channels=3))
    np.testing.assert_array_equal(colour.images, np.repeat(grey.images, 3, axis=3))
    assert grey.matched_to(make(n=1)) is grey
    assert json.dumps(dict(colour.provenance))


@pytest.mark.parametrize("channels", [1, 3])
def test_mean_and_std_equal_numpy(channels):
    # More pictures than one block of the running sums.
    train = make(n=1100, height=5, width=4, channels=channels)
    data = InDistribution("mine", train, train.subset([0]))
    np.testing.assert_allclose(data.mean, (train.images / 255).mean(axis=(0, 1, 2)), rtol=1e-12)
    np.testing.assert_allclose(data.std, (train.images / 255).std(axis=(0, 1, 2)), rtol=1e-12)
    assert data.mean.shape == (channels,) and data.mean.dtype == np.float64


def test_mean_of_white_pictures_does_not_overflow():
    white = ImageSet("white", np.full((600, 32, 32, 3), 255, np.uint8), np.zeros(600, int), ("a",))
    data = InDistribution("white", white, white)
    assert data.mean.tolist() == [1, 1, 1]


def test_a_channel_that_never_changes_is_normalised_to_zero():
    pixels = random_images(40, 4, 4, 3)
    pixels[..., 2] = 255
    train = ImageSet("no blue", pixels, np.arange(40) % 2, ("a", "b"))
    data = InDistribution("no blue", train, train)
    assert data.std[2] == 1 and (data.std[:2] < 0.4).all()
    assert ((train.images / 255 - data.mean) / data.std)[..., 2].tolist() == np.zeros((40, 4, 4)).tolist()


def named(class_names, *, size=8, channels=1):
    return ImageSet("own", random_images(4, size, size, channels), np.arange(4) % len(class_names), class_names)


@pytest.mark.parametrize(
    ("test", "message"),
    [
        (named("bc"), r"same classes in the same order, but train alone has 'a'.*class_names=train\.class_names"),
        (named("abcd"), "but test alone has 'd'"),
        (named("acb"), "but their order differs"),
        (named("abc", size=9), r"test of 'own' must have .*\(8x8x3\), but is 9x9x1.*test\.matched_to\(train\)"),
        (named("abc"), r"but is 8x8x1"),
    ],
)
def test_training_and_test_pictures_fit_each_other(test, message):
    train = named("abc", channels=3)
    with pytest.raises(ValueError, match=message):
        InDistribution("own", train, test)
    assert InDistribution("own", train, named("abc").matched_to(train)).class_names == ("a", "b", "c")


def test_unseen_pictures_fit_but_have_classes_of_their_own():
    train = named("abc")
    assert InDistribution("own", train, train, named("de")).unseen.class_names == ("d", "e")
    with pytest.raises(ValueError, match="unseen of 'own' must have the size and channels of train"):
        InDistribution("own", train, train, named("de", size=9))


def test_from_arrays_converts_and_says_so():
    unit = np.array([[[0.0, 0.5], [1.0, 0.2]]], dtype=np.float32)
    images = from_arrays(unit)
    np.testing.assert_array_equal(images.images[0, ..., 0], [[0, 128], [255, 51]])
    assert images.provenance["conversions"] == ["float32 in [0, 1] to uint8"]
    assert from_arrays(unit > 0.3).images.max() == 255
    assert from_arrays(np.full((1, 2, 2, 3), 200)).images.min() == 200
    labelled = from_arrays(unit.repeat(3, axis=0), [2, 0, 2], name="three")
    assert labelled.class_names == ("0", "1", "2") and labelled.name == "three"
    assert from_arrays(unit, [0], class_names=["cat"]).class_names == ("cat",)


def test_from_arrays_copies():
    pixels = random_images(1, 4, 4)
    images = from_arrays(pixels)
    pixels[:] = 0
    assert images.images.any()


@pytest.mark.parametrize(
    ("images", "error", "message"),
    [
        ([], ValueError, r"but has shape \(0,\)"),
        (np.zeros((0, 8, 8)), ValueError, "images is empty"),
        (np.zeros((2, 3, 8, 8), np.uint8), ValueError, r"pass images.transpose\(0, 2, 3, 1\)"),
        (np.zeros((8, 8), np.uint8), ValueError, r"but has shape \(8, 8\)"),
        (np.full((1, 2, 2), np.nan), ValueError, "images has 4 of 4 values that are NaN or infinite"),
        (np.full((1, 2, 2), 1.5), ValueError, r"must lie in \[0, 1\], but range from 1.5 to 1.5"),
        (np.full((1, 2, 2), -1), ValueError, r"must lie in \[0, 255\], but range from -1"),
        (np.full((1, 2, 2), "x"), TypeError, "images must be an array of real numbers"),
    ],
)
def test_from_arrays_refuses(images, error, message):
    with pytest.raises(error, match=message):
        from_arrays(images)


def test_from_arrays_refuses_labels_that_are_no_numbers():
    with pytest.raises(TypeError, match="labels must be an array of real numbers"):
        from_arrays(random_images(2, 4, 4), ["cat", "dog"])
    with pytest.raises(ValueError, match=r"labels must have shape \(2,\)"):
        from_arrays(random_images(2, 4, 4), [0])


def test_from_arrays_refuses_labels_beyond_the_names():
    with pytest.raises(ValueError, match="labels must lie in"):
        from_arrays(random_images(2, 4, 4), [0, 1], class_names=["only"])


@pytest.mark.parametrize(
    ("images", "options", "error", "message"),
    [
        (np.ma.array(np.zeros((1, 4, 4)), mask=np.ones((1, 4, 4))), {}, ValueError, "images has 16 masked values"),
        (
            np.zeros((2, 4, 4)),
            {"labels": [0, -1]},
            ValueError,
            "labels must be indices into class_names, but one",
        ),
        (np.zeros((2, 4, 4)), {"labels": [0, 1], "class_names": "ab"}, TypeError, "sequence of names, but is the text"),
        (np.zeros((2, 4, 4)), {"name": 3}, TypeError, "The name of an ImageSet must be text, but is 3"),
    ],
)
def test_pictures_that_are_not_what_they_seem(images, options, error, message):
    with pytest.raises(error, match=message):
        from_arrays(images, **options)
