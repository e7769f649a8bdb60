from runstream.engine import Engine
from runstream.intake import Intake

__all__ = ["Engine", "Intake"]
