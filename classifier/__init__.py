"""Classifies the expressions of faces: model folders and their cards, engines that run them, batches across cameras.

This package owns everything about the network in service; it reads no whole frames and computes no shares of crowds.
"""

from pathlib import Path

DEFAULT_MODEL = Path(__file__).parent / "models" / "crowdnet"
"""Folder of the network that comes with CrowdMood."""
