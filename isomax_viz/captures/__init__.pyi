# The public names of the wing, each written once: read by editors and type checkers, and by lazy_loader at run time.
from .capture import Capture as Capture
from .examples import load_example as load_example
from .files import CaptureError as CaptureError
from .files import DamagedCaptureError as DamagedCaptureError
from .importers import from_labelled_scores as from_labelled_scores
from .importers import from_scores as from_scores
from .importers import read_scores as read_scores
from .samples import Samples as Samples
