"""The card of a model folder: the network, its training data, its figures, and the hashes of its files.

A model is one folder: the network (`model.keras`), the same network as a graph for OpenVINO (`model.xml` with
`model.bin`), its card for programs (`card.json`) and its card for people (`MODEL_CARD.md`). `card.json` has the SHA-256
of every other file, so a folder with mixed, incomplete or altered files is refused before anything is loaded from it.
This module imports no framework.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated, Any, Final, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from crowdmood.core.errors import ModelError
from crowdmood.domain.confusions import Confusions
from crowdmood.domain.labels import FER_LABELS, LABELS

CARD_FILE: Final = "card.json"
NETWORK_FILE: Final = "model.keras"
GRAPH_FILE: Final = "model.xml"
EMOTIONS_OUTPUT: Final = "emotions"
_READABLE_OUTPUTS: Final = ("readable", "face")
"""The first of these is served as `readable`; earlier networks have `face`."""
_CHUNK_BYTES: Final = 1 << 20
_REMEDY: Final = "copy the whole folder again or export the model again"

Rate: TypeAlias = Annotated[float, Field(ge=0, le=1)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class InputSpec(_Section):
    """The network's input: gray faces, 0 black to 255 white; the network rescales them itself."""

    height: int = 48
    width: int = 48
    channels: int = 1
    dtype: str = "uint8"


class FileEntry(_Section):
    """A file of the folder."""

    name: str
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    size_bytes: int = Field(ge=0)


class DataSpec(_Section):
    """The data that the network was trained and evaluated on."""

    name: str
    training_faces: int = Field(ge=0)
    training_crowd_faces: int = Field(default=0, ge=0, description="Labelled faces of real crowds trained on.")
    judged_faces: int = Field(ge=0)
    duplicates: int = Field(ge=0, description="Evaluated faces that are, pixel for pixel, training faces too.")
    sha256: str | None = Field(default=None, description="Hash of all faces, labels and splits; None in older cards.")


class Metrics(_Section):
    """The network's figures on the evaluated faces, in one forward pass each."""

    accuracy: float = Field(ge=0, le=1)
    accuracy_without_duplicates: float = Field(ge=0, le=1)
    macro_f1: float | None = Field(default=None, ge=0, le=1)
    log_loss: float = Field(ge=0, description="Mean cross-entropy in nats.")
    expected_calibration_error: float | None = Field(default=None, ge=0, le=1)
    accuracy_at_px: dict[int, float] = Field(
        default_factory=dict, description="Accuracy on faces scaled down to this number of pixels and up again."
    )


class Calibration(_Section):
    """How the network's confidence was corrected. The exported network includes the correction."""

    method: str
    temperature: float = Field(gt=0, description="The logits were divided by this.")
    biases: tuple[float, ...] | None = Field(
        default=None, description="Then these were added, one for each label, so that rare labels are found more often."
    )
    readable_offset: float | None = Field(
        default=None, description="Subtracted from the logit of `readable`; then 5.5 % of readable faces are below 0.5."
    )
    fitted_on: str
    log_loss_before: float
    log_loss_after: float
    ece_before: float = Field(ge=0, le=1, description="Expected calibration error with the network's own confidence.")
    ece_after: float = Field(ge=0, le=1)


class Prevalence(_Section):
    """Statistics with which shares are corrected for the network's confusions, fitted on held-out faces.

    The features of a face are its K probabilities and, in newer cards, their maximum. F is K + 1, or K.
    """

    fitted_on: str
    faces: int = Field(gt=0)
    biases: tuple[float, ...] | None = Field(
        default=None,
        description="Added to the logarithms of probabilities before crowds are counted, one for each label. The "
        "fields below describe probabilities with this correction. Only in older cards.",
    )
    priors: tuple[float, ...] = Field(description="Share of each label among those faces; none zero.")
    label_faces: tuple[float, ...] | None = Field(
        default=None,
        description="By label: number of faces that its row of `soft_confusion` was computed from; None: `faces` times "
        "the prior.",
    )
    label_scenes: tuple[float, ...] | None = Field(
        default=None,
        description="By label: number of equally large photographs that those faces come from; None: not needed, since "
        "`scene_covariance` is unknown.",
    )
    soft_confusion: tuple[tuple[float, ...], ...] = Field(
        description="Row: true label; column: mean of a feature, (K, F) (PACC, Bella et al. 2010)."
    )
    soft_covariance: tuple[tuple[tuple[float, ...], ...], ...] | None = Field(
        default=None,
        description="By true label: covariance of the features of its faces, (K, F, F). It gives the deviation of the "
        "mean of few faces from the row of `soft_confusion`.",
    )
    scene_covariance: tuple[tuple[float, ...], ...] | None = Field(
        default=None,
        description="Covariance (F, F) of the deviation that all faces of a photograph share; None: unknown.",
    )
    confusion: tuple[tuple[int, ...], ...] = Field(description="Row: true label; column: predicted label; counts.")


class FaceCheck(_Section):
    """How well the output `face` of an earlier network finds false detections, on held-out crops."""

    threshold: float = Field(ge=0, le=1, description="A crop with a lower output `face` is not a face.")
    precision: float = Field(ge=0, le=1, description="Share of real faces among the crops classified as faces.")
    recall: float = Field(ge=0, le=1, description="Share of the real faces that are classified as faces.")
    faces: int = Field(ge=0)
    backgrounds: int = Field(ge=0)


class CrowdFigures(_Section):
    """The network's figures on faces of real crowds; a rate is None if there was no face to measure it on."""

    faces: int = Field(ge=0)
    accuracy_readable: Rate | None = Field(
        default=None, description="Share of the readable faces whose most probable label is the annotators'."
    )
    recall: dict[str, Rate | None] = Field(
        default_factory=dict, description="By label: share of its faces for which it is the most probable label."
    )
    unreadable_recall: Rate | None = Field(
        default=None, description="Share of the unreadable faces with `readable` below 0.5."
    )
    readable_lost: Rate | None = Field(
        default=None, description="Share of the readable faces with `readable` below 0.5."
    )
    share_error_200: Rate | None = Field(
        default=None, description="Mean absolute error of a share, for crowds of 200 faces."
    )
    negative_error_200: Rate | None = Field(
        default=None, description="Mean absolute error of angry, disgust, fear and sad together, in the same crowds."
    )
    coverage_90: Rate | None = Field(
        default=None, description="Share of the true shares that lie in their 90 % intervals, in the same crowds."
    )


class CrowdMetrics(CrowdFigures):
    """The figures on all faces of real crowds, and by the size of faces."""

    by_size: dict[str, CrowdFigures] = Field(
        default_factory=dict, description="By size in pixels: `20-32`, `32-48`, `48-96`, `96+`."
    )


class ModelCard(_Section):
    """The card of a network.

    Attributes:
        schema_version: Version of this layout.
        model_id: The network's name and the beginning of its file's hash; part of every prediction.
        architecture: Name of the architecture.
        labels: The columns of the output `emotions`: `LABELS`, or `FER_LABELS` without cheering.
        outputs: Names of the outputs: `emotions (N, K)`, and `readable (N, 1)`, the probability that an expression can
            be seen. Earlier networks have `face (N, 1)` instead, which is used as `readable`.
        input: The network's input.
        files: Every file of the folder except `card.json`.
        data: Training and evaluation data.
        metrics: Figures on the evaluation data.
        multiply_adds: Multiply-adds of one forward pass of one face.
        parameters: Number of weights.
        code_version: Version of CrowdMood that trained the network.
        recipe: Summary of the training recipe.
        labelling: How the faces of `crowd` were labelled.
        calibration, prevalence, crowd: Sections that simpler networks lack.
        face_check: Figures of the output `face` of earlier networks.
    """

    schema_version: int = Field(default=1, ge=1, le=1)
    model_id: str = Field(min_length=1)
    architecture: str
    labels: tuple[str, ...] = LABELS
    outputs: tuple[str, ...] = (EMOTIONS_OUTPUT,)
    input: InputSpec = InputSpec()
    files: tuple[FileEntry, ...] = Field(min_length=1)
    data: DataSpec
    metrics: Metrics
    multiply_adds: int = Field(ge=0)
    parameters: int = Field(ge=0)
    code_version: str
    recipe: dict[str, Any] = Field(default_factory=dict)
    labelling: str | None = None
    calibration: Calibration | None = None
    prevalence: Prevalence | None = None
    crowd: CrowdMetrics | None = None
    face_check: FaceCheck | None = None

    @property
    def readable_output(self) -> str | None:
        """Name of the output that is served as `readable`; None if the network has none."""
        return next((name for name in _READABLE_OUTPUTS if name in self.outputs), None)

    def confusions(self) -> bytes:
        """Return the encoded `Confusions`, or empty bytes if they are unknown."""
        known = Confusions.of_card(self.prevalence.model_dump() if self.prevalence else None)
        return known.to_bytes() if known else b""


def file_entry(path: Path) -> FileEntry:
    """Return the name, hash and size of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return FileEntry(name=path.name, sha256=digest.hexdigest(), size_bytes=path.stat().st_size)


def save_card(folder: Path, card: ModelCard) -> None:
    """Write `card.json` into a model folder."""
    (folder / CARD_FILE).write_text(card.model_dump_json(indent=2, exclude_none=True) + "\n", encoding="utf-8")


def load_card(folder: Path) -> ModelCard:
    """Read the card of a model folder, and check the folder's files against it.

    Raises:
        ModelError: The folder or its card is missing or malformed, the network has other labels or another input, or a
            file is missing or does not match its SHA-256.
    """
    path = folder / CARD_FILE
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(f"{path}: cannot be read ({error}); give a model folder that holds {CARD_FILE}") from error
    try:
        card = ModelCard.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise ModelError(f"{path}: {where}: {first['msg']}; {_REMEDY}") from error
    if card.labels not in (LABELS, FER_LABELS):
        raise ModelError(
            f"{path}: labels are {', '.join(card.labels)}; train with {', '.join(LABELS)}, or without {LABELS[-1]}"
        )
    if EMOTIONS_OUTPUT not in card.outputs:
        raise ModelError(f"{path}: lists no output {EMOTIONS_OUTPUT}; {_REMEDY}")
    if card.input != InputSpec():
        raise ModelError(f"{path}: input is {_shape(card.input)}, faces come as {_shape(InputSpec())}; train again")
    for entry in card.files:
        _verify(folder, entry)
    if NETWORK_FILE not in {entry.name for entry in card.files}:
        raise ModelError(f"{path}: lists no {NETWORK_FILE}; {_REMEDY}")
    return card


def _shape(spec: InputSpec) -> str:
    return f"{spec.height}x{spec.width}x{spec.channels} {spec.dtype}"


def _verify(folder: Path, entry: FileEntry) -> None:
    if Path(entry.name).name != entry.name:
        raise ModelError(f"{folder / CARD_FILE}: file name {entry.name!r} points outside the folder; {_REMEDY}")
    path = folder / entry.name
    try:
        found = file_entry(path)
    except OSError as error:
        raise ModelError(f"{path}: is listed in {CARD_FILE} but cannot be read ({error}); {_REMEDY}") from error
    if found.sha256 != entry.sha256:
        raise ModelError(
            f"{path}: does not match its card (sha256 {found.sha256[:12]}…, expected {entry.sha256[:12]}…); {_REMEDY}"
        )
