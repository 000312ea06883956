"""Time from a cold start: importing the package against importing what it stands on, each in a process of its own."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from collections.abc import Callable

from benchmarks.rows import Row, in_turn, ratios

# what is measured, its code, the baseline's code, target of the ratio
STARTS = (
    ("import isomax_viz", "import isomax_viz", "import importlib, typing", 1.3),
    (
        "captures, tables, figures",
        "import isomax_viz as iv; iv.Capture, iv.evaluate, iv.plot_scores",
        "import numpy, pandas, matplotlib.figure",
        1.4,
    ),
    ("the explorer", "import isomax_viz as iv; iv.explore", "import numpy, pandas, matplotlib.figure, ipywidgets", 1.4),
    ("experiments", "import isomax_viz as iv; iv.Experiment", "import torch, pandas, sklearn", 1.4),
    (
        "histogram and ROC curve of two bare arrays",
        "import numpy as np, isomax_viz as iv\n"
        "capture = iv.from_scores(np.arange(900) % 31, np.arange(900) % 23)\n"
        "[plot(capture).figure.canvas.draw() for plot in (iv.plot_scores, iv.plot_roc)]",
        "import numpy, pandas, matplotlib.figure",
        None,
    ),
    (
        "the explorer of two bare arrays",
        "import numpy as np, isomax_viz as iv\niv.explore(iv.from_scores(np.arange(900) % 31, np.arange(900) % 23))",
        "import numpy, pandas, matplotlib.figure, ipywidgets",
        None,
    ),
    (
        "first figure of recorded captures",
        "import isomax_viz as iv\n"
        "iv.plot_grid(iv.plot_scores, iv.load_example('digits', seed=0), ood='letters').canvas.draw()",
        "import numpy, pandas, matplotlib.figure",
        None,
    ),
)


def cold(code: str) -> Callable[[], object]:
    """Return a call that runs the code in a new interpreter."""
    command = [sys.executable, "-c", code]
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    return lambda: subprocess.run(command, check=True, env=environment, capture_output=True)


def rows(*, tiny: bool = False) -> list[Row]:
    """All rows of this file."""
    found = []
    for name, code, baseline, target in STARTS[: 1 if tiny else None]:
        times = in_turn({"ours": cold(code), "baseline": cold(baseline)}, rounds=1 if tiny else 5)
        medians = {key: statistics.median(values) for key, values in times.items()}
        note = f"{medians['ours']:.2f} s, baseline {medians['baseline']:.2f} s"
        found.append(
            Row(f"start: {name}", baseline, ratios(times["ours"], times["baseline"]), target, at_most=True, note=note,
                values=tuple(times["ours"]))
        )  # fmt: skip
    return found
