"""One image, one forward pass, and all that follows from it. The waist of the package."""

from explorer.analysis.analysis import CAM_INSTEAD, NO_POOLING, Analysis, Answer, Outcome
from explorer.analysis.class_map import ClassMap
from explorer.analysis.run import analyse, analyse_input

__all__ = ["CAM_INSTEAD", "NO_POOLING", "Analysis", "Answer", "ClassMap", "Outcome", "analyse", "analyse_input"]
