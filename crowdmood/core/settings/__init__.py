"""One frozen tree of settings, read from the environment (`CROWDMOOD_…`, nested by `__`) and a TOML file.

Built once by the command line and handed down; no module reads the environment for itself. It says what may be set and
refuses what cannot be, and must not act on any of it. A setting stands in the file of what it sets: `sources`,
`stages`, `serving`, `running`; `tree` puts them together.
"""

from crowdmood.core.settings.base import STADIUM, Group
from crowdmood.core.settings.environment import to_environment
from crowdmood.core.settings.running import BusSettings, EmbeddedSettings, LogSettings, RunSettings
from crowdmood.core.settings.serving import ApiSettings
from crowdmood.core.settings.sources import CameraSettings, IngestSettings
from crowdmood.core.settings.stages import AggregatorSettings, ClassifierSettings, DetectorSettings, NetworkPrecision
from crowdmood.core.settings.tree import CONFIG_FILE_VARIABLE, Settings, load, required_url

__all__ = [
    "CONFIG_FILE_VARIABLE",
    "STADIUM",
    "AggregatorSettings",
    "ApiSettings",
    "BusSettings",
    "CameraSettings",
    "ClassifierSettings",
    "DetectorSettings",
    "EmbeddedSettings",
    "Group",
    "IngestSettings",
    "LogSettings",
    "NetworkPrecision",
    "RunSettings",
    "Settings",
    "load",
    "required_url",
    "to_environment",
]
