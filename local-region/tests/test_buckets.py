"""S3 buckets as an integrator, a plan and a clean-up see them; and buckets in stacks."""

import json
from typing import Any

import pytest
from machines import SDK, make_role, output, run, task
from running_region import REGION, RunningRegion, refusal
from stores import tag_list, unique
from test_database_rights import allow
from test_drills import client_of, waited


def make_bucket(region: RunningRegion, versioned: bool = True, where: str = REGION, **params: Any) -> str:
    """Create a bucket; its name."""
    s3, name = region.client("s3", where), unique("bucket")
    location = {} if where == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": where}}
    s3.create_bucket(Bucket=name, **location, **params)
    if versioned:
        s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    return name


def stack_of(region: RunningRegion, status: str = "CREATE_COMPLETE", **properties: Any) -> tuple[str, str]:
    """A stack with a bucket; its name and the bucket's."""
    cloudformation, name = region.client("cloudformation"), unique("stack")
    template = {"Resources": {"Files": {"Type": "AWS::S3::Bucket", "Properties": properties}}}
    cloudformation.create_stack(
        StackName=name, TemplateBody=json.dumps(template), Tags=tag_list({"recovery:drill": name})
    )
    waited(region, cloudformation.describe_stacks(StackName=name)["Stacks"][0]["StackId"], status)
    resource = cloudformation.describe_stack_resource(StackName=name, LogicalResourceId="Files")
    return name, resource["StackResourceDetail"]["PhysicalResourceId"]


def ownership(s3: Any, bucket: str) -> str:
    """A bucket's Object Ownership."""
    (rule,) = s3.get_bucket_ownership_controls(Bucket=bucket)["OwnershipControls"]["Rules"]
    return rule["ObjectOwnership"]


def test_new_bucket_has_no_versions_and_no_acls(region: RunningRegion) -> None:
    s3, name = region.client("s3"), make_bucket(region, versioned=False)
    assert "Status" not in s3.get_bucket_versioning(Bucket=name)
    assert ownership(s3, name) == "BucketOwnerEnforced"
    assert s3.head_bucket(Bucket=name)["BucketRegion"] == REGION
    assert refusal(lambda: s3.get_bucket_tagging(Bucket=name))[0] == "NoSuchTagSet"


@pytest.mark.parametrize(
    "operation",
    ["get_bucket_versioning", "get_bucket_ownership_controls", "get_bucket_tagging", "list_object_versions"],
)
def test_bucket_that_does_not_exist(region: RunningRegion, operation: str) -> None:
    s3 = region.client("s3")
    assert refusal(lambda: getattr(s3, operation)(Bucket=unique("none")))[0] == "NoSuchBucket"
    assert refusal(lambda: s3.head_bucket(Bucket=unique("none")))[0] == "404"


def test_stack_makes_a_bucket_as_its_template_says(region: RunningRegion) -> None:
    key = region.client("kms").create_key()["KeyMetadata"]["Arn"]
    default = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key}
    stack, name = stack_of(
        region,
        VersioningConfiguration={"Status": "Enabled"},
        OwnershipControls={"Rules": [{"ObjectOwnership": "ObjectWriter"}]},
        BucketEncryption={"ServerSideEncryptionConfiguration": [{"ServerSideEncryptionByDefault": default}]},
    )
    s3 = region.client("s3")
    assert s3.get_bucket_versioning(Bucket=name)["Status"] == "Enabled"
    assert ownership(s3, name) == "ObjectWriter"
    (rule,) = s3.get_bucket_encryption(Bucket=name)["ServerSideEncryptionConfiguration"]["Rules"]
    assert rule["ApplyServerSideEncryptionByDefault"] == default
    tags = {tag["Key"]: tag["Value"] for tag in s3.get_bucket_tagging(Bucket=name)["TagSet"]}
    assert tags["recovery:drill"] == stack and tags["aws:cloudformation:logical-id"] == "Files"
    _, plain = stack_of(region, OwnershipControls={"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]})
    assert ownership(s3, plain) == "BucketOwnerEnforced"
    assert "Status" not in s3.get_bucket_versioning(Bucket=plain)


def test_system_tags_of_a_bucket_stay(region: RunningRegion) -> None:
    _, name = stack_of(region)
    s3 = region.client("s3")
    tags = s3.get_bucket_tagging(Bucket=name)["TagSet"]
    own = [tag for tag in tags if not tag["Key"].startswith("aws:")]
    assert own and own != tags
    code, message = refusal(lambda: s3.put_bucket_tagging(Bucket=name, Tagging={"TagSet": own}))
    assert code == "InvalidTag" and "System Tags cannot be removed" in message
    assert refusal(lambda: s3.delete_bucket_tagging(Bucket=name))[0] == "InvalidTag"
    s3.put_bucket_tagging(Bucket=name, Tagging={"TagSet": [*tags, {"Key": "a", "Value": "1"}]})
    assert len(s3.get_bucket_tagging(Bucket=name)["TagSet"]) == len(tags) + 1


def test_stack_keeps_a_bucket_that_is_not_empty(region: RunningRegion) -> None:
    stack, name = stack_of(region, VersioningConfiguration={"Status": "Enabled"})
    s3, cloudformation = region.client("s3"), region.client("cloudformation")
    s3.put_object(Bucket=name, Key="a", Body=b"1")
    # A delete marker hides the object, and its version stays.
    s3.delete_object(Bucket=name, Key="a")
    stack_id = cloudformation.describe_stacks(StackName=stack)["Stacks"][0]["StackId"]
    cloudformation.delete_stack(StackName=stack)
    waited(region, stack_id, "DELETE_FAILED")
    (failed,) = [
        event
        for event in cloudformation.describe_stack_events(StackName=stack_id)["StackEvents"]
        if (event["LogicalResourceId"], event["ResourceStatus"]) == ("Files", "DELETE_FAILED")
    ]
    assert "not empty" in failed["ResourceStatusReason"]
    empty(s3, name)
    cloudformation.delete_stack(StackName=stack)
    waited(region, stack_id, "DELETE_COMPLETE")
    assert refusal(lambda: s3.get_bucket_versioning(Bucket=name))[0] == "NoSuchBucket"


def empty(s3: Any, bucket: str) -> None:
    """Delete all versions and delete markers of a bucket, a page at a time."""
    pages = s3.get_paginator("list_object_versions").paginate(Bucket=bucket, PaginationConfig={"PageSize": 2})
    found = [
        {"Key": each["Key"], "VersionId": each["VersionId"]}
        for page in pages
        for each in (*page.get("Versions", []), *page.get("DeleteMarkers", []))
    ]
    answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": found, "Quiet": True})
    assert "Errors" not in answer, answer["Errors"]


def test_bucket_is_deleted_when_its_versions_are(region: RunningRegion) -> None:
    s3, name = region.client("s3"), make_bucket(region)
    for n in range(5):
        s3.put_object(Bucket=name, Key=f"{n % 2}", Body=b"1")
    s3.delete_object(Bucket=name, Key="0")
    assert refusal(lambda: s3.delete_bucket(Bucket=name))[0] == "BucketNotEmpty"
    empty(s3, name)
    s3.delete_bucket(Bucket=name)
    assert refusal(lambda: s3.list_object_versions(Bucket=name))[0] == "NoSuchBucket"


def test_delete_objects_answers_for_each_key(region: RunningRegion) -> None:
    s3, name = region.client("s3"), make_bucket(region)
    keys = ["mine/1", "other/1", "mine/2"]
    versions = [{"Key": key, "VersionId": s3.put_object(Bucket=name, Key=key, Body=b"1")["VersionId"]} for key in keys]
    mine = client_of(region, "s3", allow("s3:DeleteObjectVersion", f"arn:aws:s3:::{name}/mine/*"))
    answer = mine.delete_objects(Bucket=name, Delete={"Objects": versions})
    assert [each["Key"] for each in answer["Deleted"]] == ["mine/1", "mine/2"]
    (error,) = answer["Errors"]
    assert (error["Key"], error["Code"], error["VersionId"]) == ("other/1", "AccessDenied", versions[1]["VersionId"])
    assert [each["Key"] for each in s3.list_objects_v2(Bucket=name)["Contents"]] == ["other/1"]
    # A version is another right than the object.
    answer = mine.delete_objects(Bucket=name, Delete={"Objects": [{"Key": "mine/3"}]})
    assert [each["Code"] for each in answer["Errors"]] == ["AccessDenied"]


def test_reveals_missing_objects_only_to_callers_who_may_list(region: RunningRegion) -> None:
    s3, name = region.client("s3"), make_bucket(region)
    s3.put_object(Bucket=name, Key="there", Body=b"1")
    read = allow("s3:GetObject", f"arn:aws:s3:::{name}/*")
    reader = client_of(region, "s3", read)
    lister = client_of(region, "s3", read, allow("s3:ListBucket", f"arn:aws:s3:::{name}"))
    for caller, get, head in ((reader, "AccessDenied", "403"), (lister, "NoSuchKey", "404")):
        assert caller.get_object(Bucket=name, Key="there")["Body"].read() == b"1"
        assert refusal(lambda caller=caller: caller.get_object(Bucket=name, Key="none"))[0] == get
        assert refusal(lambda caller=caller: caller.head_object(Bucket=name, Key="none"))[0] == head


RIGHTS = {
    "get_bucket_versioning": "s3:GetBucketVersioning",
    "get_bucket_ownership_controls": "s3:GetBucketOwnershipControls",
    "get_bucket_tagging": "s3:GetBucketTagging",
    "list_object_versions": "s3:ListBucketVersions",
    "list_objects_v2": "s3:ListBucket",
    "head_bucket": "s3:ListBucket",
    "delete_bucket": "s3:DeleteBucket",
}


@pytest.mark.parametrize(("operation", "action"), RIGHTS.items())
def test_each_call_needs_its_right(region: RunningRegion, operation: str, action: str) -> None:
    name = make_bucket(region)
    region.client("s3").put_bucket_tagging(Bucket=name, Tagging={"TagSet": tag_list({"a": "1"})})
    others = [each for each in RIGHTS.values() if each != action]
    arn = f"arn:aws:s3:::{name}"
    code, _ = refusal(lambda: getattr(client_of(region, "s3", allow(others, arn)), operation)(Bucket=name))
    assert code == ("403" if operation == "head_bucket" else "AccessDenied")
    getattr(client_of(region, "s3", allow(action, arn)), operation)(Bucket=name)


def test_policies_see_no_tags_of_buckets(region: RunningRegion) -> None:
    name = make_bucket(region)
    region.client("s3").put_bucket_tagging(Bucket=name, Tagging={"TagSet": tag_list({"recovery:drill": "x"})})
    of_drill = {"StringEquals": {"aws:ResourceTag/recovery:drill": "x"}}
    s3 = client_of(region, "s3", allow("s3:DeleteBucket", f"arn:aws:s3:::{name}", **of_drill))
    assert refusal(lambda: s3.delete_bucket(Bucket=name))[0] == "AccessDenied"


def test_states_read_a_bucket(region: RunningRegion) -> None:
    name = make_bucket(region)
    role = make_role(region, "s3:GetBucketVersioning")
    states = {"Read": task(f"{SDK}s3:getBucketVersioning", {"Bucket": name})}
    assert output(run(region, role, states))["Status"] == "Enabled"
