"""Judges the expression of faces: model folders and their cards, engines that run them, batching across cameras.

Owns everything about the network in service; it must not look at whole frames nor add up what a crowd shows.
"""

from pathlib import Path

DEFAULT_MODEL = Path(__file__).parent / "models" / "crowdnet"
"""Folder of the network that comes with CrowdMood."""
