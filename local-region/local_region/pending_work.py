"""What the Region is still doing, so that testers can wait for it to be done instead of sleeping."""

import asyncio
import contextlib
import contextvars
import logging
import threading
from collections import Counter
from collections.abc import Coroutine, Iterator

logger = logging.getLogger("local_region")


class PendingWork:
    """Counts work by kind, runs it on the Region's event loop, and reports when none is left."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._waiters: list[asyncio.Future[None]] = []
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, kind: str, work: Coroutine[None, None, None]) -> None:
        """Run `work` on the loop, counted from now until it ends, in the account and Region of the caller.

        May be called from any thread.
        """
        self.enter(kind)
        # The context carries the account and Region that ministack's stores are keyed by.
        self._loop.call_soon_threadsafe(self._spawn, kind, work, context=contextvars.copy_context())

    @contextlib.contextmanager
    def counted(self, kind: str) -> Iterator[None]:
        """Count the body of a `with` statement as work in progress."""
        self.enter(kind)
        try:
            yield
        finally:
            self.leave(kind)

    def counts(self) -> dict[str, int]:
        """How much is in progress, by kind."""
        with self._lock:
            return {kind: count for kind, count in self._counts.items() if count}

    async def idle(self, timeout: float) -> bool:
        """Whether nothing was in progress at some moment within `timeout` seconds."""
        deadline = self._loop.time() + timeout
        while True:
            with self._lock:
                if not any(self._counts.values()):
                    return True
                waiter = self._loop.create_future()
                self._waiters.append(waiter)
            try:
                await asyncio.wait_for(waiter, max(0.0, deadline - self._loop.time()))
            except asyncio.TimeoutError:
                return False

    def _spawn(self, kind: str, work: Coroutine[None, None, None]) -> None:
        task = self._loop.create_task(work)
        # The loop keeps only weak references to tasks.
        self._tasks.add(task)
        task.add_done_callback(lambda done: self._finished(kind, done))

    def _finished(self, kind: str, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        self.leave(kind)
        if not task.cancelled() and task.exception():
            logger.error("%s ended with an error", kind, exc_info=task.exception())

    def enter(self, kind: str) -> None:
        """Count work that has begun, until `leave`."""
        with self._lock:
            self._counts[kind] += 1

    def leave(self, kind: str) -> None:
        """Count work no more that `enter` counted."""
        with self._lock:
            self._counts[kind] -= 1
            if any(self._counts.values()):
                return
            waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            self._loop.call_soon_threadsafe(_wake, waiter)


def _wake(waiter: "asyncio.Future[None]") -> None:
    if not waiter.done():
        waiter.set_result(None)
