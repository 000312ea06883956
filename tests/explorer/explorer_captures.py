"""Small captures of random numbers for the tests of the explorer."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd

from isomax_viz import Capture


def make_capture(loss: str, *, seed: int = 0, distances: bool = True, n: int = 60, sets=("letters", "patches"), **meta):
    """Return a small capture of random numbers whose OOD sets lie lower than the ID set."""
    rng = np.random.default_rng([seed, *loss.encode()])
    labels = rng.integers(0, 4, n)

    def arrays(shift):
        logits = rng.normal(size=(n, 4)) - 4
        logits[np.arange(n), labels] += shift
        features = {"features": rng.normal(size=(n, 5)) + shift}
        return {"logits": logits} | features | ({"distances": np.abs(logits)} if distances else {})

    inside = arrays(4)
    ood = {name: arrays(1 + position) for position, name in enumerate(sets)}
    meta = {"data": "digits", "backbone": "small_cnn", "preset": "teaching", "seed": seed} | meta
    capture = Capture.from_arrays(inside.pop("logits"), labels, ood=ood, loss=loss, meta=meta, **inside)
    history = pd.DataFrame({"epoch": [1, 2, 1, 2], "split": ["train"] * 2 + ["test"] * 2, "accuracy": rng.random(4)})
    return capture.replace(history=history, prototypes=rng.normal(size=(4, 5)))


def asked(view, request, *, error: bool = False):
    """Return what the browser would hear as an answer, or as an error."""
    heard = []
    view.send = lambda content, buffers=None: heard.append(content)
    view._heard(view, {"id": "1", "request": request}, [])
    (content,) = heard
    json.dumps(content, allow_nan=False)
    return content["error" if error else "answer"]
