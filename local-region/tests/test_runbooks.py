"""Documents, and runbooks executed step by step."""

import json
import uuid
from functools import partial
from typing import Any

import pytest
from running_region import ACCOUNT, REGION, RunningRegion, make_queue, messages, received, refusal, subscribe

RUNBOOK: dict[str, Any] = {
    "schemaVersion": "0.3",
    "parameters": {"Workload": {"type": "String"}, "Mode": {"type": "String", "default": "recover"}},
    "mainSteps": [
        {"name": "look", "action": "aws:executeAwsApi", "inputs": {"Service": "ec2", "Api": "DescribeInstances"}},
        {"name": "approve", "action": "aws:approve", "inputs": {"Approvers": ["someone"]}},
        {"name": "nap", "action": "aws:sleep", "inputs": {"Duration": "PT1S"}},
    ],
}


@pytest.fixture(scope="module")
def runbook(region: RunningRegion) -> str:
    """A runbook that waits for approval. Returns its name."""
    region.client("ssm").create_document(Name="StartRecovery", DocumentType="Automation", Content=json.dumps(RUNBOOK))
    return "StartRecovery"


def start(region: RunningRegion, name: str, **params: Any) -> str:
    """Start an execution. Returns its id."""
    request = {"DocumentName": name, "Parameters": {"Workload": ["shop"]}} | params
    # The API does not accept an empty map.
    request = {key: value for key, value in request.items() if value != {}}
    return region.client("ssm").start_automation_execution(**request)["AutomationExecutionId"]


def execution(region: RunningRegion, execution_id: str) -> dict[str, Any]:
    """The execution, once the Region is idle."""
    region.wait_until_idle()
    return region.client("ssm").get_automation_execution(AutomationExecutionId=execution_id)["AutomationExecution"]


def test_execution_waits_for_approval_and_continues(region: RunningRegion, runbook: str) -> None:
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
        ("nap", "Success"),
    ]
    events = received(region, url)
    assert [event["detail"]["Status"] for event in events] == ["InProgress", "Waiting", "InProgress", "Success"]
    assert {event["detail-type"] for event in events} == {"EC2 Automation Execution Status-change Notification"}


def test_rejected_execution_ends(region: RunningRegion, runbook: str) -> None:
    execution_id = start(region, runbook)
    region.wait_until_idle()
    ssm = region.client("ssm")
    ssm.send_automation_signal(AutomationExecutionId=execution_id, SignalType="Reject")
    assert execution(region, execution_id)["AutomationExecutionStatus"] == "Rejected"
    assert refusal(lambda: ssm.send_automation_signal(AutomationExecutionId=execution_id, SignalType="Approve"))[0] == (
        "InvalidAutomationSignalException"
    )


def test_client_token_starts_one_execution(region: RunningRegion, runbook: str) -> None:
    token = str(uuid.uuid4())
    assert start(region, runbook, ClientToken=token) == start(region, runbook, ClientToken=token.upper())
    code, _ = refusal(lambda: start(region, runbook, ClientToken=token, Parameters={"Workload": ["other"]}))
    assert code == "IdempotentParameterMismatch"
    assert refusal(lambda: start(region, runbook, ClientToken="x" * 36))[0] == "ValidationException"


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"DocumentName": "Nowhere"}, "AutomationDefinitionNotFoundException"),
        ({"DocumentName": "AWS-StartEC2Instance"}, "AutomationDefinitionNotFoundException"),
        ({"Mode": "Interactive"}, "InvalidAutomationExecutionParametersException"),
        ({"Parameters": {"Workload": ["shop"], "Colour": ["blue"]}}, "InvalidAutomationExecutionParametersException"),
        ({"Parameters": {"Mode": ["drill"]}}, "InvalidAutomationExecutionParametersException"),
    ],
)
def test_start_automation_execution_rejects_invalid_requests(
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
        ("Twice", json.dumps(RUNBOOK | {"mainSteps": RUNBOOK["mainSteps"] * 2}), "InvalidDocumentContent"),
        (
            "Jump",
            json.dumps({"schemaVersion": "0.3", "mainSteps": [{"name": "a", "action": "aws:sleep", "nextStep": "b"}]}),
            "InvalidDocumentContent",
        ),
        (
            "Unknown",
            json.dumps(
                {
                    "schemaVersion": "0.3",
                    "mainSteps": [{"name": "a", "action": "aws:sleep", "inputs": {"Duration": "{{ Length }}"}}],
                }
            ),
            "InvalidDocumentContent",
        ),
    ],
)
def test_create_document_rejects_invalid_documents(
    region: RunningRegion, runbook: str, name: str, content: str, code: str
) -> None:
    ssm = region.client("ssm")
    assert refusal(lambda: ssm.create_document(Name=name, Content=content, DocumentType="Automation"))[0] == code


def test_reads_and_deletes_a_document(region: RunningRegion) -> None:
    ssm = region.client("ssm")
    text = "schemaVersion: '0.3'\nmainSteps: [{name: nap, action: 'aws:sleep'}]\n"
    ssm.create_document(Name="Nap", Content=text, DocumentType="Automation", DocumentFormat="YAML")
    assert ssm.get_document(Name="Nap")["Content"] == text
    assert ssm.describe_document(Name="Nap")["Document"]["Status"] == "Active"
    ssm.delete_document(Name="Nap")
    assert refusal(lambda: ssm.get_document(Name="Nap"))[0] == "InvalidDocument"


def test_lists_executions(region: RunningRegion, runbook: str) -> None:
    execution_id = start(region, runbook)
    region.wait_until_idle()
    listed = region.client("ssm").describe_automation_executions(
        Filters=[{"Key": "ExecutionId", "Values": [execution_id]}]
    )
    assert [each["AutomationExecutionStatus"] for each in listed["AutomationExecutionMetadataList"]] == ["Waiting"]


def test_stops_an_execution(region: RunningRegion, runbook: str) -> None:
    execution_id = start(region, runbook)
    region.wait_until_idle()
    ssm = region.client("ssm")
    ssm.stop_automation_execution(AutomationExecutionId=execution_id)
    assert execution(region, execution_id)["AutomationExecutionStatus"] == "Cancelled"
    assert (
        refusal(lambda: ssm.stop_automation_execution(AutomationExecutionId=execution_id))[0]
        == "InvalidAutomationStatusUpdateException"
    )


def script(code: str, payload: dict[str, Any] | None = None, **step: Any) -> dict[str, Any]:
    """A step that runs `code`, whose handler is `main`."""
    inputs = {"Runtime": "python3.12", "Handler": "main", "Script": code, "InputPayload": payload or {}}
    return {"name": "script", "action": "aws:executeScript", "inputs": inputs} | step


def execute(region: RunningRegion, *steps: dict[str, Any], given: Any = None, **body: Any) -> dict[str, Any]:
    """An execution of these steps, once it has ended or waits."""
    name = f"Made-{uuid.uuid4().hex}"
    content = {"schemaVersion": "0.3", "mainSteps": list(steps)} | body
    region.client("ssm").create_document(Name=name, DocumentType="Automation", Content=json.dumps(content))
    return execution(region, start(region, name, Parameters=given or {}))


def step_statuses(done: dict[str, Any]) -> list[tuple[str, str]]:
    """The steps of an execution with their statuses."""
    return [(step["StepName"], step["StepStatus"]) for step in done["StepExecutions"]]


def make_role(region: RunningRegion, *statements: dict[str, Any], service: str = "ssm.amazonaws.com") -> str:
    """A role that a service can assume, with these permissions. Returns its ARN."""
    iam, name = region.client("iam"), f"role-{uuid.uuid4().hex}"
    trust: dict[str, Any] = {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}
    if service == "ssm.amazonaws.com":
        trust["Condition"] = {
            "StringEquals": {"aws:SourceAccount": ACCOUNT},
            "ArnLike": {"aws:SourceArn": f"arn:aws:ssm:{REGION}:{ACCOUNT}:automation-execution/*"},
        }
    made = iam.create_role(RoleName=name, AssumeRolePolicyDocument=policy(trust))
    if statements:
        iam.put_role_policy(RoleName=name, PolicyName="own", PolicyDocument=policy(*statements))
    return made["Role"]["Arn"]


def policy(*statements: dict[str, Any]) -> str:
    """A policy document."""
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def allow(action: str, resource: str = "*") -> dict[str, str]:
    """A statement that allows one action."""
    return {"Effect": "Allow", "Action": action, "Resource": resource}


def test_script_receives_inputs_and_returns_outputs(region: RunningRegion) -> None:
    code = """
def main(events, context):
    print("discarded output")
    return {"text": events["greeting"] * 2, "number": len(events["list"]), "list": events["list"],
            "flag": events["flag"], "map": {"a": events["map"]["key"]}}
"""
    payload = {
        "greeting": "{{ Greeting }}, ",
        "list": "{{ Names }}",
        "flag": "{{ Flag }}",
        "map": "{{ Map }}",
    }
    outputs = [
        {"Name": "Text", "Selector": "$.Payload.text", "Type": "String"},
        {"Name": "Number", "Selector": "$.Payload.number", "Type": "Integer"},
        {"Name": "List", "Selector": "$.Payload.list", "Type": "StringList"},
        {"Name": "Flag", "Selector": "$.Payload.flag", "Type": "Boolean"},
        {"Name": "Map", "Selector": "$.Payload.map", "Type": "StringMap"},
    ]
    done = execute(
        region,
        script(code, payload, outputs=outputs),
        parameters={
            "Greeting": {"type": "String", "allowedPattern": "^[a-z]+$"},
            "Names": {"type": "StringList", "default": ["x", "y"]},
            "Flag": {"type": "Boolean", "default": False},
            "Map": {"type": "StringMap", "default": {}},
        },
        outputs=["script.Text", "script.Number", "script.Payload"],
        given={"Greeting": ["hello"], "Flag": ["true"], "Map": ['{"key": "value"}']},
    )
    assert done["AutomationExecutionStatus"] == "Success", done
    (step,) = done["StepExecutions"]
    assert {name: value for name, value in step["Outputs"].items() if name != "Payload"} == {
        "Text": ["hello, hello, "],
        "Number": ["2"],
        "List": ["x", "y"],
        "Flag": ["true"],
        "Map": ['{"a": "value"}'],
    }
    assert json.loads(step["Inputs"]["InputPayload"])["map"] == {"key": "value"}
    assert done["Outputs"]["script.Text"] == ["hello, hello, "] and done["Outputs"]["script.Number"] == ["2"]
    assert json.loads(done["Outputs"]["script.Payload"][0])["number"] == 2


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("def main(events, context):\n    raise RuntimeError('no luck')", "RuntimeError: no luck"),
        ("def other(events, context): pass", "the script has no function main"),
        ("def main(events, context)", "SyntaxError"),
        ("import os\ndef main(events, context): os._exit(3)", "exit code 3"),
        ("def main(events, context): return {1, 2}", "not JSON serializable"),
    ],
)
def test_failed_script_reports_its_error(region: RunningRegion, code: str, said: str) -> None:
    done = execute(region, script(code), outputs=["script.Payload"])
    assert done["AutomationExecutionStatus"] == "Failed" and step_statuses(done) == [("script", "Failed")]
    assert said in done["StepExecutions"][0]["FailureMessage"] == done["FailureMessage"]
    assert done["Outputs"]["script.Payload"] == [
        "No output available yet because the step is not successfully executed"
    ]


def test_script_has_only_the_permissions_of_its_role(region: RunningRegion) -> None:
    code = """
def main(events, context):
    import boto3
    who = boto3.client("sts").get_caller_identity()["Arn"]
    volumes = boto3.client("ec2").describe_volumes()["Volumes"]
    return {"who": who, "volumes": len(volumes), "instances": events["instances"] and
            len(boto3.client("ec2").describe_instances()["Reservations"])}
"""
    role = make_role(region, allow("ec2:DescribeVolumes"))
    done = execute(region, script(code, {"instances": False}), assumeRole=role)
    assert done["AutomationExecutionStatus"] == "Success", done
    who = json.loads(done["StepExecutions"][0]["Outputs"]["Payload"][0])["who"]
    session = f"Automation-{done['AutomationExecutionId']}"
    assert who == f"arn:aws:sts::{ACCOUNT}:assumed-role/{role.rpartition('/')[2]}/{session}"
    assert [call["status"] for call in region.journal("call", caller=session, operation="DescribeVolumes")] == [200]
    refused = execute(region, script(code, {"instances": True}), assumeRole=role)
    assert refused["AutomationExecutionStatus"] == "Failed"
    assert "UnauthorizedOperation" in refused["StepExecutions"][0]["FailureMessage"]


def test_role_must_exist_and_trust_systems_manager(region: RunningRegion) -> None:
    nothing = script("def main(events, context): pass")
    for role in (f"arn:aws:iam::{ACCOUNT}:role/missing", make_role(region, service="lambda.amazonaws.com")):
        code, message = refusal(lambda role=role: execute(region, nothing, assumeRole=role))
        assert code == "InvalidAutomationExecutionParametersException" and "unable to be assumed" in message


def test_script_does_not_see_the_environment_of_the_server(region: RunningRegion) -> None:
    code = "import os\ndef main(events, context): return sorted(os.environ)"
    done = execute(region, script(code), assumeRole=make_role(region))
    seen = done["StepExecutions"][0]["Outputs"]["Payload"]
    assert "AWS_ENDPOINT_URL" in seen and "AWS_SESSION_TOKEN" in seen
    assert not {"AUTH", "GATEWAY_PORT", "MINISTACK_ACCOUNT_ID"} & set(seen)


def api(name: str, service: str, operation: str, action: str = "aws:executeAwsApi", **rest: Any) -> dict[str, Any]:
    """A step that calls an API operation."""
    step = {key: rest.pop(key) for key in ("outputs", "onFailure", "isCritical", "timeoutSeconds") if key in rest}
    return {"name": name, "action": action, "inputs": {"Service": service, "Api": operation} | rest} | step


def test_steps_call_apis_and_pass_on_their_outputs(region: RunningRegion) -> None:
    zone = f"{REGION}a"
    done = execute(
        region,
        api(
            "make",
            "ec2",
            "CreateVolume",
            AvailabilityZone="{{ global:REGION }}a",
            Size="{{ Size }}",
            outputs=[
                {"Name": "Id", "Selector": "$.VolumeId"},
                {"Name": "Gib", "Selector": "$.Size", "Type": "Integer"},
            ],
        ),
        api(
            "wait",
            "ec2",
            "DescribeVolumes",
            "aws:waitForAwsResourceProperty",
            VolumeIds=["{{ make.Id }}"],
            PropertySelector="$.Volumes[0].State",
            DesiredValues=["in-use", "available"],
        ),
        api(
            "look",
            "ec2",
            "DescribeVolumes",
            VolumeIds=["{{ make.Id }}"],
            outputs=[
                {"Name": "Zone", "Selector": "$.Volumes[0].AvailabilityZone"},
                {"Name": "Ids", "Selector": "$.Volumes[*].VolumeId", "Type": "StringList"},
                {"Name": "AllIds", "Selector": "$..VolumeId", "Type": "StringList"},
            ],
        ),
        parameters={"Size": {"type": "Integer", "default": 3}},
        outputs=["make.Id", "look.Zone"],
    )
    assert done["AutomationExecutionStatus"] == "Success", done
    made, _, look = (step.get("Outputs") for step in done["StepExecutions"])
    assert made["Gib"] == ["3"] and look == {"Zone": [zone], "Ids": made["Id"], "AllIds": made["Id"]}
    assert done["Outputs"] == {"make.Id": made["Id"], "look.Zone": [zone]}


def test_waits_for_and_asserts_a_property(region: RunningRegion) -> None:
    url, _ = make_queue(region, "waited-for")
    about = {
        "QueueUrl": url,
        "AttributeNames": ["VisibilityTimeout"],
        "PropertySelector": "$.Attributes.VisibilityTimeout",
        "DesiredValues": ["77"],
    }
    failed = execute(region, api("assert", "sqs", "GetQueueAttributes", "aws:assertAwsResourceProperty", **about))
    assert failed["AutomationExecutionStatus"] == "Failed"
    assert "is 30, not in ['77']" in failed["FailureMessage"]
    late = execute(
        region,
        api("wait", "sqs", "GetQueueAttributes", "aws:waitForAwsResourceProperty", **about, timeoutSeconds=1),
    )
    assert late["AutomationExecutionStatus"] == "TimedOut" and step_statuses(late) == [("wait", "TimedOut")]
    region.client("ssm").create_document(
        Name="Waits",
        DocumentType="Automation",
        Content=json.dumps(
            {
                "schemaVersion": "0.3",
                "mainSteps": [api("wait", "sqs", "GetQueueAttributes", "aws:waitForAwsResourceProperty", **about)],
            }
        ),
    )
    execution_id = start(region, "Waits", Parameters={})
    region.wait_for(3, "call", lambda call: call["operation"] == "GetQueueAttributes")
    assert region.get("idle?timeout=0")["pending"] == {"automation": 1}
    region.client("sqs").set_queue_attributes(QueueUrl=url, Attributes={"VisibilityTimeout": "77"})
    assert execution(region, execution_id)["AutomationExecutionStatus"] == "Success"


def nap(name: str, **step: Any) -> dict[str, Any]:
    """A step that takes no time."""
    return {"name": name, "action": "aws:sleep", "inputs": {"Duration": "PT0S"}} | step


def fail(name: str, **step: Any) -> dict[str, Any]:
    """A step that fails."""
    return {"name": name, "action": "aws:sleep", "inputs": {"Duration": "for a while"}} | step


@pytest.mark.parametrize(
    ("choice", "value", "taken"),
    [
        ({"StringEquals": "blue"}, "blue", True),
        ({"StringEquals": "blue"}, "Blue", False),
        ({"EqualsIgnoreCase": "blue"}, "Blue", True),
        ({"StartsWith": "bl"}, "blue", True),
        ({"EndsWith": "bl"}, "blue", False),
        ({"Contains": "lu"}, "blue", True),
        ({"NumericGreater": 4}, "5", True),
        ({"NumericGreater": 5}, "5", False),
        ({"NumericGreaterOrEquals": 5}, "5", True),
        ({"NumericLesser": 5}, "blue", False),
        ({"NumericLesserOrEquals": 5}, "5", True),
        ({"NumericEquals": 5}, "5.0", True),
        ({"BooleanEquals": True}, "true", True),
    ],
)
def test_branch_compares_values(region: RunningRegion, choice: dict[str, Any], value: str, taken: bool) -> None:
    done = execute(
        region,
        {
            "name": "choose",
            "action": "aws:branch",
            "inputs": {"Choices": [{"NextStep": "yes", "Variable": "{{ Value }}"} | choice], "Default": "no"},
        },
        nap("no", isEnd=True),
        nap("yes"),
        parameters={"Value": {"type": "String"}},
        given={"Value": [value]},
    )
    assert step_statuses(done)[1:] == [("yes" if taken else "no", "Success")]


def test_branch_combines_choices(region: RunningRegion) -> None:
    def is_colour(colour: str) -> dict[str, str]:
        return {"Variable": "{{ Colour }}", "StringEquals": colour}

    def went(colour: str) -> str:
        done = execute(
            region,
            {
                "name": "choose",
                "action": "aws:branch",
                "inputs": {
                    "Choices": [
                        {"Or": [is_colour("red"), is_colour("green")], "NextStep": "last"},
                        {"And": [{"Not": is_colour("blue")}, {"Not": is_colour("black")}], "NextStep": "middle"},
                    ]
                },
            },
            nap("first", isEnd=True),
            nap("middle", isEnd=True),
            nap("last"),
            parameters={"Colour": {"type": "String"}},
            given={"Colour": [colour]},
        )
        return done["StepExecutions"][-1]["StepName"]

    assert [went(colour) for colour in ("green", "white", "blue")] == ["last", "middle", "first"]


@pytest.mark.parametrize(
    ("steps", "went", "status"),
    [
        ([nap("a", nextStep="c"), nap("b"), nap("c")], ["a", "c"], "Success"),
        ([nap("a"), nap("b", isEnd=True), nap("c")], ["a", "b"], "Success"),
        ([fail("a"), nap("b")], ["a"], "Failed"),
        ([fail("a", onFailure="Continue"), nap("b")], ["a", "b"], "Success"),
        ([fail("a", onFailure="Continue", isCritical=True), nap("b")], ["a", "b"], "Failed"),
        ([fail("a", onFailure="step:c"), nap("b"), nap("c")], ["a", "c"], "Failed"),
        ([fail("a", onFailure="step:c", isCritical=False), nap("b"), nap("c")], ["a", "c"], "Success"),
        ([fail("a", onFailure="Continue", isEnd=True), nap("b")], ["a"], "Success"),
        ([fail("a", maxAttempts=3, onFailure="Abort"), nap("b")], ["a"], "Failed"),
    ],
)
def test_selects_the_next_step(
    region: RunningRegion, steps: list[dict[str, Any]], went: list[str], status: str
) -> None:
    done = execute(region, *steps)
    assert [name for name, _ in step_statuses(done)] == went and done["AutomationExecutionStatus"] == status


def test_retries_a_step_up_to_its_maximum_attempts(region: RunningRegion) -> None:
    url, _ = make_queue(region, "attempts")
    code = f"""
def main(events, context):
    import boto3
    boto3.client("sqs").send_message(QueueUrl="{url}", MessageBody="again")
    raise RuntimeError
"""
    done = execute(region, script(code, maxAttempts=3))
    assert step_statuses(done) == [("script", "Failed")] and len(messages(region, url)) == 3


def test_names_unsupported_features_in_the_failure(region: RunningRegion) -> None:
    for step in (
        {"name": "run", "action": "aws:runCommand", "inputs": {"DocumentName": "x"}},
        script("", inputs={"Runtime": "PowerShell Core 6.0", "Handler": "x", "Script": "x"}),
        api("select", "ec2", "DescribeVolumes", outputs=[{"Name": "x", "Selector": "$.Volumes[?(@.Size>3)]"}]),
    ):
        done = execute(region, step)
        assert done["AutomationExecutionStatus"] == "Failed"
        assert "The local Region does not imitate" in done["FailureMessage"]


def state_machine(region: RunningRegion, state: dict[str, Any]) -> str:
    """A state machine of one state. Returns its ARN."""
    definition = {"StartAt": "Only", "States": {"Only": state}}
    made = region.client("stepfunctions").create_state_machine(
        name=f"machine-{uuid.uuid4().hex}",
        definition=json.dumps(definition),
        roleArn=make_role(region, service="states.amazonaws.com"),
    )
    return made["stateMachineArn"]


def test_starts_a_state_machine_and_waits_for_it(region: RunningRegion) -> None:
    succeeds = state_machine(region, {"Type": "Pass", "Result": {"restored": 3}, "End": True})
    fails = state_machine(region, {"Type": "Fail", "Error": "Lost", "Cause": "no backup"})

    def recover(machine: str, role: str) -> dict[str, Any]:
        inputs = {"stateMachineArn": machine, "name": "incident-1", "input": '{"workload": "shop"}'}
        return execute(
            region,
            {"name": "recover", "action": "aws:executeStateMachine", "inputs": inputs},
            assumeRole=role,
            outputs=["recover.executionArn", "recover.output"],
        )

    may = make_role(region, allow("states:StartExecution"), allow("states:DescribeExecution"))
    done = recover(succeeds, may)
    assert done["AutomationExecutionStatus"] == "Success", done
    assert done["Outputs"]["recover.executionArn"] == [
        succeeds.replace(":stateMachine:", ":execution:") + ":incident-1"
    ]
    assert json.loads(done["Outputs"]["recover.output"][0]) == {"restored": 3}
    failed = recover(fails, may)
    assert failed["AutomationExecutionStatus"] == "Failed" and "Lost: no backup" in failed["FailureMessage"]
    elsewhere = make_role(region, allow("states:StartExecution", fails), allow("states:DescribeExecution"))
    refused = recover(succeeds, elsewhere)
    assert refused["AutomationExecutionStatus"] == "Failed" and "AccessDenied" in refused["FailureMessage"]


@pytest.mark.parametrize("how", ["cancelled", "too long"])
def test_execution_of_a_state_machine_stops_with_its_step(region: RunningRegion, how: str) -> None:
    # Years, even with --wait-scale.
    machine = state_machine(region, {"Type": "Wait", "Seconds": 99999999, "End": True})
    step = {
        "name": "recover",
        "action": "aws:executeStateMachine",
        "timeoutSeconds": 3600 if how == "cancelled" else 1,
        "inputs": {"stateMachineArn": machine},
    }
    role = make_role(
        region, allow("states:StartExecution"), allow("states:DescribeExecution"), allow("states:StopExecution")
    )
    name = f"Stops-{uuid.uuid4().hex}"
    content = {"schemaVersion": "0.3", "assumeRole": role, "mainSteps": [step]}
    region.client("ssm").create_document(Name=name, DocumentType="Automation", Content=json.dumps(content))
    execution_id = start(region, name, Parameters={})
    region.wait_for(1, "state-machine", lambda entry: entry["stateMachine"] == machine.rpartition(":")[2])
    if how == "cancelled":
        region.client("ssm").stop_automation_execution(AutomationExecutionId=execution_id)
    done = execution(region, execution_id)
    assert done["AutomationExecutionStatus"] == ("Cancelled" if how == "cancelled" else "TimedOut")
    (stopped,) = region.client("stepfunctions").list_executions(stateMachineArn=machine)["executions"]
    assert stopped["status"] == "ABORTED"


def approval(**inputs: Any) -> dict[str, Any]:
    """A step that requests approval."""
    return {"name": "approve", "action": "aws:approve", "inputs": {"Approvers": ["someone"]} | inputs}


def test_approval_request_is_sent_to_the_topic(region: RunningRegion) -> None:
    topic = region.client("sns").create_topic(Name="Automation-people")["TopicArn"]
    done = execute(
        region,
        approval(NotificationArn=topic, Message="Recover {{ Workload }}?"),
        parameters={"Workload": {"type": "String"}},
        given={"Workload": ["shop"]},
        assumeRole=make_role(region, allow("sns:Publish", topic)),
    )
    assert done["AutomationExecutionStatus"] == "Waiting"
    (message,) = region.journal("message", topicArn=topic)
    assert message["message"].startswith("Recover shop?") and done["AutomationExecutionId"] in message["message"]
    untold = execute(region, approval(NotificationArn=topic), assumeRole=make_role(region))
    assert untold["AutomationExecutionStatus"] == "Failed" and "AuthorizationError" in untold["FailureMessage"]


def test_requires_several_approvals(region: RunningRegion) -> None:
    execution_id = execute(region, approval(MinRequiredApprovals=2))["AutomationExecutionId"]
    approve = partial(
        region.client("ssm").send_automation_signal, AutomationExecutionId=execution_id, SignalType="Approve"
    )
    approve()
    assert execution(region, execution_id)["AutomationExecutionStatus"] == "Waiting"
    approve()
    done = execution(region, execution_id)
    assert done["AutomationExecutionStatus"] == "Success"
    assert done["StepExecutions"][0]["Outputs"] == {"ApprovalStatus": ["Approved"]}


def test_continues_after_a_rejection_with_on_failure(region: RunningRegion) -> None:
    waiting = execute(region, approval() | {"onFailure": "step:tell"}, nap("skipped"), nap("tell"))
    region.client("ssm").send_automation_signal(
        AutomationExecutionId=waiting["AutomationExecutionId"], SignalType="Reject"
    )
    done = execution(region, waiting["AutomationExecutionId"])
    assert step_statuses(done) == [("approve", "Rejected"), ("tell", "Success")]
    assert done["AutomationExecutionStatus"] == "Rejected"


def test_approval_times_out(region: RunningRegion) -> None:
    done = execute(region, approval() | {"timeoutSeconds": 1})
    assert done["AutomationExecutionStatus"] == "Waiting"
    region.wait_for(
        1,
        "event",
        lambda event: (
            event["detail"].get("ExecutionId") == done["AutomationExecutionId"]
            and event["detail"]["Status"] == "TimedOut"
        ),
    )
    assert execution(region, done["AutomationExecutionId"])["AutomationExecutionStatus"] == "TimedOut"


def test_stopped_step_ends_at_once_and_cleans_up(region: RunningRegion) -> None:
    name = "Stopped"
    code = """
def main(events, context):
    import boto3
    boto3.client("ec2").describe_regions()
    while True:
        pass
"""
    steps = [script(code, onCancel="step:tidy"), nap("skipped"), nap("tidy")]
    region.client("ssm").create_document(
        Name=name, DocumentType="Automation", Content=json.dumps({"schemaVersion": "0.3", "mainSteps": steps})
    )
    execution_id = start(region, name, Parameters={})
    region.wait_for(1, "call", lambda call: call["operation"] == "DescribeRegions")
    region.client("ssm").stop_automation_execution(AutomationExecutionId=execution_id)
    done = execution(region, execution_id)
    assert done["AutomationExecutionStatus"] == "Cancelled"
    assert step_statuses(done) == [("script", "Cancelled"), ("tidy", "Success")]


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"Number": ["many"]}, "InvalidAutomationExecutionParametersException"),
        ({"Number": ["3"], "Colour": ["blue"]}, "InvalidAutomationExecutionParametersException"),
        ({"Number": ["3"], "Key": ["../x"]}, "InvalidAutomationExecutionParametersException"),
    ],
)
def test_validates_parameters(region: RunningRegion, given: dict[str, Any], code: str) -> None:
    parameters = {
        "Number": {"type": "Integer"},
        "Colour": {"type": "String", "allowedValues": ["red"], "default": "red"},
        "Key": {"type": "String", "allowedPattern": "^[a-z]+$", "default": "key"},
    }
    assert refusal(lambda: execute(region, nap("a"), parameters=parameters, given=given))[0] == code


# ---- targets of rules -----------------------------------------------------------------------------------------------

DEFINITION = f"arn:aws:ssm:{REGION}:{ACCOUNT}:automation-definition"


def role_of_rules(region: RunningRegion, name: str, *actions: str, service: str = "events.amazonaws.com") -> str:
    """A role with these rights, which a service may assume. Returns its ARN."""
    iam = region.client("iam")
    trust = {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}
    role = iam.create_role(
        RoleName=name, AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    )["Role"]["Arn"]
    if actions:
        rights = {"Effect": "Allow", "Action": actions, "Resource": "*"}
        iam.put_role_policy(
            RoleName=name,
            PolicyName="rights",
            PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [rights]}),
        )
    return role


def delivered(region: RunningRegion, name: str, **target: Any) -> dict[str, Any] | None:
    """Send an event through a new rule to one target. Returns the attributes of its dead letter, if there is one."""
    events = region.client("events")
    _, queue = make_queue(region, f"{name}-letters")
    events.put_rule(Name=name, EventPattern=json.dumps({"source": [f"test.{name}"]}))
    events.put_targets(Rule=name, Targets=[{"Id": "runbook", "DeadLetterConfig": {"Arn": queue}, **target}])
    event_id = region.send(source=f"test.{name}", detail_type="Restored", detail={"workload": "shop", "number": 7})
    region.wait_until_idle()
    letters = region.journal("dead-letter", eventId=event_id)
    assert all(letter["delivered"] for letter in letters)
    return letters[0]["attributes"] if letters else None


def executions(region: RunningRegion, runbook: str) -> list[dict[str, Any]]:
    """The executions of a runbook."""
    return region.client("ssm").describe_automation_executions(
        Filters=[{"Key": "DocumentNamePrefix", "Values": [runbook]}]
    )["AutomationExecutionMetadataList"]


@pytest.mark.parametrize("version", ["", ":$DEFAULT"])
def test_a_rule_starts_a_runbook_with_what_its_transformer_takes_from_the_event(
    region: RunningRegion, version: str
) -> None:
    name = f"Started{len(version)}"
    content = {
        "schemaVersion": "0.3",
        "parameters": {"Workload": {"type": "String"}, "Others": {"type": "StringList", "default": []}},
        "mainSteps": [{"name": "nap", "action": "aws:sleep", "inputs": {"Duration": "PT1S"}}],
    }
    region.client("ssm").create_document(Name=name, DocumentType="Automation", Content=json.dumps(content))
    role = role_of_rules(region, f"starts-{name}", "ssm:StartAutomationExecution")
    transformer = {"InputPathsMap": {"w": "$.detail.workload"}, "InputTemplate": '{"Workload": [<w>]}'}
    letter = delivered(region, name, Arn=f"{DEFINITION}/{name}{version}", RoleArn=role, InputTransformer=transformer)
    assert letter is None
    (started,) = executions(region, name)
    done = execution(region, started["AutomationExecutionId"])
    assert (done["AutomationExecutionStatus"], done["Parameters"]["Workload"]) == ("Success", ["shop"])


@pytest.mark.parametrize(
    ("name", "target", "code"),
    [
        ("whole-event", {}, "INVALID_JSON"),
        ("no-list", {"Input": '{"Workload": "shop"}'}, "INVALID_JSON"),
        ("no-string", {"Input": '{"Workload": [7]}'}, "INVALID_JSON"),
        ("no-object", {"Input": '["shop"]'}, "INVALID_JSON"),
        (
            "no-brackets",
            {"InputTransformer": {"InputPathsMap": {"w": "$.detail.workload"}, "InputTemplate": '{"Workload": <w>}'}},
            "INVALID_JSON",
        ),
        (
            "missing-path",
            {"InputTransformer": {"InputPathsMap": {"w": "$.detail.none"}, "InputTemplate": '{"Workload": [<w>]}'}},
            "INVALID_PARAMETER",
        ),
        ("unknown", {"Input": '{"Workload": ["shop"], "Colour": ["blue"]}'}, "INVALID_PARAMETER"),
        ("required", {"Input": '{"Mode": ["drill"]}'}, "INVALID_PARAMETER"),
        ("empty", {"Input": '{"Workload": [""]}'}, "INVALID_PARAMETER"),
        ("absent", {"Arn": f"{DEFINITION}/Nowhere:$DEFAULT", "Input": '{"Workload": ["shop"]}'}, "NO_RESOURCE"),
        ("unwilling", {"RoleArn": "trusts-nobody", "Input": '{"Workload": ["shop"]}'}, "NO_PERMISSIONS"),
        ("powerless", {"RoleArn": "may-nothing", "Input": '{"Workload": ["shop"]}'}, "NO_PERMISSIONS"),
        ("nobody", {"RoleArn": "does-not-exist", "Input": '{"Workload": ["shop"]}'}, "NO_PERMISSIONS"),
    ],
)
def test_what_automation_does_not_take_from_a_rule_is_a_dead_letter(
    region: RunningRegion, runbook: str, name: str, target: dict[str, Any], code: str
) -> None:
    before = len(executions(region, runbook))
    role = {
        "trusts-nobody": lambda: role_of_rules(
            region, "trusts-nobody", "ssm:StartAutomationExecution", service="lambda.amazonaws.com"
        ),
        "may-nothing": lambda: role_of_rules(region, "may-nothing"),
        "does-not-exist": lambda: f"arn:aws:iam::{ACCOUNT}:role/does-not-exist",
    }.get(target.get("RoleArn", ""), lambda: role_of_rules(region, f"role-{name}", "ssm:StartAutomationExecution"))()
    letter = delivered(region, name, **({"Arn": f"{DEFINITION}/{runbook}:$DEFAULT"} | target | {"RoleArn": role}))
    assert letter and (letter["ERROR_CODE"], letter["RETRY_ATTEMPTS"]) == (code, "0"), letter
    assert len(executions(region, runbook)) == before


def test_a_rule_needs_the_right_to_pass_the_role_of_its_runbook(region: RunningRegion) -> None:
    role = role_of_rules(region, "works-for-runbooks", service="ssm.amazonaws.com")
    content = RUNBOOK | {"assumeRole": role}
    region.client("ssm").create_document(Name="WithOwnRole", DocumentType="Automation", Content=json.dumps(content))
    target = {"Arn": f"{DEFINITION}/WithOwnRole:$DEFAULT", "Input": '{"Workload": ["shop"]}'}
    starter = role_of_rules(region, "starts-only", "ssm:StartAutomationExecution")
    letter = delivered(region, "starts-only", RoleArn=starter, **target)
    assert letter and letter["ERROR_CODE"] == "NO_PERMISSIONS" and "iam:PassRole" in letter["ERROR_MESSAGE"]
    passer = role_of_rules(region, "passes-too", "ssm:StartAutomationExecution", "iam:PassRole")
    assert delivered(region, "passes-too", RoleArn=passer, **target) is None
    assert len(executions(region, "WithOwnRole")) == 1


@pytest.mark.parametrize(
    "arn", [f"{DEFINITION}/StartRecovery:$DEFAULT", f"arn:aws:states:{REGION}:{ACCOUNT}:stateMachine:recovery"]
)
def test_a_runbook_or_state_machine_is_no_target_without_a_role(region: RunningRegion, arn: str) -> None:
    events = region.client("events")
    events.put_rule(Name="without-role", EventPattern='{"source": ["test.none"]}')
    code, message = refusal(lambda: events.put_targets(Rule="without-role", Targets=[{"Id": "one", "Arn": arn}]))
    assert (code, message) == ("ValidationException", f"RoleArn is required for target {arn}.")
