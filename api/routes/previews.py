"""Previews and regions of a camera, for keys with `manage`. Plain functions, which FastAPI runs in threads."""

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
from api.recording import NOT_RECORDED, record
from api.security import TOO_LARGE, TOO_SLOW, ManagerRoute, WhoDep
from crowdmood.core.errors import UnansweredError, UndecodableError
from crowdmood.core.settings import CameraSettings
from crowdmood.store.regions import Regions

router = APIRouter(prefix="/cameras/{camera_id}", tags=["cameras"], route_class=ManagerRoute)

PREVIEW_OFF = Kind("preview-off", 409, "Previews are off.")
NO_FRAME = Kind("no-frame", 503, "No frame came.")

WITHIN_S: Final = 8.0
"""Longest wait for a frame."""
_AT_ONCE: Final = threading.BoundedSemaphore(2)
"""Limits the number of concurrent previews, and so the threads and memory that they use."""

CameraId = Annotated[str, Path(max_length=64, description="The camera's `id` in `GET /cameras`.", examples=["north"])]


@router.get(
    "/preview",
    summary="Get a camera's next frame with the faces found",
    response_class=Response,
    responses=responses(UNKNOWN_CAMERA, PREVIEW_OFF, NO_FRAME, NOT_RECORDED, INVALID, STORE_AWAY)
    | {
        200: {
            "description": "A JPEG file.",
            "content": {"image/jpeg": {"schema": {"type": "string", "format": "binary"}}},
        }
    },
)
def preview(context: ContextDep, who: WhoDep, camera_id: CameraId) -> Response:
    """Return the camera's next frame, with a box around each face that was found.

    The whole frame is pixelated, so that no face can be recognised, whether it was found or missed, and regions that
    are not searched for faces are darker, unless `CROWDMOOD_API__PREVIEW_FACES` is `clear`.
    `CROWDMOOD_API__PREVIEW_LABELS` adds the expression of each face. Off unless `CROWDMOOD_API__PREVIEW` is set. The
    frame is not stored. Every preview is in the audit log; one that cannot be recorded is refused.
    """
    settings = context.settings.api
    if not settings.preview:
        raise ProblemError(PREVIEW_OFF, "set CROWDMOOD_API__PREVIEW=true to allow previews")
    camera = _camera(context, camera_id)
    if context.previews is None:
        raise _no_frame("this API has no bus: set CROWDMOOD_BUS_URL")
    if not _AT_ONCE.acquire(blocking=False):
        raise _no_frame("too many previews are requested at once")
    try:
        shown = {"faces": settings.preview_faces, "labels": settings.preview_labels}
        record(context.audit, who, "preview.viewed", camera_id, after=shown)
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


@router.get("/regions", summary="Get a camera's regions", responses=responses(UNKNOWN_CAMERA, INVALID, STORE_AWAY))
def regions(context: ContextDep, camera_id: CameraId, response: Response) -> models.CameraRegions:
    """Return the regions saved for this run, and the regions of the settings, which they narrow.

    To change the saved regions, send the `ETag` as `If-Match`.
    """
    camera = _camera(context, camera_id)
    found = context.regions.find(camera_id)
    response.headers["ETag"] = etag(found.version)
    return _answer(camera, found.regions)


@router.put(
    "/regions",
    summary="Save a camera's regions",
    responses=responses(UNKNOWN_CAMERA, CHANGED_SINCE, NO_PRECONDITION, INVALID, TOO_LARGE, TOO_SLOW, STORE_AWAY),
)
def save_regions(
    context: ContextDep,
    who: WhoDep,
    camera_id: CameraId,
    given: Regions,
    response: Response,
    if_match: IfMatch = None,
) -> models.CameraRegions:
    """Narrow the regions of the settings to these. Detectors apply them within about 1 s, and again after a restart.

    A region that the settings mask stays masked, and a region that they do not include stays excluded. Saved regions
    apply to this run; each replay is a separate run. The request fails unless `If-Match` names the current version.
    """
    camera = _camera(context, camera_id)
    version = context.regions.save(camera_id, given, matching(if_match), who)
    if version is None:
        raise _changed(camera_id)
    response.headers["ETag"] = etag(version)
    return _answer(camera, given)


@router.delete(
    "/regions",
    status_code=204,
    summary="Delete a camera's saved regions",
    responses=responses(UNKNOWN_CAMERA, CHANGED_SINCE, NO_PRECONDITION, INVALID, STORE_AWAY),
)
def forget_regions(context: ContextDep, who: WhoDep, camera_id: CameraId, if_match: IfMatch = None) -> None:
    """Delete the saved regions, so that those of the settings apply. Fails unless `If-Match` names their version."""
    _camera(context, camera_id)
    if not context.regions.forget(camera_id, matching(if_match), who):
        raise _changed(camera_id)


def _camera(context: Context, camera_id: str) -> CameraSettings:
    """Return a camera of the settings; the masks of other cameras are unknown to this process."""
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
        CHANGED_SINCE, f"the regions of {camera_id} have changed: GET them again, and send their ETag as If-Match"
    )


def _no_frame(why: str) -> ProblemError:
    return ProblemError(NO_FRAME, why, {"Retry-After": "1"})
