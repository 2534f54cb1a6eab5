"""Who may call RDS: on each resource that a call touches, with the condition keys of that resource."""

from typing import Any

import pytest
from machines import SDK, make_role, output, run, task
from running_region import ACCOUNT, REGION, RunningRegion, refusal
from stores import make_cluster, make_instance, make_table, tag_list, unique, wait_for_status
from test_drills import client_of

ARN = f"arn:aws:rds:{REGION}:{ACCOUNT}:"
DRILL = {"recovery:drill": "shop-drill"}
# All resources of a new member of a cluster, by their kind.
CREATED = {
    "db": f"{ARN}db:*",
    "cluster": f"{ARN}cluster:*",
    "pg": f"{ARN}pg:default.*",
    "subgrp": f"{ARN}subgrp:*",
    "og": f"{ARN}og:default:*",
}


def allow(action: str | list[str], resource: str | list[str], **condition: Any) -> dict[str, Any]:
    """A statement."""
    statement = {"Effect": "Allow", "Action": action, "Resource": resource}
    return statement | ({"Condition": condition} if condition else {})


def of_region(region: RunningRegion, **params: Any) -> str:
    """A cluster that is `available`; its identifier."""
    cluster = make_cluster(region, **params)
    wait_for_status(region, cluster["DBClusterArn"], "available")
    return cluster["DBClusterIdentifier"]


def member(cluster: str, **params: Any) -> dict[str, Any]:
    """The parameters of CreateDBInstance for a member of a cluster."""
    return {
        "DBInstanceIdentifier": f"{cluster}-1",
        "DBClusterIdentifier": cluster,
        "Engine": "aurora-postgresql",
        "DBInstanceClass": "db.r6g.large",
    } | params


@pytest.mark.parametrize("left_out", CREATED)
def test_new_member_requires_permissions_on_all_its_resources(region: RunningRegion, left_out: str) -> None:
    cluster = of_region(region)
    resources = [arn for kind, arn in CREATED.items() if kind != left_out]
    rds = client_of(region, "rds", allow("rds:CreateDBInstance", resources))
    code, message = refusal(lambda: rds.create_db_instance(**member(cluster)))
    assert code == "AccessDenied" and "rds:CreateDBInstance" in message
    # The first resource of a call is checked by ministack, which does not name it.
    assert left_out == "db" or f"on resource: {ARN}{left_out}:" in message
    rds = client_of(region, "rds", allow("rds:CreateDBInstance", list(CREATED.values())))
    assert rds.create_db_instance(**member(cluster))["DBInstance"]["DBInstanceStatus"] == "creating"


def test_tags_of_a_new_instance_need_a_right_and_can_be_asked_for(region: RunningRegion) -> None:
    cluster = of_region(region)
    create = allow("rds:CreateDBInstance", list(CREATED.values()))
    given = member(cluster, Tags=tag_list(DRILL))
    code, message = refusal(lambda: client_of(region, "rds", create).create_db_instance(**given))
    assert code == "AccessDenied" and "rds:AddTagsToResource" in message
    tag = allow("rds:AddTagsToResource", f"{ARN}db:*")
    only_tagged = allow(
        "rds:CreateDBInstance",
        list(CREATED.values()),
        StringEquals={"aws:RequestTag/recovery:drill": "shop-drill"},
    )
    rds = client_of(region, "rds", only_tagged, tag)
    assert refusal(lambda: rds.create_db_instance(**member(cluster)))[0] == "AccessDenied"
    assert rds.create_db_instance(**given)["DBInstance"]["TagList"] == tag_list(DRILL)


@pytest.mark.parametrize("key", ["rds:cluster-tag", "aws:ResourceTag"])
def test_returns_the_tags_of_a_cluster(region: RunningRegion, key: str) -> None:
    plain, tagged = of_region(region), of_region(region, Tags=tag_list(DRILL))
    others = [arn for kind, arn in CREATED.items() if kind != "cluster"]
    of_drill = allow("rds:CreateDBInstance", CREATED["cluster"], StringEquals={f"{key}/recovery:drill": "shop-drill"})
    rds = client_of(region, "rds", allow("rds:CreateDBInstance", others), of_drill)
    assert refusal(lambda: rds.create_db_instance(**member(plain)))[0] == "AccessDenied"
    rds.create_db_instance(**member(tagged))


def test_engine_and_class_are_known(region: RunningRegion) -> None:
    cluster = of_region(region)
    condition = {"rds:DatabaseEngine": "aurora-postgresql", "rds:DatabaseClass": "db.r6g.large"}
    rds = client_of(region, "rds", allow("rds:CreateDBInstance", list(CREATED.values()), StringEquals=condition))
    code, _ = refusal(lambda: rds.create_db_instance(**member(cluster, DBInstanceClass="db.r6g.xlarge")))
    assert code == "AccessDenied"
    rds.create_db_instance(**member(cluster))


def test_encrypted_cluster_requires_its_key(region: RunningRegion) -> None:
    key = region.client("kms").create_key()["KeyMetadata"]["Arn"]
    cluster = of_region(region, KmsKeyId=key)
    create = allow("rds:CreateDBInstance", list(CREATED.values()))
    for actions in ([], ["kms:DescribeKey"], ["kms:CreateGrant"]):
        statements = [allow(actions, key)] if actions else []
        rds = client_of(region, "rds", create, *statements)
        code, message = refusal(lambda rds=rds: rds.create_db_instance(**member(cluster)))
        assert code == "AccessDenied" and "kms:" in message
    for_rds = allow(
        ["kms:DescribeKey", "kms:CreateGrant"], key, StringEquals={"kms:ViaService": f"rds.{REGION}.amazonaws.com"}
    )
    client_of(region, "rds", create, for_rds).create_db_instance(**member(cluster))


def test_modifying_needs_rights_on_the_groups(region: RunningRegion) -> None:
    cluster, name = of_region(region), make_instance(region)["DBInstanceIdentifier"]
    region.wait_until_idle()

    def modify_cluster(*kinds: str) -> Any:
        rds = client_of(region, "rds", allow("rds:ModifyDBCluster", [f"{ARN}{kind}:*" for kind in kinds]))
        return lambda: rds.modify_db_cluster(DBClusterIdentifier=cluster, DeletionProtection=False)

    def modify_instance(*kinds: str) -> Any:
        rds = client_of(region, "rds", allow("rds:ModifyDBInstance", [f"{ARN}{kind}:*" for kind in kinds]))
        return lambda: rds.modify_db_instance(DBInstanceIdentifier=name, DeletionProtection=False)

    for refused in (
        modify_cluster("cluster", "og"),
        modify_cluster("cluster", "cluster-pg"),
        modify_instance("db", "pg"),
    ):
        assert refusal(refused)[0] == "AccessDenied"
    modify_cluster("cluster", "cluster-pg", "og")()
    modify_instance("db", "pg", "og")()


def test_drill_policy_deletes_only_databases_of_a_drill(region: RunningRegion) -> None:
    instances = [make_instance(region, Tags=tag_list(tags))["DBInstanceIdentifier"] for tags in ({}, DRILL)]
    clusters = [of_region(region, Tags=tag_list(tags)) for tags in ({}, DRILL)]
    region.wait_until_idle()
    of_drill = {"aws:ResourceTag/recovery:drill": "shop-drill"}
    rds = client_of(
        region,
        "rds",
        allow(
            ["rds:DeleteDBInstance", "rds:DeleteDBCluster"], [f"{ARN}db:*", f"{ARN}cluster:*"], StringEquals=of_drill
        ),
    )
    for call, parameter, (plain, tagged) in (
        (rds.delete_db_instance, "DBInstanceIdentifier", instances),
        (rds.delete_db_cluster, "DBClusterIdentifier", clusters),
    ):
        refused = {parameter: plain, "SkipFinalSnapshot": True}
        assert refusal(lambda call=call, refused=refused: call(**refused))[0] == "AccessDenied"
        call(**{parameter: tagged, "SkipFinalSnapshot": True})


def test_listing_is_about_all_resources_of_a_kind(region: RunningRegion) -> None:
    one = client_of(region, "rds", allow("rds:DescribeDBInstances", f"{ARN}db:one"))
    assert refusal(one.describe_db_instances)[0] == "AccessDenied"
    every = client_of(region, "rds", allow("rds:DescribeDBInstances", f"{ARN}db:*"))
    every.describe_db_instances()
    groups = client_of(region, "rds", allow("rds:DescribeDBSubnetGroups", f"{ARN}subgrp:{unique('none')}"))
    assert refusal(groups.describe_db_subnet_groups)[0] == "AccessDenied"


def test_tags_are_read_and_written_on_their_resource(region: RunningRegion) -> None:
    arn = make_instance(region)["DBInstanceArn"]
    reader = client_of(region, "rds", allow("rds:ListTagsForResource", f"{ARN}db:*"))
    assert reader.list_tags_for_resource(ResourceName=arn)["TagList"] == []
    only_drill = allow(
        "rds:AddTagsToResource", f"{ARN}db:*", **{"ForAllValues:StringEquals": {"aws:TagKeys": list(DRILL)}}
    )
    writer = client_of(region, "rds", only_drill)
    writer.add_tags_to_resource(ResourceName=arn, Tags=tag_list(DRILL))
    other = tag_list({"other": "1"})
    assert refusal(lambda: writer.add_tags_to_resource(ResourceName=arn, Tags=other))[0] == "AccessDenied"


def test_role_of_a_recovery_tags_only_databases_and_tables_of_a_drill(region: RunningRegion) -> None:
    workload = {"recovery:workload": "shop"}
    absent = {"aws:RequestTag/recovery:drill": "false", "aws:ResourceTag/recovery:workload": "true"}
    own = {"rds:db-tag/recovery:workload": "true", "rds:cluster-tag/recovery:workload": "true"}
    only_drill = {"ForAllValues:StringEquals": {"aws:TagKeys": list(DRILL)}}
    databases = allow("rds:AddTagsToResource", [f"{ARN}db:*", f"{ARN}cluster:*"], Null=absent | own, **only_drill)
    tables = allow("dynamodb:TagResource", f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/*", Null=absent, **only_drill)
    rds, dynamodb = client_of(region, "rds", databases), client_of(region, "dynamodb", tables)

    def made(**tags: Any) -> list[str]:
        found = [
            make_instance(region, **tags)["DBInstanceArn"],
            make_cluster(region, **tags)["DBClusterArn"],
            make_table(region, **tags)["TableArn"],
        ]
        wait_for_status(region, found[-1], "ACTIVE")
        return found

    def tag(arn: str, tags: dict[str, str]) -> None:
        if ":dynamodb:" in arn:
            dynamodb.tag_resource(ResourceArn=arn, Tags=tag_list(tags))
        else:
            rds.add_tags_to_resource(ResourceName=arn, Tags=tag_list(tags))

    for arn in made(Tags=tag_list(workload)):
        code, _ = refusal(lambda arn=arn: tag(arn, DRILL))
        assert code.startswith("AccessDenied"), arn
    for arn in made():
        for refused in (workload, DRILL | workload):
            code, _ = refusal(lambda arn=arn, refused=refused: tag(arn, refused))
            assert code.startswith("AccessDenied"), (arn, refused)
        tag(arn, DRILL)


def test_policy_can_limit_recovery_points_by_tag(region: RunningRegion) -> None:
    backup = region.client("backup")
    backup.create_backup_vault(BackupVaultName="vault")
    backup.update_region_settings(ResourceTypeManagementPreference={"DynamoDB": True})
    role = f"arn:aws:iam::{ACCOUNT}:role/backup"
    points = []
    for tags in ({}, {"recovery:workload": "shop"}):
        instance = make_instance(region, Tags=tag_list(tags))
        region.wait_until_idle()
        job = backup.start_backup_job(BackupVaultName="vault", ResourceArn=instance["DBInstanceArn"], IamRoleArn=role)
        points.append(job["RecoveryPointArn"])
    condition = {"aws:ResourceTag/recovery:workload": "shop"}
    limited = client_of(
        region,
        "backup",
        allow("backup:StartRestoreJob", f"{ARN}snapshot:awsbackup:*", StringEquals=condition),
        allow("iam:PassRole", role),
    )
    given = {"IamRoleArn": role, "Metadata": {"DBInstanceIdentifier": unique("db")}}
    code, _ = refusal(lambda: limited.start_restore_job(RecoveryPointArn=points[0], **given))
    assert code == "AccessDeniedException"
    assert limited.start_restore_job(RecoveryPointArn=points[1], **given)["RestoreJobId"]


def test_state_machines_name_databases_as_the_sdk_for_java(region: RunningRegion) -> None:
    role = make_role(region, "rds:*")
    instance = make_instance(region, Tags=tag_list(DRILL))
    name = instance["DBInstanceIdentifier"]
    region.post("status-ends", {"name": name, "status": "creating"})
    region.wait_until_idle()
    listed = output(run(region, role, {"List": task(f"{SDK}rds:describeDBInstances", {"DbInstanceIdentifier": name})}))
    (found,) = listed["DbInstances"]
    assert found["DbInstanceStatus"] == "creating" and found["TagList"] == tag_list(DRILL)
    for identifier, error in (
        ("none", "Rds.DbInstanceNotFoundException"),
        (name, "Rds.InvalidDbInstanceStateException"),
    ):
        given = {"DbInstanceIdentifier": identifier, "SkipFinalSnapshot": True}
        ended = run(region, role, {"Delete": task(f"{SDK}rds:deleteDBInstance", given)})
        assert ended["error"] == error
