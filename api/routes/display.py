"""The settings of this installation for clients that display moods."""

from fastapi import APIRouter

from api import models
from api.dependencies import ContextDep
from crowdmood.core.settings import STADIUM
from crowdmood.domain.palette import LABEL_COLOURS, STACKED

router = APIRouter(tags=["moods"])


@router.get("/display", summary="Get the settings for displaying moods")
async def display(context: ContextDep) -> models.Display:
    """Return the zones, the creative for each leading expression, the labels' colours and the limits for photos."""
    settings = context.settings
    cameras = tuple(sorted({camera.id for camera in settings.cameras} | context.board.cameras.keys()))
    return models.Display(
        zones={STADIUM: cameras, **settings.zones},
        creatives=settings.api.creatives,
        default_creative=settings.api.default_creative,
        colours=dict(LABEL_COLOURS),
        stacked=STACKED,
        stale_after_s=settings.aggregator.stale_after_s,
        preview=settings.api.preview_faces if settings.api.preview else "off",
        photos=models.PhotoTerms(
            on=settings.api.predict,
            megapixels=context.photos.max_megapixels,
            per_minute=settings.api.photos_per_minute,
        ),
    )
