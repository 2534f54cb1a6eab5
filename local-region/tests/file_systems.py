"""File systems and networks that tests make."""

from dataclasses import dataclass
from typing import Any

from running_region import REGION, RunningRegion
from stores import unique


@dataclass(frozen=True)
class Network:
    """A VPC with a subnet in each of two zones, a second one in the first zone, and a security group."""

    vpc: str
    first: str
    second: str
    first_too: str
    group: str


def make_network(region: RunningRegion, where: str = REGION) -> Network:
    """A network whose security group admits NFS and Lustre."""
    ec2 = region.client("ec2", where)
    vpc = ec2.create_vpc(CidrBlock="10.8.0.0/16")["Vpc"]["VpcId"]
    subnets = [
        ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.8.{n}.0/24", AvailabilityZone=f"{where}{zone}")["Subnet"][
            "SubnetId"
        ]
        for n, zone in enumerate("aba")
    ]
    group = ec2.create_security_group(GroupName=unique("sg"), Description="files", VpcId=vpc)["GroupId"]
    ec2.authorize_security_group_ingress(
        GroupId=group,
        IpPermissions=[
            {"IpProtocol": "tcp", "FromPort": port, "ToPort": port, "IpRanges": [{"CidrIp": "10.8.0.0/16"}]}
            for port in (988, 2049)
        ],
    )
    return Network(vpc, *subnets, group)


def make_file_system(region: RunningRegion, where: str = REGION, **params: Any) -> str:
    """Create an EFS file system that is `available`; its id."""
    efs = region.client("efs", where)
    made = efs.create_file_system(**({"CreationToken": unique("token")} | params))
    region.wait_until_idle()
    return made["FileSystemId"]


def file_system(region: RunningRegion, file_system_id: str, where: str = REGION) -> dict[str, Any]:
    """An EFS file system as DescribeFileSystems answers it."""
    (found,) = region.client("efs", where).describe_file_systems(FileSystemId=file_system_id)["FileSystems"]
    return found


def make_fsx(region: RunningRegion, network: Network, where: str = REGION, wait: bool = True, **params: Any) -> Any:
    """Create a file system of FSx, by default of Lustre; what it is when it is available."""
    given = {
        "FileSystemType": "LUSTRE",
        "StorageCapacity": 1200,
        "SubnetIds": [network.first],
        "SecurityGroupIds": [network.group],
    }
    if params.get("FileSystemType", "LUSTRE") == "LUSTRE":
        given["LustreConfiguration"] = {"DeploymentType": "PERSISTENT_2", "PerUnitStorageThroughput": 125}
    given = {key: value for key, value in (given | params).items() if value is not None}
    made = region.client("fsx", where).create_file_system(**given)["FileSystem"]
    if not wait:
        return made
    region.wait_until_idle()
    return fsx_file_system(region, made["FileSystemId"], where)


def fsx_file_system(region: RunningRegion, file_system_id: str, where: str = REGION) -> dict[str, Any]:
    """A file system of FSx as DescribeFileSystems answers it."""
    (found,) = region.client("fsx", where).describe_file_systems(FileSystemIds=[file_system_id])["FileSystems"]
    return found


def make_ontap(region: RunningRegion, network: Network, where: str = REGION) -> tuple[str, str]:
    """An ONTAP file system with a storage virtual machine; their ids."""
    made = make_fsx(
        region,
        network,
        where,
        FileSystemType="ONTAP",
        StorageCapacity=1024,
        OntapConfiguration={"DeploymentType": "SINGLE_AZ_1", "ThroughputCapacity": 128},
    )
    svm = region.client("fsx", where).create_storage_virtual_machine(FileSystemId=made["FileSystemId"], Name="files")
    region.wait_until_idle()
    return made["FileSystemId"], svm["StorageVirtualMachine"]["StorageVirtualMachineId"]


def make_ontap_volume(region: RunningRegion, svm_id: str, name: str, where: str = REGION, **config: Any) -> Any:
    """A volume of a storage virtual machine when it is created."""
    tags = config.pop("Tags", None)
    ontap = {
        "StorageVirtualMachineId": svm_id,
        "JunctionPath": f"/{name}",
        "SizeInMegabytes": 1024,
        "StorageEfficiencyEnabled": True,
    } | config
    given = {"OntapConfiguration": {key: value for key, value in ontap.items() if value is not None}}
    if tags:
        given["Tags"] = tags
    fsx = region.client("fsx", where)
    made = fsx.create_volume(VolumeType="ONTAP", Name=name, **given)["Volume"]
    region.wait_until_idle()
    return fsx.describe_volumes(VolumeIds=[made["VolumeId"]])["Volumes"][0]
