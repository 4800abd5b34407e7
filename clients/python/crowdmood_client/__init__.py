"""Ask CrowdMood for the mood of a crowd, from Python, synchronously or asynchronously.

    with Client("http://127.0.0.1:8000", key="cm_…") as crowd:
        crowd.leading(default="neutral")

The client knows the HTTP API and nothing else: no setting, store or stage of the service. Figures that the service does
not know are None, never 0.
"""

from crowdmood_client.answers import Camera, Event, Mood, MoodChange, Override, PhotoFace, Prediction
from crowdmood_client.async_client import AsyncClient
from crowdmood_client.client import Client
from crowdmood_client.errors import ClientError, KeyRefusedError, UnreachableError

__all__ = [
    "AsyncClient",
    "Camera",
    "Client",
    "ClientError",
    "Event",
    "KeyRefusedError",
    "Mood",
    "MoodChange",
    "Override",
    "PhotoFace",
    "Prediction",
    "UnreachableError",
]
