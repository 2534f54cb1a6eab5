"""The groups that databases are put into: subnet, security, parameter and option groups, and keys."""

import re
from collections.abc import Callable
from typing import Any

from ministack.core.responses import get_account_id, get_region
from ministack.services import ec2, kms, rds
from ministack.services.cloudformation import provisioners

from local_region.api_error import ApiError
from local_region.callers import Caller
from local_region.db_engines import Engine
from local_region.db_pages import filtered, paged
from local_region.operations import Answer, add_ec2_actions
from local_region.query_operations import add_query_operations, fault

# Of each operation that deletes groups: ministack's function, the parameter that names the group, and its kind.
DELETIONS = {
    "DeleteDBSubnetGroup": ("_delete_subnet_group", "DBSubnetGroupName", "subgrp"),
    "DeleteDBParameterGroup": ("_delete_param_group", "DBParameterGroupName", "pg"),
    "DeleteDBClusterParameterGroup": ("_delete_db_cluster_param_group", "DBClusterParameterGroupName", "cluster-pg"),
    "DeleteOptionGroup": ("_delete_option_group", "OptionGroupName", "og"),
}
# Of each kind, the error of a group that a database uses, and what it says.
IN_USE = {
    "subgrp": ("InvalidDBSubnetGroupStateFault", "Cannot delete the subnet group {0}: {1} still uses it."),
    "pg": ("InvalidDBParameterGroupStateFault", "{1} is still a member of the parameter group {0}."),
    "cluster-pg": ("InvalidDBParameterGroupStateFault", "{1} is still a member of the parameter group {0}."),
    "og": ("InvalidOptionGroupStateFault", "The option group {0} cannot be deleted: {1} uses it."),
}
# The databases that use a group, by its kind and name.
Users = Callable[[str, str], list[str]]


def add_group_operations(users: Users) -> None:
    """Serve DescribeDBSubnetGroups from here, check new subnet groups, and delete no group that a database uses.

    The other operations are ministack's.
    """
    create = _checked(rds._create_subnet_group)
    rds._create_subnet_group = rds._ACTION_MAP["CreateDBSubnetGroup"] = create
    add_query_operations("rds", {"DescribeDBSubnetGroups": _describe_subnet_groups})
    for operation, (function, parameter, kind) in DELETIONS.items():
        delete = _unless_used(getattr(rds, function), parameter, kind, users)
        # Stacks call the function, and take what it raises for the failure of their resource.
        setattr(rds, function, delete)
        rds._ACTION_MAP[operation] = _refusing(delete)
    delete_security_group, delete_for_stacks = ec2._delete_security_group, provisioners._ec2_sg_delete

    def delete_group(params: dict[str, Any]) -> Answer:
        _check_security_group(ec2._p(params, "GroupId"), users)
        return delete_security_group(params)

    def delete_group_of_stack(physical_id: str, properties: dict[str, Any]) -> None:
        _check_security_group(physical_id, users)
        delete_for_stacks(physical_id, properties)

    add_ec2_actions({"DeleteSecurityGroup": delete_group})
    provisioners._RESOURCE_HANDLERS["AWS::EC2::SecurityGroup"] |= {"delete": delete_group_of_stack}


def arn_of(kind: str, name: str) -> str:
    """The ARN of a resource of RDS in this Region."""
    return f"arn:aws:rds:{get_region()}:{get_account_id()}:{kind}:{name}"


def subnet_group(name: str | None) -> dict[str, Any]:
    """A subnet group by its name; of the default VPC when none is named."""
    if not name or name == "default":
        return rds._subnet_groups.get("default") or _default_subnet_group()
    found = rds._subnet_groups.get(name.lower())
    if found is None:
        raise fault(
            "rds",
            "DBSubnetGroupNotFoundFault",
            f"DB subnet group '{name}' does not exist. Refer to an existing DB subnet group.",
        )
    return found


def zones_of(group: dict[str, Any]) -> list[str]:
    """The Availability Zones of a subnet group, each once."""
    return sorted({subnet["SubnetAvailabilityZone"]["Name"] for subnet in group["Subnets"]})


def security_groups(ids: list[str] | None, vpc_id: str) -> list[str]:
    """The ids of security groups, which must be of a VPC; its default group when none is named."""
    if not ids:
        return [
            group["GroupId"]
            for group in ec2._security_groups.values()
            if group["VpcId"] == vpc_id and group["GroupName"] == "default"
        ]
    for group_id in ids:
        group = ec2._security_groups.get(group_id)
        if group is None:
            raise ApiError("InvalidParameterValue", f"Invalid security group , groupId= {group_id}, groupName=.")
        if group["VpcId"] != vpc_id:
            raise fault(
                "rds",
                "InvalidVPCNetworkStateFault",
                "The DB instance and EC2 security group are in different VPCs. The DB instance is in "
                f"{vpc_id} and the EC2 security group is in {group['VpcId']}",
            )
    return ids


def parameter_group(name: str | None, engine: Engine, version: str) -> str:
    """The name of a parameter group of instances, which must fit the engine; the default when none is named."""
    return _parameter_group(
        name, engine, version, rds._param_groups, "DBParameterGroupNotFoundFault", "DBParameterGroup"
    )


def cluster_parameter_group(name: str | None, engine: Engine, version: str) -> str:
    """The name of a parameter group of clusters, which must fit the engine; the default when none is named."""
    return _parameter_group(
        name,
        engine,
        version,
        rds._db_cluster_param_groups,
        "DBClusterParameterGroupNotFoundFault",
        "DBClusterParameterGroup",
    )


def option_group(name: str | None, engine: Engine, version: str) -> str:
    """The name of an option group, which must fit the engine; the default when none is named."""
    major = engine.major(version)
    default = f"default:{engine.name}-{major.replace('.', '-')}"
    if not name or name == default:
        return default
    found = rds._option_groups.get(name.lower())
    if found is None:
        raise fault("rds", "OptionGroupNotFoundFault", f"Specified OptionGroupName: {name} not found.")
    if (found["EngineName"], found["MajorEngineVersion"]) != (engine.name, major):
        raise ApiError(
            "InvalidParameterCombination",
            f"The option group {name} is for {found['EngineName']} {found['MajorEngineVersion']}, not for "
            f"{engine.name} {major}",
        )
    return found["OptionGroupName"]


def key_arn(key_id: str | None) -> str | None:
    """The ARN of a key of this Region that can be used, by its id or ARN; None when none is named."""
    if not key_id:
        return None
    of_other_region = key_id.startswith("arn:") and key_id.split(":")[3] != get_region()
    key = None if of_other_region else kms._resolve_key(key_id)
    if key is None or key["KeyState"] != "Enabled":
        raise fault(
            "rds",
            "KMSKeyNotAccessibleFault",
            f"The specified KMS key [{key_id}] does not exist, is not enabled or you do not have permissions to access "
            "it.",
        )
    return key["Arn"]


def _parameter_group(name: str | None, engine: Engine, version: str, groups: Any, not_found: str, called: str) -> str:
    family = engine.family(version)
    if not name or name == f"default.{family}":
        return f"default.{family}"
    found = groups.get(name.lower())
    if found is None:
        raise fault("rds", not_found, f"{called} not found: {name}")
    if found["DBParameterGroupFamily"] != family:
        raise ApiError(
            "InvalidParameterCombination",
            f"The parameter group {name} with DBParameterGroupFamily {found['DBParameterGroupFamily']} can't be used "
            f"for this instance. Please use a parameter group with DBParameterGroupFamily {family}",
        )
    return found[f"{called}Name"]


def _default_subnet_group() -> dict[str, Any]:
    """RDS makes the group of the default VPC when it is first needed."""
    ec2._ensure_defaults_initialized()
    subnets = [subnet["SubnetId"] for subnet in ec2._subnets.values() if subnet.get("DefaultForAz")]
    if not subnets:
        raise ApiError("InvalidSubnet", "No default subnet detected in VPC. Please contact AWS Support to recreate it.")
    resolved, vpc_id = rds._resolve_subnet_group_members(subnets)
    rds._subnet_groups["default"] = {
        "DBSubnetGroupName": "default",
        "DBSubnetGroupDescription": "default",
        "VpcId": vpc_id,
        "SubnetGroupStatus": "Complete",
        "Subnets": resolved,
        "DBSubnetGroupArn": arn_of("subgrp", "default"),
        "SupportedNetworkTypes": ["IPV4"],
    }
    return rds._subnet_groups["default"]


def _checked(create: Callable[[dict[str, Any]], Answer]) -> Callable[[dict[str, Any]], Answer]:
    """A subnet group's name is kept in small letters and is the only one of its name; the group spans two zones."""

    def created(params: dict[str, Any]) -> Answer:
        name = rds._p(params, "DBSubnetGroupName").lower()
        if name in rds._subnet_groups:
            return rds._error("DBSubnetGroupAlreadyExists", f"The DB subnet group '{name}' already exists.", 400)
        answer = create(params | {"DBSubnetGroupName": name})
        if answer[0] == 200 and len(zones_of(rds._subnet_groups[name])) < 2:
            del rds._subnet_groups[name]
            return rds._error(
                "DBSubnetGroupDoesNotCoverEnoughAZs",
                "The DB subnet group doesn't meet Availability Zone (AZ) coverage requirement. Current AZ coverage: "
                "1. Add subnets to cover at least 2 AZs.",
                400,
            )
        return answer

    return created


def _describe_subnet_groups(params: dict[str, Any], _caller: Caller) -> dict[str, Any]:
    filtered([], params, {})
    name = params.get("DBSubnetGroupName")
    groups = [subnet_group(name)] if name else list(rds._subnet_groups.values())
    return paged("DBSubnetGroups", groups, params)


def _unless_used(
    delete: Callable[[dict[str, Any]], Answer], parameter: str, kind: str, users: Users
) -> Callable[[dict[str, Any]], Answer]:
    def deleted(params: dict[str, Any]) -> Answer:
        name = rds._p(params, parameter).lower()
        used_by = users(kind, name)
        if used_by:
            shape, message = IN_USE[kind]
            raise fault("rds", shape, message.format(name, ", ".join(used_by)))
        return delete(params | {parameter: name})

    return deleted


def _refusing(act: Callable[[dict[str, Any]], Answer]) -> Callable[[dict[str, Any]], Answer]:
    def answered(params: dict[str, Any]) -> Answer:
        try:
            return act(params)
        except ApiError as error:
            return rds._error(error.code, error.message, error.status)

    return answered


def _check_security_group(group_id: str, users: Users) -> None:
    if users("sg", group_id):
        raise ApiError("DependencyViolation", f"resource {group_id} has a dependent object")


def checked_identifier(identifier: str, parameter: str) -> str:
    """An identifier in small letters, or the refusal of one that RDS does not take."""
    if not re.fullmatch(r"[A-Za-z](-?[A-Za-z0-9]){0,62}", identifier) or len(identifier) > 63:
        raise ApiError(
            "InvalidParameterValue",
            f"The parameter {parameter} is not a valid identifier. Identifiers must begin with a letter; must contain "
            "only ASCII letters, digits, and hyphens; and must not end with a hyphen or contain two consecutive "
            "hyphens.",
        )
    return identifier.lower()
