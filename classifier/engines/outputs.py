"""The outputs of a network, checked against its card."""

from collections.abc import Mapping
from pathlib import Path

from classifier.card import EMOTIONS_OUTPUT, ModelCard
from crowdmood.core.errors import ModelError


def check_outputs(card: ModelCard, file: Path, widths: Mapping[str, int | None]) -> None:
    """Refuse a network whose outputs are not those of its card.

    Args:
        card: The network's.
        file: The network's file, to be named in an error.
        widths: Columns of each output of the network, by name; None for an output that is not (N, columns).

    Raises:
        ModelError: `emotions` has another number of columns than the card has labels, or the output that is served as
            `readable` is missing or has more than one column.
    """
    expected = {EMOTIONS_OUTPUT: len(card.labels)}
    if card.readable_output:
        expected[card.readable_output] = 1
    for name, width in expected.items():
        if widths.get(name) != width:
            given = f"(N, {widths[name]})" if widths.get(name) else "none of two dimensions"
            raise ModelError(
                f"{file}: the card lists an output {name} (N, {width}), the network has {given}; export the model again"
            )
