"""The recovery Region's stack of a database: the groups it makes, their names, and what takes time."""

import json
from typing import Any

import pytest
from running_region import REGION, RunningRegion, refusal
from stores import make_cluster, make_instance, unique

NETWORK: dict[str, Any] = {
    "Vpc": {"Type": "AWS::EC2::VPC", "Properties": {"CidrBlock": "10.9.0.0/16"}},
    "First": {
        "Type": "AWS::EC2::Subnet",
        "Properties": {"VpcId": {"Ref": "Vpc"}, "CidrBlock": "10.9.1.0/24", "AvailabilityZone": f"{REGION}a"},
    },
    "Second": {
        "Type": "AWS::EC2::Subnet",
        "Properties": {"VpcId": {"Ref": "Vpc"}, "CidrBlock": "10.9.2.0/24", "AvailabilityZone": f"{REGION}b"},
    },
    "Database": {
        "Type": "AWS::EC2::SecurityGroup",
        "Properties": {"VpcId": {"Ref": "Vpc"}, "GroupDescription": "databases"},
    },
}
SUBNETS = {"DBSubnetGroupDescription": "databases", "SubnetIds": [{"Ref": "First"}, {"Ref": "Second"}]}
STACK = "AWS::CloudFormation::Stack"


def create(region: RunningRegion, resources: dict[str, Any], status: str = "CREATE_COMPLETE") -> str:
    """A stack of these resources, when it is over; its name."""
    name = unique("Stack")
    stack_id = region.client("cloudformation").create_stack(
        StackName=name, TemplateBody=json.dumps({"Resources": resources}), OnFailure="DO_NOTHING"
    )["StackId"]
    region.wait_for(1, "stack", lambda e: (e["stack"], e["type"], e["status"]) == (stack_id, STACK, status))
    return name


def physical_ids(region: RunningRegion, stack: str) -> dict[str, str]:
    """Physical ids by logical id."""
    pages = region.client("cloudformation").get_paginator("list_stack_resources").paginate(StackName=stack)
    return {
        each["LogicalResourceId"]: each["PhysicalResourceId"]
        for page in pages
        for each in page["StackResourceSummaries"]
    }


def group(kind: str, **properties: Any) -> dict[str, Any]:
    """A resource."""
    return {"Type": kind, "Properties": properties}


def test_database_uses_the_groups_of_its_stack(region: RunningRegion) -> None:
    stack = create(
        region,
        NETWORK
        | {
            "Subnets": group("AWS::RDS::DBSubnetGroup", **SUBNETS),
            "Named": group("AWS::RDS::DBSubnetGroup", DBSubnetGroupName=unique("Orders"), **SUBNETS),
            "Parameters": group("AWS::RDS::DBParameterGroup", Family="postgres16", Description="x"),
            "Cluster": group("AWS::RDS::DBClusterParameterGroup", Family="aurora-postgresql16", Description="x"),
            "Options": group(
                "AWS::RDS::OptionGroup",
                EngineName="postgres",
                MajorEngineVersion="16",
                OptionGroupDescription="x",
                Tags=[{"Key": "a", "Value": "1"}],
            ),
        },
    )
    ids, rds = physical_ids(region, stack), region.client("rds")
    # Names, in small letters; the id of a security group.
    assert all(ids[name] == ids[name].lower() for name in ("Subnets", "Named", "Parameters", "Cluster", "Options"))
    assert ids["Database"].startswith("sg-") and ids["First"].startswith("subnet-")
    (found,) = rds.describe_db_subnet_groups(DBSubnetGroupName=ids["Subnets"])["DBSubnetGroups"]
    assert found["VpcId"] == ids["Vpc"]
    instance = make_instance(
        region,
        DBSubnetGroupName=ids["Subnets"],
        VpcSecurityGroupIds=[ids["Database"]],
        DBParameterGroupName=ids["Parameters"],
        OptionGroupName=ids["Options"],
    )
    assert instance["OptionGroupMemberships"][0]["OptionGroupName"] == ids["Options"]
    arn = instance["DBInstanceArn"].replace(f":db:{instance['DBInstanceIdentifier']}", f":og:{ids['Options']}")
    tags = {tag["Key"]: tag["Value"] for tag in rds.list_tags_for_resource(ResourceName=arn)["TagList"]}
    assert tags["a"] == "1" and tags["aws:cloudformation:logical-id"] == "Options"
    region.wait_until_idle()
    cloudformation, ec2 = region.client("cloudformation"), region.client("ec2")
    # None of the groups can be deleted while a database uses it.
    for call, code in (
        (lambda: rds.delete_db_subnet_group(DBSubnetGroupName=ids["Subnets"]), "InvalidDBSubnetGroupStateFault"),
        (lambda: rds.delete_db_parameter_group(DBParameterGroupName=ids["Parameters"]), "InvalidDBParameterGroupState"),
        (lambda: rds.delete_option_group(OptionGroupName=ids["Options"]), "InvalidOptionGroupStateFault"),
        (lambda: ec2.delete_security_group(GroupId=ids["Database"]), "DependencyViolation"),
    ):
        assert refusal(call)[0] == code
    (described,) = cloudformation.describe_stacks(StackName=stack)["Stacks"]
    cloudformation.delete_stack(StackName=stack)
    of_stack = (described["StackId"], STACK)
    region.wait_for(1, "stack", lambda e: (e["stack"], e["type"], e["status"]) == (*of_stack, "DELETE_FAILED"))
    failed = {
        event["LogicalResourceId"]: event["ResourceStatusReason"]
        for event in cloudformation.describe_stack_events(StackName=stack)["StackEvents"]
        if event["ResourceStatus"] == "DELETE_FAILED" and event["ResourceType"] != STACK
    }
    assert failed.keys() >= {"Subnets", "Parameters", "Options", "Database"}
    assert instance["DBInstanceIdentifier"] in failed["Subnets"]
    rds.delete_db_instance(DBInstanceIdentifier=instance["DBInstanceIdentifier"], SkipFinalSnapshot=True)
    region.wait_until_idle()
    cloudformation.delete_stack(StackName=stack)
    region.wait_for(1, "stack", lambda e: (e["stack"], e["type"], e["status"]) == (*of_stack, "DELETE_COMPLETE"))
    assert refusal(lambda: rds.describe_option_groups(OptionGroupName=ids["Options"]))[0] == "OptionGroupNotFoundFault"


@pytest.mark.parametrize(
    ("service", "family", "kinds"),
    [
        ("DocDB", "docdb5.0", ["DBClusterParameterGroup"]),
        ("Neptune", "neptune1.4", ["DBClusterParameterGroup", "DBParameterGroup"]),
    ],
)
def test_groups_of_documentdb_and_neptune_are_those_of_rds(
    region: RunningRegion, service: str, family: str, kinds: list[str]
) -> None:
    named = unique("Named")
    resources = {"Subnets": group(f"AWS::{service}::DBSubnetGroup", **SUBNETS)}
    for kind in kinds:
        resources[kind] = group(
            f"AWS::{service}::{kind}", Name=f"{named}-{kind}", Family=family, Description="x", Parameters={}
        )
    ids, rds = physical_ids(region, create(region, NETWORK | resources)), region.client("rds")
    assert rds.describe_db_subnet_groups(DBSubnetGroupName=ids["Subnets"])["DBSubnetGroups"]
    found = rds.describe_db_cluster_parameter_groups(DBClusterParameterGroupName=ids["DBClusterParameterGroup"])
    assert found["DBClusterParameterGroups"][0]["DBParameterGroupFamily"] == family
    assert {ids[kind] for kind in kinds} == {f"{named}-{kind}".lower() for kind in kinds}
    if "DBParameterGroup" in kinds:
        found = rds.describe_db_parameter_groups(DBParameterGroupName=ids["DBParameterGroup"])
        assert found["DBParameterGroups"][0]["DBParameterGroupFamily"] == family


def test_groups_of_a_cluster_are_not_deleted(region: RunningRegion) -> None:
    stack = create(
        region,
        NETWORK
        | {
            "Subnets": group("AWS::RDS::DBSubnetGroup", **SUBNETS),
            "Cluster": group("AWS::RDS::DBClusterParameterGroup", Family="aurora-postgresql16", Description="x"),
        },
    )
    ids, rds = physical_ids(region, stack), region.client("rds")
    cluster = make_cluster(
        region,
        DBSubnetGroupName=ids["Subnets"],
        VpcSecurityGroupIds=[ids["Database"]],
        DBClusterParameterGroupName=ids["Cluster"],
    )
    region.wait_until_idle()
    for call, code in (
        (lambda: rds.delete_db_subnet_group(DBSubnetGroupName=ids["Subnets"]), "InvalidDBSubnetGroupStateFault"),
        (
            lambda: rds.delete_db_cluster_parameter_group(DBClusterParameterGroupName=ids["Cluster"]),
            "InvalidDBParameterGroupState",
        ),
    ):
        code_found, message = refusal(call)
        assert code_found == code and cluster["DBClusterIdentifier"] in message


def test_subnet_group_in_one_zone_fails_its_stack(region: RunningRegion) -> None:
    subnets = SUBNETS | {"SubnetIds": [{"Ref": "First"}]}
    stack = create(region, NETWORK | {"Subnets": group("AWS::RDS::DBSubnetGroup", **subnets)}, "CREATE_FAILED")
    (described,) = region.client("cloudformation").describe_stacks(StackName=stack)["Stacks"]
    assert "DBSubnetGroupDoesNotCoverEnoughAZs" in described["StackStatusReason"]


def test_security_group_without_a_vpc_has_its_name_as_physical_id(region: RunningRegion) -> None:
    stack = create(region, {"Open": group("AWS::EC2::SecurityGroup", GroupDescription="x", GroupName="open")})
    assert physical_ids(region, stack) == {"Open": "open"}
    region.client("cloudformation").delete_stack(StackName=stack)
    region.wait_for(1, "stack", lambda e: e["status"] == "DELETE_COMPLETE" and e["logicalId"] == "Open")
    groups = region.client("ec2").describe_security_groups(Filters=[{"Name": "group-name", "Values": ["open"]}])
    assert groups["SecurityGroups"] == []


def test_subnet_group_exists_before_its_stack_is_complete() -> None:
    region = RunningRegion("--stack-seconds-of", "AWS::EC2::Instance=600")
    server = group("AWS::EC2::Instance", SubnetId={"Ref": "First"})
    server["DependsOn"] = "Subnets"
    resources = NETWORK | {"Subnets": group("AWS::RDS::DBSubnetGroup", **SUBNETS), "Server": server}
    cloudformation = region.client("cloudformation")
    cloudformation.create_stack(StackName="shop", TemplateBody=json.dumps({"Resources": resources}))
    region.wait_for(1, "stack", lambda e: (e["logicalId"], e["status"]) == ("Server", "CREATE_IN_PROGRESS"))
    listed = {
        each["LogicalResourceId"]: each
        for each in cloudformation.list_stack_resources(StackName="shop")["StackResourceSummaries"]
    }
    assert listed["Subnets"]["ResourceStatus"] == "CREATE_COMPLETE" and listed["Subnets"]["PhysicalResourceId"]
    server = cloudformation.describe_stack_resource(StackName="shop", LogicalResourceId="Server")["StackResourceDetail"]
    assert server["ResourceStatus"] == "CREATE_IN_PROGRESS" and "PhysicalResourceId" not in server
    (stack,) = cloudformation.describe_stacks(StackName="shop")["Stacks"]
    assert stack["StackStatus"] == "CREATE_IN_PROGRESS"
    assert region.get("idle?timeout=0")["pending"] == {"stack-resource": 1}
    assert region.stop() == 0
