"""AWS Backup of clusters of Aurora, DocumentDB and Neptune: a recovery point is a cluster snapshot."""

import json
import re
from typing import Any

from ministack.core.responses import get_region

from local_region.api_error import ApiError
from local_region.backup_types import NewRecoveryPoint, Restore, with_tags_of_rule
from local_region.db_clusters import DbClusters
from local_region.db_engines import ENGINES
from local_region.db_groups import (
    arn_of,
    checked_identifier,
    cluster_parameter_group,
    key_arn,
    option_group,
    security_groups,
    subnet_group,
)
from local_region.db_instance_backups import SnapshotCopy
from local_region.db_snapshots import DbSnapshots, snapshot_id
from local_region.db_tags import set_tags, tags_of
from local_region.query_operations import fault
from local_region.restore_metadata import RestoreMetadata
from local_region.status_changes import DEAD, StatusChanges

# The keys that a restore reads, and those that are information only.
READ = (
    "AvailabilityZones",
    "BacktrackWindow",
    "CopyTagsToSnapshot",
    "DBClusterIdentifier",
    "DBClusterParameterGroupName",
    "DBSubnetGroupName",
    "DatabaseName",
    "EnableCloudwatchLogsExports",
    "EnableIAMDatabaseAuthentication",
    "Engine",
    "EngineMode",
    "EngineVersion",
    "KmsKeyId",
    "OptionGroupName",
    "Port",
    "ScalingConfiguration",
    "VpcSecurityGroupIds",
)
INFORMATIONAL = ("Encrypted", "vpcId")


class DbClusterBackups:
    """Backs up and restores clusters of one of AWS Backup's types."""

    def __init__(self, name: str, changes: StatusChanges, snapshots: DbSnapshots, clusters: DbClusters) -> None:
        self.name = name
        self._changes = changes
        self._snapshots = snapshots
        self._clusters = clusters

    def covers(self, resource_arn: str) -> bool:
        """Whether a resource is a cluster of this type that exists."""
        if ":cluster:" not in resource_arn or not resource_arn.startswith("arn:aws:rds:"):
            return False
        try:
            return ENGINES[self._clusters.existing(resource_arn)["Engine"]].backup_type == self.name
        except ApiError:
            return False

    def back_up(self, resource_arn: str, tags: dict[str, str]) -> NewRecoveryPoint:
        """Take a snapshot of a cluster."""
        cluster = self._clusters.existing(resource_arn)
        if cluster["Status"] != "available":
            raise fault("rds", "InvalidDBClusterStateFault", f"{resource_arn} is in {cluster['Status']} state")
        own = tags_of(resource_arn)
        arn = self._snapshots.of_cluster(cluster, snapshot_id("job"), "awsbackup")
        set_tags(arn, with_tags_of_rule(own, tags))
        return NewRecoveryPoint(
            arn, cluster["AllocatedStorage"] << 30, cluster["StorageEncrypted"], _stored(cluster), own
        )

    def copy(self, point: dict[str, Any]) -> SnapshotCopy:
        """A snapshot, ready to be put into another vault."""
        return SnapshotCopy(self._snapshots, point["RecoveryPointArn"])

    def check(self, metadata: dict[str, str]) -> None:
        """What is wrong with the metadata shows when the job runs."""

    def metadata_of_test(self, job_id: str, _point: dict[str, Any]) -> dict[str, str]:
        """A name. The engine is that of the recovery point, which `begin` completes."""
        return {"DBClusterIdentifier": f"awsbackup-restore-test-{job_id.lower()}"[:63].rstrip("-")}

    def begin(self, restore: Restore) -> None:
        """Begin to restore a cluster, as RestoreDBClusterFromSnapshot does."""
        point = restore.job["RecoveryPointArn"]
        snapshot, source = self._snapshots.get(point), self._snapshots.source(point)
        given = restore.metadata
        if "CreatedBy" in restore.job:
            given = {"Engine": snapshot["Engine"]} | given
        metadata = RestoreMetadata(given, (*READ, *INFORMATIONAL), ("DBClusterIdentifier", "Engine"))
        own = _settings_of(metadata, source)
        own["KmsKeyId"] = key_arn(metadata.text("KmsKeyId")) or snapshot["KmsKeyId"]
        tags = restore.tags or {}
        _require(restore, own, tags)
        self._clusters.check_free(own["DBClusterIdentifier"])
        restore.created = self._clusters.add(own, tags)

    def abandon(self, restore: Restore) -> None:
        """The cluster goes."""
        if restore.created:
            self._clusters.forget(restore.created["DBClusterIdentifier"])

    def finish(self, restore: Restore) -> str:
        """The cluster is there, without any instance."""
        cluster = restore.created
        end = self._changes.end_of(cluster["DBClusterIdentifier"])
        self._changes.set(cluster, end or "available")
        if end in DEAD:
            # It stays, and its name is taken.
            restore.created = None
            raise fault("rds", "InvalidDBClusterStateFault", f"DB cluster {cluster['DBClusterIdentifier']} is {end}.")
        return cluster["DBClusterArn"]


def _stored(cluster: dict[str, Any]) -> dict[str, str]:
    """What AWS Backup stores of a cluster: the names are those of its Region."""
    stored = {
        "AvailabilityZones": json.dumps(cluster["AvailabilityZones"]),
        "CopyTagsToSnapshot": str(cluster["CopyTagsToSnapshot"]).lower(),
        "DBClusterParameterGroupName": cluster["DBClusterParameterGroup"],
        "DBSubnetGroupName": cluster["DBSubnetGroup"],
        "EnableIAMDatabaseAuthentication": str(cluster["IAMDatabaseAuthenticationEnabled"]).lower(),
        "Engine": cluster["Engine"],
        "EngineMode": cluster["EngineMode"],
        "EngineVersion": cluster["EngineVersion"],
        "Port": str(cluster["Port"]),
        "VpcSecurityGroupIds": json.dumps([group["VpcSecurityGroupId"] for group in cluster["VpcSecurityGroups"]]),
        "vpcId": cluster["_subnet_group"]["VpcId"],
    }
    for name in ("BacktrackWindow", "DatabaseName", "KmsKeyId"):
        if cluster.get(name):
            stored[name] = str(cluster[name])
    return stored


def _settings_of(metadata: RestoreMetadata, source: dict[str, Any]) -> dict[str, Any]:
    """The settings of a restored cluster, or the refusal of what this Region does not have."""
    engine = ENGINES[source["Engine"]]
    if metadata.text("Engine") != engine.name:
        raise ApiError(
            "InvalidParameterCombination",
            f"The engine {metadata.text('Engine')} is not that of the snapshot: {engine.name}",
        )
    # Left out, it is the Region's default, which may be newer than the source's.
    version = metadata.text("EngineVersion") or engine.default_version
    engine.check_version(version)
    if engine.is_older(version, source["EngineVersion"]):
        raise ApiError("InvalidParameterCombination", f"Cannot restore {source['EngineVersion']} as {version}")
    group = subnet_group(metadata.text("DBSubnetGroupName"))
    zones = metadata.texts("AvailabilityZones")
    wrong = [zone for zone in zones or [] if not re.fullmatch(rf"{get_region()}[a-z]", zone)]
    if wrong:
        raise fault(
            "rds", "InvalidVPCNetworkStateFault", f"{', '.join(wrong)} are not Availability Zones of {get_region()}"
        )
    option_group(metadata.text("OptionGroupName"), engine, version)
    return {
        "AvailabilityZones": zones,
        "BacktrackWindow": metadata.number("BacktrackWindow"),
        "CopyTagsToSnapshot": metadata.flag("CopyTagsToSnapshot", False),
        "DBClusterIdentifier": checked_identifier(metadata.text("DBClusterIdentifier"), "DBClusterIdentifier"),
        "DBClusterParameterGroup": cluster_parameter_group(
            metadata.text("DBClusterParameterGroupName"), engine, version
        ),
        "DatabaseName": metadata.text("DatabaseName") or source.get("DatabaseName"),
        "EnabledCloudwatchLogsExports": metadata.texts("EnableCloudwatchLogsExports") or [],
        "Engine": engine.name,
        "EngineMode": metadata.text("EngineMode") or "provisioned",
        "EngineVersion": version,
        "IAMDatabaseAuthenticationEnabled": metadata.flag("EnableIAMDatabaseAuthentication", False),
        "MasterUsername": source["MasterUsername"],
        "Port": metadata.number("Port") or source["Port"],
        "StorageEncrypted": source["StorageEncrypted"],
        "VpcSecurityGroupIds": security_groups(metadata.texts("VpcSecurityGroupIds"), group["VpcId"]),
        "_subnet_group": group,
    }


def _require(restore: Restore, own: dict[str, Any], tags: dict[str, str]) -> None:
    action = "rds:RestoreDBClusterFromSnapshot"
    engine = ENGINES[own["Engine"]]
    restored = arn_of("cluster", own["DBClusterIdentifier"])
    for arn in (
        restore.job["RecoveryPointArn"],
        restored,
        arn_of("subgrp", own["_subnet_group"]["DBSubnetGroupName"]),
        arn_of("cluster-pg", own["DBClusterParameterGroup"]),
        arn_of("og", option_group(None, engine, own["EngineVersion"])),
    ):
        restore.require(action, arn)
    restore.require("rds:DescribeDBClusters", restored)
    if tags:
        restore.require("rds:AddTagsToResource", restored)
