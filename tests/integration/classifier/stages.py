"""A classifier stage with a network whose predictions a test can foresee."""

import numpy as np

from classifier.model_swap import ModelSwap
from classifier.service import ClassifierStage
from crowdmood.bus.streams import Bus
from crowdmood.core.settings import BusSettings, ClassifierSettings
from crowdmood.domain.labels import LABELS
from crowdmood.domain.messages import Emotions, Faces, FrameRef, decode
from crowdmood.store.model_choices import ModelChoices


class GreyNetwork:
    """A network whose label depends on a face's grey value.

    Black faces give probabilities of NaN, white faces a low `readable`, and faces of 254 a `readable` of NaN.
    """

    model_id = "grey"
    name = "test"
    labels: tuple[str, ...] = LABELS
    confusions = b""

    def __init__(self) -> None:
        self.calls: list[int] = []

    def predict(self, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        self.calls.append(len(faces))
        greys, k = faces[:, 0, 0], len(self.labels)
        probabilities = np.eye(k, dtype=np.float32)[greys % k]
        probabilities[greys == 0] = np.nan
        readable = np.ones(len(faces), np.float32)
        readable[greys == 255], readable[greys == 254] = 0.125, np.nan
        return probabilities, readable


def faces(frame_id: int, greys: list[int], side: int = 48) -> Faces:
    n = len(greys)
    boxes = np.tile(np.array([10, 10, 10 + side, 10 + side], np.int32), (n, 1))
    crops = np.tile(np.array(greys, np.uint8)[:, None, None], (1, 48, 48))
    crops[:, 1::2, ::2] ^= 128  # detail makes them sharp
    ref = FrameRef(f"camera-{frame_id % 3}", "run-1", frame_id, frame_id * 200, 640, 480, True)
    return Faces(ref, boxes, np.ones(n, np.float32), crops, "haar")


def stage(
    server_url: str, settings: BusSettings, classifier: ClassifierSettings, min_faces: int = 1
) -> ClassifierStage:
    choices = ModelChoices(server_url, settings.key_prefix, "live")
    return ClassifierStage(ModelSwap(classifier, choices, lambda: classifier), min_faces)


def emotions(bus: Bus) -> list[Emotions]:
    found = [decode(fields) for _, fields in bus.connection.client.xrange(bus.keys.stream("emotions"))]
    return [message for message in found if isinstance(message, Emotions)]
