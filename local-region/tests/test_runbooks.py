"""SSM documents and Automation executions."""

import json
import uuid
from typing import Any

import pytest
from running_region import RunningRegion, received, refusal, subscribe

RUNBOOK: dict[str, Any] = {
    "schemaVersion": "0.3",
    "parameters": {"Workload": {"type": "String"}, "Mode": {"type": "String", "default": "recover"}},
    "mainSteps": [
        {"name": "look", "action": "aws:executeAwsApi", "inputs": {"Service": "ec2", "Api": "DescribeInstances"}},
        {"name": "approve", "action": "aws:approve", "inputs": {"Approvers": ["someone"]}},
        {"name": "start", "action": "aws:executeStateMachine", "inputs": {"stateMachineArn": "arn"}},
    ],
}


@pytest.fixture(scope="module")
def runbook(region: RunningRegion) -> str:
    """A runbook that waits for approval; its name."""
    region.client("ssm").create_document(Name="StartRecovery", DocumentType="Automation", Content=json.dumps(RUNBOOK))
    return "StartRecovery"


def start(region: RunningRegion, name: str, **params: Any) -> str:
    """Start an execution; answers its id."""
    request = {"DocumentName": name, "Parameters": {"Workload": ["shop"]}} | params
    return region.client("ssm").start_automation_execution(**request)["AutomationExecutionId"]


def execution(region: RunningRegion, execution_id: str) -> dict[str, Any]:
    """The execution, once nothing moves any more."""
    region.wait_until_idle()
    return region.client("ssm").get_automation_execution(AutomationExecutionId=execution_id)["AutomationExecution"]


def test_an_execution_waits_for_approval_and_goes_on(region: RunningRegion, runbook: str) -> None:
    url = subscribe(region, "automations", {"source": ["aws.ssm"], "detail": {"Definition": [runbook]}})
    execution_id = start(region, runbook)
    waiting = execution(region, execution_id)
    assert waiting["AutomationExecutionStatus"] == "Waiting" and waiting["CurrentStepName"] == "approve"
    assert waiting["Parameters"] == {"Workload": ["shop"], "Mode": ["recover"]}
    region.client("ssm").send_automation_signal(AutomationExecutionId=execution_id, SignalType="Approve")
    done = execution(region, execution_id)
    assert done["AutomationExecutionStatus"] == "Success"
    assert [(step["StepName"], step["StepStatus"]) for step in done["StepExecutions"]] == [
        ("look", "Success"),
        ("approve", "Success"),
        ("start", "Success"),
    ]
    events = received(region, url)
    assert [event["detail"]["Status"] for event in events] == ["InProgress", "Waiting", "InProgress", "Success"]
    assert {event["detail-type"] for event in events} == {"EC2 Automation Execution Status-change Notification"}


def test_a_rejected_execution_ends(region: RunningRegion, runbook: str) -> None:
    execution_id = start(region, runbook)
    region.wait_until_idle()
    ssm = region.client("ssm")
    ssm.send_automation_signal(AutomationExecutionId=execution_id, SignalType="Reject")
    assert execution(region, execution_id)["AutomationExecutionStatus"] == "Rejected"
    assert refusal(lambda: ssm.send_automation_signal(AutomationExecutionId=execution_id, SignalType="Approve"))[0] == (
        "InvalidAutomationSignalException"
    )


def test_a_client_token_starts_one_execution(region: RunningRegion, runbook: str) -> None:
    token = str(uuid.uuid4())
    assert start(region, runbook, ClientToken=token) == start(region, runbook, ClientToken=token.upper())
    code, _ = refusal(lambda: start(region, runbook, ClientToken=token, Parameters={"Workload": ["other"]}))
    assert code == "IdempotentParameterMismatch"
    assert refusal(lambda: start(region, runbook, ClientToken="x" * 36))[0] == "ValidationException"


def test_aws_owns_runbooks_too(region: RunningRegion) -> None:
    execution_id = start(region, "AWS-StartEC2Instance", Parameters={"InstanceId": ["i-1"]})
    assert execution(region, execution_id)["AutomationExecutionStatus"] == "Success"


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"DocumentName": "Nowhere"}, "AutomationDefinitionNotFoundException"),
        ({"Parameters": {"Workload": ["shop"], "Colour": ["blue"]}}, "InvalidAutomationExecutionParametersException"),
        ({"Parameters": {"Mode": ["drill"]}}, "InvalidAutomationExecutionParametersException"),
    ],
)
def test_start_automation_execution_refuses(
    region: RunningRegion, runbook: str, params: dict[str, Any], code: str
) -> None:
    request = {"DocumentName": runbook, "Parameters": {"Workload": ["shop"]}} | params
    assert refusal(lambda: region.client("ssm").start_automation_execution(**request))[0] == code


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("StartRecovery", json.dumps(RUNBOOK), "DocumentAlreadyExists"),
        ("AWS-Own", json.dumps(RUNBOOK), "InvalidDocument"),
        ("Text", "not json", "InvalidDocumentContent"),
        ("Stepless", json.dumps({"schemaVersion": "0.3"}), "InvalidDocumentContent"),
        ("Old", json.dumps(RUNBOOK | {"schemaVersion": "2.2"}), "InvalidDocumentSchemaVersion"),
    ],
)
def test_create_document_refuses(region: RunningRegion, runbook: str, name: str, content: str, code: str) -> None:
    ssm = region.client("ssm")
    assert refusal(lambda: ssm.create_document(Name=name, Content=content, DocumentType="Automation"))[0] == code


def test_a_document_is_read_back_and_deleted(region: RunningRegion) -> None:
    ssm = region.client("ssm")
    text = "schemaVersion: '0.3'\nmainSteps: [{name: nap, action: 'aws:sleep'}]\n"
    ssm.create_document(Name="Nap", Content=text, DocumentType="Automation", DocumentFormat="YAML")
    assert ssm.get_document(Name="Nap")["Content"] == text
    assert ssm.describe_document(Name="Nap")["Document"]["Status"] == "Active"
    ssm.delete_document(Name="Nap")
    assert refusal(lambda: ssm.get_document(Name="Nap"))[0] == "InvalidDocument"


def test_executions_are_listed(region: RunningRegion, runbook: str) -> None:
    execution_id = start(region, runbook)
    region.wait_until_idle()
    listed = region.client("ssm").describe_automation_executions(
        Filters=[{"Key": "ExecutionId", "Values": [execution_id]}]
    )
    assert [each["AutomationExecutionStatus"] for each in listed["AutomationExecutionMetadataList"]] == ["Waiting"]


def test_an_execution_can_be_stopped(region: RunningRegion, runbook: str) -> None:
    execution_id = start(region, runbook)
    region.wait_until_idle()
    ssm = region.client("ssm")
    ssm.stop_automation_execution(AutomationExecutionId=execution_id)
    assert execution(region, execution_id)["AutomationExecutionStatus"] == "Cancelled"
    assert (
        refusal(lambda: ssm.stop_automation_execution(AutomationExecutionId=execution_id))[0]
        == "InvalidAutomationStatusUpdateException"
    )
