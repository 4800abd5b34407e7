"""The card for people: use, limits, figures and known bias of a network, in Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from training.metrics import precision_recall_f1

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from classifier.card import CrowdFigures, ModelCard

PEOPLE_CARD_FILE: Final = "MODEL_CARD.md"

WIDER_LABELLING: Final = (
    "The faces are from photographs of WIDER FACE. Labels of crowd faces come from independent passes of a vision "
    "model; no human raters were asked. Where two passes agree, the third agrees with them in 92 % of the faces over "
    "all columns, and in 96 % of those that both call readable. Mild sadness and anger are probably under-called. "
    "Mild negative labels are the least certain, fear and disgust above all."
)
"""For the field `labelling` of cards: how the faces that the shipped networks learn from were labelled."""

_TEXT: Final = """# {card.model_id}

{purpose}

| | |
|---|---|
| input | `(N, {card.input.height}, {card.input.width}, {card.input.channels}) {card.input.dtype}`, rescaled inside |
| output | {outputs} |
| size | {card.parameters:,} weights, {millions:.1f} million multiply-adds a face |
| trained on | {trained_on} |

{crowd}## FER2013
One forward pass on each of the {card.data.judged_faces:,} PublicTest faces.

| | |
|---|---|
| accuracy | {card.metrics.accuracy:.2%} |
| without duplicates | {card.metrics.accuracy_without_duplicates:.2%}, without the {card.data.duplicates} PublicTest \
faces that are in Training as well |
| log loss | {card.metrics.log_loss:.4f} nats |
{more}

{labelled}## Use
Use the network for shares of expressions in a crowd, over many people. Do not use it for single people: {wrong}

## Limits and bias
FER2013 was collected by web search for emotion words: posed and acted faces, mostly frontal, mostly young adults of
light skin, English-language queries. Its labels are noisy: people agree with them about two times in three. *Disgust*
is rare, and *fear* and *sad* are often confused with each other and with *neutral*. An expression is not an inner
state, and the network knows neither culture nor context.

## Data
{data} The weights hold no images.

## Integrity
`card.json` holds the SHA-256 of every file here; loading refuses a folder that differs.
"""

_OUTPUTS: Final = {
    "emotions": "`emotions (N, {count})`: probabilities of the labels",
    "readable": "`readable (N, 1)`: probability that an expression can be seen",
    "face": "`face (N, 1)`: probability of a face, used as `readable`",
}
_CROWD_ROWS: Final = {
    "readable faces with the right label": "accuracy_readable",
    "unreadable faces found": "unreadable_recall",
    "readable faces lost": "readable_lost",
    "error of a share, crowds of 200": "share_error_200",
    "error of all negative labels together": "negative_error_200",
    "true shares within the 90 % interval": "coverage_90",
}


def render(card: ModelCard) -> str:
    """Return the Markdown text of a card: real crowds first where they were measured, then FER2013."""
    readable = " and whether an expression can be seen at all" if card.readable_output else ""
    return _TEXT.format(
        card=card,
        purpose=f"Classifies the expression of a face{readable}. Labels: {', '.join(card.labels)}.",
        outputs="; ".join(_OUTPUTS[name].format(count=len(card.labels)) for name in card.outputs if name in _OUTPUTS),
        millions=card.multiply_adds / 1e6,
        crowd="\n".join(_crowd(card)),
        wrong=_wrong(card),
        labelled=_per_label(card),
        more="\n".join(_more(card)),
        data=_data(card),
        trained_on=_trained_on(card),
    )


def _trained_on(card: ModelCard) -> str:
    fer = f"{card.data.name}: {card.data.training_faces:,} faces"
    crowd = card.data.training_crowd_faces
    return f"{fer}; {crowd:,} labelled faces of real crowds" if crowd else fer


def _crowd(card: ModelCard) -> Iterator[str]:
    """Yield the section on real crowds, by size."""
    if card.crowd is None:
        return
    sizes: dict[str, CrowdFigures] = {"all sizes": card.crowd}
    sizes.update({f"{name} px": part for name, part in card.crowd.by_size.items()})
    parts = list(sizes.values())
    yield "## Real crowds"
    yield f"{card.crowd.faces:,} labelled faces of real crowds, cut as the detector cuts them (`crowdmood evaluate`)."
    yield ""
    yield _row("", list(sizes))
    yield "|" + "---|" * (len(sizes) + 1)
    yield _row("faces", [f"{part.faces:,}" for part in parts])
    for title, name in _CROWD_ROWS.items():
        points = name in ("share_error_200", "negative_error_200")
        yield _row(title, [_rate(getattr(part, name), points) for part in parts])
    for label in card.crowd.recall:
        yield _row(f"recall of {label}", [_rate(part.recall.get(label)) for part in parts])
    yield ""
    yield "Errors are mean absolute errors of crowds drawn from random photographs; 0.02 means two people in a hundred."
    yield ""
    yield card.labelling or "This card does not record how the faces were labelled."
    yield ""
    yield ""


def _row(title: str, cells: Sequence[str]) -> str:
    return "| " + " | ".join([title, *cells]) + " |"


def _rate(value: float | None, points: bool = False) -> str:
    """Return a rate in percent, or an error as a number; a hyphen where there was nothing to measure it on."""
    if value is None:
        return "-"
    return f"{value:.3f}" if points else f"{value:.1%}"


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
            f"| output `{card.readable_output}` | precision {check.precision:.1%}, recall {check.recall:.1%} "
            f"on {check.faces:,} faces and {check.backgrounds:,} backgrounds of held-back photographs |"
        )


def _per_label(card: ModelCard) -> str:
    """Return a table of precision, recall and F1 by label, on the faces that its confusions were counted on."""
    if card.prevalence is None:
        return ""
    lines = [
        "## By label",
        f"On {card.prevalence.fitted_on}, the faces that the correction of shares was fitted on:",
        "",
        "| label | precision | recall | F1 |",
        "|---|---|---|---|",
    ]
    scores = precision_recall_f1(np.asarray(card.prevalence.confusion))
    for label, row in zip(card.labels, scores, strict=True):
        lines.append(f"| {label} | " + " | ".join(f"{score:.1%}" for score in row) + " |")
    return "\n".join([*lines, "", ""])


def _wrong(card: ModelCard) -> str:
    if card.crowd is not None and card.crowd.accuracy_readable is not None:
        return f"about {1 - card.crowd.accuracy_readable:.0%} of the readable faces of a crowd get a wrong label."
    return f"about {1 - card.metrics.accuracy:.0%} of single faces get another label than FER2013's annotators gave."


def _data(card: ModelCard) -> str:
    if card.crowd is None:
        return "FER2013 is research data."
    return "FER2013 and WIDER FACE are research data; WIDER FACE is for non-commercial research."
