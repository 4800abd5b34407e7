"""Keeps the cameras' regions as they were drawn last: in the settings, or while the run goes on."""

import logging
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from crowdmood.core.errors import ServerUnavailableError, SettingsError
from crowdmood.core.settings import CameraSettings
from crowdmood.store.regions import Regions, SavedRegions
from detector.regions import Region

log = logging.getLogger("crowdmood.detector")

_LOOK_EVERY_S = 1.0


@contextmanager
def following(cameras: Iterable[CameraSettings], saved: SavedRegions) -> Iterator[dict[str, Region]]:
    """Regions by camera, changed in place within about a second of each change.

    The first ones are waited for: as long as nobody knows who is masked, nobody is looked at. In an outage of the state
    store, or while it refuses us, they stay as they were.

    Args:
        cameras: What the settings draw.
        saved: What was drawn since; closed at the end.

    Raises:
        ServerUnavailableError: The store is away and we were told to stop.
    """
    drawn = {camera.id: Regions(include=camera.include, mask=camera.mask) for camera in cameras}
    known = drawn | saved.all(patient=True)
    regions = {camera_id: Region(one.include, one.mask) for camera_id, one in known.items()}
    stop = threading.Event()

    def follow() -> None:
        nonlocal known
        refused = ""
        while not stop.wait(_LOOK_EVERY_S):
            try:
                now = drawn | saved.all()
            except ServerUnavailableError:  # the connection has said so
                continue
            except SettingsError as error:
                if str(error) != refused:
                    log.error("regions stay as they are while the state store refuses us: %s", error)
                refused = str(error)
                continue
            refused = ""
            for camera_id in known.keys() | now.keys():
                one = now.get(camera_id, Regions())
                if one != known.get(camera_id):
                    regions[camera_id] = Region(one.include, one.mask)
                    log.info(
                        "regions of camera %s: %d to look at, %d masked", camera_id, len(one.include), len(one.mask)
                    )
            known = now

    thread = threading.Thread(target=follow, name="regions", daemon=True)
    thread.start()
    try:
        yield regions
    finally:
        stop.set()
        thread.join()
        saved.close()
