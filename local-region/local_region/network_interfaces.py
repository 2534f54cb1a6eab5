"""Network interfaces that services keep in subnets: as long as they stand, nobody can delete what they use."""

import ipaddress
import secrets
from collections.abc import Callable
from typing import Any

from ministack.core.responses import get_account_id
from ministack.services import ec2
from ministack.services.cloudformation import provisioners

from local_region.api_error import ApiError
from local_region.operations import Answer, add_ec2_actions

# The first addresses of a subnet are AWS's: the network, the router, DNS and one for the future. So is the last one.
RESERVED = 4


class NetworkInterfaces:
    """The interfaces of services, among those of EC2."""

    def __init__(self) -> None:
        # The interfaces that belong to a service.
        self._of_services: set[str] = set()
        deletions = {
            "DeleteSubnet": ("SubnetId", self._check_subnet),
            "DeleteSecurityGroup": ("GroupId", self._check_group),
            "DeleteNetworkInterface": ("NetworkInterfaceId", self._check_interface),
        }
        add_ec2_actions(
            {name: _checked(ec2._ACTION_MAP[name], parameter, check) for name, (parameter, check) in deletions.items()}
        )
        for kind, check in (
            ("AWS::EC2::Subnet", self._check_subnet),
            ("AWS::EC2::SecurityGroup", self._check_group),
        ):
            handlers = provisioners._RESOURCE_HANDLERS[kind]
            provisioners._RESOURCE_HANDLERS[kind] = handlers | {"delete": _checked_of_stack(handlers["delete"], check)}

    def add(self, subnet: dict[str, Any], address: str, groups: list[str], description: str) -> str:
        """Put an interface into a subnet; answers its id."""
        interface_id = f"eni-{secrets.token_hex(9)[:17]}"
        self._of_services.add(interface_id)
        ec2._network_interfaces[interface_id] = {
            "NetworkInterfaceId": interface_id,
            "SubnetId": subnet["SubnetId"],
            "VpcId": subnet["VpcId"],
            "AvailabilityZone": subnet["AvailabilityZone"],
            "Description": description,
            "OwnerId": get_account_id(),
            "Status": "in-use",
            "PrivateIpAddress": address,
            "InterfaceType": "interface",
            "SourceDestCheck": True,
            "MacAddress": ":".join(["06", *(secrets.token_hex(1) for _ in range(5))]),
            "Groups": _groups(groups),
            "Attachment": None,
        }
        return interface_id

    def set_groups(self, interface_id: str, groups: list[str]) -> None:
        """Replace the security groups of an interface."""
        ec2._network_interfaces[interface_id]["Groups"] = _groups(groups)

    def groups_of(self, interface_id: str) -> list[str]:
        """The security groups of an interface."""
        return [group["GroupId"] for group in ec2._network_interfaces[interface_id]["Groups"]]

    def remove(self, interface_id: str) -> None:
        """Take an interface away."""
        self._of_services.discard(interface_id)
        ec2._network_interfaces.pop(interface_id, None)

    def _check_subnet(self, subnet_id: str) -> None:
        if any(each["SubnetId"] == subnet_id for each in self._interfaces()):
            raise ApiError("DependencyViolation", f"The subnet '{subnet_id}' has dependencies and cannot be deleted.")

    def _check_group(self, group_id: str) -> None:
        if any(group["GroupId"] == group_id for each in self._interfaces() for group in each["Groups"]):
            raise ApiError("DependencyViolation", f"resource {group_id} has a dependent object")

    def _check_interface(self, interface_id: str) -> None:
        if interface_id in self._of_services:
            raise ApiError("InvalidParameterValue", f"Network interface '{interface_id}' is currently in use.")

    def _interfaces(self) -> list[dict[str, Any]]:
        return [each for each in ec2._network_interfaces.values() if each["NetworkInterfaceId"] in self._of_services]


def subnet_of(subnet_id: str) -> dict[str, Any] | None:
    """A subnet by its id, also of the default VPC."""
    ec2._ensure_defaults_initialized()
    return ec2._subnets.get(subnet_id)


def free_address(subnet: dict[str, Any]) -> str | None:
    """The first free address of a subnet."""
    network, used = ipaddress.ip_network(subnet["CidrBlock"]), used_addresses(subnet)
    return next(
        (
            str(host)
            for host in network.hosts()
            if int(host) - int(network.network_address) >= RESERVED and str(host) not in used
        ),
        None,
    )


def used_addresses(subnet: dict[str, Any]) -> set[str]:
    """The addresses of a subnet that an interface or an instance has."""
    holders = [*ec2._network_interfaces.values(), *ec2._instances.values()]
    return {each["PrivateIpAddress"] for each in holders if each.get("SubnetId") == subnet["SubnetId"]}


def default_group(vpc_id: str) -> list[str]:
    """The default security group of a VPC."""
    return [
        group["GroupId"]
        for group in ec2._security_groups.values()
        if (group["VpcId"], group["GroupName"]) == (vpc_id, "default")
    ]


def first_group_outside(groups: list[str], vpc_id: str) -> str | None:
    """The first of these security groups that is not in a VPC."""
    return next(
        (each for each in groups if ec2._security_groups.get(each, {}).get("VpcId") != vpc_id),
        None,
    )


def _groups(ids: list[str]) -> list[dict[str, str]]:
    return [
        {"GroupId": group_id, "GroupName": ec2._security_groups[group_id]["GroupName"]}
        for group_id in dict.fromkeys(ids)
    ]


def _checked(
    act: Callable[[dict[str, Any]], Answer], parameter: str, check: Callable[[str], None]
) -> Callable[[dict[str, Any]], Answer]:
    def acted(params: dict[str, Any]) -> Answer:
        check(ec2._p(params, parameter))
        return act(params)

    return acted


def _checked_of_stack(delete: Callable[..., None], check: Callable[[str], None]) -> Callable[..., None]:
    def deleted(physical_id: str, properties: dict[str, Any]) -> None:
        check(physical_id)
        delete(physical_id, properties)

    return deleted
