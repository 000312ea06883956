# The public names of the wing, each written once: read by editors and type checkers, and by lazy_loader at run time.
from .folder import Store as Store
from .folder import StoreError as StoreError
from .folder import default_folder as default_folder
from .table import frame as frame
from .table import list as list
from .table import remove as remove
from .table import size as size
from .table import verify as verify
