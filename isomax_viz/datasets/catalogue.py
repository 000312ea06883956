"""Load any data set of the catalogue by name, and list them all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from isomax_viz._common.checks import check_choice, check_number
from isomax_viz.datasets import builtin, papers
from isomax_viz.datasets.images import ImageSet, InDistribution
from isomax_viz.datasets.papers import RECIPES, availability

__all__ = ["ID_SETS", "OOD_SETS", "Source", "default_ood", "describe", "load_id", "load_ood"]


@dataclass(frozen=True)
class Source:
    """One data set of the catalogue.

    Attributes
    ----------
    title : str
        Name as people write it.
    kind : {"bundled", "drawn", "held out", "download"}
        Part of an installed package; made here at the size that is asked for; the ID set's own held-out classes; or
        fetched from its home on first use.
    loader : callable or None
        ``loader(split)`` for bundled and downloaded sets, ``loader(size, channels, n)`` for drawn ones; an ImageSet.
    classes, images, size : str
        For the table: number of classes, of pictures, and height x width x channels.
    licence, citation, home : str
        Terms of use, whom to cite, and where it comes from.
    ood : tuple of str
        Out-of-distribution sets that are taken by default where this is the in-distribution set.
    padding : int
        Pixels of padding for random crops in training, 0 for none.
    flip : bool
        Whether to mirror training pictures at random.
    """

    title: str
    kind: str
    loader: Callable[..., ImageSet]
    classes: str
    images: str
    size: str
    licence: str
    citation: str
    home: str
    ood: tuple[str, ...] = ()
    padding: int = 0
    flip: bool = False


_SVHN = Source(
    title="SVHN",
    kind="download",
    loader=partial(papers.load, "svhn"),
    classes="10",
    images="73,257 + 26,032",
    size="32x32x3",
    licence="non-commercial use only",
    citation="Netzer et al. 2011, Reading Digits in Natural Images with Unsupervised Feature Learning",
    home="http://ufldl.stanford.edu/housenumbers/",
    ood=("cifar10", "tinyimagenet_resize", "lsun_resize"),
    padding=4,
    flip=True,  # odd for digits, but it is the papers' protocol
)
_CIFAR10 = Source(
    title="CIFAR10",
    kind="download",
    loader=partial(papers.load, "cifar10"),
    classes="10",
    images="50,000 + 10,000",
    size="32x32x3",
    licence="none stated; cite the report",
    citation="Krizhevsky 2009, Learning Multiple Layers of Features from Tiny Images",
    home="https://www.cs.toronto.edu/~kriz/cifar.html",
    ood=("svhn", "tinyimagenet_resize", "lsun_resize"),
    padding=4,
    flip=True,
)
_CIFAR100 = replace(_CIFAR10, title="CIFAR100", loader=partial(papers.load, "cifar100"), classes="100")
_MNIST = Source(
    title="MNIST",
    kind="download",
    loader=partial(papers.load, "mnist"),
    classes="10",
    images="60,000 + 10,000",
    size="28x28x1",
    licence="CC BY-SA 3.0",
    citation="LeCun, Bottou, Bengio & Haffner 1998, Gradient-Based Learning Applied to Document Recognition",
    home="http://yann.lecun.com/exdb/mnist/",
    ood=("fashion_mnist", "letters", "gaussian", "uniform"),
)
_FASHION_MNIST = Source(
    title="Fashion-MNIST",
    kind="download",
    loader=partial(papers.load, "fashion_mnist"),
    classes="10",
    images="60,000 + 10,000",
    size="28x28x1",
    licence="MIT",
    citation="Xiao, Rasul & Vollgraf 2017, arXiv:1708.07747",
    home="https://github.com/zalandoresearch/fashion-mnist",
    ood=("mnist", "letters", "gaussian", "uniform"),
)
_TINYIMAGENET = Source(
    title="TinyImageNet",
    kind="download",
    loader=partial(papers.load, "tinyimagenet"),
    classes="200",
    images="100,000 + 10,000",
    size="64x64x3",
    licence="ImageNet terms: non-commercial research and education",
    citation="Le & Yang 2015, Tiny ImageNet Visual Recognition Challenge; Deng et al. 2009, ImageNet",
    home="http://cs231n.stanford.edu/",
    ood=("svhn", "cifar10", "lsun_resize"),
    padding=8,  # as the reference implementation for 64x64 pictures
    flip=True,
)
_UCI = "https://archive.ics.uci.edu/dataset/80/optical+recognition+of+handwritten+digits"

ID_SETS: dict[str, Source] = {
    "digits": Source(
        title="digits",
        kind="bundled",
        loader=builtin.load_digits,
        classes="10",
        images="1,198 + 599",
        size="8x8x1",
        licence="CC BY 4.0 (UCI Machine Learning Repository)",
        citation="Alpaydin & Kaynak 1998, Optical Recognition of Handwritten Digits",
        home=_UCI,
        ood=("letters", "patches", "gaussian", "uniform"),
    ),
    "cifar10": _CIFAR10,
    "cifar100": _CIFAR100,
    "svhn": _SVHN,
    "tinyimagenet": _TINYIMAGENET,
    "mnist": _MNIST,
    "fashion_mnist": _FASHION_MNIST,
}

OOD_SETS: dict[str, Source] = {
    "letters": Source(
        title="letters",
        kind="drawn",
        loader=builtin.draw_letters,
        classes=str(len(builtin.LETTERS)),
        images="any",
        size="any",
        licence="drawn here; fonts: DejaVu, STIX and Computer Modern, as bundled with Matplotlib",
        citation="",
        home="https://matplotlib.org/stable/users/explain/text/fonts.html",
    ),
    "patches": Source(
        title="patches",
        kind="drawn",
        loader=builtin.draw_patches,
        classes="2",
        images="any",
        size="any",
        licence="CC BY 2.0 (both photographs)",
        citation="Photographs from Flickr: danielbuechele (china.jpg), vultilion (flower.jpg)",
        home="https://scikit-learn.org/stable/modules/generated/sklearn.datasets.load_sample_images.html",
    ),
    "gaussian": Source(
        title="gaussian noise",
        kind="drawn",
        loader=builtin.draw_gaussian,
        classes="",
        images="any",
        size="any",
        licence="drawn here",
        citation="Hendrycks & Gimpel 2017",
        home="https://arxiv.org/abs/1610.02136",
    ),
    "uniform": Source(
        title="uniform noise",
        kind="drawn",
        loader=builtin.draw_uniform,
        classes="",
        images="any",
        size="any",
        licence="drawn here",
        citation="Liang et al. 2018",
        home="https://arxiv.org/abs/1706.02690",
    ),
    "unseen": Source(
        title="unseen classes",
        kind="held out",
        loader=None,  # type: ignore[arg-type]  # they come with the set whose classes they are
        classes="as held out",
        images="as held out",
        size="as the ID set",
        licence="as the ID set",
        citation="",
        home="",
    ),
    "svhn": _SVHN,
    "cifar10": _CIFAR10,
    "cifar100": _CIFAR100,
    "tinyimagenet_resize": Source(
        title="TinyImageNet (resize)",
        kind="download",
        loader=partial(papers.load, "tinyimagenet_resize"),
        classes="",
        images="10,000",
        size="32x32x3",
        licence="ImageNet terms: non-commercial research and education",
        citation="Liang, Li & Srikant 2018, Enhancing the Reliability of Out-of-Distribution Image Detection (ODIN)",
        home="https://github.com/facebookresearch/odin",
    ),
    "lsun_resize": Source(
        title="LSUN (resize)",
        kind="download",
        loader=partial(papers.load, "lsun_resize"),
        classes="",
        images="10,000",
        size="32x32x3",
        licence="none stated",
        citation="Yu et al. 2015, arXiv:1506.03365; as resized by Liang, Li & Srikant 2018 (ODIN)",
        home="https://github.com/facebookresearch/odin",
    ),
    "fooling": Source(
        title="fooling images",
        kind="download",
        loader=partial(papers.load, "fooling"),
        classes="10",
        images="10,000",
        size="64x64x3 (reduced)",
        licence="none stated",
        citation="Nguyen, Yosinski & Clune 2015, Deep Neural Networks Are Easily Fooled",
        home="https://anhnguyen.me/project/fooling/",
    ),
    "mnist": _MNIST,
    "fashion_mnist": _FASHION_MNIST,
}


def _held_out(held_out_classes: Any, class_names: tuple[str, ...]) -> list[int]:
    listed = [held_out_classes] if isinstance(held_out_classes, (str, int, np.integer)) else list(held_out_classes)
    chosen = []
    for item in listed:
        if isinstance(item, (int, np.integer)) and not isinstance(item, bool) and 0 <= item < len(class_names):
            index = int(item)
        else:
            accepted = class_names if isinstance(item, str) else [*class_names, f"0 .. {len(class_names) - 1}"]
            index = class_names.index(check_choice("held_out_classes", item, accepted))
        if index in chosen:
            raise ValueError(f"held_out_classes names {class_names[index]!r} twice.")
        chosen.append(index)
    if len(class_names) - len(chosen) < 2:
        raise ValueError(
            f"held_out_classes must leave at least 2 of the {len(class_names)} classes to be learnt, but holds out "
            f"{len(chosen)}."
        )
    return sorted(chosen)


def _select(images: ImageSet, classes: Sequence[int]) -> ImageSet:
    """Return the pictures of some classes, renumbered from 0."""
    part = images.subset(np.isin(images.labels, classes))
    number = np.full(len(images.class_names), -1)
    number[list(classes)] = np.arange(len(classes))
    names = tuple(images.class_names[index] for index in classes)
    # In one step: the labels fit the new names only.
    return replace(part, labels=number[part.labels], class_names=names)


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
    train, test = source.loader("train"), source.loader("test")
    if train.class_names != test.class_names:
        raise ValueError(
            f"The training and test pictures of {name!r} have different classes: {len(train.class_names)} and "
            f"{len(test.class_names)}, or other names. Replace the bundle or the download they were read from."
        )
    train, test = (_with_terms(images, source) for images in (train, test))
    out = _held_out(held_out_classes, train.class_names)
    if not out:
        return InDistribution(name, train, test)
    kept = [index for index in range(len(train.class_names)) if index not in out]
    unseen = _joined(_select(train, out), _select(test, out))
    return InDistribution(name, _select(train, kept), _select(test, kept), unseen)


def _with_terms(images: ImageSet, source: Source) -> ImageSet:
    return images.with_provenance(
        title=source.title, licence=source.licence, citation=source.citation, home=source.home
    )


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
    network for that set instead; ``iv.make_fooling("digits")`` gives them.

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
        return _with_terms(source.loader(model.size, model.channels, n or len(model)), source)
    if name == like.name:
        raise ValueError(f"ood {name!r} is the in-distribution set itself. Choose another: {', '.join(OOD_SETS)}.")
    return _with_terms(replace(_evenly(source.loader("test"), n), name=name), source).matched_to(model)


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
    rows = []
    for name, source in (OOD_SETS | ID_SETS).items():
        rows.append(
            {
                "name": name,
                "title": source.title,
                "role": ", ".join(role for role, sets in (("ID", ID_SETS), ("OOD", OOD_SETS)) if name in sets),
                "classes": source.classes,
                "images": source.images,
                "size": source.size,
                "available": _available(name, source),
                "licence": source.licence,
                "citation": source.citation,
                "home": source.home,
                "default_ood": ", ".join(source.ood),
            }
        )
    table = pd.DataFrame(rows).set_index("name")
    return table.sort_values("role", kind="stable")
