"""Stacks that take time: resources in progress, and every step in the journal."""

import re
import threading
from collections.abc import Callable
from typing import Any

from ministack.core.responses import now_iso
from ministack.services.cloudformation import _stacks, handlers, provisioners, stacks

from local_region.journal import Journal
from local_region.pending_work import PendingWork
from local_region.settings import Settings

# The operations that show resources. One that is being created has no physical id yet.
SHOWS_RESOURCES = ("DescribeStackResource", "DescribeStackResources", "ListStackResources")


class StackProgress:
    """Lets resources of some types take time to create."""

    def __init__(self, settings: Settings, journal: Journal, pending: PendingWork) -> None:
        self._seconds = settings.stack_seconds_by_type
        self._journal = journal
        self._pending = pending
        self._is_closing = threading.Event()
        self._add_event = stacks._add_event
        stacks._add_event = self._record
        runs_on_thread = stacks._runs_on_worker_thread
        # What takes time must not hold up the event loop.
        stacks._runs_on_worker_thread = lambda kind: kind in self._seconds or runs_on_thread(kind)
        for kind, seconds in self._seconds.items():
            if kind not in provisioners._RESOURCE_HANDLERS:
                raise SystemExit(f"local_region: --stack-seconds-of: there is no resource type {kind}")
            handler = provisioners._RESOURCE_HANDLERS[kind]
            provisioners._RESOURCE_HANDLERS[kind] = handler | {"create": self._slow(handler["create"], kind, seconds)}
        for name in SHOWS_RESOURCES:
            handlers._ACTION_HANDLERS[name] = _without_empty_ids(handlers._ACTION_HANDLERS[name])

    def close(self) -> None:
        """Let nothing wait any longer."""
        self._is_closing.set()

    def _record(
        self, stack_id: str, stack_name: str, logical_id: str, kind: str, status: str, *more: Any, **named: Any
    ):
        self._add_event(stack_id, stack_name, logical_id, kind, status, *more, **named)
        self._journal.record("stack", stack=stack_id, logicalId=logical_id, type=kind, status=status)

    def _slow(self, create: Callable[..., Any], kind: str, seconds: float) -> Callable[..., Any]:
        def created(logical_id: str, props: dict[str, Any], stack_name: str) -> Any:
            resources = _stacks[stack_name]["_resources"]
            resources[logical_id] = {
                "PhysicalResourceId": "",
                "ResourceType": kind,
                "ResourceStatus": "CREATE_IN_PROGRESS",
                "LogicalResourceId": logical_id,
                "Properties": props,
                "Attributes": {},
                "Timestamp": now_iso(),
            }
            try:
                with self._pending.counted("stack-resource"):
                    if self._is_closing.wait(seconds):
                        raise ValueError("The Region ends")
                return create(logical_id, props, stack_name)
            except Exception:
                del resources[logical_id]
                raise

        return created


def _without_empty_ids(show: Callable[[dict[str, Any]], Any]) -> Callable[[dict[str, Any]], Any]:
    def shown(params: dict[str, Any]) -> Any:
        status, headers, body = show(params)
        return status, headers, re.sub(rb"<PhysicalResourceId></PhysicalResourceId>", b"", body)

    return shown
