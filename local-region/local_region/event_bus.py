"""EventBridge's default bus: events in, matching rules found, targets served."""

import datetime
import json
import uuid
from collections.abc import Sequence
from typing import Any

from ministack.core.responses import get_account_id, get_region
from ministack.services import eventbridge

from local_region.api_error import ApiError
from local_region.event_targets import EventTargets
from local_region.journal import Journal

# What an envelope may leave out, filled in as EventBridge would.
ENVELOPE = ("version", "id", "detail-type", "source", "account", "time", "region", "resources", "detail")


class EventBus:
    """Publishes events as AWS services do. Customers use PutEvents, which refuses `aws.` sources, as in AWS."""

    def __init__(self, journal: Journal, targets: EventTargets) -> None:
        self._journal = journal
        self._targets = targets
        eventbridge._dispatch_event = self._dispatch

    def publish(self, source: str, detail_type: str, detail: dict[str, Any], resources: Sequence[str] = ()) -> str:
        """Publish an event of an AWS service in the current account and Region; answers its id."""
        return self.accept(
            [{"source": source, "detail-type": detail_type, "detail": detail, "resources": list(resources)}]
        )[0]

    def accept(self, envelopes: list[Any]) -> list[str]:
        """Publish events given as whole envelopes; answers their ids. All are checked before the first is published."""
        for envelope in envelopes:
            _check(envelope)
        events = [_event(envelope) for envelope in envelopes]
        for event in events:
            eventbridge._events_log_list().append(event)
            self._dispatch(event)
        return [event["EventId"] for event in events]

    def _dispatch(self, event: dict[str, Any], view: Any = None) -> None:
        """Journal one event on its bus and deliver it to the targets of every enabled rule it matches."""
        view = view or eventbridge._pattern_event_view(event)
        matched = [
            (key, rule)
            for key, rule in eventbridge._rules.items()
            if rule.get("EventBusName", "default") == event.get("EventBusName", "default")
            and rule.get("State") != "DISABLED"
            and rule.get("EventPattern")
            # A rule that forwards to its own bus would go round for ever.
            and key not in event.get("_DispatchPath", ())
            and eventbridge._matches_pattern_view(rule["EventPattern"], view, f"rule {key}")
        ]
        self._journal.record(
            "event",
            id=event["EventId"],
            source=event["Source"],
            detailType=event["DetailType"],
            resources=event.get("Resources") or [],
            detail=view.event_with_detail()["detail"],
            rules=[rule["Name"] for _, rule in matched],
        )
        for key, rule in matched:
            for target in eventbridge._targets.get(key, []):
                self._targets.deliver(target, event, rule, view)


def _check(envelope: Any) -> None:
    if not isinstance(envelope, dict):
        raise ApiError("BadRequest", "an event is a JSON object")
    for name in ("source", "detail-type"):
        if not isinstance(envelope.get(name), str):
            raise ApiError("BadRequest", f"an event needs {name!r}, a string")
    if not isinstance(envelope.get("detail"), dict):
        raise ApiError("BadRequest", "an event needs 'detail', an object")


def _event(envelope: dict[str, Any]) -> dict[str, Any]:
    """Ministack's record of an event."""
    now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "EventBusName": "default",
        "Version": envelope.get("version", "0"),
        "EventId": envelope.get("id") or str(uuid.uuid4()),
        "Source": envelope["source"],
        "DetailType": envelope["detail-type"],
        "Detail": json.dumps(envelope["detail"]),
        "Time": envelope.get("time") or now,
        "Resources": envelope.get("resources") or [],
        "Account": envelope.get("account") or get_account_id(),
        "Region": envelope.get("region") or get_region(),
        "_ExtraEnvelope": {name: value for name, value in envelope.items() if name not in ENVELOPE},
    }
