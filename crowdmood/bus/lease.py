"""The right to be the one who writes: a lease with a time to live, and a term that fences off whoever had it before.

Two keys in the state store. The lease's own runs out by the server's clock unless its holder renews it, so that another
may follow a leader that died. It protects nothing by itself: a leader that was paused wakes up and knows nothing of it.
What protects is the term, which stays: each new leader begins one with a larger number, every write watches it, and the
server refuses the write of a term that is over (Kleppmann, "How to do distributed locking", 2016: a fencing token).
"""

import contextlib
import logging
import threading
import time
import uuid
from collections.abc import Callable

import redis

from crowdmood.bus.connection import Client, Connection
from crowdmood.bus.keys import LeaseKeys
from crowdmood.core.errors import LeadershipLostError, ServerUnavailableError

log = logging.getLogger(__name__)

_LONGEST_WAIT_S = 0.5


class Lease:
    """One process's claim to lead.

    Args:
        connection: The state store.
        keys: Where lease and term are kept.
        holder: Who we are. Somebody of the same name who holds the lease is known to be dead: it is taken at once.
        ttl_s: Seconds after which a lease that is not renewed is free.
        clock: Monotonic time in seconds.

    Attributes:
        token: Number of our term, larger than that of every leader before; 0 before we lead.
    """

    def __init__(
        self,
        connection: Connection,
        keys: LeaseKeys,
        holder: str,
        ttl_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.token = 0
        self._connection = connection
        self._keys = keys
        self._holder = holder
        self._ttl_s = ttl_s
        self._clock = clock
        self._renewed = clock()
        self._writes = 0
        # The number alone would not do: a store that was emptied counts from one again.
        self._mark = uuid.uuid4().hex.encode()

    def take(self) -> bool:
        """Begin a term, unless somebody else holds the lease."""

        def transaction(client: Client) -> int:
            with client.pipeline(transaction=True) as multi:
                multi.watch(self._keys.term)
                if multi.get(self._keys.lease) not in (None, self._holder.encode()):
                    return 0
                multi.multi()
                multi.hincrby(self._keys.term, "token", 1)
                multi.hset(self._keys.term, mapping={"mark": self._mark, "writes": 0})
                multi.set(self._keys.lease, self._holder, px=self._ttl_ms)
                try:
                    return int(multi.execute()[0])
                except redis.WatchError:
                    return 0

        started = self._clock()
        self.token = self._connection.call(transaction)
        self._renewed, self._writes = started, 0
        return self.token > 0

    def wait(self, stop: threading.Event, beat: Callable[[], None]) -> bool:
        """Stand by until we lead; False when told to stop before.

        Args:
            stop: Set when we are to stop.
            beat: Called again and again meanwhile.
        """
        waiting = False
        with contextlib.suppress(ServerUnavailableError):
            while not stop.is_set():
                if self.take():
                    log.info("leading in term %d", self.token)
                    return True
                beat()
                if not waiting:
                    log.info("another one leads: standing by")
                    waiting = True
                stop.wait(min(self._ttl_s / 10, _LONGEST_WAIT_S))
        return False

    def hold(self) -> None:
        """Renew the lease, if it is time again; called more often than every third of its time to live.

        A lease that ran out and that nobody took is ours still.

        Raises:
            LeadershipLostError: Another one leads.
            ServerUnavailableError: The state store is away and we must stop.
        """
        if self._clock() < self._renewed + self._ttl_s / 3:
            return
        started = self._clock()
        self._fenced(lambda multi: multi.set(self._keys.lease, self._holder, px=self._ttl_ms))
        self._renewed = started

    def write(self, queue: Callable[[Client], None]) -> None:
        """Write to the store all at once, exactly once, and only while nobody has followed us.

        Args:
            queue: Puts the commands into the transaction that it is given.

        Raises:
            LeadershipLostError: Another one leads: nothing was written.
            ServerUnavailableError: The state store is away and we must stop.
        """
        number = self._writes + 1

        def counted(multi: Client) -> None:
            queue(multi)
            multi.hset(self._keys.term, "writes", number)

        self._fenced(counted, number)
        self._writes = number

    def release(self) -> None:
        """Let another one lead at once; a store that is away frees the lease when its time is over."""
        with contextlib.suppress(LeadershipLostError, ServerUnavailableError):
            self._fenced(lambda multi: multi.delete(self._keys.lease), patient=False)

    def _fenced(self, queue: Callable[[Client], None], number: int = 0, *, patient: bool = True) -> None:
        def transaction(client: Client) -> None:
            with client.pipeline(transaction=True) as multi:
                while True:
                    multi.watch(self._keys.term)
                    mark, writes = multi.hmget(self._keys.term, "mark", "writes")
                    if mark not in (None, self._mark):
                        raise LeadershipLostError(
                            f"another process has followed this one, which led in term {self.token}: nothing more "
                            "is written or acknowledged; start it again, and it stands by"
                        )
                    if number and int(writes or 0) == number:
                        # Written before: an outage cost us the answer.
                        return
                    multi.multi()
                    if mark is None:
                        # The store was emptied: who leads still stands.
                        multi.hset(self._keys.term, mapping={"token": self.token, "mark": self._mark})
                    queue(multi)
                    try:
                        multi.execute()
                    except redis.WatchError:
                        continue
                    return

        self._connection.call(transaction, patient=patient)

    @property
    def _ttl_ms(self) -> int:
        return round(self._ttl_s * 1000)
