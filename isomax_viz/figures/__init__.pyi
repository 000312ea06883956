# The public names of the wing, each written once: read by editors and type checkers, and by lazy_loader at run time.
from ._canvas import describe as describe
from ._canvas import save_figure as save_figure
from .calibration import plot_reliability as plot_reliability
from .calibration import plot_simplex as plot_simplex
from .calibration import plot_temperature as plot_temperature
from .comparisons import plot_comparisons as plot_comparisons
from .costs import plot_costs as plot_costs
from .feature_space import plot_feature_space as plot_feature_space
from .feature_space import plot_prototype_distances as plot_prototype_distances
from .grids import plot_grid as plot_grid
from .histograms import plot_distances as plot_distances
from .histograms import plot_entropy as plot_entropy
from .histograms import plot_logits as plot_logits
from .histograms import plot_max_probability as plot_max_probability
from .histograms import plot_scores as plot_scores
from .loss_blocks import plot_loss_blocks as plot_loss_blocks
from .pictures import plot_pictures as plot_pictures
from .studies import plot_alpha as plot_alpha
from .studies import plot_robustness as plot_robustness
from .surfaces import plot_surface as plot_surface
from .surfaces import plot_surfaces as plot_surfaces
from .thresholds import plot_operating_point as plot_operating_point
from .thresholds import plot_risk as plot_risk
from .thresholds import plot_roc as plot_roc
from .training import plot_training as plot_training

__all__: list[str]
