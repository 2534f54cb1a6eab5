"""File systems of EFS and FSx in stacks, which are there when their resource is complete."""

import uuid
from collections.abc import Callable
from typing import Any

from botocore.model import Shape
from ministack.services import efs as efs_of_ministack
from ministack.services.cloudformation import provisioners

from local_region import api_models
from local_region.api_error import ApiError
from local_region.efs import Efs
from local_region.efs_file_systems import tag_map
from local_region.fsx import Fsx
from local_region.fsx_resources import set_tags

# A resource's physical id, and the attributes Fn::GetAtt reads.
Created = tuple[str, dict[str, Any]]
# The properties of a file system of EFS that its creation takes.
OF_CREATION = (
    "AvailabilityZoneName",
    "Encrypted",
    "KmsKeyId",
    "PerformanceMode",
    "ProvisionedThroughputInMibps",
    "ThroughputMode",
)


def add_file_system_resources(efs: Efs, fsx: Fsx) -> None:
    """Serve the types from here. Most updates of EFS are ministack's."""
    registered = provisioners._RESOURCE_HANDLERS
    for kind, create, delete in (
        ("AWS::EFS::FileSystem", _EfsResources(efs).create_file_system, _EfsResources(efs).delete_file_system),
        ("AWS::EFS::MountTarget", _EfsResources(efs).create_mount_target, efs.mount_targets.forget),
        ("AWS::EFS::AccessPoint", _EfsResources(efs).create_access_point, _delete_access_point),
        ("AWS::FSx::FileSystem", _FsxResources(fsx).create_file_system, _FsxResources(fsx).delete_file_system),
        ("AWS::FSx::StorageVirtualMachine", _FsxResources(fsx).create_svm, _FsxResources(fsx).delete_svm),
        ("AWS::FSx::Volume", _FsxResources(fsx).create_volume, _FsxResources(fsx).delete_volume),
    ):
        registered[kind] = registered.get(kind, {}) | {"create": _created(create), "delete": _deleted(delete)}
        if kind.startswith("AWS::FSx::"):
            provisioners._STACK_TAG_PROPERTY[kind] = ("Tags", "list")
    registered["AWS::EFS::MountTarget"]["update"] = _EfsResources(efs).update_mount_target


class _EfsResources:
    def __init__(self, efs: Efs) -> None:
        self._efs = efs

    def create_file_system(self, props: dict[str, Any], token: str) -> Created:
        file_systems = self._efs.file_systems
        given = {name: props[name] for name in OF_CREATION if name in props}
        shape = api_models.service_model("elasticfilesystem").shape_for("CreateFileSystemRequest")
        record = file_systems.add(
            _typed(shape, given) | {"CreationToken": token, "Backup": False}, tag_map(props.get("FileSystemTags"))
        )
        file_systems.complete(record)
        fs_id = record["FileSystemId"]
        if props.get("LifecyclePolicies"):
            provisioners._efs_put_lifecycle_policies(fs_id, props["LifecyclePolicies"])
        if props.get("BackupPolicy"):
            file_systems.set_backup_policy(record, props["BackupPolicy"]["Status"])
        if props.get("FileSystemPolicy"):
            provisioners._efs_put_file_system_policy(fs_id, props)
        if props.get("FileSystemProtection"):
            provisioners._efs_put_protection(fs_id, props["FileSystemProtection"])
        return fs_id, {"Arn": record["FileSystemArn"], "FileSystemId": fs_id}

    def delete_file_system(self, fs_id: str) -> None:
        record = efs_of_ministack._file_systems.get(fs_id)
        if record:
            self._efs.file_systems.check_unused(record)
            self._efs.file_systems.forget(fs_id)

    def create_mount_target(self, props: dict[str, Any], _token: str) -> Created:
        record = self._efs.mount_targets.add(props)
        self._efs.mount_targets.complete(record)
        return record["MountTargetId"], _attributes_of_target(record)

    def update_mount_target(
        self,
        physical_id: str,
        old: dict[str, Any],
        new: dict[str, Any],
        _stack_name: str,
        _logical_id: str | None = None,
    ) -> Created:
        """Other security groups change a mount target; ministack replaces it for the rest."""
        record = efs_of_ministack._mount_targets[physical_id]
        if new.get("SecurityGroups") != old.get("SecurityGroups"):
            try:
                self._efs.mount_targets.replace_groups(record, new.get("SecurityGroups"))
            except ApiError as error:
                raise ValueError(str(error)) from error
        return physical_id, _attributes_of_target(record)

    def create_access_point(self, props: dict[str, Any], token: str) -> Created:
        shape = api_models.service_model("elasticfilesystem").shape_for("CreateAccessPointRequest")
        given = _typed(shape, {name: value for name, value in props.items() if name != "AccessPointTags"})
        record = self._efs.access_points.add({"ClientToken": token} | given, tag_map(props.get("AccessPointTags")))
        self._efs.access_points.complete(record)
        return record["AccessPointId"], {"AccessPointId": record["AccessPointId"], "Arn": record["AccessPointArn"]}


class _FsxResources:
    def __init__(self, fsx: Fsx) -> None:
        self._fsx = fsx

    def create_file_system(self, props: dict[str, Any], _token: str) -> Created:
        if props.get("BackupId"):
            raise ValueError("The local Region creates no file system of a stack from a backup")
        given = _of_fsx("CreateFileSystemRequest", props)
        record = self._fsx.file_systems.add(given, tag_map(props.get("Tags")))
        self._fsx.file_systems.complete(record)
        lustre, openzfs = record.get("LustreConfiguration") or {}, record.get("OpenZFSConfiguration") or {}
        attributes = {
            "DNSName": record["DNSName"],
            "LustreMountName": lustre.get("MountName"),
            "ResourceARN": record["ResourceARN"],
            "RootVolumeId": openzfs.get("RootVolumeId"),
        }
        return record["FileSystemId"], {name: value for name, value in attributes.items() if value}

    def delete_file_system(self, fs_id: str) -> None:
        record = self._fsx.file_systems.get(fs_id)
        self._fsx.file_systems.check_deletable(record, {})
        self._fsx.file_systems.forget(record)

    def create_svm(self, props: dict[str, Any], _token: str) -> Created:
        record = self._fsx.volumes.add_svm(_of_fsx("CreateStorageVirtualMachineRequest", props))
        set_tags(record, tag_map(props.get("Tags")))
        self._fsx.volumes.complete(record)
        svm_id = record["StorageVirtualMachineId"]
        attributes = {"ResourceARN": record["ResourceARN"], "StorageVirtualMachineId": svm_id, "UUID": record["UUID"]}
        return svm_id, attributes

    def delete_svm(self, svm_id: str) -> None:
        record = self._fsx.volumes.get_svm(svm_id)
        for each in (*self._fsx.volumes.check_svm_deletable(record), record):
            self._fsx.volumes.forget(each)

    def create_volume(self, props: dict[str, Any], _token: str) -> Created:
        if props.get("BackupId"):
            raise ValueError("The local Region creates no volume of a stack from a backup")
        given = _of_fsx("CreateVolumeRequest", props)
        record = self._fsx.volumes.add(given)
        set_tags(record, tag_map(props.get("Tags")))
        self._fsx.volumes.complete(record)
        own = (record.get("OntapConfiguration") or {}).get("UUID")
        attributes = {"ResourceARN": record["ResourceARN"], "VolumeId": record["VolumeId"]}
        return record["VolumeId"], attributes | ({"UUID": own} if own else {})

    def delete_volume(self, volume_id: str) -> None:
        record = self._fsx.volumes.get(volume_id)
        for each in self._fsx.volumes.check_deletable(record, {}):
            self._fsx.volumes.forget(each)


def _attributes_of_target(record: dict[str, Any]) -> dict[str, Any]:
    # By the template reference, `Id` is that of the file system.
    return {"Id": record["FileSystemId"], "IpAddress": record["IpAddress"]}


def _delete_access_point(point_id: str) -> None:
    efs_of_ministack._access_points.pop(point_id, None)


def _created(create: Callable[[dict[str, Any], str], Created]) -> Callable[..., Created]:
    """A handler as ministack calls it. Its token is used once."""

    def created(logical_id: str, props: dict[str, Any], stack_name: str) -> Created:
        try:
            return create(props, f"{stack_name}-{logical_id}"[:50] + f"-{uuid.uuid4().hex[:12]}")
        except ApiError as error:
            raise ValueError(str(error)) from error

    return created


def _deleted(delete: Callable[[str], None]) -> Callable[[str, dict[str, Any]], None]:
    def deleted(physical_id: str, _props: dict[str, Any]) -> None:
        try:
            delete(physical_id)
        except ApiError as error:
            # What is gone already is deleted.
            if not error.code.endswith("NotFound"):
                raise ValueError(str(error)) from error

    return deleted


def _of_fsx(shape: str, props: dict[str, Any]) -> dict[str, Any]:
    """The members of a request that the properties mean. Those of templates bear the same names."""
    return _typed(api_models.service_model("fsx").shape_for(shape), props)


def _typed(shape: Shape, value: Any) -> Any:
    """A template's value with numbers and flags as such, where the template has strings."""
    if shape.type_name == "structure" and isinstance(value, dict):
        return {name: _typed(shape.members[name], item) for name, item in value.items() if name in shape.members}
    if shape.type_name == "list" and isinstance(value, list):
        return [_typed(shape.member, item) for item in value]
    if shape.type_name in ("integer", "long"):
        return int(value)
    if shape.type_name == "double":
        return float(value)
    if shape.type_name == "boolean":
        return str(value).lower() == "true"
    return value
