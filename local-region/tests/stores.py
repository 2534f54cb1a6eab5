"""Databases and tables that tests make, back up in the primary Region, copy, and restore."""

import json
import uuid
from typing import Any

from machines import make_role
from running_region import ACCOUNT, REGION, RunningRegion

PRIMARY = "us-east-1"
# What a restore of each type asks of its role.
RESTORE_ACTIONS = (
    "rds:RestoreDBInstanceFromDBSnapshot",
    "rds:RestoreDBClusterFromSnapshot",
    "rds:DescribeDBInstances",
    "rds:DescribeDBClusters",
    "rds:AddTagsToResource",
    "dynamodb:*",
    "elasticfilesystem:*",
    "fsx:*",
    "ds:DescribeDirectories",
    "s3:*",
    "ec2:*",
    "iam:PassRole",
    "kms:*",
)
PASSWORD = "example-password"


def unique(prefix: str) -> str:
    """A name that no other test uses."""
    return f"{prefix}-{uuid.uuid4().hex[:10]}"


def tag_list(tags: dict[str, str]) -> list[dict[str, str]]:
    """Tags as the APIs take them."""
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def make_instance(region: RunningRegion, where: str = REGION, **params: Any) -> dict[str, Any]:
    """Create a DB instance, which is `available` afterwards if its time is short; answers what the call said."""
    given = {
        "DBInstanceIdentifier": unique("db"),
        "Engine": "postgres",
        "EngineVersion": "16.4",
        "DBInstanceClass": "db.t4g.micro",
        "AllocatedStorage": 20,
        "MasterUsername": "owner",
        "MasterUserPassword": PASSWORD,
    } | params
    return region.client("rds", where).create_db_instance(**given)["DBInstance"]


def make_cluster(region: RunningRegion, where: str = REGION, **params: Any) -> dict[str, Any]:
    """Create a DB cluster; answers what the call said."""
    given = {
        "DBClusterIdentifier": unique("cluster"),
        "Engine": "aurora-postgresql",
        "EngineVersion": "16.4",
        "MasterUsername": "owner",
        "MasterUserPassword": PASSWORD,
    } | params
    return region.client("rds", where).create_db_cluster(**given)["DBCluster"]


def make_table(region: RunningRegion, where: str = REGION, **params: Any) -> dict[str, Any]:
    """Create a table; answers what the call said."""
    given = {
        "TableName": unique("table"),
        "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
        "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
        "BillingMode": "PAY_PER_REQUEST",
    } | params
    return region.client("dynamodb", where).create_table(**given)["TableDescription"]


def make_network(region: RunningRegion, where: str = REGION) -> dict[str, str]:
    """A VPC with a subnet group and a security group; their names and ids."""
    ec2 = region.client("ec2", where)
    vpc = ec2.create_vpc(CidrBlock="10.7.0.0/16")["Vpc"]["VpcId"]
    subnets = [
        ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.7.{n}.0/24", AvailabilityZone=f"{where}{zone}")["Subnet"][
            "SubnetId"
        ]
        for n, zone in enumerate("ab")
    ]
    group = ec2.create_security_group(GroupName=unique("sg"), Description="databases", VpcId=vpc)["GroupId"]
    name = unique("subnets")
    region.client("rds", where).create_db_subnet_group(
        DBSubnetGroupName=name, DBSubnetGroupDescription="databases", SubnetIds=subnets
    )
    return {"vpc": vpc, "subnets": name, "group": group}


def make_vaults(region: RunningRegion) -> None:
    """A vault in the primary Region, and one in the recovery Region."""
    region.client("backup", PRIMARY).create_backup_vault(BackupVaultName="primary")
    region.client("backup").create_backup_vault(BackupVaultName="recovery")


def back_up(region: RunningRegion, resource_arn: str, **params: Any) -> str:
    """Back a resource of the primary Region up; answers the recovery point's ARN."""
    region.wait_until_idle()
    job = region.client("backup", PRIMARY).start_backup_job(
        BackupVaultName="primary",
        ResourceArn=resource_arn,
        IamRoleArn=f"arn:aws:iam::{ACCOUNT}:role/backup",
        **params,
    )
    region.wait_until_idle()
    return job["RecoveryPointArn"]


def copy(region: RunningRegion, point: str, vault: str = "recovery") -> str:
    """Copy a recovery point into a vault of the recovery Region; answers the copy's ARN."""
    backup = region.client("backup", PRIMARY)
    job = backup.start_copy_job(
        RecoveryPointArn=point,
        SourceBackupVaultName="primary",
        DestinationBackupVaultArn=f"arn:aws:backup:{REGION}:{ACCOUNT}:backup-vault:{vault}",
        IamRoleArn=f"arn:aws:iam::{ACCOUNT}:role/backup",
    )
    region.wait_until_idle()
    return backup.describe_copy_job(CopyJobId=job["CopyJobId"])["CopyJob"]["DestinationRecoveryPointArn"]


def start(region: RunningRegion, point: str, metadata: dict[str, Any], role: str | None = None, **params: Any) -> str:
    """Start a restore with lists written as JSON; answers the job's id."""
    role = role or make_role(region, *RESTORE_ACTIONS, service="backup.amazonaws.com")
    written = {key: value if isinstance(value, str) else json.dumps(value) for key, value in metadata.items()}
    job = region.client("backup").start_restore_job(RecoveryPointArn=point, IamRoleArn=role, Metadata=written, **params)
    return job["RestoreJobId"]


def restore(region: RunningRegion, point: str, metadata: dict[str, Any], **params: Any) -> dict[str, Any]:
    """Restore a recovery point; answers the job when it is over."""
    job_id = start(region, point, metadata, **params)
    region.wait_until_idle()
    return region.client("backup").describe_restore_job(RestoreJobId=job_id)


def statuses(region: RunningRegion, arn: str) -> list[str]:
    """The statuses that a database or table passed through."""
    return [entry["status"] for entry in region.journal("status", resource=arn)]


def wait_for_status(region: RunningRegion, arn: str, status: str) -> None:
    """Return when a database or table has been in a status."""
    region.wait_for(1, "status", lambda entry: (entry["resource"], entry["status"]) == (arn, status))
