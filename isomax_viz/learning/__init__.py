"""The half that needs PyTorch: heads, backbones, the training loop, recording."""

from isomax_viz._common.checks import need_torch

need_torch()
