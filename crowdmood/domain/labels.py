"""The expressions that a face can show."""

from typing import Final, Literal, TypeAlias

Label: TypeAlias = Literal["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral", "cheering"]

LABELS: Final[tuple[Label, ...]] = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral", "cheering")
"""The eight expressions, in the order that is used everywhere: FER2013's codes 0-6, then cheering.

Cheering: the mouth is open, singing, shouting or chanting, and no other expression can be read.
"""

FER_LABELS = LABELS[:7]
"""The expressions of FER2013, and of networks with seven outputs."""
