"""What a drill and its clean-up need: stacks by TemplateURL, their deletion, tags, and permissions limited by tags."""

import json
import uuid
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from machines import make_role, policy
from running_region import ACCOUNT, REGION, RunningRegion, refusal

EXAMPLE = Path(__file__).parents[2] / "infra" / "example-workload.yaml"
IMAGE = "ami-0123456789abcdef0"
BUCKET = "recovery-bucket"
TAG = "recovery:drill"


@pytest.fixture(scope="module")
def templates(region: RunningRegion) -> str:
    """The URL of the folder of templates. The parameter of the golden AMI exists, too."""
    region.client("ssm").put_parameter(Name="/imagebuilder/golden-ami/ami", Value=IMAGE, Type="String")
    s3 = region.client("s3")
    s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
    s3.put_object(Bucket=BUCKET, Key="templates/shop.yaml", Body=EXAMPLE.read_bytes())
    return f"https://{BUCKET}.s3.{REGION}.amazonaws.com/templates"


@pytest.fixture(scope="module")
def stack_role(region: RunningRegion) -> str:
    """The service role of CloudFormation."""
    return make_role(region, "*", service="cloudformation.amazonaws.com")


def create(region: RunningRegion, templates: str, name: str, **params: Any) -> str:
    """Create a stack of the example as a drill does. Returns the id of the complete stack."""
    given = {
        "StackName": name,
        "TemplateURL": f"{templates}/shop.yaml",
        "Parameters": [{"ParameterKey": "DeployedAs", "ParameterValue": "recovery"}],
        "Tags": [{"Key": TAG, "Value": name}],
        "OnFailure": "DO_NOTHING",
        "ClientRequestToken": f"drill-{name}",
    } | params
    stack_id = region.client("cloudformation").create_stack(**given)["StackId"]
    waited(region, stack_id, "CREATE_COMPLETE")
    return stack_id


def waited(region: RunningRegion, stack_id: str, status: str) -> dict[str, Any]:
    """The stack, as soon as it has been in this status."""
    own = (stack_id, "AWS::CloudFormation::Stack", status)
    region.wait_for(1, "stack", lambda entry: (entry["stack"], entry["type"], entry["status"]) == own)
    (stack,) = region.client("cloudformation").describe_stacks(StackName=stack_id)["Stacks"]
    assert stack["StackStatus"] == status, stack.get("StackStatusReason")
    return stack


def client_of(region: RunningRegion, service: str, *statements: dict[str, Any]) -> Any:
    """A client of a user with these permissions."""
    iam, name = region.client("iam"), f"user-{uuid.uuid4().hex}"
    iam.create_user(UserName=name)
    iam.put_user_policy(UserName=name, PolicyName="own", PolicyDocument=policy(*statements))
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return boto3.session.Session().client(
        service,
        region_name=REGION,
        endpoint_url=region.endpoint,
        aws_access_key_id=key["AccessKeyId"],
        aws_secret_access_key=key["SecretAccessKey"],
        config=Config(retries={"total_max_attempts": 1}),
    )


def make_volume(region: RunningRegion, **tags: str) -> str:
    """A volume with tags, in which `_` stands for `:`."""
    specification = {
        "ResourceType": "volume",
        "Tags": [{"Key": key.replace("_", ":"), "Value": value} for key, value in tags.items()],
    }
    options = {"TagSpecifications": [specification]} if tags else {}
    return region.client("ec2").create_volume(AvailabilityZone=f"{REGION}a", Size=1, **options)["VolumeId"]


def tags(resource: dict[str, Any]) -> dict[str, str]:
    """A resource's tags."""
    return {tag["Key"]: tag["Value"] for tag in resource.get("Tags", [])}


def instances(region: RunningRegion, name: str) -> list[dict[str, Any]]:
    """The instances with a drill's tag."""
    reservations = region.client("ec2").describe_instances(Filters=[{"Name": f"tag:{TAG}", "Values": [name]}])
    return [each for reservation in reservations["Reservations"] for each in reservation["Instances"]]


def test_creates_and_deletes_a_drill_stack(region: RunningRegion, templates: str, stack_role: str) -> None:
    ec2, cloudformation = region.client("ec2"), region.client("cloudformation")
    stack_id = create(region, templates, "shop-drill", RoleARN=stack_role)
    (stack,) = cloudformation.describe_stacks(StackName="shop-drill")["Stacks"]
    assert stack["StackId"] == stack_id and tags(stack) == {TAG: "shop-drill"}
    # The server, and the instance of the group.
    made = instances(region, "shop-drill")
    assert len(made) == 2
    roots = [mapping["Ebs"]["VolumeId"] for each in made for mapping in each["BlockDeviceMappings"]]
    assert len(roots) == 2
    data = [make_volume(region, recovery_drill="shop-drill") for _ in made]
    for volume, instance in zip(data, made, strict=True):
        zone = instance["Placement"]["AvailabilityZone"]
        if not zone.endswith("a"):
            continue
        ec2.attach_volume(VolumeId=volume, InstanceId=instance["InstanceId"], Device="/dev/sdf")
        assert refusal(lambda volume=volume: ec2.delete_volume(VolumeId=volume))[0] == "VolumeInUse"
    region.wait_until_idle()
    cloudformation.delete_stack(StackName="shop-drill", RoleARN=stack_role)
    assert waited(region, stack_id, "DELETE_COMPLETE")["StackName"] == "shop-drill"
    code, message = refusal(lambda: cloudformation.describe_stacks(StackName="shop-drill"))
    assert code == "ValidationError" and "does not exist" in message
    for call in (cloudformation.describe_stack_resource,):
        code, message = refusal(lambda call=call: call(StackName="shop-drill", LogicalResourceId="Server"))
        assert code == "ValidationError" and "does not exist" in message
    states = {each["State"]["Name"] for each in instances(region, "shop-drill")}
    assert states <= {"terminated"}
    for root in roots:
        assert refusal(lambda root=root: ec2.describe_volumes(VolumeIds=[root]))[0] == "InvalidVolume.NotFound"
    found = ec2.describe_volumes(Filters=[{"Name": f"tag:{TAG}", "Values": ["shop-drill"]}])["Volumes"]
    assert {volume["VolumeId"]: volume["State"] for volume in found} == dict.fromkeys(data, "available")
    for volume in data:
        ec2.delete_volume(VolumeId=volume)
    assert ec2.describe_tags(Filters=[{"Name": "resource-id", "Values": data}])["Tags"] == []
    # A second clean-up finds nothing to do.
    cloudformation.delete_stack(StackName="shop-drill")
    assert refusal(lambda: ec2.delete_volume(VolumeId=data[0]))[0] == "InvalidVolume.NotFound"


def test_create_stack_rejects_an_existing_stack(region: RunningRegion, templates: str) -> None:
    create(region, templates, "once")
    code, message = refusal(lambda: create(region, templates, "once"))
    assert code == "AlreadyExistsException" and "once" in message
    events = region.client("cloudformation").describe_stack_events(StackName="once")["StackEvents"]
    assert {event["ClientRequestToken"] for event in events} == {"drill-once"}


def test_failed_stack_stays_in_create_failed(region: RunningRegion, templates: str) -> None:
    body = """
Resources:
  Bad: {Type: AWS::EC2::Volume, Properties: {AvailabilityZone: mars-1a, Size: 1}}
"""
    region.client("s3").put_object(Bucket=BUCKET, Key="templates/bad.yaml", Body=body.encode())
    cloudformation = region.client("cloudformation")
    stack_id = cloudformation.create_stack(
        StackName="bad", TemplateURL=f"{templates}/bad.yaml", OnFailure="DO_NOTHING"
    )["StackId"]
    assert "Bad" in waited(region, stack_id, "CREATE_FAILED")["StackStatusReason"]
    assert (
        refusal(lambda: cloudformation.create_stack(StackName="bad", TemplateBody=body))[0] == "AlreadyExistsException"
    )
    cloudformation.delete_stack(StackName="bad")
    waited(region, stack_id, "DELETE_COMPLETE")
    code, _ = refusal(lambda: create(region, templates, "none", TemplateURL=f"{templates}/none.yaml"))
    assert code == "ValidationError"
    code, message = refusal(lambda: create(region, templates, "none", Parameters=[]))
    assert code == "ValidationError" and "DeployedAs" in message


def read_parameter(name: str) -> dict[str, str]:
    """A statement that allows to read an SSM parameter."""
    arn = f"arn:aws:ssm:{REGION}:{ACCOUNT}:parameter/{name}"
    return {"Effect": "Allow", "Action": "ssm:GetParameters", "Resource": arn}


def test_create_stack_needs_the_permissions_of_its_caller(
    region: RunningRegion, templates: str, stack_role: str
) -> None:
    make = {"Effect": "Allow", "Action": "cloudformation:CreateStack", "Resource": "*"}
    read = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{BUCKET}/templates/*"}
    pass_on = {"Effect": "Allow", "Action": "iam:PassRole", "Resource": stack_role}
    request = {
        "StackName": "by-someone",
        "TemplateURL": f"{templates}/shop.yaml",
        "Parameters": [{"ParameterKey": "DeployedAs", "ParameterValue": "recovery"}],
        "RoleARN": stack_role,
    }
    code, message = refusal(lambda: client_of(region, "cloudformation", make, pass_on).create_stack(**request))
    assert code == "ValidationError" and "s3:GetObject" in message
    code, message = refusal(lambda: client_of(region, "cloudformation", make, read).create_stack(**request))
    assert code == "AccessDenied" and "iam:PassRole" in message
    # The service role may read the SSM parameter that ImageId names. Its caller has to as well.
    for unread in ((), (read_parameter("imagebuilder/other/ami"),)):
        someone = client_of(region, "cloudformation", make, read, pass_on, *unread)
        code, message = refusal(lambda someone=someone: someone.create_stack(**request))
        assert code == "ValidationError"
        assert message == "AccessDenied. User doesn't have permission to call ssm:GetParameters"
    someone = client_of(region, "cloudformation", make, read, pass_on, read_parameter("imagebuilder/golden-ami/*"))
    waited(region, someone.create_stack(**request)["StackId"], "CREATE_COMPLETE")
    untrusting = make_role(region, "*", service="lambda.amazonaws.com")
    code, message = refusal(lambda: create(region, templates, "never", RoleARN=untrusting))
    assert code == "ValidationError" and "cannot be assumed" in message


def test_resource_tags_limit_delete_volume(region: RunningRegion) -> None:
    drill, other, bare = (
        make_volume(region, recovery_drill="d1"),
        make_volume(region, recovery_drill="d2"),
        make_volume(region),
    )
    allowed = {"Effect": "Allow", "Action": "ec2:DeleteVolume", "Resource": f"arn:aws:ec2:{REGION}:{ACCOUNT}:volume/*"}
    for condition, may in (
        ({"StringEquals": {f"aws:ResourceTag/{TAG}": "d1"}}, {drill}),
        ({"StringLike": {f"aws:ResourceTag/{TAG}": "d*"}}, {drill, other}),
        ({"Null": {f"aws:ResourceTag/{TAG}": "false"}}, {drill, other}),
        ({"StringLike": {f"aws:ResourceTag/{TAG}": "*"}}, {drill, other}),
    ):
        ec2 = client_of(region, "ec2", allowed | {"Condition": condition})
        for volume in (drill, other, bare):
            # A dry run that would succeed is refused with this code, after the caller's permissions were
            # checked.
            code, _ = refusal(lambda ec2=ec2, volume=volume: ec2.delete_volume(VolumeId=volume, DryRun=True))
            assert code == ("DryRunOperation" if volume in may else "UnauthorizedOperation"), condition
    ec2 = client_of(region, "ec2", allowed | {"Condition": {"StringEquals": {f"aws:ResourceTag/{TAG}": "d1"}}})
    assert refusal(lambda: ec2.delete_volume(VolumeId=bare))[0] == "UnauthorizedOperation"
    ec2.delete_volume(VolumeId=drill)


def test_request_and_resource_tags_limit_create_tags(region: RunningRegion) -> None:
    volume, tagged = make_volume(region), make_volume(region, recovery_drill="d1")
    allowed = {"Effect": "Allow", "Action": "ec2:CreateTags", "Resource": f"arn:aws:ec2:{REGION}:{ACCOUNT}:volume/*"}
    condition = {
        "StringLike": {f"aws:RequestTag/{TAG}": "d*"},
        "ForAllValues:StringEquals": {"aws:TagKeys": [TAG]},
        "Null": {f"aws:ResourceTag/{TAG}": "true"},
    }
    ec2 = client_of(region, "ec2", allowed | {"Condition": condition})

    def tag(*volumes: str, **given: str) -> Any:
        pairs = [{"Key": key.replace("_", ":"), "Value": value} for key, value in given.items()]
        return ec2.create_tags(Resources=list(volumes), Tags=pairs)

    for refused in (
        lambda: tag(volume, recovery_drill="other"),
        lambda: tag(volume, recovery_drill="d1", Name="x"),
        lambda: tag(volume, Name="x"),
        # Each of the resources must be allowed.
        lambda: tag(tagged, recovery_drill="d2"),
        lambda: tag(volume, tagged, recovery_drill="d2"),
    ):
        assert refusal(refused)[0] == "UnauthorizedOperation"
    tag(volume, recovery_drill="d2")
    found = region.client("ec2").describe_volumes(Filters=[{"Name": f"tag:{TAG}", "Values": ["d2"]}])["Volumes"]
    assert volume in [each["VolumeId"] for each in found]


def test_tags_limit_delete_stack_and_create_stack(region: RunningRegion, templates: str) -> None:
    drill = create(region, templates, "tagged-drill")
    other = create(region, templates, "another-drill")
    bare = create(region, templates, "not-a-drill", Tags=[])
    allowed = {
        "Effect": "Allow",
        "Action": "cloudformation:DeleteStack",
        "Resource": f"arn:aws:cloudformation:{REGION}:{ACCOUNT}:stack/*/*",
        "Condition": {"StringEquals": {f"aws:ResourceTag/{TAG}": "tagged-drill"}},
    }
    cloudformation = client_of(region, "cloudformation", allowed)
    for stack in ("not-a-drill", bare, other, "another-drill", "none"):
        code, _ = refusal(lambda stack=stack: cloudformation.delete_stack(StackName=stack))
        assert code == "AccessDenied"
    cloudformation.delete_stack(StackName="tagged-drill")
    waited(region, drill, "DELETE_COMPLETE")
    cloudformation.delete_stack(StackName=drill)
    waited(region, bare, "CREATE_COMPLETE")
    # The tags of the request may limit CreateStack.
    allowed = {
        "Effect": "Allow",
        "Action": "cloudformation:CreateStack",
        "Resource": "*",
        "Condition": {"StringLike": {f"aws:RequestTag/{TAG}": "?*"}},
    }
    maker, body = (
        client_of(region, "cloudformation", allowed),
        json.dumps({"Resources": {"Q": {"Type": "AWS::SQS::Queue"}}}),
    )
    assert refusal(lambda: maker.create_stack(StackName="untagged", TemplateBody=body))[0] == "AccessDenied"
    maker.create_stack(StackName="tagged", TemplateBody=body, Tags=[{"Key": TAG, "Value": "x"}])


def test_creates_and_deletes_tags(region: RunningRegion) -> None:
    ec2, volume = region.client("ec2"), make_volume(region, Name="data")

    def kept() -> dict[str, str]:
        return tags(ec2.describe_volumes(VolumeIds=[volume])["Volumes"][0])

    ec2.create_tags(Resources=[volume], Tags=[{"Key": "Name", "Value": "other"}, {"Key": "a", "Value": ""}])
    assert kept() == {"Name": "other", "a": ""}
    ec2.delete_tags(Resources=[volume], Tags=[{"Key": "Name", "Value": "data"}, {"Key": "none"}])
    assert kept() == {"Name": "other", "a": ""}
    ec2.delete_tags(Resources=[volume], Tags=[{"Key": "Name"}])
    assert kept() == {"a": ""}
    ec2.delete_tags(Resources=[volume])
    assert kept() == {}
    pair = [{"Key": "a", "Value": "b"}]
    for missing, code in (
        ("vol-0123456789abcdef0", "InvalidVolume.NotFound"),
        ("i-0123456789abcdef0", "InvalidInstanceID.NotFound"),
        ("snap-0123456789abcdef0", "InvalidSnapshot.NotFound"),
    ):
        assert refusal(lambda missing=missing: ec2.create_tags(Resources=[missing], Tags=pair))[0] == code
    reserved = [{"Key": "aws:mine", "Value": "x"}]
    assert refusal(lambda: ec2.create_tags(Resources=[volume], Tags=reserved))[0] == "InvalidParameterValue"
    many = [{"Key": f"k{number}", "Value": "x"} for number in range(51)]
    assert refusal(lambda: ec2.create_tags(Resources=[volume], Tags=many))[0] == "TagLimitExceeded"
