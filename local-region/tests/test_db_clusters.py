"""DB clusters of Aurora, DocumentDB and Neptune: their instances, serverless scaling, changes, deletion."""

from typing import Any

import pytest
from running_region import ACCOUNT, REGION, RunningRegion, refusal
from stores import make_cluster, make_network, statuses, tag_list, unique, wait_for_status

ENGINES = [
    ("aurora-postgresql", "16.4"),
    ("aurora-mysql", "8.0.mysql_aurora.3.08.0"),
    ("docdb", "5.0.0"),
    ("neptune", "1.3.2.1"),
]
SCALING = {"MinCapacity": 0.5, "MaxCapacity": 16}


def described(region: RunningRegion, identifier: str) -> dict[str, Any]:
    """The cluster, as DescribeDBClusters answers it."""
    return region.client("rds").describe_db_clusters(DBClusterIdentifier=identifier)["DBClusters"][0]


def made(region: RunningRegion, **params: Any) -> dict[str, Any]:
    """A cluster that is `available`."""
    cluster = make_cluster(region, **params)
    wait_for_status(region, cluster["DBClusterArn"], "available")
    return described(region, cluster["DBClusterIdentifier"])


def add_instance(region: RunningRegion, cluster: dict[str, Any], **params: Any) -> dict[str, Any]:
    """CreateDBInstance's answer for a member of a cluster."""
    given = {
        "DBInstanceIdentifier": f"{cluster['DBClusterIdentifier']}-1",
        "DBClusterIdentifier": cluster["DBClusterIdentifier"],
        "Engine": cluster["Engine"],
        "DBInstanceClass": "db.r6g.large",
    } | params
    return region.client("rds").create_db_instance(**given)["DBInstance"]


@pytest.mark.parametrize(("engine", "version"), ENGINES)
def test_every_cluster_is_at_the_same_endpoint_of_the_api(region: RunningRegion, engine: str, version: str) -> None:
    cluster = made(region, Engine=engine, EngineVersion=version)
    assert cluster["DBClusterArn"] == f"arn:aws:rds:{REGION}:{ACCOUNT}:cluster:{cluster['DBClusterIdentifier']}"
    assert cluster["Engine"] == engine and cluster["DBClusterMembers"] == []
    assert ".cluster-" in cluster["Endpoint"] and ".cluster-ro-" in cluster["ReaderEndpoint"]
    found = region.client("rds").describe_db_clusters(Filters=[{"Name": "engine", "Values": [engine]}])["DBClusters"]
    assert cluster["DBClusterIdentifier"] in [each["DBClusterIdentifier"] for each in found]
    # The clients of DocumentDB and Neptune call the same API.
    own = {"docdb": "docdb", "neptune": "neptune"}.get(engine, "rds")
    answered = region.client(own).describe_db_clusters(DBClusterIdentifier=cluster["DBClusterIdentifier"])["DBClusters"]
    assert answered[0]["DBClusterArn"] == cluster["DBClusterArn"]
    instance = add_instance(region, cluster, Tags=tag_list({"recovery:drill": "d"}))
    assert instance["Engine"] == engine and instance["TagList"] == tag_list({"recovery:drill": "d"})


def test_cluster_is_available_before_its_instances(region: RunningRegion) -> None:
    cluster = made(region)
    instance = add_instance(region, cluster)
    assert instance["DBInstanceStatus"] == "creating" and "Endpoint" not in instance
    assert described(region, cluster["DBClusterIdentifier"])["Status"] == "available"
    region.wait_until_idle()
    assert statuses(region, instance["DBInstanceArn"]) == ["creating", "available"]
    second = add_instance(region, cluster, DBInstanceIdentifier=f"{cluster['DBClusterIdentifier']}-2", PromotionTier=0)
    members = described(region, cluster["DBClusterIdentifier"])["DBClusterMembers"]
    assert [(m["DBInstanceIdentifier"], m["IsClusterWriter"]) for m in members] == [
        (instance["DBInstanceIdentifier"], True),
        (second["DBInstanceIdentifier"], False),
    ]


def test_rejects_instances_while_the_cluster_is_creating(slow_databases: RunningRegion) -> None:
    cluster = make_cluster(slow_databases)
    assert cluster["Status"] == "creating"
    assert refusal(lambda: add_instance(slow_databases, cluster))[0] == "InvalidDBClusterStateFault"


def test_serverless_instance_requires_scaling_of_its_cluster(region: RunningRegion) -> None:
    rds, cluster = region.client("rds"), made(region)
    identifier = cluster["DBClusterIdentifier"]
    assert refusal(lambda: add_instance(region, cluster, DBInstanceClass="db.serverless")) == (
        "InvalidDBClusterStateFault",
        "Set the Serverless v2 scaling configuration on the parent DB cluster before creating a Serverless v2 DB "
        "instance.",
    )
    answer = rds.modify_db_cluster(DBClusterIdentifier=identifier, ServerlessV2ScalingConfiguration=SCALING)[
        "DBCluster"
    ]
    # It does not apply at once.
    assert answer["Status"] == "available" and "ServerlessV2ScalingConfiguration" not in answer
    region.wait_until_idle()
    assert statuses(region, cluster["DBClusterArn"]) == ["creating", "available", "modifying", "available"]
    assert described(region, identifier)["ServerlessV2ScalingConfiguration"] == SCALING
    assert add_instance(region, cluster, DBInstanceClass="db.serverless")["DBInstanceClass"] == "db.serverless"


@pytest.mark.parametrize(
    ("engine", "version", "scaling", "code"),
    [
        ("aurora-postgresql", "16.4", {"MinCapacity": 2, "MaxCapacity": 1}, "InvalidParameterValue"),
        ("aurora-postgresql", "16.4", {"MinCapacity": 0.7, "MaxCapacity": 8}, "InvalidParameterValue"),
        ("aurora-postgresql", "16.4", {"MaxCapacity": 8}, "InvalidParameterCombination"),
        ("docdb", "5.0.0", {"MinCapacity": 0, "MaxCapacity": 8}, "InvalidParameterValue"),
        ("neptune", "1.3.2.1", {"MinCapacity": 1, "MaxCapacity": 256}, "InvalidParameterValue"),
    ],
)
def test_scaling_has_bounds(region: RunningRegion, engine: str, version: str, scaling: Any, code: str) -> None:
    identifier = made(region, Engine=engine, EngineVersion=version)["DBClusterIdentifier"]
    rds = region.client("rds")
    assert (
        refusal(
            lambda: rds.modify_db_cluster(DBClusterIdentifier=identifier, ServerlessV2ScalingConfiguration=scaling)
        )[0]
        == code
    )


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"DBClusterIdentifier": "none"}, "DBClusterNotFoundFault"),
        ({"Engine": "aurora-mysql"}, "InvalidParameterCombination"),
        ({"VpcSecurityGroupIds": ["sg-1"]}, "InvalidParameterCombination"),
        ({"Port": 5432}, "InvalidParameterCombination"),
        ({"MultiAZ": True}, "InvalidParameterCombination"),
        ({"EngineVersion": "16.4"}, "InvalidParameterCombination"),
        ({"MasterUserPassword": "example"}, "InvalidParameterCombination"),
        ({"AllocatedStorage": 20}, "InvalidParameterCombination"),
        ({"DBParameterGroupName": "none"}, "DBParameterGroupNotFound"),
    ],
)
def test_rejects_cluster_settings_on_an_instance(
    region: RunningRegion, params: dict[str, Any], code: str
) -> None:
    cluster = made(region)
    assert refusal(lambda: add_instance(region, cluster, **params))[0] == code


def test_existing_identifier_shows_its_cluster(region: RunningRegion) -> None:
    first, second = made(region), made(region)
    name = add_instance(region, first)["DBInstanceIdentifier"]
    assert refusal(lambda: add_instance(region, second, DBInstanceIdentifier=name))[0] == "DBInstanceAlreadyExists"
    found = region.client("rds").describe_db_instances(DBInstanceIdentifier=name)["DBInstances"][0]
    assert found["DBClusterIdentifier"] == first["DBClusterIdentifier"]
    filters = [{"Name": "db-cluster-id", "Values": [second["DBClusterArn"]]}]
    assert region.client("rds").describe_db_instances(Filters=filters)["DBInstances"] == []


def test_rejects_duplicate_clusters_and_unknown_names(region: RunningRegion) -> None:
    identifier = made(region)["DBClusterIdentifier"]
    code, _ = refusal(lambda: make_cluster(region, DBClusterIdentifier=identifier.upper()))
    assert code == "DBClusterAlreadyExistsFault"
    assert refusal(lambda: described(region, "none"))[0] == "DBClusterNotFoundFault"


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"EngineVersion": "9.6"}, "InvalidParameterCombination"),
        ({"DBSubnetGroupName": "none"}, "DBSubnetGroupNotFoundFault"),
        ({"DBClusterParameterGroupName": "none"}, "DBClusterParameterGroupNotFound"),
        ({"StorageType": "gp3"}, "InvalidParameterCombination"),
        ({"BackupRetentionPeriod": 0}, "InvalidParameterValue"),
    ],
)
def test_create_db_cluster_refuses(region: RunningRegion, params: dict[str, Any], code: str) -> None:
    assert refusal(lambda: make_cluster(region, **params))[0] == code


def test_changes_of_a_cluster_are_pending_then_carried_out(region: RunningRegion) -> None:
    rds, cluster = region.client("rds"), made(region)
    answer = rds.modify_db_cluster(
        DBClusterIdentifier=cluster["DBClusterIdentifier"],
        StorageType="aurora-iopt1",
        BackupRetentionPeriod=7,
        DeletionProtection=True,
        ApplyImmediately=True,
    )["DBCluster"]
    assert answer["DeletionProtection"] and answer["BackupRetentionPeriod"] == 1
    assert answer["PendingModifiedValues"] == {"BackupRetentionPeriod": 7, "StorageType": "aurora-iopt1"}
    region.wait_until_idle()
    changed = described(region, cluster["DBClusterIdentifier"])
    assert (changed["BackupRetentionPeriod"], changed["StorageType"]) == (7, "aurora-iopt1")
    assert changed["PendingModifiedValues"] == {}


def test_repeating_the_same_values_changes_nothing(region: RunningRegion) -> None:
    cluster = made(region, ServerlessV2ScalingConfiguration=SCALING)
    region.client("rds").modify_db_cluster(
        DBClusterIdentifier=cluster["DBClusterIdentifier"],
        ServerlessV2ScalingConfiguration=SCALING,
        StorageType="aurora",
        ApplyImmediately=True,
    )
    region.wait_until_idle()
    assert statuses(region, cluster["DBClusterArn"]) == ["creating", "available"]


def test_rejects_changes_while_the_cluster_is_modifying(slow_changes: RunningRegion) -> None:
    rds, identifier = slow_changes.client("rds"), unique("cluster")
    rds.modify_db_cluster(
        DBClusterIdentifier=made(slow_changes, DBClusterIdentifier=identifier)["DBClusterIdentifier"],
        DeletionProtection=True,
    )
    rds.delete_db_cluster(DBClusterIdentifier=made(slow_changes)["DBClusterIdentifier"], SkipFinalSnapshot=True)
    gone = rds.describe_db_clusters(Filters=[{"Name": "engine", "Values": ["aurora-postgresql"]}])["DBClusters"]
    deleting = next(each["DBClusterIdentifier"] for each in gone if each["Status"] == "deleting")
    code, _ = refusal(lambda: rds.modify_db_cluster(DBClusterIdentifier=deleting, DeletionProtection=True))
    assert code == "InvalidDBClusterStateFault"
    # Protection needs no time.
    assert described(slow_changes, identifier)["Status"] == "available"


def test_roles_are_added_once(region: RunningRegion) -> None:
    rds, identifier = region.client("rds"), made(region)["DBClusterIdentifier"]
    role = {
        "DBClusterIdentifier": identifier,
        "RoleArn": f"arn:aws:iam::{ACCOUNT}:role/import",
        "FeatureName": "s3Import",
    }
    rds.add_role_to_db_cluster(**role)
    assert refusal(lambda: rds.add_role_to_db_cluster(**role))[0] == "DBClusterRoleAlreadyExists"
    assert described(region, identifier)["AssociatedRoles"][0]["RoleArn"] == role["RoleArn"]


def test_deletes_a_cluster_only_without_instances(region: RunningRegion) -> None:
    rds, cluster = region.client("rds"), made(region)
    identifier = cluster["DBClusterIdentifier"]
    names = [
        add_instance(region, cluster, DBInstanceIdentifier=f"{identifier}-{n}")["DBInstanceIdentifier"] for n in (1, 2)
    ]
    region.wait_until_idle()
    code, message = refusal(lambda: rds.delete_db_cluster(DBClusterIdentifier=identifier, SkipFinalSnapshot=True))
    assert code == "InvalidDBClusterStateFault" and "still contains DB instances" in message
    last = {"FinalDBSnapshotIdentifier": "last"}
    code, _ = refusal(lambda: rds.delete_db_instance(DBInstanceIdentifier=names[0], **last))
    assert code == "InvalidParameterCombination"
    # The writer goes, and another member writes.
    rds.delete_db_instance(DBInstanceIdentifier=names[0])
    region.wait_until_idle()
    (member,) = described(region, identifier)["DBClusterMembers"]
    assert member["DBInstanceIdentifier"] == names[1] and member["IsClusterWriter"]
    rds.delete_db_instance(DBInstanceIdentifier=names[1], SkipFinalSnapshot=True)
    assert refusal(lambda: rds.delete_db_cluster(DBClusterIdentifier=identifier))[0] == "InvalidParameterCombination"
    final = unique("last")
    rds.delete_db_cluster(DBClusterIdentifier=identifier, FinalDBSnapshotIdentifier=final)
    region.wait_until_idle()
    assert refusal(lambda: described(region, identifier))[0] == "DBClusterNotFoundFault"
    assert rds.describe_db_cluster_snapshots(DBClusterSnapshotIdentifier=final)["DBClusterSnapshots"]


def test_rejects_deletion_of_protected_clusters(region: RunningRegion) -> None:
    identifier = made(region, DeletionProtection=True)["DBClusterIdentifier"]
    rds = region.client("rds")
    code, message = refusal(lambda: rds.delete_db_cluster(DBClusterIdentifier=identifier, SkipFinalSnapshot=True))
    assert code == "InvalidParameterCombination" and "protected" in message


def test_settings_of_the_cluster_are_not_modified_at_an_instance(region: RunningRegion) -> None:
    network = make_network(region)
    cluster = made(region, DBSubnetGroupName=network["subnets"], VpcSecurityGroupIds=[network["group"]])
    name = add_instance(region, cluster)["DBInstanceIdentifier"]
    region.wait_until_idle()
    rds = region.client("rds")
    for params in ({"BackupRetentionPeriod": 7}, {"DeletionProtection": True}, {"VpcSecurityGroupIds": ["sg-1"]}):
        code, _ = refusal(lambda params=params: rds.modify_db_instance(DBInstanceIdentifier=name, **params))
        assert code == "InvalidParameterCombination"
    (instance,) = rds.describe_db_instances(DBInstanceIdentifier=name)["DBInstances"]
    assert instance["VpcSecurityGroups"][0]["VpcSecurityGroupId"] == network["group"]
    assert instance["DBSubnetGroup"]["DBSubnetGroupName"] == network["subnets"]
