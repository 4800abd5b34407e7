"""The bus server's clock: the common time of all hosts, whose own wall clocks may differ.

Each host measures how far the server's clock is from its own monotonic clock, so setting its wall clock has no effect.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from crowdmood.bus.connection import Client, Connection
from crowdmood.core import metrics
from crowdmood.core.errors import ServerUnavailableError, SettingsError

log = logging.getLogger(__name__)

_ROUND_TRIPS = 5
"""Round trips of a measurement; the shortest one counts, since its middle is known best."""

_MEASURE_EVERY_S = 2.0

_SLEW = 0.05
"""Most change of the pace of time: a second per 20 s."""

_STEP_MS = 1000.0
"""A larger error is a clock that was set, and not drift."""

_STEPS_AFTER = 5
"""Number of measurements in a row that must agree before a clock that was set is followed, so a glitch is not."""


@dataclass(frozen=True, slots=True)
class RoundTrip:
    """One query of the server's time; `sent_s` and `received_s` by the monotonic clock."""

    sent_s: float
    server_ms: float
    received_s: float

    @property
    def offset_ms(self) -> float:
        """Server time less monotonic time, assuming that both ways took equally long."""
        return self.server_ms - (self.sent_s + self.received_s) * 500

    @property
    def took_s(self) -> float:
        """Duration of the round trip."""
        return self.received_s - self.sent_s


class SteadyOffset:
    """Offset from the monotonic clock to the server's, which follows measurements without leaps. Pure.

    Small errors are corrected by a slightly faster or slower pace. A large error that lasts for several measurements is
    a clock that was set: the offset then follows at once.
    """

    def __init__(self) -> None:
        self._offset_ms: float | None = None
        self._target_ms = 0.0
        self._at_s = 0.0
        self._disagreeing: list[float] = []

    def measured(self, offset_ms: float, now_s: float) -> bool:
        """Add a measurement; return whether the offset leaps to it."""
        if self._offset_ms is None:
            self._offset_ms, self._target_ms, self._at_s = offset_ms, offset_ms, now_s
            return False
        current = self.at(now_s)
        assert current is not None
        if abs(offset_ms - current) <= _STEP_MS:
            self._target_ms = offset_ms
            self._disagreeing = []
            return False
        if self._disagreeing and abs(offset_ms - self._disagreeing[-1]) > _STEP_MS:
            self._disagreeing = []
        self._disagreeing.append(offset_ms)
        if len(self._disagreeing) < _STEPS_AFTER:
            return False
        self._offset_ms, self._target_ms, self._disagreeing = offset_ms, offset_ms, []
        return True

    def at(self, now_s: float) -> float | None:
        """Return the offset in milliseconds at a monotonic time; None before the first measurement."""
        if self._offset_ms is not None and now_s > self._at_s:
            most_ms = _SLEW * (now_s - self._at_s) * 1000
            self._offset_ms += min(max(self._target_ms - self._offset_ms, -most_ms), most_ms)
            self._at_s = now_s
        return self._offset_ms


class BusClock:
    """The clock of the server behind a connection.

    Args:
        connection: The connection; it is used by the thread that measures.
        partition: The partition, for the metric.
        clock: Monotonic time in seconds.
    """

    def __init__(self, connection: Connection, partition: int = 0, clock: Callable[[], float] = time.monotonic) -> None:
        self._connection = connection
        self._partition = str(partition)
        self._clock = clock
        self._lock = threading.Lock()
        self._offset = SteadyOffset()

    def now_ms(self) -> int | None:
        """Return the server's time in milliseconds since 1970-01-01 UTC; None before the first measurement."""
        with self._lock:
            now_s = self._clock()
            offset_ms = self._offset.at(now_s)
        return None if offset_ms is None else round(now_s * 1000 + offset_ms)

    def measure(self) -> None:
        """Measure the server's time, and the skew of this host's wall clock.

        Raises:
            ServerUnavailableError: The server is unreachable.
            SettingsError: The user may not ask for the time.
        """
        best = min((self._round_trip() for _ in range(_ROUND_TRIPS)), key=lambda trip: trip.took_s)
        wall_ms = time.time() * 1000 + (best.received_s - self._clock()) * 1000
        server_ms = best.received_s * 1000 + best.offset_ms
        metrics.CLOCK_SKEW_SECONDS.labels(self._partition).set((wall_ms - server_ms) / 1000)
        with self._lock:
            leaps = self._offset.measured(best.offset_ms, self._clock())
        if leaps:
            log.warning("the clock of the bus server was set: this process follows it")

    def follow(self, stop: threading.Event) -> None:
        """Measure now and regularly in a thread until `stop` is set."""

        def measure_regularly() -> None:
            while not stop.is_set():
                try:
                    self.measure()
                except ServerUnavailableError:
                    pass
                except SettingsError as error:
                    log.error("the clock of the bus server is unknown: %s", error)
                    return
                stop.wait(_MEASURE_EVERY_S)

        threading.Thread(target=measure_regularly, name=f"clock-{self._partition}", daemon=True).start()

    def _round_trip(self) -> RoundTrip:
        def ask(client: Client) -> RoundTrip:
            sent_s = self._clock()
            seconds, microseconds = client.time()
            return RoundTrip(sent_s, seconds * 1000 + microseconds / 1000, self._clock())

        return self._connection.call(ask, patient=False)
