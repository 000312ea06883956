# The public names of the wing, each written once: read by editors and type checkers, and by lazy_loader at run time.
from .catalogue import ID_SETS as ID_SETS
from .catalogue import OOD_SETS as OOD_SETS
from .catalogue import Source as Source
from .catalogue import default_ood as default_ood
from .catalogue import describe as describe
from .catalogue import load_id as load_id
from .catalogue import load_ood as load_ood
from .folder import from_arrays as from_arrays
from .folder import from_folder as from_folder
from .images import ImageSet as ImageSet
from .images import InDistribution as InDistribution
from .toys import TOYS as TOYS
from .toys import Toy as Toy
from .toys import load_toy as load_toy
from .toys import toy_from_images as toy_from_images
