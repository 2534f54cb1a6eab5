"""AWS Backup of FSx: a recovery point is a backup of FSx, which keeps its tags; of ONTAP, each volume has its own."""

import json
from typing import Any

from ministack.core.responses import get_region

from local_region import api_models
from local_region.api_error import ApiError
from local_region.backup_types import NewRecoveryPoint, Restore, with_tags_of_rule
from local_region.fsx_file_systems import FsxFileSystems
from local_region.fsx_own_backups import FsxOwnBackups
from local_region.fsx_resources import arn_of, fault, set_tags, tag_map
from local_region.fsx_settings import MEMBERS, bad_request, key_arn
from local_region.fsx_volumes import FsxVolumes
from local_region.restore_metadata import RestoreMetadata
from local_region.status_changes import StatusChanges

# The keys of a restore of a file system, and those that are information only.
READ = ("KmsKeyId", "SecurityGroupIds", "StorageCapacity", "StorageType", "SubnetIds")
# Settings that all types have: they may be given by themselves, too.
COMMON = ("AutomaticBackupRetentionDays", "CopyTagsToBackups", "DeploymentType")
INFORMATIONAL = ("FileSystemId", "FileSystemTypeVersion", "VpcId")
# The keys of a restore of a volume.
OF_VOLUMES = ("FileSystemId", "Name", "OntapConfiguration", "VolumeId", "VolumeType")
# The shape of what can be chosen of each type, and what of the source a restore does not take over.
SHAPES = {kind: f"CreateFileSystem{member}" for kind, member in MEMBERS.items()}
LOST = ("Aliases", "AutomaticBackupRetentionDays", "ExportPath", "ImportPath", "PreferredSubnetId", "RouteTableIds")
DIRECTORIES = ("ActiveDirectoryId", "SelfManagedActiveDirectoryConfiguration")
# What of Lustre cannot be another than that of the source.
FIXED = ("DataCompressionType", "DeploymentType", "PerUnitStorageThroughput")
TIERING = ("SNAPSHOT_ONLY", "AUTO", "ALL", "NONE")
DEAD = ("FAILED", "MISCONFIGURED", "MISCONFIGURED_UNAVAILABLE")


class FsxBackups:
    """Backs up and restores file systems of Lustre, OpenZFS and Windows, and volumes of ONTAP."""

    name = "FSx"

    def __init__(
        self, changes: StatusChanges, file_systems: FsxFileSystems, volumes: FsxVolumes, backups: FsxOwnBackups
    ) -> None:
        self._changes = changes
        self._file_systems = file_systems
        self._volumes = volumes
        self._backups = backups

    def covers(self, resource_arn: str) -> bool:
        """Whether a resource is such a file system or volume that exists."""
        try:
            found = self._get(resource_arn)
        except ApiError:
            return False
        # Of ONTAP, the volumes are backed up; of the others, the file systems.
        of_ontap = "ONTAP" in (found.get("VolumeType"), found.get("FileSystemType"))
        return _is_volume(resource_arn) == of_ontap

    def back_up(self, resource_arn: str, tags: dict[str, str]) -> NewRecoveryPoint:
        """Back up a file system with its volumes, or a volume."""
        found, is_volume = self._get(resource_arn), _is_volume(resource_arn)
        if found["Lifecycle"] not in ("AVAILABLE", "CREATED"):
            raise ApiError("InvalidRequestException", f"{resource_arn} is {found['Lifecycle']}")
        file_system = self._volumes.file_system_of(found) if is_volume else found
        lustre = found.get("LustreConfiguration") or {}
        if lustre.get("DeploymentType", "").startswith("SCRATCH") or lustre.get("DataRepositoryConfiguration"):
            raise ApiError(
                "InvalidRequestException", "Lustre is backed up if it is persistent and not linked to an S3 bucket"
            )
        own, volumes = tag_map(found.get("Tags")), []
        if file_system["FileSystemType"] == "OPENZFS":
            volumes = self._volumes.of_file_system(file_system["FileSystemId"])
        made = self._backups.add(
            file_system, found if is_volume else None, volumes, "AWS_BACKUP", with_tags_of_rule(own, tags)
        )
        stored = _stored_of_volume(found) if is_volume else _stored(found)
        return NewRecoveryPoint(made["ResourceARN"], made["SizeInBytes"], True, stored, own)

    def copy(self, point: dict[str, Any]) -> "_FsxCopy":
        """A backup, ready to be put into another vault."""
        return _FsxCopy(self._backups, self._backups.get(point["RecoveryPointArn"]))

    def check(self, metadata: dict[str, str]) -> None:
        """What is wrong with the metadata shows when the job runs."""

    def metadata_of_test(self, job_id: str, point: dict[str, Any]) -> dict[str, str]:
        """What AWS Backup can choose; subnets, directories and virtual machines it cannot."""
        stored = point["_restore_metadata"]
        if "OntapConfiguration" in stored:
            name = f"awsbackup_restore_test_{job_id.replace('-', '_')}"
            config = json.loads(stored["OntapConfiguration"])
            chosen = {"junctionPath": f"/{name}", "sizeInMegabytes": config["SizeInMegabytes"]}
            return {"Name": name, "OntapConfiguration": json.dumps(chosen)}
        return {MEMBERS[stored["FileSystemType"]]: json.dumps({"automaticBackupRetentionDays": 0})}

    def begin(self, restore: Restore) -> None:
        """Begin to make a file system or a volume."""
        backup = self._backups.get(restore.job["RecoveryPointArn"])
        if backup["Volume"]:
            restore.created = self._begin_volume(restore, backup)
            # It is named while the job still runs.
            restore.job["CreatedResourceArn"] = restore.created["ResourceARN"]
        else:
            restore.created = self._begin_file_system(restore, backup)

    def abandon(self, restore: Restore) -> None:
        """What was begun goes."""
        record = restore.created
        if record is None:
            return
        self._changes.set(record, "DELETED")
        if _is_volume(record["ResourceARN"]):
            self._volumes.forget(record)
        else:
            self._file_systems.forget(record)

    def finish(self, restore: Restore) -> str:
        """It is there; its data are loaded when they are read."""
        record = restore.created
        end = self._changes.end_of(restore.job["RecoveryPointArn"])
        if end:
            self._changes.set(record, end)
        if end in DEAD:
            # It stays.
            restore.created = None
            raise ApiError("InternalServerError", f"{record['ResourceARN']} is {end}")
        if not end and _is_volume(record["ResourceARN"]):
            self._volumes.complete(record)
        elif not end:
            record["_restored_from"] = restore.job["RecoveryPointArn"]
            for volume in self._volumes.of_file_system(record["FileSystemId"]):
                self._volumes.complete(volume)
            self._file_systems.complete(record)
        return record["ResourceARN"]

    def _get(self, arn: str) -> dict[str, Any]:
        resource_id = arn.rpartition("/")[2]
        found = self._volumes.get(resource_id) if _is_volume(arn) else self._file_systems.get(resource_id)
        if found["ResourceARN"] != arn:
            raise fault("ResourceNotFound", f"The resource {arn} does not exist", ResourceARN=arn)
        return found

    def _begin_file_system(self, restore: Restore, backup: dict[str, Any]) -> dict[str, Any]:
        given, tags = _members(restore.metadata, backup), restore.tags or {}
        every = arn_of("file-system", "*")
        restore.require("fsx:CreateFileSystemFromBackup", backup["ResourceARN"])
        restore.require("fsx:CreateFileSystemFromBackup", every)
        restore.require("fsx:DescribeFileSystems", "*")
        if tags:
            restore.require("fsx:TagResource", every)
        if given["FileSystemType"] == "WINDOWS":
            restore.require("ds:DescribeDirectories", "*")
        record = self._file_systems.add(given, tags)
        self._changes.set(record, "CREATING")
        # The parents first.
        by_path = {each["OpenZFSConfiguration"]["VolumePath"]: each for each in self._volumes_of(record)}
        for volume in sorted(backup["_volumes"], key=lambda each: each["OpenZFSConfiguration"]["VolumePath"]):
            path, config = volume["OpenZFSConfiguration"]["VolumePath"], dict(volume["OpenZFSConfiguration"])
            if path not in by_path:
                parent = by_path[path.rpartition("/")[0]]
                by_path[path] = self._volumes.add_openzfs(record, volume["Name"], parent, config)
                self._changes.set(by_path[path], "CREATING")
        return record

    def _volumes_of(self, record: dict[str, Any]) -> list[dict[str, Any]]:
        is_openzfs = record["FileSystemType"] == "OPENZFS"
        return self._volumes.of_file_system(record["FileSystemId"]) if is_openzfs else []

    def _begin_volume(self, restore: Restore, backup: dict[str, Any]) -> dict[str, Any]:
        metadata = RestoreMetadata(restore.metadata, OF_VOLUMES, ("Name", "OntapConfiguration"))
        own, source = _ontap_members(metadata), backup["Volume"]["OntapConfiguration"]
        if own["SizeInMegabytes"] < source["SizeInMegabytes"]:
            raise bad_request(f"SizeInMegabytes must be {source['SizeInMegabytes']} at least, as that of the source")
        svm, tags = self._volumes.get_svm(own["StorageVirtualMachineId"]), restore.tags or {}
        for arn in (backup["ResourceARN"], svm["ResourceARN"], arn_of("volume", "*")):
            restore.require("fsx:CreateVolumeFromBackup", arn)
        restore.require("fsx:DescribeVolumes", "*")
        if tags:
            restore.require("fsx:TagResource", arn_of("volume", "*"))
        record = self._volumes.add_ontap(
            metadata.text("Name"), {"StorageEfficiencyEnabled": source["StorageEfficiencyEnabled"]} | own
        )
        set_tags(record, tags)
        self._changes.set(record, "CREATING")
        return record


class _FsxCopy:
    def __init__(self, backups: FsxOwnBackups, backup: dict[str, Any]) -> None:
        self._backups = backups
        self._source = {"SourceBackupId": backup["BackupId"], "SourceBackupRegion": get_region()}
        self._backup = backup

    def put(self, key: str | None) -> str:
        copied = self._backup | self._source | {"KmsKeyId": key or key_arn(None)}
        return self._backups.put(copied, "AWS_BACKUP", tag_map(self._backup.get("Tags")))["ResourceARN"]


def _stored(record: dict[str, Any]) -> dict[str, str]:
    """What AWS Backup stores of a file system: subnets, VPC and key are those of its Region."""
    kind = record["FileSystemType"]
    return {
        "FileSystemId": record["FileSystemId"],
        "FileSystemType": kind,
        "KmsKeyId": record["KmsKeyId"],
        "StorageCapacity": str(record["StorageCapacity"]),
        "StorageType": record["StorageType"],
        "SubnetIds": json.dumps(record["SubnetIds"]),
        "VpcId": record["VpcId"],
        MEMBERS[kind]: json.dumps(_chosen(record)),
    }


def _stored_of_volume(record: dict[str, Any]) -> dict[str, str]:
    config = record["OntapConfiguration"]
    names = ("JunctionPath", "SizeInMegabytes", "StorageEfficiencyEnabled", "StorageVirtualMachineId", "TieringPolicy")
    return {
        "FileSystemId": record["FileSystemId"],
        "Name": record["Name"],
        "OntapConfiguration": json.dumps({name: config[name] for name in names}),
        "VolumeId": record["VolumeId"],
        "VolumeType": "ONTAP",
    }


def _chosen(record: dict[str, Any]) -> dict[str, Any]:
    """What somebody has chosen of a file system, without what FSx adds."""
    kind = record["FileSystemType"]
    known = api_models.service_model("fsx").shape_for(SHAPES[kind]).members
    # Aliases are given and shown in two forms.
    return {name: value for name, value in record[MEMBERS[kind]].items() if name in known and name != "Aliases"}


def _members(given: dict[str, str], backup: dict[str, Any]) -> dict[str, Any]:
    """The members of CreateFileSystem that the metadata mean, with the settings of the source."""
    source = backup["FileSystem"]
    kind, is_moved = source["FileSystemType"], backup.get("SourceBackupRegion", get_region()) != get_region()
    member = MEMBERS[kind]
    metadata = RestoreMetadata(given, (*READ, *COMMON, *INFORMATIONAL, "FileSystemType", member), ("SubnetIds",))
    if metadata.text("FileSystemType") not in (None, kind):
        raise bad_request(f"FileSystemType must be {kind}, as that of the source")
    capacity = metadata.number("StorageCapacity") or source["StorageCapacity"]
    if capacity < source["StorageCapacity"] or (capacity > source["StorageCapacity"] and kind != "OPENZFS"):
        raise bad_request(f"StorageCapacity must be {source['StorageCapacity']}, as that of the source")
    if metadata.text("StorageType") not in (None, source["StorageType"]):
        raise bad_request(f"StorageType must be {source['StorageType']}, as that of the source")
    common = {name: metadata.text(name) for name in COMMON if metadata.text(name)}
    own = _typed(common | (metadata.object(member) or {}), SHAPES[kind], member)
    _check_directory(kind, own, source, is_moved)
    for name in FIXED if kind == "LUSTRE" else ():
        if own.get(name) not in (None, source[member].get(name)):
            raise bad_request(f"{name} must be {source[member].get(name)}, as that of the source")
    lost = (*LOST, *(DIRECTORIES if any(own.get(name) for name in DIRECTORIES) else ()))
    kept = {name: value for name, value in _chosen(source).items() if name not in lost}
    return {
        "FileSystemType": kind,
        "FileSystemTypeVersion": source.get("FileSystemTypeVersion"),
        "StorageCapacity": capacity,
        "StorageType": source["StorageType"],
        "SubnetIds": metadata.texts("SubnetIds"),
        "SecurityGroupIds": metadata.texts("SecurityGroupIds"),
        "KmsKeyId": metadata.text("KmsKeyId"),
        member: {"AutomaticBackupRetentionDays": 0} | kept | own,
    }


def _check_directory(kind: str, own: dict[str, Any], source: dict[str, Any], is_moved: bool) -> None:
    """A directory of the source's Region cannot be joined from another one."""
    if kind != "WINDOWS" or not is_moved:
        return
    before = source["WindowsConfiguration"].get("ActiveDirectoryId")
    named = own.get("ActiveDirectoryId") or (None if own.get("SelfManagedActiveDirectoryConfiguration") else before)
    if named and named == before:
        message = f"The Active Directory {named} could not be found in {get_region()}"
        raise fault("ActiveDirectoryError", message, ActiveDirectoryId=named, Type="DOMAIN_NOT_FOUND")


def _ontap_members(metadata: RestoreMetadata) -> dict[str, Any]:
    """The members of CreateVolume that the metadata mean."""
    given = metadata.object("OntapConfiguration") or {}
    tiering = {key: given.pop(key) for key in ("tieringPolicy", "TieringPolicy") if isinstance(given.get(key), str)}
    own = _typed(given, "CreateOntapVolumeConfiguration", "OntapConfiguration")
    for name in tiering.values():
        if name not in TIERING:
            raise _invalid(f"tieringPolicy is one of {', '.join(TIERING)}, not {name}")
        own["TieringPolicy"] = {"Name": name}
    for name in ("StorageVirtualMachineId", "JunctionPath", "SizeInMegabytes"):
        if not own.get(name):
            raise _invalid(f"Missing required key: OntapConfiguration.{name}")
    return own


def _typed(given: dict[str, Any], shape: str, within: str) -> dict[str, Any]:
    """Members by the names of the model, which may begin with a small letter, with numbers and flags as such."""
    members, typed = api_models.service_model("fsx").shape_for(shape).members, {}
    for key, value in given.items():
        name = key[:1].upper() + key[1:]
        if name not in members:
            raise _invalid(f"Unrecognized key: {within}.{key}")
        kind = members[name].type_name
        try:
            if kind in ("integer", "long"):
                value = int(value)
            elif kind == "boolean" and isinstance(value, str):
                value = {"true": True, "false": False}[value.lower()]
        except (KeyError, TypeError, ValueError) as error:
            raise _invalid(f"{within}.{key} is of the type {kind}, not {value}") from error
        typed[name] = value
    return typed


def _is_volume(arn: str) -> bool:
    return ":volume/" in arn


def _invalid(what: str) -> ApiError:
    return ApiError("InvalidParameterValueException", f"Invalid restore metadata. {what}")
