"""Comma-separated parameters: a blank beside a comma would become part of a member."""

import functools
import re
from pathlib import Path
from typing import Any

import pytest
from samtranslator.yaml_helper import yaml_parse

PROJECT = Path(__file__).parents[2]
TEMPLATES = [PROJECT / "template.yaml", *sorted((PROJECT / "infra").glob("*.yaml"))]
ROLE = "arn:aws:iam::111122223333:role/on-call"
USER = "arn:aws:iam::111122223333:user/anna"
CONTROL = "arn:aws:route53-recovery-control::111122223333:controlpanel/0123/routingcontrol/"
KEY = "arn:aws:kms:us-west-2:111122223333:key/"
ENDPOINT = "=https://1a.route53-recovery-cluster.us-east-1.amazonaws.com/v1"

# Two or more members of each list.
MEMBERS = {
    "BackupJobStates": ["FAILED", "ABORTED"],
    "CopyJobStates": ["FAILED", "PARTIAL"],
    "CopyingAccounts": ["111122223333", "444455556666"],
    "ForwardingAccounts": ["111122223333", "444455556666"],
    "HealthServices": ["S3", "EC2"],
    "OwnerAlarms": ["Orders are late", "recovery-orders (eu)"],
    "RecoveryApprovers": ["anna", ROLE],
    "RecoveryPointDeleters": [ROLE, USER],
    "Responses": ["track", "notify"],
    "RestoredInstanceRoleArns": [ROLE, ROLE.replace("on-call", "web")],
    "RestoredVolumeKeyArns": [f"{KEY}1", f"{KEY}2"],
    "RoutingClusterEndpoints": [
        f"{region}{ENDPOINT}" for region in ("us-east-1", "us-west-2", "eu-west-1", "ap-northeast-1", "ap-southeast-2")
    ],
    "RoutingControlsOff": [f"{CONTROL}a", f"{CONTROL}b"],
    "RoutingControlsOn": [f"{CONTROL}a", f"{CONTROL}b"],
}


@functools.cache
def parameters(path: Path) -> dict[str, Any]:
    """The parameters of a template."""
    return yaml_parse(path.read_text()).get("Parameters") or {}


def lists() -> list[Any]:
    """Every parameter that is a list, by its type or its description."""
    found = []
    for path in TEMPLATES:
        for name, declared in parameters(path).items():
            texts = declared["Description"] + declared.get("ConstraintDescription", "")
            if declared["Type"] == "CommaDelimitedList" or "separated by commas" in texts:
                found.append(pytest.param(name, declared, id=f"{path.name}-{name}"))
    return found


def accepts(declared: dict[str, Any], value: str) -> bool:
    """Whether CloudFormation accepts the value. It trims only the members of a CommaDelimitedList."""
    of_its_type = declared["Type"] == "CommaDelimitedList"
    members = [member.strip() for member in value.split(",")] if of_its_type else [value]
    return all(re.fullmatch(declared["AllowedPattern"], member) for member in members)


@pytest.mark.parametrize(("name", "declared"), lists())
def test_list_accepts_its_members_without_blanks(name: str, declared: dict[str, Any]) -> None:
    first, *others = MEMBERS[name]
    whole = ",".join([first, *others])
    assert accepts(declared, whole)
    assert accepts(declared, str(declared.get("Default", whole)))
    for spoiled in (whole + ",", "," + whole, whole.replace(",", ",,", 1)):
        assert not accepts(declared, spoiled), spoiled
    if declared["Type"] == "CommaDelimitedList":
        return
    for blank in (" ", "\t", "\n"):
        spoiled_by_blank = (
            whole.replace(",", f",{blank}", 1),
            whole.replace(",", f"{blank},", 1),
            blank + whole,
            whole + blank,
        )
        for spoiled in spoiled_by_blank:
            assert not accepts(declared, spoiled), repr(spoiled)


def test_table_contains_every_list_parameter() -> None:
    assert {each.values[0] for each in lists()} == set(MEMBERS)


@pytest.mark.parametrize("name", ["", "recovery-canary-failed", "Orders are late", "x"])
def test_canary_alarm_name_has_no_surrounding_blanks(name: str) -> None:
    declared = parameters(PROJECT / "template.yaml")["CanaryAlarm"]
    assert accepts(declared, name)
    assert not accepts(declared, name + " ") and not accepts(declared, " " + name)
