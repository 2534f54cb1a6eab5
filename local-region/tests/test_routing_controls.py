"""Routing controls: five endpoints with one state, and rejected changes."""

import json
from typing import Any

import boto3
import pytest
from botocore.config import Config
from machines import policy
from running_region import ACCOUNT, RunningRegion, check_answer, refusal

SERVICE = "route53-recovery-cluster"


@pytest.fixture
def panel(region: RunningRegion) -> dict[str, Any]:
    """A control panel with two controls, of which one must be On."""
    region.post("routing-endpoints", {"unavailable": []})
    asked = {"controlPanel": "shop", "controls": {"primary": "On", "recovery": "Off"}, "atLeastOn": 1}
    status, answer = region.post("routing", asked)
    assert status == 200
    return answer["panels"][0] | {"endpoints": answer["endpoints"]}


def client(region: RunningRegion, url: str | None = None, signed_for: str = "us-west-2", key: Any = None) -> Any:
    """A client of one endpoint that validates responses with the API model."""
    made = boto3.session.Session().client(
        SERVICE,
        region_name=signed_for,
        endpoint_url=url or region.endpoint,
        aws_access_key_id=key["AccessKeyId"] if key else region.ready["accessKeyId"],
        aws_secret_access_key=key["SecretAccessKey"] if key else region.ready["secretAccessKey"],
        config=Config(retries={"total_max_attempts": 1}),
    )
    made.meta.events.register("after-call", check_answer)
    return made


def shift(panel: dict[str, Any], **states: str) -> list[dict[str, str]]:
    """The entries that set these controls."""
    return [
        {"RoutingControlArn": panel["controls"][name]["arn"], "RoutingControlState": state}
        for name, state in states.items()
    ]


def test_all_endpoints_share_one_state(region: RunningRegion, panel: dict[str, Any]) -> None:
    clients = [client(region, endpoint["url"], endpoint["region"]) for endpoint in panel["endpoints"]]
    # For a client with the Region's address, the Region of its signature selects the endpoint.
    clients += [client(region, signed_for=endpoint["region"]) for endpoint in panel["endpoints"]]
    assert len({endpoint["url"] for endpoint in panel["endpoints"]}) == 5
    for number, one in enumerate(clients):
        states = ("On", "Off") if number % 2 else ("Off", "On")
        one.update_routing_control_states(
            UpdateRoutingControlStateEntries=shift(panel, primary=states[0], recovery=states[1])
        )
        for other in clients:
            answer = other.get_routing_control_state(RoutingControlArn=panel["controls"]["recovery"]["arn"])
            assert (answer["RoutingControlState"], answer["RoutingControlName"]) == (states[1], "recovery")
    listed = (
        clients[0]
        .get_paginator("list_routing_controls")
        .paginate(ControlPanelArn=panel["arn"], PaginationConfig={"PageSize": 1})
    )
    found = {
        each["RoutingControlName"]: each["RoutingControlState"] for page in listed for each in page["RoutingControls"]
    }
    assert found == {"primary": "On", "recovery": "Off"}
    assert region.journal("call", service=SERVICE, operation="UpdateRoutingControlStates")


def test_unavailable_endpoints_return_an_error(region: RunningRegion, panel: dict[str, Any]) -> None:
    status, answer = region.post("routing-endpoints", {"unavailable": [1, 4]})
    assert status == 200
    assert [endpoint["available"] for endpoint in answer["endpoints"]] == [False, True, True, False, True]
    arn = panel["controls"]["primary"]["arn"]
    for endpoint in answer["endpoints"]:
        for one in (client(region, endpoint["url"]), client(region, signed_for=endpoint["region"])):
            if endpoint["available"]:
                assert one.get_routing_control_state(RoutingControlArn=arn)["RoutingControlState"] == "On"
                continue
            for call in (
                lambda one=one: one.get_routing_control_state(RoutingControlArn=arn),
                lambda one=one: one.update_routing_control_states(
                    UpdateRoutingControlStateEntries=shift(panel, recovery="On")
                ),
                lambda one=one: one.list_routing_controls(),
            ):
                assert refusal(call)[0] == "EndpointTemporarilyUnavailableException"
    assert region.get("routing")["panels"][0]["controls"]["recovery"]["state"] == "Off"


def test_rejected_change_changes_nothing(region: RunningRegion, panel: dict[str, Any]) -> None:
    one = client(region, panel["endpoints"][2]["url"])
    unknown = {"RoutingControlArn": f"{panel['arn']}/routingcontrol/none", "RoutingControlState": "On"}
    for entries, code in (
        ([*shift(panel, recovery="On"), unknown], "ResourceNotFoundException"),
        (shift(panel, primary="Off"), "ConflictException"),
    ):
        with pytest.raises(one.exceptions.ClientError) as refused:
            one.update_routing_control_states(UpdateRoutingControlStateEntries=entries)
        answer = refused.value.response
        assert answer["Error"]["Code"] == code and answer["resourceId"] and answer["resourceType"]
    controls = region.get("routing")["panels"][0]["controls"]
    assert {name: control["state"] for name, control in controls.items()} == {"primary": "On", "recovery": "Off"}
    one.update_routing_control_state(
        RoutingControlArn=panel["controls"]["primary"]["arn"],
        RoutingControlState="Off",
        SafetyRulesToOverride=[panel["safetyRuleArn"]],
    )
    assert region.get("routing")["panels"][0]["controls"]["primary"]["state"] == "Off"
    region.post("faults", {"kind": "throttled", "service": SERVICE, "caller": "operator"})
    arn = panel["controls"]["primary"]["arn"]
    assert refusal(lambda: one.get_routing_control_state(RoutingControlArn=arn))[0] == "ThrottlingException"
    assert refusal(lambda: one.list_routing_controls(ControlPanelArn=arn))[0] == "ResourceNotFoundException"


def test_each_control_needs_a_permission(region: RunningRegion, panel: dict[str, Any]) -> None:
    iam, user = region.client("iam"), "shifter"
    iam.create_user(UserName=user)
    allowed = {"Effect": "Allow", "Action": f"{SERVICE}:*", "Resource": panel["controls"]["primary"]["arn"]}
    iam.put_user_policy(UserName=user, PolicyName="own", PolicyDocument=policy(allowed))
    key = iam.create_access_key(UserName=user)["AccessKey"]
    for endpoint in panel["endpoints"][:2]:
        one = client(region, endpoint["url"], endpoint["region"], key)
        one.get_routing_control_state(RoutingControlArn=panel["controls"]["primary"]["arn"])
        one.update_routing_control_states(UpdateRoutingControlStateEntries=shift(panel, primary="On"))
        for refused in (
            lambda one=one: one.get_routing_control_state(RoutingControlArn=panel["controls"]["recovery"]["arn"]),
            lambda one=one: one.update_routing_control_states(
                UpdateRoutingControlStateEntries=shift(panel, primary="On", recovery="On")
            ),
        ):
            assert refusal(refused)[0] == "AccessDeniedException"


def test_rejects_invalid_requests_of_the_test_api(region: RunningRegion) -> None:
    for wrong in ({}, [], {"controlPanel": "x", "controls": {"a": "Maybe"}}, {"controlPanel": "x", "colour": 1}):
        assert region.post("routing", wrong)[0] == 400
    for wrong in ({}, {"unavailable": [6]}, {"unavailable": 1}):
        assert region.post("routing-endpoints", wrong)[0] == 400
    assert ACCOUNT in json.dumps(region.get("routing"))
