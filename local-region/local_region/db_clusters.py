"""DB clusters of Aurora, DocumentDB and Neptune: they hold the data, and their instances serve it."""

import copy
import hashlib
import time
import uuid
from typing import Any

from ministack.core.responses import AccountRegionScopedDict, get_account_id, get_region

from local_region.api_error import ApiError
from local_region.callers import Caller
from local_region.db_engines import ENGINES, Engine, engine_of
from local_region.db_groups import (
    arn_of,
    checked_identifier,
    cluster_parameter_group,
    key_arn,
    option_group,
    security_groups,
    subnet_group,
    zones_of,
)
from local_region.db_pages import Reader, filtered, paged
from local_region.db_rights import may_modify_cluster
from local_region.db_settings import check_retention, exported_logs, memberships, new_secret
from local_region.db_snapshots import DbSnapshots, check_final_snapshot
from local_region.db_tags import DbTags, as_list, as_map, check_not_reserved, check_tags, forget_tags, set_tags, tags_of
from local_region.query_operations import add_query_operations, fault
from local_region.settings import Settings
from local_region.status_changes import StatusChanges

FILTERS: dict[str, Reader] = {
    "clone-group-id": lambda _: "",
    "db-cluster-id": lambda c: c["DBClusterIdentifier"],
    "db-cluster-resource-id": lambda c: c["DbClusterResourceId"],
    "domain": lambda _: "",
    "engine": lambda c: c["Engine"],
}
# Settings that a modification changes at once, and those that are pending until it is carried out.
AT_ONCE = ("AutoMinorVersionUpgrade", "CopyTagsToSnapshot", "DeletionProtection")
PENDING = ("BackupRetentionPeriod", "EngineVersion", "StorageType")


class DbClusters:
    """The Region's DB clusters by identifier."""

    def __init__(self, settings: Settings, changes: StatusChanges, tags: DbTags, snapshots: DbSnapshots) -> None:
        self._settings = settings
        self._changes = changes
        self._snapshots = snapshots
        self._clusters = AccountRegionScopedDict()
        # Statuses of the members by the cluster's identifier and theirs.
        self._members = AccountRegionScopedDict()
        tags.know(lambda arn: any(cluster["DBClusterArn"] == arn for cluster in self._clusters.values()))
        add_query_operations(
            "rds",
            {
                "AddRoleToDBCluster": self._add_role,
                "CreateDBCluster": self._create,
                "DeleteDBCluster": self._delete,
                "DescribeDBClusters": self._describe,
                "ModifyDBCluster": self._modify,
            },
        )

    def existing(self, identifier: str) -> dict[str, Any]:
        """A cluster, or the error of one that does not exist."""
        found = self._clusters.get(identifier.rpartition(":")[2].lower())
        if found is None:
            raise fault("rds", "DBClusterNotFoundFault", f"DBCluster {identifier} not found.")
        return found

    def using(self, kind: str, name: str) -> list[str]:
        """The identifiers of the clusters that use a group."""
        return [identifier for identifier, cluster in self._clusters.items() if name in _groups(cluster)[kind]]

    def check_free(self, identifier: str) -> None:
        """Refuse an identifier that a cluster bears already, whatever its status."""
        if identifier in self._clusters:
            raise fault("rds", "DBClusterAlreadyExistsFault", "DB Cluster already exists")

    def add(self, own: dict[str, Any], tags: dict[str, str]) -> dict[str, Any]:
        """A new cluster, `creating`, with settings of its own; those it leaves out are RDS's defaults."""
        cluster = _new(own)
        self._clusters[own["DBClusterIdentifier"]] = cluster
        set_tags(cluster["DBClusterArn"], tags)
        cluster["Status"] = ""
        self._changes.set(cluster, "creating")
        return cluster

    def forget(self, identifier: str) -> None:
        """Let a cluster never have been."""
        if identifier in self._clusters:
            forget_tags(self._clusters.pop(identifier)["DBClusterArn"])

    def join(self, cluster: dict[str, Any], instance: dict[str, Any]) -> None:
        """Let an instance be a member: the first one is the writer."""
        cluster["_instances"].append(instance)
        cluster["DBClusterMembers"].append(
            {
                "DBInstanceIdentifier": instance["DBInstanceIdentifier"],
                "IsClusterWriter": not cluster["DBClusterMembers"],
                "DBClusterParameterGroupStatus": "in-sync",
                "PromotionTier": instance["PromotionTier"],
            }
        )

    def leave(self, instance: dict[str, Any]) -> None:
        """Let an instance be a member no more; another one becomes the writer."""
        cluster = self._clusters.get(instance["DBClusterIdentifier"])
        if cluster is None:
            return
        cluster["_instances"].remove(instance)
        identifier = instance["DBInstanceIdentifier"]
        members = [each for each in cluster["DBClusterMembers"] if each["DBInstanceIdentifier"] != identifier]
        if members and not any(each["IsClusterWriter"] for each in members):
            members[0]["IsClusterWriter"] = True
        cluster["DBClusterMembers"] = members

    def _create(self, params: dict[str, Any], _caller: Caller) -> dict[str, Any]:
        engine = engine_of(params["Engine"])
        if not engine.has_clusters:
            raise ApiError("InvalidParameterValue", f"Multi-AZ DB clusters of {engine.name} are not imitated here.")
        identifier = checked_identifier(params["DBClusterIdentifier"], "DBClusterIdentifier")
        tags = as_map(params.get("Tags") or [])
        check_not_reserved(tags)
        check_tags(tags)
        check_retention(params.get("BackupRetentionPeriod"), 1)
        version = params.get("EngineVersion") or engine.default_version
        engine.check_version(version)
        for name in ("MasterUsername",) if engine.name != "neptune" else ():
            if not params.get(name):
                raise ApiError("InvalidParameterValue", f"The parameter {name} must be provided and must not be blank.")
        group = subnet_group(params.get("DBSubnetGroupName"))
        own = {
            "DBClusterIdentifier": identifier,
            "Engine": engine.name,
            "EngineVersion": version,
            "_subnet_group": group,
            "DBClusterParameterGroup": cluster_parameter_group(
                params.get("DBClusterParameterGroupName"), engine, version
            ),
            "VpcSecurityGroupIds": security_groups(params.get("VpcSecurityGroupIds"), group["VpcId"]),
            "KmsKeyId": key_arn(params.get("KmsKeyId")),
            "ServerlessV2ScalingConfiguration": checked_scaling(params, engine),
            "StorageType": checked_storage(params.get("StorageType"), engine),
            "IAMDatabaseAuthenticationEnabled": params.get("EnableIAMDatabaseAuthentication", False),
            "EnabledCloudwatchLogsExports": params.get("EnableCloudwatchLogsExports", []),
            "MasterUserSecret": new_secret(params.get("MasterUserSecretKmsKeyId"))
            if params.get("ManageMasterUserPassword")
            else None,
        }
        for name in (
            "AvailabilityZones",
            "BackupRetentionPeriod",
            "BacktrackWindow",
            "CopyTagsToSnapshot",
            "DatabaseName",
            "DeletionProtection",
            "MasterUsername",
            "Port",
            "StorageEncrypted",
        ):
            own[name] = params.get(name)
        self.check_free(identifier)
        cluster = self.add(own, tags)
        steps = [("creating", self._settings.database_seconds)]
        self._changes.run(cluster, identifier, steps, lambda: None, "available")
        return {"DBCluster": self._shown(cluster)}

    def _modify(self, params: dict[str, Any], caller: Caller) -> dict[str, Any]:
        cluster = self.existing(params["DBClusterIdentifier"])
        engine = ENGINES[cluster["Engine"]]
        parameters = cluster_parameter_group(
            params.get("DBClusterParameterGroupName") or cluster["DBClusterParameterGroup"],
            engine,
            cluster["EngineVersion"],
        )
        may_modify_cluster(caller, cluster, parameters)
        if cluster["Status"] != "available":
            raise fault(
                "rds",
                "InvalidDBClusterStateFault",
                f"DbCluster {cluster['DBClusterIdentifier']} is in {cluster['Status']} state",
            )
        check_retention(params.get("BackupRetentionPeriod"), 1)
        if params.get("EngineVersion"):
            engine.check_version(params["EngineVersion"])
        groups = security_groups(params.get("VpcSecurityGroupIds"), cluster["_subnet_group"]["VpcId"])
        later: dict[str, Any] = {
            "ServerlessV2ScalingConfiguration": checked_scaling(params, engine),
            "DBClusterParameterGroup": parameters,
            "IAMDatabaseAuthenticationEnabled": params.get("EnableIAMDatabaseAuthentication"),
            "HttpEndpointEnabled": params.get("EnableHttpEndpoint"),
        }
        if params.get("StorageType"):
            checked_storage(params["StorageType"], engine)
        if params.get("VpcSecurityGroupIds"):
            later["VpcSecurityGroups"] = memberships(groups)
        if params.get("CloudwatchLogsExportConfiguration"):
            later["EnabledCloudwatchLogsExports"] = exported_logs(cluster, params["CloudwatchLogsExportConfiguration"])
        if params.get("ManageMasterUserPassword") and not cluster.get("MasterUserSecret"):
            cluster["MasterUserSecret"] = new_secret(params.get("MasterUserSecretKmsKeyId"))
            later["MasterUserSecret"] = cluster["MasterUserSecret"] | {"SecretStatus": "active"}
        for name in AT_ONCE:
            if params.get(name) is not None:
                cluster[name] = params[name]
        pending = {name: params[name] for name in PENDING if params.get(name) not in (None, cluster.get(name))}
        later = {name: value for name, value in later.items() if value not in (None, cluster.get(name))}
        cluster["PendingModifiedValues"] |= pending
        if params.get("ApplyImmediately"):
            later |= pending
        # Otherwise they wait for the maintenance window, which does not come here.
        shown = self._shown(cluster)
        if later:
            self._change(cluster, later)
        return {"DBCluster": shown}

    def _change(self, cluster: dict[str, Any], values: dict[str, Any]) -> None:
        """Carry a modification out: the cluster stays `available` for a while before it is `modifying`."""

        def apply() -> None:
            cluster.update(values)
            for name in values:
                cluster["PendingModifiedValues"].pop(name, None)

        seconds = self._settings.database_change_seconds
        steps = [("available", seconds), ("modifying", seconds)]
        self._changes.run(cluster, cluster["DBClusterIdentifier"], steps, apply, "available")

    def _add_role(self, params: dict[str, Any], _caller: Caller) -> dict[str, Any]:
        cluster, feature = self.existing(params["DBClusterIdentifier"]), params.get("FeatureName", "")
        role = {"RoleArn": params["RoleArn"], "FeatureName": feature, "Status": "ACTIVE"}
        if any(
            (each["RoleArn"], each["FeatureName"]) == (params["RoleArn"], feature)
            for each in cluster["AssociatedRoles"]
        ):
            raise fault(
                "rds",
                "DBClusterRoleAlreadyExistsFault",
                f"Role ARN {params['RoleArn']} already exists for DB Cluster: {cluster['DBClusterIdentifier']}.",
            )
        cluster["AssociatedRoles"].append(role)
        return {}

    def _delete(self, params: dict[str, Any], _caller: Caller) -> dict[str, Any]:
        cluster = self.existing(params["DBClusterIdentifier"])
        identifier = cluster["DBClusterIdentifier"]
        if cluster["DeletionProtection"]:
            raise ApiError(
                "InvalidParameterCombination",
                "Cannot delete protected Cluster, please disable deletion protection and try again.",
            )
        if any(instance["DBInstanceStatus"] != "deleting" for instance in cluster["_instances"]):
            raise fault(
                "rds",
                "InvalidDBClusterStateFault",
                "Cluster cannot be deleted, it still contains DB instances in non-deleting state.",
            )
        if cluster["Status"] in ("creating", "deleting", "modifying"):
            raise fault("rds", "InvalidDBClusterStateFault", f"DbCluster {identifier} is in {cluster['Status']} state")
        final = check_final_snapshot(params, "FinalDBSnapshotIdentifier")
        if final:
            self._snapshots.of_cluster(cluster, final, "manual")
        steps = [("deleting", self._settings.database_change_seconds)]
        shown = self._shown(cluster) | {"Status": "deleting"}
        self._changes.run(cluster, None, steps, lambda: self.forget(identifier), "deleted")
        return {"DBCluster": shown}

    def _describe(self, params: dict[str, Any], _caller: Caller) -> dict[str, Any]:
        identifier = params.get("DBClusterIdentifier")
        clusters = [self.existing(identifier)] if identifier else list(self._clusters.values())
        found = filtered(clusters, params, FILTERS)
        return paged("DBClusters", [self._shown(cluster) for cluster in found], params)

    def _shown(self, cluster: dict[str, Any]) -> dict[str, Any]:
        shown = {name: value for name, value in cluster.items() if not name.startswith("_")}
        return copy.deepcopy(shown) | {"TagList": as_list(tags_of(cluster["DBClusterArn"]))}


def checked_scaling(params: dict[str, Any], engine: Engine) -> dict[str, Any] | None:
    """The scaling configuration of serverless instances in a request, or the refusal of a wrong one."""
    scaling = params.get("ServerlessV2ScalingConfiguration")
    if not scaling:
        return None
    least, most = engine.serverless_capacity
    low, high = scaling.get("MinCapacity"), scaling.get("MaxCapacity")
    if low is None or high is None:
        raise ApiError(
            "InvalidParameterCombination", "Set both the minimum and the maximum capacity for Serverless v2."
        )
    if not least <= low <= high <= most or high < 1 or low % 0.5 or high % 0.5:
        raise ApiError(
            "InvalidParameterValue",
            f"Serverless v2 capacity {low}-{high} isn't valid. Minimum {least}, maximum {most}, in steps of 0.5.",
        )
    return scaling


def checked_storage(storage: str | None, engine: Engine) -> str:
    """A cluster's kind of storage, or the refusal of one that the engine does not have."""
    if storage and storage not in engine.storage_types:
        raise ApiError("InvalidParameterCombination", f"{storage} is not supported for {engine.name}")
    return storage or engine.storage_types[0]


def _groups(cluster: dict[str, Any]) -> dict[str, list[str]]:
    """The names of a cluster's groups by their kind."""
    return {
        "subgrp": [cluster["_subnet_group"]["DBSubnetGroupName"]],
        "pg": [],
        "cluster-pg": [cluster["DBClusterParameterGroup"]],
        "og": [group["DBClusterOptionGroupName"] for group in cluster["DBClusterOptionGroupMemberships"]],
        "sg": [group["VpcSecurityGroupId"] for group in cluster["VpcSecurityGroups"]],
    }


def _new(own: dict[str, Any]) -> dict[str, Any]:
    """The record of a cluster."""
    engine, identifier, group = ENGINES[own["Engine"]], own["DBClusterIdentifier"], own["_subnet_group"]
    cluster = {
        "AllocatedStorage": 1,
        "AutoMinorVersionUpgrade": True,
        "BackupRetentionPeriod": 1,
        "CopyTagsToSnapshot": False,
        "DeletionProtection": False,
        "EnabledCloudwatchLogsExports": [],
        "EngineMode": "provisioned",
        "IAMDatabaseAuthenticationEnabled": False,
        "MasterUsername": "admin",
        "MultiAZ": False,
        "Port": engine.port,
        "StorageType": engine.storage_types[0],
    }
    cluster |= {name: value for name, value in own.items() if value is not None}
    # The part between is the account's in this Region, and another one in every Region.
    where = hashlib.sha256(f"{get_account_id()}{get_region()}".encode()).hexdigest()[:12]
    domain = "docdb" if engine.name == "docdb" else "neptune" if engine.name == "neptune" else "rds"
    return cluster | {
        "AssociatedRoles": [],
        "AvailabilityZones": own.get("AvailabilityZones") or zones_of(group),
        "ClusterCreateTime": time.time(),
        "DBClusterArn": arn_of("cluster", identifier),
        "DBClusterMembers": [],
        "DBClusterOptionGroupMemberships": [
            {"DBClusterOptionGroupName": option_group(None, engine, own["EngineVersion"]), "Status": "in-sync"}
        ],
        "DBSubnetGroup": group["DBSubnetGroupName"],
        "DbClusterResourceId": f"cluster-{uuid.uuid4().hex.upper()[:26]}",
        "Endpoint": f"{identifier}.cluster-{where}.{get_region()}.{domain}.amazonaws.com",
        "HostedZoneId": "Z1PVIF0B656C1W",
        "PendingModifiedValues": {},
        "ReaderEndpoint": f"{identifier}.cluster-ro-{where}.{get_region()}.{domain}.amazonaws.com",
        "StorageEncrypted": bool(own.get("KmsKeyId") or own.get("StorageEncrypted")),
        "VpcSecurityGroups": memberships(own["VpcSecurityGroupIds"]),
        "_instances": [],
    }
