"""What happened in the Region, in order, for testers to read."""

import threading
import time
from collections import deque
from typing import Any

# One whole rehearsal writes some hundreds of entries.
CAPACITY = 50_000


class Journal:
    """An append-only list of entries, bounded by dropping the oldest. Safe to write from any thread."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._entries: deque[dict[str, Any]] = deque(maxlen=capacity)
        self._lock = threading.Condition()
        self._last = 0

    def record(self, kind: str, **fields: Any) -> int:
        """Add an entry; its number, which is answered, and its time are set here."""
        with self._lock:
            self._last += 1
            self._entries.append({"seq": self._last, "time": time.time(), "kind": kind, **fields})
            self._lock.notify_all()
            return self._last

    def wait(self, seq: int, timeout: float) -> None:
        """Return as soon as there is an entry after number `seq`, or after `timeout` seconds."""
        with self._lock:
            self._lock.wait_for(lambda: self._last > seq, timeout)

    def since(self, seq: int) -> dict[str, Any]:
        """The entries after number `seq`, the number to ask with next time, and how many were lost in between."""
        with self._lock:
            entries = [entry for entry in self._entries if entry["seq"] > seq]
            first_kept = self._entries[0]["seq"] if self._entries else self._last + 1
            return {"next": self._last, "dropped": max(0, first_kept - 1 - seq), "entries": entries}
