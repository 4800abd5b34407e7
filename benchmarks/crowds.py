"""The error of a share on real people: on clips with known shares in each phase, and on crowds of labelled faces.

The baseline (`hobby`), the release of CrowdNet before it knew cheering (`releases`) and today's network are measured on
the same people in one run.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import cv2
import numpy as np

from aggregator.crowd import Crowd
from aggregator.estimate import estimate
from app.footage import footage_cameras
from app.replay import of_stadium
from benchmarks.comparison import ERROR, LEADS, TRULY_LEADS, Answer, inside, phases_of, score
from benchmarks.hobby import Baseline, Clip, counted, with_zeros
from benchmarks.pipeline import replayed
from benchmarks.releases import METHOD, earlier_release
from benchmarks.results import Chart, Figure, Goal, MissingError, number
from benchmarks.session import configured
from classifier import DEFAULT_MODEL
from classifier.card import load_card
from classifier.engines import load_engine
from crowdmood.core.errors import DataError
from crowdmood.domain.confusions import Confusions
from crowdmood.domain.labels import LABELS
from training.crowd_evaluation import crowds
from training.crowd_faces import UNREADABLE, load_crowd_faces

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from benchmarks.comparison import Phase, Shares
    from benchmarks.results import Row
    from benchmarks.session import Session
    from crowdmood.core.settings import Settings
    from training.crowd_faces import CrowdFaces

DRAWN: Final = "crowds of 200 faces"
BASELINE: Final = "baseline"
EARLIER: Final = "CrowdNet before cheering"
TODAY: Final = "CrowdNet"
_CROWDS: Final = 1000
_QUICK_CROWDS: Final = 20
_QUICK_FACES: Final = 300
_SEED: Final = 0
_MIN_FACE_PX: Final = 20
_NOTES: Final = (
    "The error of a share is the mean absolute error over the labels of the truth; a label that a network does not "
    "know has a share of 0 and no interval. A phase of a clip is measured on the moods whose whole window lies in it. "
    "A crowd of 200 faces is made of whole photographs of the validation split in random order; its true shares are of "
    "the faces that most annotators gave the same expression.",
    "The baseline ([hobby](#hobby)) counts the faces that its cascade finds: of a clip in one frame every two seconds, "
    "of a crowd in the image of each face.",
    f"{EARLIER} is the last release with seven labels. It runs in today's pipeline with the confusions of its own card "
    f"and with `CROWDMOOD_AGGREGATOR__METHOD={METHOD}`, its default; its output `face` is used as `readable`.",
)


@dataclass(frozen=True, slots=True)
class Network:
    """A network in the pipeline.

    Attributes:
        name: Its name in the results.
        settings: With its model folder and its method.
    """

    name: str
    settings: Settings

    @property
    def model(self) -> Path:
        """The model folder."""
        return self.settings.classifier.model or DEFAULT_MODEL

    def __str__(self) -> str:
        card = load_card(self.model)
        fitted = f"confusions fitted on {card.prevalence.fitted_on}" if card.prevalence else "without confusions"
        return f"{self.name} is {card.model_id}, method `{self.settings.aggregator.method}`, {fitted}."


def measure(session: Session) -> Figure:
    """Measure every network on the clips whose phases are known and on crowds of labelled faces.

    Raises:
        MissingError: There is neither such a clip nor a folder of labelled faces, or the folder cannot be used.
    """
    clips = [(Clip.of_file(video), phases) for video in session.footage if (phases := phases_of(video))]
    faces = _faces(session)
    if not clips and faces is None:
        raise MissingError("give a clip with the shares of its phases (FOOTAGE=) or labelled faces (CROWD_FACES=)")
    left_out = [] if clips else ["clips: give one with its phases in a JSON file beside it (FOOTAGE=)"]
    left_out += [] if faces is not None else ["crowds of labelled faces: give their folder (CROWD_FACES=)"]
    kind = session.kinds()[-1]
    networks, without = networks_of(session.folder, kind)
    left_out += without
    baseline = Baseline()
    rows = [] if faces is None else _drawn(baseline, faces, networks, session.size(_CROWDS, _QUICK_CROWDS))
    for clip, phases in clips:
        rows += in_phases(baseline, clip, phases, networks)
    return Figure(
        title="The error of a share on real people",
        rows=rows,
        chart=_chart(rows),
        goals=goals(rows, [clip.name for clip, phases in clips if set(phases[0].shares) == set(LABELS)]),
        notes=(*_NOTES, " ".join([f"Detector on clips: {kind}.", *map(str, networks)])),
        left_out=left_out,
    )


def networks_of(work: Path, kind: str) -> tuple[list[Network], list[str]]:
    """Return the networks to measure, today's last, and a line about the earlier release where the history lacks it.

    Args:
        work: Folder of the benchmarks.
        kind: The detector.
    """
    today = Network(TODAY, configured(kind, _MIN_FACE_PX, ingest={"speed": "max"}))
    try:
        groups = {"classifier": {"model": earlier_release(work)}, "aggregator": {"method": METHOD}}
    except MissingError as error:
        return [today], [str(error)]
    return [Network(EARLIER, configured(kind, _MIN_FACE_PX, ingest={"speed": "max"}, **groups)), today], []


def _faces(session: Session) -> CrowdFaces | None:
    """Return the validation faces; None when no folder is given."""
    if session.crowd_faces is None:
        return None
    try:
        faces = load_crowd_faces(session.crowd_faces, "validation")
    except DataError as error:
        raise MissingError(str(error)) from error
    return faces.select(np.arange(session.size(len(faces), min(len(faces), _QUICK_FACES))))


def _drawn(baseline: Baseline, faces: CrowdFaces, networks: Sequence[Network], count: int) -> list[Row]:
    drawn = [(true, members) for members in crowds(faces, count, _SEED) if (true := true_shares(faces, members))]
    found = {BASELINE: _counts(baseline, faces, drawn)}
    found |= {network.name: _estimates(network, faces, drawn) for network in networks}
    return [_row(DRAWN, None, who, pairs) for who, pairs in found.items()]


def _row(people: str, phase: str | None, who: str, pairs: Sequence[tuple[Shares, Answer]]) -> Row:
    first: Row = {"people": people, "phase": phase, "who": who}
    return first | score(pairs)


def true_shares(faces: CrowdFaces, members: NDArray[np.int64]) -> dict[str, float]:
    """Return the shares of the faces that most annotators gave the same expression; empty when there are none."""
    labels = faces.labels[members]
    labels = labels[(labels >= 0) & (labels < UNREADABLE)]
    return _by_label(np.bincount(labels, minlength=len(LABELS)) / len(labels)) if len(labels) else {}


def _counts(
    baseline: Baseline, faces: CrowdFaces, drawn: Sequence[tuple[Shares, NDArray[np.int64]]]
) -> list[tuple[Shares, Answer]]:
    """Return what the baseline counts in each crowd; it finds a face in the face's own image or not at all."""
    found = [baseline.faces(_image(faces.folder / "images" / name)) for name in faces.files]
    owners = np.repeat(np.arange(len(faces)), [len(each) for each in found])
    votes = np.zeros((len(faces), len(LABELS)), np.int64)
    np.add.at(votes, owners, baseline.votes(np.concatenate(found)))
    totals = [(true, votes[members].sum(axis=0)) for true, members in drawn]
    return [(true, Answer(_by_label(n / n.sum()), {}, {}, int(n.sum()))) for true, n in totals if n.any()]


def _image(path: Path) -> Any:
    image = cv2.imread(str(path))
    if image is None:
        raise MissingError(f"{path} is not a readable image: restore it")
    return image


def _estimates(
    network: Network, faces: CrowdFaces, drawn: Sequence[tuple[Shares, NDArray[np.int64]]]
) -> list[tuple[Shares, Answer]]:
    """Return what the aggregator estimates from the faces of each crowd that the network can read."""
    settings = network.settings
    engine = load_engine(network.model, settings.classifier)
    probabilities, readable = engine.predict(faces.crops())
    confusions = Confusions.from_bytes(engine.confusions)
    posteriors = probabilities.astype(np.float64)
    voters = readable >= settings.aggregator.min_readable
    photos = np.unique(faces.photos, return_inverse=True)[1]
    pairs = []
    for true, members in drawn:
        read = members[voters[members]]
        if len(read):
            crowd = Crowd.of(posteriors[read], np.unique(photos[read], return_inverse=True)[1])
            found = estimate(crowd, settings.aggregator.method, confusions)
            shares, low, high = map(_by_label, (found.shares, found.low, found.high))
            pairs.append((true, Answer(with_zeros(shares), low, high, len(read))))
    return pairs


def _by_label(values: NDArray[np.float64]) -> dict[str, float]:
    """Return the values of the first K labels by name."""
    return dict(zip(LABELS, values.tolist(), strict=False))


def in_phases(baseline: Baseline, clip: Clip, phases: Sequence[Phase], networks: Sequence[Network]) -> list[Row]:
    """Measure the baseline and networks in each phase of a clip."""
    counts = counted(baseline, clip, networks[-1].settings)
    windows = {
        BASELINE: [(start_s, end_s, Answer(with_zeros(shares), {}, {}, None)) for start_s, end_s, shares in counts]
    }
    windows |= {network.name: _moods(network, clip) for network in networks}
    return [
        _row(clip.name, str(phase), who, inside(found, phase)) for phase in phases for who, found in windows.items()
    ]


def _moods(network: Network, clip: Clip) -> list[tuple[float, float, Answer]]:
    """Replay a clip; return start and end in seconds and the shares of every mood that was published with shares."""
    done, _ = replayed(network.settings.model_copy(update={"cameras": footage_cameras(clip.videos)}))
    return [
        (
            mood.window_start_ms / 1000,
            mood.as_of_ms / 1000,
            Answer(with_zeros(mood.shares), mood.low or {}, mood.high or {}, mood.readable),
        )
        for mood in done.moods
        if of_stadium(mood) and mood.shares
    ]


def _chart(rows: Sequence[Row]) -> Chart:
    """Return bars of the errors, without people for whom some network has no answer."""
    errors: dict[str, dict[str, float | None]] = {}
    for row in rows:
        name = ", ".join(str(row[column]) for column in ("people", "phase") if row[column])
        errors.setdefault(name, {})[str(row["who"])] = None if row[ERROR] is None else number(row, ERROR)
    shown = {name: by_who for name, by_who in errors.items() if None not in by_who.values()}
    names = list(dict.fromkeys(str(row["who"]) for row in rows))
    series = {who: [error for by_who in shown.values() if (error := by_who[who]) is not None] for who in names}
    return Chart(list(shown), series, "", ERROR)


def goals(rows: Sequence[Row], clips: Sequence[str]) -> list[Goal]:
    """Return the goals of today's network: on drawn crowds, and on each of the clips."""
    ours = [row for row in rows if row["who"] == TODAY]
    drawn = [number(row, ERROR) for row in ours if row["people"] == DRAWN and row[ERROR] is not None]
    found = [Goal(f"{ERROR}, {DRAWN}", 0.02, each, at_least=False, floor=0.025) for each in drawn]
    for clip in clips:
        phases = [row for row in ours if row["people"] == clip]
        answered = [row for row in phases if row[ERROR] is not None]
        right = sum(row[LEADS] == row[TRULY_LEADS] for row in answered)
        largest = max((number(row, ERROR) for row in answered), default=1.0)
        found.append(Goal(f"phases in which the right label leads, {clip}", len(phases), right))
        found.append(Goal(f"largest {ERROR} in a phase, {clip}", 0.03, largest, at_least=False, floor=0.04))
    return found
