"""What each type of file system of FSx is configured with: what is required, what fits, and what is left out."""

import secrets
import string
import uuid
from typing import Any

from ministack.core.responses import get_account_id, get_region
from ministack.services import ec2, kms

from local_region.api_error import ApiError
from local_region.fsx_resources import fault
from local_region.network_interfaces import default_group, first_group_outside, subnet_of

# Of each type, the member that holds its configuration.
MEMBERS = {
    "LUSTRE": "LustreConfiguration",
    "ONTAP": "OntapConfiguration",
    "OPENZFS": "OpenZFSConfiguration",
    "WINDOWS": "WindowsConfiguration",
}
# Throughput for each TiB of Lustre, by its deployment type; that of hard disks apart.
LUSTRE_THROUGHPUT = {"PERSISTENT_1": (50, 100, 200), "PERSISTENT_2": (125, 250, 500, 1000)}
LUSTRE_DISK_STEPS = {12: 6000, 40: 1800}
LNET_PORT = 988
OPENZFS_THROUGHPUT = {
    "SINGLE_AZ_1": (64, 128, 256, 512, 1024, 2048, 3072, 4096),
    "SINGLE_AZ_HA_1": (64, 128, 256, 512, 1024, 2048, 3072, 4096),
    "SINGLE_AZ_2": (160, 320, 640, 1280, 2560, 3840, 5120, 7680, 10240),
    "SINGLE_AZ_HA_2": (160, 320, 640, 1280, 2560, 3840, 5120, 7680, 10240),
    "MULTI_AZ_1": (160, 320, 640, 1280, 2560, 3840, 5120, 7680, 10240),
}
ONTAP_THROUGHPUT = (128, 256, 384, 512, 768, 1024, 1536, 2048, 3072, 4096, 6144)
# For how many days automatic backups are kept, if nobody says it.
RETENTION_DAYS = {"LUSTRE": 0, "ONTAP": 30, "OPENZFS": 30, "WINDOWS": 30}
MANAGED_DOMAIN = "corp.example.com"


def checked(given: dict[str, Any]) -> dict[str, Any]:
    """The configuration of a new file system, with what is left out, or the refusal of what does not fit."""
    kind = given["FileSystemType"]
    config = given.get(MEMBERS[kind])
    others = [member for name, member in MEMBERS.items() if name != kind and given.get(member)]
    if others:
        raise bad_request(f"{others[0]} does not fit a file system of the type {kind}")
    if config is None and kind != "LUSTRE":
        raise fault("MissingFileSystemConfiguration", f"{MEMBERS[kind]} is required")
    check = {"LUSTRE": _lustre, "ONTAP": _ontap, "OPENZFS": _openzfs, "WINDOWS": _windows}[kind]
    own = check(given, dict(config or {}))
    if is_over_zones(own):
        subnets, preferred = given["SubnetIds"], own.get("PreferredSubnetId")
        if len(subnets) != 2 or preferred not in subnets:
            raise bad_request("A Multi-AZ file system needs two subnets, and one of them as PreferredSubnetId")
    elif len(given["SubnetIds"]) != 1:
        raise bad_request("Exactly one subnet ID is required for this deployment type")
    return {"AutomaticBackupRetentionDays": RETENTION_DAYS[kind], "WeeklyMaintenanceStartTime": "7:03:00"} | own


def is_over_zones(config: dict[str, Any]) -> bool:
    """Whether a configuration is of several Availability Zones."""
    return str(config.get("DeploymentType")).startswith("MULTI_AZ")


def checked_network(given: dict[str, Any]) -> tuple[list[dict[str, Any]], list[str]]:
    """The subnets and security groups of a new file system, or the refusal of those that do not fit."""
    subnets = []
    for subnet_id in given["SubnetIds"]:
        subnet = subnet_of(subnet_id)
        if subnet is None:
            message = f"The subnet ID '{subnet_id}' does not exist"
            raise fault("InvalidNetworkSettings", message, InvalidSubnetId=subnet_id)
        subnets.append(subnet)
    if len({subnet["VpcId"] for subnet in subnets}) > 1:
        raise fault("InvalidNetworkSettings", "The subnets are not in one VPC", InvalidSubnetId=given["SubnetIds"][1])
    if len({subnet["AvailabilityZone"] for subnet in subnets}) < len(subnets):
        raise bad_request("The subnets must be in different Availability Zones")
    vpc_id, groups = subnets[0]["VpcId"], given.get("SecurityGroupIds")
    outside = first_group_outside(groups or [], vpc_id)
    if outside:
        message = f"The security group '{outside}' does not exist in VPC '{vpc_id}'"
        raise fault("InvalidNetworkSettings", message, InvalidSecurityGroupId=outside)
    # The default group of a VPC admits its own members.
    if given["FileSystemType"] == "LUSTRE" and groups and not any(_admits(group, LNET_PORT) for group in groups):
        raise fault(
            "InvalidNetworkSettings",
            "The file system cannot be created because the default security group in the subnet provided or the "
            f"provided security groups do not permit Lustre LNET network traffic on port {LNET_PORT}",
            InvalidSecurityGroupId=groups[0],
        )
    return subnets, groups or default_group(vpc_id)


def key_arn(key_id: str | None) -> str:
    """The ARN of a key of this Region that can be used; AWS's own when none is named."""
    if not key_id:
        own = uuid.uuid5(uuid.NAMESPACE_URL, f"{get_account_id()}/{get_region()}/aws/fsx")
        return f"arn:aws:kms:{get_region()}:{get_account_id()}:key/{own}"
    of_other_region = key_id.startswith("arn:") and key_id.split(":")[3] != get_region()
    key = None if of_other_region else kms._resolve_key(key_id)
    if key is None or key["KeyState"] != "Enabled":
        raise bad_request(f"The KMS key {key_id} does not exist in {get_region()}, or cannot be used")
    return key["Arn"]


def dns_name(kind: str, file_system_id: str, config: dict[str, Any]) -> str | None:
    """The name that clients of a file system resolve; None of ONTAP, whose virtual machines have names."""
    if kind == "ONTAP":
        return None
    if kind == "WINDOWS":
        return f"amznfsx{secrets.token_hex(4)}.{domain_of(config)}"
    return f"{file_system_id}.fsx.{get_region()}.amazonaws.com"


def domain_of(config: dict[str, Any]) -> str:
    """The domain that a Windows file system joins."""
    return (config.get("SelfManagedActiveDirectoryConfiguration") or {}).get("DomainName") or MANAGED_DOMAIN


def mount_name(deployment_type: str) -> str:
    """The name that Lustre is mounted by, which has nothing to do with its id."""
    if deployment_type == "SCRATCH_1":
        return "fsx"
    return "".join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(8))


def bad_request(message: str) -> ApiError:
    """The error of members that do not fit."""
    return fault("BadRequest", message)


def _lustre(given: dict[str, Any], config: dict[str, Any]) -> dict[str, Any]:
    kind = config.setdefault("DeploymentType", "SCRATCH_1")
    capacity, throughput = given.get("StorageCapacity"), config.get("PerUnitStorageThroughput")
    on_disks, is_persistent = given.get("StorageType") == "HDD", kind.startswith("PERSISTENT")
    if on_disks and (kind != "PERSISTENT_1" or not config.get("DriveCacheType")):
        raise bad_request("StorageType HDD requires the deployment type PERSISTENT_1 and a DriveCacheType")
    known = tuple(LUSTRE_DISK_STEPS) if on_disks else LUSTRE_THROUGHPUT.get(kind, (None,))
    if throughput not in known:
        raise fault(
            "InvalidPerUnitStorageThroughput", f"PerUnitStorageThroughput {throughput} does not fit {kind}: {known}"
        )
    step = LUSTRE_DISK_STEPS[throughput] if on_disks else 3600 if kind == "SCRATCH_1" else 2400
    smallest = () if on_disks else (1200, 2400)
    if not capacity or (capacity not in smallest and capacity % step):
        raise bad_request(f"StorageCapacity {capacity} is not valid for {kind}")
    if config.get("AutomaticBackupRetentionDays") and (not is_persistent or config.get("ImportPath")):
        raise bad_request("Backups require a persistent file system that is not linked to S3")
    own = {"CopyTagsToBackups": False, "DataCompressionType": "NONE"} | config
    if config.get("ImportPath"):
        members = ("ImportPath", "ExportPath", "ImportedFileChunkSize", "AutoImportPolicy")
        own["DataRepositoryConfiguration"] = {"Lifecycle": "AVAILABLE"} | {
            name: own.pop(name) for name in members if name in own
        }
    return own


def _windows(given: dict[str, Any], config: dict[str, Any]) -> dict[str, Any]:
    kind, capacity = config.setdefault("DeploymentType", "SINGLE_AZ_1"), given.get("StorageCapacity")
    managed, own_directory = config.get("ActiveDirectoryId"), config.get("SelfManagedActiveDirectoryConfiguration")
    if bool(managed) == bool(own_directory):
        raise bad_request("One of ActiveDirectoryId and SelfManagedActiveDirectoryConfiguration is required")
    on_disks = given.get("StorageType") == "HDD"
    if on_disks and kind == "SINGLE_AZ_1":
        raise bad_request("StorageType HDD requires the deployment type SINGLE_AZ_2 or MULTI_AZ_1")
    if not capacity or not (2000 if on_disks else 32) <= capacity <= 65536:
        raise bad_request(f"StorageCapacity {capacity} is not valid for a Windows file system")
    if own_directory:
        config["SelfManagedActiveDirectoryConfiguration"] = {
            name: value for name, value in own_directory.items() if name != "Password"
        }
    aliases = [{"Name": name, "Lifecycle": "AVAILABLE"} for name in config.pop("Aliases", [])]
    return {"CopyTagsToBackups": False, "Aliases": aliases} | config


def _openzfs(given: dict[str, Any], config: dict[str, Any]) -> dict[str, Any]:
    capacity = given.get("StorageCapacity")
    if config["ThroughputCapacity"] not in OPENZFS_THROUGHPUT[config["DeploymentType"]]:
        raise bad_request(f"ThroughputCapacity {config['ThroughputCapacity']} does not fit {config['DeploymentType']}")
    if not capacity or not 64 <= capacity <= 524288:
        raise bad_request(f"StorageCapacity {capacity} is not valid for an OpenZFS file system")
    config.pop("RootVolumeConfiguration", None)
    return {"CopyTagsToBackups": False, "CopyTagsToVolumes": False} | config


def _ontap(given: dict[str, Any], config: dict[str, Any]) -> dict[str, Any]:
    capacity, pairs = given.get("StorageCapacity"), config.setdefault("HAPairs", 1)
    throughput = config.get("ThroughputCapacity") or (config.get("ThroughputCapacityPerHAPair") or 0) * pairs
    if not throughput or (pairs == 1 and throughput not in ONTAP_THROUGHPUT):
        raise bad_request("ThroughputCapacity or ThroughputCapacityPerHAPair is required, with a value that FSx offers")
    if not capacity or not 1024 * pairs <= capacity <= 524288 * pairs:
        raise bad_request(f"StorageCapacity {capacity} is not valid for an ONTAP file system")
    config.pop("FsxAdminPassword", None)
    return config | {"ThroughputCapacity": throughput}


def _admits(group_id: str, port: int) -> bool:
    """Whether a security group has a rule that lets TCP traffic in on a port."""
    return any(
        str(rule["IpProtocol"]) == "-1"
        or (str(rule["IpProtocol"]) in ("tcp", "6") and rule.get("FromPort", 0) <= port <= rule.get("ToPort", 65535))
        for rule in ec2._security_groups[group_id]["IpPermissions"]
    )
