"""Mount targets of EFS: one in a zone, each with a network interface in a subnet."""

import ipaddress
import secrets
from typing import Any

from ministack.core.responses import get_account_id, get_region
from ministack.services import efs

from local_region.callers import Caller
from local_region.efs_access_points import EfsAccessPoints
from local_region.efs_file_systems import (
    SERVICE,
    EfsFileSystems,
    arn_of,
    bad_request,
    fault,
    paged_by_marker,
)
from local_region.network_interfaces import (
    NetworkInterfaces,
    default_group,
    first_group_outside,
    free_address,
    subnet_of,
    used_addresses,
)
from local_region.operations import add_rest_operations
from local_region.settings import Settings
from local_region.status_changes import StatusChanges

MOST_GROUPS = 5
# EFS calls EC2 with the rights of its caller.
OF_EFS = {"aws:ViaAWSService": "true"}


class EfsMountTargets:
    """The Region's mount targets by id."""

    def __init__(
        self,
        settings: Settings,
        changes: StatusChanges,
        interfaces: NetworkInterfaces,
        file_systems: EfsFileSystems,
        points: EfsAccessPoints,
    ) -> None:
        self._settings = settings
        self._changes = changes
        self._interfaces = interfaces
        self._file_systems = file_systems
        self._points = points
        add_rest_operations(
            SERVICE,
            {
                "CreateMountTarget": self._create,
                "DeleteMountTarget": self._delete,
                "DescribeMountTargets": self._describe,
                "DescribeMountTargetSecurityGroups": self._describe_groups,
                "ModifyMountTargetSecurityGroups": self._modify_groups,
            },
        )

    def add(self, given: dict[str, Any]) -> dict[str, Any]:
        """A new mount target, which is being created, from the members of CreateMountTarget."""
        owner = self._file_systems.available(given["FileSystemId"])
        if given.get("IpAddressType", "IPV4_ONLY") != "IPV4_ONLY" or given.get("Ipv6Address"):
            raise bad_request("The local Region knows IPv4 addresses only")
        subnet = subnet_of(given["SubnetId"])
        if subnet is None:
            raise fault("SubnetNotFound", f"The subnet ID '{given['SubnetId']}' does not exist")
        self._check_zone(owner, subnet)
        groups = self._checked_groups(given.get("SecurityGroups"), subnet["VpcId"])
        address = _address(given.get("IpAddress"), subnet)
        fs_id, target_id = owner["FileSystemId"], f"fsmt-{secrets.token_hex(9)[:17]}"
        record = {
            "MountTargetId": target_id,
            "MountTargetArn": arn_of("file-system", f"{fs_id}/mount-target/{target_id}"),
            "FileSystemId": fs_id,
            "OwnerId": get_account_id(),
            "SubnetId": subnet["SubnetId"],
            "VpcId": subnet["VpcId"],
            "AvailabilityZoneId": subnet["AvailabilityZoneId"],
            "AvailabilityZoneName": subnet["AvailabilityZone"],
            "LifeCycleState": "",
            "IpAddress": address,
            "NetworkInterfaceId": self._interfaces.add(
                subnet, address, groups, f"EFS mount target for {fs_id} ({target_id})"
            ),
        }
        efs._mount_targets[target_id] = record
        owner["NumberOfMountTargets"] += 1
        return record

    def complete(self, record: dict[str, Any]) -> None:
        """Let a mount target be available, unless a tester said otherwise."""
        self._changes.set(record, self._changes.end_of(record["SubnetId"]) or "available")

    def replace_groups(self, record: dict[str, Any], groups: list[str] | None) -> None:
        """Replace the security groups of a mount target, by the default group if none is named."""
        self._interfaces.set_groups(record["NetworkInterfaceId"], self._checked_groups(groups, record["VpcId"]))

    def forget(self, target_id: str) -> None:
        """The mount target is gone, with its network interface."""
        record = efs._mount_targets.pop(target_id, None)
        if record:
            self._interfaces.remove(record["NetworkInterfaceId"])
            efs._file_systems[record["FileSystemId"]]["NumberOfMountTargets"] -= 1

    def _check_zone(self, owner: dict[str, Any], subnet: dict[str, Any]) -> None:
        zone = owner.get("AvailabilityZoneName")
        if zone and zone != subnet["AvailabilityZone"]:
            raise fault(
                "AvailabilityZonesMismatch", f"The subnet is in {subnet['AvailabilityZone']}, the file system in {zone}"
            )
        for other in efs._mount_targets.values():
            if other["FileSystemId"] != owner["FileSystemId"]:
                continue
            if other["VpcId"] != subnet["VpcId"]:
                raise fault(
                    "MountTargetConflict",
                    "requested subnet for new mount target is not in the same VPC as existing mount targets",
                )
            if other["AvailabilityZoneName"] == subnet["AvailabilityZone"]:
                raise fault("MountTargetConflict", "mount target already exists in this AZ")

    def _checked_groups(self, groups: list[str] | None, vpc_id: str) -> list[str]:
        """Security groups, which must be of a VPC; its default group when none is named."""
        if not groups:
            return default_group(vpc_id)
        if len(groups) > MOST_GROUPS:
            raise fault("SecurityGroupLimitExceeded", f"A mount target can have {MOST_GROUPS} security groups at most")
        outside = first_group_outside(groups, vpc_id)
        if outside:
            raise fault("SecurityGroupNotFound", f"The security group '{outside}' does not exist in VPC '{vpc_id}'")
        return groups

    def _create(self, params: dict[str, Any], caller: Caller) -> dict[str, Any]:
        caller.require("ec2:DescribeSubnets", "*", **OF_EFS)
        caller.require("ec2:DescribeNetworkInterfaces", "*", **OF_EFS)
        for kind, ids in (
            ("network-interface", ["*"]),
            ("subnet", [params["SubnetId"]]),
            ("security-group", params.get("SecurityGroups") or []),
        ):
            for each in ids:
                caller.require("ec2:CreateNetworkInterface", _of_ec2(kind, each), **OF_EFS)
        record = self.add(params)
        steps = [("creating", self._settings.file_system_seconds)]
        self._changes.run(record, record["SubnetId"], steps, lambda: None, "available")
        return record

    def _describe(self, params: dict[str, Any], _caller: Caller) -> dict[str, Any]:
        named = [name for name in ("FileSystemId", "MountTargetId", "AccessPointId") if params.get(name)]
        if len(named) != 1:
            raise bad_request("One of FileSystemId, MountTargetId and AccessPointId is required")
        if named == ["MountTargetId"]:
            return paged_by_marker("MountTargets", [self._get(params["MountTargetId"])], params)
        fs_id = (
            self._file_systems.get(params["FileSystemId"])["FileSystemId"]
            if named == ["FileSystemId"]
            else self._points.get(params["AccessPointId"])["FileSystemId"]
        )
        found = [target for target in efs._mount_targets.values() if target["FileSystemId"] == fs_id]
        return paged_by_marker("MountTargets", found, params)

    def _describe_groups(self, params: dict[str, Any], caller: Caller) -> dict[str, Any]:
        record = self._get(params["MountTargetId"])
        interface = record["NetworkInterfaceId"]
        caller.require("ec2:DescribeNetworkInterfaceAttribute", _of_ec2("network-interface", interface), **OF_EFS)
        return {"SecurityGroups": self._interfaces.groups_of(interface)}

    def _modify_groups(self, params: dict[str, Any], caller: Caller) -> dict[str, Any]:
        record = self._get(params["MountTargetId"])
        interface = record["NetworkInterfaceId"]
        caller.require("ec2:ModifyNetworkInterfaceAttribute", _of_ec2("network-interface", interface), **OF_EFS)
        if record["LifeCycleState"] == "deleting":
            raise fault("IncorrectMountTargetState", f"Mount target '{record['MountTargetId']}' is being deleted")
        self.replace_groups(record, params.get("SecurityGroups"))
        return {}

    def _delete(self, params: dict[str, Any], caller: Caller) -> dict[str, Any]:
        record = self._get(params["MountTargetId"])
        interface = _of_ec2("network-interface", record["NetworkInterfaceId"])
        caller.require("ec2:DeleteNetworkInterface", interface, **OF_EFS)
        if record["LifeCycleState"] != "deleting":
            steps = [("deleting", self._settings.file_system_change_seconds)]
            self._changes.run(record, None, steps, lambda: self.forget(record["MountTargetId"]), "deleted")
        return {}

    def _get(self, target_id: str) -> dict[str, Any]:
        record = efs._mount_targets.get(target_id)
        if record is None:
            raise fault("MountTargetNotFound", f"Mount target '{target_id}' does not exist.")
        return record


def _address(wanted: str | None, subnet: dict[str, Any]) -> str:
    """An address of a subnet that nobody has."""
    if wanted and not _is_in(wanted, subnet["CidrBlock"]):
        raise bad_request(f"{wanted} is not an address of the subnet {subnet['SubnetId']}")
    if wanted and wanted in used_addresses(subnet):
        raise fault("IpAddressInUse", f"The address {wanted} is already in use")
    address = wanted or free_address(subnet)
    if address is None:
        raise fault("NoFreeAddressesInSubnet", f"The subnet '{subnet['SubnetId']}' has no free addresses")
    return address


def _is_in(address: str, network: str) -> bool:
    try:
        return ipaddress.ip_address(address) in ipaddress.ip_network(network)
    except ValueError:
        return False


def _of_ec2(kind: str, resource_id: str) -> str:
    return f"arn:aws:ec2:{get_region()}:{get_account_id()}:{kind}/{resource_id}"
