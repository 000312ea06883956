"""The papers' data sets: from the decoded cache, a file already downloaded, a bundle of pictures, or their home.

URLs and checksums are those that torchvision and pytorch-ood record (a test compares them); the files are read here
without either library, so that pictures can be loaded and looked at without PyTorch.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from isomax_viz._common.files import file_digest
from isomax_viz.datasets import originals
from isomax_viz.datasets.archives import ArchiveError, bundles, has_split
from isomax_viz.datasets.cache import cache_path, through_cache
from isomax_viz.datasets.decode import decode_all
from isomax_viz.datasets.fetch import RemoteFile, data_folder, fetch, is_ready
from isomax_viz.datasets.folder import read_layout
from isomax_viz.datasets.images import ImageSet

__all__ = ["FILES", "RECIPES", "Recipe", "availability", "load"]

_log = logging.getLogger(__name__)

_TORONTO = "https://www.cs.toronto.edu/~kriz/"
_SVHN = "http://ufldl.stanford.edu/housenumbers/"
_ODIN = "https://www.dropbox.com/s/raw/"


def _file(homes: str | Sequence[str], name: str, md5: str, *, folder: str = "") -> RemoteFile:
    homes = [homes] if isinstance(homes, str) else homes
    return RemoteFile(folder + name, tuple(home + name for home in homes), md5)


# Both sets have the same four file names, so each has its own folder.
_mnist = partial(
    _file, ["https://ossci-datasets.s3.amazonaws.com/mnist/", "http://yann.lecun.com/exdb/mnist/"], folder="mnist/"
)
_fashion = partial(_file, "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/", folder="fashion_mnist/")

# A set's files have its name, those of one split "<set>-<split>" in front.
FILES: dict[str, RemoteFile] = {
    "cifar10": _file(_TORONTO, "cifar-10-python.tar.gz", "c58f30108f718f92721af3b95e74349a"),
    "cifar100": _file(_TORONTO, "cifar-100-python.tar.gz", "eb9058c3a382ffc7106e4002c42a8d85"),
    "svhn-train": _file(_SVHN, "train_32x32.mat", "e26dedcc434d2e4c54c9b2d4a06d8373"),
    "svhn-test": _file(_SVHN, "test_32x32.mat", "eb5a983be6a315427106f1b164d9cef3"),
    "mnist-train-images": _mnist("train-images-idx3-ubyte.gz", "f68b3c2dcbeaaa9fbdd348bbdeb94873"),
    "mnist-train-labels": _mnist("train-labels-idx1-ubyte.gz", "d53e105ee54ea40749a09fcbcd1e9432"),
    "mnist-test-images": _mnist("t10k-images-idx3-ubyte.gz", "9fb629c4189551a2d022fa330f9573f3"),
    "mnist-test-labels": _mnist("t10k-labels-idx1-ubyte.gz", "ec29112dd5afa0611ce80d1b7f02629c"),
    "fashion_mnist-train-images": _fashion("train-images-idx3-ubyte.gz", "8d4fb7e6c68d591d4c3dfef9ec88bf0d"),
    "fashion_mnist-train-labels": _fashion("train-labels-idx1-ubyte.gz", "25c81989df183df01b3e8a0aad5dffbe"),
    "fashion_mnist-test-images": _fashion("t10k-images-idx3-ubyte.gz", "bef4ecab320f06d8554ea6380940ec79"),
    "fashion_mnist-test-labels": _fashion("t10k-labels-idx1-ubyte.gz", "bb300cfdad3c16e7a12a480ee83cd310"),
    "tinyimagenet": _file("http://cs231n.stanford.edu/", "tiny-imagenet-200.zip", "90528d7ca1a48142e341f4ef8d21d0de"),
    "tinyimagenet_resize": _file(
        _ODIN + "kp3my3412u5k9rl/", "Imagenet_resize.tar.gz", "0f9ff11d45babf2eff5fe12281d1ac31"
    ),
    "lsun_resize": _file(_ODIN + "moqh2wh8696c3yl/", "LSUN_resize.tar.gz", "278b7b31c8cb7e804a1465a8ce03a2dc"),
    "fooling": _file("https://s.anhnguyen.me/", "10_runs_x_1000_cppns.tar.gz", "0910d63973b1512770f37bebdbb53e37"),
}


@dataclass(frozen=True)
class Recipe:
    """How one set is read.

    Attributes
    ----------
    read : callable
        ``read(paths, split)`` with the paths of the split's files, in order; pictures, labels, class names and notes of
        conversions.
    shape : (int, int, int)
        Height, width and channels of a bundle's pictures.
    counts : dict of str to int
        Pictures in each split of the original.
    bundle : dict of str to str
        Name of each split in a bundle of pictures; empty where no bundle can serve.
    class_names : tuple of str
        The original's names where it does not hold them, also of a bundle's class folders in alphabetical order; empty
        to take those of the original or the folders.
    caveat : str
        What to know about a bundle of this set.
    classes : str
        Number of classes, for the catalogue; empty where the pictures have none.
    """

    read: Callable[[list[Path], str], originals.Decoded]
    shape: tuple[int, int, int]
    counts: dict[str, int]
    bundle: Mapping[str, str] = field(default_factory=dict)
    class_names: tuple[str, ...] = ()
    caveat: str = ""
    classes: str = ""


_FASHION = tuple("T-shirt/top,Trouser,Pullover,Dress,Coat,Sandal,Shirt,Sneaker,Bag,Ankle boot".split(","))
_SPLITS = {"train": "train", "test": "test"}
_REMADE = "made like the ODIN paper's file, but not identical to it"
_COLOUR, _GREY, _LARGE = (32, 32, 3), (28, 28, 1), (64, 64, 3)
_50K, _60K, _TEST = {"train": 50_000, "test": 10_000}, {"train": 60_000, "test": 10_000}, {"test": 10_000}

RECIPES: dict[str, Recipe] = {
    "cifar10": Recipe(originals.cifar10, _COLOUR, _50K, _SPLITS, classes="10"),
    "cifar100": Recipe(originals.cifar100, _COLOUR, _50K, _SPLITS, classes="100"),
    "svhn": Recipe(originals.svhn, _COLOUR, {"train": 73_257, "test": 26_032}, _SPLITS, classes="10"),
    "mnist": Recipe(originals.idx, _GREY, _60K, _SPLITS, originals.DIGITS, classes="10"),
    "fashion_mnist": Recipe(originals.idx, _GREY, _60K, _SPLITS, _FASHION, classes="10"),
    "tinyimagenet": Recipe(originals.tinyimagenet, _LARGE, {"train": 100_000, "test": 10_000}, classes="200"),
    "tinyimagenet_resize": Recipe(originals.flat_pictures, _COLOUR, _TEST, {"test": "val"}, caveat=_REMADE),
    "lsun_resize": Recipe(originals.flat_pictures, _COLOUR, _TEST),
    "fooling": Recipe(originals.fooling, _LARGE, _TEST, classes="10"),
}


def _files(name: str, split: str) -> list[RemoteFile]:
    return [file for key, file in FILES.items() if key == name or key.startswith(f"{name}-{split}")]


def _bundle(name: str, split: str) -> Path | None:
    """Return the user's bundle of a set that has the split, if there is one."""
    wanted = RECIPES[name].bundle.get(split)
    for path in bundles(name):
        # Listing tens of thousands of names takes longer than loading what was decoded before.
        if wanted and (_bundle_cache(name, split, path).is_file() or has_split(path, wanted)):
            return path
    return None


def _bundle_cache(name: str, split: str, path: Path) -> Path:
    # Known by size and time: to read it whole for its checksum takes longer than loading what was decoded before.
    status = path.stat()
    return cache_path(data_folder(), name, split, [status.st_size, status.st_mtime_ns])


def _from_bundle(name: str, split: str, path: Path) -> ImageSet:
    recipe = RECIPES[name]

    def build() -> ImageSet:
        layout = read_layout(path, recipe.bundle[split])
        images, notes = decode_all(layout.contents(), len(layout.paths), recipe.shape[:2], recipe.shape[2])
        names = recipe.class_names if len(recipe.class_names) == len(layout.class_names) else layout.class_names
        provenance = {
            "source": f"bundle of pictures {path.name}, split {recipe.bundle[split]} (not the original archive)",
            "sha256": file_digest(path),
            "complete": f"{len(images):,} of the original's {recipe.counts[split]:,} pictures",
            "conversions": notes,
        } | ({"caveat": recipe.caveat} if recipe.caveat else {})
        return ImageSet(name, images, layout.labels, names, provenance)

    images = through_cache(_bundle_cache(name, split, path), build)
    if len(images) < recipe.counts[split]:
        _log.warning("%s %s comes from the bundle %s: %s.", name, split, path, images.provenance["complete"])
    return images


def _from_original(name: str, split: str) -> ImageSet:
    files = _files(name, split)

    def build() -> ImageSet:
        paths = [fetch(file) for file in files]  # their checksums are right, so they hold what they should
        provenance = {"source": ", ".join(file.urls[0] for file in files), "md5": ", ".join(file.md5 for file in files)}
        images, labels, class_names, notes = RECIPES[name].read(paths, split)
        class_names = class_names or RECIPES[name].class_names
        return ImageSet(name, images, labels, class_names, {**provenance, "conversions": notes})

    return through_cache(_original_cache(name, split), build)


def _original_cache(name: str, split: str) -> Path:
    return cache_path(data_folder(), name, split, [file.md5 for file in _files(name, split)])


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
        One of the recipe's ``counts``. TinyImageNet's test pictures have no labels, so its validation pictures are the
        test split.

    Raises
    ------
    DownloadError
        If nothing is at hand and no network either; the message says what to put where.
    ArchiveError
        If an archive is damaged or unsafe.
    """
    ready = _original_cache(name, split).is_file() or all(is_ready(file) for file in _files(name, split))
    bundle = None if ready else _bundle(name, split)
    return _from_original(name, split) if bundle is None else _from_bundle(name, split, bundle)


def availability(name: str) -> str:
    """Return ``"yes"`` if every split can be had without a network, else what is missing or damaged.

    No file is read whole: an original archive or a decoded set counts if it is there, a bundle by the names it lists.
    """
    missing = []
    for split in RECIPES[name].counts:
        there = all((data_folder() / file.name).is_file() for file in _files(name, split))
        try:
            if not (there or _original_cache(name, split).is_file() or _bundle(name, split)):
                missing.append(split)
        # The table goes on; loading says what is wrong and what to do.
        except (ArchiveError, OSError) as error:
            return f"{'damaged' if isinstance(error, ArchiveError) else 'not readable'}: {name}.zip"
    return "yes" if not missing else f"{' and '.join(missing)} to be downloaded"
