"""Which detector the settings mean, loaded and ready."""

import logging

from crowdmood.core.settings import DetectorSettings, Settings
from detector.base import Detector
from detector.finder import FaceFinder, reduction_for

log = logging.getLogger("crowdmood.detector")


def load_finder(settings: Settings) -> FaceFinder:
    """The detector of the settings, with what goes around it.

    Raises:
        ModelError: YuNet is asked for and its model is missing or another file.
        SettingsError: The detector cannot work as it is set.
    """
    reduction = reduction_for(settings.detector.min_face_px)
    reduced = {"min_face_px": settings.detector.min_face_px // reduction}
    detector = load_detector(settings.detector.model_copy(update=reduced))
    return FaceFinder(
        detector,
        settings.ingest.max_frame_megapixels,
        settings.detector.max_faces,
        reduction,
        align=settings.detector.align,
    )


def load_detector(settings: DetectorSettings) -> Detector:
    """The detector of the settings; each imports what it needs only when it is chosen.

    Raises:
        ModelError: YuNet is asked for and its model is missing or another file.
        SettingsError: The detector cannot work as it is set.
    """
    if chosen(settings) == "yunet":
        from detector.yunet import YuNetDetector

        log.info("faces are found by yunet (%s)", settings.yunet_model)
        return YuNetDetector(settings)
    from detector.haar import HaarDetector

    why = f": there is no {settings.yunet_model}" if settings.kind == "auto" else ""
    log.info("faces are found by haar (%s)%s", settings.cascade, why)
    return HaarDetector(settings)


def chosen(settings: DetectorSettings) -> str:
    """`haar` or `yunet`: what `auto` comes to."""
    if settings.kind != "auto":
        return settings.kind
    return "yunet" if settings.yunet_model is not None and settings.yunet_model.is_file() else "haar"
