"""Classifies the expressions of faces: model folders and their cards, engines, batches across cameras.

This package owns the network in service. It does not read frames, and does not compute the shares of a crowd.
"""

from pathlib import Path

DEFAULT_MODEL = Path(__file__).parent / "models" / "crowdnet"
"""Folder of the network that is shipped with CrowdMood."""
