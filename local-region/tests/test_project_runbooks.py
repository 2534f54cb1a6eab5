"""The project's runbooks, deployed from its template and executed."""

import contextlib
import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import write_binary
from running_region import ACCOUNT, REGION, RunningRegion

PROJECT = Path(__file__).parents[2]
APPROVER = f"arn:aws:iam::{ACCOUNT}:user/approver"
BUCKET, STACK = "templates-of-shop", "shop"
STACK_ROLE = f"arn:aws:iam::{ACCOUNT}:role/shop-stack"
IMAGE = "ami-0123456789abcdef0"
NOT_READABLE = "AccessDenied. User doesn't have permission to call ssm:GetParameters"
WORKLOAD = """
Description: The workload.
Parameters:
  Type: {Type: String, Default: t3.micro}
  Image: {Type: "AWS::SSM::Parameter::Value<AWS::EC2::Image::Id>", Default: /imagebuilder/golden-ami/ami}
Resources:
  Database:
    Type: AWS::EC2::Instance
    Properties: {ImageId: !Ref Image, InstanceType: !Ref Type}
"""


@pytest.fixture(scope="module")
def runbooks(region: RunningRegion, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The names of the deployed runbooks and other resources, by logical id."""
    trust = {"Effect": "Allow", "Principal": {"Service": "cloudformation.amazonaws.com"}, "Action": "sts:AssumeRole"}
    region.client("iam").create_role(
        RoleName="shop-stack",
        AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]}),
    )
    region.client("s3").create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
    for name in ("/imagebuilder/golden-ami/ami", "/elsewhere/ami"):
        region.client("ssm").put_parameter(Name=name, Type="String", Value=IMAGE)
    binaries = tmp_path_factory.mktemp("functions")
    for function in (PROJECT / "functions").iterdir():
        write_binary(binaries / function.name)
    parameters = {
        "PrimaryRegion": "us-east-1",
        "Architecture": "x86_64",
        "RecoveryWorkload": "shop",
        "RecoveryStateMachine": "region-recovery",
        "RecoveryApprovers": APPROVER,
        "WorkloadStack": STACK,
        "WorkloadTemplateBucket": BUCKET,
        "WorkloadStackRoleArn": STACK_ROLE,
    }
    options = [part for name, value in parameters.items() for part in ("--parameter", f"{name}={value}")]
    stack = region.deploy(PROJECT / "template.yaml", "rapid-recovery", "--binaries", str(binaries), *options)
    return stack["resources"]


@pytest.fixture(scope="module")
def state_machine(region: RunningRegion) -> str:
    """A state machine in place of the recovery's. Returns its ARN."""
    trust = {"Effect": "Allow", "Principal": {"Service": "states.amazonaws.com"}, "Action": "sts:AssumeRole"}
    role = region.client("iam").create_role(
        RoleName="recovery", AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    )["Role"]["Arn"]
    definition = {"StartAt": "Restore", "States": {"Restore": {"Type": "Pass", "End": True}}}
    return region.client("stepfunctions").create_state_machine(
        name="region-recovery", definition=json.dumps(definition), roleArn=role
    )["stateMachineArn"]


def start(region: RunningRegion, name: str, **parameters: Any) -> str:
    """Start a runbook. Returns the id of its execution."""
    given = {"Parameters": {key: [value] for key, value in parameters.items()}} if parameters else {}
    execution_id = region.client("ssm").start_automation_execution(DocumentName=name, **given)["AutomationExecutionId"]
    region.wait_until_idle()
    return execution_id


def execution(region: RunningRegion, execution_id: str) -> dict[str, Any]:
    """The execution, once the Region is idle."""
    region.wait_until_idle()
    return region.client("ssm").get_automation_execution(AutomationExecutionId=execution_id)["AutomationExecution"]


def approved(region: RunningRegion, execution_id: str) -> dict[str, Any]:
    """The execution after its approval."""
    assert execution(region, execution_id)["AutomationExecutionStatus"] == "Waiting"
    region.client("ssm").send_automation_signal(AutomationExecutionId=execution_id, SignalType="Approve")
    return execution(region, execution_id)


def succeeded(done: dict[str, Any]) -> dict[str, Any]:
    """An execution that must have succeeded."""
    assert done["AutomationExecutionStatus"] == "Success", done.get("FailureMessage")
    return done


def test_start_region_recovery_requests_approval_and_starts_once(
    region: RunningRegion, runbooks: dict[str, str], state_machine: str
) -> None:
    name, incident = runbooks["StartRegionRecovery"], f"health/{uuid.uuid4()}"
    asked = start(region, name, Incident=incident, OpsItemId="oi-0123456789ab")
    (message,) = [
        entry
        for entry in region.journal("message", topicArn=runbooks["NotificationTopic"])
        if incident in entry["message"]
    ]
    assert "waits for your decision" in message["message"] and "oi-0123456789ab" in message["message"]
    done = succeeded(approved(region, asked))
    (arn,) = done["Outputs"]["recover.executionArn"]
    recovery = region.client("stepfunctions").describe_execution(executionArn=arn)
    assert recovery["stateMachineArn"] == state_machine and recovery["name"].startswith("shop-")
    assert json.loads(recovery["input"]) == {
        "workload": "shop",
        "mode": "recover",
        "incident": incident,
        "opsItemId": "oi-0123456789ab",
    }
    # The same incident again: Step Functions rejects it, or returns the same execution.
    again = approved(region, start(region, name, Incident=incident, OpsItemId="oi-0123456789ab"))
    if again["AutomationExecutionStatus"] == "Success":
        assert again["Outputs"]["recover.executionArn"] == [arn]
    else:
        assert "ExecutionAlreadyExists" in again["FailureMessage"]
    executions = region.client("stepfunctions").list_executions(stateMachineArn=state_machine)["executions"]
    assert len([each for each in executions if each["name"] == recovery["name"]]) == 1
    # Every call was allowed by the runbook's role.
    assert not [call for call in region.journal("call", status=403) if call["caller"].startswith("Automation-")]


def test_start_workload_instances_starts_only_instances_of_the_workload(
    region: RunningRegion, runbooks: dict[str, str]
) -> None:
    ec2 = region.client("ec2")

    def stopped(workload: str) -> str:
        tags = [{"ResourceType": "instance", "Tags": [{"Key": "recovery:workload", "Value": workload}]}]
        made = ec2.run_instances(ImageId="ami-0123456789abcdef0", MinCount=1, MaxCount=1, TagSpecifications=tags)
        instance_id = made["Instances"][0]["InstanceId"]
        ec2.stop_instances(InstanceIds=[instance_id])
        return instance_id

    def state(instance_id: str) -> str:
        described = ec2.describe_instances(InstanceIds=[instance_id])["Reservations"][0]["Instances"][0]
        return described["State"]["Name"]

    ours, theirs = [stopped("shop"), stopped("shop")], stopped("other")
    done = succeeded(execution(region, start(region, runbooks["StartWorkloadInstances"])))
    assert done["Outputs"] == {"start.Started": ["2"]}
    assert [state(each) for each in ours] == ["running", "running"] and state(theirs) == "stopped"
    again = succeeded(execution(region, start(region, runbooks["StartWorkloadInstances"])))
    assert again["Outputs"] == {"start.Started": ["0"]}


def test_deploy_workload_stack_creates_and_updates(region: RunningRegion, runbooks: dict[str, str]) -> None:
    def deploy(template: str, **parameters: str) -> dict[str, Any]:
        region.client("s3").put_object(Bucket=BUCKET, Key="shop/template.yaml", Body=template.encode())
        given = {"StackParameters": json.dumps(parameters)} if parameters else {}
        return execution(
            region, start(region, runbooks["DeployWorkloadStack"], TemplateKey="shop/template.yaml", **given)
        )

    created = succeeded(deploy(WORKLOAD, Type="m7g.large"))
    assert created["Outputs"] == {"deploy.Did": ["create"]}
    cloudformation = region.client("cloudformation")
    stack = cloudformation.describe_stacks(StackName=STACK)["Stacks"][0]
    assert stack["StackStatus"] == "CREATE_COMPLETE"
    assert {"Key": "recovery:workload", "Value": "shop"} in stack["Tags"]
    instance = cloudformation.describe_stack_resource(StackName=STACK, LogicalResourceId="Database")
    physical_id = instance["StackResourceDetail"]["PhysicalResourceId"]
    made = region.client("ec2").describe_instances(InstanceIds=[physical_id])["Reservations"][0]["Instances"][0]
    assert made["InstanceType"] == "m7g.large"
    # An omitted parameter keeps its value. Adding a resource is allowed.
    updated = succeeded(deploy(WORKLOAD + "  Data:\n    Type: AWS::SQS::Queue\n"))
    assert updated["Outputs"] == {"deploy.Did": ["update"]}
    stack = cloudformation.describe_stacks(StackName=STACK)["Stacks"][0]
    assert stack["StackStatus"] == "UPDATE_COMPLETE"
    values = {p["ParameterKey"]: p.get("ResolvedValue", p["ParameterValue"]) for p in stack["Parameters"]}
    assert values == {"Type": "m7g.large", "Image": IMAGE}
    # Nothing is removed.
    refused = deploy(WORKLOAD)
    assert refused["AutomationExecutionStatus"] == "Failed"
    assert "It would remove or replace Data" in refused["FailureMessage"]


def test_runbook_fails_without_a_permission_of_its_role(region: RunningRegion, runbooks: dict[str, str]) -> None:
    role = runbooks["StartWorkloadInstancesRole"]
    iam = region.client("iam")
    (name,) = iam.list_role_policies(RoleName=role)["PolicyNames"]
    before = iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
    iam.delete_role_policy(RoleName=role, PolicyName=name)
    done = execution(region, start(region, runbooks["StartWorkloadInstances"]))
    iam.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=json.dumps(before))
    assert done["AutomationExecutionStatus"] == "Failed" and "UnauthorizedOperation" in done["FailureMessage"]


@contextlib.contextmanager
def without_statement(region: RunningRegion, role: str, sid: str) -> Iterator[None]:
    """Remove a statement from a role's policy temporarily. The statement must exist."""
    iam = region.client("iam")
    (name,) = iam.list_role_policies(RoleName=role)["PolicyNames"]
    before = iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
    after = before | {"Statement": [each for each in before["Statement"] if each["Sid"] != sid]}
    assert len(after["Statement"]) == len(before["Statement"]) - 1
    iam.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=json.dumps(after))
    try:
        yield
    finally:
        iam.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=json.dumps(before))


def test_runbook_role_needs_the_ssm_parameters_of_a_template(region: RunningRegion, runbooks: dict[str, str]) -> None:
    template = WORKLOAD + "  Data:\n    Type: AWS::SQS::Queue\n"
    region.client("s3").put_object(Bucket=BUCKET, Key="images.yaml", Body=template.encode())

    def deploy(image: str) -> dict[str, Any]:
        given = {"TemplateKey": "images.yaml", "StackParameters": json.dumps({"Image": image})}
        return execution(region, start(region, runbooks["DeployWorkloadStack"], **given))

    succeeded(deploy("/imagebuilder/golden-ami/ami"))
    refused = deploy("/elsewhere/ami")
    assert refused["AutomationExecutionStatus"] == "Failed" and NOT_READABLE in refused["FailureMessage"]
    with without_statement(region, runbooks["DeployWorkloadStackRole"], "ReadParametersThatTemplatesName"):
        refused = deploy("/imagebuilder/golden-ami/ami")
    assert refused["AutomationExecutionStatus"] == "Failed" and NOT_READABLE in refused["FailureMessage"]


def test_state_machine_role_needs_the_ssm_parameters_of_a_template(
    region: RunningRegion, runbooks: dict[str, str]
) -> None:
    bucket, machine = runbooks["RecoveryBucket"], runbooks["RegionRecoveryStateMachine"]
    region.client("s3").put_object(Bucket=bucket, Key="templates/images.yaml", Body=WORKLOAD.encode())
    call = {
        "Type": "Task",
        "Resource": "arn:aws:states:::aws-sdk:cloudformation:createStack",
        "Arguments": {
            "StackName": "{% $states.input.stack %}",
            "TemplateURL": f"https://{bucket}.s3.{REGION}.amazonaws.com/templates/images.yaml",
            "RoleARN": STACK_ROLE,
            "Tags": [{"Key": "recovery:workload", "Value": "shop"}],
        },
        "End": True,
    }
    # The state machine with its role and only the step that creates a stack.
    definition = {"QueryLanguage": "JSONata", "StartAt": "CreateStack", "States": {"CreateStack": call}}
    states = region.client("stepfunctions")
    whole = states.describe_state_machine(stateMachineArn=machine)["definition"]
    states.update_state_machine(stateMachineArn=machine, definition=json.dumps(definition))

    def create(stack: str) -> dict[str, Any]:
        arn = states.start_execution(stateMachineArn=machine, input=json.dumps({"stack": stack}))["executionArn"]
        region.wait_until_idle()
        return states.describe_execution(executionArn=arn)

    try:
        with without_statement(region, runbooks["RegionRecoveryRole"], "ReadParametersThatTemplatesName"):
            refused = create("images-unread")
        created = create("images-read")
    finally:
        states.update_state_machine(stateMachineArn=machine, definition=whole)
    assert refused["status"] == "FAILED" and NOT_READABLE in refused["cause"]
    assert created["status"] == "SUCCEEDED", created


def test_notifies_when_lambda_concurrency_is_below_concurrent_restores(
    region: RunningRegion, runbooks: dict[str, str]
) -> None:
    machine, states = runbooks["RegionRecoveryStateMachine"], region.client("stepfunctions")
    whole = states.describe_state_machine(stateMachineArn=machine)["definition"]
    definition = json.loads(whole)
    # Its steps that compare the concurrency, between a given plan and an end.
    given = {
        "drill": "{% $states.input.drill %}",
        "execution": {"arn": "{% $states.context.Execution.Id %}"},
        "plan": {"waves": "{% [$states.input.items.{'items': $}] %}"},
        "request": {"workload": "shop"},
    }
    compared = ("ReadConcurrency", "IsConcurrencyEnough", "NotifyOfConcurrency")
    definition["StartAt"] = "Given"
    definition["States"] = {
        "Given": {"Type": "Pass", "Assign": given, "Next": "ReadConcurrency"},
        **{name: definition["States"][name] for name in compared},
        "Infrastructure": {"Type": "Succeed"},
    }
    states.update_state_machine(stateMachineArn=machine, definition=json.dumps(definition))
    reserved, functions = runbooks["RestoreTestValidatorFunction"], region.client("lambda")

    def notified(items: list[int], drill: bool = False) -> list[str]:
        arn = states.start_execution(stateMachineArn=machine, input=json.dumps({"items": items, "drill": drill}))
        region.wait_until_idle()
        assert states.describe_execution(executionArn=arn["executionArn"])["status"] == "SUCCEEDED"
        return [
            f"{entry['subject']}: {entry['message']}"
            for entry in region.journal("message", topicArn=runbooks["NotificationTopic"])
            if arn["executionArn"] in entry["message"]
        ]

    try:
        assert notified([30, 10]) == []
        # Ten are left for all functions except one.
        limit = functions.get_account_settings()["AccountLimit"]["ConcurrentExecutions"]
        functions.put_function_concurrency(FunctionName=reserved, ReservedConcurrentExecutions=limit - 10)
        assert notified([10, 3]) == [] and notified([]) == []
        (message,) = notified([3, 11])
        assert message.startswith("shop: Lambda concurrency is low in us-west-2: ")
        assert "up to 11 resources in parallel" in message and "can run 10 concurrent Lambda invocations" in message
        # At most RestoreConcurrency restores run concurrently.
        (message,) = notified([4000], drill=True)
        assert message.startswith("[drill] shop: ") and "up to 200 resources in parallel" in message
        with without_statement(region, runbooks["RegionRecoveryRole"], "ReadTheConcurrencyOfLambda"):
            assert notified([11]) == []
    finally:
        functions.delete_function_concurrency(FunctionName=reserved)
        states.update_state_machine(stateMachineArn=machine, definition=whole)
