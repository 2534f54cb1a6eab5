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
