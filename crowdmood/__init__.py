"""What every stage may know: `core`, `domain`, `bus` and `store`.

`core` has settings, errors, logs, metrics and processes; `domain` has labels, messages and moods; `bus` carries
messages from stage to stage; `store` keeps what outlives a run. Nothing here knows a stage.
"""

import os
import sys
from importlib.metadata import version

__version__ = version("crowdmood")

# Before numpy is imported: threads only cost time on matrices as small as ours, and sums would depend on the cores.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# OpenVINO reports every import to Google Analytics, unless this package of its is missing.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # Python knows None there
