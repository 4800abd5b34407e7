"""Leader election: a lease with a time to live, and a term that fences off the writes of earlier leaders.

Both are keys in the state store. The lease expires by the server's clock unless the leader renews it, so that another
process can lead after the leader died. A lease alone protects nothing: a leader that was paused does not know that its
lease expired. The term protects the data. Each leader begins a term with a larger number, every write watches the term,
and the server rejects a write of an earlier term (Kleppmann, "How to do distributed locking", 2016: a fencing token).

A leader whose work may take longer than the lease has it renewed by a thread (`Lease.keep`), as long as the work makes
progress: a leader that hangs is replaced, a leader that is busy or waits for the bus is not.

A write is durable when neither a power cut nor a failover to a replica can undo it. The same thread asks the server for
this, so that the work does not wait for a disk.
"""

import contextlib
import logging
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable

import redis

from crowdmood.bus.connection import Client, Connection
from crowdmood.bus.keys import LeaseKeys
from crowdmood.core import metrics
from crowdmood.core.errors import LeadershipLostError, ServerUnavailableError, SettingsError

log = logging.getLogger(__name__)

_LONGEST_WAIT_S = 0.5

_KEEP_EVERY_S = 0.75
"""Longest pause of the thread that renews a lease: entries are acknowledged soon after their checkpoint is durable."""

_REPLICA_MS = 50

_DURABLE_AFTER_S = 2.5
"""Age of a write that counts as durable where the server cannot say so: with `appendfsync everysec`, a disk has it."""

_UNCONFIRMED_S = 15.0
"""Age of a write that counts as durable although disk or replica do not confirm it: the bus must not fill up."""


class Lease:
    """The lease of one process.

    Args:
        connection: The state store.
        keys: The keys of lease and term.
        holder: Name of this process. A lease held under the same name belongs to its dead predecessor and is acquired
            at once.
        ttl_s: Seconds after which a lease expires that is not renewed.
        clock: Monotonic time in seconds.

    Attributes:
        token: Number of this process's term, larger than that of every earlier leader; 0 before it leads.
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
        self._keep_every_s = min(ttl_s / 4, _KEEP_EVERY_S)
        self._clock = clock
        self._renewed = clock()
        self._writes = 0
        self._keeper: threading.Thread | None = None
        self._released = threading.Event()
        self._lost: Exception | None = None
        self._durable = 0
        self._unconfirmed: deque[tuple[int, float]] = deque()
        self._can_wait_for_disk = True
        self._replicated = False
        # The token alone does not identify a term: a store that was emptied counts from 1 again.
        self._mark = uuid.uuid4().hex.encode()

    def acquire(self) -> bool:
        """Begin a term and return True, or return False if another process holds the lease."""

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
        metrics.LEADS.labels(self._keys.role).set(self.token > 0)
        if self.token:
            metrics.TERM.labels(self._keys.role).set(self.token)
        return self.token > 0

    @property
    def writes(self) -> int:
        """Number of this term's writes."""
        return self._writes

    @property
    def durable_writes(self) -> int:
        """Number of this term's writes that are durable; all of them where no thread keeps the lease."""
        return self._writes if self._keeper is None else self._durable

    def wait(self, stop: threading.Event, beat: Callable[[], None]) -> bool:
        """Stand by until this process leads.

        Args:
            stop: Set when the process is to stop.
            beat: Called repeatedly while standing by.

        Returns:
            True when the lease is acquired, False when `stop` was set first.
        """
        waiting = False
        with contextlib.suppress(ServerUnavailableError):
            while not stop.is_set():
                if self.acquire():
                    log.info("leading in term %d", self.token)
                    return True
                beat()
                if not waiting:
                    log.info("another process leads: standing by")
                    waiting = True
                stop.wait(min(self._ttl_s / 10, _LONGEST_WAIT_S))
        return False

    def keep(self, connection: Connection, stalled_after_s: float) -> None:
        """Renew the lease in a thread from now on, until it is released.

        The thread renews it only as long as the work calls `renew`, which then reports progress.

        Args:
            connection: The state store; a connection of its own, because a server confirms the writes of a connection.
            stalled_after_s: Seconds without progress after which the lease is no longer renewed.
        """
        self._renewed = self._clock()
        self._keeper = threading.Thread(target=self._keep, args=(connection, stalled_after_s), daemon=True)
        self._keeper.start()

    def renew(self) -> None:
        """Renew the lease if a third of its time to live has passed. Call it more often than that.

        Where a thread keeps the lease, this reports progress. A lease that expired and that no other process acquired
        is renewed too.

        Raises:
            LeadershipLostError: Another process leads.
            ServerUnavailableError: The state store is unreachable, and the process stops.
        """
        if self._lost is not None:
            raise self._lost
        started = self._clock()
        if self._keeper is None:
            if started < self._renewed + self._ttl_s / 3:
                return
            self._extend(self._connection)
        self._renewed = started

    def write(self, queue: Callable[[Client], None]) -> None:
        """Write to the store in one transaction, exactly once, and only in the current term.

        Args:
            queue: Adds commands to the transaction that it is called with.

        Raises:
            LeadershipLostError: Another process leads: nothing was written.
            ServerUnavailableError: The state store is unreachable, and the process stops.
        """
        number = self._writes + 1

        def counted(multi: Client) -> None:
            queue(multi)
            multi.hset(self._keys.term, "writes", number)

        self._fenced(counted, number)
        self._writes = number

    def release(self) -> None:
        """Release the lease, so that another process can lead at once; on an unreachable store it expires instead."""
        self._released.set()
        metrics.LEADS.labels(self._keys.role).set(0)
        if self._keeper is not None:
            self._keeper.join(_LONGEST_WAIT_S)
        with contextlib.suppress(LeadershipLostError, ServerUnavailableError):
            self._fenced(lambda multi: multi.delete(self._keys.lease), patient=False)

    def _keep(self, connection: Connection, stalled_after_s: float) -> None:
        stalled = False
        while not self._released.wait(self._keep_every_s):
            idle_s = self._clock() - self._renewed
            if idle_s > stalled_after_s:
                if not stalled:
                    log.error("no progress for %.0f s: the lease is no longer renewed", idle_s)
                stalled = True
                continue
            stalled = False
            try:
                written = self._writes
                self._extend(connection)
                self._confirm(connection, written)
            except ServerUnavailableError:
                if connection.stop.is_set():
                    return
            except Exception as error:
                self._lost = error  # `renew` raises it
                return

    def _confirm(self, connection: Connection, written: int) -> None:
        """Learn which writes are durable, after a write of the connection that followed `written` writes."""
        now_s = self._clock()
        if written > (self._unconfirmed[-1][0] if self._unconfirmed else self._durable):
            self._unconfirmed.append((written, now_s))
        if not self._unconfirmed:
            return
        on_disk = self._on_disk(connection)
        replicas = self._replicas(connection)
        self._replicated = self._replicated or replicas > 0
        copied = replicas > 0 or not self._replicated
        if on_disk and copied:
            self._durable = written
        while self._unconfirmed:
            number, since_s = self._unconfirmed[0]
            old = now_s - since_s
            if number > self._durable and not (
                (on_disk is None and copied and old > _DURABLE_AFTER_S) or old > _UNCONFIRMED_S
            ):
                return
            if number > self._durable and on_disk is not None:
                log.warning("neither disk nor replica of the state store confirms a write of %.0f s ago", old)
            self._durable = max(self._durable, number)
            self._unconfirmed.popleft()

    def _replicas(self, connection: Connection) -> int:
        """Return how many replicas have this connection's writes."""
        try:
            return connection.call(lambda client: int(client.wait(1, _REPLICA_MS)), patient=False)
        except (redis.ResponseError, SettingsError):
            return 0

    def _on_disk(self, connection: Connection) -> bool | None:
        """Return whether the disk has this connection's writes; None if the server cannot say so."""
        if not self._can_wait_for_disk:
            return None

        def ask(client: Client) -> bool:
            return bool(client.waitaof(1, 0, round(self._keep_every_s * 1000))[0])

        try:
            return connection.call(ask, patient=False)
        except (redis.ResponseError, SettingsError) as error:
            log.info("the state store cannot say what is on its disk (%s): writes count as durable by age", error)
            self._can_wait_for_disk = False
            return None

    def _extend(self, connection: Connection) -> None:
        self._fenced(lambda multi: multi.set(self._keys.lease, self._holder, px=self._ttl_ms), connection=connection)

    def _fenced(
        self,
        queue: Callable[[Client], None],
        number: int = 0,
        *,
        patient: bool = True,
        connection: Connection | None = None,
    ) -> None:
        def transaction(client: Client) -> None:
            with client.pipeline(transaction=True) as multi:
                while True:
                    multi.watch(self._keys.term)
                    mark, writes = multi.hmget(self._keys.term, "mark", "writes")
                    if mark not in (None, self._mark):
                        raise LeadershipLostError(
                            f"another process leads, this one led in term {self.token}: nothing more is written or "
                            "acknowledged; start it again, and it stands by"
                        )
                    if number and int(writes or 0) == number:
                        # An earlier try took effect, and an outage cut off its reply.
                        return
                    multi.multi()
                    if mark is None:
                        # The store was emptied: this process goes on leading.
                        multi.hset(self._keys.term, mapping={"token": self.token, "mark": self._mark})
                    queue(multi)
                    try:
                        multi.execute()
                    except redis.WatchError:
                        continue
                    return

        (connection or self._connection).call(transaction, patient=patient)

    @property
    def _ttl_ms(self) -> int:
        return round(self._ttl_s * 1000)
