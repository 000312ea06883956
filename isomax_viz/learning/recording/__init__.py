"""Recording: network -> Capture, the only crossing from torch to numpy."""

from isomax_viz._common.checks import missing_package

try:
    import torch  # noqa: F401 - looked for here on behalf of all that trains, records or runs a network
except ModuleNotFoundError as error:
    raise missing_package("PyTorch", "train or run a network", install='"isomax_viz[train]"') from error
