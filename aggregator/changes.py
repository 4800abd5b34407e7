"""Changes of mood: a state machine over the newest expressions of each zone. Pure.

A mood is the mean of its window and follows a goal by half a window. The last expression of each person follows at
once, so changes are derived from that. A change is published once the old label is no longer the mood's `dominant`, so
that the mood at the time of a change does not contradict it.

The lead of one label over another has an interval, from low - high to high - low of the two shares. These intervals are
for comparison within one scene: they exclude errors of the network that are the same in all windows. A crowd has turned
to a new label when that label leads the old one, and the interval of its lead lies above the interval before, with a
margin. Disjoint intervals in one window are not enough: of two labels with nearly equal shares each is ahead at times,
and within ten minutes far enough for that. If they last for several windows they are a change too, since a crowd may
drift too slowly to turn.

The rule has hysteresis: the way back needs as large a turn as the way there.
"""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from aggregator.moods import Finding
from crowdmood.core.settings import AggregatorSettings
from crowdmood.domain.labels import LABELS
from crowdmood.domain.mood import Mood, MoodChange

Estimate = npt.NDArray[np.float64]
"""float64 (3, 8): shares, lower and upper ends of their intervals; columns in the order of `LABELS`.

A label that the network does not know has a share of 0, so it never leads.
"""

_MARGIN = 0.5
"""Distance between the intervals of a lead in a turn, as a multiple of the half-width of the new one. Each interval is
right in nine cases of ten, and a match has thousands of windows."""

_SKIPPED = 1000
"""More changes than a state store can lose: those of the seconds that no disk had yet."""

_LASTING_WINDOWS = 3
"""Number of whole windows after which a label that is clearly ahead leads, without a turn."""


class Changes:
    """Finds the changes of every zone, in the order of its windows.

    The first leading label is not a change; later ones are compared with it. It is set after the length of a window,
    since the first windows hold few frames. Windows without figures neither support nor delay a change.

    Args:
        settings: Window, hop, dwell and cooldown.
    """

    def __init__(self, settings: AggregatorSettings) -> None:
        self._settings = settings
        self._zones: dict[str, _Zone] = {}

    def take(self, findings: Iterable[Finding]) -> list[MoodChange]:
        """Process the findings of new windows, oldest first.

        Returns:
            The changes that they complete, in order.
        """
        changes = []
        for finding in findings:
            if finding.lately is not None:
                zone = self._zones.setdefault(finding.mood.zone, _Zone(self._settings))
                if change := zone.take(finding.mood, finding.lately):
                    changes.append(change)
        return changes

    def forget_after(self, limit_ms: int) -> None:
        """Return to an earlier time after a clock was ahead: windows beyond `limit_ms` count as windows before it."""
        for zone in self._zones.values():
            zone.forget_after(limit_ms)

    def skip_sequences(self) -> None:
        """Continue with numbers that were never published, when changes may have been published and lost since."""
        for zone in self._zones.values():
            zone.skip_sequences()

    def snapshot(self) -> dict[str, Any]:
        """Return the state that a successor needs, as JSON values."""
        return {name: zone.snapshot() for name, zone in self._zones.items()}

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Continue where `snapshot` was made."""
        self._zones = {name: _Zone.restored(self._settings, stored) for name, stored in snapshot.items()}


@dataclass(slots=True)
class _Dwell:
    """How long a condition has been true, None if it has not been; windows in which it is false count against it."""

    held_ms: int | None = None

    def hold(self, holds: bool, passed_ms: int) -> int | None:
        """Add a window in which it is true or false, and the time since the last one; return how long it was true."""
        if holds:
            self.held_ms = 0 if self.held_ms is None else self.held_ms + passed_ms
            return self.held_ms
        if self.held_ms is not None:
            self.held_ms = self.held_ms - passed_ms if self.held_ms >= passed_ms else None
        return None


class _Zone:
    """One zone's state: the leading label, the shares since then, and for how long another label may have led."""

    def __init__(self, settings: AggregatorSettings) -> None:
        self._window_ms = round(settings.window_s * 1000)
        self._hop_ms = round(settings.hop_s * 1000)
        self._dwell_ms = round(settings.change_dwell_s * 1000)
        self._cooldown_ms = round(settings.change_cooldown_s * 1000)
        self._sequence = 0
        self._leader: int | None = None
        self._first_ms: int | None = None
        self._newest_ms: int | None = None
        self._changed_ms: int | None = None
        # Windows that still share frames with the newest one, and the mean of those before them.
        self._recent: deque[tuple[int, Estimate]] = deque()
        self._before: Estimate = np.zeros((3, len(LABELS)))
        self._before_count = 0
        self._turned, self._ahead = _Dwell(), _Dwell()

    def take(self, mood: Mood, lately: Mood) -> MoodChange | None:
        """Process the zone's next window; return the change that it completes, or None."""
        estimate, now_ms = _estimate(lately), lately.as_of_ms
        if self._newest_ms is not None and now_ms <= self._newest_ms:
            return None
        gap_ms = now_ms - (self._newest_ms if self._newest_ms is not None else now_ms)
        self._newest_ms = now_ms
        if gap_ms > self._hop_ms and gap_ms >= self._window_ms:
            # Windows are missing: this one shares no frame with those that indicated a change.
            self._turned, self._ahead = _Dwell(), _Dwell()
        self._age(now_ms)
        top = int(estimate[0].argmax())
        if self._leader is None:
            self._first_ms = now_ms if self._first_ms is None else self._first_ms
            if now_ms >= self._first_ms + self._window_ms - self._hop_ms:
                self._lead(top, now_ms, estimate)
            return None
        passed_ms = min(gap_ms, self._hop_ms)
        turned_ms = self._turned.hold(self._has_turned(top, estimate), passed_ms)
        ahead_ms = self._ahead.hold(_is_ahead(top, self._leader, estimate), passed_ms)
        settled = (turned_ms is not None and turned_ms >= self._dwell_ms) or (
            ahead_ms is not None and ahead_ms >= max(self._dwell_ms, _LASTING_WINDOWS * self._window_ms)
        )
        cooling = self._changed_ms is not None and now_ms < self._changed_ms + self._cooldown_ms
        # During the dwell, the cooldown or the wait for the mood, another label may have overtaken it.
        leads = top == self._led_lately(now_ms, estimate)
        if not settled or cooling or not leads or mood.dominant == LABELS[self._leader]:
            self._recent.append((now_ms, estimate))
            return None
        return self._change(top, mood, estimate)

    def skip_sequences(self) -> None:
        self._sequence += _SKIPPED

    def forget_after(self, limit_ms: int) -> None:
        ahead_ms = 0 if self._newest_ms is None else max(0, self._newest_ms - limit_ms)
        self._first_ms, self._newest_ms, self._changed_ms = (
            None if at_ms is None else at_ms - ahead_ms for at_ms in (self._first_ms, self._newest_ms, self._changed_ms)
        )
        self._recent = deque((at_ms - ahead_ms, estimate) for at_ms, estimate in self._recent)

    def snapshot(self) -> dict[str, Any]:
        return {
            "sequence": self._sequence,
            "leader": self._leader,
            "first_ms": self._first_ms,
            "newest_ms": self._newest_ms,
            "changed_ms": self._changed_ms,
            "recent": [[at_ms, estimate.tolist()] for at_ms, estimate in self._recent],
            "before": self._before.tolist(),
            "before_count": self._before_count,
            "turned": asdict(self._turned),
            "ahead": asdict(self._ahead),
        }

    @classmethod
    def restored(cls, settings: AggregatorSettings, snapshot: Mapping[str, Any]) -> "_Zone":
        zone = cls(settings)
        zone._sequence = snapshot["sequence"]
        zone._leader = snapshot["leader"]
        zone._first_ms = snapshot["first_ms"]
        zone._newest_ms = snapshot["newest_ms"]
        zone._changed_ms = snapshot["changed_ms"]
        zone._recent.extend((at_ms, _of_all_labels(estimate)) for at_ms, estimate in snapshot["recent"])
        zone._before = _of_all_labels(snapshot["before"])
        zone._before_count = snapshot["before_count"]
        zone._turned, zone._ahead = _Dwell(snapshot["turned"]["held_ms"]), _Dwell(snapshot["ahead"]["held_ms"])
        return zone

    def _led_lately(self, now_ms: int, estimate: Estimate) -> int:
        """Return the label, except the leader, with the largest mean share during the dwell: several may alternate."""
        held = [shares for at_ms, (shares, *_) in self._recent if at_ms >= now_ms - self._dwell_ms] + [estimate[0]]
        others: npt.NDArray[np.float64] = np.mean(held, axis=0)
        others[self._leader] = -1
        return int(others.argmax())

    def _change(self, top: int, mood: Mood, estimate: Estimate) -> MoodChange:
        """Return the change with the figures of the published mood: those of `lately` may single out people."""
        assert self._leader is not None and mood.people is not None
        assert mood.shares is not None and mood.low is not None and mood.high is not None
        self._sequence += 1
        change = MoodChange(
            sequence=self._sequence,
            zone=mood.zone,
            as_of_ms=mood.as_of_ms,
            valid_until_ms=mood.valid_until_ms,
            from_label=LABELS[self._leader],
            to_label=LABELS[top],
            people=mood.people,
            readable=mood.readable,
            shares=mood.shares,
            low=mood.low,
            high=mood.high,
        )
        self._changed_ms = mood.as_of_ms
        self._lead(top, mood.as_of_ms, estimate)
        return change

    def _lead(self, label: int, now_ms: int, estimate: Estimate) -> None:
        self._leader = label
        self._recent = deque([(now_ms, estimate)])
        self._before_count = 0
        self._turned, self._ahead = _Dwell(), _Dwell()

    def _age(self, now_ms: int) -> None:
        """Move windows that share no frame with the newest one into the mean of the windows before."""
        while self._recent and self._recent[0][0] <= now_ms - self._window_ms:
            _, estimate = self._recent.popleft()
            self._before_count += 1
            # A running mean; the first value replaces the initial zeros.
            self._before = self._before + (estimate - self._before) / self._before_count

    def _has_turned(self, label: int, estimate: Estimate) -> bool:
        """Return whether the interval of a label's lead over the leader lies clearly above the one before."""
        assert self._leader is not None
        if label == self._leader:
            return False
        before = self._before if self._before_count else self._recent[0][1]
        low, high = _lead_interval(label, self._leader, estimate)
        _, high_before = _lead_interval(label, self._leader, before)
        return low - high_before > _MARGIN * (high - low) / 2


def _lead_interval(label: int, other: int, estimate: Estimate) -> tuple[float, float]:
    """Return the interval of a label's lead over another one."""
    _, low, high = estimate
    return float(low[label] - high[other]), float(high[label] - low[other])


def _is_ahead(label: int, other: int, estimate: Estimate) -> bool:
    return label != other and _lead_interval(label, other, estimate)[0] > 0


def _estimate(mood: Mood) -> Estimate:
    """Return the mood's shares and their intervals."""
    assert mood.shares is not None and mood.low is not None and mood.high is not None
    return np.array([[part[label] or 0.0 for label in LABELS] for part in (mood.shares, mood.low, mood.high)])


def _of_all_labels(stored: Sequence[Sequence[float]]) -> Estimate:
    """Return a stored estimate with a column for each label: an older one lacks cheering."""
    estimate = np.array(stored)
    return np.pad(estimate, ((0, 0), (0, len(LABELS) - estimate.shape[1])))
