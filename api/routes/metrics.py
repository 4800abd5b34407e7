"""Metrics for Prometheus."""

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from crowdmood.core.metrics import registry_for_scrape

router = APIRouter(tags=["health"])


# A plain function, which FastAPI runs in a thread: reading the metrics of all processes does not block requests.
@router.get(
    "/metrics",
    summary="Get the metrics for Prometheus",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
def metrics() -> Response:
    """Return the metrics of this process, or of all processes of this machine if they share a metrics folder."""
    return Response(generate_latest(registry_for_scrape()), media_type=CONTENT_TYPE_LATEST)
