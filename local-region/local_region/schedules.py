"""EventBridge's scheduled rules, by a clock whose minute can be made short."""

import asyncio
import datetime
import math
import re
import time
import uuid
from dataclasses import dataclass
from typing import Any

from ministack.core.responses import get_account_id, get_region
from ministack.services import eventbridge
from ministack.services.cloudformation import provisioners

from local_region.api_error import ApiError
from local_region.event_targets import EventTargets
from local_region.journal import Journal
from local_region.settings import Settings

RATE = re.compile(r"rate\((\d+) (minute|hour|day)(s?)\)")
SECONDS = {"minute": 60, "hour": 3600, "day": 86400}
# How often in a minute of the clock the rules are looked at, and the longest pause between two looks.
LOOKS_A_MINUTE = 20
LONGEST_PAUSE_SECONDS = 1.0


@dataclass
class Countdown:
    """When a rule fires next, on the schedules' clock."""

    expression: str
    due: float


class Schedules:
    """Invokes the targets of scheduled rules when their time has come, or when a tester says so."""

    def __init__(
        self, settings: Settings, journal: Journal, targets: EventTargets, loop: asyncio.AbstractEventLoop
    ) -> None:
        self._settings = settings
        self._journal = journal
        self._targets = targets
        self._countdowns: dict[str, Countdown] = {}
        self._started = (time.time(), time.monotonic())
        # Ministack's own clock has real minutes, and looks at its rules every ten seconds.
        eventbridge.start_scheduler = lambda: None
        eventbridge._validate_schedule_expression = is_valid
        eventbridge._enable_rule = _of_existing_rule(eventbridge._enable_rule)
        eventbridge._disable_rule = _of_existing_rule(eventbridge._disable_rule)
        rules = provisioners._RESOURCE_HANDLERS["AWS::Events::Rule"]
        rules["create"] = _of_valid_rule(rules["create"])
        self._task = loop.create_task(self._run())

    def fire(self, named: str) -> dict[str, Any]:
        """Fire the one scheduled rule that `named` names now; answers the event's id, the rule and its targets.

        `named` is the rule's name, the beginning of it, or its logical id in the stack it is of.
        """
        key, rule = _rule(named)
        if rule["State"] == "DISABLED":
            raise ApiError("Conflict", f"the rule {rule['Name']} is disabled: enable it first (EnableRule)", 409)
        return self._fire(key, rule)

    async def _run(self) -> None:
        pause = min(LONGEST_PAUSE_SECONDS, self._settings.minute_seconds / LOOKS_A_MINUTE)
        while True:
            await asyncio.sleep(pause)
            self._look(self._now())

    def _now(self) -> float:
        """The schedules' clock: at the start the real time, then as fast as a minute is short."""
        wall, monotonic = self._started
        return wall + (time.monotonic() - monotonic) * 60 / self._settings.minute_seconds

    def _look(self, now: float) -> None:
        for key, rule in list(eventbridge._rules.items()):
            expression = rule.get("ScheduleExpression")
            if not expression or rule["State"] == "DISABLED":
                self._countdowns.pop(key, None)
                continue
            countdown = self._countdowns.get(key)
            if countdown is None or countdown.expression != expression:
                # The countdown begins when the rule is made or enabled.
                self._countdowns[key] = Countdown(expression, next_moment(expression, now, now))
            elif now >= countdown.due:
                countdown.due = next_moment(expression, countdown.due, now)
                self._fire(key, rule)
        for key in set(self._countdowns) - set(eventbridge._rules.keys()):
            del self._countdowns[key]

    def _fire(self, key: str, rule: dict[str, Any]) -> dict[str, Any]:
        event = {
            "EventBusName": "default",
            "Version": "0",
            "EventId": str(uuid.uuid4()),
            "Source": "aws.events",
            "DetailType": "Scheduled Event",
            "Detail": "{}",
            "Time": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "Resources": [rule["Arn"]],
            "Account": get_account_id(),
            "Region": get_region(),
        }
        self._journal.record(
            "event",
            id=event["EventId"],
            source=event["Source"],
            detailType=event["DetailType"],
            resources=event["Resources"],
            detail={},
            rules=[rule["Name"]],
        )
        targets = eventbridge._targets.get(key, [])
        for target in targets:
            self._targets.deliver(target, event, rule)
        return {
            "eventId": event["EventId"],
            "rule": rule["Name"],
            "targets": [{"id": target["Id"], "arn": target["Arn"]} for target in targets],
        }


def is_valid(expression: str) -> bool:
    """Whether EventBridge takes a rule's schedule expression; no expression is valid too."""
    rate = RATE.fullmatch(expression)
    if rate:
        number, _, plural = rate.groups()
        return int(number) > 0 and (int(number) > 1) == bool(plural)
    return not expression or eventbridge._parse_cron_fields(expression) is not None


def next_moment(expression: str, last: float, now: float) -> float:
    """When a valid schedule fires next after `now`, having fired, or been made, at `last`: seconds since 1970."""
    rate = RATE.fullmatch(expression)
    if rate:
        interval = int(rate[1]) * SECONDS[rate[2]]
        # What was missed while the server was busy is not made up for.
        return last + interval * (math.floor((now - last) / interval) + 1)
    after = datetime.datetime.fromtimestamp(now, datetime.timezone.utc)
    found = eventbridge._cron_next_fire(eventbridge._parse_cron_fields(expression), after)
    return found.timestamp() if found else math.inf


def _rule(named: str) -> tuple[str, dict[str, Any]]:
    scheduled = {key: rule for key, rule in eventbridge._rules.items() if rule.get("ScheduleExpression")}
    # CloudFormation names a rule <stack>-<logical id>-<random>.
    for is_meant in (
        lambda name: name == named,
        lambda name: name.startswith(named) or f"-{named}-" in name,
    ):
        found = [(key, rule) for key, rule in scheduled.items() if is_meant(rule["Name"])]
        if len(found) == 1:
            return found[0]
        if found:
            names = ", ".join(rule["Name"] for _, rule in found)
            raise ApiError("BadRequest", f"{named!r} names {len(found)} scheduled rules, say which one: {names}")
    names = ", ".join(rule["Name"] for rule in scheduled.values()) or "none"
    raise ApiError("NotFound", f"no scheduled rule is named {named!r}; there are: {names}", 404)


def _of_existing_rule(action: Any) -> Any:
    def act(data: dict[str, Any]) -> Any:
        bus = data.get("EventBusName", "default")
        if eventbridge._rule_key(data.get("Name"), bus) not in eventbridge._rules:
            return eventbridge.error_response_json(
                "ResourceNotFoundException", f"Rule {data.get('Name')} does not exist on EventBus {bus}.", 400
            )
        return action(data)

    return act


def _of_valid_rule(create: Any) -> Any:
    """CloudFormation's creation of a rule, refusing what PutRule refuses."""

    def created(logical_id: str, props: dict[str, Any], stack_name: str) -> Any:
        if not is_valid(props.get("ScheduleExpression") or ""):
            raise ValueError("Parameter ScheduleExpression is not valid.")
        return create(logical_id, props, stack_name)

    return created
