"""The papers' data sets: from the decoded cache, a file already downloaded, a bundle of pictures, or their home.

URLs and checksums are those that torchvision and pytorch-ood record (a test compares them); the files are read here
without either library, so that pictures can be loaded and looked at without PyTorch.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from isomax_viz._common.checks import check_choice
from isomax_viz.datasets import originals
from isomax_viz.datasets.archives import ArchiveError, bundle_digest, bundles, has_split
from isomax_viz.datasets.cache import cache_path, load_cached, through_cache
from isomax_viz.datasets.decode import decode_all
from isomax_viz.datasets.fetch import RemoteFile, data_folder, fetch, is_ready
from isomax_viz.datasets.folder import read_layout
from isomax_viz.datasets.images import ImageSet

__all__ = ["FILES", "RECIPES", "Recipe", "availability", "load"]

_log = logging.getLogger(__name__)

_TORONTO = "https://www.cs.toronto.edu/~kriz/"
_SVHN = "http://ufldl.stanford.edu/housenumbers/"
_MNIST = ("https://ossci-datasets.s3.amazonaws.com/mnist/", "http://yann.lecun.com/exdb/mnist/")
_FASHION = ("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",)
_ODIN = "https://www.dropbox.com/s/raw/"


def _idx(folder: str, homes: Sequence[str], name: str, md5: str) -> RemoteFile:
    # Both sets have the same four file names, so each has its own folder.
    return RemoteFile(f"{folder}/{name}", tuple(home + name for home in homes), md5)


FILES: dict[str, RemoteFile] = {
    "cifar10": RemoteFile(
        "cifar-10-python.tar.gz", (_TORONTO + "cifar-10-python.tar.gz",), "c58f30108f718f92721af3b95e74349a"
    ),
    "cifar100": RemoteFile(
        "cifar-100-python.tar.gz", (_TORONTO + "cifar-100-python.tar.gz",), "eb9058c3a382ffc7106e4002c42a8d85"
    ),
    "svhn-train": RemoteFile("train_32x32.mat", (_SVHN + "train_32x32.mat",), "e26dedcc434d2e4c54c9b2d4a06d8373"),
    "svhn-test": RemoteFile("test_32x32.mat", (_SVHN + "test_32x32.mat",), "eb5a983be6a315427106f1b164d9cef3"),
    "mnist-train-images": _idx("mnist", _MNIST, "train-images-idx3-ubyte.gz", "f68b3c2dcbeaaa9fbdd348bbdeb94873"),
    "mnist-train-labels": _idx("mnist", _MNIST, "train-labels-idx1-ubyte.gz", "d53e105ee54ea40749a09fcbcd1e9432"),
    "mnist-test-images": _idx("mnist", _MNIST, "t10k-images-idx3-ubyte.gz", "9fb629c4189551a2d022fa330f9573f3"),
    "mnist-test-labels": _idx("mnist", _MNIST, "t10k-labels-idx1-ubyte.gz", "ec29112dd5afa0611ce80d1b7f02629c"),
    "fashion-train-images": _idx(
        "fashion_mnist", _FASHION, "train-images-idx3-ubyte.gz", "8d4fb7e6c68d591d4c3dfef9ec88bf0d"
    ),
    "fashion-train-labels": _idx(
        "fashion_mnist", _FASHION, "train-labels-idx1-ubyte.gz", "25c81989df183df01b3e8a0aad5dffbe"
    ),
    "fashion-test-images": _idx(
        "fashion_mnist", _FASHION, "t10k-images-idx3-ubyte.gz", "bef4ecab320f06d8554ea6380940ec79"
    ),
    "fashion-test-labels": _idx(
        "fashion_mnist", _FASHION, "t10k-labels-idx1-ubyte.gz", "bb300cfdad3c16e7a12a480ee83cd310"
    ),
    "tinyimagenet": RemoteFile(
        "tiny-imagenet-200.zip",
        ("http://cs231n.stanford.edu/tiny-imagenet-200.zip",),
        "90528d7ca1a48142e341f4ef8d21d0de",
    ),
    "tinyimagenet_resize": RemoteFile(
        "Imagenet_resize.tar.gz",
        (_ODIN + "kp3my3412u5k9rl/Imagenet_resize.tar.gz",),
        "0f9ff11d45babf2eff5fe12281d1ac31",
    ),
    "lsun_resize": RemoteFile(
        "LSUN_resize.tar.gz", (_ODIN + "moqh2wh8696c3yl/LSUN_resize.tar.gz",), "278b7b31c8cb7e804a1465a8ce03a2dc"
    ),
    "fooling": RemoteFile(
        "10_runs_x_1000_cppns.tar.gz",
        ("https://s.anhnguyen.me/10_runs_x_1000_cppns.tar.gz",),
        "0910d63973b1512770f37bebdbb53e37",
    ),
}


@dataclass(frozen=True)
class Recipe:
    """How one set is read.

    Attributes
    ----------
    read : callable
        ``read(paths, split)`` with the paths of the split's files, in order; pictures, labels, class names and notes of
        conversions.
    files : dict of str to tuple of str
        Keys of ``FILES`` that each split needs.
    bundle : dict of str to str
        Name of each split in a bundle of pictures; empty where no bundle can serve.
    shape : (int, int, int)
        Height, width and channels of a bundle's pictures.
    counts : dict of str to int
        Pictures in each split of the original.
    class_names : tuple of str
        The original's names for a bundle's class folders in alphabetical order; empty to take the folders' names.
    caveat : str
        What to know about a bundle of this set.
    """

    read: Callable[[list[Path], str], originals.Decoded]
    files: dict[str, tuple[str, ...]]
    bundle: dict[str, str]
    shape: tuple[int, int, int]
    counts: dict[str, int]
    class_names: tuple[str, ...] = ()
    caveat: str = ""


_SPLITS = {"train": "train", "test": "test"}
_BOTH = {"train": 60_000, "test": 10_000}
_COLOUR, _GREY = (32, 32, 3), (28, 28, 1)


def _four(prefix: str) -> dict[str, tuple[str, ...]]:
    return {split: (f"{prefix}-{split}-images", f"{prefix}-{split}-labels") for split in ("train", "test")}


RECIPES: dict[str, Recipe] = {
    "cifar10": Recipe(
        originals.cifar10,
        {"train": ("cifar10",), "test": ("cifar10",)},
        _SPLITS,
        _COLOUR,
        {"train": 50_000, "test": 10_000},
    ),
    "cifar100": Recipe(
        originals.cifar100,
        {"train": ("cifar100",), "test": ("cifar100",)},
        _SPLITS,
        _COLOUR,
        {"train": 50_000, "test": 10_000},
    ),
    "svhn": Recipe(
        originals.svhn,
        {"train": ("svhn-train",), "test": ("svhn-test",)},
        _SPLITS,
        _COLOUR,
        {"train": 73_257, "test": 26_032},
    ),
    "mnist": Recipe(originals.mnist, _four("mnist"), _SPLITS, _GREY, _BOTH, originals.DIGITS),
    "fashion_mnist": Recipe(originals.fashion_mnist, _four("fashion"), _SPLITS, _GREY, _BOTH, originals.FASHION),
    "tinyimagenet": Recipe(
        originals.tinyimagenet,
        {"train": ("tinyimagenet",), "test": ("tinyimagenet",)},
        {},
        (64, 64, 3),
        {"train": 100_000, "test": 10_000},
    ),
    "tinyimagenet_resize": Recipe(
        originals.flat_pictures,
        {"test": ("tinyimagenet_resize",)},
        {"test": "val"},
        _COLOUR,
        {"test": 10_000},
        caveat="made like the ODIN paper's file, but not identical to it",
    ),
    "lsun_resize": Recipe(originals.flat_pictures, {"test": ("lsun_resize",)}, {}, _COLOUR, {"test": 10_000}),
    "fooling": Recipe(originals.fooling, {"test": ("fooling",)}, {}, (64, 64, 3), {"test": 10_000}),
}


def _bundle(name: str, split: str) -> Path | None:
    """Return the user's bundle of a set that has the split, if there is one."""
    wanted = RECIPES[name].bundle.get(split)
    if wanted is None:
        return None
    for path in bundles(name):
        # Listing tens of thousands of names takes longer than loading what was decoded before.
        if cache_path(data_folder(), name, split, bundle_digest(path)).is_file() or has_split(path, wanted):
            return path
    return None


def _from_bundle(name: str, split: str, path: Path) -> ImageSet:
    recipe = RECIPES[name]
    digest = bundle_digest(path)

    def build() -> ImageSet:
        layout = read_layout(path, recipe.bundle[split])
        images, notes = decode_all(layout.contents(), len(layout.paths), recipe.shape[:2], recipe.shape[2])
        names = recipe.class_names if len(recipe.class_names) == len(layout.class_names) else layout.class_names
        provenance = {
            "source": f"bundle of pictures {path.name}, split {recipe.bundle[split]} (not the original archive)",
            "sha256": digest,
            "complete": f"{len(images):,} of the original's {recipe.counts[split]:,} pictures",
            "conversions": notes,
        }
        if recipe.caveat:
            provenance["caveat"] = recipe.caveat
        return ImageSet(name, images, layout.labels, names, provenance)

    images = through_cache(cache_path(data_folder(), name, split, digest), build)
    if len(images) < recipe.counts[split]:
        _log.warning("%s %s comes from the bundle %s: %s.", name, split, path, images.provenance["complete"])
    return images


def _from_original(name: str, split: str, files: list[RemoteFile]) -> ImageSet:
    def build() -> ImageSet:
        images, labels, class_names, notes = RECIPES[name].read([fetch(file) for file in files], split)
        provenance = {
            "source": ", ".join(file.urls[0] for file in files),
            "md5": ", ".join(file.md5 for file in files),
            "conversions": notes,
        }
        try:
            return ImageSet(name, images, labels, class_names, provenance)
        except (TypeError, ValueError) as error:
            raise ArchiveError(f"{files[0].name} does not hold what {name} should: {error}") from error

    return through_cache(_original_cache(name, split, files), build)


def _original_cache(name: str, split: str, files: list[RemoteFile]) -> Path:
    return cache_path(data_folder(), name, split, [file.md5 for file in files])


def load(name: str, split: str) -> ImageSet:
    """Return one split of a paper's data set at its own size.

    In order of preference: the decoded original, the original archive in the data folder, a bundle ``<name>.zip`` of
    pictures (``<name>/<split>/<class>/<picture>``) in the data folder or in ``ISOMAX_VIZ_BUNDLES``, a download. The
    provenance says which it was.

    Parameters
    ----------
    name : str
        A key of ``RECIPES``.
    split : {"train", "test"}
        TinyImageNet's test pictures have no labels, so its validation pictures are the test split.

    Raises
    ------
    DownloadError
        If nothing is at hand and no network either; the message says what to put where.
    ArchiveError
        If an archive is damaged or unsafe.
    """
    recipe = RECIPES[check_choice("name", name, RECIPES)]
    check_choice("split", split, recipe.files, remedy=f"{name} has no other.")
    files = [FILES[key] for key in recipe.files[split]]
    decoded = load_cached(_original_cache(name, split, files), quiet=True)
    if decoded is not None:
        return decoded
    if not all(is_ready(file) for file in files):
        bundle = _bundle(name, split)
        if bundle is not None:
            return _from_bundle(name, split, bundle)
    return _from_original(name, split, files)


def availability(name: str) -> str:
    """Return ``"yes"`` if every split can be had without a network, else what is missing or damaged.

    No file is read whole: an original archive or a decoded set counts if it is there, a bundle by the names it lists.
    """
    recipe = RECIPES[name]
    missing = []
    for split, keys in recipe.files.items():
        files = [FILES[key] for key in keys]
        if all((data_folder() / file.name).is_file() for file in files):
            continue
        if _original_cache(name, split, files).is_file():
            continue
        for path in bundles(name) if split in recipe.bundle else ():
            try:
                if has_split(path, recipe.bundle[split]):
                    break
            # The table goes on; loading says what is wrong and what to do.
            except ArchiveError:
                return f"damaged: {path.name}"
            except OSError:
                return f"not readable: {path.name}"
        else:
            missing.append(split)
    return "yes" if not missing else f"{' and '.join(missing)} to be downloaded"
