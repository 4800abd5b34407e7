"""What a camera sees and where it is looked at, for whoever may manage. Plain functions: they wait in threads."""

import threading
from typing import Annotated, Final

from fastapi import APIRouter, Path, Response

from api import models
from api.dependencies import Context, ContextDep, IfMatch, etag, matching
from api.drawing import draw
from api.problems import (
    CHANGED_SINCE,
    INVALID,
    NO_PRECONDITION,
    STORE_AWAY,
    UNKNOWN_CAMERA,
    Kind,
    ProblemError,
    responses,
)
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
    """Return the next frame that passes by, with a box around each face that was found.

    Blocks hide the whole frame, so that no face can be recognised, found or missed, and regions where no face is
    searched are darker, unless `CROWDMOOD_API__PREVIEW_FACES` is `clear`. `CROWDMOOD_API__PREVIEW_LABELS` shows what
    each face expresses. Off unless `CROWDMOOD_API__PREVIEW` is set. Nothing is kept anywhere.
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
        saved = context.regions.find(camera_id).regions
        regions = [_floor(camera), *([] if saved is None else [saved])]
        picture = draw(
            frame.jpeg,
            found,
            regions,
            show_faces=settings.preview_faces == "clear",
            show_labels=settings.preview_labels,
        )
    except (UnansweredError, UndecodableError) as error:
        raise _no_frame(str(error)) from None
    finally:
        _AT_ONCE.release()
    return Response(picture, media_type="image/jpeg")


@router.get("/regions", summary="Where a camera is looked at", responses=responses(UNKNOWN_CAMERA, INVALID, STORE_AWAY))
def regions(context: ContextDep, camera_id: CameraId, response: Response) -> models.CameraRegions:
    """Return what was saved for this run, and the regions of the settings, which it narrows.

    Send the `ETag` back as `If-Match` to change them.
    """
    camera = _camera(context, camera_id)
    found = context.regions.find(camera_id)
    response.headers["ETag"] = etag(found.version)
    return _answer(camera, found.regions)


@router.put(
    "/regions",
    summary="Draw them",
    responses=responses(UNKNOWN_CAMERA, CHANGED_SINCE, NO_PRECONDITION, INVALID, TOO_LARGE, STORE_AWAY),
)
def save_regions(
    context: ContextDep, camera_id: CameraId, given: Regions, response: Response, if_match: IfMatch = None
) -> models.CameraRegions:
    """Narrow the regions of the settings to these: detectors follow within about a second, and after restarts.

    What the settings mask stays masked, and what they do not include stays out. Saved regions hold for this run: a
    replay has a run of its own. A request that does not name the version in place (`If-Match`) changes nothing.
    """
    camera = _camera(context, camera_id)
    version = context.regions.save(camera_id, given, matching(if_match))
    if version is None:
        raise _changed(camera_id)
    response.headers["ETag"] = etag(version)
    return _answer(camera, given)


@router.delete(
    "/regions",
    status_code=204,
    summary="Look where the settings say",
    responses=responses(UNKNOWN_CAMERA, CHANGED_SINCE, NO_PRECONDITION, INVALID, STORE_AWAY),
)
def forget_regions(context: ContextDep, camera_id: CameraId, if_match: IfMatch = None) -> None:
    """Forget what was saved, if it is the version that `If-Match` names."""
    _camera(context, camera_id)
    if not context.regions.forget(camera_id, matching(if_match)):
        raise _changed(camera_id)


def _camera(context: Context, camera_id: str) -> CameraSettings:
    """Only cameras of the settings: of any other we do not know what is masked."""
    for camera in context.settings.cameras:
        if camera.id == camera_id:
            return camera
    raise ProblemError(UNKNOWN_CAMERA, f"there is no camera {camera_id!r} in this API's settings (CROWDMOOD_CAMERAS)")


def _floor(camera: CameraSettings) -> Regions:
    return Regions(include=camera.include, mask=camera.mask)


def _answer(camera: CameraSettings, saved: Regions | None) -> models.CameraRegions:
    drawn = saved or Regions()
    return models.CameraRegions(include=drawn.include, mask=drawn.mask, saved=saved is not None, floor=_floor(camera))


def _changed(camera_id: str) -> ProblemError:
    return ProblemError(
        CHANGED_SINCE, f"the regions of {camera_id} were changed since: GET them again, and send their ETag as If-Match"
    )


def _no_frame(why: str) -> ProblemError:
    return ProblemError(NO_FRAME, why, {"Retry-After": "1"})
