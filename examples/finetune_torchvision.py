"""Fine-tune a network of torchvision with IsoMax+ and see how well it tells unknown pictures from known ones.

Any classifier will do: ``replace_last_linear`` swaps its last linear layer for the head of a loss, ``as_classifier``
gives it the parts that the package's training and recording ask for. Here an ImageNet-style ResNet18 learns scanned
digits, enlarged to 32x32 pixels in three channels, and is then asked about letters and about patches of photographs.
Nothing is downloaded.

Run it with ``python examples/finetune_torchvision.py``; it takes less than a minute on two processor cores.
"""

from __future__ import annotations

import numpy as np
import torch
from torchvision.models import resnet18

import isomax_viz as iv
from isomax_viz.datasets import InDistribution, from_arrays, load_id
from isomax_viz.learning.recording.network import record_capture, record_ood
from isomax_viz.learning.surgery import as_classifier, replace_last_linear
from isomax_viz.learning.training.loop import train
from isomax_viz.learning.training.protocols import Protocol


def digits_as_photographs() -> InDistribution:
    """Return the digits at the size and with the channels of CIFAR pictures. Replace this by pictures of your own."""
    digits, like = load_id("digits"), from_arrays(np.zeros((1, 32, 32, 3)))
    return InDistribution("digits", digits.train.matched_to(like), digits.test.matched_to(like))


def main(loss: str = "isomax+", epochs: int = 4) -> None:
    """Replace the last layer, train, record what the network says, and print the figures of merit."""
    torch.manual_seed(0)
    # Without weights the network starts from nothing. Fine-tuning proper starts from ImageNet, which torchvision
    # downloads once (45 MB): resnet18(weights="IMAGENET1K_V1"), and then Protocol(..., learning_rate=0.01) is better.
    network = resnet18(weights=None)
    replaced = replace_last_linear(network, loss, num_classes=10)
    print(replaced)
    model, data = as_classifier(network), digits_as_photographs()
    protocol = Protocol(epochs=epochs, milestones=(epochs // 2, epochs * 3 // 4), batch_size=32)
    history = train(model, data, protocol, padding=2)
    capture = record_capture(model, data, meta={"data": data.name, "loss": loss, "seed": 0}, history=history)
    capture = record_ood(capture, model, data, ("letters", "patches"))
    print(f"test accuracy: {(capture.test.predictions == capture.test.labels).mean():.1%}")
    print(iv.evaluate([capture]).round(3).to_string(index=False))


if __name__ == "__main__":
    main()
