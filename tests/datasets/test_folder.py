"""Your own pictures: layouts, sizes, modes, damage, and archives that try to escape."""

from __future__ import annotations

import io
import logging
import os
import stat
import sys
import tarfile
import unicodedata
import zipfile
import zlib

import numpy as np
import pytest
from dataset_files import encoded, random_images, tar_bytes, zip_bytes
from PIL import Image, ImageOps

from isomax_viz.datasets import InDistribution, from_folder
from isomax_viz.datasets.archives import ArchiveError, read_members
from isomax_viz.datasets.decode import PictureError
from isomax_viz.datasets.folder import FolderError

PIXELS = random_images(4, 6, 5, 3)


def write(root, files):
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return root


def tree(prefix=""):
    names = ("cat/b.png", "cat/a.png", "dog/1.PNG", "dog/2.png")
    return {prefix + name: encoded(image) for name, image in zip(names, PIXELS, strict=True)}


def test_folder_and_zip_give_the_same_pictures(tmp_path):
    from torchvision.datasets import ImageFolder

    root = write(tmp_path / "pets", tree())
    images = from_folder(root)
    expected = ImageFolder(str(root))
    assert images.class_names == tuple(expected.classes)
    assert images.labels.tolist() == expected.targets
    np.testing.assert_array_equal(images.images, [np.asarray(picture) for picture, _ in expected])
    assert images.name == "pets" and images.provenance["conversions"] == []

    path = tmp_path / "pets.zip"
    path.write_bytes(zip_bytes(sorted(tree("pets/").items())))
    assert from_folder(path).fingerprint == images.fingerprint
    for prefix in ("", "./"):
        path.write_bytes(zip_bytes(sorted(tree(prefix).items())))
        assert from_folder(path).fingerprint == images.fingerprint


def test_splits(tmp_path):
    root = write(tmp_path / "pets", tree("train/") | {"test/cat/x.png": encoded(PIXELS[0])})
    assert len(from_folder(root, split="train")) == 4
    assert len(from_folder(root, split="test", name="held out")) == 1
    with pytest.raises(FolderError, match="holds several splits: 'test', 'train'. Choose one with split="):
        from_folder(root)
    with pytest.raises(ValueError, match="split must be one of 'test', 'train', but is 'tset'. Did you mean 'test'"):
        from_folder(root, split="tset")


def test_conversions_are_done_counted_and_logged(tmp_path, caplog):
    files = tree() | {
        "cat/grey.png": encoded(PIXELS[0][..., 0]),
        "cat/large.png": encoded(random_images(1, 12, 10, 3)[0]),
        "dog/clear.png": encoded(np.dstack([PIXELS[0], np.zeros((6, 5), np.uint8)])),
        "dog/deep.png": encoded(np.full((6, 5), 257 * 100, np.uint16)),
        "dog/notes.txt": b"no picture",
        "dog/.hidden.png": b"nor this",
        "__MACOSX/dog/._1.png": b"nor this",
    }
    with caplog.at_level(logging.INFO, logger="isomax_viz"):
        images = from_folder(write(tmp_path / "mixed", files))
    assert images.images.shape == (8, 6, 5, 3)
    assert images.provenance["conversions"] == [
        "1 of 8 pictures: brought to 6x5 (centre crop to its aspect, bilinear)",
        "2 of 8 pictures: grey repeated in 3 channels",
        "1 of 8 pictures: reduced to 8 bits",
        "1 of 8 pictures: transparency laid over black",
    ]
    assert images.provenance["ignored"] == "1 files that are no pictures"
    assert "mixed: 2 of 8 pictures: grey repeated" in caplog.text
    # cat: a, b, grey, large; dog: 1, 2, clear, deep
    np.testing.assert_array_equal(images.images[2], np.repeat(PIXELS[0][..., :1], 3, axis=2))
    assert not images.images[6].any()
    assert (images.images[7] == 100).all()


def test_size_and_channels_as_asked(tmp_path):
    root = write(tmp_path / "pets", tree())
    small = from_folder(root, size=4, channels=1)
    assert small.images.shape == (4, 4, 4, 1)
    assert small.provenance["conversions"][1] == "4 of 4 pictures: colour to grey"
    assert from_folder(root, size=(3, 7)).size == (3, 7)
    with pytest.raises(ValueError, match=r"size must be one number or \(height, width\)"):
        from_folder(root, size=(1, 2, 3))
    with pytest.raises(ValueError, match="size must be a whole number of at least 1"):
        from_folder(root, size=0)
    with pytest.raises(ValueError, match="channels must be 1 .* or 3"):
        from_folder(root, channels=4)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16"])
def test_every_mode_is_read(tmp_path, mode):
    values = np.tile(np.arange(0, 250, 10, dtype=np.uint8), (4, 1))
    if mode == "I;16":
        content = encoded(values.astype(np.uint16) * 257, "TIFF")
    else:
        file = io.BytesIO()
        Image.fromarray(values).convert(mode).save(file, "TIFF")
        content = file.getvalue()
    images = from_folder(write(tmp_path / mode.replace(";", ""), {"a/1.tif": content}), channels=1)
    if mode != "1":
        np.testing.assert_allclose(images.images[0, ..., 0], values, atol=1)


@pytest.mark.parametrize(("dtype", "kind"), [(np.float32, "floats"), (np.int32, "whole numbers of 32 bits")])
def test_pictures_that_do_not_say_what_is_white_are_refused(tmp_path, dtype, kind):
    root = write(tmp_path / "deep", {"a/1.tif": encoded(np.full((4, 4), 200, dtype), "TIFF")})
    with pytest.raises(PictureError, match=rf"1\.tif .*holds {kind} and does not say which value is white. Divide all"):
        from_folder(root)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PGM"])
def test_a_dark_picture_stays_dark_where_the_file_says_how_deep_it_is(tmp_path, kind):
    values = np.full((4, 4), 200, np.uint16)
    content = b"P5 4 4 65535\n" + values.astype(">u2").tobytes() if kind == "PGM" else encoded(values, kind)
    images = from_folder(write(tmp_path / "dark", {f"a/1.{kind.lower()}": content}))
    assert (images.images == 1).all()
    assert images.provenance["conversions"] == ["1 of 1 pictures: reduced to 8 bits"]


@pytest.mark.parametrize("orientation", [3, 6])
@pytest.mark.parametrize("kind", ["JPEG", "TIFF", "PNG", "WebP"])
def test_every_format_is_turned_upright_as_pillow_does(tmp_path, kind, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"quality": 100, "lossless": True} if kind == "WebP" else {}
    content = encoded(random_images(1, 20, 40, 3)[0], kind, exif=exif, **options)
    images = from_folder(write(tmp_path / "a", {f"x/1.{kind.lower()}": content}))
    with Image.open(io.BytesIO(content)) as picture:
        np.testing.assert_array_equal(images.images[0], ImageOps.exif_transpose(picture))
    assert images.provenance["conversions"] == ["1 of 1 pictures: turned as their EXIF orientation says"]


def test_a_png_may_name_its_orientation_after_its_pixels(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    content = encoded(random_images(1, 20, 40, 3)[0], exif=exif)
    start, pixels, end = (content.index(name) - 4 for name in (b"eXIf", b"IDAT", b"IEND"))
    late = bytearray(content[:start] + content[pixels:end] + content[start:pixels] + content[end:])
    assert from_folder(write(tmp_path / "a", {"x/1.png": late})).size == (40, 20)
    late[late.index(b"IDAT") + 100] ^= 0xFF
    with pytest.raises(PictureError, match=r"1\.png cannot be read as a picture"):
        from_folder(write(tmp_path / "b", {"x/1.png": late}))


def test_a_photograph_is_turned_upright(tmp_path):
    picture = Image.fromarray(np.repeat(np.arange(0, 200, 10, dtype=np.uint8)[:, None], 8, axis=1))
    exif = picture.getexif()
    exif[0x0112] = 6  # the camera was turned: show the picture rotated by 90 degrees clockwise
    file = io.BytesIO()
    picture.save(file, "JPEG", exif=exif, quality=100)
    images = from_folder(write(tmp_path / "a", {"x/1.jpg": file.getvalue()}))
    assert images.size == (8, 20)
    assert images.images[0, 4, 0, 0] > images.images[0, 4, -1, 0]
    assert "EXIF" in images.provenance["conversions"][0]


def test_a_class_without_pictures_is_named(tmp_path):
    root = write(tmp_path / "pets", tree())
    (root / "bird").mkdir()
    with pytest.raises(FolderError, match="1 class folder without pictures: bird. Fill or remove"):
        from_folder(root)
    path = tmp_path / "pets.zip"
    path.write_bytes(zip_bytes([*tree().items(), ("bird/", b"")]))
    with pytest.raises(FolderError, match="without pictures: bird"):
        from_folder(path)


def test_a_test_folder_is_numbered_by_the_classes_of_training(tmp_path):
    train, test = (("ant", "bee", "cat"), ("bee", "cat"))
    files = {f"train/{kind}/1.png": encoded(PIXELS[0]) for kind in train}
    root = write(tmp_path / "own", files | {f"test/{kind}/1.png": encoded(PIXELS[1]) for kind in test})
    train = from_folder(root, split="train")
    with pytest.raises(ValueError, match=r"train alone has 'ant'.*pass class_names=train\.class_names"):
        InDistribution("own", train, from_folder(root, split="test"))
    (root / "test" / "ant").mkdir()
    with pytest.raises(FolderError, match=r"without pictures: ant.*test set, pass class_names=train\.class_names"):
        from_folder(root, split="test")
    for _ in range(2):
        test = from_folder(root, split="test", class_names=train.class_names)
        assert test.class_names == ("ant", "bee", "cat") and test.labels.tolist() == [1, 2]
        assert InDistribution("own", train, test).class_names == train.class_names
        if (root / "test" / "ant").exists():
            (root / "test" / "ant").rmdir()
    assert from_folder(root, split="train", class_names=["cat", "bee", "ant"]).labels.tolist() == [2, 1, 0]


def test_class_names_cover_the_folders(tmp_path):
    root = write(tmp_path / "pets", tree())
    with pytest.raises(FolderError, match="1 class folder not in class_names: dog. class_names has cat, cow; add,"):
        from_folder(root, class_names=("cat", "cow"))
    (root / "bird").mkdir()
    with pytest.raises(FolderError, match="1 class folder not in class_names: bird"):
        from_folder(root, class_names=("cat", "dog"))
    with pytest.raises(TypeError, match="class_names must be a sequence of names, but is the text 'cat'"):
        from_folder(root, class_names="cat")
    for names in ((), ("cat", "dog", "cat")):
        with pytest.raises(ValueError, match="class_names must name each class once, but is (empty|cat, dog, cat)"):
            from_folder(root, class_names=names)


def test_pictures_that_would_fill_the_memory_are_refused(tmp_path, monkeypatch):
    root = write(tmp_path / "pets", tree())
    monkeypatch.setattr("isomax_viz.datasets.folder.available_memory", lambda: 4 * 6 * 5 * 3 - 1)
    with pytest.raises(ValueError, match=r"4 pictures of 6x5x3 would take 0\.0 GiB, but .* free; pass size=\(3, 3\)"):
        from_folder(root)
    assert from_folder(root, size=3).size == (3, 3)
    monkeypatch.setattr("isomax_viz.datasets.folder.available_memory", lambda: 2 * 2**30)
    with pytest.raises(ValueError, match=r"would take 3\.6 GiB, but 2\.0 GiB are free; pass size=\(224, 224\)"):
        from_folder(root, size=18_000)


def test_one_huge_picture_does_not_decide_on_the_size(tmp_path):
    sides = (8, 9, 10, 12, 300)
    files = {f"a/{side}.png": encoded(np.zeros((side, side), np.uint8)) for side in sides}
    root = write(tmp_path / "own", files)
    assert from_folder(root).size == (10, 10)
    # What is frequent goes before what is in the middle; of two, the larger loses less.
    write(root, {"a/again.png": files["a/12.png"]})
    assert from_folder(root).size == (12, 12)
    write(root, {"a/and.png": files["a/8.png"]})
    assert from_folder(root).size == (12, 12)


def test_other_layouts_are_refused(tmp_path):
    root = write(tmp_path / "flat", {"1.png": encoded(PIXELS[0])})
    with pytest.raises(FolderError, match=r"pictures without a class folder, such as 1.png.*from_arrays"):
        from_folder(root)
    with pytest.raises(FolderError, match="holds no pictures"):
        from_folder(write(tmp_path / "none", {"a/readme.txt": b""}))
    with pytest.raises(FolderError, match="does not exist"):
        from_folder(tmp_path / "absent")
    with pytest.raises(FolderError, match="is neither a folder nor a zip"):
        from_folder(root / "1.png")


@pytest.mark.parametrize("content", [b"nothing like it", b"", encoded(random_images(1, 60, 60, 3)[0])[:2000]])
@pytest.mark.parametrize("size", [None, 8])
def test_a_damaged_picture_is_named(tmp_path, content, size):
    root = write(tmp_path / "pets", tree() | {"dog/broken.png": content})
    with pytest.raises(PictureError, match=r"dog.broken\.png cannot be read as a picture.*Replace or remove"):
        from_folder(root, size=size, channels=3)
    path = tmp_path / "pets.zip"
    path.write_bytes(zip_bytes((tree() | {"dog/broken.png": content}).items()))
    with pytest.raises(PictureError, match=r"pets\.zip: dog/broken\.png cannot be read as a picture"):
        from_folder(path, size=size, channels=3)


def test_a_truncated_zip(tmp_path):
    path = tmp_path / "pets.zip"
    path.write_bytes(zip_bytes(tree().items())[:-40])
    with pytest.raises(ArchiveError, match=r"pets\.zip is damaged or truncated"):
        from_folder(path)


def test_a_zip_with_an_altered_picture(tmp_path):
    content = bytearray(zip_bytes(tree().items()))
    content[60] ^= 0xFF
    path = tmp_path / "pets.zip"
    path.write_bytes(content)
    with pytest.raises(ArchiveError, match="damaged or truncated"):
        from_folder(path)


@pytest.mark.parametrize(
    "name", ["../../escape/1.png", "/etc/x/1.png", "cat/../../1.png", "..\\..\\cat\\1.png", "C:\\cat\\1.png"]
)
def test_a_zip_cannot_escape(tmp_path, name):
    path = tmp_path / "inner" / "pets.zip"
    path.parent.mkdir()
    path.write_bytes(zip_bytes([*tree().items(), (name, encoded(PIXELS[0]))]))
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ArchiveError, match="a path outside the archive's folder. It was not read"):
        from_folder(path)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_zip_may_not_hold_links(tmp_path):
    link = zipfile.ZipInfo("cat/link.png")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    path = tmp_path / "pets.zip"
    path.write_bytes(zip_bytes([*tree().items(), (link, b"/etc/passwd")]))
    with pytest.raises(ArchiveError, match="holds 'cat/link.png', a link"):
        from_folder(path)


def _link(kind):
    info = tarfile.TarInfo("pictures/link.png")
    info.type, info.linkname = kind, "/etc/passwd"
    return info


@pytest.mark.parametrize(
    "member",
    [
        ("../escape.png", b"x"),
        ("/escape.png", b"x"),
        ("a/../../escape.png", b"x"),
        _link(tarfile.SYMTYPE),
        _link(tarfile.LNKTYPE),
    ],
)
def test_a_tar_cannot_escape(tmp_path, member):
    path = tmp_path / "inner" / "pets.tar.gz"
    path.parent.mkdir()
    path.write_bytes(tar_bytes([("pictures/1.png", encoded(PIXELS[0])), member]))
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ArchiveError, match="(a path outside the archive's folder|a link). It was not read"):
        list(read_members(path))
    assert sorted(tmp_path.rglob("*")) == before


def test_names_with_dots_are_harmless(tmp_path):
    path = tmp_path / "pets.tar"
    path.write_bytes(tar_bytes([("a..b/1...png", b"x"), ("./c/2.png", b"y")], "w"))
    assert [content for _, content in read_members(path)] == [b"x", b"y"]


def test_a_truncated_tar(tmp_path):
    path = tmp_path / "pets.tar.gz"
    path.write_bytes(tar_bytes([("a/1.png", random_images(1, 100, 100)[0].tobytes())])[:5000])
    with pytest.raises(ArchiveError, match="damaged or truncated"):
        list(read_members(path))


def test_a_member_that_claims_too_much_is_refused(tmp_path):
    info = tarfile.TarInfo("huge.png")
    info.size = 2**31
    path = tmp_path / "huge.tar"
    path.write_bytes(info.tobuf() + bytes(1024))
    with pytest.raises(ArchiveError, match="holds 'huge.png' of 2,147,483,648 bytes"):
        list(read_members(path))


def chunk(name, content, *, whole=True):
    sum_of = zlib.crc32(name + content) ^ (not whole)
    return len(content).to_bytes(4, "big") + name + content + sum_of.to_bytes(4, "big")


def with_chunk(content, added):
    return content[:33] + added + content[33:]  # behind the header


@pytest.mark.parametrize("damage", ["checksum", "text too long", "exif"])
def test_damage_beside_sound_pixels_is_ignored_and_noted(tmp_path, damage):
    added = {
        "checksum": chunk(b"tEXt", b"Comment\0cat", whole=False),
        "text too long": chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(70_000_000))),
        "exif": chunk(b"eXIf", b"nothing like it"),
    }[damage]
    images = from_folder(write(tmp_path / "a", {"x/1.png": with_chunk(encoded(PIXELS[0]), added)}))
    np.testing.assert_array_equal(images.images[0], PIXELS[0])
    assert images.provenance["conversions"] == ["1 of 1 pictures: damaged data beside the pixels ignored"]


def test_damaged_exif_data_of_a_photograph_are_ignored(tmp_path):
    content = encoded(PIXELS[0], "JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + b"\xff" * 40)
    expected = np.asarray(Image.open(io.BytesIO(content)))
    images = from_folder(write(tmp_path / "a", {"x/1.jpg": content}))  # without Pillow's warning
    np.testing.assert_array_equal(images.images[0], expected)
    assert images.provenance["conversions"] == ["1 of 1 pictures: damaged data beside the pixels ignored"]


def test_all_unreadable_pictures_are_named_each_as_what_it_is(tmp_path, monkeypatch):
    heic = (24).to_bytes(4, "big") + b"ftypheic" + bytes(40)
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n"
    files = {"cat/heic.heic": heic, "cat/lfs.png": pointer, "cat/none.jpg": b"none", "cat/b.png": encoded(PIXELS[0])}
    root = write(tmp_path / "pets", files)
    for size in (None, 8):
        with pytest.raises(PictureError, match="3 files cannot be read as pictures") as error:
            from_folder(root, size=size, channels=3)
        heic, lfs, none = str(error.value).split("; ")
        assert "heic.heic: it is a HEIC photograph" in heic and "remove" not in heic
        assert "lfs.png: it is a Git LFS pointer" in lfs and "git lfs pull" in lfs and "remove" not in lfs
        assert "none.jpg: it is no picture of a known format. Replace or remove" in none
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    with pytest.raises(PictureError, match=r"a\.png .*is very large.*set PIL\.Image\.MAX_IMAGE_PIXELS = None"):
        from_folder(write(tmp_path / "large", {"x/a.png": encoded(PIXELS[0])}))


def test_pictures_of_other_suffixes_and_of_none(tmp_path):
    kinds = {"a.jfif": "JPEG", "b.jpe": "JPEG", "c.avif": "AVIF", "d.jp2": "JPEG2000", "e": "PNG", "f": "WebP"}
    files = {f"x/{name}": encoded(random_images(1, 32, 32, 3)[0], kind) for name, kind in kinds.items()}
    root = write(tmp_path / "own", files | {"x/README": b"BMs and GIFs", "x/notes.md": b"no"})
    images = from_folder(root)
    assert len(images) == 6 and images.provenance["ignored"] == "2 files that are no pictures"
    path = tmp_path / "own.zip"
    path.write_bytes(zip_bytes((files | {"x/README": b"BMs and GIFs"}).items()))
    assert from_folder(path).fingerprint == images.fingerprint


def test_folders_below_a_class_and_linked_folders_are_read_as_torchvision_reads_them(tmp_path):
    from torchvision.datasets import ImageFolder

    nested = ("cat/images/1.png", "cat/0.png", "dog/a/b/2.png", "dog!/1.png")
    files = {name: encoded(image) for name, image in zip(nested, PIXELS, strict=True)}
    root = write(tmp_path / "pets", files)
    (root / "cow").symlink_to(write(tmp_path / "elsewhere", {"5.png": encoded(PIXELS[1])}), target_is_directory=True)
    expected = ImageFolder(str(root))
    (root / "cat" / "itself").symlink_to(root, target_is_directory=True)
    (root / "cat" / "gone.png").symlink_to(tmp_path / "absent.png")
    write(root, {"cat/@eaDir/0.png": encoded(PIXELS[2])})
    images = from_folder(root)
    assert images.class_names == tuple(expected.classes) and images.labels.tolist() == expected.targets
    np.testing.assert_array_equal(images.images, [np.asarray(picture) for picture, _ in expected])
    assert images.provenance["ignored"] == "0 files that are no pictures, 1 broken links"


def test_splits_of_other_names_are_known_by_their_classes(tmp_path):
    files = {f"{fold}/{kind}/1.png": encoded(PIXELS[0]) for fold in ("one", "two") for kind in ("cat", "dog")}
    with pytest.raises(FolderError, match="holds several splits: 'one', 'two'"):
        from_folder(write(tmp_path / "folds", files))
    letters = {f"{kind[0]}/{kind}/1.png": encoded(PIXELS[0]) for kind in ("airfield", "alley", "beach")}
    assert from_folder(write(tmp_path / "places", letters)).labels.tolist() == [0, 0, 1]


def test_names_in_zips_are_those_that_were_meant(tmp_path):
    composed, decomposed = (unicodedata.normalize(form, "caf\u00e9") for form in ("NFC", "NFD"))
    members = [("dog\\1.png", encoded(PIXELS[0])), ("dog\\2.png", encoded(PIXELS[1]))]
    members += [(f"{composed}/1.png", encoded(PIXELS[2])), (f"{decomposed}/2.png", encoded(PIXELS[3]))]
    path = tmp_path / "pets.zip"
    with pytest.warns(UserWarning, match="Duplicate name"):
        path.write_bytes(zip_bytes([*members, ("dog\\2.png", encoded(PIXELS[3]))]))
    images = from_folder(path)
    assert images.class_names == (composed, "dog") and images.labels.tolist() == [1, 1, 0, 0]
    np.testing.assert_array_equal(images.images[1], PIXELS[3])
    path.write_bytes(zip_bytes([(f"{name}/1.png", encoded(PIXELS[0])) for name in (composed, decomposed, "dog")]))
    assert from_folder(path).labels.tolist() == [0, 1]  # one name, one picture


@pytest.mark.skipif(sys.platform != "linux", reason="names of files are text there")
def test_names_of_folders_that_are_no_text_can_be_written(tmp_path):
    files = {f"{os.fsdecode(name)}/1.png": encoded(PIXELS[0]) for name in (b"caf\xe8", b"caf\xe9")}
    images = from_folder(write(tmp_path / os.fsdecode(b"pets\xff"), files))
    assert images.class_names == ("caf\\udce8", "caf\\udce9") and images.name == "pets\\udcff"
    assert from_folder(tmp_path / os.fsdecode(b"pets\xff"), class_names=images.class_names).labels.tolist() == [0, 1]


def test_class_folders_that_are_numbers_are_warned_of(tmp_path):
    root = write(tmp_path / "own", {f"{number}/1.png": encoded(PIXELS[0]) for number in range(12)})
    with pytest.warns(UserWarning, match="sorted as text, as torchvision does: label 2 is the folder '10'"):
        names = from_folder(root).class_names
    for order in (sorted(names), sorted(names, key=int)):
        assert from_folder(root, class_names=order).class_names == tuple(order)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("a.npz", "holds arrays. Pass the pictures"),
        ("a.pt", "weights_only=True"),
        ("a.tgz", "is a tar archive. Unp"),
    ],
)
def test_what_is_no_folder_is_called_by_its_name(tmp_path, name, words):
    path = tmp_path / name
    path.write_bytes(b"sound")
    with pytest.raises(FolderError, match=words):
        from_folder(path)


@pytest.mark.parametrize(("field", "value", "words"), [(8, 1, "locked with a password"), (10, 9, "Deflate64")])
def test_sound_zips_that_cannot_be_read_are_not_called_damaged(tmp_path, field, value, words):
    content = bytearray(zip_bytes([("cat/1.png", encoded(PIXELS[0]))]))
    for start in (content.index(b"PK\3\4") + field - 2, content.index(b"PK\1\2") + field):
        content[start] = value
    path = tmp_path / "pets.zip"
    path.write_bytes(content)
    with pytest.raises(ArchiveError, match=words) as error:
        from_folder(path)
    assert "amaged" not in str(error.value) and "elete" not in str(error.value)
    path.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n")
    with pytest.raises(ArchiveError, match="is a Git LFS pointer.*git lfs pull"):
        from_folder(path)


def test_a_zip_that_unpacks_into_more_than_pictures_do_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for number in range(5):
            archive.writestr(f"a/{number}.png", bytes(2**24))
    with pytest.raises(ArchiveError, match=r"holds at least 83,886,080 bytes, packed into .*unpack it and pass the"):
        from_folder(path)


@pytest.mark.parametrize("suffix", [".zip", ".tar", ".tar.gz", ".tar.xz", ".tar.bz2"])
def test_a_damaged_archive_is_called_that_whatever_the_damage(suffix, tmp_path):
    """Whatever the libraries raise: names that are no text, lengths that can't be, streams that end."""
    rng, path = np.random.default_rng(0), tmp_path / f"x{suffix}"
    (tmp_path / "é").mkdir()
    for name in "abc":
        (tmp_path / "é" / f"{name}.png").write_bytes(encoded(rng.integers(0, 255, (6, 5), np.uint8)))
    if suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_BZIP2) as archive:
            for name in "abc":
                archive.write(tmp_path / "é" / f"{name}.png", f"é/{name}.png")
    else:
        with tarfile.open(path, f"w:{suffix[5:]}") as archive:
            archive.add(tmp_path / "é", "é")
    whole, refused = path.read_bytes(), 0
    for _ in range(150):
        damaged = bytearray(whole)
        for place in rng.integers(0, len(whole), size=3):
            damaged[place] = rng.integers(256)
        path.write_bytes(damaged)
        try:
            list(read_members(path))
        except ArchiveError as error:
            assert str(path) in str(error)
            refused += 1
    assert refused > 0
