"""One image, one forward pass, and all that can be asked of it. The waist of the package."""

from explorer.analysis.analysis import OUTCOMES, Analysis, analyse
from explorer.analysis.outcome import Answer, Outcome, Plain

__all__ = ["OUTCOMES", "Analysis", "Answer", "Outcome", "Plain", "analyse"]
