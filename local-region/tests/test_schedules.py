"""Rules that run on a schedule, and their clock."""

import itertools
import json
import re
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from running_region import ACCOUNT, REGION, RunningRegion, make_queue, messages, received, refusal

TEMPLATE = Path(__file__).parent / "templates" / "functions.yaml"


@pytest.fixture(scope="module")
def quick() -> Iterator[RunningRegion]:
    """A Region whose minutes are short."""
    running = RunningRegion("--minute-seconds", "0.1")
    yield running
    assert running.stop() == 0


def schedule(region: RunningRegion, name: str, expression: str, **target: Any) -> str:
    """Make a scheduled rule that sends to a new queue. Returns the queue's URL."""
    url, arn = make_queue(region, name)
    region.client("events").put_rule(Name=name, ScheduleExpression=expression)
    region.client("events").put_targets(Rule=name, Targets=[{"Id": "queue", "Arn": arn} | target])
    return url


def fired(region: RunningRegion, rule: str, count: int) -> list[dict[str, Any]]:
    """Wait for `count` events of a scheduled rule."""
    return region.wait_for(count, "event", lambda entry: entry["rules"] == [rule])


@pytest.mark.parametrize("expression", ["rate(1 minute)", "cron(* * * * ? *)"])
def test_schedule_sends_scheduled_events(quick: RunningRegion, expression: str) -> None:
    name = "rate" if expression.startswith("rate") else "cron"
    url = schedule(quick, name, expression)
    assert len({entry["id"] for entry in fired(quick, name, 3)}) >= 3
    event = received(quick, url)[0]
    assert set(event) == {
        "version",
        "id",
        "detail-type",
        "source",
        "account",
        "time",
        "region",
        "resources",
        "detail",
    }
    assert event["source"] == "aws.events" and event["detail-type"] == "Scheduled Event" and event["detail"] == {}
    assert event["resources"] == [f"arn:aws:events:{REGION}:{ACCOUNT}:rule/{name}"]
    assert event["account"] == ACCOUNT and event["region"] == REGION and event["version"] == "0"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", event["time"])


def test_target_with_an_input_receives_the_input(quick: RunningRegion) -> None:
    url = schedule(quick, "input", "rate(1 minute)", Input='{"restoreJobId": "all"}')
    fired(quick, "input", 1)
    assert received(quick, url)[0] == {"restoreJobId": "all"}


def test_longer_rate_fires_less_often(quick: RunningRegion) -> None:
    schedule(quick, "hourly", "rate(1 hour)")
    schedule(quick, "quick", "rate(1 minute)")
    schedule(quick, "slow", "rate(10 minutes)")
    ticks = [entry["seq"] for entry in fired(quick, "slow", 4)]
    between = [
        sum(start < entry["seq"] < end for entry in quick.journal("event", rules=["quick"]))
        for start, end in itertools.pairwise(ticks)
    ]
    # Ten, or fewer on a busy machine: missed events are not caught up.
    assert 1 < max(between) <= 11
    assert quick.journal("event", rules=["hourly"]) == []


def test_disabled_schedule_does_not_fire(quick: RunningRegion) -> None:
    events = quick.client("events")
    for name in ("witness", "switched"):
        schedule(quick, name, "rate(1 minute)")
    fired(quick, "switched", 1)
    events.disable_rule(Name="switched")
    before = len(quick.journal("event", rules=["switched"]))
    fired(quick, "witness", len(quick.journal("event", rules=["witness"])) + 4)
    assert len(quick.journal("event", rules=["switched"])) == before
    assert quick.post("schedules", {"rule": "switched"})[0] == 409
    events.enable_rule(Name="switched")
    fired(quick, "switched", before + 1)
    events.delete_rule(Name="switched")


def test_disabled_rule_matches_nothing(region: RunningRegion) -> None:
    events, (url, arn) = region.client("events"), make_queue(region, "disabled-pattern")
    pattern = json.dumps({"source": ["aws.disabled"]})
    events.put_rule(Name="disabled-pattern", EventPattern=pattern, State="DISABLED")
    events.put_targets(Rule="disabled-pattern", Targets=[{"Id": "queue", "Arn": arn}])

    def matched() -> list[str]:
        event_id = region.send(source="aws.disabled", detail_type="x", detail={})
        return region.journal("event", id=event_id)[0]["rules"]

    assert matched() == [] and messages(region, url) == []
    events.enable_rule(Name="disabled-pattern")
    assert matched() == ["disabled-pattern"] and len(messages(region, url)) == 1
    events.disable_rule(Name="disabled-pattern")
    assert matched() == [] and messages(region, url) == []
    events.put_rule(
        Name="disabled-pattern", EventPattern=pattern, State="ENABLED_WITH_ALL_CLOUDTRAIL_MANAGEMENT_EVENTS"
    )
    assert matched() == ["disabled-pattern"]
    assert refusal(lambda: events.disable_rule(Name="not-there"))[0] == "ResourceNotFoundException"
    assert refusal(lambda: events.enable_rule(Name="not-there"))[0] == "ResourceNotFoundException"


def test_fires_the_schedule_of_a_stack_on_demand(region: RunningRegion, binaries: Path, tmp_path: Path) -> None:
    template = tmp_path / "template.yaml"
    template.write_text(
        TEMPLATE.read_text().replace(
            "EventPattern: {source: [aws.test], detail-type: [Allowed]}", "ScheduleExpression: rate(5 minutes)"
        )
    )
    stack = region.deploy(template, "scheduled", "--binaries", str(binaries), "--parameter", "Greeting=hello")
    # Waiting for the schedule does not count as work.
    assert region.get("idle?timeout=0")["idle"]
    rule = stack["resources"]["AllowedRule"]
    for named in ("AllowedRule", rule, rule[:-3]):
        status, answer = region.post("schedules", {"rule": named})
        assert status == 200 and answer["rule"] == rule
        assert [target["id"] for target in answer["targets"]] == ["function", "queue"]
        region.wait_until_idle()
        (invocation,) = region.journal("invocation", eventId=answer["eventId"])
        assert invocation["logicalId"] == "TinyFunction"
        assert invocation["result"]["event"]["detail-type"] == "Scheduled Event"
        assert invocation["result"]["event"]["id"] == answer["eventId"]


def test_rejects_a_name_that_is_not_one_scheduled_rule(region: RunningRegion) -> None:
    for name in ("twin-a", "twin-b"):
        region.client("events").put_rule(Name=name, ScheduleExpression="rate(1 day)")
    region.client("events").put_rule(Name="patterned", EventPattern='{"source": ["x"]}')
    status, answer = region.post("schedules", {"rule": "twin"})
    assert status == 400 and "twin-a, twin-b" in answer["message"]
    for named in ("patterned", "nothing"):
        status, answer = region.post("schedules", {"rule": named})
        assert status == 404 and "twin-a" in answer["message"]
    assert region.post("schedules", {})[0] == 400
    assert region.post("schedules", {"rule": "twin-a"})[1]["targets"] == []


@pytest.mark.parametrize(
    "expression",
    ["rate(1 minutes)", "rate(5 minute)", "rate(0 minutes)", "rate(1 week)", "cron(0 20 * * * *)", "often"],
)
def test_rejects_invalid_schedule_expressions(region: RunningRegion, tmp_path: Path, expression: str) -> None:
    assert refusal(lambda: region.client("events").put_rule(Name="odd", ScheduleExpression=expression)) == (
        "ValidationException",
        "Parameter ScheduleExpression is not valid.",
    )
    template = tmp_path / "template.yaml"
    template.write_text(f"""
Resources:
  Odd: {{Type: AWS::Events::Rule, Properties: {{ScheduleExpression: "{expression}"}}}}
""")
    done = region.run_deploy(template, f"odd-{uuid.uuid4().hex}")
    assert done.returncode == 1 and "ScheduleExpression is not valid" in done.stderr
