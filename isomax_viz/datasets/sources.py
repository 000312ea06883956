"""The catalogue: every data set by name, with its terms; two literal dictionaries."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from isomax_viz.datasets import builtin, letters, papers
from isomax_viz.datasets.images import ImageSet

__all__ = ["ID_SETS", "OOD_SETS", "Source"]


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
    loader: Callable[..., ImageSet] | None
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
        loader=letters.draw_letters,
        classes=str(len(letters.LETTERS)),
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
        loader=None,
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
