"""DB instances: statuses, changes that wait, names that are taken, deletion, pages, filters, tags."""

import uuid
from typing import Any

import pytest
from running_region import ACCOUNT, REGION, RunningRegion, refusal
from stores import PASSWORD, make_instance, make_network, statuses, tag_list, unique, wait_for_status


def described(region: RunningRegion, identifier: str) -> dict[str, Any]:
    """The instance, as DescribeDBInstances answers it."""
    return region.client("rds").describe_db_instances(DBInstanceIdentifier=identifier)["DBInstances"][0]


def made(region: RunningRegion, **params: Any) -> dict[str, Any]:
    """An instance that is `available`."""
    instance = make_instance(region, **params)
    wait_for_status(region, instance["DBInstanceArn"], "available")
    return described(region, instance["DBInstanceIdentifier"])


def test_new_instance_is_creating_and_has_no_endpoint(slow_databases: RunningRegion) -> None:
    instance = make_instance(slow_databases)
    assert instance["DBInstanceStatus"] == "creating" and "Endpoint" not in instance
    again = described(slow_databases, instance["DBInstanceIdentifier"])
    assert again["DBInstanceStatus"] == "creating" and "Endpoint" not in again
    assert slow_databases.get("idle?timeout=0")["pending"]["status"] >= 1


def test_available_instance_has_an_endpoint(region: RunningRegion) -> None:
    instance = made(region, Port=5433)
    assert instance["DBInstanceStatus"] == "available" and instance["Endpoint"]["Port"] == 5433
    assert instance["Endpoint"]["Address"].endswith(f".{REGION}.rds.amazonaws.com")
    assert statuses(region, instance["DBInstanceArn"]) == ["creating", "available"]


def test_endpoints_differ_by_region(region: RunningRegion) -> None:
    there, here = (make_instance(region, where) for where in ("eu-west-1", REGION))
    region.wait_until_idle()
    clients = (region.client("rds", "eu-west-1"), region.client("rds"))
    hashes = set()
    for client, instance in zip(clients, (there, here), strict=True):
        found = client.describe_db_instances(DBInstanceIdentifier=instance["DBInstanceIdentifier"])["DBInstances"][0]
        hashes.add(found["Endpoint"]["Address"].split(".")[1])
    assert len(hashes) == 2


def test_stores_identifiers_in_lower_case_and_rejects_duplicates(region: RunningRegion) -> None:
    name = unique("Orders")
    assert make_instance(region, DBInstanceIdentifier=name)["DBInstanceIdentifier"] == name.lower()
    for taken in (name, name.upper()):
        code, message = refusal(lambda taken=taken: make_instance(region, DBInstanceIdentifier=taken))
        assert (code, message) == ("DBInstanceAlreadyExists", "DB instance already exists")


@pytest.mark.parametrize("identifier", ["1st", "a--b", "a-", "a" * 64, "a_b"])
def test_identifiers_that_rds_refuses(region: RunningRegion, identifier: str) -> None:
    assert refusal(lambda: make_instance(region, DBInstanceIdentifier=identifier))[0] == "InvalidParameterValue"


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"Engine": "oracle"}, "InvalidParameterValue"),
        ({"EngineVersion": "9.1"}, "InvalidParameterCombination"),
        ({"DBInstanceClass": "t3.micro"}, "InvalidParameterValue"),
        ({"DBSubnetGroupName": "none"}, "DBSubnetGroupNotFoundFault"),
        ({"DBParameterGroupName": "none"}, "DBParameterGroupNotFound"),
        ({"OptionGroupName": "none"}, "OptionGroupNotFoundFault"),
        ({"VpcSecurityGroupIds": ["sg-0aaaaaaaaaaaaaaaa"]}, "InvalidParameterValue"),
        ({"KmsKeyId": f"arn:aws:kms:us-east-1:{ACCOUNT}:key/{uuid.UUID(int=7)}"}, "KMSKeyNotAccessibleFault"),
        ({"DBClusterIdentifier": "none"}, "InvalidParameterCombination"),
        ({"Engine": "aurora-postgresql"}, "InvalidParameterCombination"),
    ],
)
def test_create_db_instance_refuses(region: RunningRegion, params: dict[str, Any], code: str) -> None:
    assert refusal(lambda: make_instance(region, **params))[0] == code


def test_rejects_groups_of_another_vpc_or_family(region: RunningRegion) -> None:
    rds, network = region.client("rds"), make_network(region)
    code, message = refusal(lambda: make_instance(region, VpcSecurityGroupIds=[network["group"]]))
    assert code == "InvalidVPCNetworkStateFault" and network["vpc"] in message
    rds.create_db_parameter_group(DBParameterGroupName="other", DBParameterGroupFamily="postgres15", Description="x")
    code, message = refusal(lambda: make_instance(region, DBParameterGroupName="other"))
    assert code == "InvalidParameterCombination" and "postgres16" in message


def test_unknown_instance_is_an_error_by_name_and_empty_by_filter(region: RunningRegion) -> None:
    rds = region.client("rds")
    assert refusal(lambda: described(region, "none"))[0] == "DBInstanceNotFound"
    by_filter = rds.describe_db_instances(Filters=[{"Name": "db-instance-id", "Values": ["none"]}])
    assert by_filter["DBInstances"] == []
    wrong = [{"Name": "color", "Values": ["red"]}]
    assert refusal(lambda: rds.describe_db_instances(Filters=wrong))[0] == "InvalidParameterValue"


def test_instances_come_in_pages(region: RunningRegion) -> None:
    rds, where = region.client("rds", "ap-southeast-2"), "ap-southeast-2"
    names = {make_instance(region, where)["DBInstanceIdentifier"] for _ in range(23)}
    first = rds.describe_db_instances(MaxRecords=20)
    second = rds.describe_db_instances(MaxRecords=20, Marker=first["Marker"])
    assert [len(page["DBInstances"]) for page in (first, second)] == [20, 3] and "Marker" not in second
    assert {each["DBInstanceIdentifier"] for page in (first, second) for each in page["DBInstances"]} == names
    assert refusal(lambda: rds.describe_db_instances(Marker="made-up"))[0] == "InvalidParameterValue"
    for size in (19, 101):
        assert refusal(lambda size=size: rds.describe_db_instances(MaxRecords=size))[0] == "InvalidParameterValue"


def test_tags_are_listed_changed_and_limited(region: RunningRegion) -> None:
    rds, instance = region.client("rds"), made(region, Tags=tag_list({"recovery:workload": "shop"}))
    arn = instance["DBInstanceArn"]
    assert instance["TagList"] == tag_list({"recovery:workload": "shop"})
    rds.add_tags_to_resource(ResourceName=arn, Tags=tag_list({"a": "1", "recovery:workload": "store"}))
    rds.remove_tags_from_resource(ResourceName=arn, TagKeys=["a"])
    assert rds.list_tags_for_resource(ResourceName=arn)["TagList"] == tag_list({"recovery:workload": "store"})
    for tags in ({f"key-{n}": "" for n in range(50)}, {"aws:x": "1"}):
        code, _ = refusal(lambda tags=tags: rds.add_tags_to_resource(ResourceName=arn, Tags=tag_list(tags)))
        assert code == "InvalidParameterValue"


@pytest.mark.parametrize(
    ("arn", "code"),
    [
        (f"arn:aws:rds:{REGION}:{ACCOUNT}:db:none", "DBInstanceNotFound"),
        (f"arn:aws:rds:{REGION}:{ACCOUNT}:cluster:none", "DBClusterNotFoundFault"),
        (f"arn:aws:rds:{REGION}:{ACCOUNT}:snapshot:awsbackup:copyjob-1", "DBSnapshotNotFound"),
        (f"arn:aws:rds:{REGION}:{ACCOUNT}:cluster-snapshot:awsbackup:copyjob-1", "DBClusterSnapshotNotFoundFault"),
        (f"arn:aws:rds:us-east-1:{ACCOUNT}:db:none", "InvalidParameterValue"),
        ("none", "InvalidParameterValue"),
    ],
)
def test_tags_of_what_does_not_exist(region: RunningRegion, arn: str, code: str) -> None:
    assert refusal(lambda: region.client("rds").list_tags_for_resource(ResourceName=arn))[0] == code


def test_tagging_api_finds_databases_and_groups_by_tag(region: RunningRegion) -> None:
    mark, rds, network = unique("mark"), region.client("rds"), make_network(region)
    tags = tag_list({"mark": mark})
    instance = made(region, Tags=tags)
    (subnets,) = rds.describe_db_subnet_groups(DBSubnetGroupName=network["subnets"])["DBSubnetGroups"]
    rds.add_tags_to_resource(ResourceName=subnets["DBSubnetGroupArn"], Tags=tags)

    def found(*kinds: str) -> set[str]:
        answer = region.client("resourcegroupstaggingapi").get_resources(
            TagFilters=[{"Key": "mark", "Values": [mark]}], ResourceTypeFilters=list(kinds)
        )
        return {each["ResourceARN"] for each in answer["ResourceTagMappingList"]}

    assert found("rds") == {instance["DBInstanceArn"], subnets["DBSubnetGroupArn"]}
    assert found("rds:subgrp") == {subnets["DBSubnetGroupArn"]}
    delete(region, instance["DBInstanceIdentifier"], SkipFinalSnapshot=True)
    region.wait_until_idle()
    assert found("rds:db") == set()


def modify(region: RunningRegion, instance: dict[str, Any], **params: Any) -> dict[str, Any]:
    """ModifyDBInstance's answer."""
    return region.client("rds").modify_db_instance(DBInstanceIdentifier=instance["DBInstanceIdentifier"], **params)[
        "DBInstance"
    ]


def test_shows_pending_changes_before_the_instance_is_modifying(region: RunningRegion) -> None:
    instance = made(region)
    answer = modify(region, instance, BackupRetentionPeriod=7, ApplyImmediately=True)
    assert answer["DBInstanceStatus"] == "available" and answer["BackupRetentionPeriod"] == 1
    assert answer["PendingModifiedValues"] == {"BackupRetentionPeriod": 7}
    region.wait_until_idle()
    changed = described(region, instance["DBInstanceIdentifier"])
    assert changed["BackupRetentionPeriod"] == 7 and changed["PendingModifiedValues"] == {}
    assert statuses(region, instance["DBInstanceArn"])[-3:] == ["available", "modifying", "available"]


def test_keeps_changes_pending_without_apply_immediately(region: RunningRegion) -> None:
    instance = made(region)
    modify(region, instance, DBInstanceClass="db.m7g.large")
    region.wait_until_idle()
    changed = described(region, instance["DBInstanceIdentifier"])
    assert changed["DBInstanceClass"] == "db.t4g.micro"
    assert changed["PendingModifiedValues"] == {"DBInstanceClass": "db.m7g.large"}


def test_protection_needs_no_time_and_no_status(region: RunningRegion) -> None:
    instance = made(region)
    assert modify(region, instance, DeletionProtection=True)["DeletionProtection"]
    region.wait_until_idle()
    assert statuses(region, instance["DBInstanceArn"]) == ["creating", "available"]


def test_repeating_the_same_values_changes_nothing(region: RunningRegion) -> None:
    instance = made(region)
    modify(region, instance, BackupRetentionPeriod=1, MultiAZ=False, ApplyImmediately=True)
    region.wait_until_idle()
    assert statuses(region, instance["DBInstanceArn"]) == ["creating", "available"]


def test_new_parameter_group_is_pending_until_a_reboot(region: RunningRegion) -> None:
    rds, instance, name = region.client("rds"), made(region), unique("group")
    rds.create_db_parameter_group(DBParameterGroupName=name, DBParameterGroupFamily="postgres16", Description="x")
    answer = modify(region, instance, DBParameterGroupName=name, ApplyImmediately=True)
    assert answer["DBParameterGroups"] == [{"DBParameterGroupName": name, "ParameterApplyStatus": "pending-reboot"}]
    region.wait_until_idle()
    rds.reboot_db_instance(DBInstanceIdentifier=instance["DBInstanceIdentifier"])
    region.wait_until_idle()
    changed = described(region, instance["DBInstanceIdentifier"])
    assert changed["DBParameterGroups"] == [{"DBParameterGroupName": name, "ParameterApplyStatus": "in-sync"}]
    assert statuses(region, instance["DBInstanceArn"])[-2:] == ["rebooting", "available"]


def test_security_groups_are_added_over_time(slow_changes: RunningRegion) -> None:
    network = make_network(slow_changes)
    instance = made(slow_changes, DBSubnetGroupName=network["subnets"])
    answer = modify(slow_changes, instance, VpcSecurityGroupIds=[network["group"]])
    assert answer["VpcSecurityGroups"] == [{"VpcSecurityGroupId": network["group"], "Status": "adding"}]


def test_rejects_changes_unless_the_instance_is_available(slow_databases: RunningRegion) -> None:
    instance = make_instance(slow_databases)
    code, message = refusal(lambda: modify(slow_databases, instance, BackupRetentionPeriod=7))
    assert (code, message) == ("InvalidDBInstanceState", "Database instance is not in available state.")


def test_managed_password_creates_a_new_secret(region: RunningRegion) -> None:
    instance = made(region)
    secret = modify(region, instance, ManageMasterUserPassword=True, ApplyImmediately=True)["MasterUserSecret"]
    assert secret["SecretStatus"] == "creating" and f":secretsmanager:{REGION}:" in secret["SecretArn"]
    region.wait_until_idle()
    assert described(region, instance["DBInstanceIdentifier"])["MasterUserSecret"]["SecretStatus"] == "active"


def delete(region: RunningRegion, identifier: str, **params: Any) -> dict[str, Any]:
    """DeleteDBInstance's answer."""
    return region.client("rds").delete_db_instance(DBInstanceIdentifier=identifier, **params)["DBInstance"]


def test_deletion_requires_a_final_snapshot_or_its_skip(region: RunningRegion) -> None:
    rds, identifier = region.client("rds"), made(region)["DBInstanceIdentifier"]
    for params in ({}, {"SkipFinalSnapshot": True, "FinalDBSnapshotIdentifier": "last"}):
        assert refusal(lambda params=params: delete(region, identifier, **params))[0] == "InvalidParameterCombination"
    final = unique("last")
    assert delete(region, identifier, FinalDBSnapshotIdentifier=final)["DBInstanceStatus"] == "deleting"
    region.wait_until_idle()
    assert refusal(lambda: described(region, identifier))[0] == "DBInstanceNotFound"
    (snapshot,) = rds.describe_db_snapshots(DBSnapshotIdentifier=final)["DBSnapshots"]
    assert snapshot["DBInstanceIdentifier"] == identifier and snapshot["SnapshotType"] == "manual"


def test_rejects_deletion_of_protected_instances(region: RunningRegion) -> None:
    identifier = made(region, DeletionProtection=True)["DBInstanceIdentifier"]
    code, message = refusal(lambda: delete(region, identifier, SkipFinalSnapshot=True))
    assert code == "InvalidParameterCombination" and "protected" in message


def test_rejects_the_name_of_an_instance_that_is_deleting(slow_changes: RunningRegion) -> None:
    identifier = made(slow_changes)["DBInstanceIdentifier"]
    delete(slow_changes, identifier, SkipFinalSnapshot=True)
    assert described(slow_changes, identifier)["DBInstanceStatus"] == "deleting"
    code, _ = refusal(lambda: make_instance(slow_changes, DBInstanceIdentifier=identifier))
    assert code == "DBInstanceAlreadyExists"
    code, _ = refusal(lambda: delete(slow_changes, identifier, SkipFinalSnapshot=True))
    assert code == "InvalidDBInstanceState"


def test_rejects_deletion_while_the_instance_is_creating(slow_databases: RunningRegion) -> None:
    identifier = make_instance(slow_databases)["DBInstanceIdentifier"]
    code, _ = refusal(lambda: delete(slow_databases, identifier, SkipFinalSnapshot=True))
    assert code == "InvalidDBInstanceState"


def test_status_ends_changes_the_final_status_of_an_instance(region: RunningRegion) -> None:
    name = unique("db")
    status, answer = region.post("status-ends", {"name": name, "status": "incompatible-network"})
    assert status == 200 and answer["ends"][name] == "incompatible-network"
    make_instance(region, DBInstanceIdentifier=name)
    region.wait_until_idle()
    instance = described(region, name)
    assert instance["DBInstanceStatus"] == "incompatible-network" and "Endpoint" not in instance
    code, _ = refusal(lambda: delete(region, name, FinalDBSnapshotIdentifier="last"))
    assert code == "InvalidDBInstanceState"
    delete(region, name, SkipFinalSnapshot=True)
    region.wait_until_idle()
    assert region.post("status-ends", {"name": name, "status": None})[1]["ends"].get(name) is None
    assert made(region, DBInstanceIdentifier=name)["DBInstanceStatus"] == "available"


@pytest.mark.parametrize("body", [[], {}, {"name": "x"}, {"name": "x", "status": 1}, {"name": None, "status": "x"}])
def test_rejects_unknown_final_statuses(region: RunningRegion, body: Any) -> None:
    assert region.post("status-ends", body)[0] == 400


def test_subnet_groups_are_found_by_name_and_page(region: RunningRegion) -> None:
    rds, network = region.client("rds"), make_network(region)
    for name in (network["subnets"], network["subnets"].upper()):
        (group,) = rds.describe_db_subnet_groups(DBSubnetGroupName=name)["DBSubnetGroups"]
        assert group["VpcId"] == network["vpc"] and len(group["Subnets"]) == 2
    assert refusal(lambda: rds.describe_db_subnet_groups(DBSubnetGroupName="none"))[0] == "DBSubnetGroupNotFoundFault"
    listed = [each["DBSubnetGroupName"] for each in rds.describe_db_subnet_groups()["DBSubnetGroups"]]
    assert network["subnets"] in listed
    subnet = group["Subnets"][0]["SubnetIdentifier"]
    for name, code in (
        (network["subnets"], "DBSubnetGroupAlreadyExists"),
        ("one", "DBSubnetGroupDoesNotCoverEnoughAZs"),
    ):
        params = {"DBSubnetGroupName": name, "DBSubnetGroupDescription": "x", "SubnetIds": [subnet]}
        assert refusal(lambda params=params: rds.create_db_subnet_group(**params))[0] == code


def test_requires_a_password_and_never_returns_it(region: RunningRegion) -> None:
    assert PASSWORD not in str(made(region))
    for name in ("MasterUsername", "MasterUserPassword"):
        code, message = refusal(lambda name=name: make_instance(region, **{name: ""}))
        assert code == "InvalidParameterValue" and name in message
