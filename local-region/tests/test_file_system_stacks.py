"""File systems in stacks: what recovery stacks and the workload's own refer to."""

import json
from typing import Any

from file_systems import file_system, fsx_file_system
from running_region import ACCOUNT, REGION, RunningRegion, refusal
from stores import unique
from test_database_stacks import create, group, physical_ids

NETWORK: dict[str, Any] = {
    "Vpc": group("AWS::EC2::VPC", CidrBlock="10.6.0.0/16"),
    "Files": group("AWS::EC2::Subnet", VpcId={"Ref": "Vpc"}, CidrBlock="10.6.1.0/24", AvailabilityZone=f"{REGION}a"),
    "Clients": group(
        "AWS::EC2::SecurityGroup",
        VpcId={"Ref": "Vpc"},
        GroupDescription="files",
        SecurityGroupIngress=[
            {"IpProtocol": "tcp", "FromPort": 988, "ToPort": 988, "CidrIp": "10.6.0.0/16"},
            {"IpProtocol": "tcp", "FromPort": 2049, "ToPort": 2049, "CidrIp": "10.6.0.0/16"},
        ],
    ),
}


def delete(region: RunningRegion, stack: str, status: str) -> None:
    """Delete a stack, which must end in a status."""
    cloudformation = region.client("cloudformation")
    (found,) = cloudformation.describe_stacks(StackName=stack)["Stacks"]
    cloudformation.delete_stack(StackName=stack)
    region.wait_for(
        1, "stack", lambda e: (e["stack"], e["logicalId"], e["status"]) == (found["StackId"], stack, status)
    )


def test_efs_of_a_stack(region: RunningRegion) -> None:
    stack = create(
        region,
        NETWORK
        | {
            "Shared": group(
                "AWS::EFS::FileSystem",
                Encrypted=True,
                ThroughputMode="elastic",
                FileSystemTags=[{"Key": "Name", "Value": "shared"}],
                LifecyclePolicies=[{"TransitionToIA": "AFTER_30_DAYS"}],
                BackupPolicy={"Status": "ENABLED"},
            ),
            "Target": group(
                "AWS::EFS::MountTarget",
                FileSystemId={"Ref": "Shared"},
                SubnetId={"Ref": "Files"},
                SecurityGroups=[{"Fn::GetAtt": ["Clients", "GroupId"]}],
            ),
            "Point": group(
                "AWS::EFS::AccessPoint",
                FileSystemId={"Ref": "Shared"},
                RootDirectory={"Path": "/data"},
                AccessPointTags=[{"Key": "a", "Value": "1"}],
            ),
        },
    )
    ids, efs = physical_ids(region, stack), region.client("efs")
    found = file_system(region, ids["Shared"])
    assert found["LifeCycleState"] == "available" and found["Name"] == "shared"
    assert found["KmsKeyId"].startswith(f"arn:aws:kms:{REGION}:{ACCOUNT}:key/")
    assert "aws:cloudformation:stack-name" in [tag["Key"] for tag in found["Tags"]]
    lifecycle = efs.describe_lifecycle_configuration(FileSystemId=ids["Shared"])["LifecyclePolicies"]
    assert lifecycle == [{"TransitionToIA": "AFTER_30_DAYS"}]
    assert efs.describe_backup_policy(FileSystemId=ids["Shared"])["BackupPolicy"]["Status"] == "ENABLED"
    (target,) = efs.describe_mount_targets(FileSystemId=ids["Shared"])["MountTargets"]
    assert target["MountTargetId"] == ids["Target"] and target["LifeCycleState"] == "available"
    groups = efs.describe_mount_target_security_groups(MountTargetId=ids["Target"])["SecurityGroups"]
    assert groups == [ids["Clients"]]
    (point,) = efs.describe_access_points(FileSystemId=ids["Shared"])["AccessPoints"]
    assert point["AccessPointId"] == ids["Point"] and point["RootDirectory"] == {"Path": "/data"}
    delete(region, stack, "DELETE_COMPLETE")
    assert refusal(lambda: efs.describe_file_systems(FileSystemId=ids["Shared"]))[0] == "FileSystemNotFound"


def test_security_groups_of_a_mount_target_are_updated(region: RunningRegion) -> None:
    def resources(*groups: dict[str, Any]) -> dict[str, Any]:
        shared = group("AWS::EFS::FileSystem", Encrypted=True)
        own = {"SecurityGroups": list(groups)} if groups else {}
        target = group("AWS::EFS::MountTarget", FileSystemId={"Ref": "Shared"}, SubnetId={"Ref": "Files"}, **own)
        return NETWORK | {"Shared": shared, "Target": target}

    stack = create(region, resources())
    before, cloudformation = physical_ids(region, stack), region.client("cloudformation")
    template = json.dumps({"Resources": resources({"Fn::GetAtt": ["Clients", "GroupId"]})})
    stack_id = cloudformation.update_stack(StackName=stack, TemplateBody=template)["StackId"]
    region.wait_for(
        1, "stack", lambda e: (e["stack"], e["logicalId"], e["status"]) == (stack_id, stack, "UPDATE_COMPLETE")
    )
    assert physical_ids(region, stack) == before
    groups = region.client("efs").describe_mount_target_security_groups(MountTargetId=before["Target"])
    assert groups["SecurityGroups"] == [before["Clients"]]


def test_stack_fails_as_the_api_refuses(region: RunningRegion) -> None:
    stack = create(
        region, {"Shared": group("AWS::EFS::FileSystem", KmsKeyId="alias/files", Encrypted=False)}, "CREATE_FAILED"
    )
    events = region.client("cloudformation").describe_stack_events(StackName=stack)["StackEvents"]
    assert any("Encrypted must be true" in event.get("ResourceStatusReason", "") for event in events)


def test_stack_stays_while_a_mount_target_uses_its_subnet(region: RunningRegion) -> None:
    stack = create(region, NETWORK)
    ids, efs = physical_ids(region, stack), region.client("efs")
    fs_id = efs.create_file_system(CreationToken=unique("token"))["FileSystemId"]
    region.wait_until_idle()
    target = efs.create_mount_target(FileSystemId=fs_id, SubnetId=ids["Files"], SecurityGroups=[ids["Clients"]])
    region.wait_until_idle()
    delete(region, stack, "DELETE_FAILED")
    efs.delete_mount_target(MountTargetId=target["MountTargetId"])
    region.wait_until_idle()
    delete(region, stack, "DELETE_COMPLETE")


def test_fsx_of_a_stack(region: RunningRegion) -> None:
    network = {"SubnetIds": [{"Ref": "Files"}], "SecurityGroupIds": [{"Fn::GetAtt": ["Clients", "GroupId"]}]}
    stack = create(
        region,
        NETWORK
        | {
            "Fast": group(
                "AWS::FSx::FileSystem",
                FileSystemType="LUSTRE",
                StorageCapacity="1200",
                LustreConfiguration={"DeploymentType": "PERSISTENT_2", "PerUnitStorageThroughput": "125"},
                Tags=[{"Key": "a", "Value": "1"}],
                **network,
            ),
            "Ontap": group(
                "AWS::FSx::FileSystem",
                FileSystemType="ONTAP",
                StorageCapacity=1024,
                OntapConfiguration={"DeploymentType": "SINGLE_AZ_1", "ThroughputCapacity": 128},
                **network,
            ),
            "Machine": group("AWS::FSx::StorageVirtualMachine", FileSystemId={"Ref": "Ontap"}, Name="files"),
            "Orders": group(
                "AWS::FSx::Volume",
                Name="orders",
                VolumeType="ONTAP",
                OntapConfiguration={
                    "StorageVirtualMachineId": {"Ref": "Machine"},
                    "JunctionPath": "/orders",
                    "SizeInMegabytes": "1024",
                    "StorageEfficiencyEnabled": "true",
                },
            ),
            "Mount": group(
                "AWS::SSM::Parameter",
                Type="String",
                Value={"Fn::Sub": "${Fast.DNSName}@tcp:/${Fast.LustreMountName}"},
            ),
        },
    )
    ids, fsx = physical_ids(region, stack), region.client("fsx")
    fast = fsx_file_system(region, ids["Fast"])
    assert fast["Lifecycle"] == "AVAILABLE" and fast["StorageCapacity"] == 1200
    assert "aws:cloudformation:logical-id" in [tag["Key"] for tag in fast["Tags"]]
    value = region.client("ssm").get_parameter(Name=ids["Mount"])["Parameter"]["Value"]
    assert value == f"{fast['DNSName']}@tcp:/{fast['LustreConfiguration']['MountName']}"
    assert ids["Machine"].startswith("svm-") and ids["Orders"].startswith("fsvol-")
    (volume,) = fsx.describe_volumes(VolumeIds=[ids["Orders"]])["Volumes"]
    assert volume["Lifecycle"] == "CREATED" and volume["FileSystemId"] == ids["Ontap"]
    delete(region, stack, "DELETE_COMPLETE")
    assert refusal(lambda: fsx.describe_volumes(VolumeIds=[ids["Orders"]]))[0] == "VolumeNotFound"
    assert refusal(lambda: fsx.describe_file_systems(FileSystemIds=[ids["Fast"]]))[0] == "FileSystemNotFound"
