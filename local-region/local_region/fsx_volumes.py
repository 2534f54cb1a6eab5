"""Volumes of ONTAP and OpenZFS, and the storage virtual machines of ONTAP."""

import re
import secrets
import time
import uuid
from typing import Any

from ministack.core.responses import get_region

from local_region.callers import Caller
from local_region.fsx_own_backups import FsxOwnBackups
from local_region.fsx_resources import FsxResources, arn_of, fault, require_tagging, set_tags, tag_map
from local_region.fsx_settings import bad_request
from local_region.operations import add_json_operations
from local_region.settings import Settings
from local_region.status_changes import StatusChanges

# ONTAP's names: no hyphen, no digit at the beginning.
ONTAP_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,202}")
SMALLEST_BYTES = 20 << 20
MEBIBYTE = 1 << 20
WITH_CHILDREN = "DELETE_CHILD_VOLUMES_AND_SNAPSHOTS"
FILTERS = {
    "file-system-id": lambda record: record["FileSystemId"],
    "storage-virtual-machine-id": lambda record: (record.get("OntapConfiguration") or {}).get(
        "StorageVirtualMachineId"
    ),
}


class FsxVolumes:
    """Volumes and storage virtual machines by id."""

    def __init__(
        self, settings: Settings, changes: StatusChanges, resources: FsxResources, backups: FsxOwnBackups
    ) -> None:
        self._settings = settings
        self._changes = changes
        self._resources = resources
        self._backups = backups
        add_json_operations(
            "fsx",
            {
                "CreateStorageVirtualMachine": self._create_svm,
                "CreateVolume": self._create,
                "DeleteStorageVirtualMachine": self._delete_svm,
                "DeleteVolume": self._delete,
                "DescribeStorageVirtualMachines": self._describe_svms,
                "DescribeVolumes": self._describe,
            },
        )

    def get(self, volume_id: str) -> dict[str, Any]:
        """A volume, or VolumeNotFound."""
        return self._resources.find("volume", volume_id)

    def get_svm(self, svm_id: str) -> dict[str, Any]:
        """A storage virtual machine, or StorageVirtualMachineNotFound."""
        return self._resources.find("storage-virtual-machine", svm_id)

    def forget(self, record: dict[str, Any]) -> None:
        """The volume or storage virtual machine is gone."""
        self._resources.forget(record)

    def of_file_system(self, fs_id: str) -> list[dict[str, Any]]:
        """The volumes of a file system."""
        return [each for each in self._resources.of_kind("volume") if each["FileSystemId"] == fs_id]

    def svms_of(self, fs_id: str) -> list[dict[str, Any]]:
        """The storage virtual machines of a file system."""
        return [each for each in self._resources.of_kind("storage-virtual-machine") if each["FileSystemId"] == fs_id]

    def add(self, given: dict[str, Any]) -> dict[str, Any]:
        """A new volume, which is being created, from the members of CreateVolume."""
        member = {"ONTAP": "OntapConfiguration", "OPENZFS": "OpenZFSConfiguration"}[given["VolumeType"]]
        config = given.get(member)
        if config is None:
            raise fault("MissingVolumeConfiguration", f"{member} is required")
        if given["VolumeType"] == "OPENZFS":
            parent = self.get(config["ParentVolumeId"])
            return self.add_openzfs(self.file_system_of(parent), given["Name"], parent, config)
        if not config.get("JunctionPath") and config.get("OntapVolumeType", "RW") == "RW":
            raise bad_request("JunctionPath is required")
        return self.add_ontap(given["Name"], config)

    def add_openzfs(
        self, file_system: dict[str, Any], name: str, parent: dict[str, Any] | None, config: dict[str, Any]
    ) -> dict[str, Any]:
        """A volume of OpenZFS, which is being created; without a parent, the root."""
        own = {"RecordSizeKiB": 128, "DataCompressionType": "NONE", "ReadOnly": False} | config
        path = f"{parent['OpenZFSConfiguration']['VolumePath']}/{name}" if parent else f"/{name}"
        if any(
            each["OpenZFSConfiguration"]["VolumePath"] == path
            for each in self.of_file_system(file_system["FileSystemId"])
        ):
            raise bad_request(f"The volume {path} exists already")
        own |= {"VolumePath": path, "ParentVolumeId": parent["VolumeId"] if parent else None}
        return self._add(file_system["FileSystemId"], "OPENZFS", name, {"OpenZFSConfiguration": own})

    def add_ontap(self, name: str, config: dict[str, Any], is_root: bool = False) -> dict[str, Any]:
        """A volume of ONTAP, which is being created, from the members of CreateVolume."""
        svm = self.get_svm(config["StorageVirtualMachineId"])
        path, size = config.get("JunctionPath"), config.get("SizeInBytes")
        size = size if size is not None else (config.get("SizeInMegabytes") or 0) * MEBIBYTE
        if svm["Lifecycle"] != "CREATED" and not is_root:
            raise bad_request(f"The storage virtual machine {svm['StorageVirtualMachineId']} is {svm['Lifecycle']}")
        if not ONTAP_NAME.fullmatch(name):
            raise bad_request(f"The volume name {name} must have letters, digits and underscores only")
        if size < SMALLEST_BYTES:
            raise bad_request("SizeInBytes or SizeInMegabytes is required, 20 MiB at least")
        if config.get("OntapVolumeType", "RW") == "RW" and config.get("StorageEfficiencyEnabled") is None:
            raise bad_request("StorageEfficiencyEnabled is required for a volume of the type RW")
        if path is not None and not path.startswith("/"):
            raise bad_request(f"The junction path {path} must begin with /")
        for each in self._of_svm(svm):
            if each["Name"] == name:
                raise bad_request(f"A volume with the name {name} exists already")
            if path and each["OntapConfiguration"].get("JunctionPath") == path:
                raise bad_request(f"The junction path {path} is in use")
        own = {
            "SecurityStyle": svm["RootVolumeSecurityStyle"],
            "TieringPolicy": {"Name": "SNAPSHOT_ONLY", "CoolingPeriod": 2},
            "OntapVolumeType": "RW",
            "SnapshotPolicy": "default",
            "CopyTagsToBackups": False,
            "VolumeStyle": "FLEXVOL",
            "FlexCacheEndpointType": "NONE",
            "UUID": str(uuid.uuid4()),
        } | config
        own |= {
            "SizeInBytes": size,
            "SizeInMegabytes": size // MEBIBYTE,
            "StorageVirtualMachineRoot": is_root,
        }
        return self._add(svm["FileSystemId"], "ONTAP", name, {"OntapConfiguration": own})

    def add_svm(self, given: dict[str, Any]) -> dict[str, Any]:
        """A storage virtual machine with its root volume, which is being created."""
        file_system = self._resources.find("file-system", given["FileSystemId"])
        if file_system["FileSystemType"] != "ONTAP" or file_system["Lifecycle"] != "AVAILABLE":
            raise bad_request(f"{file_system['FileSystemId']} is not an ONTAP file system that is available")
        if any(each["Name"] == given["Name"] for each in self.svms_of(file_system["FileSystemId"])):
            raise bad_request(f"A storage virtual machine with the name {given['Name']} exists already")
        fs_id, svm_id = file_system["FileSystemId"], f"svm-{secrets.token_hex(9)[:17]}"
        host = f"{svm_id}.{fs_id}.fsx.{get_region()}.amazonaws.com"
        addresses, directory = file_system["_addresses"], given.get("ActiveDirectoryConfiguration")
        endpoints = {
            "Iscsi": {"DNSName": f"iscsi.{host}", "IpAddresses": addresses},
            "Management": {"DNSName": host, "IpAddresses": addresses},
            "Nfs": {"DNSName": host, "IpAddresses": addresses},
        }
        if directory:
            # Only a member of a directory serves SMB.
            domain = (directory.get("SelfManagedActiveDirectoryConfiguration") or {}).get("DomainName", "")
            name = f"{directory['NetBiosName'].lower()}.{domain}"
            endpoints["Smb"] = {"DNSName": name, "IpAddresses": addresses}
        record = {
            "StorageVirtualMachineId": svm_id,
            "ResourceARN": arn_of("storage-virtual-machine", fs_id, svm_id),
            "FileSystemId": fs_id,
            "Name": given["Name"],
            "CreationTime": time.time(),
            "Lifecycle": "",
            "Subtype": "DEFAULT",
            "UUID": str(uuid.uuid4()),
            "RootVolumeSecurityStyle": given.get("RootVolumeSecurityStyle", "UNIX"),
            "Endpoints": endpoints,
        }
        self._resources.keep(record)
        root = {
            "StorageVirtualMachineId": svm_id,
            "JunctionPath": "/",
            "SizeInMegabytes": 1024,
            "StorageEfficiencyEnabled": False,
        }
        self._changes.set(self.add_ontap(f"{re.sub('[^A-Za-z0-9_]', '_', given['Name'])}_root", root, True), "CREATED")
        return record

    def begin(self, record: dict[str, Any], name: str | None = None) -> None:
        """Let a new volume or storage virtual machine be there in its time."""
        steps = [("CREATING", self._settings.file_system_seconds)]
        self._changes.run(record, name, steps, lambda: None, _last(record))

    def complete(self, record: dict[str, Any]) -> None:
        """Let a new volume or storage virtual machine be there."""
        self._changes.set(record, _last(record))

    def file_system_of(self, volume: dict[str, Any]) -> dict[str, Any]:
        """The file system of a volume."""
        return self._resources.find("file-system", volume["FileSystemId"])

    def check_deletable(self, volume: dict[str, Any], asked: dict[str, Any]) -> list[dict[str, Any]]:
        """The volumes that go with a volume, or the refusal to delete it."""
        if volume["VolumeType"] == "ONTAP":
            if volume["OntapConfiguration"]["StorageVirtualMachineRoot"]:
                raise bad_request("The root volume of a storage virtual machine cannot be deleted")
            return [volume]
        path = volume["OpenZFSConfiguration"]["VolumePath"]
        if volume["OpenZFSConfiguration"]["ParentVolumeId"] is None:
            raise bad_request("The root volume of a file system cannot be deleted")
        children = [
            each
            for each in self.of_file_system(volume["FileSystemId"])
            if each["OpenZFSConfiguration"]["VolumePath"].startswith(f"{path}/")
        ]
        if children and WITH_CHILDREN not in (asked.get("Options") or []):
            raise bad_request(f"The volume {volume['VolumeId']} has child volumes")
        return [volume, *children]

    def _add(self, fs_id: str, kind: str, name: str, config: dict[str, Any]) -> dict[str, Any]:
        volume_id = f"fsvol-{secrets.token_hex(9)[:17]}"
        record = {
            "VolumeId": volume_id,
            "ResourceARN": arn_of("volume", fs_id, volume_id),
            "FileSystemId": fs_id,
            "Name": name,
            "VolumeType": kind,
            "CreationTime": time.time(),
            "Lifecycle": "",
        } | config
        self._resources.keep(record)
        return record

    def _of_svm(self, svm: dict[str, Any]) -> list[dict[str, Any]]:
        return [
            each
            for each in self.of_file_system(svm["FileSystemId"])
            if each["OntapConfiguration"]["StorageVirtualMachineId"] == svm["StorageVirtualMachineId"]
        ]

    def _create(self, params: dict[str, Any], caller: Caller) -> dict[str, Any]:
        repeated = self._resources.repeated(params)
        if repeated:
            return {"Volume": repeated}
        tags = tag_map(params.get("Tags"))
        require_tagging(caller, arn_of("volume", "*"), tags)
        record = self.add(params)
        set_tags(record, tags)
        self._resources.remember(params, record)
        self.begin(record)
        return {"Volume": record}

    def _delete(self, params: dict[str, Any], caller: Caller) -> dict[str, Any]:
        record = self.get(params["VolumeId"])
        is_ontap = record["VolumeType"] == "ONTAP"
        asked = params.get("OntapConfiguration" if is_ontap else "OpenZFSConfiguration") or {}
        going, answer = self.check_deletable(record, asked), {"VolumeId": record["VolumeId"], "Lifecycle": "DELETING"}
        if record["Lifecycle"] == "DELETING":
            return answer
        if is_ontap and not asked.get("SkipFinalBackup"):
            made = self._backups.before_deletion(caller, self.file_system_of(record), record, asked)
            answer["OntapResponse"] = made
        for each in going:
            self.delete(each)
        return answer

    def delete(self, record: dict[str, Any]) -> None:
        """Let a volume or storage virtual machine go in its time."""
        steps = [("DELETING", self._settings.file_system_change_seconds)]
        self._changes.run(record, None, steps, lambda: self._resources.forget(record), "DELETED")

    def _describe(self, params: dict[str, Any], _caller: Caller) -> dict[str, Any]:
        return self._resources.listed("Volumes", "volume", params.get("VolumeIds"), params, FILTERS)

    def _create_svm(self, params: dict[str, Any], caller: Caller) -> dict[str, Any]:
        repeated = self._resources.repeated(params)
        if repeated:
            return {"StorageVirtualMachine": repeated}
        tags = tag_map(params.get("Tags"))
        require_tagging(caller, arn_of("storage-virtual-machine", "*"), tags)
        record = self.add_svm(params)
        set_tags(record, tags)
        self._resources.remember(params, record)
        self.begin(record)
        return {"StorageVirtualMachine": record}

    def _delete_svm(self, params: dict[str, Any], _caller: Caller) -> dict[str, Any]:
        record = self.get_svm(params["StorageVirtualMachineId"])
        for each in (*self.check_svm_deletable(record), record):
            self.delete(each)
        return {"StorageVirtualMachineId": record["StorageVirtualMachineId"], "Lifecycle": "DELETING"}

    def check_svm_deletable(self, svm: dict[str, Any]) -> list[dict[str, Any]]:
        """The root volume, which goes with a storage virtual machine; others must be gone before."""
        volumes = self._of_svm(svm)
        if any(not each["OntapConfiguration"]["StorageVirtualMachineRoot"] for each in volumes):
            raise bad_request(f"The storage virtual machine {svm['StorageVirtualMachineId']} has volumes")
        return volumes

    def _describe_svms(self, params: dict[str, Any], _caller: Caller) -> dict[str, Any]:
        named = params.get("StorageVirtualMachineIds")
        only = {"file-system-id": FILTERS["file-system-id"]}
        return self._resources.listed("StorageVirtualMachines", "storage-virtual-machine", named, params, only)


def _last(record: dict[str, Any]) -> str:
    return "AVAILABLE" if record.get("VolumeType") == "OPENZFS" else "CREATED"
