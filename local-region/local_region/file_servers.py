"""The file servers that an instance reaches: mount targets of EFS, and file systems of FSx for Lustre."""

import ipaddress
from typing import Any

from ministack.services import ec2, efs

from local_region.fsx_resources import FsxResources
from local_region.network_interfaces import subnet_of

NFS_PORT, LUSTRE_PORT = 2049, 988


def servers_of(instance_id: str, fsx: FsxResources) -> dict[str, Any]:
    """What an instance sees of them (see `guest_mount`): their files by directory, and whether they answer it."""
    instance = ec2._instances[instance_id]
    return {
        "zone": instance["Placement"]["AvailabilityZone"],
        "efs": {fs_id: _efs(record, instance) for fs_id, record in efs._file_systems.items()},
        "lustre": {
            record["FileSystemId"]: _lustre(record, instance)
            for record in fsx.of_kind("file-system")
            if record["FileSystemType"] == "LUSTRE"
        },
    }


def _efs(record: dict[str, Any], instance: dict[str, Any]) -> dict[str, Any]:
    fs_id, origins = record["FileSystemId"], record.get("_restored_from", {})
    targets = [each for each in efs._mount_targets.values() if each["FileSystemId"] == fs_id]
    points = [each for each in efs._access_points.values() if each["FileSystemId"] == fs_id]
    return {
        "directories": {name: origins.get(name, "") for name in record.get("_directories", [])},
        "targets": [
            {
                "address": each["IpAddress"],
                "isNear": each["AvailabilityZoneName"] == instance["Placement"]["AvailabilityZone"],
                "answers": record["LifeCycleState"] in ("available", "updating")
                and each["LifeCycleState"] == "available"
                and _reaches(instance, each["NetworkInterfaceId"], NFS_PORT),
            }
            for each in targets
        ],
        "accessPoints": {
            each["AccessPointId"]: {
                "path": each["RootDirectory"]["Path"],
                "state": each["LifeCycleState"],
                "creates": bool(each["RootDirectory"].get("CreationInfo")),
            }
            for each in points
        },
    }


def _lustre(record: dict[str, Any], instance: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": record["DNSName"],
        "address": record["_addresses"][0],
        "mountName": record["LustreConfiguration"]["MountName"],
        "directories": {"": record.get("_restored_from", "")},
        "answers": record["Lifecycle"] in ("AVAILABLE", "UPDATING")
        and _reaches(instance, record["NetworkInterfaceIds"][0], LUSTRE_PORT),
    }


def _reaches(instance: dict[str, Any], interface_id: str, port: int) -> bool:
    """Whether security groups let an instance reach a port of a network interface in its VPC."""
    interface = ec2._network_interfaces[interface_id]
    if interface["VpcId"] != instance["VpcId"]:
        return False
    own = [group["GroupId"] for group in instance["SecurityGroups"]]
    served = [group["GroupId"] for group in interface["Groups"]]
    return _allows(own, "IpPermissionsEgress", port, served, interface["SubnetId"]) and _allows(
        served, "IpPermissions", port, own, instance["SubnetId"]
    )


def _allows(groups: list[str], rules: str, port: int, others: list[str], other_subnet: str) -> bool:
    """Whether a rule of a group allows TCP traffic with other groups, or with a whole subnet.

    The address of an instance does not belong to its subnet here.
    """
    subnet = subnet_of(other_subnet) or {}
    network = ipaddress.ip_network(subnet["CidrBlock"])
    for rule in (rule for group in groups for rule in ec2._security_groups[group].get(rules, [])):
        protocol, first, last = str(rule["IpProtocol"]), rule.get("FromPort", 0), rule.get("ToPort", 65535)
        if protocol != "-1" and (protocol not in ("tcp", "6") or not first <= port <= last):
            continue
        if any(pair.get("GroupId") in others for pair in rule.get("UserIdGroupPairs", [])):
            return True
        ranges = (ipaddress.ip_network(each["CidrIp"]) for each in rule.get("IpRanges", []))
        if any(network.subnet_of(each) for each in ranges if each.version == network.version):
            return True
    return False
