"""AWS Backup of EC2 instances: a recovery point is an image, with a snapshot of each volume."""

import ipaddress
import json
import secrets
from typing import Any

from ministack.core.responses import AccountRegionScopedDict, get_account_id, get_region
from ministack.services import ec2, iam, kms

from local_region.api_error import ApiError
from local_region.backup_types import NewRecoveryPoint, Restore, with_tags_of_rule
from local_region.images import OF_BACKUP
from local_region.instances import Instances, default_subnet, profile_of
from local_region.network_interfaces import default_group, first_group_outside, free_address, subnet_of, used_addresses
from local_region.restore_metadata import RestoreMetadata
from local_region.status_changes import StatusChanges
from local_region.volume_backups import SOURCE_TAG
from local_region.volumes import set_tags, tags_of

# The keys of a restore: those that are stored with a backup, and those of RunInstances that mean something here.
OBJECTS = (
    "CapacityReservationSpecification",
    "CpuOptions",
    "CreditSpecification",
    "HibernationOptions",
    "Monitoring",
    "Placement",
)
FLAGS = ("DisableApiTermination", "EbsOptimized", "RequireIMDSv2")
LISTS = ("BlockDeviceMappings", "NetworkInterfaces")
KEYS = (
    *OBJECTS,
    *FLAGS,
    *LISTS,
    "IamInstanceProfileName",
    "InstanceInitiatedShutdownBehavior",
    "InstanceType",
    "KeyName",
    "PrivateIpAddress",
    "SecurityGroupIds",
    "SubnetId",
    "UserData",
    "VpcId",
    "aws:backup:request-id",
)
# The only profile that a restore can name is the one that the instance had.
BACKED_UP = "UseBackedUpValue"
# What using a customer's key for a volume takes.
KEY_ACTIONS = (
    "kms:CreateGrant",
    "kms:Decrypt",
    "kms:DescribeKey",
    "kms:GenerateDataKeyWithoutPlaintext",
    "kms:ReEncryptFrom",
    "kms:ReEncryptTo",
)


class InstanceBackups:
    """Backs up and restores instances."""

    name = "EC2"

    def __init__(self, changes: StatusChanges, instances: Instances) -> None:
        self._changes = changes
        self._instances = instances
        # Of a recovery point, what an image does not hold: the instance's type and profile.
        self._instances_of = AccountRegionScopedDict()

    def covers(self, resource_arn: str) -> bool:
        """Whether a resource is an instance that exists."""
        instance = ec2._instances.get(resource_arn.rpartition("/")[2])
        return ":instance/" in resource_arn and instance is not None and instance["State"]["Name"] != "terminated"

    def back_up(self, resource_arn: str, tags: dict[str, str]) -> NewRecoveryPoint:
        """Make an image of an instance, and a snapshot of each of its volumes."""
        instance = ec2._instances[resource_arn.rpartition("/")[2]]
        devices = [_snapshot_of(mapping, tags) for mapping in instance["BlockDeviceMappings"]]
        # What AWS itself has tagged is not the owner's.
        own = {key: value for key, value in tags_of(instance["InstanceId"]).items() if not key.startswith("aws:")}
        image_tags = with_tags_of_rule(own, tags) | {SOURCE_TAG: resource_arn}
        arn = _put_image(instance["InstanceId"], instance, devices, image_tags)
        self._instances_of[arn] = {
            "InstanceType": instance["InstanceType"],
            "Profile": (instance.get("IamInstanceProfile") or {}).get("Arn", "").rpartition("/")[2],
        }
        size = sum(device["Ebs"]["VolumeSize"] for device in devices) << 30
        encrypted = any(device["Ebs"]["Encrypted"] for device in devices)
        return NewRecoveryPoint(arn, size, encrypted, _stored(instance), own)

    def copy(self, point: dict[str, Any]) -> "_ImageCopy":
        """An image, ready to be put into another vault."""
        return _ImageCopy(self._instances_of, point["RecoveryPointArn"])

    def check(self, metadata: dict[str, str]) -> None:
        """What is wrong with the metadata shows when the job runs."""

    def metadata_of_test(self, _job_id: str, point: dict[str, Any]) -> dict[str, str]:
        """An instance of the same type in the default VPC."""
        return {
            "DisableApiTermination": "false",
            "InstanceType": self._instances_of[point["RecoveryPointArn"]]["InstanceType"],
            "RequireIMDSv2": "true",
        }

    def begin(self, restore: Restore) -> None:
        """Check what is to be launched."""
        self._launch_of(restore)

    def abandon(self, restore: Restore) -> None:
        """Nothing was made."""

    def finish(self, restore: Restore) -> str:
        """Launch the instance, which is `pending` for a time."""
        launch, devices = self._launch_of(restore)
        metadata, arn = _read(restore), restore.job["RecoveryPointArn"]
        image, end = ec2._images[arn.rpartition("/")[2]], self._changes.end_of(arn)
        instance = self._instances.launch_restored(image, launch, devices, end)
        instance["DisableApiTermination"] = metadata.flag("DisableApiTermination", False)
        if metadata.text("RequireIMDSv2"):
            instance["HttpTokens"] = "required" if metadata.flag("RequireIMDSv2", False) else "optional"
        set_tags(instance["InstanceId"], restore.tags or {})
        return _arn("instance", instance["InstanceId"])

    def _launch_of(self, restore: Restore) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """What ministack launches the instance with, and its volumes; refuses what EC2 or IAM would."""
        metadata, point = _read(restore), restore.job["RecoveryPointArn"]
        source, image = self._instances_of[point], ec2._images[point.rpartition("/")[2]]
        instance_type, key_name = metadata.text("InstanceType") or source["InstanceType"], metadata.text("KeyName")
        subnet, groups = _network(metadata)
        self._instances.check_type(instance_type, subnet["AvailabilityZone"])
        if key_name and key_name not in ec2._key_pairs:
            raise ApiError("InvalidKeyPair.NotFound", f"The key pair '{key_name}' does not exist")
        profile = _profile(metadata, source["Profile"])
        devices = _devices(metadata, image, restore.tags or {})
        _check_rights(restore, point, subnet, groups, profile, devices)
        launch = {
            "instance_type": instance_type,
            "subnet_id": subnet["SubnetId"],
            "key_name": key_name or "",
            "sg_ids": groups,
            # Not backed up: only what the request gives.
            "user_data": metadata.text("UserData") or "",
            "requested_private_ip": _address(metadata, subnet),
            "iam_profile": profile_of(profile) if profile else None,
        }
        return launch, devices


class _ImageCopy:
    def __init__(self, instances_of: AccountRegionScopedDict, arn: str) -> None:
        image_id = arn.rpartition("/")[2]
        self._instances_of = instances_of
        self._source = dict(instances_of[arn])
        self._image, self._tags = dict(ec2._images[image_id]), tags_of(image_id)
        ids = [device["Ebs"]["SnapshotId"] for device in self._image["BlockDeviceMappings"]]
        self._snapshots = [(dict(ec2._snapshots[each]), tags_of(each)) for each in ids]

    def put(self, key: str | None) -> str:
        devices = []
        for device, (snapshot, tags) in zip(self._image["BlockDeviceMappings"], self._snapshots, strict=True):
            encrypted = {"Encrypted": True, "KmsKeyId": key} if key else {"Encrypted": snapshot["Encrypted"]}
            snapshot_id = _put_snapshot(snapshot | encrypted | {"VolumeId": "vol-ffffffff"}, tags)
            own = {"SnapshotId": snapshot_id, "Encrypted": encrypted["Encrypted"]}
            devices.append(device | {"Ebs": device["Ebs"] | own})
        arn = _put_image(self._tags.get(SOURCE_TAG, "").rpartition("/")[2], self._image, devices, self._tags)
        self._instances_of[arn] = self._source
        return arn


def _snapshot_of(mapping: dict[str, Any], tags: dict[str, str]) -> dict[str, Any]:
    """A snapshot of an attached volume, as a device of an image."""
    volume_id = mapping["Ebs"]["VolumeId"]
    volume = ec2._volumes[volume_id]
    snapshot = {
        "VolumeId": volume_id,
        "VolumeSize": volume["Size"],
        "Description": "This snapshot is created by the AWS Backup service.",
        "State": "completed",
        "Progress": "100%",
        "OwnerId": get_account_id(),
        "Encrypted": volume["Encrypted"],
        "KmsKeyId": volume.get("KmsKeyId"),
        "StorageTier": "standard",
    }
    own = {key: value for key, value in tags_of(volume_id).items() if not key.startswith("aws:")}
    snapshot_id = _put_snapshot(snapshot, with_tags_of_rule(own, tags) | {SOURCE_TAG: _arn("volume", volume_id)})
    ebs = {
        "SnapshotId": snapshot_id,
        "VolumeSize": volume["Size"],
        "VolumeType": volume["VolumeType"],
        "DeleteOnTermination": str(mapping["Ebs"]["DeleteOnTermination"]).lower(),
        "Encrypted": volume["Encrypted"],
    }
    return {"DeviceName": mapping["DeviceName"], "Ebs": ebs}


def _put_snapshot(snapshot: dict[str, Any], tags: dict[str, str]) -> str:
    """Put a snapshot into the Region; answers its id."""
    snapshot_id = ec2._new_snapshot_id()
    ec2._snapshots[snapshot_id] = snapshot | {"SnapshotId": snapshot_id, "StartTime": ec2._now_ts()}
    set_tags(snapshot_id, tags)
    return snapshot_id


def _put_image(instance_id: str, source: dict[str, Any], devices: list[dict[str, Any]], tags: dict[str, str]) -> str:
    """Put an image into the Region; answers its ARN. `source` is an instance, or another image."""
    image_id = f"ami-{secrets.token_hex(9)[:17]}"
    ec2._images[image_id] = {
        "ImageId": image_id,
        "Name": f"AwsBackup_{instance_id}_{secrets.token_hex(16)}",
        "ImageLocation": "",
        "Description": OF_BACKUP,
        "Architecture": source["Architecture"],
        "RootDeviceType": "ebs",
        "RootDeviceName": source["RootDeviceName"],
        "BlockDeviceMappings": devices,
        "VirtualizationType": "hvm",
        "CreationDate": ec2._now_ts(),
        "OwnerId": get_account_id(),
    }
    set_tags(image_id, tags)
    return f"arn:aws:ec2:{get_region()}::image/{image_id}"


def _stored(instance: dict[str, Any]) -> dict[str, str]:
    """What AWS Backup stores of an instance. It names the network of the instance's own Region."""
    groups = [group["GroupId"] for group in instance["SecurityGroups"]]
    interface = {
        "AssociatePublicIpAddress": True,
        "DeleteOnTermination": True,
        "Description": "",
        "DeviceIndex": 0,
        "Groups": groups,
        "NetworkInterfaceId": f"eni-{instance['InstanceId'][2:]}",
        "PrivateIpAddress": instance["PrivateIpAddress"],
        "SubnetId": instance["SubnetId"],
        "InterfaceType": "interface",
    }
    profile = (instance.get("IamInstanceProfile") or {}).get("Arn", "").rpartition("/")[2]
    written: dict[str, Any] = {
        "CapacityReservationSpecification": {"CapacityReservationPreference": "open"},
        "CpuOptions": {"CoreCount": 1, "ThreadsPerCore": 2},
        "HibernationOptions": {"Configured": False},
        "Monitoring": {"State": instance["Monitoring"]["State"]},
        "NetworkInterfaces": [interface],
        "Placement": {
            "AvailabilityZone": instance["Placement"]["AvailabilityZone"],
            "GroupName": "",
            "Tenancy": "default",
        },
        "SecurityGroupIds": groups,
    }
    if instance["InstanceType"].startswith("t"):
        written["CreditSpecification"] = {"CpuCredits": "standard"}
    texts = {
        "DisableApiTermination": str(bool(instance.get("DisableApiTermination"))).lower(),
        "EbsOptimized": "false",
        "InstanceInitiatedShutdownBehavior": "stop",
        "InstanceType": instance["InstanceType"],
        "SubnetId": instance["SubnetId"],
        "VpcId": instance["VpcId"],
        **({"KeyName": instance["KeyName"]} if instance.get("KeyName") else {}),
        **({"IamInstanceProfileName": profile} if profile else {}),
    }
    return texts | {key: json.dumps(value) for key, value in written.items()}


def _read(restore: Restore) -> RestoreMetadata:
    """The metadata of a restore, each value of its type."""
    metadata = RestoreMetadata(restore.metadata, KEYS, ())
    for key in OBJECTS:
        metadata.object(key)
    for key in FLAGS:
        metadata.flag(key, False)
    for key in LISTS:
        metadata.objects(key)
    return metadata


def _network(metadata: RestoreMetadata) -> tuple[dict[str, Any], list[str]]:
    """The subnet and the security groups of the instance, by default those of the default VPC."""
    subnet_id, groups = metadata.text("SubnetId"), metadata.texts("SecurityGroupIds")
    interfaces, placement = metadata.objects("NetworkInterfaces"), metadata.object("Placement") or {}
    zone = placement.get("AvailabilityZone")
    for given, what in ((subnet_id, "an instance-level subnet ID"), (groups, "instance-level security groups")):
        if interfaces and given:
            raise ApiError(
                "InvalidParameterCombination",
                f"Network interfaces and {what} may not be specified on the same request",
            )
    if interfaces:
        interface_id = interfaces[0].get("NetworkInterfaceId")
        if interface_id and interface_id not in ec2._network_interfaces:
            raise ApiError(
                "InvalidNetworkInterfaceID.NotFound", f"The networkInterface ID '{interface_id}' does not exist"
            )
        subnet_id, groups = interfaces[0].get("SubnetId"), interfaces[0].get("Groups")
    if zone and not zone.startswith(get_region()):
        raise ApiError("InvalidParameterValue", f"Invalid availability zone: [{zone}]")
    subnet = subnet_of(subnet_id or default_subnet(zone))
    if subnet is None:
        raise ApiError("InvalidSubnetID.NotFound", f"The subnet ID '{subnet_id}' does not exist")
    if zone and subnet["AvailabilityZone"] != zone:
        raise ApiError("InvalidParameterValue", f"Subnet {subnet['SubnetId']} is not in the Availability Zone {zone}")
    for group in groups or ():
        if group not in ec2._security_groups:
            raise ApiError("InvalidGroup.NotFound", f"The security group '{group}' does not exist")
    outside = first_group_outside(groups or [], subnet["VpcId"])
    if outside:
        raise ApiError(
            "InvalidParameter",
            f"Security group {outside} and subnet {subnet['SubnetId']} belong to different networks.",
        )
    return subnet, groups or default_group(subnet["VpcId"])


def _address(metadata: RestoreMetadata, subnet: dict[str, Any]) -> str:
    """The private address: the one that is asked for, else the first that is free."""
    wanted = metadata.text("PrivateIpAddress")
    if wanted is None:
        address = free_address(subnet)
        if address is None:
            raise ApiError(
                "InsufficientFreeAddressesInSubnet",
                f"There are not enough free addresses in subnet '{subnet['SubnetId']}' to satisfy the requested "
                "number of instances.",
            )
        return address
    if ipaddress.ip_address(wanted) not in ipaddress.ip_network(subnet["CidrBlock"]):
        raise ApiError("InvalidParameterValue", f"Address {wanted} does not fall within the subnet's address range")
    if wanted in used_addresses(subnet):
        raise ApiError("InvalidIPAddress.InUse", f"Address {wanted} is in use.")
    return wanted


def _profile(metadata: RestoreMetadata, backed_up: str) -> str | None:
    """The name of the instance profile: the one that was backed up, or none."""
    wanted = metadata.text("IamInstanceProfileName")
    if wanted is None:
        return None
    if wanted != BACKED_UP:
        raise _invalid(f"IamInstanceProfileName is {BACKED_UP} or left out, not {wanted}")
    return backed_up or None


def _devices(metadata: RestoreMetadata, image: dict[str, Any], tags: dict[str, str]) -> list[dict[str, Any]]:
    """The volumes of the instance: those of the image, as the metadata change them."""
    wanted: dict[str, dict[str, Any]] = {}
    for mapping in metadata.objects("BlockDeviceMappings") or []:
        ebs = mapping.get("Ebs") or {}
        if "SnapshotId" in ebs:
            raise _invalid("BlockDeviceMappings must not name a SnapshotId: the snapshots are those of the image")
        wanted[mapping.get("DeviceName", "")] = ebs
    known = [device["DeviceName"] for device in image["BlockDeviceMappings"]]
    for device in wanted:
        if device not in known:
            raise ApiError("InvalidBlockDeviceMapping", f"The image has no device {device}: {', '.join(known)}")
    return [_device(device, wanted.get(device["DeviceName"], {}), tags) for device in image["BlockDeviceMappings"]]


def _device(device: dict[str, Any], given: dict[str, Any], tags: dict[str, str]) -> dict[str, Any]:
    own, snapshot = device["Ebs"], ec2._snapshots[device["Ebs"]["SnapshotId"]]
    encrypted, key = _flag(given, "Encrypted", snapshot["Encrypted"]), given.get("KmsKeyId")
    if key and not _flag(given, "Encrypted", False):
        raise ApiError(
            "InvalidParameterDependency", "The parameter KmsKeyId requires the parameter Encrypted to be set."
        )
    if snapshot["Encrypted"] and not encrypted:
        raise ApiError("InvalidParameterValue", f"Volume of an encrypted snapshot must be encrypted: {device}")
    if key:
        found = kms._resolve_key(key)
        if found is None or found["KeyState"] != "Enabled" or f":{get_region()}:" not in found["Arn"]:
            raise ApiError("InvalidParameterValue", f"The KMS key {key} is not a usable key of {get_region()}")
    default = f"arn:aws:kms:{get_region()}:{get_account_id()}:alias/aws/ebs"
    volume = {
        "tags": tags,
        "size": int(given["VolumeSize"]) if given.get("VolumeSize") else None,
        "snapshot_id": own["SnapshotId"],
        "volume_type": given.get("VolumeType") or own["VolumeType"],
        "iops": given.get("Iops"),
        "throughput": given.get("Throughput"),
        "encrypted": encrypted,
        "kms_key_id": (key or snapshot.get("KmsKeyId") or default) if encrypted else None,
    }
    # The volumes of an instance go with it unless it says otherwise.
    gone = _flag(given, "DeleteOnTermination", own["DeleteOnTermination"] == "true")
    return {"DeviceName": device["DeviceName"], "Volume": volume, "DeleteOnTermination": gone}


def _check_rights(
    restore: Restore,
    point: str,
    subnet: dict[str, Any],
    groups: list[str],
    profile: str | None,
    devices: list[dict[str, Any]],
) -> None:
    """What EC2 asks of who runs an instance with these."""
    try:
        for action in ("DescribeImages", "DescribeInstances"):
            restore.require(f"ec2:{action}", "*")
        created = [_arn(kind, "*") for kind in ("instance", "network-interface", "volume")]
        named = [_arn("subnet", subnet["SubnetId"]), *(_arn("security-group", each) for each in groups)]
        for arn in (point, *created, *named):
            restore.require("ec2:RunInstances", arn)
        if restore.tags:
            for kind in ("instance", "volume"):
                restore.require("ec2:CreateTags", _arn(kind, "*"), **{"ec2:CreateAction": "RunInstances"})
        if profile:
            for role in _roles_of(profile):
                restore.require("iam:PassRole", role, **{"iam:PassedToService": "ec2.amazonaws.com"})
        for key in {device["Volume"]["kms_key_id"] for device in devices} - {None}:
            _check_key(restore, key)
    except ApiError as error:
        if error.code != "AccessDeniedException":
            raise
        raise ApiError(
            "UnauthorizedOperation",
            f"You are not authorized to perform this operation. {error.message}. Encoded authorization failure "
            f"message: {secrets.token_urlsafe(48)}",
        ) from error


def _check_key(restore: Restore, key: str) -> None:
    found = kms._resolve_key(key)
    for action in KEY_ACTIONS if found else ():
        context = {"kms:ViaService": f"ec2.{get_region()}.amazonaws.com"}
        if action == "kms:CreateGrant":
            context["kms:GrantIsForAWSResource"] = "true"
        restore.require(action, found["Arn"], **context)


def _roles_of(profile: str) -> list[str]:
    """The ARNs of the roles of an instance profile."""
    roles = (iam._instance_profiles.get(profile) or {}).get("Roles", [])
    names = [each if isinstance(each, str) else each["RoleName"] for each in roles]
    return [iam._roles[name]["Arn"] for name in names]


def _flag(given: dict[str, Any], name: str, default: bool) -> bool:
    return str(given.get(name, default)).lower() == "true"


def _arn(kind: str, resource_id: str) -> str:
    return f"arn:aws:ec2:{get_region()}:{get_account_id()}:{kind}/{resource_id}"


def _invalid(what: str) -> ApiError:
    return ApiError("InvalidParameterValueException", f"Invalid restore metadata. {what}")
