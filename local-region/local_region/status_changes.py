"""Statuses that change by themselves: of databases, tables and file systems."""

import asyncio
from collections.abc import Callable
from typing import Any

from local_region.journal import Journal
from local_region.pending_work import PendingWork

# The statuses that RDS calls failures: such a database does not become available any more.
DEAD = (
    "failed",
    "inaccessible-encryption-credentials",
    "incompatible-create",
    "incompatible-network",
    "incompatible-option-group",
    "incompatible-parameters",
    "incompatible-restore",
    "insufficient-capacity",
    "restore-error",
    "storage-full",
)
# The members that hold the ARN of a record.
ARNS = (
    "DBInstanceArn",
    "DBClusterArn",
    "TableArn",
    "MountTargetArn",
    "AccessPointArn",
    "FileSystemArn",
    "ResourceARN",
)


class StatusChanges:
    """Carries out changes of status over time, journals them, and lets some end badly as a tester asks."""

    def __init__(self, journal: Journal, pending: PendingWork) -> None:
        self._journal = journal
        self._pending = pending
        self._ends: dict[str, str] = {}

    def let_end_in(self, name: str, status: str | None) -> dict[str, str]:
        """Let what has a name get no further than a status; answers all such rules."""
        self._ends.pop(name, None)
        if status:
            self._ends[name] = status
        return dict(self._ends)

    def end_of(self, name: str) -> str | None:
        """The status that what has this name gets no further than, if a tester said so."""
        return self._ends.get(name)

    def set(self, record: dict[str, Any], status: str) -> None:
        """Set a record's status, in the journal too."""
        member = _member(record)
        if record.get(member) != status:
            record[member] = status
            self._journal.record("status", resource=_arn(record), status=status)

    def run(
        self,
        record: dict[str, Any],
        name: str | None,
        steps: list[tuple[str, float]],
        then: Callable[[], None],
        last: str,
    ) -> None:
        """Pass through steps of status and seconds, call `then`, and set the final status `last`.

        The first status is set at once. What a tester said of `name` applies, unless that is None.
        """
        self.set(record, steps[0][0])
        self._pending.start("status", self._pass(record, name, steps, then, last))

    async def _pass(
        self,
        record: dict[str, Any],
        name: str | None,
        steps: list[tuple[str, float]],
        then: Callable[[], None],
        last: str,
    ) -> None:
        for status, seconds in steps:
            self.set(record, status)
            await asyncio.sleep(seconds)
        if record[_member(record)] != steps[-1][0]:
            # Something else has begun in the meantime, such as a deletion.
            return
        end = self.end_of(name) if name else None
        if end:
            self.set(record, end)
            return
        then()
        self.set(record, last)


def _member(record: dict[str, Any]) -> str:
    for member in ("DBInstanceStatus", "TableStatus", "LifeCycleState", "Lifecycle"):
        if member in record:
            return member
    return "Status"


def _arn(record: dict[str, Any]) -> str:
    return next(record[member] for member in ARNS if record.get(member))
