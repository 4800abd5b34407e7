"""The colours of labels, the same in every image and page.

Most colours are those of Okabe and Ito (Color Universal Design, 2008), which people with any kind of colour vision can
distinguish; neutral is grey. Cheering is the purple of Paul Tol's bright scheme (Colour Schemes, 2021). In normal and
in deficient colour vision it differs from each of the other seven colours by a CIEDE2000 of 13 or more; the closest two
of those differ by 7.
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
    "cheering": "#AA3377",
}
"""Label to its colour, as `#RRGGBB`."""

STACKED: Final = ("angry", "disgust", "fear", "sad", "neutral", "surprise", "cheering", "happy")
"""Labels from the bottom of a stack to its top: negative ones, then neutral, then energy, then happy."""
