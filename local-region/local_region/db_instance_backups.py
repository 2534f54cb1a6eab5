"""AWS Backup of DB instances of RDS: a recovery point is a DB snapshot, whose tags are RDS's."""

import json
from typing import Any

from ministack.core.responses import get_region

from local_region.api_error import ApiError
from local_region.backup_types import NewRecoveryPoint, Restore, with_tags_of_rule
from local_region.db_engines import ENGINES
from local_region.db_groups import (
    arn_of,
    checked_identifier,
    option_group,
    parameter_group,
    security_groups,
    subnet_group,
    zones_of,
)
from local_region.db_instances import DbInstances
from local_region.db_snapshots import DbSnapshots, snapshot_id
from local_region.db_tags import set_tags, tags_of
from local_region.query_operations import fault
from local_region.restore_metadata import RestoreMetadata
from local_region.status_changes import DEAD, StatusChanges

# The keys that a restore reads, and those that are information only.
READ = (
    "AllocatedStorage",
    "AutoMinorVersionUpgrade",
    "AvailabilityZone",
    "CopyTagsToSnapshot",
    "DBInstanceClass",
    "DBInstanceIdentifier",
    "DBName",
    "DBParameterGroupName",
    "DBSubnetGroupName",
    "DeletionProtection",
    "EnableCloudwatchLogsExports",
    "EnableIAMDatabaseAuthentication",
    "Iops",
    "LicenseModel",
    "MultiAZ",
    "OptionGroupName",
    "Port",
    "ProcessorFeatures",
    "PubliclyAccessible",
    "StorageType",
    "VpcSecurityGroupIds",
)
INFORMATIONAL = ("Encrypted", "Engine", "EngineVersion", "KmsKeyId", "vpcId")
# Kinds of storage with provisioned I/O, which a restore must name.
PROVISIONED = ("gp3", "io1", "io2")


class DbInstanceBackups:
    """Backs up and restores instances that are in no cluster."""

    name = "RDS"

    def __init__(self, changes: StatusChanges, snapshots: DbSnapshots, instances: DbInstances) -> None:
        self._changes = changes
        self._snapshots = snapshots
        self._instances = instances

    def covers(self, resource_arn: str) -> bool:
        """Whether a resource is such an instance that exists."""
        if ":db:" not in resource_arn or not resource_arn.startswith("arn:aws:rds:"):
            return False
        try:
            return not self._instances.existing(resource_arn).get("DBClusterIdentifier")
        except ApiError:
            return False

    def back_up(self, resource_arn: str, tags: dict[str, str]) -> NewRecoveryPoint:
        """Take a snapshot of an instance."""
        instance = self._instances.existing(resource_arn)
        if instance["DBInstanceStatus"] != "available":
            raise fault("rds", "InvalidDBInstanceStateFault", "Database instance is not in available state.")
        own = tags_of(resource_arn)
        arn = self._snapshots.of_instance(instance, snapshot_id("job"), "awsbackup")
        set_tags(arn, with_tags_of_rule(own, tags))
        return NewRecoveryPoint(
            arn, instance["AllocatedStorage"] << 30, instance["StorageEncrypted"], _stored(instance), own
        )

    def copy(self, point: dict[str, Any]) -> "SnapshotCopy":
        """A snapshot, ready to be put into another vault."""
        return SnapshotCopy(self._snapshots, point["RecoveryPointArn"])

    def check(self, metadata: dict[str, str]) -> None:
        """What is wrong with the metadata shows when the job runs."""

    def metadata_of_test(self, job_id: str, _point: dict[str, Any]) -> dict[str, str]:
        """A name."""
        return {"DBInstanceIdentifier": f"awsbackup-restore-test-{job_id.lower()}"[:63].rstrip("-")}

    def begin(self, restore: Restore) -> None:
        """Begin to restore an instance, as RestoreDBInstanceFromDBSnapshot does."""
        metadata = RestoreMetadata(restore.metadata, (*READ, *INFORMATIONAL), ("DBInstanceIdentifier",))
        point = restore.job["RecoveryPointArn"]
        source = self._snapshots.source(point)
        own = _settings_of(metadata, source) | {"KmsKeyId": self._snapshots.get(point)["KmsKeyId"]}
        tags = restore.tags or {}
        _require(restore, own, tags)
        self._instances.check_free(own["DBInstanceIdentifier"])
        restore.created = self._instances.add(own, tags)

    def abandon(self, restore: Restore) -> None:
        """The instance goes."""
        if restore.created:
            self._instances.forget(restore.created["DBInstanceIdentifier"])

    def finish(self, restore: Restore) -> str:
        """The instance is there, and is backed up for the first time."""
        instance = restore.created
        end = self._changes.end_of(instance["DBInstanceIdentifier"])
        if end:
            self._changes.set(instance, end)
        if end in DEAD:
            # It stays, and its name is taken.
            restore.created = None
            raise ApiError("InvalidDBInstanceState", f"DB instance {instance['DBInstanceIdentifier']} is {end}.")
        if not end:
            self._instances.complete(instance)
        return instance["DBInstanceArn"]


class SnapshotCopy:
    """A snapshot of RDS on its way into another vault."""

    def __init__(self, snapshots: DbSnapshots, arn: str) -> None:
        self._snapshots = snapshots
        self._copied = snapshots.copied(arn)

    def put(self, key: str | None) -> str:
        """Put the copy into the Region that is current."""
        return self._snapshots.put(*self._copied, snapshot_id("copyjob"), key)


def _stored(instance: dict[str, Any]) -> dict[str, str]:
    """What AWS Backup stores of an instance: the names are those of its Region."""
    stored = {
        "AllocatedStorage": str(instance["AllocatedStorage"]),
        "AutoMinorVersionUpgrade": _flag(instance["AutoMinorVersionUpgrade"]),
        "AvailabilityZone": instance["AvailabilityZone"],
        "CopyTagsToSnapshot": _flag(instance["CopyTagsToSnapshot"]),
        "DBInstanceClass": instance["DBInstanceClass"],
        "DBParameterGroupName": instance["DBParameterGroups"][0]["DBParameterGroupName"],
        "DBSubnetGroupName": instance["DBSubnetGroup"]["DBSubnetGroupName"],
        "DeletionProtection": _flag(instance["DeletionProtection"]),
        "EnableIAMDatabaseAuthentication": _flag(instance["IAMDatabaseAuthenticationEnabled"]),
        "Encrypted": _flag(instance["StorageEncrypted"]),
        "Engine": instance["Engine"],
        "EngineVersion": instance["EngineVersion"],
        "LicenseModel": instance["LicenseModel"],
        "MultiAZ": _flag(instance["MultiAZ"]),
        "OptionGroupName": instance["OptionGroupMemberships"][0]["OptionGroupName"],
        "Port": str(instance["_port"]),
        "PubliclyAccessible": _flag(instance["PubliclyAccessible"]),
        "StorageType": instance["StorageType"],
        "VpcSecurityGroupIds": json.dumps([group["VpcSecurityGroupId"] for group in instance["VpcSecurityGroups"]]),
        "vpcId": instance["DBSubnetGroup"]["VpcId"],
    }
    for name in ("DBName", "Iops", "KmsKeyId"):
        if instance.get(name):
            stored[name] = str(instance[name])
    return stored


def _settings_of(metadata: RestoreMetadata, source: dict[str, Any]) -> dict[str, Any]:
    """The settings of a restored instance, or the refusal of what this Region does not have."""
    engine, version = ENGINES[source["Engine"]], source["EngineVersion"]
    identifier = checked_identifier(metadata.text("DBInstanceIdentifier"), "DBInstanceIdentifier")
    group = subnet_group(metadata.text("DBSubnetGroupName"))
    zone, multi_az = metadata.text("AvailabilityZone"), metadata.flag("MultiAZ", False)
    if zone and multi_az:
        raise ApiError(
            "InvalidParameterCombination",
            "Requesting a specific availability zone is not valid for Multi-AZ instances.",
        )
    if zone and zone not in zones_of(group):
        raise fault(
            "rds",
            "InvalidVPCNetworkStateFault",
            f"{zone} is not an Availability Zone of the subnet group in {get_region()}",
        )
    iops = metadata.number("Iops")
    # What is left out is not that of the source.
    storage_type = metadata.text("StorageType") or ("io1" if iops else "gp3")
    if storage_type not in engine.storage_types:
        raise ApiError("InvalidParameterValue", f"Invalid storage type: {storage_type}")
    if metadata.text("StorageType") in PROVISIONED and iops is None:
        raise ApiError("InvalidParameterCombination", f"You must specify the Iops of storage type {storage_type}")
    if metadata.text("DBName") and not engine.has_name("oracle", "sqlserver"):
        raise ApiError("InvalidParameterValue", "DBName must be null when Restoring for this Engine.")
    if metadata.text("AllocatedStorage") and engine.has_name("sqlserver"):
        raise ApiError(
            "InvalidParameterCombination", f"You can't specify the allocated storage of a restore of {engine.name}"
        )
    size = metadata.number("AllocatedStorage") or source["AllocatedStorage"]
    if size < source["AllocatedStorage"]:
        raise ApiError(
            "InvalidParameterValue", f"The allocated storage can't be less than {source['AllocatedStorage']}"
        )
    return {
        "AllocatedStorage": size,
        "AutoMinorVersionUpgrade": metadata.flag("AutoMinorVersionUpgrade", True),
        "AvailabilityZone": zone,
        "BackupRetentionPeriod": source["BackupRetentionPeriod"],
        "CopyTagsToSnapshot": metadata.flag("CopyTagsToSnapshot", False),
        "DBInstanceClass": metadata.text("DBInstanceClass") or source["DBInstanceClass"],
        "DBInstanceIdentifier": identifier,
        "DBName": metadata.text("DBName") or source.get("DBName"),
        "DBParameterGroupName": parameter_group(metadata.text("DBParameterGroupName"), engine, version),
        "DBSubnetGroup": group,
        # Off unless it is asked for.
        "DeletionProtection": metadata.flag("DeletionProtection", False),
        "EnabledCloudwatchLogsExports": metadata.texts("EnableCloudwatchLogsExports") or [],
        "Engine": source["Engine"],
        "EngineVersion": version,
        "IAMDatabaseAuthenticationEnabled": metadata.flag("EnableIAMDatabaseAuthentication", False),
        "Iops": iops or source.get("Iops"),
        "LicenseModel": metadata.text("LicenseModel") or source["LicenseModel"],
        "MasterUsername": source["MasterUsername"],
        "MultiAZ": multi_az,
        "OptionGroupName": option_group(metadata.text("OptionGroupName"), engine, version),
        "Port": metadata.number("Port") or source["_port"],
        "ProcessorFeatures": metadata.objects("ProcessorFeatures"),
        "PubliclyAccessible": metadata.flag("PubliclyAccessible", False),
        "StorageEncrypted": source["StorageEncrypted"],
        "StorageType": storage_type,
        "VpcSecurityGroupIds": security_groups(metadata.texts("VpcSecurityGroupIds"), group["VpcId"]),
    }


def _require(restore: Restore, own: dict[str, Any], tags: dict[str, str]) -> None:
    action = "rds:RestoreDBInstanceFromDBSnapshot"
    restored = arn_of("db", own["DBInstanceIdentifier"])
    for arn in (
        restore.job["RecoveryPointArn"],
        restored,
        arn_of("subgrp", own["DBSubnetGroup"]["DBSubnetGroupName"]),
        arn_of("pg", own["DBParameterGroupName"]),
        arn_of("og", own["OptionGroupName"]),
    ):
        restore.require(action, arn)
    restore.require("rds:DescribeDBInstances", restored)
    if tags:
        restore.require("rds:AddTagsToResource", restored)


def _flag(value: Any) -> str:
    return str(bool(value)).lower()
