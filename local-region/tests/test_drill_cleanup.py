"""The clean-up of a drill: the project's state machine deletes databases, tables, parameters, stack and volumes."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import write_binary
from machines import policy
from running_region import ACCOUNT, REGION, RunningRegion, refusal
from stores import make_cluster, make_instance, make_table, tag_list, unique
from test_database_stacks import NETWORK, STACK, SUBNETS, group, physical_ids
from test_drills import client_of

PROJECT = Path(__file__).parents[2]
TAG = "recovery:drill"
NOTHING: dict[str, str] = {}


class Project:
    """A Region in which the template is deployed."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.region = RunningRegion("--retry-seconds", "0.05", "0.05", "--wait-scale", "0.001", *options)
        for function in (PROJECT / "functions").iterdir():
            write_binary(folder / function.name)
        parameters = ("PrimaryRegion=us-east-1", "Architecture=x86_64")
        given = [part for parameter in parameters for part in ("--parameter", parameter)]
        stack = self.region.deploy(PROJECT / "template.yaml", "rapid-recovery", "--binaries", str(folder), *given)
        self.resources: dict[str, str] = stack["resources"]

    def clean_up(self, drill: str, stack: str = "none") -> dict[str, Any]:
        """A finished execution of the clean-up."""
        states = self.region.client("stepfunctions")
        arn = states.start_execution(
            stateMachineArn=self.resources["DrillCleanupStateMachine"],
            input=json.dumps({"drill": drill, "stack": stack}),
        )["executionArn"]
        # The longest has a hundred rounds, with ten calls each.
        while not self.region.get("idle?timeout=30")["idle"]:
            pass
        return states.describe_execution(executionArn=arn)

    def notification(self, drill: str) -> str:
        """The last message about a drill."""
        sent = self.region.journal("message", topicArn=self.resources["NotificationTopic"])
        return [entry["message"] for entry in sent if drill in entry["message"]][-1]

    def exists(self, kind: str, name: str) -> bool:
        """Whether a database or table exists."""
        rds, dynamodb = self.region.client("rds"), self.region.client("dynamodb")
        describe = {
            "instance": lambda: rds.describe_db_instances(DBInstanceIdentifier=name),
            "cluster": lambda: rds.describe_db_clusters(DBClusterIdentifier=name),
            "table": lambda: dynamodb.describe_table(TableName=name),
        }[kind]
        try:
            describe()
        except rds.exceptions.ClientError as error:
            if "NotFound" not in error.response["Error"]["Code"]:
                raise
            return False
        return True


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A Region in which databases and tables take a moment."""
    times = ("--database-seconds", "0.3", "--database-change-seconds", "0.3", "--table-seconds", "0.3")
    made = Project(tmp_path_factory.mktemp("functions"), *times)
    yield made
    assert made.region.stop() == 0


def tagged(tags: dict[str, str]) -> dict[str, Any]:
    """The parameter for tags."""
    return {"Tags": tag_list(tags)} if tags else {}


def instance(project: Project, name: str, tags: dict[str, str], **params: Any) -> str:
    """A DB instance."""
    return make_instance(project.region, DBInstanceIdentifier=name, **tagged(tags), **params)["DBInstanceIdentifier"]


def cluster(project: Project, name: str, tags: dict[str, str], instances: int = 0, **params: Any) -> str:
    """A DB cluster with instances."""
    make_cluster(project.region, DBClusterIdentifier=name, **tagged(tags), **params)
    project.region.wait_until_idle()
    for number in range(1, instances + 1):
        project.region.client("rds").create_db_instance(
            DBInstanceIdentifier=f"{name}-{number}",
            DBClusterIdentifier=name,
            Engine="aurora-postgresql",
            DBInstanceClass="db.r6g.large",
            **tagged(tags),
        )
    return name


def parameters(project: Project, path: str, tags: dict[str, str], count: int) -> list[str]:
    """SSM parameters below a path."""
    names = [f"{path}/{number:02}" for number in range(count)]
    for name in names:
        project.region.client("ssm").put_parameter(Name=name, Type="String", Value="x", **tagged(tags))
    return names


def drill_stack(project: Project, drill: str) -> dict[str, str]:
    """The stack of a drill with the groups of a database; its name, id and resources."""
    name, cloudformation = f"shop-{drill}", project.region.client("cloudformation")
    resources = NETWORK | {
        "Subnets": group("AWS::RDS::DBSubnetGroup", **SUBNETS),
        "Parameters": group("AWS::RDS::DBParameterGroup", Family="postgres16", Description="x"),
    }
    stack_id = cloudformation.create_stack(
        StackName=name, TemplateBody=json.dumps({"Resources": resources}), Tags=tag_list({TAG: drill})
    )["StackId"]
    project.region.wait_for(
        1, "stack", lambda e: (e["stack"], e["type"], e["status"]) == (stack_id, STACK, "CREATE_COMPLETE")
    )
    return {"name": name, "id": stack_id} | physical_ids(project.region, name)


def stack_status(project: Project, stack_id: str) -> str:
    """The status of a stack, deleted or not."""
    (stack,) = project.region.client("cloudformation").describe_stacks(StackName=stack_id)["Stacks"]
    return stack["StackStatus"]


def succeeded(execution: dict[str, Any]) -> None:
    """Check that a clean-up left nothing."""
    assert execution["status"] == "SUCCEEDED", execution.get("cause")


def failed(execution: dict[str, Any]) -> str:
    """The cause of a clean-up that left something."""
    assert (execution["status"], execution.get("error")) == ("FAILED", "NotCleanedUp"), execution
    return execution["cause"]


def test_deletes_everything_of_a_drill_and_nothing_else(project: Project) -> None:
    drill, other, region = unique("d"), unique("other"), project.region
    of_drill = {TAG: drill}
    stack = drill_stack(project, drill)
    in_stack = {"DBSubnetGroupName": stack["Subnets"], "VpcSecurityGroupIds": [stack["Database"]]}
    # A restored database can carry the tags of its source.
    ours = [
        ("instance", instance(project, f"orders-{drill}", of_drill | {"recovery:workload": "shop"}, **in_stack)),
        ("cluster", cluster(project, f"carts-{drill}", of_drill, 2, **in_stack)),
        ("table", make_table(region, TableName=f"sessions-{drill}", **tagged(of_drill))["TableName"]),
    ]
    made = parameters(project, f"/recovery/shop/drill/{drill}", of_drill, 12)
    theirs = [
        ("instance", instance(project, unique("orders"), NOTHING)),
        ("instance", instance(project, f"orders-{drill}-{other}", {TAG: other})),
        ("cluster", cluster(project, unique("carts"), NOTHING, 1)),
        ("table", make_table(region, TableName=unique("sessions"))["TableName"]),
        ("table", make_table(region, TableName=f"{other}-{drill}", **tagged({TAG: f"{other}-{drill}"}))["TableName"]),
    ]
    kept = parameters(project, f"/recovery/shop/drill/{other}", {TAG: other}, 1)
    kept += parameters(project, f"/recovery/shop/{drill}", NOTHING, 1)
    # As a stack would create it.
    kept += parameters(project, f"/elsewhere/{drill}", of_drill, 1)
    volume = region.client("ec2").create_volume(
        AvailabilityZone=f"{REGION}a",
        Size=1,
        TagSpecifications=[{"ResourceType": "volume", "Tags": tag_list(of_drill)}],
    )["VolumeId"]
    # Instances and tables are still being created.
    succeeded(project.clean_up(drill, stack["name"]))
    assert [project.exists(*each) for each in ours] == [False] * len(ours)
    assert [project.exists(*each) for each in theirs] == [True] * len(theirs)
    found = region.client("ssm").get_parameters(Names=[*made[:8], *kept])
    assert sorted(each["Name"] for each in found["Parameters"]) == sorted(kept)
    assert stack_status(project, stack["id"]) == "DELETE_COMPLETE"
    assert refusal(lambda: region.client("ec2").describe_volumes(VolumeIds=[volume]))[0] == "InvalidVolume.NotFound"
    assert region.client("rds").describe_db_snapshots(SnapshotType="manual")["DBSnapshots"] == []
    assert region.client("rds").describe_db_cluster_snapshots(SnapshotType="manual")["DBClusterSnapshots"] == []
    # A second clean-up has nothing to do.
    succeeded(project.clean_up(drill, stack["name"]))


def test_deletes_more_than_a_page(project: Project) -> None:
    drill, region = unique("d"), project.region
    for number in range(105):
        make_table(region, TableName=f"a{number:03}-{unique('table')}")
    last = make_table(region, TableName=f"z-{drill}", **tagged({TAG: drill}))["TableName"]
    names = [instance(project, f"db{number:02}-{drill}", {TAG: drill}) for number in range(23)]
    published = parameters(project, f"/recovery/shop/drill/{drill}", {TAG: drill}, 63)
    succeeded(project.clean_up(drill))
    assert not project.exists("table", last)
    found = region.client("ssm").get_parameters(Names=published[-10:])
    assert found["InvalidParameters"] and not found["Parameters"]
    # No page is read after what an earlier one listed was deleted.
    assert region.journal("call", operation="DescribeParameters", errorCode="InvalidNextToken") == []
    assert not any(project.exists("instance", name) for name in names)


def test_finds_names_in_small_letters_and_without_underscores(project: Project) -> None:
    drill = f"Drill_{unique('x')}"
    written = drill.lower().replace("_", "-")
    tables = [f"sessions-{drill}", f"carts-{written}"]
    for name in tables:
        make_table(project.region, TableName=name, **tagged({TAG: drill}))
    database = instance(project, f"orders-{written}", {TAG: drill})
    (name,) = parameters(project, f"/recovery/shop/drill/{drill}", {TAG: drill}, 1)
    late = instance(project, f"late-{written}", NOTHING)
    assert f"{late} has the name of the drill" in failed(project.clean_up(drill))
    assert not any(project.exists("table", table) for table in tables) and not project.exists("instance", database)
    assert project.region.client("ssm").get_parameters(Names=[name])["InvalidParameters"] == [name]


def test_keeps_and_reports_what_is_protected(project: Project) -> None:
    drill, region = unique("d"), project.region
    of_drill, rds = {TAG: drill}, project.region.client("rds")
    stack = drill_stack(project, drill)
    database = instance(
        project, f"orders-{drill}", of_drill, DeletionProtection=True, DBSubnetGroupName=stack["Subnets"]
    )
    carts = cluster(project, f"carts-{drill}", of_drill, 1, DeletionProtection=True)
    table = make_table(region, TableName=f"t-{drill}", DeletionProtectionEnabled=True, **tagged(of_drill))["TableName"]
    free = make_table(region, TableName=f"free-{drill}", **tagged(of_drill))["TableName"]
    cause, message = failed(project.clean_up(drill, stack["name"])), project.notification(drill)
    kept = [("instance", database), ("instance", f"{carts}-1"), ("cluster", carts), ("table", table)]
    assert [project.exists(*each) for each in kept] == [True] * len(kept)
    assert not project.exists("table", free)
    for told in (cause, message):
        assert f"the DB instance {database} is protected against deletion" in told
        assert f"aws rds modify-db-instance --region {REGION} --db-instance-identifier {database} --no-dele" in told
        assert f"aws rds modify-db-cluster --region {REGION} --db-cluster-identifier {carts} --no-deletion-prot" in told
        assert f"aws dynamodb update-table --region {REGION} --table-name {table} --no-deletion-protection" in told
        # The database uses the subnet group of the stack.
        assert f"the stack {stack['name']} could not be deleted" in told
    rds.modify_db_instance(DBInstanceIdentifier=database, DeletionProtection=False)
    rds.modify_db_cluster(DBClusterIdentifier=carts, DeletionProtection=False)
    region.client("dynamodb").update_table(TableName=table, DeletionProtectionEnabled=False)
    succeeded(project.clean_up(drill, stack["name"]))
    assert [project.exists(*each) for each in kept] == [False] * len(kept)
    assert stack_status(project, stack["id"]) == "DELETE_COMPLETE"


def test_reports_resources_with_the_name_of_the_drill_but_without_its_tag(project: Project) -> None:
    drill = unique("d")
    late = [
        ("instance", instance(project, f"orders-{drill}", {"recovery:workload": "shop"})),
        ("cluster", cluster(project, f"carts-{drill}", NOTHING)),
        ("table", make_table(project.region, TableName=f"sessions-{drill}")["TableName"]),
    ]
    cause = failed(project.clean_up(drill))
    for _, name in late:
        assert f"{name} has the name of the drill, but not its tag" in cause
    assert all(project.exists(*each) for each in late)


def test_repeats_calls_that_fail_or_whose_answers_are_lost(project: Project) -> None:
    drill, region = unique("d"), project.region
    database = instance(project, f"orders-{drill}", {TAG: drill})
    carts = cluster(project, f"carts-{drill}", {TAG: drill}, 1)
    table = make_table(region, TableName=f"sessions-{drill}", **tagged({TAG: drill}))["TableName"]
    (name,) = parameters(project, f"/recovery/shop/drill/{drill}", {TAG: drill}, 1)
    region.wait_until_idle()
    calls = [
        ("rds", "DescribeDBClusters", "throttled"),
        ("rds", "DescribeDBInstances", "server-error"),
        ("rds", "DeleteDBInstance", "reset-after"),
        ("rds", "DeleteDBCluster", "throttled"),
        ("dynamodb", "ListTables", "reset-before"),
        ("dynamodb", "DescribeTable", "throttled"),
        ("dynamodb", "ListTagsOfResource", "server-error"),
        ("dynamodb", "DeleteTable", "reset-after"),
        ("ssm", "DescribeParameters", "throttled"),
        ("ssm", "DeleteParameters", "reset-after"),
    ]
    faults = [
        {"kind": kind, "service": service, "operation": operation, "caller": "state-machine"}
        for service, operation, kind in calls
    ]
    assert region.post("faults", faults)[0] == 200
    succeeded(project.clean_up(drill))
    injected = {(each["service"], each["operation"]) for each in region.get("faults")["injected"]}
    assert injected >= {(service, operation) for service, operation, _ in calls}
    assert not any(project.exists(*each) for each in (("instance", database), ("cluster", carts), ("table", table)))
    assert region.client("ssm").get_parameters(Names=[name])["InvalidParameters"] == [name]


def test_stops_waiting_and_says_for_what(project: Project) -> None:
    drill, region = unique("d"), project.region
    name = f"orders-{drill}"
    region.post("status-ends", {"name": name, "status": "creating"})
    instance(project, name, {TAG: drill})
    # A cluster with an instance of somebody else.
    carts = cluster(project, f"carts-{drill}", {TAG: drill}, 1)
    region.client("rds").create_db_instance(
        DBInstanceIdentifier=f"{carts}-reader",
        DBClusterIdentifier=carts,
        Engine="aurora-postgresql",
        DBInstanceClass="db.r6g.large",
    )
    execution = project.clean_up(drill)
    cause = failed(execution)
    assert f"the DB instance {name} could not be deleted: Rds.InvalidDbInstanceStateException" in cause
    assert f"the DB cluster {carts} could not be deleted: Rds.InvalidDbClusterStateException" in cause
    assert "still contains DB instances" in cause and "does not wait longer" in cause
    kept = [("instance", name), ("cluster", carts), ("instance", f"{carts}-reader")]
    assert all(project.exists(*each) for each in kept) and not project.exists("instance", f"{carts}-1")
    pages = region.client("stepfunctions").get_paginator("get_execution_history")
    events = sum(len(page["events"]) for page in pages.paginate(executionArn=execution["executionArn"]))
    assert events < 12_000
    region.post("status-ends", {"name": name, "status": None})


def test_reports_what_cannot_be_listed(project: Project) -> None:
    drill, region = unique("d"), project.region
    iam, role = region.client("iam"), project.resources["DrillCleanupRole"]
    table = make_table(region, TableName=f"sessions-{drill}", **tagged({TAG: drill}))["TableName"]
    denied = policy(
        {"Effect": "Deny", "Action": ["rds:DescribeDBInstances", "ssm:DescribeParameters"], "Resource": "*"}
    )
    iam.put_role_policy(RoleName=role, PolicyName="denied", PolicyDocument=denied)
    try:
        cause = failed(project.clean_up(drill))
    finally:
        iam.delete_role_policy(RoleName=role, PolicyName="denied")
    assert "the DB instances could not be listed" in cause and "the SSM parameters could not be listed" in cause
    assert not project.exists("table", table)


def test_role_deletes_nothing_without_the_tag(project: Project) -> None:
    iam = project.region.client("iam")
    document = iam.get_role_policy(RoleName=project.resources["DrillCleanupRole"], PolicyName="drill-cleanup")
    statements = document["PolicyDocument"]["Statement"]
    rds = client_of(project.region, "rds", *statements)
    dynamodb = client_of(project.region, "dynamodb", *statements)
    ssm = client_of(project.region, "ssm", *statements)
    name, workload = unique("orders"), {"recovery:workload": "shop"}
    arn = make_instance(project.region, DBInstanceIdentifier=name, **tagged(workload))["DBInstanceArn"]
    table = make_table(project.region, **tagged({TAG: "d"} | workload))["TableName"]
    (plain,) = parameters(project, f"/recovery/{unique('shop')}/drill/d", NOTHING, 1)
    project.region.wait_until_idle()
    for refused in (
        lambda: rds.delete_db_instance(DBInstanceIdentifier=name, SkipFinalSnapshot=True),
        lambda: rds.add_tags_to_resource(ResourceName=arn, Tags=tag_list({TAG: "d"})),
        lambda: rds.modify_db_instance(DBInstanceIdentifier=name, DeletionProtection=False),
        lambda: dynamodb.delete_table(TableName=table),
        lambda: dynamodb.tag_resource(
            ResourceArn=f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/{table}", Tags=tag_list({TAG: "d"})
        ),
        lambda: ssm.delete_parameters(Names=[plain]),
        lambda: ssm.get_parameter(Name=plain),
    ):
        assert refusal(refused)[0].startswith("AccessDenied")


def test_reports_tables_of_an_account_without_attribute_based_access_control(tmp_path: Path) -> None:
    project, drill = Project(tmp_path, "--no-table-tags-in-policies"), unique("d")
    table = make_table(project.region, TableName=f"t-{drill}", **tagged({TAG: drill}))["TableName"]
    project.region.wait_until_idle()
    failed(project.clean_up(drill))
    message = project.notification(drill)
    assert f"the table {table} could not be deleted" in message and "dynamodb:DeleteTable" in message
    assert "DynamoDB console, Settings, Attribute-based access control" in message
    assert project.exists("table", table)
    assert project.region.stop() == 0
