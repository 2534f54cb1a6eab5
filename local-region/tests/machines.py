"""Creating and running state machines in tests."""

import json
import uuid
from typing import Any

from running_region import RunningRegion

SDK = "arn:aws:states:::aws-sdk:"


def policy(*statements: dict[str, Any]) -> str:
    """A policy document."""
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def make_role(
    region: RunningRegion,
    *actions: str,
    service: str = "states.amazonaws.com",
    path: str = "/",
    name: str | None = None,
) -> str:
    """A role that Step Functions can assume, with these actions. Returns its ARN."""
    iam, name = region.client("iam"), name or f"role-{uuid.uuid4().hex}"
    trust = {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}
    made = iam.create_role(Path=path, RoleName=name, AssumeRolePolicyDocument=policy(trust))
    if actions:
        allowed = {"Effect": "Allow", "Action": list(actions), "Resource": "*"}
        iam.put_role_policy(RoleName=name, PolicyName="own", PolicyDocument=policy(allowed))
    return made["Role"]["Arn"]


def make(region: RunningRegion, role: str, states: dict[str, Any], **definition: Any) -> str:
    """A state machine that begins with the first of its states. Returns its ARN."""
    whole = {"StartAt": next(iter(states)), "States": states} | definition
    return region.client("stepfunctions").create_state_machine(
        name=f"machine-{uuid.uuid4().hex}", definition=json.dumps(whole), roleArn=role
    )["stateMachineArn"]


def ended(region: RunningRegion, execution_arn: str) -> dict[str, Any]:
    """A finished execution. Until then it counts as pending work."""
    region.wait_until_idle()
    return region.client("stepfunctions").describe_execution(executionArn=execution_arn)


def run(
    region: RunningRegion, role: str, states: dict[str, Any], given: Any = None, **definition: Any
) -> dict[str, Any]:
    """A finished execution of these states."""
    machine = make(region, role, states, **definition)
    started = region.client("stepfunctions").start_execution(stateMachineArn=machine, input=json.dumps(given or {}))
    return ended(region, started["executionArn"])


def output(execution: dict[str, Any]) -> Any:
    """The output of an execution that must have succeeded."""
    assert execution["status"] == "SUCCEEDED", (execution.get("error"), execution.get("cause"))
    return json.loads(execution["output"])


def task(resource: str, arguments: Any = None, **state: Any) -> dict[str, Any]:
    """A task, by default the last state."""
    return {"Type": "Task", "Resource": resource, "Parameters": arguments or {}} | (state or {"End": True})
