"""The clean-up of a drill: it deletes file systems of EFS and FSx, and volumes of ONTAP, by their tag."""

from collections.abc import Iterator
from typing import Any

import pytest
from file_systems import Network, make_file_system, make_fsx, make_network, make_ontap, make_ontap_volume
from running_region import ACCOUNT, REGION, refusal
from stores import tag_list, unique
from test_drill_cleanup import TAG, Project, succeeded
from test_drills import client_of


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A Region in which changes of file systems take a moment."""
    made = Project(tmp_path_factory.mktemp("functions"), "--file-system-change-seconds", "0.3")
    yield made
    assert made.region.stop() == 0


@pytest.fixture(scope="module")
def network(project: Project) -> Network:
    """A network in the Region."""
    return make_network(project.region)


def of(drill: str) -> list[dict[str, str]]:
    """The tag of a drill."""
    return tag_list({TAG: drill})


def with_mount_targets(project: Project, network: Network, tags: list[dict[str, str]]) -> str:
    """A file system of EFS with mount targets in two zones and an access point."""
    efs = project.region.client("efs")
    made = make_file_system(project.region, Tags=tags)
    for subnet in (network.first, network.second):
        efs.create_mount_target(FileSystemId=made, SubnetId=subnet, SecurityGroups=[network.group])
    efs.create_access_point(ClientToken=unique("token"), FileSystemId=made, RootDirectory={"Path": "/data"})
    project.region.wait_until_idle()
    return made


def test_deletes_the_file_systems_of_a_drill_and_no_others(project: Project, network: Network) -> None:
    drill, other, region = unique("d"), unique("other"), project.region
    efs, fsx = region.client("efs"), region.client("fsx")
    _, svm = make_ontap(region, network)
    ours = with_mount_targets(project, network, of(drill))
    lustre = make_fsx(region, network, Tags=of(drill))["FileSystemId"]
    windows = make_fsx(
        region,
        network,
        FileSystemType="WINDOWS",
        StorageCapacity=32,
        WindowsConfiguration={"ThroughputCapacity": 8, "ActiveDirectoryId": "d-0123456789"},
        Tags=of(drill),
    )["FileSystemId"]
    zfs = make_fsx(
        region,
        network,
        FileSystemType="OPENZFS",
        StorageCapacity=64,
        OpenZFSConfiguration={"DeploymentType": "SINGLE_AZ_1", "ThroughputCapacity": 64},
        Tags=of(drill),
    )["FileSystemId"]
    volume = make_ontap_volume(region, svm, "orders", Tags=of(drill))["VolumeId"]
    theirs = [with_mount_targets(project, network, tags) for tags in (of(other), tag_list({"Name": drill}))]
    kept = make_fsx(region, network, Tags=of(other))["FileSystemId"]
    kept_volume = make_ontap_volume(region, svm, "kept", Tags=of(other))["VolumeId"]
    succeeded(project.clean_up(drill))
    assert [each["FileSystemId"] for each in efs.describe_file_systems()["FileSystems"]] == theirs
    for each in theirs:
        assert len(efs.describe_mount_targets(FileSystemId=each)["MountTargets"]) == 2
    assert refusal(lambda: efs.describe_file_systems(FileSystemId=ours))[0] == "FileSystemNotFound"
    left = {each["FileSystemId"] for each in fsx.describe_file_systems()["FileSystems"]}
    assert not left & {lustre, windows, zfs} and kept in left
    volumes = {each["VolumeId"] for each in fsx.describe_volumes()["Volumes"]}
    assert volume not in volumes and kept_volume in volumes
    # No final backup was made.
    assert fsx.describe_backups()["Backups"] == []
    # A second clean-up has nothing to do.
    succeeded(project.clean_up(drill))


def test_deletes_more_than_a_round(project: Project) -> None:
    drill, efs = unique("d"), project.region.client("efs")
    made = [make_file_system(project.region, Tags=of(drill)) for _ in range(12)]
    succeeded(project.clean_up(drill))
    left = {each["FileSystemId"] for each in efs.describe_file_systems()["FileSystems"]}
    assert not left & set(made)


def test_role_deletes_no_file_system_of_the_workload(project: Project, network: Network) -> None:
    iam = project.region.client("iam")
    document = iam.get_role_policy(RoleName=project.resources["DrillCleanupRole"], PolicyName="drill-cleanup")
    statements = document["PolicyDocument"]["Statement"]
    efs, fsx = (client_of(project.region, name, *statements) for name in ("efs", "fsx"))
    ec2 = client_of(project.region, "ec2", *statements)
    both: list[dict[str, str]] = tag_list({TAG: "d", "recovery:workload": "shop"})
    plain, tagged = make_file_system(project.region), with_mount_targets(project, network, both)
    lustre = make_fsx(project.region, network, Tags=both)["FileSystemId"]
    (first, _) = project.region.client("efs").describe_mount_targets(FileSystemId=tagged)["MountTargets"]
    refused: list[Any] = [
        lambda: efs.delete_file_system(FileSystemId=plain),
        lambda: efs.delete_file_system(FileSystemId=tagged),
        lambda: efs.delete_mount_target(MountTargetId=first["MountTargetId"]),
        lambda: efs.tag_resource(ResourceId=plain, Tags=of("d")),
        lambda: fsx.delete_file_system(FileSystemId=lustre),
        lambda: fsx.tag_resource(ResourceARN=f"arn:aws:fsx:{REGION}:{ACCOUNT}:file-system/{lustre}", Tags=of("d")),
        lambda: ec2.delete_network_interface(NetworkInterfaceId=first["NetworkInterfaceId"]),
    ]
    for call in refused:
        code = refusal(call)[0]
        assert code.startswith("AccessDenied") or code == "UnauthorizedOperation"
