"""Data sets by name: pictures as uint8 arrays with class names and provenance; no PyTorch needed.

``load_id`` and ``load_ood`` give what an experiment needs; ``describe`` lists what there is and on what terms.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
