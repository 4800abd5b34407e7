"""Metrics for Prometheus."""

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from crowdmood.core.metrics import registry_for_scrape

router = APIRouter(tags=["health"])


# A plain function: FastAPI runs it in a thread, and requests go on while the metrics of all processes are read.
@router.get(
    "/metrics",
    summary="Metrics for Prometheus",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
def metrics() -> Response:
    """Counters and gauges of this process, or of all processes of this machine where they share a folder for it."""
    return Response(generate_latest(registry_for_scrape()), media_type=CONTENT_TYPE_LATEST)
