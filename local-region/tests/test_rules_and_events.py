"""The project's deployed rules against every event of the project, with the local Region's pattern engine."""

import json
from pathlib import Path

import pytest
from conftest import write_binary
from running_region import RunningRegion

PROJECT = Path(__file__).parents[2]
EVENTS = PROJECT / "events"
EXPECTATIONS: dict[str, list[str]] = json.loads((EVENTS / "expectations.json").read_text())


@pytest.fixture(scope="module")
def patterns(region: RunningRegion, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The patterns of the deployed rules, by their logical ids."""
    binaries = tmp_path_factory.mktemp("functions")
    for function in (PROJECT / "functions").iterdir():
        write_binary(binaries / function.name)
    stack = region.deploy(
        PROJECT / "template.yaml",
        "rapid-recovery",
        "--binaries",
        str(binaries),
        "--parameter",
        "PrimaryRegion=us-east-1",
        "--parameter",
        "Architecture=x86_64",
    )
    events = region.client("events")
    rules = {
        logical_id: events.describe_rule(Name=name)
        for logical_id, name in stack["resources"].items()
        if logical_id.endswith("Rule")
    }
    # One with a schedule has no pattern.
    return {logical_id: rule["EventPattern"] for logical_id, rule in rules.items() if rule.get("EventPattern")}


def test_every_rule_matches_exactly_its_events(region: RunningRegion, patterns: dict[str, str]) -> None:
    expected = {rule for rules in EXPECTATIONS.values() for rule in rules}
    assert expected == set(patterns), "a rule without an event, or an event for a missing rule"
    events = region.client("events")
    wrong = []
    for file, rules in EXPECTATIONS.items():
        text = (EVENTS / file).read_text()
        if "detail-type" not in json.loads(text):
            assert rules == [], file
            continue
        for rule, pattern in patterns.items():
            matched = events.test_event_pattern(EventPattern=pattern, Event=text)["Result"]
            if matched != (rule in rules):
                wrong.append(f"{file}, {rule}: matched={matched}")
    assert not wrong, "\n".join(wrong)


def test_pattern_with_a_wrong_member_does_not_match(region: RunningRegion, patterns: dict[str, str]) -> None:
    spoiled = json.loads(patterns["RestoreCompletedRule"])
    spoiled["detail"] = {"state": spoiled["detail"]["status"]}
    text = (EVENTS / "restore-completed-ebs.json").read_text()
    events = region.client("events")
    assert not events.test_event_pattern(EventPattern=json.dumps(spoiled), Event=text)["Result"]
