"""The colours of labels, the same in every picture and page.

They are those of Okabe and Ito (Color Universal Design, 2008), which people with any kind of colour vision can tell
apart; grey is for the label that says least.
"""

from typing import Final

LABEL_COLOURS: Final = {
    "angry": "#D55E00",
    "disgust": "#009E73",
    "fear": "#CC79A7",
    "happy": "#F0B429",
    "sad": "#0072B2",
    "surprise": "#56B4E9",
    "neutral": "#A9B3BC",
}
"""Label to its colour, as `#RRGGBB`."""

STACKED: Final = ("angry", "disgust", "fear", "sad", "neutral", "surprise", "happy")
"""Labels from the bottom of a stack to its top: what is ill at the bottom, what is well at the top."""
