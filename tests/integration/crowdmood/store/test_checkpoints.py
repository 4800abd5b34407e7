"""Checkpoints of runs that ended are removed in time."""

from crowdmood.core.settings import BusSettings
from crowdmood.store.keys import StateKeys
from crowdmood.store.moods import MoodStore


def test_a_checkpoint_lasts_as_long_as_the_history(store: MoodStore, bus_settings: BusSettings) -> None:
    store.publish([], run_id="replay-1", checkpoint={"windows": {}}, cameras={}, keep_s=60)
    assert store.checkpoint("replay-1") == {"windows": {}}
    key = StateKeys(bus_settings.key_prefix).checkpoint("replay-1")
    assert 50_000 < store.connection.client.pttl(key) <= 60_000
