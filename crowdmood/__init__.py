"""What all stages share: settings, messages, streams, the worker loop, metrics, logs, errors, the command line.

This package owns how the parts talk; it knows nothing about faces, networks or windows.
"""

import os
import sys
from importlib.metadata import version

__version__ = version("crowdmood")

# Before numpy is imported: threads only cost time on matrices as small as ours, and sums would depend on the cores.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# OpenVINO tells Google Analytics of every import, unless this package of its is missing.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # Python knows None there

LABELS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral", "cheering")
"""The eight expressions in the only order that anything here uses: FER2013's codes 0-6, then cheering.

Cheering: the mouth is open, singing, shouting or chanting, and no other expression can be read.
"""

FER_LABELS = LABELS[:7]
"""The expressions of FER2013, and of networks with seven outputs."""

STADIUM = "stadium"
"""The zone that holds every camera."""
