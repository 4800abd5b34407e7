"""The error of a share on real people: on clips with known shares in each phase, and on crowds of labelled faces.

The baseline, the release of CrowdNet before it knew cheering, from the history of this repository, and today's network
are measured on the same people in one run.
"""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import cv2
import numpy as np

from aggregator.crowd import Crowd
from aggregator.estimate import estimate
from app.footage import footage_cameras
from benchmarks.baseline import Baseline, Clip, answers, counted
from benchmarks.figures import Chart, Figure, Goal, MissingError, number
from benchmarks.processes import replayed
from benchmarks.session import configured
from benchmarks.shares import ERROR, LEADS, TRULY_LEADS, Answer, phases_of, score, with_truth, with_zeros
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

    from numpy.typing import NDArray

    from benchmarks.figures import Row
    from benchmarks.session import Session
    from benchmarks.shares import Phase, Shares
    from crowdmood.core.settings import Settings
    from training.crowd_faces import CrowdFaces

DRAWN: Final = "crowds of 200 faces"
BASELINE: Final = "baseline"
EARLIER: Final = "CrowdNet before cheering"
TODAY: Final = "CrowdNet"
COMMIT: Final = "382d929520e1efdd8d0b4653e9ad04665ea86aaf"
"""The last commit with the release before cheering."""

METHOD: Final = "sld"
"""The default method of that release."""

_MODEL: Final = "classifier/models/crowdnet"
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
    "The [baseline](#baseline) counts the faces that its cascade finds: of a clip in one frame every two seconds, of a "
    "crowd in the image of each face.",
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
        chart=Chart("people", [BASELINE, *(network.name for network in networks)], ERROR),
        plotted=_plotted(rows),
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
    return {"people": people, "phase": phase, "who": who, **score(pairs)}


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
    windows = {BASELINE: list(counted(baseline, clip, networks[-1].settings))}
    for network in networks:
        done, _ = replayed(network.settings.model_copy(update={"cameras": footage_cameras(clip.videos)}))
        windows[network.name] = [(start_s, end_s, answer) for start_s, end_s, answer, _ in answers(done)]
    return [
        _row(clip.name, str(phase), who, with_truth(found, phase.truth))
        for phase in phases
        for who, found in windows.items()
    ]


def _plotted(rows: Sequence[Row]) -> list[Row]:
    """Return the errors of each people, without people for whom some network has no answer."""
    errors: dict[str, Row] = {}
    for row in rows:
        name = ", ".join(str(row[column]) for column in ("people", "phase") if row[column])
        errors.setdefault(name, {"people": name})[str(row["who"])] = row[ERROR]
    return [row for row in errors.values() if None not in row.values()]


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


def earlier_release(work: Path, repository: Path = Path(__file__).parents[1], commit: str = COMMIT) -> Path:
    """Return the model folder of the earlier release; extract it from the history unless an earlier run did.

    Args:
        work: Folder of the benchmarks; the release is kept in it.
        repository: Folder of the project.
        commit: The full hash of the commit that holds the release.

    Raises:
        MissingError: The folder is no git repository, git is not installed, or the history lacks the commit.
    """
    kept = work / "releases" / commit[:12]
    if not kept.is_dir():
        # A folder that lies inside another project's repository is not searched for its commits.
        environment = os.environ | {"GIT_CEILING_DIRECTORIES": str(repository.resolve().parent)}
        command = ["git", "archive", "--format=tar", commit, _MODEL]
        try:
            archive = subprocess.run(command, cwd=repository, capture_output=True, check=True, env=environment).stdout
        except (OSError, subprocess.CalledProcessError):
            raise MissingError(
                f"the earlier release of CrowdNet: commit {commit[:12]} is not in this clone's history; "
                "fetch it with `git fetch --unshallow`"
            ) from None
        kept.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=kept.parent) as unfinished:
            with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
                tar.extractall(unfinished, filter="data")
            load_card(Path(unfinished) / _MODEL)
            (Path(unfinished) / _MODEL).replace(kept)
    return kept
