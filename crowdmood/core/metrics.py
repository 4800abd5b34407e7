"""Prometheus metrics of all stages.

With `PROMETHEUS_MULTIPROC_DIR` set, as `crowdmood run` sets it for its child processes, /metrics of the API reports all
processes of the machine. Otherwise each process reports its own metrics.
"""

import os

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.multiprocess import MultiProcessCollector

MULTIPROCESS_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
_WORK_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

FRAMES_INGESTED = Counter("crowdmood_frames_ingested_total", "Frames published on the bus.", ["camera"])
CAMERA_STATE = Gauge(
    "crowdmood_camera_state",
    "1 for the camera's current state, 0 for every other state.",
    ["camera", "state"],
    multiprocess_mode="livemostrecent",
)
FRAMES_LOST = Counter(
    "crowdmood_frames_lost_total", "Frames that were lost and will never be counted.", ["stage", "reason"]
)
CAMERA_RECONNECTS = Counter("crowdmood_camera_reconnects_total", "Attempts to connect to a live camera.", ["camera"])
STREAM_ENTRIES = Gauge(
    "crowdmood_stream_entries",
    "Entries of a stream that are not processed yet, as last observed by the stage that publishes to it.",
    ["stream"],
    multiprocess_mode="livemostrecent",
)
MESSAGES = Counter("crowdmood_messages_total", "Messages processed by a stage.", ["stage"])
FACES = Counter(
    "crowdmood_faces_total", "Faces processed by a stage, in frames with at least `min_faces` faces.", ["stage"]
)
DEAD_LETTERS = Counter("crowdmood_dead_letters_total", "Messages that became dead letters.", ["stage", "reason"])
CLAIMED = Counter("crowdmood_claimed_total", "Messages claimed from a worker that did not finish them.", ["stage"])
WORK_SECONDS = Histogram(
    "crowdmood_work_seconds",
    "Time that a stage spends on one batch of messages.",
    ["stage"],
    buckets=_WORK_SECONDS,
)
BATCH_FACES = Histogram(
    "crowdmood_batch_faces",
    "Faces in one call of the network, of frames with at least `min_faces` faces.",
    buckets=(1, 4, 16, 32, 64, 128, 256, 1024),
)
BATCH_CONFIDENCE_RATIO = Histogram(
    "crowdmood_batch_confidence_ratio",
    "Mean probability of the most likely expression over the faces of a batch. It falls when faces differ from the "
    "training data.",
    buckets=(0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0),
)
MODEL = Gauge(
    "crowdmood_model",
    "1 for the network in use and the engine that runs it.",
    ["model", "engine"],
    multiprocess_mode="livemax",
)
MODELS_REFUSED = Counter(
    "crowdmood_models_refused_total", "Networks that were chosen and refused because they cannot be used."
)
SERVER_UP = Gauge(
    "crowdmood_server_up", "1 if the process reaches the server, 0 if not.", ["server"], multiprocess_mode="livemin"
)
SERVER_WRITABLE = Gauge(
    "crowdmood_server_writable",
    "1 if the server accepts writes, 0 while it refuses them because it cannot write to its disk.",
    ["server"],
    multiprocess_mode="livemin",
)
CLOCK_SKEW_SECONDS = Gauge(
    "crowdmood_clock_skew_seconds",
    "How far this host's wall clock is ahead of the clock of the bus server.",
    ["partition"],
    multiprocess_mode="livemostrecent",
)
MOODS = Counter("crowdmood_moods_total", "Moods published.", ["status"])
FRAMES_COUNTED = Counter("crowdmood_frames_counted_total", "Frames counted in windows.", ["camera"])
FRAMES_DUPLICATE = Counter(
    "crowdmood_frames_duplicate_total", "Frames that were delivered again and not counted again."
)
FRAMES_LATE = Counter("crowdmood_frames_late_total", "Frames that arrived after their windows had closed.", ["camera"])
FRAMES_AHEAD = Counter(
    "crowdmood_frames_ahead_total",
    "Live frames whose capture time was ahead of the bus server's clock; they count at the time of their arrival.",
    ["camera"],
)
WATERMARK_LAG_SECONDS = Gauge(
    "crowdmood_camera_watermark_lag_seconds",
    "How far the frames of a camera are behind those of the first camera, in event time.",
    ["camera"],
    multiprocess_mode="livemostrecent",
)
MOOD_AS_OF_SECONDS = Gauge(
    "crowdmood_mood_as_of_timestamp_seconds", "Event time of the newest mood.", multiprocess_mode="mostrecent"
)
STORED_SKIPPED = Counter(
    "crowdmood_stored_skipped_total",
    "Objects of the state store that were skipped because they are damaged or of a much newer release.",
    ["kind"],
)
OVERRIDES = Gauge("crowdmood_overrides", "Overrides in force, as the API last read them.", multiprocess_mode="livemax")
MOOD_VALID_UNTIL_SECONDS = Gauge(
    "crowdmood_mood_valid_until_timestamp_seconds",
    "Time until which the newest mood of live cameras may be acted on; 0 before the first one.",
    multiprocess_mode="mostrecent",
)
CAPTURE_TO_MOOD_SECONDS = Histogram(
    "crowdmood_capture_to_mood_seconds",
    "Time from the end of a window of live cameras to the publication of its mood.",
    buckets=(0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 7.5, 10.0, 20.0, 60.0),
)
CAMERA_FRAMES_LOST = Counter(
    "crowdmood_camera_frames_lost_total", "Frames of a camera that will never be counted.", ["camera"]
)
LEADS = Gauge(
    "crowdmood_leads",
    "1 while the process leads in its role, 0 while it stands by.",
    ["role"],
    multiprocess_mode="livesum",
)
TERM = Gauge("crowdmood_term", "Number of the leader's term.", ["role"], multiprocess_mode="livemax")
CHECKPOINT_BYTES = Gauge(
    "crowdmood_checkpoint_bytes", "Size of the aggregator's newest checkpoint.", multiprocess_mode="livemostrecent"
)
BUILD = Gauge("crowdmood_build_info", "1 for the version that runs.", ["version"], multiprocess_mode="livemax")
WEBHOOK_ATTEMPTS = Counter("crowdmood_webhook_attempts_total", "Attempts to deliver a webhook.", ["outcome"])
WEBHOOK_DELIVERIES = Counter(
    "crowdmood_webhook_deliveries_total",
    "Webhook deliveries that ended: delivered, failed, expired or superseded.",
    ["event", "status"],
)
WEBHOOKS_DISABLED = Counter(
    "crowdmood_webhooks_disabled_total", "Webhook endpoints that were disabled because of their responses."
)
STREAMS = Gauge("crowdmood_streams", "Open event streams of the API.", ["protocol"], multiprocess_mode="livesum")
STREAMS_ENDED = Counter("crowdmood_streams_ended_total", "Event streams that the API ended.", ["reason"])


def registry_for_scrape() -> CollectorRegistry:
    """Return the registry that a /metrics response is made from."""
    if MULTIPROCESS_VARIABLE not in os.environ:
        return REGISTRY
    registry = CollectorRegistry()
    MultiProcessCollector(registry)
    return registry
