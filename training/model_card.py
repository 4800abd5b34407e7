"""The card for people: use, limits, figures and known bias of a network, in Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from training.metrics import precision_recall_f1

if TYPE_CHECKING:
    from collections.abc import Iterator

    from classifier.card import ModelCard

PEOPLE_CARD_FILE: Final = "MODEL_CARD.md"

_TEXT: Final = """# {card.model_id}

Tells which of seven expressions a face shows: {labels}.

| | |
|---|---|
| input | `(N, {card.input.height}, {card.input.width}, {card.input.channels}) {card.input.dtype}`, rescaled inside |
| output | {outputs} |
| size | {card.parameters:,} weights, {millions:.1f} million multiply-adds a face |
| trained on | {card.data.name}: {card.data.training_faces:,} faces |
| accuracy | {accuracy:.2%} on {card.data.judged_faces:,} PublicTest faces in one forward pass |
| without duplicates | {without:.2%}, without the {card.data.duplicates} PublicTest faces that also stand in Training |
| log loss | {card.metrics.log_loss:.4f} nats |
{more}
{labelled}
## Use
Shares of expressions in a crowd, summed over many people. Not for judging one person: about {wrong:.0%} of single faces
are labelled differently than FER2013's taggers did, and people agree with those labels only about two times in three.

## Limits and bias
FER2013 was collected by web search for emotion words: posed and acted faces, mostly frontal, mostly young adults of
light skin, English-language queries. Its labels are noisy, "disgust" is rare, and "fear" and "sad" are often confused
with each other and with "neutral". An expression is not an inner state; culture and context are unknown.

## Integrity
`card.json` holds the SHA-256 of every file here; loading refuses a folder that differs.
"""


def render(card: ModelCard) -> str:
    """Returns the Markdown text of a card."""
    names = {"emotions": "`emotions (N, 7)`: probabilities", "face": "`face (N, 1)`: how sure it is a face at all"}
    return _TEXT.format(
        card=card,
        labels=", ".join(card.labels),
        outputs="; ".join(names.get(name, f"`{name}`") for name in card.outputs),
        millions=card.multiply_adds / 1e6,
        accuracy=card.metrics.accuracy,
        without=card.metrics.accuracy_without_duplicates,
        wrong=1 - card.metrics.accuracy,
        labelled=_per_label(card),
        more="\n".join(_more(card)),
    )


def _more(card: ModelCard) -> Iterator[str]:
    for size_px in (24, 12):
        if size_px in card.metrics.accuracy_at_px:
            yield f"| faces of {size_px} pixels | {card.metrics.accuracy_at_px[size_px]:.2%} |"
    if card.calibration is not None:
        before, after = card.calibration.ece_before, card.calibration.ece_after
        yield f"| calibration error | {after:.2%}, {before:.2%} before it was corrected |"
    if card.face_check is not None:
        check = card.face_check
        yield (
            f"| is it a face? | precision {check.precision:.1%}, recall {check.recall:.1%} on {check.faces:,} faces "
            f"and {check.backgrounds:,} backgrounds of held-back photographs |"
        )


def _per_label(card: ModelCard) -> str:
    """A table of precision, recall and F1 by label, on the faces its confusion was counted on."""
    if card.prevalence is None:
        return ""
    lines = ["", f"On {card.prevalence.fitted_on}:", "", "| label | precision | recall | F1 |", "|---|---|---|---|"]
    scores = precision_recall_f1(np.asarray(card.prevalence.confusion))
    for label, row in zip(card.labels, scores, strict=True):
        lines.append(f"| {label} | " + " | ".join(f"{score:.1%}" for score in row) + " |")
    return "\n".join([*lines, ""])
