"""Snapshots of databases, as AWS Backup and deletions make them: they contain what a restore needs."""

import copy
import time
import uuid
from typing import Any

from ministack.core.responses import AccountRegionScopedDict, get_region

from local_region.api_error import ApiError
from local_region.callers import Caller
from local_region.db_engines import ENGINES
from local_region.db_groups import arn_of, option_group
from local_region.db_pages import Reader, filtered, paged
from local_region.db_tags import DbTags, as_list, set_tags, tags_of
from local_region.query_operations import add_query_operations, fault

INSTANCE_FILTERS: dict[str, Reader] = {
    "db-instance-id": lambda s: s["DBInstanceIdentifier"],
    "db-snapshot-id": lambda s: s["DBSnapshotIdentifier"],
    "dbi-resource-id": lambda s: s["DbiResourceId"],
    "engine": lambda s: s["Engine"],
    "snapshot-type": lambda s: s["SnapshotType"],
}
CLUSTER_FILTERS: dict[str, Reader] = {
    "db-cluster-id": lambda s: s["DBClusterIdentifier"],
    "db-cluster-snapshot-id": lambda s: s["DBClusterSnapshotIdentifier"],
    "engine": lambda s: s["Engine"],
    "snapshot-type": lambda s: s["SnapshotType"],
}
# The types that are listed when a request names none.
UNASKED = ("automated", "manual")


class DbSnapshots:
    """The Region's snapshots by ARN, each with its source as it was."""

    def __init__(self, tags: DbTags) -> None:
        self._snapshots = AccountRegionScopedDict()
        self._sources = AccountRegionScopedDict()
        tags.know(lambda arn: arn in self._snapshots)
        add_query_operations(
            "rds",
            {
                "DescribeDBClusterSnapshots": self._describe_of_clusters,
                "DescribeDBSnapshots": self._describe_of_instances,
            },
        )

    def of_instance(self, instance: dict[str, Any], identifier: str, snapshot_type: str) -> str:
        """Take a snapshot of an instance; answers its ARN."""
        arn = arn_of("snapshot", identifier)
        if arn in self._snapshots:
            raise fault("rds", "DBSnapshotAlreadyExistsFault", f"DBSnapshot {identifier} already exists.")
        snapshot = {
            name: instance.get(name)
            for name in (
                "AllocatedStorage",
                "AvailabilityZone",
                "DBInstanceIdentifier",
                "DbiResourceId",
                "Engine",
                "EngineVersion",
                "IAMDatabaseAuthenticationEnabled",
                "InstanceCreateTime",
                "Iops",
                "KmsKeyId",
                "LicenseModel",
                "MasterUsername",
                "StorageThroughput",
                "StorageType",
            )
        } | {
            "DBSnapshotArn": arn,
            "DBSnapshotIdentifier": identifier,
            "Encrypted": instance["StorageEncrypted"],
            "OptionGroupName": instance["OptionGroupMemberships"][0]["OptionGroupName"],
            "Port": instance["_port"],
            "VpcId": instance["DBSubnetGroup"]["VpcId"],
        }
        return self._keep(arn, snapshot, instance, snapshot_type)

    def of_cluster(self, cluster: dict[str, Any], identifier: str, snapshot_type: str) -> str:
        """Take a snapshot of a cluster; answers its ARN."""
        arn = arn_of("cluster-snapshot", identifier)
        if arn in self._snapshots:
            raise fault(
                "rds",
                "DBClusterSnapshotAlreadyExistsFault",
                f"Cannot create the snapshot: {identifier} already exists.",
            )
        snapshot = {
            name: cluster.get(name)
            for name in (
                "AllocatedStorage",
                "AvailabilityZones",
                "ClusterCreateTime",
                "DBClusterIdentifier",
                "DbClusterResourceId",
                "Engine",
                "EngineMode",
                "EngineVersion",
                "IAMDatabaseAuthenticationEnabled",
                "KmsKeyId",
                "MasterUsername",
                "Port",
                "StorageEncrypted",
                "StorageType",
            )
        } | {
            "DBClusterSnapshotArn": arn,
            "DBClusterSnapshotIdentifier": identifier,
            "LicenseModel": ENGINES[cluster["Engine"]].license_model,
            "VpcId": cluster["_subnet_group"]["VpcId"],
        }
        source = {name: value for name, value in cluster.items() if name != "_instances"}
        return self._keep(arn, snapshot, source, snapshot_type)

    def source(self, arn: str) -> dict[str, Any]:
        """The database of a snapshot as it was."""
        return self._sources[arn]

    def get(self, arn: str) -> dict[str, Any]:
        """A snapshot by its ARN."""
        return self._snapshots[arn]

    def copied(self, arn: str) -> tuple[dict[str, Any], dict[str, Any], dict[str, str]]:
        """A snapshot with its source and its tags, to be put into another vault or Region."""
        return copy.deepcopy((self._snapshots[arn], self._sources[arn], tags_of(arn)))

    def put(
        self,
        snapshot: dict[str, Any],
        source: dict[str, Any],
        tags: dict[str, str],
        identifier: str,
        key: str | None,
    ) -> str:
        """Put a copy into this Region, encrypted with a key of it; answers its ARN."""
        of_cluster = "DBClusterSnapshotArn" in snapshot
        arn = arn_of("cluster-snapshot" if of_cluster else "snapshot", identifier)
        origin = snapshot["DBClusterSnapshotArn" if of_cluster else "DBSnapshotArn"]
        own = {"SnapshotCreateTime": time.time()} | ({"KmsKeyId": key} if key else {})
        if of_cluster:
            own |= {
                "DBClusterSnapshotArn": arn,
                "DBClusterSnapshotIdentifier": identifier,
                "SourceDBClusterSnapshotArn": origin,
                "StorageEncrypted": bool(key) or snapshot["StorageEncrypted"],
            }
        else:
            own |= {
                "DBSnapshotArn": arn,
                "DBSnapshotIdentifier": identifier,
                "SourceDBSnapshotIdentifier": origin,
                "SourceRegion": origin.split(":")[3],
                "Encrypted": bool(key) or snapshot["Encrypted"],
            }
            if origin.split(":")[3] != get_region():
                # Option groups stay in their Region.
                own["OptionGroupName"] = option_group(None, ENGINES[snapshot["Engine"]], snapshot["EngineVersion"])
        self._snapshots[arn] = snapshot | own
        self._sources[arn] = source
        set_tags(arn, tags)
        return arn

    def _keep(self, arn: str, snapshot: dict[str, Any], source: dict[str, Any], snapshot_type: str) -> str:
        self._snapshots[arn] = snapshot | {
            "PercentProgress": 100,
            "SnapshotCreateTime": time.time(),
            "SnapshotType": snapshot_type,
            "Status": "available",
        }
        self._sources[arn] = copy.deepcopy(source)
        return arn

    def _describe_of_instances(self, params: dict[str, Any], _caller: Caller) -> dict[str, Any]:
        found = self._found(params, "DBSnapshotIdentifier", "DBSnapshotArn", "DBInstanceIdentifier")
        asked = params.get("SnapshotType")
        # Those of AWS Backup must be asked for.
        found = [each for each in found if each["SnapshotType"] in ((asked,) if asked else UNASKED)]
        if not found and params.get("DBSnapshotIdentifier"):
            raise fault("rds", "DBSnapshotNotFoundFault", f"DBSnapshot {params['DBSnapshotIdentifier']} not found.")
        return paged("DBSnapshots", self._shown(filtered(found, params, INSTANCE_FILTERS)), params)

    def _describe_of_clusters(self, params: dict[str, Any], _caller: Caller) -> dict[str, Any]:
        named = params.get("DBClusterSnapshotIdentifier")
        found = self._found(params, "DBClusterSnapshotIdentifier", "DBClusterSnapshotArn", "DBClusterIdentifier")
        asked = params.get("SnapshotType")
        if asked or not named:
            found = [each for each in found if each["SnapshotType"] in ((asked,) if asked else UNASKED)]
        if not found and named:
            raise fault("rds", "DBClusterSnapshotNotFoundFault", f"DBClusterSnapshot {named} not found.")
        return paged("DBClusterSnapshots", self._shown(filtered(found, params, CLUSTER_FILTERS)), params)

    def _found(self, params: dict[str, Any], identifier: str, arn: str, source: str) -> list[dict[str, Any]]:
        named, of = params.get(identifier), params.get(source)
        return [
            snapshot
            for snapshot in self._snapshots.values()
            if arn in snapshot
            and named in (None, snapshot[identifier], snapshot[arn])
            and of in (None, snapshot[source])
        ]

    def _shown(self, snapshots: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [
            snapshot | {"TagList": as_list(tags_of(snapshot.get("DBSnapshotArn") or snapshot["DBClusterSnapshotArn"]))}
            for snapshot in snapshots
        ]


def check_final_snapshot(params: dict[str, Any], member: str) -> str | None:
    """The name of the snapshot that a deletion is to leave, if it is to leave one; it must say."""
    skip, name = params.get("SkipFinalSnapshot", False), params.get(member)
    if not skip and not name:
        raise ApiError("InvalidParameterCombination", f"{member} is required unless SkipFinalSnapshot is specified.")
    if skip and name:
        raise ApiError("InvalidParameterCombination", f"{member} can not be specified when SkipFinalSnapshot is true.")
    return name


def snapshot_id(prefix: str) -> str:
    """A new name of a snapshot of AWS Backup, which says whether a backup or a copy made it."""
    return f"awsbackup:{prefix}-{uuid.uuid4()}"
