"""AWS Backup of S3 buckets: a recovery point is AWS Backup's own, and a restore puts objects into a bucket."""

import datetime
import secrets
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

from ministack.core.responses import AccountRegionScopedDict, get_account_id, get_region
from ministack.services import kms, s3

from local_region.api_error import ApiError
from local_region.backup_types import NewRecoveryPoint, Restore
from local_region.buckets import bucket_arn, owner_is_enforced
from local_region.restore_metadata import RestoreMetadata

# The keys of a restore: those of the guide, and those that AWS Backup's own restore tests and console send.
KEYS = (
    "CreationToken",
    "DestinationBucketName",
    "Encrypted",
    "EncryptionType",
    "ItemsToRestore",
    "KMSKey",
    "NewBucket",
    "RestoreACLs",
    "RestoreLatestVersionsUpTo",
    "RestoreTime",
    "aws:backup:request-id",
)
ENCRYPTIONS = ("original", "SSE-S3", "SSE-KMS")
MOST_ITEMS = 5
# What a backup leaves out on request: names of options.
ACLS, TAGS = "S3BackupACLs", "S3BackupObjectTags"
# What AWS Backup asks S3 about the destination.
BUCKET_ACTIONS = ("GetBucketLocation", "GetBucketOwnershipControls", "GetBucketVersioning", "ListBucket")
NEW_BUCKET_ACTIONS = ("CreateBucket", "PutBucketOwnershipControls", "PutBucketVersioning")
NOTIFY = "To get notified of these failures, enable SNS event notifications."
LONGEST_NAME = 63

Objects = dict[str, list[dict[str, Any]]]


class BucketBackups:
    """Backs up and restores buckets."""

    name = "S3"

    def __init__(self) -> None:
        # Of a recovery point, the Region of its bucket, its name, and its objects.
        self._snapshots = AccountRegionScopedDict()
        self._failures: list[dict[str, Any]] = []

    def fail_objects(self, keys: list[str], recovery_point_arn: str | None, count: int) -> None:
        """Have the next `count` restores, of a recovery point or of any, not restore the objects with these keys."""
        self._failures.append({"keys": keys, "recoveryPointArn": recovery_point_arn, "count": count})

    def object_failures(self) -> list[dict[str, Any]]:
        """The failures that are still to come."""
        return [failure for failure in self._failures if failure["count"]]

    def forget_object_failures(self) -> None:
        """Let all restores do as they can."""
        self._failures.clear()

    def covers(self, resource_arn: str) -> bool:
        """Whether a resource is a bucket that exists in this Region."""
        name = resource_arn.rpartition(":")[2]
        return resource_arn == bucket_arn(name) and name in s3._buckets and s3.bucket_region(name) == get_region()

    def back_up(self, resource_arn: str, _tags: dict[str, str]) -> NewRecoveryPoint:
        """Keep the objects of a bucket, which must be versioned, with all their versions."""
        name = resource_arn.rpartition(":")[2]
        if s3._bucket_versioning.get(name) != "Enabled":
            raise ApiError("InvalidRequestException", f"Versioning is not enabled on bucket {name}")
        objects = _objects(name)
        arn = _own_arn(name)
        self._snapshots[arn] = {"region": get_region(), "bucket": name, "objects": objects}
        # What AWS itself has tagged is not the owner's.
        own = {key: value for key, value in s3._bucket_tags.get(name, {}).items() if not key.startswith("aws:")}
        size = sum(version["size"] for versions in objects.values() for version in versions)
        # The vault's key encrypts it.
        return NewRecoveryPoint(arn, size, True, {}, own)

    def copy(self, point: dict[str, Any]) -> "_BucketCopy":
        """A bucket, ready to be put into another vault."""
        return _BucketCopy(self._snapshots, self._snapshots[point["RecoveryPointArn"]])

    def check(self, metadata: dict[str, str]) -> None:
        """What is wrong with the metadata shows when the job runs."""

    def metadata_of_test(self, job_id: str, point: dict[str, Any]) -> dict[str, str]:
        """A new bucket."""
        return {
            "DestinationBucketName": f"awsbackup-restore-test-{job_id.lower()}"[:LONGEST_NAME],
            "Encrypted": "true",
            "EncryptionType": "SSE-S3",
            "NewBucket": "true",
            "RestoreACLs": _flag(_has(ACLS, point["_options"])),
        }

    def begin(self, restore: Restore) -> None:
        """Check the destination, or make it."""
        if restore.tags is not None:
            raise ApiError("InvalidRequestException", "Copying source tags is not supported for S3 restores")
        metadata = RestoreMetadata(restore.metadata, KEYS, ("DestinationBucketName",))
        snapshot = self._snapshots[restore.job["RecoveryPointArn"]]
        name, with_acls = metadata.text("DestinationBucketName"), _with_acls(metadata, restore)
        _encryption(metadata, snapshot)
        _versions_wanted(metadata)
        _items(metadata, snapshot["bucket"])
        if metadata.text("RestoreTime"):
            raise _invalid("RestoreTime is for continuous backups only")
        is_new = metadata.flag("NewBucket", False)
        for action in (*(NEW_BUCKET_ACTIONS if is_new else ()), *BUCKET_ACTIONS):
            restore.require(f"s3:{action}", bucket_arn(name))
        if is_new:
            _create(name, with_acls)
            restore.created = name
        _check_destination(name, with_acls)

    def abandon(self, restore: Restore) -> None:
        """A new bucket goes. Objects of an existing one stay."""
        if restore.created and not s3._buckets[restore.created]["objects"]:
            s3._delete_bucket(restore.created)

    def finish(self, restore: Restore) -> str:
        """Put the objects into the bucket that it lacks."""
        metadata = RestoreMetadata(restore.metadata, KEYS, ("DestinationBucketName",))
        name, point = metadata.text("DestinationBucketName"), restore.job["RecoveryPointArn"]
        snapshot = self._snapshots[point]
        # It may have been changed since the job began.
        _check_destination(name, _with_acls(metadata, restore))
        wanted = dict(_selected(snapshot["objects"], _items(metadata, snapshot["bucket"])))
        failing = self._failing(point)
        writer = _Writer(restore, name, metadata, snapshot)
        # An object that exists is never replaced, whatever its version. A delete marker counts as none.
        missing = [key for key in wanted if key not in s3._buckets[name]["objects"]]
        failed = [key for key in missing if key in failing or not writer.put(key, wanted[key])]
        if not wanted:
            restore.message = f"There are no objects that match the restore request for {point}."
        elif len(failed) == len(wanted):
            raise ValueError(f"No objects were restored from {point} to {name}. {NOTIFY}")
        elif failed:
            restore.message = f"One or more objects failed to be restored from {point} to {name}. {NOTIFY}"
        return bucket_arn(name)

    def _failing(self, recovery_point_arn: str) -> set[str]:
        """The keys of the objects that a restore is to leave out."""
        for failure in self.object_failures():
            if failure["recoveryPointArn"] in (None, recovery_point_arn):
                failure["count"] -= 1
                return set(failure["keys"])
        return set()


class _BucketCopy:
    def __init__(self, snapshots: AccountRegionScopedDict, snapshot: dict[str, Any]) -> None:
        self._snapshots = snapshots
        self._snapshot = snapshot

    def put(self, _key: str | None) -> str:
        arn = _own_arn(self._snapshot["bucket"])
        self._snapshots[arn] = self._snapshot
        return arn


class _Writer:
    """Puts the versions of objects into a bucket with the rights of the job's role."""

    def __init__(self, restore: Restore, bucket: str, metadata: RestoreMetadata, snapshot: dict[str, Any]) -> None:
        self._restore = restore
        self._bucket = bucket
        self._with_acls = _with_acls(metadata, restore)
        self._with_tags = _has(TAGS, restore.options)
        self._encryption = _encryption(metadata, snapshot)
        self._most = _versions_wanted(metadata)

    def put(self, key: str, versions: list[dict[str, Any]]) -> bool:
        """Put the latest versions of an object, the oldest first; answers whether all of them are there."""
        latest = versions if self._most is None else versions[-self._most :]
        return all(self._put(key, version) for version in latest)

    def _put(self, key: str, version: dict[str, Any]) -> bool:
        acl = version["acl"] if self._with_acls else None
        tags = version["tags"] if self._with_tags else {}
        headers = version["headers"] | (version["encryption"] if self._encryption is None else self._encryption)
        if tags:
            headers["x-amz-tagging"] = urlencode(tags)
        try:
            self._require(key, headers, acl, tags)
        except ApiError:
            return False
        # Block Public Access keeps an object with a public ACL out.
        if acl and s3._public_acl_refused(self._bucket, {}, acl):
            return False
        if s3._put_object(self._bucket, key, version["body"], headers)[0] >= 400:
            return False
        if acl:
            new = s3._buckets[self._bucket]["objects"][key]
            s3._object_acl[(self._bucket, key, new.get("version_id"))] = acl
        return True

    def _require(self, key: str, headers: dict[str, str], acl: str | None, tags: dict[str, str]) -> None:
        # AWS Backup reads first whether the version exists.
        self._restore.require("s3:ListBucketVersions", bucket_arn(self._bucket))
        actions = ["PutObject", *(["PutObjectAcl"] if acl else []), *(["PutObjectTagging"] if tags else [])]
        for action in actions:
            self._restore.require(f"s3:{action}", f"{bucket_arn(self._bucket)}/{key}")
        key_id = headers.get("x-amz-server-side-encryption-aws-kms-key-id")
        found = kms._resolve_key(key_id) if key_id else None
        if found:
            via = {"kms:ViaService": f"s3.{get_region()}.amazonaws.com"}
            self._restore.require("kms:GenerateDataKey", found["Arn"], **via)


def _objects(bucket: str) -> Objects:
    """The objects that exist in a bucket, each with its versions, the oldest first."""
    found: Objects = {}
    for key, current in s3._buckets[bucket]["objects"].items():
        entries = s3._object_versions.get((bucket, key)) or [
            s3._version_entry_from_record(current, "null", s3._read_body(bucket, key, current))
        ]
        found[key] = [_version(bucket, key, entry) for entry in entries if not entry.get("is_delete_marker")]
    return found


def _version(bucket: str, key: str, entry: dict[str, Any]) -> dict[str, Any]:
    """A version as a restore needs it."""
    version_id = None if entry["version_id"] == "null" else entry["version_id"]
    preserved = dict(entry["preserved_headers"])
    encryption = s3._stored_sse_headers(entry)
    headers = {name: value for name, value in preserved.items() if name not in encryption} | entry["metadata"]
    headers["content-type"] = entry["content_type"]
    if entry["content_encoding"]:
        headers["content-encoding"] = entry["content_encoding"]
    return {
        "body": s3._version_body(s3._buckets[bucket], bucket, key, entry),
        "size": entry["size"],
        "headers": headers,
        "encryption": encryption,
        "tags": dict(s3._object_tags.get((bucket, key, version_id)) or {}),
        "acl": s3._object_acl.get((bucket, key, version_id)),
    }


def _selected(objects: Objects, items: list[str] | None) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """The objects that a restore is of: all, or those that its items name, by key or by folder."""
    for key, versions in objects.items():
        if items is None or any(key == item or (item.endswith("/") and key.startswith(item)) for item in items):
            yield key, versions


def _items(metadata: RestoreMetadata, bucket: str) -> list[str] | None:
    """The keys and folders to restore, which may be written as S3 URIs of the source."""
    items = metadata.texts("ItemsToRestore")
    if items and len(items) > MOST_ITEMS:
        raise _invalid(f"ItemsToRestore names one to {MOST_ITEMS} items")
    return [item.removeprefix(f"s3://{bucket}/") for item in items] if items else None


def _versions_wanted(metadata: RestoreMetadata) -> int | None:
    """How many of the latest versions of each object are restored; None for all."""
    if metadata.text("RestoreLatestVersionsUpTo") == "all":
        return None
    count = metadata.number("RestoreLatestVersionsUpTo")
    if count is not None and count < 1:
        raise _invalid("RestoreLatestVersionsUpTo is a positive number or all")
    return 1 if count is None else count


def _encryption(metadata: RestoreMetadata, snapshot: dict[str, Any]) -> dict[str, str] | None:
    """The headers that encrypt restored objects; None for those of the source."""
    kind, key = metadata.text("EncryptionType") or "original", metadata.text("KMSKey")
    if kind not in ENCRYPTIONS:
        raise _invalid(f"EncryptionType is one of {', '.join(ENCRYPTIONS)}, not {kind}")
    if key and kind != "SSE-KMS":
        raise _invalid("KMSKey requires EncryptionType SSE-KMS")
    if kind == "original":
        if snapshot["region"] != get_region():
            raise _invalid("EncryptionType original is not supported for a backup that was copied from another Region")
        return None
    if kind == "SSE-S3":
        return {"x-amz-server-side-encryption": "AES256"}
    arn = key or f"arn:aws:kms:{get_region()}:{get_account_id()}:alias/aws/s3"
    if key:
        found = kms._resolve_key(key)
        if found is None or found["KeyState"] != "Enabled" or f":{get_region()}:" not in found["Arn"]:
            raise _invalid(f"The KMS key {key} is not a usable key of {get_region()}")
        arn = found["Arn"]
    return {"x-amz-server-side-encryption": "aws:kms", "x-amz-server-side-encryption-aws-kms-key-id": arn}


def _with_acls(metadata: RestoreMetadata, restore: Restore) -> bool:
    """Whether ACLs are restored: unless the request says otherwise, if the backup has them."""
    in_backup = _has(ACLS, restore.options)
    wanted = metadata.flag("RestoreACLs", in_backup)
    if wanted and not in_backup:
        raise ValueError(
            "Unable to restore Access Control Lists (ACLs) for bucket because backup was created with the 'BackupACLs' "
            "option disabled. Please proceed with restoring without ACLs"
        )
    return wanted


def _create(bucket: str, with_acls: bool) -> None:
    """Make a versioned bucket."""
    headers = {"x-amz-object-ownership": "ObjectWriter" if with_acls else "BucketOwnerEnforced"}
    status, _, body = s3._create_bucket(bucket, b"", headers)
    if status >= 400:
        raise _invalid(f"Bucket {bucket} cannot be created: {body.decode()}")
    s3._bucket_versioning[bucket] = "Enabled"


def _check_destination(bucket: str, with_acls: bool) -> None:
    """Refuse a destination that objects cannot be restored into."""
    if bucket not in s3._buckets or s3.bucket_region(bucket) != get_region():
        raise _invalid(f"The destination bucket {bucket} does not exist in {get_region()}")
    if s3._bucket_versioning.get(bucket) != "Enabled":
        raise _invalid(f"Versioning is not enabled on the destination bucket {bucket}")
    if with_acls and owner_is_enforced(bucket):
        raise _invalid(f"The destination bucket {bucket}: BucketOwnershipControls do not allow the use of object ACLs")


def _has(option: str, options: dict[str, str]) -> bool:
    """Whether a backup has what this option leaves out."""
    return options.get(option) != "disabled"


def _own_arn(bucket: str) -> str:
    moment = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%d%H%M%S")
    return f"arn:aws:backup:{get_region()}:{get_account_id()}:recovery-point:{bucket}-{moment}-{secrets.token_hex(4)}"


def _flag(value: bool) -> str:
    return str(value).lower()


def _invalid(what: str) -> ApiError:
    return ApiError("InvalidParameterValueException", f"Invalid restore metadata. {what}")
