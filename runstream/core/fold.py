from runstream.fold import *
from runstream.fold import Folded, fold, fold_sources, to_raw

__all__ = ["Folded", "fold", "fold_sources", "to_raw"]
