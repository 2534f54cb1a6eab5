"""FSx file systems: Lustre, ONTAP, OpenZFS and Windows, with their lifecycles, addresses and names."""

import secrets
import time
from typing import Any

from ministack.core.responses import get_account_id, get_region

from local_region.callers import Caller
from local_region.fsx_own_backups import FsxOwnBackups
from local_region.fsx_resources import FsxResources, arn_of, require_tagging, set_tags, tag_map
from local_region.fsx_settings import (
    MEMBERS,
    bad_request,
    checked,
    checked_network,
    dns_name,
    domain_of,
    is_over_zones,
    key_arn,
    mount_name,
)
from local_region.fsx_volumes import WITH_CHILDREN, FsxVolumes
from local_region.network_interfaces import NetworkInterfaces, free_address
from local_region.operations import add_json_operations
from local_region.settings import Settings
from local_region.status_changes import StatusChanges

# The types of which a last backup is made unless it is skipped, and the member of the answer that names it.
BACKED_UP_LAST = ("OPENZFS", "WINDOWS")
RESPONSES = {"LUSTRE": "LustreResponse", "OPENZFS": "OpenZFSResponse", "WINDOWS": "WindowsResponse"}


class FsxFileSystems:
    """File systems by id."""

    def __init__(
        self,
        settings: Settings,
        changes: StatusChanges,
        interfaces: NetworkInterfaces,
        resources: FsxResources,
        backups: FsxOwnBackups,
        volumes: FsxVolumes,
    ) -> None:
        self._settings = settings
        self._changes = changes
        self._interfaces = interfaces
        self._resources = resources
        self._backups = backups
        self._volumes = volumes
        add_json_operations(
            "fsx",
            {
                "CreateFileSystem": self._create,
                "DeleteFileSystem": self._delete,
                "DescribeFileSystems": self._describe,
                "UpdateFileSystem": self._update,
            },
        )

    def add(self, given: dict[str, Any], tags: dict[str, str]) -> dict[str, Any]:
        """A new file system, which is being created, from the members of CreateFileSystem."""
        kind, config = given["FileSystemType"], checked(given)
        subnets, groups = checked_network(given)
        key, fs_id = key_arn(given.get("KmsKeyId")), f"fs-{secrets.token_hex(9)[:17]}"
        addresses = [_address_in(subnet) for subnet in subnets]
        interfaces = [
            self._interfaces.add(subnet, address, groups, f"ENI for Amazon FSx file system {fs_id}")
            for subnet, address in zip(subnets, addresses, strict=True)
        ]
        self._address(kind, fs_id, config, addresses)
        record = {
            "FileSystemId": fs_id,
            "ResourceARN": arn_of("file-system", fs_id),
            "OwnerId": get_account_id(),
            "CreationTime": time.time(),
            "FileSystemType": kind,
            "FileSystemTypeVersion": given.get("FileSystemTypeVersion") or ("2.15" if kind == "LUSTRE" else None),
            "Lifecycle": "",
            "StorageCapacity": given.get("StorageCapacity"),
            "StorageType": given.get("StorageType", "SSD"),
            "VpcId": subnets[0]["VpcId"],
            "SubnetIds": [subnet["SubnetId"] for subnet in subnets],
            "NetworkInterfaceIds": interfaces,
            "DNSName": dns_name(kind, fs_id, config),
            "KmsKeyId": key,
            MEMBERS[kind]: config,
            "_addresses": addresses,
        }
        if kind == "WINDOWS":
            config["RemoteAdministrationEndpoint"] = (
                f"amznfsx{secrets.token_hex(4)}.{domain_of(config)}" if is_over_zones(config) else record["DNSName"]
            )
        set_tags(record, tags)
        self._resources.keep(record)
        if kind == "OPENZFS":
            root = self._volumes.add_openzfs(record, "fsx", None, {})
            config["RootVolumeId"] = root["VolumeId"]
            self._volumes.complete(root)
        return record

    def begin(self, record: dict[str, Any], name: str | None) -> None:
        """Let a new file system be available in its time. `name` is what a tester knows it by."""
        steps = [("CREATING", self._settings.file_system_seconds)]
        self._changes.run(record, name, steps, lambda: None, "AVAILABLE")

    def complete(self, record: dict[str, Any]) -> None:
        """Let a new file system be available."""
        self._changes.set(record, "AVAILABLE")

    def forget(self, record: dict[str, Any]) -> None:
        """The file system is gone, with its volumes and network interfaces."""
        for each in self._volumes.of_file_system(record["FileSystemId"]):
            self._resources.forget(each)
        for interface in record["NetworkInterfaceIds"]:
            self._interfaces.remove(interface)
        self._resources.forget(record)

    def get(self, fs_id: str) -> dict[str, Any]:
        """A file system, or FileSystemNotFound."""
        return self._resources.find("file-system", fs_id)

    def check_deletable(self, record: dict[str, Any], asked: dict[str, Any]) -> None:
        """Refuse to delete a file system that holds what must be deleted first."""
        fs_id = record["FileSystemId"]
        if record["FileSystemType"] == "ONTAP" and self._volumes.svms_of(fs_id):
            raise bad_request(f"The file system {fs_id} has storage virtual machines: delete them first")
        if (
            record["FileSystemType"] == "OPENZFS"
            and len(self._volumes.of_file_system(fs_id)) > 1
            and WITH_CHILDREN not in (asked.get("Options") or [])
        ):
            raise bad_request(f"The file system {fs_id} has child volumes: delete them first, or with the option")

    def delete(self, record: dict[str, Any]) -> None:
        """Let a file system go in its time."""
        steps = [("DELETING", self._settings.file_system_change_seconds)]
        self._changes.run(record, None, steps, lambda: self.forget(record), "DELETED")

    def _address(self, kind: str, fs_id: str, config: dict[str, Any], addresses: list[str]) -> None:
        """The names and addresses of a type's own."""
        domain = f"{fs_id}.fsx.{get_region()}.amazonaws.com"
        if kind == "LUSTRE":
            config["MountName"] = mount_name(config["DeploymentType"])
        elif kind == "ONTAP":
            config["Endpoints"] = {
                name: {"DNSName": f"{name.lower()}.{domain}", "IpAddresses": addresses}
                for name in ("Intercluster", "Management")
            }
        elif kind == "WINDOWS":
            config["PreferredFileServerIp"] = addresses[0]
            config["MaintenanceOperationsInProgress"] = []
        elif is_over_zones(config):
            config["EndpointIpAddress"] = addresses[0]

    def _create(self, params: dict[str, Any], caller: Caller) -> dict[str, Any]:
        repeated = self._resources.repeated(params)
        if repeated:
            return {"FileSystem": repeated}
        tags = tag_map(params.get("Tags"))
        require_tagging(caller, arn_of("file-system", "*"), tags)
        record = self.add(params, tags)
        self._resources.remember(params, record)
        self.begin(record, params.get("ClientRequestToken"))
        return {"FileSystem": record}

    def _describe(self, params: dict[str, Any], _caller: Caller) -> dict[str, Any]:
        return self._resources.listed("FileSystems", "file-system", params.get("FileSystemIds"), params, {})

    def _update(self, params: dict[str, Any], _caller: Caller) -> dict[str, Any]:
        record = self.get(params["FileSystemId"])
        kind, capacity = record["FileSystemType"], params.get("StorageCapacity")
        if record["Lifecycle"] != "AVAILABLE":
            raise bad_request(f"The file system {record['FileSystemId']} is {record['Lifecycle']}")
        if any(params.get(member) for name, member in MEMBERS.items() if name != kind):
            raise bad_request(f"The configuration does not fit a file system of the type {kind}")
        if capacity is not None and capacity <= record["StorageCapacity"]:
            raise bad_request(f"StorageCapacity must be greater than {record['StorageCapacity']}")
        record["StorageCapacity"] = capacity or record["StorageCapacity"]
        record[MEMBERS[kind]] |= params.get(MEMBERS[kind]) or {}
        steps = [("UPDATING", self._settings.file_system_change_seconds)]
        self._changes.run(record, None, steps, lambda: None, "AVAILABLE")
        return {"FileSystem": record}

    def _delete(self, params: dict[str, Any], caller: Caller) -> dict[str, Any]:
        record = self.get(params["FileSystemId"])
        kind, answer = record["FileSystemType"], {"FileSystemId": record["FileSystemId"], "Lifecycle": "DELETING"}
        if any(params.get(member) for name, member in MEMBERS.items() if name != kind):
            raise bad_request(f"The configuration does not fit a file system of the type {kind}")
        asked = params.get(MEMBERS[kind]) or {}
        self.check_deletable(record, asked)
        if record["Lifecycle"] == "DELETING":
            return answer
        if kind in RESPONSES and not asked.get("SkipFinalBackup", kind not in BACKED_UP_LAST):
            answer[RESPONSES[kind]] = self._backups.before_deletion(caller, record, None, asked)
        self.delete(record)
        return answer


def _address_in(subnet: dict[str, Any]) -> str:
    address = free_address(subnet)
    if address is None:
        raise bad_request(f"The subnet {subnet['SubnetId']} has no free addresses")
    return address
