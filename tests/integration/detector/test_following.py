"""Changes of regions are applied after the state store refused the login."""

from contextlib import closing
from pathlib import Path

import pytest

from crowdmood.core.polygons import Polygon
from crowdmood.store.regions import Regions, SavedRegions
from detector.following import following
from tests.guarded import guarded
from tests.waiting import eventually

CORNER: Polygon = ((0.0, 0.0), (0.5, 0.0), (0.5, 0.5))
OTHER: Polygon = ((0.5, 0.5), (1.0, 0.5), (1.0, 1.0))


def test_follows_masks_again_after_the_store_refused_the_login(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        guarded(tmp_path) as server,
        closing(SavedRegions(f"unix://{tmp_path / 'server.sock'}", "test", "live")) as store,
    ):
        store.save("north", Regions(mask=(CORNER,)))
        with following([], SavedRegions(server.url, "test", "live")) as regions:
            assert regions["north"].mask == (CORNER,)
            server.shut_out()
            store.save("north", Regions(mask=(OTHER,)))
            eventually(lambda: "state store refuses the login" in caplog.text)
            assert regions["north"].mask == (CORNER,)
            server.let_in()
            eventually(lambda: regions["north"].mask == (OTHER,))
    assert caplog.text.count("refuses the login: ") <= 2
