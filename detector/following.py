"""Follows the regions of cameras: those of the settings, narrowed by those that were drawn in this run."""

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from crowdmood.core.settings import CameraSettings
from crowdmood.store.follower import Follower
from crowdmood.store.regions import Regions, SavedRegions
from detector.regions import Region

log = logging.getLogger("crowdmood.detector")


@contextmanager
def following(cameras: Iterable[CameraSettings], saved: SavedRegions) -> Iterator[dict[str, Region]]:
    """Yield regions by camera, updated in place about a second after each change.

    The first regions are waited for: no frame is searched until the masks are known. While the state store is
    unreachable or refuses the login, the regions stay unchanged. Drawn regions narrow those of the settings and never
    widen them, whatever the state store holds.

    Args:
        cameras: The cameras of the settings, whose regions are the floor.
        saved: The regions that were drawn in this run; closed at the end.

    Raises:
        ServerUnavailableError: The store is unreachable, and the process stops.
    """
    floor = {camera.id: Region.of(camera) for camera in cameras}
    known = saved.all(patient=True)
    regions = floor | {camera_id: _narrowed(floor.get(camera_id), one) for camera_id, one in known.items()}

    def update() -> None:
        nonlocal known
        now = saved.all()
        for camera_id in known.keys() | now.keys():
            one = now.get(camera_id, Regions())
            if one != known.get(camera_id):
                regions[camera_id] = _narrowed(floor.get(camera_id), one)
                log.info("regions of camera %s: %d included, %d masked", camera_id, len(one.include), len(one.mask))
        known = now

    follower = Follower("the choice of regions", update)
    follower.start()
    try:
        yield regions
    finally:
        follower.close()
        saved.close()


def _narrowed(floor: Region | None, drawn: Regions) -> Region:
    return Region(drawn.include, drawn.mask, floor)
