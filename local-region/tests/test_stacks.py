"""Templates deployed: the resource types this package adds, updates, failures, and the project's own template."""

import json
from pathlib import Path
from typing import Any

import pytest
from conftest import write_binary
from running_region import ACCOUNT, REGION, RunningRegion, refusal
from samtranslator.yaml_helper import yaml_parse

TEMPLATES = Path(__file__).parent / "templates"
PROJECT_TEMPLATE = Path(__file__).parents[2] / "template.yaml"
ZONE = f"{REGION}b"


@pytest.fixture(scope="module")
def workload(region: RunningRegion) -> dict[str, Any]:
    """The stack of workload.yaml."""
    return region.deploy(TEMPLATES / "workload.yaml", "workload", "--parameter", f"Zone={ZONE}")


def instance(region: RunningRegion, instance_id: str) -> dict[str, Any]:
    """The instance, as DescribeInstances returns it."""
    return region.client("ec2").describe_instances(InstanceIds=[instance_id])["Reservations"][0]["Instances"][0]


def tags(resource: dict[str, Any]) -> dict[str, str]:
    """A resource's tags."""
    return {tag["Key"]: tag["Value"] for tag in resource["Tags"]}


def deploy_text(region: RunningRegion, folder: Path, name: str, text: str, *options: str) -> Any:
    """Deploy a template given as text. Returns the finished command."""
    path = folder / "template.yaml"
    path.write_text(text)
    return region.run_deploy(path, name, *options)


def test_instance_has_the_zone_and_tags_of_its_stack(region: RunningRegion, workload: dict[str, Any]) -> None:
    server = instance(region, workload["resources"]["Server"])
    assert workload["outputs"]["ServerId"] == server["InstanceId"]
    assert server["State"]["Name"] == "running" and server["Placement"]["AvailabilityZone"] == ZONE
    assert tags(server)["Name"] == "workload-server"
    assert (
        tags(server)["aws:cloudformation:stack-name"] == "workload"
        and tags(server)["aws:cloudformation:logical-id"] == "Server"
    )


def test_stack_attaches_its_volume(region: RunningRegion, workload: dict[str, Any]) -> None:
    region.wait_until_idle()
    volume = region.client("ec2").describe_volumes(VolumeIds=[workload["resources"]["Data"]])["Volumes"][0]
    assert [(a["InstanceId"], a["Device"], a["State"]) for a in volume["Attachments"]] == [
        (workload["resources"]["Server"], "/dev/sdf", "attached"),
    ]
    assert tags(volume)["recovery:workload"] == "shop"


def test_group_launches_its_instance(region: RunningRegion, workload: dict[str, Any]) -> None:
    group = workload["resources"]["Group"]
    filters = [
        {"Name": "tag:aws:autoscaling:groupName", "Values": [group]},
        {"Name": "instance-state-name", "Values": ["running"]},
    ]
    reservations = region.client("ec2").describe_instances(Filters=filters)["Reservations"]
    (member,) = [each for reservation in reservations for each in reservation["Instances"]]
    assert member["InstanceType"] == "t3.small" and member["Placement"]["AvailabilityZone"] == ZONE
    assert tags(member)["role"] == "web" and "hidden" not in tags(member)
    assert tags(member)["aws:cloudformation:logical-id"] == "Group"
    (described,) = region.client("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=[group])[
        "AutoScalingGroups"
    ]
    assert [each["InstanceId"] for each in described["Instances"]] == [member["InstanceId"]]


def test_group_follows_its_desired_capacity(region: RunningRegion, workload: dict[str, Any]) -> None:
    group, autoscaling = workload["resources"]["Group"], region.client("autoscaling")

    def members() -> list[str]:
        (described,) = autoscaling.describe_auto_scaling_groups(AutoScalingGroupNames=[group])["AutoScalingGroups"]
        return [each["InstanceId"] for each in described["Instances"]]

    autoscaling.set_desired_capacity(AutoScalingGroupName=group, DesiredCapacity=2)
    first, second = members()
    autoscaling.set_desired_capacity(AutoScalingGroupName=group, DesiredCapacity=1)
    assert members() == [first]
    assert instance(region, second)["State"]["Name"] == "terminated"


def test_describes_a_stack_resource(region: RunningRegion, workload: dict[str, Any]) -> None:
    cloudformation = region.client("cloudformation")
    detail = cloudformation.describe_stack_resource(StackName="workload", LogicalResourceId="Server")[
        "StackResourceDetail"
    ]
    assert (
        detail["PhysicalResourceId"] == workload["resources"]["Server"]
        and detail["ResourceType"] == "AWS::EC2::Instance"
    )
    assert refusal(
        lambda: cloudformation.describe_stack_resource(StackName="workload", LogicalResourceId="Nothing")
    ) == (
        "ValidationError",
        "Resource Nothing does not exist for stack workload",
    )
    assert refusal(lambda: cloudformation.describe_stack_resource(StackName="nothing", LogicalResourceId="Server")) == (
        "ValidationError",
        "Stack 'nothing' does not exist",
    )


def test_an_instance_profile_is_known_by_its_name(region: RunningRegion) -> None:
    foundation = Path(__file__).parents[2] / "crates" / "rehearsal" / "foundation.yaml"
    name = region.deploy(foundation, "profiles", "--capability", "CAPABILITY_IAM")["outputs"]["InstanceProfileName"]
    iam = region.client("iam")
    (role,) = iam.get_instance_profile(InstanceProfileName=name)["InstanceProfile"]["Roles"]
    assert "ServerRole" in role["RoleName"]
    region.client("cloudformation").delete_stack(StackName="profiles")
    region.wait_until_idle()
    assert refusal(lambda: iam.get_instance_profile(InstanceProfileName=name))[0] == "NoSuchEntity"


def test_deleting_a_stack_deletes_its_resources(region: RunningRegion) -> None:
    stack = region.deploy(TEMPLATES / "workload.yaml", "short-lived", "--parameter", f"Zone={ZONE}")
    cloudformation = region.client("cloudformation")
    cloudformation.delete_stack(StackName="short-lived")
    cloudformation.get_waiter("stack_delete_complete").wait(StackName="short-lived", WaiterConfig={"Delay": 1})
    assert instance(region, stack["resources"]["Server"])["State"]["Name"] == "terminated"
    code, _ = refusal(lambda: region.client("ec2").describe_volumes(VolumeIds=[stack["resources"]["Data"]]))
    assert code == "InvalidVolume.NotFound"


def test_updates_a_function_in_place(region: RunningRegion, binaries: Path, tmp_path: Path) -> None:
    template, options = TEMPLATES / "functions.yaml", ("--binaries", str(binaries))
    before = region.deploy(template, "updated", *options, "--parameter", "Greeting=hello")
    invoke = region.client("lambda").invoke
    name = before["resources"]["TinyFunction"]
    assert json.load(invoke(FunctionName=name)["Payload"])["greeting"] == "hello from us-west-2"
    write_binary(tmp_path / "tiny", "greeting", "salutation")
    after = region.deploy(
        template,
        "updated",
        "--binaries",
        str(tmp_path),
        "--parameter",
        "Greeting=good day",
        "--parameter",
        "WithQueue=no",
    )
    assert after["status"] == "UPDATE_COMPLETE" and after["resources"]["TinyFunction"] == name
    assert json.load(invoke(FunctionName=name)["Payload"])["salutation"] == "good day"
    again = region.deploy(
        template,
        "updated",
        "--binaries",
        str(tmp_path),
        "--parameter",
        "Greeting=good day",
        "--parameter",
        "WithQueue=no",
    )
    assert again == after


# What the template deploys and AWS tags as it is created, each in its smallest form, one with a tag of its own.
TAGGED = f"""
Transform: AWS::Serverless-2016-10-31
Resources:
  Alarm:
    Type: AWS::CloudWatch::Alarm
    Properties: {{Namespace: AWS/SQS, MetricName: Age, Statistic: Sum, Period: 60, EvaluationPeriods: 1,
      Threshold: 0, ComparisonOperator: GreaterThanThreshold}}
  Bucket: {{Type: AWS::S3::Bucket}}
  Function:
    Type: AWS::Serverless::Function
    Metadata: {{BuildProperties: {{Binary: tiny}}}}
    Properties: {{Runtime: provided.al2023, Handler: bootstrap, Role: !GetAtt Role.Arn, Tags: {{tier: own}}}}
  Key:
    Type: AWS::KMS::Key
    Properties:
      KeyPolicy:
        Version: "2012-10-17"
        Statement: {{Effect: Allow, Principal: {{AWS: "arn:aws:iam::{ACCOUNT}:root"}}, Action: "kms:*", Resource: "*"}}
  LogGroup: {{Type: AWS::Logs::LogGroup}}
  Machine:
    Type: AWS::Serverless::StateMachine
    Properties:
      Definition: {{StartAt: Done, States: {{Done: {{Type: Succeed}}}}}}
      Role: !GetAtt Role.Arn
  Queue: {{Type: AWS::SQS::Queue}}
  Role:
    Type: AWS::IAM::Role
    Properties:
      AssumeRolePolicyDocument:
        Version: "2012-10-17"
        Statement: {{Effect: Allow, Principal: {{Service: lambda.amazonaws.com}}, Action: "sts:AssumeRole"}}
  Rule:
    Type: AWS::Events::Rule
    Properties: {{EventPattern: {{source: [nothing]}}}}
  Runbook:
    Type: AWS::SSM::Document
    Properties:
      DocumentType: Automation
      Content: {{schemaVersion: "0.3", mainSteps: [{{name: nap, action: "aws:sleep"}}]}}
  Topic: {{Type: AWS::SNS::Topic}}
  Vault:
    Type: AWS::Backup::BackupVault
    Properties: {{BackupVaultName: tagged}}
Outputs:
  Alarm: {{Value: !GetAtt Alarm.Arn}}
  Rule: {{Value: !GetAtt Rule.Arn}}
  Vault: {{Value: !GetAtt Vault.BackupVaultArn}}
"""


def tags_by_resource(region: RunningRegion, stack: dict[str, Any]) -> dict[str, dict[str, str]]:
    """The tags of each resource of `TAGGED`, from its own service."""
    arn, name = stack["outputs"], stack["resources"]
    as_list = {
        "Alarm": region.client("cloudwatch").list_tags_for_resource(ResourceARN=arn["Alarm"])["Tags"],
        "Bucket": region.client("s3").get_bucket_tagging(Bucket=name["Bucket"])["TagSet"],
        "Role": region.client("iam").list_role_tags(RoleName=name["Role"])["Tags"],
        "Rule": region.client("events").list_tags_for_resource(ResourceARN=arn["Rule"])["Tags"],
        "Runbook": region.client("ssm").list_tags_for_resource(ResourceType="Document", ResourceId=name["Runbook"])[
            "TagList"
        ],
        "Topic": region.client("sns").list_tags_for_resource(ResourceArn=name["Topic"])["Tags"],
    }
    described = region.client("lambda").get_function(FunctionName=name["Function"])
    key = region.client("kms").list_resource_tags(KeyId=name["Key"])["Tags"]
    machine = region.client("stepfunctions").list_tags_for_resource(resourceArn=name["Machine"])["tags"]
    return {
        **{resource: {tag["Key"]: tag["Value"] for tag in tags} for resource, tags in as_list.items()},
        "Function": described["Tags"],
        "Key": {tag["TagKey"]: tag["TagValue"] for tag in key},
        "LogGroup": region.client("logs").list_tags_log_group(logGroupName=name["LogGroup"])["tags"],
        "Machine": {tag["key"]: tag["value"] for tag in machine},
        "Queue": region.client("sqs").list_queue_tags(QueueUrl=name["Queue"])["Tags"],
        "Vault": region.client("backup").list_tags(ResourceArn=arn["Vault"])["Tags"],
    }


def test_passes_the_tags_of_a_stack_to_its_resources(region: RunningRegion, binaries: Path, tmp_path: Path) -> None:
    def deploy(tag: str) -> dict[str, Any]:
        done = deploy_text(region, tmp_path, "tagged", TAGGED, "--binaries", str(binaries), "--tag", tag)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    stack = deploy("application=rapid-recovery")
    for resource, tags_of in tags_by_resource(region, stack).items():
        assert tags_of["application"] == "rapid-recovery", (resource, tags_of)
        assert tags_of["aws:cloudformation:logical-id"].startswith(resource), (resource, tags_of)
        assert (tags_of.get("tier") == "own") == (resource == "Function"), (resource, tags_of)
    updated = deploy("application=recovery")
    # What changed is the tags, not what has them: not even the version of the runbook.
    assert updated["resources"] == stack["resources"]
    runbook = region.client("ssm").describe_document(Name=stack["resources"]["Runbook"])["Document"]
    assert runbook["LatestVersion"] == "1"
    for resource, tags_of in tags_by_resource(region, updated).items():
        assert tags_of["application"] == "recovery", (resource, tags_of)


def test_refuses_a_tag_that_is_not_a_pair(region: RunningRegion, tmp_path: Path) -> None:
    done = deploy_text(region, tmp_path, "tagged-badly", TAGGED, "--tag", "application")
    assert done.returncode == 2 and "--tag application is not KEY=VALUE" in done.stderr


def test_packages_an_include_and_a_state_machine(region: RunningRegion, tmp_path: Path) -> None:
    (tmp_path / "runbook.yaml").write_text("schemaVersion: '0.3'\nmainSteps: [{name: nap, action: 'aws:sleep'}]\n")
    (tmp_path / "machine.asl.yaml").write_text(
        "StartAt: Done\nStates: {Done: {Type: Pass, Result: '${Word}', End: true}}\n"
    )
    done = deploy_text(
        region,
        tmp_path,
        "packaged",
        f"""
Transform: AWS::Serverless-2016-10-31
Resources:
  Runbook:
    Type: AWS::SSM::Document
    Properties:
      DocumentType: Automation
      Content:
        Fn::Transform: {{Name: AWS::Include, Parameters: {{Location: runbook.yaml}}}}
  Machine:
    Type: AWS::Serverless::StateMachine
    Properties:
      DefinitionUri: machine.asl.yaml
      DefinitionSubstitutions: {{Word: done}}
      Role: arn:aws:iam::{ACCOUNT}:role/machine
""",
    )
    assert done.returncode == 0, done.stderr
    resources = json.loads(done.stdout)["resources"]
    assert region.client("ssm").describe_document(Name=resources["Runbook"])["Document"]["DocumentType"] == "Automation"
    answer = region.client("stepfunctions").start_execution(stateMachineArn=resources["Machine"])
    assert wait_for_execution(region, answer["executionArn"])["output"] == '"done"'
    (tmp_path / "runbook.yaml").write_text("schemaVersion: '0.3'\nmainSteps: [{name: rest, action: 'aws:sleep'}]\n")
    assert region.deploy(tmp_path / "template.yaml", "packaged")["status"] == "UPDATE_COMPLETE"
    assert "rest" in region.client("ssm").get_document(Name=resources["Runbook"])["Content"]


def wait_for_execution(region: RunningRegion, arn: str) -> dict[str, Any]:
    """The execution when it has ended."""
    region.wait_until_idle()
    return region.client("stepfunctions").describe_execution(executionArn=arn)


def test_state_machines_call_backup_and_cloudformation(region: RunningRegion, workload: dict[str, Any]) -> None:
    states = {
        "Look": {
            "Type": "Task",
            "Resource": "arn:aws:states:::aws-sdk:cloudformation:describeStackResource",
            "Parameters": {"StackName": "workload", "LogicalResourceId": "Server"},
            "ResultPath": "$.found",
            "Next": "Restore",
        },
        "Restore": {
            "Type": "Task",
            "Resource": "arn:aws:states:::aws-sdk:backup:startRestoreJob",
            "Parameters": {
                "RecoveryPointArn": f"arn:aws:ec2:{REGION}::snapshot/snap-0",
                "IamRoleArn": "role",
                "Metadata": {"availabilityZone": ZONE},
            },
            "Catch": [{"ErrorEquals": ["Backup.ResourceNotFoundException"], "ResultPath": "$.error", "Next": "End"}],
            "Next": "End",
        },
        "End": {"Type": "Pass", "End": True},
    }
    trust = {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Principal": {"Service": "states.amazonaws.com"}, "Action": "sts:AssumeRole"}
        ],
    }
    role = region.client("iam").create_role(RoleName="machine", AssumeRolePolicyDocument=json.dumps(trust))["Role"]
    allowed = {
        "Effect": "Allow",
        "Action": ["cloudformation:DescribeStackResource", "backup:StartRestoreJob", "iam:PassRole"],
        "Resource": "*",
    }
    region.client("iam").put_role_policy(
        RoleName="machine",
        PolicyName="own",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [allowed]}),
    )
    machine = region.client("stepfunctions").create_state_machine(
        name="calls",
        roleArn=role["Arn"],
        definition=json.dumps({"StartAt": "Look", "States": states}),
    )
    answer = region.client("stepfunctions").start_execution(stateMachineArn=machine["stateMachineArn"], input="{}")
    ended = wait_for_execution(region, answer["executionArn"])
    output = json.loads(ended["output"])
    assert output["found"]["StackResourceDetail"]["PhysicalResourceId"] == workload["resources"]["Server"]
    assert "Recovery point does not exist" in output["error"]["Cause"]
    assert region.journal("call", caller="state-machine", operation="DescribeStackResource")


@pytest.mark.parametrize(
    ("text", "options", "complaint"),
    [
        ("Parameters: {Size: {Type: Number}}\nResources: {Q: {Type: AWS::SQS::Queue}}", (), "--parameter Size=..."),
        ("Resources: {Q: {Type: AWS::SQS::Queue}}", ("--parameter", "Size=1"), "declares no parameter Size"),
        ("Resources: {Q: {Type: AWS::Nothing::AtAll}}", (), "AWS::Nothing::AtAll"),
        (
            "Resources: {V: {Type: AWS::EC2::Volume, Properties: {AvailabilityZone: mars-1a, Size: 1}}}",
            (),
            "InvalidZone.NotFound",
        ),
        ("Resources: [", (), "is not YAML"),
        ("Parameters: {}", (), "has no Resources"),
    ],
)
def test_failed_deployment_reports_its_reason(
    region: RunningRegion,
    tmp_path: Path,
    text: str,
    options: tuple[str, ...],
    complaint: str,
) -> None:
    done = deploy_text(region, tmp_path, f"failing-{tmp_path.name[-2:].strip('_')}", text, *options)
    assert done.returncode == 1 and done.stdout == ""
    assert complaint in done.stderr and "Traceback" not in done.stderr


def test_names_a_missing_binary_with_a_remedy(region: RunningRegion, tmp_path: Path) -> None:
    done = region.run_deploy(
        TEMPLATES / "functions.yaml", "no-binary", "--binaries", str(tmp_path), "--parameter", "Greeting=x"
    )
    assert done.returncode == 1
    assert (
        "TinyFunction" in done.stderr
        and str(tmp_path / "tiny") in done.stderr
        and "cargo build --bin tiny" in done.stderr
    )


def test_deploys_only_to_loopback() -> None:
    done = RunningRegion.run_deploy_to(
        "https://cloudformation.us-west-2.amazonaws.com", TEMPLATES / "workload.yaml", "elsewhere"
    )
    assert done.returncode == 1 and "not on loopback" in done.stderr


@pytest.mark.skipif(not PROJECT_TEMPLATE.exists(), reason="the project's template is missing")
def test_deploys_the_project_template(region: RunningRegion, tmp_path: Path) -> None:
    for resource in yaml_parse(PROJECT_TEMPLATE.read_text())["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Function":
            write_binary(tmp_path / resource["Metadata"]["BuildProperties"]["Binary"])
    parameters = ("--parameter", "PrimaryRegion=us-east-1", "--parameter", "Architecture=x86_64")
    options = ("--binaries", str(tmp_path), *parameters)
    stack = region.deploy(PROJECT_TEMPLATE, "rapid-recovery", *options)
    assert stack["status"] == "CREATE_COMPLETE"
    # Resources that a deleted stack of this name has retained do not prevent it.
    cloudformation, kept = region.client("cloudformation"), stack["resources"]["HeartbeatLogGroup"]
    cloudformation.delete_stack(StackName="rapid-recovery")
    cloudformation.get_waiter("stack_delete_complete").wait(StackName="rapid-recovery", WaiterConfig={"Delay": 1})
    groups = region.client("logs").describe_log_groups(logGroupNamePrefix=kept)["logGroups"]
    assert [group["logGroupName"] for group in groups] == [kept]
    stack = region.deploy(PROJECT_TEMPLATE, "rapid-recovery", *options)
    assert stack["status"] == "CREATE_COMPLETE"
    event_id = region.send(
        source="aws.backup",
        detail_type="Restore Job State Change",
        detail={"restoreJobId": "job", "resourceType": "EBS", "status": "COMPLETED"},
    )
    region.wait_until_idle()
    invoked = {entry["logicalId"] for entry in region.journal("invocation", eventId=event_id)}
    assert invoked == {"RestoreIntegratorFunction", "OpsitemCreatorFunction"}
    assert region.journal("dead-letter", eventId=event_id) == []
