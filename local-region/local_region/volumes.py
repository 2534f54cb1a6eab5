"""EBS volumes: creation from snapshots, and attachment with the checks EC2 makes."""

import asyncio
import re
from typing import Any

from ministack.core.responses import get_account_id, get_region
from ministack.services import ec2, kms

from local_region.api_error import ApiError
from local_region.ec2_filters import Reader, filters_of, fulfils
from local_region.event_bus import EventBus
from local_region.journal import Journal
from local_region.operations import Answer, add_ec2_actions
from local_region.pages import page
from local_region.pending_work import PendingWork
from local_region.settings import Settings

# The 28 attachments most Nitro types share between volumes and network interfaces, less the one interface.
ATTACHMENT_LIMIT = 27
# The names that the guide lists, with and without /dev/: a digit behind it only for paravirtual instances.
DEVICE_NAME = re.compile(r"(/dev/)?((sd|hd)[a-z]([1-9]|1[0-5])?|xvd([a-d][a-z]|[a-z]))")
MULTI_ATTACH_LIMIT = 16
# What a tester can let stand between a volume, or those made of a snapshot, and its instance: a product code of AWS
# Marketplace, or a guest that uses the device name itself, so that the attachment stays `attaching`.
TROUBLES = ("product-code", "stuck")


def _flag(value: Any) -> str:
    return "true" if value else "false"


# DescribeVolumes' filters, without those on tags.
FILTERS: dict[str, Reader] = {
    "attachment.attach-time": lambda v: [a["AttachTime"] for a in v["Attachments"]],
    "attachment.delete-on-termination": lambda v: [_flag(a["DeleteOnTermination"]) for a in v["Attachments"]],
    "attachment.device": lambda v: [a["Device"] for a in v["Attachments"]],
    "attachment.instance-id": lambda v: [a["InstanceId"] for a in v["Attachments"]],
    "attachment.status": lambda v: [a["State"] for a in v["Attachments"]],
    "availability-zone": lambda v: v["AvailabilityZone"],
    "create-time": lambda v: v["CreateTime"],
    "encrypted": lambda v: _flag(v["Encrypted"]),
    "multi-attach-enabled": lambda v: _flag(v["MultiAttachEnabled"]),
    "size": lambda v: str(v["Size"]),
    "snapshot-id": lambda v: v.get("SnapshotId") or "",
    "status": lambda v: v["State"],
    "volume-id": lambda v: v["VolumeId"],
    "volume-type": lambda v: v["VolumeType"],
}


class Volumes:
    """The Region's volumes."""

    def __init__(self, settings: Settings, journal: Journal, pending: PendingWork, events: EventBus) -> None:
        self._settings = settings
        self._journal = journal
        self._pending = pending
        self._events = events
        self._troubles: dict[str, str] = {}
        self._modified_by_ministack = ec2._ACTION_MAP["ModifyVolume"]
        self._modifications_by_ministack = ec2._ACTION_MAP["DescribeVolumesModifications"]
        # Volumes under modification.
        self._modifying: set[str] = set()
        self._create_by_ministack = ec2._create_volume
        add_ec2_actions(
            {
                "AttachVolume": self._attach_volume,
                "CreateVolume": self._create_volume,
                "DeleteVolume": self._delete_volume,
                "DescribeVolumes": self._describe_volumes,
                "DescribeVolumesModifications": self._describe_modifications,
                "DetachVolume": self._detach_volume,
                "ModifyVolume": self._modify_volume,
            }
        )

    def create(
        self,
        zone: str,
        tags: dict[str, str],
        size: int | None = None,
        snapshot_id: str | None = None,
        volume_type: str = "gp3",
        iops: int | None = None,
        throughput: int | None = None,
        encrypted: bool = False,
        multi_attach: bool = False,
        kms_key_id: str | None = None,
    ) -> str:
        """Create a volume, from a snapshot when one is named; answers its id."""
        snapshot = ec2._snapshots.get(snapshot_id) if snapshot_id else None
        if snapshot_id and snapshot is None:
            raise ApiError("InvalidSnapshot.NotFound", f"The snapshot '{snapshot_id}' does not exist.")
        _check_zone(zone)
        if size is None and snapshot is None:
            raise ApiError("MissingParameter", "The request must contain the parameter size or snapshotId")
        if snapshot and size is not None and size < snapshot["VolumeSize"]:
            raise ApiError(
                "InvalidParameterValue",
                f"The size of a volume can't be less than its snapshot's: {size} GiB, {snapshot['VolumeSize']} GiB.",
            )
        volume_id = ec2._new_volume_id()
        ec2._volumes[volume_id] = {
            "VolumeId": volume_id,
            "Size": size or snapshot["VolumeSize"],
            "AvailabilityZone": zone,
            "State": "available",
            "VolumeType": volume_type,
            "SnapshotId": snapshot_id or "",
            "Iops": iops or (3000 if volume_type == "gp3" else 100),
            "Throughput": throughput or (125 if volume_type == "gp3" else 0),
            "Encrypted": encrypted or bool(kms_key_id) or bool(snapshot and snapshot.get("Encrypted")),
            "KmsKeyId": _key_arn(kms_key_id),
            "CreateTime": ec2._now_ts(),
            "Attachments": [],
            "MultiAttachEnabled": multi_attach,
        }
        set_tags(volume_id, tags)
        return volume_id

    def delete(self, volume_id: str) -> None:
        """Delete a volume, attached or not."""
        ec2._volumes.pop(volume_id, None)
        ec2._tags.pop(volume_id, None)

    def delete_detached(self, volume_id: str, dry_run: bool = False) -> None:
        """Delete a volume as DeleteVolume does: it must not be attached."""
        volume = existing_volume(volume_id)
        if volume["Attachments"]:
            instances = ", ".join(attachment["InstanceId"] for attachment in volume["Attachments"])
            raise ApiError("VolumeInUse", f"Volume {volume_id} is currently attached to {instances}")
        if dry_run:
            raise ApiError("DryRunOperation", "Request would have succeeded, but DryRun flag is set.", 412)
        self.delete(volume_id)

    def attach(self, volume_id: str, instance_id: str, device: str, dry_run: bool = False) -> dict[str, Any]:
        """Attach a volume to an instance after EC2's checks; answers the attachment, in state `attaching`."""
        volume, instance = existing_volume(volume_id), existing_instance(instance_id)
        if not device:
            raise ApiError("MissingParameter", "The request must contain the parameter device")
        if not DEVICE_NAME.fullmatch(device):
            raise ApiError(
                "InvalidParameterValue",
                f"Value ({device}) for parameter device is invalid. {device} is not a valid EBS device name.",
            )
        if dry_run:
            raise ApiError("DryRunOperation", "Request would have succeeded, but DryRun flag is set.", 412)
        if volume_id in self._modifying:
            raise ApiError(
                "OperationNotPermitted",
                f"Cannot attach volume {volume_id} when it is in modification state: MODIFYING",
            )
        trouble = self._trouble(volume)
        if trouble == "product-code" and instance["State"]["Name"] != "stopped":
            raise ApiError(
                "IncorrectInstanceState",
                f"Cannot attach volume '{volume_id}' with Marketplace codes as the instance '{instance_id}' is not in "
                "the 'stopped' state.",
            )
        _check_attachable(volume, instance, device)
        if _key_trouble(volume):
            raise ApiError(
                "CustomerKeyHasBeenRevoked",
                f"Volume {volume_id} cannot be attached. The encrypted volume was unable to access the KMS key.",
            )
        attachment = {
            "VolumeId": volume_id,
            "InstanceId": instance_id,
            "Device": device,
            "State": "attaching",
            "AttachTime": ec2._now_ts(),
            "DeleteOnTermination": False,
        }
        mapping = {
            "DeviceName": device,
            "Ebs": {
                "VolumeId": volume_id,
                "Status": "attaching",
                "AttachTime": attachment["AttachTime"],
                "DeleteOnTermination": False,
            },
        }
        volume["Attachments"].append(attachment)
        volume["State"] = "in-use"
        instance.setdefault("BlockDeviceMappings", []).append(mapping)
        self._journal.record("volume-attached", volumeId=volume_id, instanceId=instance_id, device=device)
        if trouble != "stuck":
            self._pending.start("attachment", self._complete(attachment, mapping))
        return attachment

    def attach_at_launch(
        self, volume_id: str, instance: dict[str, Any], device: str, delete_on_termination: bool
    ) -> None:
        """Attach a volume to an instance that is being launched with it."""
        volume, now = ec2._volumes[volume_id], ec2._now_ts()
        own = {"VolumeId": volume_id, "AttachTime": now, "DeleteOnTermination": delete_on_termination}
        volume["State"] = "in-use"
        volume["Attachments"] = [own | {"InstanceId": instance["InstanceId"], "Device": device, "State": "attached"}]
        instance["BlockDeviceMappings"].append({"DeviceName": device, "Ebs": own | {"Status": "attached"}})

    def let_have(self, resource_id: str, trouble: str | None) -> dict[str, str]:
        """Let a volume, or those made of a snapshot, have one of `TROUBLES`, or none; answers all there are."""
        self._troubles.pop(resource_id, None)
        if trouble:
            self._troubles[resource_id] = trouble
        return dict(self._troubles)

    def _trouble(self, volume: dict[str, Any]) -> str | None:
        return self._troubles.get(volume["VolumeId"]) or self._troubles.get(volume["SnapshotId"])

    def detach(self, volume_id: str, instance_id: str | None = None) -> dict[str, Any]:
        """Detach a volume; answers the attachment that was."""
        volume = existing_volume(volume_id)
        found = [a for a in volume["Attachments"] if instance_id in (None, "", a["InstanceId"])]
        if not found:
            raise ApiError("IncorrectState", f"Volume '{volume_id}' is in the 'available' state.")
        attachment = found[0]
        volume["Attachments"].remove(attachment)
        volume["State"] = "in-use" if volume["Attachments"] else "available"
        instance = ec2._instances.get(attachment["InstanceId"], {})
        instance["BlockDeviceMappings"] = [
            m for m in instance.get("BlockDeviceMappings", []) if m["Ebs"]["VolumeId"] != volume_id
        ]
        return attachment | {"State": "detaching"}

    async def _complete(self, attachment: dict[str, Any], mapping: dict[str, Any]) -> None:
        await asyncio.sleep(self._settings.attach_seconds)
        volume = ec2._volumes.get(attachment["VolumeId"])
        cause = volume and _key_trouble(volume)
        if cause and attachment in volume["Attachments"]:
            # EC2 accepted it, and takes it back without an answer to anybody.
            self.detach(volume["VolumeId"], attachment["InstanceId"])
            detail = {"result": "failed", "cause": cause, "event": "attachVolume", "request-id": ""}
            resources = [volume_arn(volume["VolumeId"]), volume["KmsKeyId"]]
            self._events.publish("aws.ec2", "EBS Volume Notification", detail, resources)
            return
        attachment["State"] = mapping["Ebs"]["Status"] = "attached"

    def _modify_volume(self, params: dict[str, Any]) -> Answer:
        answer = self._modified_by_ministack(params)
        if answer[0] == 200:
            volume_id = _volume_id(params)
            self._modifying.add(volume_id)
            self._pending.start("modification", self._end_modification(volume_id))
            answer = _in_state(answer, "modifying")
        return answer

    async def _end_modification(self, volume_id: str) -> None:
        await asyncio.sleep(self._settings.modify_seconds)
        self._modifying.discard(volume_id)

    def _describe_modifications(self, params: dict[str, Any]) -> Answer:
        answer = self._modifications_by_ministack(params)
        under_way = self._modifying.intersection(ec2._parse_member_list(params, "VolumeId") or self._modifying)
        return _in_state(answer, "modifying") if under_way else answer

    def _attach_volume(self, params: dict[str, Any]) -> Answer:
        volume_id, instance_id = _volume_id(params), ec2._p(params, "InstanceId")
        attachment = self.attach(volume_id, instance_id, ec2._p(params, "Device"), ec2._p(params, "DryRun") == "true")
        return ec2._xml(200, "AttachVolumeResponse", _attachment_xml(attachment))

    def _detach_volume(self, params: dict[str, Any]) -> Answer:
        attachment = self.detach(_volume_id(params), ec2._p(params, "InstanceId"))
        return ec2._xml(200, "DetachVolumeResponse", _attachment_xml(attachment))

    def _delete_volume(self, params: dict[str, Any]) -> Answer:
        self.delete_detached(_volume_id(params), ec2._p(params, "DryRun") == "true")
        return ec2._xml(200, "DeleteVolumeResponse", "<return>true</return>")

    def _create_volume(self, params: dict[str, Any]) -> Answer:
        def number(name: str) -> int | None:
            return int(ec2._p(params, name)) if ec2._p(params, name) else None

        if not ec2._p(params, "AvailabilityZone"):
            raise ApiError("MissingParameter", "The request must contain the parameter AvailabilityZone")
        volume_id = self.create(
            ec2._p(params, "AvailabilityZone"),
            {},
            number("Size"),
            ec2._p(params, "SnapshotId") or None,
            ec2._p(params, "VolumeType") or "gp2",
            number("Iops"),
            number("Throughput"),
            ec2._p(params, "Encrypted") == "true",
            ec2._p(params, "MultiAttachEnabled") == "true",
            ec2._p(params, "KmsKeyId") or None,
        )
        ec2._parse_tag_specs(params, "volume", volume_id)
        return ec2._xml(200, "CreateVolumeResponse", ec2._volume_inner_xml(ec2._volumes[volume_id]))

    def _describe_volumes(self, params: dict[str, Any]) -> Answer:
        ids, filters = ec2._parse_member_list(params, "VolumeId"), filters_of(params, FILTERS)
        for volume_id in ids:
            _check_id(volume_id)
        missing = [volume_id for volume_id in ids if volume_id not in ec2._volumes]
        if len(missing) == 1:
            raise ApiError("InvalidVolume.NotFound", f"The volume '{missing[0]}' does not exist.")
        if missing:
            raise ApiError("InvalidVolume.NotFound", f"The volumes '{', '.join(missing)}' do not exist.")
        found = [
            volume
            for volume in ec2._volumes.values()
            if (not ids or volume["VolumeId"] in ids) and fulfils(volume["VolumeId"], volume, filters, FILTERS)
        ]
        return paged_xml(
            "DescribeVolumesResponse", "volumeSet", params, [f"<item>{_volume_xml(v)}</item>" for v in found]
        )


def _volume_xml(volume: dict[str, Any]) -> str:
    key = volume.get("KmsKeyId")
    return ec2._volume_inner_xml(volume) + (f"<kmsKeyId>{key}</kmsKeyId>" if key else "")


def _in_state(answer: Answer, state: str) -> Answer:
    """An answer of ministack, whose modifications are always completed, with this state of them."""
    status, headers, body = answer
    for name, value in (("modificationState", state), ("progress", "0"), ("endTime", None)):
        shown = b"" if value is None else f"<{name}>{value}</{name}>".encode()
        body = re.sub(rf"<{name}>[^<]*</{name}>".encode(), shown, body)
    return status, headers, body


def _key_arn(key_id: str | None) -> str | None:
    key = kms._resolve_key(key_id) if key_id else None
    return key["Arn"] if key else key_id


def _key_trouble(volume: dict[str, Any]) -> str | None:
    """Why the key of a volume cannot be used, in the words of the event that EBS sends."""
    arn = volume.get("KmsKeyId")
    key = kms._resolve_key(arn) if arn else None
    reasons = {"Disabled": "is disabled", "PendingDeletion": "is pending deletion"}
    reason = reasons.get(key["KeyState"]) if key else None
    return f"{arn} {reason}." if reason else None


def paged_xml(response: str, element: str, params: dict[str, Any], items: list[str]) -> Answer:
    """The page of an EC2 list that a request's MaxResults and NextToken ask for."""
    size = int(ec2._p(params, "MaxResults")) if ec2._p(params, "MaxResults") else None
    if size is not None and size < 5:
        raise ApiError(
            "InvalidParameterValue",
            f"Value ( {size} ) for parameter maxResults is invalid. Expecting a value greater than 5.",
        )
    shown, token = page(items, size, ec2._p(params, "NextToken") or None)
    next_token = f"<nextToken>{token}</nextToken>" if token else ""
    return ec2._xml(200, response, f"<{element}>{''.join(shown)}</{element}>{next_token}")


def set_tags(resource_id: str, tags: dict[str, str]) -> None:
    """Give an EC2 resource exactly these tags."""
    ec2._tags[resource_id] = [{"Key": key, "Value": value} for key, value in tags.items()]


def tags_of(resource_id: str) -> dict[str, str]:
    """The tags of an EC2 resource."""
    return {tag["Key"]: tag.get("Value", "") for tag in ec2._tags.get(resource_id, [])}


def volume_arn(volume_id: str) -> str:
    """A volume's ARN in the current account and Region."""
    return f"arn:aws:ec2:{get_region()}:{get_account_id()}:volume/{volume_id}"


def _check_attachable(volume: dict[str, Any], instance: dict[str, Any], device: str) -> None:
    volume_id, instance_id = volume["VolumeId"], instance["InstanceId"]
    if instance["State"]["Name"] not in ("running", "stopped"):
        raise ApiError("IncorrectState", f"Instance '{instance_id}' is not 'running'.")
    if volume["State"] == "in-use":
        attached = [a["InstanceId"] for a in volume["Attachments"]]
        if not volume["MultiAttachEnabled"] or instance_id in attached:
            raise ApiError("VolumeInUse", f"{volume_id} is already attached to an instance")
        if len(attached) >= MULTI_ATTACH_LIMIT:
            raise ApiError(
                "AttachmentLimitExceeded", f"{volume_id} is attached to {MULTI_ATTACH_LIMIT} instances already"
            )
    elif volume["State"] != "available":
        raise ApiError("IncorrectState", f"{volume_id} is not 'available'.")
    if volume["AvailabilityZone"] != instance["Placement"]["AvailabilityZone"]:
        raise ApiError(
            "InvalidVolume.ZoneMismatch",
            f"The volume '{volume_id}' is not in the same availability zone as instance '{instance_id}'",
        )
    mappings = instance.get("BlockDeviceMappings", [])
    if device in [mapping["DeviceName"] for mapping in mappings]:
        raise ApiError(
            "InvalidParameterValue",
            f"Invalid value '{device}' for unixDevice. Attachment point {device} is already in use",
        )
    if len(mappings) >= ATTACHMENT_LIMIT:
        raise ApiError(
            "AttachmentLimitExceeded",
            f"Volume count for instance {instance_id} would exceed its limit of {ATTACHMENT_LIMIT}.",
        )


def _check_zone(zone: str) -> None:
    if not re.fullmatch(rf"{get_region()}[a-z]", zone):
        raise ApiError("InvalidZone.NotFound", f"The zone '{zone}' does not exist.")


def _check_id(volume_id: str) -> None:
    if not re.fullmatch(r"vol-[0-9a-f]{8}([0-9a-f]{9})?", volume_id):
        raise ApiError(
            "InvalidParameterValue", f"Value ({volume_id}) for parameter volumeId is invalid. Expected: 'vol-...'."
        )


def existing_volume(volume_id: str) -> dict[str, Any]:
    """A volume, or the error of a volume that does not exist."""
    _check_id(volume_id)
    volume = ec2._volumes.get(volume_id)
    if volume is None:
        raise ApiError("InvalidVolume.NotFound", f"The volume '{volume_id}' does not exist.")
    return volume


def existing_instance(instance_id: str) -> dict[str, Any]:
    """An instance, or the error of an instance that does not exist."""
    if not re.fullmatch(r"i-[0-9a-f]{8}([0-9a-f]{9})?", instance_id):
        raise ApiError("InvalidInstanceID.Malformed", f'Invalid id: "{instance_id}"')
    instance = ec2._instances.get(instance_id)
    if instance is None:
        raise ApiError("InvalidInstanceID.NotFound", f"The instance ID '{instance_id}' does not exist")
    return instance


def _volume_id(params: dict[str, Any]) -> str:
    volume_id = ec2._p(params, "VolumeId")
    if not volume_id:
        raise ApiError("MissingParameter", "The request must contain the parameter volumeId")
    return volume_id


def _attachment_xml(attachment: dict[str, Any]) -> str:
    return (
        f"<volumeId>{attachment['VolumeId']}</volumeId><instanceId>{attachment['InstanceId']}</instanceId>"
        f"<device>{attachment['Device']}</device><status>{attachment['State']}</status>"
        f"<attachTime>{attachment['AttachTime']}</attachTime>"
        f"<deleteOnTermination>{str(attachment['DeleteOnTermination']).lower()}</deleteOnTermination>"
    )
