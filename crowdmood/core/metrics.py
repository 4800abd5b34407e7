"""The metrics of every stage.

With `PROMETHEUS_MULTIPROC_DIR` set (as `crowdmood run` does for its children), the API's /metrics speaks for all
processes of this machine; else each process shows its own.
"""

import os

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.multiprocess import MultiProcessCollector

MULTIPROCESS_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
_WORK_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

FRAMES_INGESTED = Counter("crowdmood_frames_ingested_total", "Frames put on the bus.", ["camera"])
CAMERA_STATE = Gauge(
    "crowdmood_camera_state",
    "One for the state that a camera is in, zero for the others.",
    ["camera", "state"],
    multiprocess_mode="livemostrecent",
)
FRAMES_LOST = Counter("crowdmood_frames_lost_total", "Frames that will never be counted.", ["stage", "reason"])
CAMERA_RECONNECTS = Counter("crowdmood_camera_reconnects_total", "Attempts to reach a live camera.", ["camera"])
STREAM_ENTRIES = Gauge(
    "crowdmood_stream_entries",
    "Entries of a stream that are still to be done, as the stage before it saw last.",
    ["stream"],
    multiprocess_mode="livemostrecent",
)
MESSAGES = Counter("crowdmood_messages_total", "Messages that a stage finished.", ["stage"])
FACES = Counter("crowdmood_faces_total", "Faces that a stage finished.", ["stage"])
DEAD_LETTERS = Counter("crowdmood_dead_letters_total", "Messages given up.", ["stage", "reason"])
CLAIMED = Counter("crowdmood_claimed_total", "Messages taken over from a worker that died.", ["stage"])
WORK_SECONDS = Histogram(
    "crowdmood_work_seconds",
    "Time a stage worked on one batch of messages.",
    ["stage"],
    buckets=_WORK_SECONDS,
)
BATCH_FACES = Histogram(
    "crowdmood_batch_faces", "Faces in one call of the network.", buckets=(1, 4, 16, 32, 64, 128, 256, 1024)
)
BATCH_CONFIDENCE_RATIO = Histogram(
    "crowdmood_batch_confidence_ratio",
    "Probability of the likeliest expression, as the mean of a batch's faces: falls before what the network does not "
    "know.",
    buckets=(0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0),
)
MODEL = Gauge(
    "crowdmood_model", "One for the network in use, and what runs it.", ["model", "engine"], multiprocess_mode="livemax"
)
MODELS_REFUSED = Counter("crowdmood_models_refused_total", "Networks that were chosen and cannot be used.")
SERVER_UP = Gauge(
    "crowdmood_server_up", "Whether the process reaches its server.", ["server"], multiprocess_mode="livemin"
)
MOODS = Counter("crowdmood_moods_total", "Moods published.", ["status"])
FRAMES_COUNTED = Counter("crowdmood_frames_counted_total", "Frames counted in windows.", ["camera"])
FRAMES_DUPLICATE = Counter("crowdmood_frames_duplicate_total", "Frames delivered again and not counted again.")
FRAMES_LATE = Counter("crowdmood_frames_late_total", "Frames that came after their windows closed.", ["camera"])
MOOD_AS_OF_SECONDS = Gauge(
    "crowdmood_mood_as_of_timestamp_seconds", "Event time of the newest mood.", multiprocess_mode="mostrecent"
)
WEBHOOK_ATTEMPTS = Counter("crowdmood_webhook_attempts_total", "Attempts to deliver a webhook.", ["outcome"])
WEBHOOK_DELIVERIES = Counter(
    "crowdmood_webhook_deliveries_total", "Webhook deliveries that ended.", ["event", "status"]
)
WEBHOOKS_DISABLED = Counter("crowdmood_webhooks_disabled_total", "Webhook endpoints disabled for what they answered.")
STREAMS = Gauge("crowdmood_streams", "Streams that are open.", ["protocol"], multiprocess_mode="livesum")
STREAMS_ENDED = Counter("crowdmood_streams_ended_total", "Streams that the API ended.", ["reason"])


def registry_for_scrape() -> CollectorRegistry:
    """The registry that a /metrics answer is made from."""
    if MULTIPROCESS_VARIABLE not in os.environ:
        return REGISTRY
    registry = CollectorRegistry()
    MultiProcessCollector(registry)
    return registry
