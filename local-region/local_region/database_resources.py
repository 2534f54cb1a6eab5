"""The groups of databases in stacks: ministack's, with the names that AWS gives them, and those it lacks."""

from collections.abc import Callable
from typing import Any

from ministack.services import ec2, rds
from ministack.services.cloudformation import provisioners

# A resource's physical id, and the attributes Fn::GetAtt reads.
Created = tuple[str, dict[str, Any]]
# Of each type, the property that names it; RDS keeps names in small letters.
NAMES = {
    "AWS::RDS::DBSubnetGroup": "DBSubnetGroupName",
    "AWS::RDS::DBParameterGroup": "DBParameterGroupName",
    "AWS::RDS::DBClusterParameterGroup": "DBClusterParameterGroupName",
    "AWS::DocDB::DBSubnetGroup": "DBSubnetGroupName",
    "AWS::DocDB::DBClusterParameterGroup": "Name",
    "AWS::Neptune::DBSubnetGroup": "DBSubnetGroupName",
    "AWS::Neptune::DBParameterGroup": "Name",
    "AWS::Neptune::DBClusterParameterGroup": "Name",
    "AWS::RDS::OptionGroup": "OptionGroupName",
}
# Types that are others by another name: RDS keeps their groups.
SAME_AS = {
    "AWS::Neptune::DBSubnetGroup": "AWS::RDS::DBSubnetGroup",
    "AWS::Neptune::DBParameterGroup": "AWS::RDS::DBParameterGroup",
    "AWS::Neptune::DBClusterParameterGroup": "AWS::RDS::DBClusterParameterGroup",
}
DEFAULT_GROUP_LENGTH = 255


def add_database_resources() -> None:
    """Serve the types from here."""
    registered = provisioners._RESOURCE_HANDLERS
    registered["AWS::RDS::OptionGroup"] = {"create": _create_option_group, "delete": _delete_option_group}
    for kind, other in SAME_AS.items():
        registered[kind] = _renamed(registered[other], NAMES[kind], NAMES[other])
    for kind, name in NAMES.items():
        registered[kind] = registered[kind] | {"create": _in_small_letters(registered[kind]["create"], name)}
        provisioners._STACK_TAG_PROPERTY[kind] = ("Tags", "list")
    groups = registered["AWS::EC2::SecurityGroup"]
    registered["AWS::EC2::SecurityGroup"] = groups | {
        "create": _named_without_vpc(groups["create"]),
        "update": _of_group(groups["update"]),
        "delete": _of_group(groups["delete"]),
    }


def _in_small_letters(create: Callable[..., Created], name: str) -> Callable[..., Created]:
    def created(logical_id: str, props: dict[str, Any], stack_name: str) -> Created:
        if props.get(name):
            props = props | {name: str(props[name]).lower()}
        return create(logical_id, props, stack_name)

    return created


def _renamed(handlers: dict[str, Any], name: str, other: str) -> dict[str, Any]:
    """The handlers of a type whose name is in another property."""

    def moved(props: dict[str, Any]) -> dict[str, Any]:
        return {other if key == name else key: value for key, value in props.items()}

    def create(logical_id: str, props: dict[str, Any], stack_name: str) -> Created:
        return handlers["create"](logical_id, moved(props), stack_name)

    def update(physical_id: str, old: dict[str, Any], new: dict[str, Any], stack_name: str, logical_id: str) -> Created:
        return handlers["update"](physical_id, moved(old), moved(new), stack_name, logical_id)

    return handlers | {"create": create, "update": update}


def _create_option_group(logical_id: str, props: dict[str, Any], stack_name: str) -> Created:
    name = props.get("OptionGroupName") or provisioners._physical_name(
        stack_name, logical_id, lowercase=True, max_len=DEFAULT_GROUP_LENGTH
    )
    for required in ("EngineName", "MajorEngineVersion", "OptionGroupDescription"):
        if not props.get(required):
            raise ValueError(f"Properties validation failed for resource {logical_id}: {required} is required")
    tags = {
        f"Tags.Tag.{n}.{key}": str(tag[key])
        for n, tag in enumerate(props.get("Tags") or [], 1)
        for key in ("Key", "Value")
    }
    answer = rds._create_option_group(
        {"OptionGroupName": name}
        | {key: str(props[key]) for key in ("EngineName", "MajorEngineVersion", "OptionGroupDescription")}
        | tags
    )
    if answer[0] >= 400:
        raise ValueError(f"OptionGroupAlreadyExistsFault: Option group {name} already exists.")
    return name, {}


def _delete_option_group(physical_id: str, _props: dict[str, Any]) -> None:
    rds._delete_option_group({"OptionGroupName": physical_id})


def _named_without_vpc(create: Callable[..., Created]) -> Callable[..., Created]:
    """A security group that names no VPC is known by its name, not by its id."""

    def created(logical_id: str, props: dict[str, Any], stack_name: str) -> Created:
        group_id, attributes = create(logical_id, props, stack_name)
        return (group_id if props.get("VpcId") else ec2._security_groups[group_id]["GroupName"]), attributes

    return created


def _of_group(act: Callable[..., Any]) -> Callable[..., Any]:
    def acted(physical_id: str, *args: Any, **named: Any) -> Any:
        group_id = next(
            (
                group["GroupId"]
                for group in ec2._security_groups.values()
                if group["GroupName"] == physical_id and group["VpcId"] == ec2._DEFAULT_VPC_ID
            ),
            physical_id,
        )
        answer = act(group_id, *args, **named)
        # An update answers the id that it was given.
        return (physical_id, answer[1]) if isinstance(answer, tuple) and answer[0] == group_id else answer

    return acted
