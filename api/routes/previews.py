"""What a camera sees and where it is looked at, for whoever may manage. Plain functions: they wait in threads."""

import threading
from typing import Annotated, Final

from fastapi import APIRouter, Path, Response

from api import models
from api.dependencies import Context, ContextDep
from api.drawing import draw
from api.problems import INVALID, STORE_AWAY, UNKNOWN_CAMERA, Kind, ProblemError, responses
from api.security import TOO_LARGE
from crowdmood.core.errors import UnansweredError, UndecodableError
from crowdmood.core.settings import CameraSettings
from crowdmood.store.regions import Regions

router = APIRouter(prefix="/cameras/{camera_id}", tags=["cameras"])

PREVIEW_OFF = Kind("preview-off", 409, "Previews are off.")
NO_FRAME = Kind("no-frame", 503, "No frame came.")

WITHIN_S: Final = 8.0
"""Longest wait for a frame."""
_AT_ONCE: Final = threading.BoundedSemaphore(2)
"""Previews in the making: bounds the threads and the memory that they take."""

CameraId = Annotated[
    str, Path(max_length=64, description="The camera, as `GET /cameras` names it.", examples=["north"])
]


@router.get(
    "/preview",
    summary="A camera's next frame, and who was found in it",
    response_class=Response,
    responses=responses(UNKNOWN_CAMERA, PREVIEW_OFF, NO_FRAME, INVALID, STORE_AWAY)
    | {
        200: {
            "description": "A JPEG file.",
            "content": {"image/jpeg": {"schema": {"type": "string", "format": "binary"}}},
        }
    },
)
def preview(context: ContextDep, camera_id: CameraId) -> Response:
    """The next frame that passes by, as it was judged: a box around each face in its label's colour.

    The picture is pixelated by the size of its faces, so that those that the detector missed are as well, and
    whatever is not looked at is hidden, unless `CROWDMOOD_API__PREVIEW_FACES` is `clear`. Off unless
    `CROWDMOOD_API__PREVIEW` is set. Nothing is kept anywhere.
    """
    settings = context.settings.api
    if not settings.preview:
        raise ProblemError(PREVIEW_OFF, "set CROWDMOOD_API__PREVIEW=true to look at frames")
    camera = _camera(context, camera_id)
    if context.previews is None:
        raise _no_frame("this API knows no bus: set CROWDMOOD_BUS_URL")
    if not _AT_ONCE.acquire(blocking=False):
        raise _no_frame("too many previews are asked for at once")
    try:
        frame, found = context.previews.next_frame(camera_id, WITHIN_S)
        regions = _regions(context, camera)[0]
        picture = draw(frame.jpeg, found, regions, show_faces=settings.preview_faces == "clear")
    except (UnansweredError, UndecodableError) as error:
        raise _no_frame(str(error)) from None
    finally:
        _AT_ONCE.release()
    return Response(picture, media_type="image/jpeg")


@router.get("/regions", summary="Where a camera is looked at", responses=responses(UNKNOWN_CAMERA, INVALID, STORE_AWAY))
def regions(context: ContextDep, camera_id: CameraId) -> models.CameraRegions:
    """The regions in force: those that were saved for this run, else those of the settings."""
    found, saved = _regions(context, _camera(context, camera_id))
    return models.CameraRegions(include=found.include, mask=found.mask, saved=saved)


@router.put("/regions", summary="Draw them anew", responses=responses(UNKNOWN_CAMERA, INVALID, TOO_LARGE, STORE_AWAY))
def save_regions(context: ContextDep, camera_id: CameraId, given: Regions) -> models.CameraRegions:
    """Look there and nowhere else from now on: detectors follow within about a second, and after restarts.

    They hold for this run: a replay has one of its own.
    """
    _camera(context, camera_id)
    context.regions.save(camera_id, given)
    return models.CameraRegions(include=given.include, mask=given.mask, saved=True)


@router.delete(
    "/regions",
    status_code=204,
    summary="Look where the settings say",
    responses=responses(UNKNOWN_CAMERA, INVALID, STORE_AWAY),
)
def forget_regions(context: ContextDep, camera_id: CameraId) -> None:
    """Forget what was saved."""
    _camera(context, camera_id)
    context.regions.forget(camera_id)


def _camera(context: Context, camera_id: str) -> CameraSettings:
    """Only cameras of the settings: of any other we do not know what is masked."""
    for camera in context.settings.cameras:
        if camera.id == camera_id:
            return camera
    raise ProblemError(UNKNOWN_CAMERA, f"there is no camera {camera_id!r} in this API's settings (CROWDMOOD_CAMERAS)")


def _regions(context: Context, camera: CameraSettings) -> tuple[Regions, bool]:
    saved = context.regions.all().get(camera.id)
    return (saved, True) if saved else (Regions(include=camera.include, mask=camera.mask), False)


def _no_frame(why: str) -> ProblemError:
    return ProblemError(NO_FRAME, why, {"Retry-After": "1"})
