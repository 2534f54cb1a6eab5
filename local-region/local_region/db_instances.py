"""DB instances: of RDS on their own, of Aurora, DocumentDB and Neptune in clusters, which hold the data."""

import copy
import hashlib
import re
import time
import uuid
from typing import Any

from ministack.core.responses import AccountRegionScopedDict, get_account_id, get_region

from local_region.api_error import ApiError
from local_region.callers import Caller
from local_region.db_clusters import DbClusters
from local_region.db_engines import ENGINES, engine_of
from local_region.db_groups import (
    arn_of,
    checked_identifier,
    key_arn,
    option_group,
    parameter_group,
    security_groups,
    subnet_group,
    zones_of,
)
from local_region.db_pages import Reader, filtered, paged
from local_region.db_rights import may_create_instance, may_modify_instance
from local_region.db_settings import check_retention, exported_logs, memberships, new_secret
from local_region.db_snapshots import DbSnapshots, check_final_snapshot
from local_region.db_tags import DbTags, as_list, as_map, check_not_reserved, check_tags, forget_tags, set_tags, tags_of
from local_region.query_operations import add_query_operations, fault
from local_region.settings import Settings
from local_region.status_changes import DEAD, StatusChanges

FILTERS: dict[str, Reader] = {
    "db-cluster-id": lambda i: i.get("DBClusterIdentifier", ""),
    "db-instance-id": lambda i: i["DBInstanceIdentifier"],
    "dbi-resource-id": lambda i: i["DbiResourceId"],
    "domain": lambda _: "",
    "engine": lambda i: i["Engine"],
}
SERVERLESS = "db.serverless"
# What a member of a cluster takes from its cluster, and may not be given.
OF_THE_CLUSTER = (
    "AllocatedStorage",
    "BackupRetentionPeriod",
    "DBName",
    "DBSubnetGroupName",
    "DeletionProtection",
    "EngineVersion",
    "Iops",
    "KmsKeyId",
    "MasterUserPassword",
    "MasterUsername",
    "MultiAZ",
    "Port",
    "StorageEncrypted",
    "StorageType",
    "VpcSecurityGroupIds",
)
# In these statuses, an instance can be deleted only without a final snapshot.
WITHOUT_FINAL_SNAPSHOT = ("failed", "incompatible-network", "incompatible-restore")
# Settings that a modification changes at once, and those that are pending until it is carried out.
AT_ONCE = ("AutoMinorVersionUpgrade", "CopyTagsToSnapshot", "DeletionProtection", "MaxAllocatedStorage")
PENDING = (
    "AllocatedStorage",
    "BackupRetentionPeriod",
    "DBInstanceClass",
    "EngineVersion",
    "Iops",
    "MultiAZ",
    "StorageThroughput",
    "StorageType",
)
UNANNOUNCED = ("MonitoringInterval", "MonitoringRoleArn", "PromotionTier", "PubliclyAccessible")


class DbInstances:
    """The Region's DB instances by identifier."""

    def __init__(
        self,
        settings: Settings,
        changes: StatusChanges,
        tags: DbTags,
        snapshots: DbSnapshots,
        clusters: DbClusters,
    ) -> None:
        self._settings = settings
        self._changes = changes
        self._snapshots = snapshots
        self._clusters = clusters
        self._instances = AccountRegionScopedDict()
        tags.know(lambda arn: any(instance["DBInstanceArn"] == arn for instance in self._instances.values()))
        add_query_operations(
            "rds",
            {
                "CreateDBInstance": self._create,
                "DeleteDBInstance": self._delete,
                "DescribeDBInstances": self._describe,
                "ModifyDBInstance": self._modify,
                "RebootDBInstance": self._reboot,
            },
        )

    def existing(self, identifier: str) -> dict[str, Any]:
        """An instance, or the error of one that does not exist."""
        found = self._instances.get(identifier.rpartition(":")[2].lower())
        if found is None:
            raise fault("rds", "DBInstanceNotFoundFault", f"DBInstance {identifier} not found.")
        return found

    def using(self, kind: str, name: str) -> list[str]:
        """The identifiers of the instances that use a group."""
        return [identifier for identifier, instance in self._instances.items() if name in _groups(instance)[kind]]

    def check_free(self, identifier: str) -> None:
        """Refuse an identifier that an instance bears already, whatever its status."""
        if identifier in self._instances:
            raise fault("rds", "DBInstanceAlreadyExistsFault", "DB instance already exists")

    def add(self, own: dict[str, Any], tags: dict[str, str], status: str = "creating") -> dict[str, Any]:
        """A new instance with settings of its own; those it leaves out are RDS's defaults."""
        identifier = own["DBInstanceIdentifier"]
        instance = _new(own)
        self._instances[identifier] = instance
        set_tags(instance["DBInstanceArn"], tags)
        instance["DBInstanceStatus"] = ""
        self._changes.set(instance, status)
        return instance

    def forget(self, identifier: str) -> None:
        """Let an instance never have been."""
        if identifier in self._instances:
            forget_tags(self._instances.pop(identifier)["DBInstanceArn"])

    def complete(self, instance: dict[str, Any]) -> None:
        """Give a new instance its endpoint; its first backup, or that of its restored data, follows."""
        self._give_endpoint(instance)
        self._changes.run(
            instance,
            instance["DBInstanceIdentifier"],
            [("backing-up", self._settings.database_change_seconds)],
            lambda: None,
            "available",
        )

    def _create(self, params: dict[str, Any], caller: Caller) -> dict[str, Any]:
        engine = engine_of(params["Engine"])
        identifier = checked_identifier(params["DBInstanceIdentifier"], "DBInstanceIdentifier")
        tags = as_map(params.get("Tags") or [])
        check_not_reserved(tags)
        check_tags(tags)
        if not re.fullmatch(r"db\.[a-z0-9-]+(\.[a-z0-9-]+)?", params["DBInstanceClass"]):
            raise ApiError("InvalidParameterValue", f"Invalid DB Instance class: {params['DBInstanceClass']}")
        if engine.has_clusters != bool(params.get("DBClusterIdentifier")):
            raise ApiError("InvalidParameterCombination", f"The engine mode of {engine.name} requires a DB cluster")
        own = self._of_cluster(params, engine.name) if engine.has_clusters else _alone(params, engine.name)
        own |= {
            "DBInstanceIdentifier": identifier,
            "DBInstanceClass": params["DBInstanceClass"],
            "PromotionTier": params.get("PromotionTier", 1),
            "PubliclyAccessible": params.get("PubliclyAccessible", False),
            "MonitoringInterval": params.get("MonitoringInterval", 0),
        }
        cluster = self._clusters.existing(params["DBClusterIdentifier"]) if engine.has_clusters else None
        may_create_instance(caller, own, cluster, tags)
        self.check_free(identifier)
        instance = self.add(own, tags)
        if cluster:
            self._clusters.join(cluster, instance)
        self._changes.run(
            instance,
            identifier,
            [("creating", self._settings.database_seconds)],
            lambda: self._give_endpoint(instance),
            "available",
        )
        return {"DBInstance": self._shown(instance)}

    def _of_cluster(self, params: dict[str, Any], engine: str) -> dict[str, Any]:
        """What a new member of a cluster has, most of it from the cluster."""
        cluster = self._clusters.existing(params["DBClusterIdentifier"])
        if cluster["Engine"] != engine:
            raise ApiError(
                "InvalidParameterCombination",
                f"The engine name requested for your DB instance ({engine}) doesn't match the engine name of your DB "
                f"cluster ({cluster['Engine']}).",
            )
        given = [name for name in OF_THE_CLUSTER if params.get(name) is not None]
        if given:
            raise ApiError(
                "InvalidParameterCombination",
                f"The requested DB Instance will be a member of a DB Cluster. Set {given[0]} for the DB Cluster.",
            )
        if cluster["Status"] != "available":
            raise fault(
                "rds",
                "InvalidDBClusterStateFault",
                f"DbCluster {cluster['DBClusterIdentifier']} is in {cluster['Status']} state",
            )
        if params["DBInstanceClass"] == SERVERLESS and not cluster.get("ServerlessV2ScalingConfiguration"):
            raise fault(
                "rds",
                "InvalidDBClusterStateFault",
                "Set the Serverless v2 scaling configuration on the parent DB cluster before creating a Serverless v2 "
                "DB instance.",
            )
        return {
            "DBClusterIdentifier": cluster["DBClusterIdentifier"],
            "Engine": engine,
            "EngineVersion": cluster["EngineVersion"],
            "DBSubnetGroup": cluster["_subnet_group"],
            "DBParameterGroupName": parameter_group(
                params.get("DBParameterGroupName"), ENGINES[engine], cluster["EngineVersion"]
            ),
            "OptionGroupName": option_group(None, ENGINES[engine], cluster["EngineVersion"]),
            "VpcSecurityGroupIds": [group["VpcSecurityGroupId"] for group in cluster["VpcSecurityGroups"]],
            "AvailabilityZone": params.get("AvailabilityZone"),
            "Port": cluster["Port"],
            "MasterUsername": cluster["MasterUsername"],
            "KmsKeyId": cluster.get("KmsKeyId"),
            "StorageType": cluster["StorageType"],
            "BackupRetentionPeriod": cluster["BackupRetentionPeriod"],
            "AllocatedStorage": 1,
        }

    def _give_endpoint(self, instance: dict[str, Any]) -> None:
        # The part between is the account's in this Region, and another one in every Region.
        own = hashlib.sha256(f"{get_account_id()}{get_region()}".encode()).hexdigest()[:12]
        instance["Endpoint"] = {
            "Address": f"{instance['DBInstanceIdentifier']}.{own}.{get_region()}.rds.amazonaws.com",
            "Port": instance["_port"],
            "HostedZoneId": "Z1PVIF0B656C1W",
        }

    def _modify(self, params: dict[str, Any], caller: Caller) -> dict[str, Any]:
        instance = self.existing(params["DBInstanceIdentifier"])
        if instance.get("DBClusterIdentifier"):
            given = [name for name in OF_THE_CLUSTER if params.get(name) is not None]
            if given:
                raise ApiError(
                    "InvalidParameterCombination",
                    f"The DB instance is a member of a DB cluster. Modify {given[0]} of the DB cluster.",
                )
        engine = ENGINES[instance["Engine"]]
        version = params.get("EngineVersion") or instance["EngineVersion"]
        engine.check_version(version)
        parameters = parameter_group(
            params.get("DBParameterGroupName") or _parameter_group_of(instance), engine, instance["EngineVersion"]
        )
        options = option_group(
            params.get("OptionGroupName") or instance["OptionGroupMemberships"][0]["OptionGroupName"],
            engine,
            instance["EngineVersion"],
        )
        groups = security_groups(params.get("VpcSecurityGroupIds"), instance["DBSubnetGroup"]["VpcId"])
        may_modify_instance(caller, parameters, options)
        if instance["DBInstanceStatus"] != "available":
            raise fault("rds", "InvalidDBInstanceStateFault", "Database instance is not in available state.")
        check_retention(params.get("BackupRetentionPeriod"), 0)
        for name in AT_ONCE:
            if params.get(name) is not None:
                instance[name] = params[name]
        if parameters != _parameter_group_of(instance):
            # Static parameters come into force when the instance is rebooted.
            instance["DBParameterGroups"] = [
                {"DBParameterGroupName": parameters, "ParameterApplyStatus": "pending-reboot"}
            ]
        changed = {name: params[name] for name in PENDING if params.get(name) not in (None, instance.get(name))}
        if not params.get("ApplyImmediately"):
            # They wait for the maintenance window, which does not come here.
            instance["PendingModifiedValues"] |= changed
            changed = {}
        unannounced = {name: params[name] for name in UNANNOUNCED if params.get(name) not in (None, instance.get(name))}
        if params.get("VpcSecurityGroupIds") and groups != _ids(instance):
            instance["VpcSecurityGroups"] = [
                {"VpcSecurityGroupId": group, "Status": "active" if group in _ids(instance) else "adding"}
                for group in groups
            ]
            unannounced["VpcSecurityGroups"] = memberships(groups)
        if params.get("EnableIAMDatabaseAuthentication") is not None:
            unannounced["IAMDatabaseAuthenticationEnabled"] = params["EnableIAMDatabaseAuthentication"]
        logs = params.get("CloudwatchLogsExportConfiguration")
        if logs:
            unannounced["EnabledCloudwatchLogsExports"] = exported_logs(instance, logs)
        if params.get("ManageMasterUserPassword") and not instance.get("MasterUserSecret"):
            instance["MasterUserSecret"] = new_secret(params.get("MasterUserSecretKmsKeyId"))
            unannounced["MasterUserSecret"] = instance["MasterUserSecret"] | {"SecretStatus": "active"}
        shown = self._shown(instance)
        if changed or unannounced:
            instance["PendingModifiedValues"] |= changed
            shown = self._shown(instance)
            self._change(instance, changed | unannounced, list(changed))
        return {"DBInstance": shown}

    def _change(self, instance: dict[str, Any], values: dict[str, Any], pending: list[str]) -> None:
        """Carry a modification out: the instance stays `available` for a while before it is `modifying`."""

        def apply() -> None:
            instance.update(values)
            for name in pending:
                instance["PendingModifiedValues"].pop(name, None)

        seconds = self._settings.database_change_seconds
        steps = [("available", seconds), ("modifying", seconds)]
        self._changes.run(instance, instance["DBInstanceIdentifier"], steps, apply, "available")

    def _reboot(self, params: dict[str, Any], _caller: Caller) -> dict[str, Any]:
        instance = self.existing(params["DBInstanceIdentifier"])
        if instance["DBInstanceStatus"] != "available":
            raise fault("rds", "InvalidDBInstanceStateFault", "Database instance is not in available state.")

        def apply() -> None:
            for group in instance["DBParameterGroups"]:
                group["ParameterApplyStatus"] = "in-sync"

        steps = [("rebooting", self._settings.database_change_seconds)]
        self._changes.run(instance, instance["DBInstanceIdentifier"], steps, apply, "available")
        return {"DBInstance": self._shown(instance)}

    def _delete(self, params: dict[str, Any], _caller: Caller) -> dict[str, Any]:
        instance = self.existing(params["DBInstanceIdentifier"])
        identifier, status = instance["DBInstanceIdentifier"], instance["DBInstanceStatus"]
        if status == "deleting":
            raise fault("rds", "InvalidDBInstanceStateFault", f"Instance {identifier} is already being deleted.")
        if status not in ("available", "backing-up", *DEAD):
            raise fault("rds", "InvalidDBInstanceStateFault", f"Instance {identifier} is currently {status}.")
        if instance["DeletionProtection"]:
            raise ApiError(
                "InvalidParameterCombination",
                "Cannot delete protected DB Instance, please disable deletion protection and try again.",
            )
        if not instance.get("DBClusterIdentifier"):
            final = check_final_snapshot(params, "FinalDBSnapshotIdentifier")
            if final:
                if status in WITHOUT_FINAL_SNAPSHOT:
                    raise fault(
                        "rds",
                        "InvalidDBInstanceStateFault",
                        f"Instance {identifier} is {status}: skip the final snapshot.",
                    )
                self._snapshots.of_instance(instance, final, "manual")
        elif params.get("FinalDBSnapshotIdentifier"):
            raise ApiError(
                "InvalidParameterCombination",
                "FinalDBSnapshotIdentifier can not be specified when deleting a cluster instance",
            )
        shown = self._shown(instance) | {"DBInstanceStatus": "deleting"}
        self._changes.run(
            instance,
            None,
            [("deleting", self._settings.database_change_seconds)],
            lambda: self._remove(instance),
            "deleted",
        )
        return {"DBInstance": shown}

    def _remove(self, instance: dict[str, Any]) -> None:
        self.forget(instance["DBInstanceIdentifier"])
        if instance.get("DBClusterIdentifier"):
            self._clusters.leave(instance)

    def _describe(self, params: dict[str, Any], _caller: Caller) -> dict[str, Any]:
        identifier = params.get("DBInstanceIdentifier")
        instances = [self.existing(identifier)] if identifier else list(self._instances.values())
        found = filtered(instances, params, FILTERS)
        return paged("DBInstances", [self._shown(instance) for instance in found], params)

    def _shown(self, instance: dict[str, Any]) -> dict[str, Any]:
        return copy.deepcopy(instance) | {"TagList": as_list(tags_of(instance["DBInstanceArn"]))}


def _alone(params: dict[str, Any], engine_name: str) -> dict[str, Any]:
    """What a new instance without a cluster has."""
    engine = ENGINES[engine_name]
    version = params.get("EngineVersion") or engine.default_version
    engine.check_version(version)
    check_retention(params.get("BackupRetentionPeriod"), 0)
    for name in ("AllocatedStorage", "MasterUsername"):
        if not params.get(name):
            raise ApiError("InvalidParameterValue", f"The parameter {name} must be provided and must not be blank.")
    if not params.get("MasterUserPassword") and not params.get("ManageMasterUserPassword"):
        raise ApiError(
            "InvalidParameterValue", "The parameter MasterUserPassword must be provided and must not be blank."
        )
    group = subnet_group(params.get("DBSubnetGroupName"))
    return {
        "Engine": engine_name,
        "EngineVersion": version,
        "DBSubnetGroup": group,
        "DBParameterGroupName": parameter_group(params.get("DBParameterGroupName"), engine, version),
        "OptionGroupName": option_group(params.get("OptionGroupName"), engine, version),
        "VpcSecurityGroupIds": security_groups(params.get("VpcSecurityGroupIds"), group["VpcId"]),
        "AvailabilityZone": params.get("AvailabilityZone"),
        "KmsKeyId": key_arn(params.get("KmsKeyId")),
        "MasterUserSecret": new_secret(params.get("MasterUserSecretKmsKeyId"))
        if params.get("ManageMasterUserPassword")
        else None,
        "IAMDatabaseAuthenticationEnabled": params.get("EnableIAMDatabaseAuthentication", False),
        "EnabledCloudwatchLogsExports": params.get("EnableCloudwatchLogsExports", []),
    } | {
        name: params[name]
        for name in (
            "AllocatedStorage",
            "AutoMinorVersionUpgrade",
            "BackupRetentionPeriod",
            "CopyTagsToSnapshot",
            "DBName",
            "DeletionProtection",
            "Iops",
            "LicenseModel",
            "MasterUsername",
            "MaxAllocatedStorage",
            "MultiAZ",
            "Port",
            "StorageEncrypted",
            "StorageThroughput",
            "StorageType",
        )
        if params.get(name) is not None
    }


def _new(own: dict[str, Any]) -> dict[str, Any]:
    """The record of an instance."""
    engine, group = ENGINES[own["Engine"]], own["DBSubnetGroup"]
    zone = own.get("AvailabilityZone") or zones_of(group)[0]
    if zone not in zones_of(group):
        raise ApiError("InvalidVPCNetworkStateFault", f"The subnet group has no subnet in {zone}.")
    port = own.get("Port") or engine.port
    instance = {
        "AllocatedStorage": 20,
        "AutoMinorVersionUpgrade": True,
        "BackupRetentionPeriod": 1,
        "CopyTagsToSnapshot": False,
        "DeletionProtection": False,
        "EnabledCloudwatchLogsExports": [],
        "IAMDatabaseAuthenticationEnabled": False,
        "LicenseModel": engine.license_model,
        "MonitoringInterval": 0,
        "MultiAZ": False,
        "PubliclyAccessible": False,
        "StorageType": "gp2",
    }
    instance |= {name: value for name, value in own.items() if value is not None}
    return instance | {
        "DBInstanceArn": arn_of("db", own["DBInstanceIdentifier"]),
        "AvailabilityZone": zone,
        "DBParameterGroups": [{"DBParameterGroupName": own["DBParameterGroupName"], "ParameterApplyStatus": "in-sync"}],
        "DbInstancePort": 0,
        "DbiResourceId": f"db-{uuid.uuid4().hex.upper()[:26]}",
        "InstanceCreateTime": time.time(),
        "OptionGroupMemberships": [{"OptionGroupName": own["OptionGroupName"], "Status": "in-sync"}],
        "PendingModifiedValues": {},
        "StorageEncrypted": bool(own.get("KmsKeyId") or own.get("StorageEncrypted")),
        "VpcSecurityGroups": memberships(own["VpcSecurityGroupIds"]),
        "_port": port,
    }


def _groups(instance: dict[str, Any]) -> dict[str, list[str]]:
    """The names of an instance's groups by their kind."""
    return {
        "subgrp": [instance["DBSubnetGroup"]["DBSubnetGroupName"]],
        "pg": [group["DBParameterGroupName"] for group in instance["DBParameterGroups"]],
        "cluster-pg": [],
        "og": [group["OptionGroupName"] for group in instance["OptionGroupMemberships"]],
        "sg": _ids(instance),
    }


def _ids(instance: dict[str, Any]) -> list[str]:
    return [group["VpcSecurityGroupId"] for group in instance["VpcSecurityGroups"]]


def _parameter_group_of(instance: dict[str, Any]) -> str:
    return instance["DBParameterGroups"][0]["DBParameterGroupName"]
