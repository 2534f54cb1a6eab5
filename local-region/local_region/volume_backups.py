"""AWS Backup of EBS volumes: a recovery point is a snapshot, and its ARN and tags are EC2's."""

from typing import Any

from ministack.core.responses import get_account_id, get_region
from ministack.services import ec2

from local_region.api_error import ApiError
from local_region.backup_types import NewRecoveryPoint, Restore, with_tags_of_rule
from local_region.volumes import Volumes, set_tags, tags_of, volume_arn

# The system tag AWS Backup puts on the snapshots it makes.
SOURCE_TAG = "aws:backup:source-resource"


class VolumeBackups:
    """Backs up and restores volumes."""

    name = "EBS"

    def __init__(self, volumes: Volumes) -> None:
        self._volumes = volumes

    def covers(self, resource_arn: str) -> bool:
        """Whether a resource is a volume that exists."""
        return ":volume/" in resource_arn and resource_arn.rpartition("/")[2] in ec2._volumes

    def back_up(self, resource_arn: str, tags: dict[str, str]) -> NewRecoveryPoint:
        """Take a snapshot of a volume."""
        volume_id, snapshot_id = resource_arn.rpartition("/")[2], ec2._new_snapshot_id()
        volume = ec2._volumes[volume_id]
        ec2._snapshots[snapshot_id] = {
            "SnapshotId": snapshot_id,
            "VolumeId": volume_id,
            "VolumeSize": volume["Size"],
            "Description": "This snapshot is created by the AWS Backup service.",
            "State": "completed",
            "StartTime": ec2._now_ts(),
            "Progress": "100%",
            "OwnerId": get_account_id(),
            "Encrypted": volume["Encrypted"],
            "StorageTier": "standard",
        }
        own = tags_of(volume_id)
        set_tags(snapshot_id, with_tags_of_rule(own, tags) | {SOURCE_TAG: resource_arn})
        return NewRecoveryPoint(
            _snapshot_arn(snapshot_id),
            volume["Size"] << 30,
            volume["Encrypted"],
            # What is stored with an EBS backup names no zone: whoever restores has to choose one.
            {"encrypted": str(volume["Encrypted"]).lower(), "volumeId": volume_id},
            own,
        )

    def copy(self, point: dict[str, Any]) -> "_SnapshotCopy":
        """A snapshot, ready to be put into another vault."""
        snapshot_id = point["RecoveryPointArn"].rpartition("/")[2]
        return _SnapshotCopy(dict(ec2._snapshots[snapshot_id]), tags_of(snapshot_id))

    def check(self, metadata: dict[str, str]) -> None:
        """A zone must be named."""
        if not metadata.get("availabilityZone"):
            raise ApiError(
                "InvalidParameterValueException",
                "Metadata must hold availabilityZone: the Availability Zone to restore the volume into",
            )

    def metadata_of_test(self, _job_id: str, _point: dict[str, Any]) -> dict[str, str]:
        """A zone."""
        return {"availabilityZone": f"{get_region()}a"}

    def begin(self, restore: Restore) -> None:
        """A volume is there at the end at once."""

    def abandon(self, restore: Restore) -> None:
        """Nothing was made."""

    def finish(self, restore: Restore) -> str:
        """Make the volume."""
        metadata = restore.metadata
        numbers = {
            name: int(metadata[name]) if metadata.get(name) else None for name in ("volumeSize", "iops", "throughput")
        }
        return volume_arn(
            self._volumes.create(
                metadata["availabilityZone"],
                # A restored volume has no tags of its own unless the caller asks for them.
                restore.tags or {},
                numbers["volumeSize"],
                restore.job["RecoveryPointArn"].rpartition("/")[2],
                metadata.get("volumeType") or "gp3",
                numbers["iops"],
                numbers["throughput"],
                metadata.get("encrypted") == "true",
                kms_key_id=metadata.get("kmsKeyId") or None,
            )
        )


class _SnapshotCopy:
    def __init__(self, snapshot: dict[str, Any], tags: dict[str, str]) -> None:
        self._snapshot = snapshot
        self._tags = tags

    def put(self, _key: str | None) -> str:
        snapshot_id = ec2._new_snapshot_id()
        # EC2 gives a copy the id of no volume (model of CopySnapshot: an arbitrary one).
        ec2._snapshots[snapshot_id] = self._snapshot | {
            "SnapshotId": snapshot_id,
            "VolumeId": "vol-ffffffff",
            "StartTime": ec2._now_ts(),
        }
        set_tags(snapshot_id, self._tags)
        return _snapshot_arn(snapshot_id)


def _snapshot_arn(snapshot_id: str) -> str:
    return f"arn:aws:ec2:{get_region()}::snapshot/{snapshot_id}"
