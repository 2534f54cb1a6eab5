"""The clock of executions: their waits, and the times that they see. A test may put another in its place."""

import threading
from typing import Protocol

from ministack.core.responses import now_iso


class Clock(Protocol):
    """The time of an execution. The execution reports the threads that it works in."""

    def now(self) -> str:
        """The time, as Step Functions writes it."""
        ...

    def pause(self, seconds: float, stopped: threading.Event) -> None:
        """Wait, or until `stopped` is set."""
        ...

    def begin_parts(self, count: int) -> None:
        """The calling thread waits from now on, until `count` others have ended."""
        ...

    def end_part(self, is_last: bool) -> None:
        """One of them has ended; after the last one, the thread that waits for them continues."""
        ...


class ScaledClock:
    """The real time, of which waits take a part only."""

    def __init__(self, wait_scale: float) -> None:
        self._wait_scale = wait_scale

    def now(self) -> str:
        """The real time."""
        return now_iso()

    def pause(self, seconds: float, stopped: threading.Event) -> None:
        """Wait for a part of the time."""
        stopped.wait(seconds * self._wait_scale)

    def begin_parts(self, count: int) -> None:
        """Real time passes whatever the threads do."""

    def end_part(self, is_last: bool) -> None:
        """Real time passes whatever the threads do."""
