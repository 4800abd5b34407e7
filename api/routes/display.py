"""What whoever shows moods to people needs to know of this installation."""

from fastapi import APIRouter

from api import models
from api.dependencies import ContextDep
from crowdmood.core.settings import STADIUM
from crowdmood.domain.palette import LABEL_COLOURS, STACKED

router = APIRouter(tags=["moods"])


@router.get("/display", summary="What to show for which mood")
async def display(context: ContextDep) -> models.Display:
    """The zones, what a board shows for each leading expression, and the labels' colours."""
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
