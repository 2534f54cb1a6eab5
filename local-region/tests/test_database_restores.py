"""Databases restored in the recovery Region from copies of the primary Region's recovery points, as AWS Backup does."""

import json
import urllib.error
import urllib.request
import uuid
from typing import Any

import pytest
from machines import make_role
from running_region import ACCOUNT, REGION, RunningRegion, received, refusal, subscribe
from stores import (
    PRIMARY,
    RESTORE_ACTIONS,
    back_up,
    copy,
    make_cluster,
    make_instance,
    make_network,
    make_vaults,
    restore,
    start,
    statuses,
    tag_list,
    unique,
)

CLUSTERS = {
    "Aurora": ("aurora-postgresql", "16.4"),
    "DocumentDB": ("docdb", "4.0.0"),
    "Neptune": ("neptune", "1.3.2.1"),
}
TEST_ROLE = "AWSBackupDefaultServiceRole"
TAGS = {"recovery:workload": "shop", "Name": "orders"}


@pytest.fixture(scope="module")
def here(region: RunningRegion) -> dict[str, str]:
    """The recovery Region's network, next to its vault."""
    make_vaults(region)
    return make_network(region)


@pytest.fixture(scope="module")
def there(region: RunningRegion) -> dict[str, str]:
    """The primary Region's network."""
    return make_network(region, PRIMARY)


@pytest.fixture(scope="module")
def instance_point(region: RunningRegion, here: dict[str, str], there: dict[str, str]) -> str:
    """A copy of a recovery point of an instance with settings of its own."""
    rds, name = region.client("rds", PRIMARY), unique("group")
    rds.create_db_parameter_group(DBParameterGroupName=name, DBParameterGroupFamily="postgres16", Description="x")
    rds.create_option_group(
        OptionGroupName=name, EngineName="postgres", MajorEngineVersion="16", OptionGroupDescription="x"
    )
    source = make_instance(
        region,
        PRIMARY,
        DBSubnetGroupName=there["subnets"],
        VpcSecurityGroupIds=[there["group"]],
        DBParameterGroupName=name,
        OptionGroupName=name,
        BackupRetentionPeriod=14,
        DeletionProtection=True,
        MultiAZ=True,
        StorageType="gp3",
        Iops=3000,
        AllocatedStorage=100,
        Port=6432,
        Tags=tag_list(TAGS),
    )
    region.wait_until_idle()
    rds.modify_db_instance(DBInstanceIdentifier=source["DBInstanceArn"], ManageMasterUserPassword=True)
    return copy(region, back_up(region, source["DBInstanceArn"]))


@pytest.fixture(scope="module")
def cluster_points(region: RunningRegion, here: dict[str, str], there: dict[str, str]) -> dict[str, str]:
    """A copy of a recovery point of a cluster of each type."""
    points = {}
    for backup_type, (engine, version) in CLUSTERS.items():
        source = make_cluster(
            region,
            PRIMARY,
            Engine=engine,
            EngineVersion=version,
            DBSubnetGroupName=there["subnets"],
            VpcSecurityGroupIds=[there["group"]],
            ServerlessV2ScalingConfiguration={"MinCapacity": 1, "MaxCapacity": 8},
            DeletionProtection=True,
            BackupRetentionPeriod=14,
            Port=7000,
            StorageType="aurora-iopt1" if backup_type == "Aurora" else "iopt1",
            Tags=tag_list(TAGS),
        )
        role = {"RoleArn": f"arn:aws:iam::{ACCOUNT}:role/import", "FeatureName": "s3Import"}
        region.client("rds", PRIMARY).add_role_to_db_cluster(DBClusterIdentifier=source["DBClusterArn"], **role)
        points[backup_type] = copy(region, back_up(region, source["DBClusterArn"]))
    return points


def instance_metadata(here: dict[str, str], **own: Any) -> dict[str, Any]:
    """What a restore of an instance names."""
    return {
        "DBInstanceIdentifier": unique("orders"),
        "DBSubnetGroupName": here["subnets"],
        "VpcSecurityGroupIds": [here["group"]],
    } | own


def cluster_metadata(here: dict[str, str], backup_type: str = "Aurora", **own: Any) -> dict[str, Any]:
    """What a restore of a cluster names."""
    engine, version = CLUSTERS[backup_type]
    return {
        "DBClusterIdentifier": unique("orders"),
        "Engine": engine,
        "EngineVersion": version,
        "DBSubnetGroupName": here["subnets"],
        "VpcSecurityGroupIds": [here["group"]],
    } | own


def stored(region: RunningRegion, point: str) -> dict[str, str]:
    """The metadata that is stored with a recovery point."""
    return region.client("backup").get_recovery_point_restore_metadata(
        BackupVaultName="recovery", RecoveryPointArn=point
    )["RestoreMetadata"]


def test_copy_of_an_instance_is_a_snapshot_in_the_recovery_region(region: RunningRegion, instance_point: str) -> None:
    assert instance_point.startswith(f"arn:aws:rds:{REGION}:{ACCOUNT}:snapshot:awsbackup:copyjob-")
    point = region.client("backup").describe_recovery_point(BackupVaultName="recovery", RecoveryPointArn=instance_point)
    assert point["ResourceType"] == "RDS" and point["ResourceArn"].startswith(f"arn:aws:rds:{PRIMARY}:{ACCOUNT}:db:")
    assert point["SourceBackupVaultArn"] == f"arn:aws:backup:{PRIMARY}:{ACCOUNT}:backup-vault:primary"
    # RDS keeps its tags, and AWS Backup does not know them.
    rds, backup = region.client("rds"), region.client("backup")
    tags = rds.list_tags_for_resource(ResourceName=instance_point)["TagList"]
    assert tags == tag_list(TAGS)
    assert refusal(lambda: backup.list_tags(ResourceArn=instance_point))[0] == "ResourceNotFoundException"
    identifier = instance_point.partition("snapshot:")[2]
    (snapshot,) = rds.describe_db_snapshots(DBSnapshotIdentifier=identifier, SnapshotType="awsbackup")["DBSnapshots"]
    assert snapshot["TagList"] == tag_list(TAGS) and snapshot["EngineVersion"] == "16.4"
    assert (snapshot["StorageType"], snapshot["Iops"], snapshot["Port"]) == ("gp3", 3000, 6432)
    # They are not listed unless they are asked for.
    assert identifier not in [each["DBSnapshotIdentifier"] for each in rds.describe_db_snapshots()["DBSnapshots"]]


@pytest.mark.parametrize("backup_type", CLUSTERS)
def test_copy_of_a_cluster_is_a_cluster_snapshot(
    region: RunningRegion, cluster_points: dict[str, str], backup_type: str
) -> None:
    arn = cluster_points[backup_type]
    assert arn.startswith(f"arn:aws:rds:{REGION}:{ACCOUNT}:cluster-snapshot:awsbackup:copyjob-")
    point = region.client("backup").describe_recovery_point(BackupVaultName="recovery", RecoveryPointArn=arn)
    assert point["ResourceType"] == backup_type
    rds, identifier = region.client("rds"), arn.partition("snapshot:")[2]
    assert rds.list_tags_for_resource(ResourceName=arn)["TagList"] == tag_list(TAGS)
    (snapshot,) = rds.describe_db_cluster_snapshots(DBClusterSnapshotIdentifier=identifier)["DBClusterSnapshots"]
    assert snapshot["Engine"] == CLUSTERS[backup_type][0] and snapshot["TagList"] == tag_list(TAGS)


def test_stored_metadata_names_what_is_in_the_primary_region(
    region: RunningRegion, instance_point: str, cluster_points: dict[str, str], there: dict[str, str]
) -> None:
    for point, group in ((instance_point, "DBParameterGroupName"), (cluster_points["Aurora"], "AvailabilityZones")):
        metadata = stored(region, point)
        assert metadata["DBSubnetGroupName"] == there["subnets"] and group in metadata
        assert json.loads(metadata["VpcSecurityGroupIds"]) == [there["group"]]
        assert metadata["vpcId"] == there["vpc"] and all(isinstance(value, str) for value in metadata.values())
    assert json.loads(stored(region, cluster_points["Aurora"])["AvailabilityZones"])[0].startswith(PRIMARY)


def test_stored_metadata_sent_back_fails_in_another_region(
    region: RunningRegion, instance_point: str, cluster_points: dict[str, str]
) -> None:
    instance = restore(region, instance_point, stored(region, instance_point) | {"DBInstanceIdentifier": unique("db")})
    cluster = restore(
        region,
        cluster_points["Aurora"],
        stored(region, cluster_points["Aurora"]) | {"DBClusterIdentifier": unique("c")},
    )
    for job in (instance, cluster):
        assert job["Status"] == "FAILED" and "DBSubnetGroupNotFoundFault" in job["StatusMessage"]


def test_restored_instance_lacks_lost_settings(
    region: RunningRegion, instance_point: str, here: dict[str, str]
) -> None:
    features = [{"Name": "coreCount", "Value": "2"}]
    own = {"CopyTagsToSnapshot": "true", "ProcessorFeatures": features}
    metadata = instance_metadata(here, DBInstanceIdentifier=unique("Orders"), **own)
    job = restore(region, instance_point, metadata)
    assert job["Status"] == "COMPLETED", job["StatusMessage"]
    name = metadata["DBInstanceIdentifier"].lower()
    assert job["CreatedResourceArn"] == f"arn:aws:rds:{REGION}:{ACCOUNT}:db:{name}" and job["ResourceType"] == "RDS"
    ran_with = region.client("backup").get_restore_job_metadata(RestoreJobId=job["RestoreJobId"])["Metadata"]
    assert json.loads(ran_with["VpcSecurityGroupIds"]) == [here["group"]]
    (instance,) = region.client("rds").describe_db_instances(DBInstanceIdentifier=name)["DBInstances"]
    assert instance["DBSubnetGroup"]["DBSubnetGroupName"] == here["subnets"] and instance["EngineVersion"] == "16.4"
    assert [group["VpcSecurityGroupId"] for group in instance["VpcSecurityGroups"]] == [here["group"]]
    assert instance["DBParameterGroups"][0]["DBParameterGroupName"] == "default.postgres16"
    assert instance["OptionGroupMemberships"][0]["OptionGroupName"] == "default:postgres-16"
    assert not instance["DeletionProtection"] and not instance["MultiAZ"] and instance["TagList"] == []
    assert instance["Endpoint"]["Port"] == 6432 and instance["CopyTagsToSnapshot"]
    assert instance["ProcessorFeatures"] == features
    assert instance["MasterUsername"] == "owner" and "MasterUserSecret" not in instance
    # These are those of the backup, and the storage type is RDS's default.
    assert (instance["BackupRetentionPeriod"], instance["Iops"], instance["StorageType"]) == (14, 3000, "gp3")
    # It is backed up as soon as it is there.
    assert statuses(region, instance["DBInstanceArn"]) == ["creating", "backing-up", "available"]


@pytest.mark.parametrize("backup_type", CLUSTERS)
def test_restored_cluster_has_no_instances_and_lacks_lost_settings(
    region: RunningRegion, cluster_points: dict[str, str], here: dict[str, str], backup_type: str
) -> None:
    metadata = cluster_metadata(here, backup_type)
    job = restore(region, cluster_points[backup_type], metadata)
    assert job["Status"] == "COMPLETED", job["StatusMessage"]
    name = metadata["DBClusterIdentifier"]
    assert job["CreatedResourceArn"] == f"arn:aws:rds:{REGION}:{ACCOUNT}:cluster:{name}"
    assert job["ResourceType"] == backup_type
    (cluster,) = region.client("rds").describe_db_clusters(DBClusterIdentifier=name)["DBClusters"]
    assert cluster["Status"] == "available" and cluster["DBClusterMembers"] == []
    assert not cluster["DeletionProtection"] and "ServerlessV2ScalingConfiguration" not in cluster
    assert cluster["StorageType"] == ("aurora" if backup_type == "Aurora" else "standard")
    assert cluster["Port"] == 7000
    assert cluster["BackupRetentionPeriod"] == 1 and cluster["AssociatedRoles"] == [] and cluster["TagList"] == []
    assert cluster["DBClusterParameterGroup"].startswith("default.")


def test_omitted_version_is_the_default_of_the_region(
    region: RunningRegion, cluster_points: dict[str, str], here: dict[str, str]
) -> None:
    metadata = cluster_metadata(here)
    del metadata["EngineVersion"]
    restore(region, cluster_points["Aurora"], metadata)
    rds = region.client("rds")
    (cluster,) = rds.describe_db_clusters(DBClusterIdentifier=metadata["DBClusterIdentifier"])["DBClusters"]
    assert cluster["EngineVersion"] == "17.4"


def test_tags_are_copied_on_request_and_are_those_of_the_backup(
    region: RunningRegion, here: dict[str, str], there: dict[str, str]
) -> None:
    source = make_instance(region, PRIMARY, DBSubnetGroupName=there["subnets"], Tags=tag_list(TAGS))
    point = copy(region, back_up(region, source["DBInstanceArn"], RecoveryPointTags={"rule": "daily"}))
    rds = region.client("rds")
    rds.add_tags_to_resource(ResourceName=point, Tags=tag_list({"later": "1"}))
    assert {tag["Key"] for tag in rds.list_tags_for_resource(ResourceName=point)["TagList"]} == {*TAGS, "rule", "later"}
    metadata = instance_metadata(here)
    job = restore(region, point, metadata, CopySourceTagsToRestoredResource=True)
    assert rds.list_tags_for_resource(ResourceName=job["CreatedResourceArn"])["TagList"] == tag_list(TAGS)


def test_restore_job_runs_until_its_database_is_created() -> None:
    slow = RunningRegion("--restore-seconds-of", "RDS=600", "--restore-seconds", "0.05")
    make_vaults(slow)
    network = make_network(slow)
    source = make_instance(slow, PRIMARY)
    point = copy(slow, back_up(slow, source["DBInstanceArn"]))
    job_id = start(slow, point, instance_metadata(network, DBInstanceIdentifier="orders"))
    arn = f"arn:aws:rds:{REGION}:{ACCOUNT}:db:orders"
    slow.wait_for(1, "status", lambda entry: (entry["resource"], entry["status"]) == (arn, "creating"))
    job = slow.client("backup").describe_restore_job(RestoreJobId=job_id)
    assert job["Status"] == "RUNNING" and "CreatedResourceArn" not in job
    (instance,) = slow.client("rds").describe_db_instances(DBInstanceIdentifier="orders")["DBInstances"]
    assert instance["DBInstanceStatus"] == "creating" and "Endpoint" not in instance
    # Another job for the same name fails.
    second = start(slow, point, instance_metadata(network, DBInstanceIdentifier="orders"))
    slow.wait_for(1, "restore-job", lambda entry: (entry["restoreJobId"], entry["status"]) == (second, "FAILED"))
    assert slow.stop() == 0


INSTANCE_FAULTS: list[tuple[dict[str, Any], str]] = [
    ({"DBInstanceIdentifier": ""}, "Missing required key: DBInstanceIdentifier"),
    ({"DBInstanceIdentifier": "1st"}, "not a valid identifier"),
    ({"DBSubnetGroupName": "none"}, "DBSubnetGroupNotFoundFault"),
    ({"VpcSecurityGroupIds": ["sg-0123456789abcdef1"]}, "Invalid security group"),
    ({"VpcSecurityGroupIds": "sg-0123456789abcdef1"}, "JSON array"),
    ({"VpcSecurityGroupIds": "sg-1,sg-2"}, "JSON array"),
    ({"DBParameterGroupName": "none"}, "DBParameterGroupNotFound"),
    ({"OptionGroupName": "none"}, "OptionGroupNotFoundFault"),
    ({"MultiAZ": "true", "AvailabilityZone": f"{REGION}a"}, "not valid for Multi-AZ"),
    ({"AvailabilityZone": f"{PRIMARY}a"}, "InvalidVPCNetworkStateFault"),
    ({"MultiAZ": "yes"}, "MultiAZ is true or false"),
    ({"ProcessorFeatures": "coreCount=2"}, "ProcessorFeatures is a JSON array"),
    ({"StorageType": "gp3"}, "Iops"),
    ({"AllocatedStorage": "10"}, "less than"),
    ({"DBName": "orders"}, "DBName must be null when Restoring for this Engine."),
    ({"BackupTheMoon": "true"}, "Unrecognized key: BackupTheMoon"),
]


@pytest.mark.parametrize(("fault", "message"), INSTANCE_FAULTS)
def test_invalid_instance_metadata_fails_the_job(
    region: RunningRegion, instance_point: str, here: dict[str, str], fault: dict[str, Any], message: str
) -> None:
    job = restore(region, instance_point, instance_metadata(here) | fault)
    assert job["Status"] == "FAILED" and message in job["StatusMessage"] and "CreatedResourceArn" not in job


def test_security_groups_of_another_vpc_fail_a_restore(region: RunningRegion, instance_point: str, here: Any) -> None:
    metadata = instance_metadata(here, VpcSecurityGroupIds=[make_network(region)["group"]])
    assert "InvalidVPCNetworkStateFault" in restore(region, instance_point, metadata)["StatusMessage"]


CLUSTER_FAULTS: list[tuple[dict[str, Any], str]] = [
    ({"DBClusterIdentifier": ""}, "Missing required key: DBClusterIdentifier"),
    ({"Engine": ""}, "Missing required key: Engine"),
    ({"Engine": "aurora-mysql"}, "not that of the snapshot"),
    ({"EngineVersion": "9.6"}, "Cannot find version"),
    ({"EngineVersion": "15.10"}, "Cannot restore"),
    ({"DBSubnetGroupName": "none"}, "DBSubnetGroupNotFoundFault"),
    ({"VpcSecurityGroupIds": "sg-1"}, "JSON array"),
    ({"DBClusterParameterGroupName": "none"}, "DBClusterParameterGroupNotFound"),
    ({"AvailabilityZones": [f"{PRIMARY}a"]}, "not Availability Zones"),
    ({"KmsKeyId": f"arn:aws:kms:{PRIMARY}:{ACCOUNT}:key/{uuid.UUID(int=7)}"}, "KMSKeyNotAccessibleFault"),
    ({"ServerlessV2ScalingConfiguration": "{}"}, "Unrecognized key"),
    ({"DeletionProtection": "true"}, "Unrecognized key"),
]


@pytest.mark.parametrize(("fault", "message"), CLUSTER_FAULTS)
def test_invalid_cluster_metadata_fails_the_job(
    region: RunningRegion, cluster_points: dict[str, str], here: dict[str, str], fault: dict[str, Any], message: str
) -> None:
    job = restore(region, cluster_points["Aurora"], cluster_metadata(here) | fault)
    assert job["Status"] == "FAILED" and message in job["StatusMessage"]


def test_existing_name_fails_the_restore_and_stays_unchanged(
    region: RunningRegion, instance_point: str, cluster_points: dict[str, str], here: dict[str, str]
) -> None:
    owner, other = make_instance(region), make_cluster(region)
    job = restore(
        region, instance_point, instance_metadata(here, DBInstanceIdentifier=owner["DBInstanceIdentifier"].upper())
    )
    assert job["Status"] == "FAILED" and "DBInstanceAlreadyExists" in job["StatusMessage"]
    job = restore(
        region,
        cluster_points["Aurora"],
        cluster_metadata(here, DBClusterIdentifier=other["DBClusterIdentifier"]),
    )
    assert job["Status"] == "FAILED" and "DBClusterAlreadyExistsFault" in job["StatusMessage"]
    assert statuses(region, owner["DBInstanceArn"]) == ["creating", "available"]
    assert statuses(region, other["DBClusterArn"]) == ["creating", "available"]


def test_storage_left_out_is_not_that_of_the_source(region: RunningRegion, here: dict[str, str]) -> None:
    source = make_instance(region, PRIMARY, StorageType="io2", Iops=5000)
    point = copy(region, back_up(region, source["DBInstanceArn"]))
    rds = region.client("rds")
    for own, expected in (({}, ("gp3", 5000)), ({"Iops": "4000"}, ("io1", 4000))):
        arn = restore(region, point, instance_metadata(here, **own))["CreatedResourceArn"]
        (instance,) = rds.describe_db_instances(DBInstanceIdentifier=arn)["DBInstances"]
        assert (instance["StorageType"], instance["Iops"]) == expected


@pytest.mark.parametrize(
    ("engine", "version"),
    [
        ("mysql", "8.4.4"),
        ("mariadb", "11.4.4"),
        ("oracle-se2", "19.0.0.0.ru-2025-01.rur-2025-01.r1"),
        ("sqlserver-se", "16.00.4185.3.v1"),
    ],
)
def test_engine_decides_whether_name_and_size_of_a_restore_are_accepted(
    region: RunningRegion, here: dict[str, str], engine: str, version: str
) -> None:
    own: dict[str, Any] = {} if engine == "sqlserver-se" else {"DBName": "ORDERS"}
    source = make_instance(region, PRIMARY, Engine=engine, EngineVersion=version, AllocatedStorage=100, **own)
    point = copy(region, back_up(region, source["DBInstanceArn"]))
    assert stored(region, point).get("DBName") == own.get("DBName")

    def status_of(**metadata: str) -> tuple[str, str]:
        job = restore(region, point, instance_metadata(here, **metadata))
        return job["Status"], job.get("StatusMessage", "")

    named, message = status_of(DBName="ORDERS")
    assert named == ("COMPLETED" if engine in ("oracle-se2", "sqlserver-se") else "FAILED"), message
    sized, message = status_of(AllocatedStorage="100")
    assert sized == ("FAILED" if engine == "sqlserver-se" else "COMPLETED"), message


def test_restore_test_names_its_database(region: RunningRegion, instance_point: str, here: Any) -> None:
    # AWS Backup has a role of its own for tests.
    make_role(region, *RESTORE_ACTIONS, service="backup.amazonaws.com", path="/service-role/", name=TEST_ROLE)
    metadata = {"DBSubnetGroupName": here["subnets"], "VpcSecurityGroupIds": json.dumps([here["group"]])}
    status, answer = region.post("restore-tests", {"recoveryPointArn": instance_point, "metadata": metadata})
    assert status == 200
    region.wait_until_idle()
    job = region.client("backup").describe_restore_job(RestoreJobId=answer["restoreJobId"])
    assert job["Status"] == "COMPLETED", job["StatusMessage"]
    assert ":db:awsbackup-restore-test-" in job["CreatedResourceArn"]
    tags = region.client("rds").list_tags_for_resource(ResourceName=job["CreatedResourceArn"])["TagList"]
    assert tags == tag_list({"awsbackup-restore-test": job["RestoreJobId"]})


def test_encrypts_a_restored_cluster_with_a_key_of_the_recovery_region(
    region: RunningRegion, cluster_points: dict[str, str], here: dict[str, str]
) -> None:
    key = region.client("kms").create_key()["KeyMetadata"]["Arn"]
    metadata = cluster_metadata(here, KmsKeyId=key)
    assert restore(region, cluster_points["Aurora"], metadata)["Status"] == "COMPLETED"
    rds = region.client("rds")
    (cluster,) = rds.describe_db_clusters(DBClusterIdentifier=metadata["DBClusterIdentifier"])["DBClusters"]
    assert cluster["StorageEncrypted"] and cluster["KmsKeyId"] == key
    region.client("kms").disable_key(KeyId=key)
    job = restore(region, cluster_points["Aurora"], cluster_metadata(here, KmsKeyId=key))
    assert "KMSKeyNotAccessibleFault" in job["StatusMessage"]


def test_vault_key_encrypts_copies_and_their_restores(
    region: RunningRegion, here: dict[str, str]
) -> None:
    key = region.client("kms").create_key()["KeyMetadata"]["Arn"]
    backup, rds = region.client("backup"), region.client("rds")
    backup.create_backup_vault(BackupVaultName="locked", EncryptionKeyArn=key)
    instance, cluster = make_instance(region, PRIMARY), make_cluster(region, PRIMARY)
    points = [
        copy(region, back_up(region, arn), "locked") for arn in (instance["DBInstanceArn"], cluster["DBClusterArn"])
    ]
    for arn in points:
        point = backup.describe_recovery_point(BackupVaultName="locked", RecoveryPointArn=arn)
        assert point["IsEncrypted"] and point["EncryptionKeyArn"] == key
    arn = restore(region, points[0], instance_metadata(here))["CreatedResourceArn"]
    (restored,) = rds.describe_db_instances(DBInstanceIdentifier=arn)["DBInstances"]
    assert restored["StorageEncrypted"] and restored["KmsKeyId"] == key
    arn = restore(region, points[1], cluster_metadata(here))["CreatedResourceArn"]
    (restored,) = rds.describe_db_clusters(DBClusterIdentifier=arn)["DBClusters"]
    assert restored["StorageEncrypted"] and restored["KmsKeyId"] == key


def test_injected_restore_failure_leaves_no_database(
    region: RunningRegion, instance_point: str, here: dict[str, str]
) -> None:
    region.post("restore-failures", {"recoveryPointArn": instance_point, "message": "No capacity."})
    metadata = instance_metadata(here)
    assert restore(region, instance_point, metadata)["StatusMessage"] == "No capacity."
    assert restore(region, instance_point, metadata)["Status"] == "COMPLETED"


@pytest.mark.parametrize("status", ["incompatible-network", "failed"])
def test_failed_database_fails_the_job_and_keeps_its_name(
    region: RunningRegion, instance_point: str, cluster_points: dict[str, str], here: dict[str, str], status: str
) -> None:
    instance, cluster = instance_metadata(here), cluster_metadata(here)
    for point, metadata in ((instance_point, instance), (cluster_points["Aurora"], cluster)):
        name = metadata.get("DBInstanceIdentifier") or metadata["DBClusterIdentifier"]
        region.post("status-ends", {"name": name, "status": status})
        job = restore(region, point, metadata)
        assert job["Status"] == "FAILED" and status in job["StatusMessage"]
        again = restore(region, point, metadata)
        assert "AlreadyExists" in again["StatusMessage"]


def test_restores_announce_each_state_with_their_type(
    region: RunningRegion, cluster_points: dict[str, str], here: dict[str, str]
) -> None:
    pattern = {"source": ["aws.backup"], "detail-type": ["Restore Job State Change"]}
    queue_url = subscribe(region, "database-restores", pattern)
    job = restore(region, cluster_points["Neptune"], cluster_metadata(here, "Neptune"))
    events = received(region, queue_url)
    assert [event["detail"]["status"] for event in events] == ["PENDING", "RUNNING", "COMPLETED"]
    assert {event["detail"]["resourceType"] for event in events} == {"Neptune"}
    assert events[2]["detail"]["createdResourceArn"] == job["CreatedResourceArn"]
    assert events[2]["resources"] == [job["RecoveryPointArn"]]


def test_metadata_that_is_not_of_strings_starts_nothing(region: RunningRegion, instance_point: str) -> None:
    # Raw, since clients refuse it themselves.
    body = {
        "RecoveryPointArn": instance_point,
        "IamRoleArn": f"arn:aws:iam::{ACCOUNT}:role/backup",
        "Metadata": {"DBInstanceIdentifier": "orders", "VpcSecurityGroupIds": ["sg-1"]},
    }
    headers = {"Authorization": f"AWS4-HMAC-SHA256 Credential={ACCOUNT}/20240101/{REGION}/backup/aws4_request"}
    request = urllib.request.Request(
        f"{region.endpoint}/restore-jobs", json.dumps(body).encode(), headers, method="PUT"
    )
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request)
    assert refused.value.headers["x-amzn-errortype"] == "SerializationException"


@pytest.mark.parametrize("left_out", [*RESTORE_ACTIONS[:4]])
def test_restore_requires_permissions_of_its_role(
    region: RunningRegion, instance_point: str, cluster_points: dict[str, str], here: dict[str, str], left_out: str
) -> None:
    allowed = [action for action in RESTORE_ACTIONS if action != left_out]
    role = make_role(region, *allowed, service="backup.amazonaws.com")
    is_cluster = "Cluster" in left_out
    point = cluster_points["Aurora"] if is_cluster else instance_point
    metadata = cluster_metadata(here) if is_cluster else instance_metadata(here)
    job = restore(region, point, metadata, role=role)
    assert job["Status"] == "FAILED" and f"not authorized to perform: {left_out}" in job["StatusMessage"]
    # AWS Backup cannot assume the role of a function.
    stranger = make_role(region, *RESTORE_ACTIONS, service="lambda.amazonaws.com")
    assert "does not trust" in restore(region, point, metadata, role=stranger)["StatusMessage"]


def test_copied_tags_need_a_right_of_their_own(region: RunningRegion, instance_point: str, here: Any) -> None:
    allowed = [action for action in RESTORE_ACTIONS if action != "rds:AddTagsToResource"]
    role = make_role(region, *allowed, service="backup.amazonaws.com")
    assert restore(region, instance_point, instance_metadata(here), role=role)["Status"] == "COMPLETED"
    job = restore(region, instance_point, instance_metadata(here), role=role, CopySourceTagsToRestoredResource=True)
    assert "rds:AddTagsToResource" in job["StatusMessage"]


def test_rejects_backups_of_resources_that_are_not_available(region: RunningRegion, here: dict[str, str]) -> None:
    backup = region.client("backup", PRIMARY)
    arn = f"arn:aws:rds:{PRIMARY}:{ACCOUNT}:db:none"
    params = {"BackupVaultName": "primary", "IamRoleArn": f"arn:aws:iam::{ACCOUNT}:role/backup"}
    code, _ = refusal(lambda: backup.start_backup_job(ResourceArn=arn, **params))
    assert code == "InvalidParameterValueException"
