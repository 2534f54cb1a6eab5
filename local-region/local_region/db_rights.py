"""What RDS asks of its callers: each resource that a call touches, with the condition keys of that resource."""

from typing import Any

from ministack.core.responses import get_account_id, get_region
from ministack.services import ec2, kms

from local_region.callers import Caller
from local_region.db_groups import arn_of
from local_region.db_tags import tags_of

# Of an operation, the parameter that names its first resource, and that resource's kind. Without the parameter,
# a call is about all resources of the kind.
FIRST_RESOURCES = {
    "AddRoleToDBCluster": ("DBClusterIdentifier", "cluster"),
    "CreateDBCluster": ("DBClusterIdentifier", "cluster"),
    "CreateDBInstance": ("DBInstanceIdentifier", "db"),
    "DeleteDBCluster": ("DBClusterIdentifier", "cluster"),
    "DeleteDBInstance": ("DBInstanceIdentifier", "db"),
    "DescribeDBClusterSnapshots": ("DBClusterSnapshotIdentifier", "cluster-snapshot"),
    "DescribeDBClusters": ("DBClusterIdentifier", "cluster"),
    "DescribeDBInstances": ("DBInstanceIdentifier", "db"),
    "DescribeDBSnapshots": ("DBSnapshotIdentifier", "snapshot"),
    "DescribeDBSubnetGroups": ("DBSubnetGroupName", "subgrp"),
    "ModifyDBCluster": ("DBClusterIdentifier", "cluster"),
    "ModifyDBInstance": ("DBInstanceIdentifier", "db"),
    "RebootDBInstance": ("DBInstanceIdentifier", "db"),
}


def first_resource(operation: str, params: dict[str, Any]) -> str | None:
    """The resource that a call is authorized on before anything else; None when it is not known here."""
    named = ec2._p(params, "ResourceName")
    if named:
        return named
    if operation not in FIRST_RESOURCES:
        return None
    parameter, kind = FIRST_RESOURCES[operation]
    name = ec2._p(params, parameter)
    return name if name.startswith("arn:") else arn_of(kind, name.lower() or "*")


def condition_keys(operation: str, params: dict[str, Any]) -> dict[str, Any]:
    """RDS's own condition keys of a call's first resource."""
    keys = {}
    if operation in ("CreateDBInstance", "CreateDBCluster") and ec2._p(params, "Engine"):
        keys["rds:DatabaseEngine"] = ec2._p(params, "Engine")
    if ec2._p(params, "DBInstanceClass"):
        keys["rds:DatabaseClass"] = ec2._p(params, "DBInstanceClass")
    arn = first_resource(operation, params)
    kind = arn.split(":")[5] if arn and arn.count(":") > 5 else None
    if kind and not operation.startswith("Create"):
        keys |= {f"rds:{kind}-tag/{key}": value for key, value in tags_of(arn).items()}
    return keys


def may_create_instance(
    caller: Caller, own: dict[str, Any], cluster: dict[str, Any] | None, tags: dict[str, str]
) -> None:
    """Refuse unless the caller may create this instance: it also needs the cluster, the groups, tags and the key."""
    about = {"rds:DatabaseEngine": own["Engine"], "rds:DatabaseClass": own["DBInstanceClass"]} | _request_tags(tags)
    if cluster:
        _require(caller, "rds:CreateDBInstance", cluster["DBClusterArn"], about)
    for kind, name in (
        ("pg", own["DBParameterGroupName"]),
        ("subgrp", own["DBSubnetGroup"]["DBSubnetGroupName"]),
        ("og", own["OptionGroupName"]),
    ):
        _require(caller, "rds:CreateDBInstance", arn_of(kind, name), about)
    if tags:
        _require(caller, "rds:AddTagsToResource", arn_of("db", own["DBInstanceIdentifier"]), _request_tags(tags))
    key = kms._resolve_key(own.get("KmsKeyId")) if own.get("KmsKeyId") else None
    if key:
        via = {"kms:ViaService": f"rds.{get_region()}.amazonaws.com", "kms:CallerAccount": get_account_id()}
        caller.require("kms:DescribeKey", key["Arn"], **via)
        caller.require("kms:CreateGrant", key["Arn"], **via, **{"kms:GrantIsForAWSResource": "true"})


def may_modify_instance(caller: Caller, parameters: str, options: str) -> None:
    """Refuse unless the caller may modify an instance with these groups."""
    for kind, name in (("pg", parameters), ("og", options)):
        _require(caller, "rds:ModifyDBInstance", arn_of(kind, name), {})


def may_modify_cluster(caller: Caller, cluster: dict[str, Any], parameters: str) -> None:
    """Refuse unless the caller may modify this cluster with these groups."""
    options = cluster["DBClusterOptionGroupMemberships"][0]["DBClusterOptionGroupName"]
    for kind, name in (("cluster-pg", parameters), ("og", options)):
        _require(caller, "rds:ModifyDBCluster", arn_of(kind, name), {})


def _require(caller: Caller, action: str, arn: str, about: dict[str, Any]) -> None:
    kind = arn.split(":")[5]
    own = {f"rds:{kind}-tag/{key}": value for key, value in tags_of(arn).items()}
    caller.require(action, arn, **about, **own)


def _request_tags(tags: dict[str, str]) -> dict[str, Any]:
    keys = {f"aws:RequestTag/{key}": value for key, value in tags.items()}
    return keys | ({"aws:TagKeys": list(tags)} if tags else {})
