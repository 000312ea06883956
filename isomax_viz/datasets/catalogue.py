"""Load any data set of the catalogue by name, and list them all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from isomax_viz._common.checks import check_choice, check_number
from isomax_viz.catalog.style import data_style
from isomax_viz.datasets import builtin, papers
from isomax_viz.datasets.images import ImageSet, InDistribution
from isomax_viz.datasets.papers import RECIPES, availability

__all__ = ["ID_SETS", "OOD_SETS", "Source", "default_ood", "describe", "load_id", "load_ood"]


@dataclass(frozen=True)
class Source:
    """One data set of the catalogue.

    Attributes
    ----------
    kind : {"bundled", "drawn", "held out", "download"}
        Part of an installed package; made here at the size that is asked for; the ID set's own held-out classes; or
        fetched from its home on first use.
    loader : callable
        ``loader(split)`` for bundled and downloaded sets, ``loader(size, channels, n)`` for drawn ones; an ImageSet.
    licence, citation, home : str
        Terms of use, whom to cite, and where it comes from.
    classes, images, size : str
        For the table: number of classes, of pictures, and height x width x channels.
    ood : tuple of str
        Out-of-distribution sets that are taken by default where this is the in-distribution set.
    padding : int
        Pixels of padding for random crops in training, 0 for none; with them, pictures are mirrored at random too.
    """

    kind: str
    loader: Callable[..., ImageSet]
    licence: str
    citation: str = ""
    home: str = ""
    classes: str = ""
    images: str = "any"
    size: str = "any"
    ood: tuple[str, ...] = ()
    padding: int = 0


def _download(name: str, licence: str, citation: str, home: str, **more: Any) -> Source:
    recipe = RECIPES[name]
    images = " + ".join(f"{count:,}" for count in recipe.counts.values())
    size = "x".join(map(str, recipe.shape))
    loader = partial(papers.load, name)
    return Source("download", loader, licence, citation, home, recipe.classes, images, size, **more)


_drawn = partial(Source, "drawn")
_CIFAR = (
    "none stated; cite the report",
    "Krizhevsky 2009, Learning Multiple Layers of Features from Tiny Images",
    "https://www.cs.toronto.edu/~kriz/cifar.html",
)
_IMAGENET = "ImageNet terms: non-commercial research and education"
_ODIN = "https://github.com/facebookresearch/odin"
_RESIZED = ("svhn", "tinyimagenet_resize", "lsun_resize")
_NOISE = ("letters", "gaussian", "uniform")

ID_SETS: dict[str, Source] = {
    "digits": Source(
        "bundled",
        builtin.load_digits,
        licence="CC BY 4.0 (UCI Machine Learning Repository)",
        citation="Alpaydin & Kaynak 1998, Optical Recognition of Handwritten Digits",
        home="https://archive.ics.uci.edu/dataset/80/optical+recognition+of+handwritten+digits",
        classes="10",
        images="1,198 + 599",
        size="8x8x1",
        ood=("letters", "patches", "gaussian", "uniform"),
    ),
    "cifar10": _download("cifar10", *_CIFAR, ood=_RESIZED, padding=4),
    "cifar100": _download("cifar100", *_CIFAR, ood=_RESIZED, padding=4),
    "svhn": _download(
        "svhn",
        licence="non-commercial use only",
        citation="Netzer et al. 2011, Reading Digits in Natural Images with Unsupervised Feature Learning",
        home="http://ufldl.stanford.edu/housenumbers/",
        ood=("cifar10", *_RESIZED[1:]),
        padding=4,  # mirrored digits are odd, but it is the papers' protocol
    ),
    "tinyimagenet": _download(
        "tinyimagenet",
        _IMAGENET,
        citation="Le & Yang 2015, Tiny ImageNet Visual Recognition Challenge; Deng et al. 2009, ImageNet",
        home="http://cs231n.stanford.edu/",
        ood=("svhn", "cifar10", "lsun_resize"),
        padding=8,  # as the reference implementation for 64x64 pictures
    ),
    "mnist": _download(
        "mnist",
        licence="CC BY-SA 3.0",
        citation="LeCun, Bottou, Bengio & Haffner 1998, Gradient-Based Learning Applied to Document Recognition",
        home="http://yann.lecun.com/exdb/mnist/",
        ood=("fashion_mnist", *_NOISE),
    ),
    "fashion_mnist": _download(
        "fashion_mnist",
        licence="MIT",
        citation="Xiao, Rasul & Vollgraf 2017, arXiv:1708.07747",
        home="https://github.com/zalandoresearch/fashion-mnist",
        ood=("mnist", *_NOISE),
    ),
}

OOD_SETS: dict[str, Source] = {
    "letters": _drawn(
        builtin.draw_letters,
        licence="drawn here; fonts: DejaVu, STIX and Computer Modern, as bundled with Matplotlib",
        home="https://matplotlib.org/stable/users/explain/text/fonts.html",
        classes=str(len(builtin.LETTERS)),
    ),
    "patches": _drawn(
        builtin.draw_patches,
        licence="CC BY 2.0 (both photographs)",
        citation="Photographs from Flickr: danielbuechele (china.jpg), vultilion (flower.jpg)",
        home="https://scikit-learn.org/stable/modules/generated/sklearn.datasets.load_sample_images.html",
        classes="2",
    ),
    "gaussian": _drawn(
        builtin.draw_gaussian, "drawn here", "Hendrycks & Gimpel 2017", "https://arxiv.org/abs/1610.02136"
    ),
    "uniform": _drawn(builtin.draw_uniform, "drawn here", "Liang et al. 2018", "https://arxiv.org/abs/1706.02690"),
    "unseen": Source(
        "held out",
        None,  # type: ignore[arg-type]  # they come with the set whose classes they are
        licence="as the ID set",
        classes="as held out",
        images="as held out",
        size="as the ID set",
    ),
    **{name: ID_SETS[name] for name in ("svhn", "cifar10", "cifar100")},
    "tinyimagenet_resize": _download(
        "tinyimagenet_resize",
        _IMAGENET,
        citation="Liang, Li & Srikant 2018, Enhancing the Reliability of Out-of-Distribution Image Detection (ODIN)",
        home=_ODIN,
    ),
    "lsun_resize": _download(
        "lsun_resize",
        licence="none stated",
        citation="Yu et al. 2015, arXiv:1506.03365; as resized by Liang, Li & Srikant 2018 (ODIN)",
        home=_ODIN,
    ),
    "fooling": _download(
        "fooling",
        licence="none stated",
        citation="Nguyen, Yosinski & Clune 2015, Deep Neural Networks Are Easily Fooled",
        home="https://anhnguyen.me/project/fooling/",
    ),
    **{name: ID_SETS[name] for name in ("mnist", "fashion_mnist")},
}


def _held_out(held_out_classes: Any, class_names: tuple[str, ...]) -> list[int]:
    """Return the numbers of classes that are given by name or number."""
    listed = [held_out_classes] if isinstance(held_out_classes, (str, int, np.integer)) else list(held_out_classes)
    numbers = range(len(class_names))
    remedy = f"Their numbers, 0 to {len(class_names) - 1}, are taken too."
    chosen = {
        int(item)
        if isinstance(item, (int, np.integer)) and not isinstance(item, bool) and item in numbers
        else class_names.index(check_choice("held_out_classes", item, class_names, remedy=remedy))
        for item in listed
    }
    if len(class_names) - len(chosen) < 2:
        raise ValueError(
            f"held_out_classes must leave at least 2 of the {len(class_names)} classes to be learnt, but holds out "
            f"{len(chosen)}."
        )
    return sorted(chosen)


def _select(images: ImageSet, classes: Sequence[int]) -> ImageSet:
    """Return the pictures of some classes, renumbered from 0 in their order."""
    part = images.subset(np.isin(images.labels, classes))
    names = tuple(images.class_names[index] for index in classes)
    # In one step: the labels fit the new names only.
    return replace(part, labels=np.searchsorted(classes, part.labels), class_names=names)


def _joined(train: ImageSet, test: ImageSet) -> ImageSet:
    provenance = {**train.provenance, "split": "train and test: no network trained without these classes saw either"}
    images = np.concatenate([train.images, test.images])
    return ImageSet("unseen", images, np.concatenate([train.labels, test.labels]), train.class_names, provenance)


def load_id(name: str, *, held_out_classes: Sequence[str | int] = ()) -> InDistribution:
    """Load an in-distribution set: training and test pictures of the same classes.

    Parameters
    ----------
    name : str
        A key of ``ID_SETS``.
    held_out_classes : sequence of str or int
        Classes (names or numbers) to leave out of training and test. Their pictures become ``.unseen``; the remaining
        classes are renumbered from 0 in their former order.

    Returns
    -------
    InDistribution

    Raises
    ------
    ValueError
        If a name is unknown or fewer than two classes would be left.

    Examples
    --------
    >>> load_id("digits")
    InDistribution(digits: train 1,198, test 599, 8x8x1, 10 classes)
    >>> part = load_id("digits", held_out_classes=("8", "9"))
    >>> part
    InDistribution(digits: train 962, test 481, unseen 354, 8x8x1, 8 classes)
    >>> part.unseen.class_names
    ('8', '9')
    """
    source = ID_SETS[check_choice("data", name, ID_SETS)]
    whole = InDistribution(name, *(_with_terms(source.loader(split), name, source) for split in ("train", "test")))
    out = _held_out(held_out_classes, whole.class_names)
    if not out:
        return whole
    kept = [index for index in range(len(whole.class_names)) if index not in out]
    unseen = _joined(_select(whole.train, out), _select(whole.test, out))
    return InDistribution(name, _select(whole.train, kept), _select(whole.test, kept), unseen)


def _with_terms(images: ImageSet, name: str, source: Source) -> ImageSet:
    terms = {key: getattr(source, key) for key in ("licence", "citation", "home")}
    return images.with_provenance(title=data_style(name).label, **terms)


def _evenly(images: ImageSet, n: int | None) -> ImageSet:
    """Return ``n`` pictures spread evenly over the set in its own order, or all where there are no more."""
    if n is None or n >= len(images):
        return images
    # Sets are stored class by class or at random; even steps serve both and need no random numbers.
    return images.subset(np.arange(n) * len(images) // n)


def load_ood(name: str | ImageSet, like: InDistribution | ImageSet, *, n: int | None = None) -> ImageSet:
    """Load an out-of-distribution set at the size and channels of an in-distribution one.

    Parameters
    ----------
    name : str or ImageSet
        A key of ``OOD_SETS``, or your own pictures.
    like : InDistribution or ImageSet
        What the network was or will be trained on.
    n : int, optional
        Number of pictures. By default as many as ``like`` has test pictures for the sets that are drawn, and all that
        there are for the others.

    Returns
    -------
    ImageSet
        With the set's own labels; its provenance lists the conversions.

    Raises
    ------
    ValueError
        If the name is unknown, or ``"unseen"`` is asked of a set without held-out classes.

    Notes
    -----
    ``"fooling"`` stands for the published images here. An experiment on an embedded set takes images that fool a
    network for that set instead; ``iv.make_fooling(name)`` gives them, for every set.

    Examples
    --------
    >>> digits = load_id("digits")
    >>> load_ood("letters", digits)
    ImageSet(letters: 599 images, 8x8x1, 21 classes)
    >>> load_ood("unseen", digits)
    Traceback (most recent call last):
        ...
    ValueError: ood 'unseen' needs classes that were held out of training, but digits has none. Hold some out: \
Experiment(held_out_classes=...), or load_id('digits', held_out_classes=...).
    """
    model = like.test if isinstance(like, InDistribution) else like
    if not isinstance(model, ImageSet):
        raise TypeError(f"like must be an InDistribution (from load_id) or an ImageSet, but is {type(like).__name__}.")
    if n is not None:
        check_number("n", n, at_least=1, whole=True)
    if isinstance(name, ImageSet):
        return _evenly(name, n).matched_to(model)
    source = OOD_SETS[check_choice("ood", name, OOD_SETS, remedy="Your own pictures: pass an ImageSet.")]
    if source.kind == "held out":
        unseen = like.unseen if isinstance(like, InDistribution) else None
        if unseen is None:
            raise ValueError(
                f"ood 'unseen' needs classes that were held out of training, but {like.name} has none. Hold some out: "
                f"Experiment(held_out_classes=...), or load_id({like.name!r}, held_out_classes=...)."
            )
        return _evenly(unseen, n)
    if source.kind == "drawn":
        return _with_terms(source.loader(model.size, model.channels, n or len(model)), name, source)
    if name == like.name:
        raise ValueError(f"ood {name!r} is the in-distribution set itself. Choose another: {', '.join(OOD_SETS)}.")
    return _with_terms(replace(_evenly(source.loader("test"), n), name=name), name, source).matched_to(model)


def default_ood(id_name: str) -> tuple[str, ...]:
    """Return the out-of-distribution sets taken by default with an in-distribution set.

    Examples
    --------
    >>> default_ood("digits")
    ('letters', 'patches', 'gaussian', 'uniform')
    """
    return ID_SETS[check_choice("data", id_name, ID_SETS)].ood


def _available(name: str, source: Source) -> str:
    if source.kind == "held out":
        return "with held_out_classes"
    return availability(name) if name in RECIPES else "yes"


def describe() -> pd.DataFrame:
    """Return the catalogue as a table, one row per set.

    Returns
    -------
    DataFrame
        Indexed by ``name``, with the columns ``title, role ("ID", "OOD" or both), classes, images (train + test), size,
        available, licence, citation, home, default_ood``. Available is ``"yes"`` if the set loads without a network,
        else what has to be downloaded or which file is damaged.

    Examples
    --------
    >>> describe().loc["digits", ["role", "classes", "images", "size", "available"]].tolist()
    ['ID', '10', '1,198 + 599', '8x8x1', 'yes']
    """
    sets = OOD_SETS | ID_SETS
    table = pd.DataFrame([vars(source) for source in sets.values()], index=pd.Index(sets, name="name"))
    roles = {"ID": ID_SETS, "OOD": OOD_SETS}
    table["role"] = [", ".join(role for role, members in roles.items() if name in members) for name in sets]
    table["title"] = [data_style(name).label for name in sets]
    table["available"] = [_available(name, source) for name, source in sets.items()]
    table["default_ood"] = table["ood"].map(", ".join)
    columns = ["title", "role", "classes", "images", "size", "available", "licence", "citation", "home", "default_ood"]
    return table.sort_values("role", kind="stable")[columns]
