"""Virtual time for executions: a wait ends at once when no thread works any more, and the clock moves to its end."""

import datetime
import heapq
import itertools
import threading

START = datetime.datetime(2026, 11, 30, 3, 0, tzinfo=datetime.timezone.utc)


class VirtualClock:
    """A clock that moves only when every thread of an execution waits for it."""

    def __init__(self) -> None:
        self._woken = threading.Condition()
        self._seconds = 0.0
        # The thread that runs the execution.
        self._working = 1
        self._order = itertools.count()
        self._waiting: list[tuple[float, int]] = []
        self._due: set[int] = set()

    @property
    def seconds(self) -> float:
        """The time since the start."""
        return self._seconds

    def now(self) -> str:
        """The time, as Step Functions writes it."""
        moment = START + datetime.timedelta(seconds=self._seconds)
        return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def pause(self, seconds: float, _stopped: threading.Event | None = None) -> None:
        """Wait until the clock has moved by as much, which it does when all other threads wait, too."""
        with self._woken:
            number = next(self._order)
            heapq.heappush(self._waiting, (self._seconds + seconds, number))
            self._one_less_works()
            self._woken.wait_for(lambda: number in self._due)
            self._due.remove(number)

    def begin_parts(self, count: int) -> None:
        """The calling thread waits for `count` others."""
        with self._woken:
            self._working += count - 1

    def end_part(self, is_last: bool) -> None:
        """One of them has ended. The last one leaves its place to the thread that waits."""
        with self._woken:
            if not is_last:
                self._one_less_works()

    def _one_less_works(self) -> None:
        self._working -= 1
        if self._working == 0 and self._waiting:
            self._seconds, number = heapq.heappop(self._waiting)
            self._working = 1
            self._due.add(number)
            self._woken.notify_all()
