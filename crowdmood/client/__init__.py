"""A typed client for the API, synchronous and asynchronous.

    with Client("http://127.0.0.1:8000", key="cm_…") as crowd:
        crowd.leading(default="neutral")

It asks no more often than answers say that they stay valid, and then only whether there is a newer one. Figures that
the service does not know are None: a share of a label that its network lacks, say. The client knows nothing of the
service but its API: no setting, no store, no stage.
"""

from crowdmood.client.answers import Camera, ClientError, Page, PhotoFace, Prediction
from crowdmood.client.asynchronous import AsyncClient
from crowdmood.client.synchronous import Client
from crowdmood.domain.mood import Mood, MoodChange

__all__ = [
    "AsyncClient",
    "Camera",
    "Client",
    "ClientError",
    "Mood",
    "MoodChange",
    "Page",
    "PhotoFace",
    "Prediction",
]
