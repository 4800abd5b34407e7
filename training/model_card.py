"""The card for people: use, limits, figures and known bias of a network, in Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
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
{table}
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


def render(card: ModelCard, table: str = "") -> str:
    """Returns the Markdown text of a card; `table` is put after the figures."""
    names = {"emotions": "`emotions (N, 7)`: probabilities", "face": "`face (N, 1)`: how sure it is a face at all"}
    return _TEXT.format(
        card=card,
        labels=", ".join(card.labels),
        outputs="; ".join(names.get(name, f"`{name}`") for name in card.outputs),
        millions=card.multiply_adds / 1e6,
        accuracy=card.metrics.accuracy,
        without=card.metrics.accuracy_without_duplicates,
        wrong=1 - card.metrics.accuracy,
        table=table,
    )
