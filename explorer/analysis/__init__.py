"""One image, one forward pass, and all that follows from it. The waist of the package."""

from explorer.analysis.analysis import OUTCOMES, Analysis, analyse
from explorer.analysis.class_map import ClassMap
from explorer.analysis.outcome import CAM_INSTEAD, Answer, Outcome, OutcomeWithoutEvidence

__all__ = [
    "CAM_INSTEAD", "OUTCOMES", "Analysis", "Answer", "ClassMap", "Outcome", "OutcomeWithoutEvidence", "analyse",
]
