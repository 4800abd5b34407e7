"""One frozen tree of settings, read from the environment (`CROWDMOOD_…`, nested by `__`) and a TOML file.

The command line builds it once and passes it on; no other module reads the environment. The package defines and
validates the settings and must not act on them. `sources`, `stages`, `serving` and `running` hold the settings of their
subject; `tree` puts them together.
"""

from crowdmood.core.settings.base import STADIUM, Group
from crowdmood.core.settings.environment import to_environment
from crowdmood.core.settings.running import BusSettings, EmbeddedSettings, LogSettings, RunSettings
from crowdmood.core.settings.serving import ApiSettings
from crowdmood.core.settings.sources import CameraSettings, IngestSettings
from crowdmood.core.settings.stages import AggregatorSettings, ClassifierSettings, DetectorSettings, NetworkPrecision
from crowdmood.core.settings.tree import CONFIG_FILE_VARIABLE, IN_FILES, Settings, load, required_url

__all__ = [
    "CONFIG_FILE_VARIABLE",
    "IN_FILES",
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
