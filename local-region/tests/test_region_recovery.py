"""The state machine of a recovery: what it calls for each type, what stops what, and how long it waits."""

import json
from typing import Any

import pytest
from ministack.services import stepfunctions
from recovery_stand_ins import Item, Recovery, Stack, method_of

from local_region.state_data import failure
from local_region.state_runs import Stopped

MINUTE, HOUR = 60, 3600
BEGAN = "2026-11-30T03:00:00.000Z"
PROBLEMS = f"infrastructure/shop-1/{BEGAN}"
DATABASES = ("RDS", "Aurora", "DocumentDB", "Neptune")


def two_stacks() -> Recovery:
    """A stack that fails after two minutes, and one that does not, with an item each, and an item that needs none."""
    stacks = {
        "bad": Stack(2 * MINUTE, {"Server": 10 * HOUR}, fails=True),
        "good": Stack(10 * MINUTE, {"Server": 9 * MINUTE}),
    }
    items = [
        Item("lost", "EBS", MINUTE, needs=("bad", "Server")),
        Item("kept", "EBS", MINUTE, needs=("good", "Server")),
        Item("carts", "DynamoDB", MINUTE),
        Item("later", "EBS", MINUTE, needs=("good", "Server"), wave=1),
    ]
    return Recovery(stacks, items)


def times(recovery: Recovery, name: str) -> list[dict[str, Any]]:
    """The arguments of all calls of a function or an operation."""
    return [given for called, given in recovery.called if called == name]


def child_history(name: str) -> list[dict[str, Any]]:
    """The history of the child execution for an item."""
    (found,) = [
        execution["events"]
        for execution in stepfunctions._executions.values()
        if f'/{name}"' in execution["input"] or f':{name}"' in execution["input"]
    ]
    return found


@pytest.fixture(autouse=True)
def _no_executions() -> None:
    stepfunctions._executions.clear()


def test_failed_stack_stops_only_the_items_that_need_it() -> None:
    recovery = two_stacks()
    report = recovery.run()
    assert set(recovery.integrated) == {"kept", "carts", "later"}
    assert [(problem["step"], problem["subject"], problem["reason"]) for problem in report["problems"]] == [
        ("infrastructure", "bad", "stack-failed"),
        ("start", recovery_arn(recovery, "lost"), "stack-failed"),
    ]
    # As soon as the stack has failed.
    assert len(times(recovery, "RestoreStarterFunction")) < 100
    assert report["infrastructure"]["stacks"] == [
        {"stack": "bad", "did": "created"},
        {"stack": "good", "did": "created"},
    ]
    assert report["infrastructure"]["from"] < report["infrastructure"]["to"]
    assert [given["do"] for given in times(recovery, "RecoveryReporterFunction")] == ["verify", "report", "stop"]
    assert not times(recovery, "FailOverFunction") and "failOver" not in report


def test_failed_stack_records_its_problem_for_the_restores() -> None:
    recovery = two_stacks()
    report = recovery.run()
    (put,) = times(recovery, "s3:putObject")
    assert (put["Bucket"], put["Key"]) == ("RecoveryBucket", f"{PROBLEMS}/0/bad.json")
    assert (
        put["Body"] == {name: report["problems"][0][name] for name in ("reason", "why", "remedy")}
        and "redrive" in put["Body"]["remedy"]
    )
    assert {given["stackProblems"] for given in times(recovery, "RestoreStarterFunction")} == {f"{PROBLEMS}/0/"}


def test_stack_without_a_reason_records_the_error() -> None:
    recovery = Recovery({"bad": Stack(MINUTE)}, [])

    def refuse(_given: dict[str, Any]) -> None:
        raise failure("CloudFormation.ValidationErrorException", "no such template")

    recovery.cloudformation_create_stack = refuse
    recovery.run()
    (put,) = times(recovery, "s3:putObject")
    assert put["Body"]["reason"] == "stack-not-created" and put["Body"]["cause"] == "no such template"
    assert put["Body"]["error"] == "CloudFormation.ValidationErrorException"


def test_redrive_forgets_the_problems_of_stacks_and_continues() -> None:
    recovery = two_stacks()
    recovery.run()
    recovery.stacks["bad"] = Stack(0, {"Server": 0})
    report = recovery.redrive()
    assert report["problems"] == [] and set(recovery.integrated) == {"lost", "kept", "carts", "later"}
    assert times(recovery, "RestoreStarterFunction")[-1]["stackProblems"] == f"{PROBLEMS}/1/"
    assert len(recovery.jobs) == 4
    assert times(recovery, "FailOverFunction")
    # Another failure would be another round.
    assert [given["do"] for given in times(recovery, "RecoveryReporterFunction")][3:] == ["stop", "verify", "report"]


def test_redrive_continues_in_both_branches_of_a_stopped_execution() -> None:
    recovery = two_stacks()
    recovery.stacks["bad"] = Stack(8 * MINUTE, {"Server": MINUTE})
    describe, stopped = recovery.backup_describe_restore_job, []

    def stop_once(given: dict[str, Any]) -> dict[str, Any]:
        if not stopped and recovery.clock.seconds > 90:
            stopped.append(given)
            recovery.stop()
        return describe(given)

    recovery.backup_describe_restore_job = stop_once
    with pytest.raises(Stopped):
        recovery.run()
    assert stopped and len(recovery.integrated) < 4 and not recovery.report
    report = recovery.redrive()
    assert report["problems"] == [] and set(recovery.integrated) == {"lost", "kept", "carts", "later"}
    # Nothing was done twice, and what was done before is not forgotten.
    assert len(times(recovery, "cloudformation:createStack")) == 2 and len(recovery.jobs) == 4
    assert report["infrastructure"]["to"] and len(report["infrastructure"]["stacks"]) == 2
    assert report["redrives"] == 1 and report["round"] == 0


def test_each_redrive_creates_stacks_with_another_token() -> None:
    recovery = two_stacks()
    recovery.run()
    recovery.stacks_created.pop("bad")
    recovery.redrive()
    recovery.stacks_created.pop("bad")
    recovery.redrive(2)
    tokens = [given["ClientRequestToken"] for given in times(recovery, "cloudformation:createStack")]
    assert tokens[-2:] == ["recovery-shop-1-1", "recovery-shop-1-2"]


def test_problem_of_a_stack_that_cannot_be_recorded_is_reported() -> None:
    recovery = two_stacks()

    def refuse(_given: dict[str, Any]) -> None:
        raise failure("S3.S3Exception", "Access Denied")

    recovery.s3_put_object = refuse
    report = recovery.run()
    assert set(recovery.integrated) == {"kept", "carts", "later"}
    assert [problem["reason"] for problem in report["problems"]] == ["stack-failed", "references-take-too-long"]
    assert len(times(recovery, "s3:putObject")) == 5


def foreign_stack(mode: str) -> Recovery:
    """The stack `bad` exists, with all of its resources, and is not for this execution."""
    recovery = two_stacks()
    recovery.stacks["bad"] = Stack(0, {"Server": 0})
    recovery.stacks_created["bad"] = 0
    describe = recovery.cloudformation_describe_stacks

    def described(given: dict[str, Any]) -> dict[str, Any]:
        answer = describe(given)
        if given["StackName"] == "bad":
            tags = [] if mode == "drill" else [{"Key": "recovery:drill", "Value": "another"}]
            answer["Stacks"][0]["Tags"] = tags
        return answer

    recovery.cloudformation_describe_stacks = described
    return recovery


@pytest.mark.parametrize(
    ("mode", "given", "reason"),
    [("drill", {"stack": "shop-drill"}, "stack-of-another"), ("recover", {}, "stack-of-a-drill")],
)
def test_nothing_is_restored_into_a_stack_of_somebody_else(mode: str, given: dict[str, Any], reason: str) -> None:
    recovery = foreign_stack(mode)
    problems = recovery.run(mode=mode, **given)["problems"]
    assert [(problem["step"], problem["reason"]) for problem in problems] == [
        ("infrastructure", reason),
        ("start", reason),
    ]
    assert {job.rpartition("-")[0] for job in recovery.jobs} == {"kept", "carts", "later"}


@pytest.mark.parametrize("mode", ["drill", "recover"])
def test_no_restore_starts_if_the_stack_of_somebody_else_cannot_be_recorded(mode: str) -> None:
    recovery = foreign_stack(mode)

    def refuse(_given: dict[str, Any]) -> None:
        raise failure("S3.S3Exception", "Access Denied")

    recovery.s3_put_object = refuse
    report = recovery.run(mode=mode, stack="shop-drill")
    assert not times(recovery, "RestoreStarterFunction") and not recovery.jobs
    (problem,) = report["problems"]
    assert problem["subject"] == "bad" and "unrecorded" not in problem
    assert report["infrastructure"]["to"]


def deleted_stack(seconds: float) -> Recovery:
    """A stack that is being deleted for this time."""
    recovery = Recovery({"shop": Stack(MINUTE, {"Server": 0})}, [Item("data", "EBS", MINUTE, needs=("shop", "Server"))])
    describe = recovery.cloudformation_describe_stacks

    def described(given: dict[str, Any]) -> dict[str, Any]:
        if recovery.clock.seconds < seconds:
            return {"Stacks": [{"StackStatus": "DELETE_IN_PROGRESS"}]}
        return describe(given)

    recovery.cloudformation_describe_stacks = described
    return recovery


def test_nothing_is_restored_into_a_stack_that_stays_in_deletion() -> None:
    recovery = deleted_stack(10 * HOUR)
    assert [problem["reason"] for problem in recovery.run()["problems"]] == ["stack-takes-too-long"] * 2
    assert not recovery.jobs and HOUR <= recovery.clock.seconds < 1.12 * HOUR


def test_stack_that_is_being_deleted_is_created_again() -> None:
    recovery = deleted_stack(2 * MINUTE)
    report = recovery.run()
    assert report["problems"] == [] and report["infrastructure"]["stacks"] == [{"stack": "shop", "did": "created"}]
    assert list(recovery.integrated) == ["data"]


@pytest.mark.parametrize("minutes", [5, 90])
def test_item_waits_for_its_references_as_long_as_for_a_stack(minutes: int) -> None:
    # The stack is complete, and lacks it.
    stacks = {"other": Stack(MINUTE, {"Server": 20 * HOUR})}
    items = [Item("data", "EBS", MINUTE, needs=("other", "Server"))]
    recovery = Recovery(stacks, items, {"InfrastructureMinutes": str(minutes)})
    (problem,) = recovery.run()["problems"]
    assert (problem["step"], problem["reason"]) == ("start", "references-take-too-long")
    assert problem["subject"] == recovery_arn(recovery, "data") and "redrive" in problem["remedy"]
    assert problem["why"].endswith("Server of the stack other")
    assert minutes * MINUTE <= recovery.clock.seconds < 1.12 * minutes * MINUTE + 60


@pytest.mark.parametrize(
    ("type_", "parameter", "minutes"),
    [
        ("EBS", None, 15),
        ("S3", None, 15),
        ("EC2", None, 60),
        ("DynamoDB", "TableMinutes", 7),
        ("EFS", "FileSystemMinutes", 7),
        ("FSx", "FileSystemMinutes", 7),
        *[(name, "DatabaseMinutes", 33) for name in DATABASES],
    ],
)
def test_integration_is_awaited_as_long_as_its_type_allows(type_: str, parameter: str | None, minutes: int) -> None:
    parameters = {parameter: str(minutes)} if parameter else {}
    recovery = Recovery({}, [Item("slow", type_, MINUTE, 20 * HOUR), Item("quick", type_, MINUTE)], parameters)
    report = recovery.run()
    assert list(recovery.integrated) == ["quick"]
    (problem,) = report["problems"]
    assert (problem["step"], problem["reason"]) == ("integrate", "integration-takes-too-long")
    assert "slow-1" in problem["why"] and problem["why"].endswith("slow to become available")
    assert "slow-1" in problem["remedy"] and "redrive" in problem["remedy"]
    assert minutes * MINUTE <= recovery.clock.seconds - MINUTE < 1.12 * minutes * MINUTE + 60
    recovery.clock.pause(20 * HOUR)
    assert recovery.redrive()["problems"] == [] and len(recovery.jobs) == 2


@pytest.mark.parametrize("type_", ["Aurora", "DynamoDB"])
def test_time_of_the_function_counts_towards_the_time_of_an_integration(type_: str) -> None:
    parameters = {"DatabaseMinutes": "60", "TableMinutes": "60"}
    recovery = Recovery({}, [Item("slow", type_, MINUTE, 20 * HOUR)], parameters)
    pending = recovery.restore_integrator

    def integrate(given: dict[str, Any]) -> Any:
        # A run waits as long as it may before it answers `pending`.
        recovery.clock.pause(45)
        return pending(given)

    recovery.database_integrator = recovery.table_integrator = integrate
    (problem,) = recovery.run()["problems"]
    assert problem["reason"] == "integration-takes-too-long"
    # At most one more wait and one more run.
    assert 60 * MINUTE <= recovery.clock.seconds - MINUTE < 60 * MINUTE + 90 + 60 + 30


FUNCTIONS = {
    "EBS": "RestoreIntegratorFunction",
    "DynamoDB": "TableIntegratorFunction",
    "EFS": "FileSystemIntegratorFunction",
    "FSx": "FileSystemIntegratorFunction",
    "S3": "BucketIntegratorFunction",
    "EC2": "InstanceIntegratorFunction",
    **dict.fromkeys(DATABASES, "DatabaseIntegratorFunction"),
}


def one_of_each() -> Recovery:
    return Recovery({}, [Item(f"its-{type_.lower()}", type_, MINUTE) for type_ in FUNCTIONS])


def test_each_type_is_integrated_by_its_function() -> None:
    recovery = one_of_each()
    assert recovery.run()["problems"] == []
    payloads = {
        given["item"]["type"]: (name, given) for name, given in recovery.called if name.endswith("IntegratorFunction")
    }
    assert {type_: name for type_, (name, _) in payloads.items()} == FUNCTIONS
    for type_, (_, given) in payloads.items():
        assert given["restoreJobId"] == f"its-{type_.lower()}-1" and set(given) == {"restoreJobId", "item"}
    assert not [name for name, _ in recovery.called if "ag" in name.partition(":")[2]]


def test_drill_tags_what_it_restored_and_names_itself_to_the_functions() -> None:
    recovery = one_of_each()
    assert recovery.run(mode="drill", stack="shop-drill")["problems"] == []
    for name in set(FUNCTIONS.values()):
        assert all(given["drill"] == {"stack": "shop-drill", "name": "shop-1"} for given in times(recovery, name))
    tags = [{"Key": "recovery:drill", "Value": "shop-1"}]
    # The bucket has the tags of the drill's stack.
    tagged = sorted(times(recovery, "ec2:createTags"), key=lambda given: given["Resources"])
    assert tagged == [{"Resources": [name], "Tags": tags} for name in ("its-ebs", "its-ec2")]
    assert times(recovery, "dynamodb:tagResource") == [
        {"ResourceArn": "arn:aws:dynamodb:us-west-2:111122223333:table/its-dynamodb", "Tags": tags}
    ]
    assert times(recovery, "efs:tagResource") == [{"ResourceId": "its-efs", "Tags": tags}]
    assert times(recovery, "fsx:tagResource") == [
        {"ResourceARN": "arn:aws:fsx:us-west-2:111122223333:file-system/its-fsx", "Tags": tags}
    ]
    tagged = times(recovery, "rds:addTagsToResource")
    assert {given["ResourceName"].rpartition(":")[2] for given in tagged} == {
        f"its-{name.lower()}" for name in DATABASES
    }
    assert all(given["Tags"] == tags for given in tagged)
    # Before the function creates instances, which get the tag of their cluster.
    order = [name for name, given in recovery.called if "its-aurora" in json.dumps(given)]
    assert order.index("rds:addTagsToResource") < order.index("DatabaseIntegratorFunction")


@pytest.mark.parametrize("error", ["ResourceNotFoundException", "LimitExceededException", "ResourceInUseException"])
def test_table_is_tagged_when_dynamodb_accepts_its_tags(error: str) -> None:
    recovery = Recovery({}, [Item("carts", "DynamoDB", MINUTE)])
    left = [1, 1]

    def refuse(_given: dict[str, Any]) -> dict[str, Any]:
        if left:
            left.pop()
            raise failure(f"DynamoDb.{error}", "not yet")
        return {}

    recovery.dynamodb_tag_resource = refuse
    assert recovery.run(mode="drill", stack="shop-drill")["problems"] == []
    assert len(times(recovery, "dynamodb:tagResource")) == 3


def test_resource_that_cannot_be_tagged_is_not_integrated() -> None:
    recovery = Recovery({}, [Item("orders", "RDS", MINUTE)])

    def refuse(_given: dict[str, Any]) -> None:
        raise failure("Rds.DbInstanceNotFoundException", "no such instance")

    recovery.rds_add_tags_to_resource = refuse
    (problem,) = recovery.run(mode="drill", stack="shop-drill")["problems"]
    assert problem["cause"] == "no such instance" and not recovery.integrated


@pytest.mark.parametrize(
    ("reason", "given", "moves"),
    [
        ("volume-in-image", {}, True),
        ("tags-elsewhere", {}, True),
        ("volume-newer-than-image", {}, False),
        ("volume-newer-than-image", {"acceptRefusals": True}, True),
        ("tags-unread", {}, False),
    ],
)
def test_traffic_moves_only_if_no_data_is_given_up(reason: str, given: dict[str, Any], moves: bool) -> None:
    recovery = Recovery({"shop": Stack(MINUTE, {"Server": 30})}, [Item("web", "EC2", MINUTE, needs=("shop", "Server"))])
    recovery.refusals = {reason: 2}
    report = recovery.run(**given)
    assert set(recovery.integrated) == {"web"}
    assert bool(times(recovery, "FailOverFunction")) == moves
    reasons = [problem["reason"] for problem in report["problems"]]
    assert reasons == ([] if moves else ["not-all-planned"])


def test_partial_restore_is_a_problem_until_a_redrive_restores_the_rest() -> None:
    recovery = Recovery({}, [Item("assets", "S3", MINUTE), Item("data", "EBS", MINUTE)])
    answers = [
        {
            "outcome": "partial",
            "reason": "restore-partial",
            "why": "objects are missing in assets",
            "remedy": "Redrive.",
        }
    ]

    def integrate(given: dict[str, Any]) -> Any:
        return answers.pop() if answers else recovery.restore_integrator(given)

    recovery.bucket_integrator = integrate
    (problem,) = recovery.run()["problems"]
    assert (problem["reason"], problem["why"]) == ("restore-partial", "objects are missing in assets")
    assert list(recovery.integrated) == ["data"]
    # The function that starts restores decides that the first job does not count.
    recovery.jobs["assets-1"]["fails"] = True
    assert recovery.redrive()["problems"] == []
    assert [job for job in recovery.jobs if job.startswith("assets")] == ["assets-1", "assets-2"]
    assert set(recovery.integrated) == {"assets", "data"}


def test_second_restore_job_is_awaited_like_the_first() -> None:
    recovery = Recovery({}, [Item("data", "EBS", 50 * MINUTE, failing_jobs=1)], {"RestoreHours": "1"})
    assert recovery.run()["problems"] == []
    starts = [about["started"] for about in recovery.jobs.values()]
    assert len(starts) == 2
    assert recovery.integrated["data"] - starts[1] < 50 * MINUTE * 1.025 + 30
    names = [name for name, _ in recovery.called]
    second = names[len(names) - names[::-1].index("RestoreStarterFunction") :]
    # Again every 15 seconds at first.
    assert second.count("backup:describeRestoreJob") == names.count("backup:describeRestoreJob") // 2


def test_histories_stay_below_the_quota_with_the_longest_waits() -> None:
    parameters = {"InfrastructureMinutes": "600", "RestoreHours": "24", "DatabaseMinutes": "720"}
    stacks = {"slow": Stack(600 * MINUTE, {"Subnets": 599 * MINUTE})}
    items = [Item("orders", "Aurora", 23 * HOUR, 11 * HOUR, ("slow", "Subnets"), failing_jobs=1)]
    recovery = Recovery(stacks, items, parameters)
    assert recovery.run()["problems"] == []
    assert recovery.clock.seconds > 66 * HOUR
    events = len(child_history("orders"))
    # The rest is for errors that are retried.
    assert 5_000 < events < 15_000, events
    assert len(recovery.execution["events"]) < 150


def failing_integration(recovery: Recovery, answer: Any) -> None:
    """Let every function that integrates fail, or answer this."""

    def integrate(_given: dict[str, Any]) -> Any:
        if isinstance(answer, Exception):
            raise answer
        return answer

    for name in set(FUNCTIONS.values()):
        setattr(recovery, method_of(name), integrate)


@pytest.mark.parametrize("type_", [type_ for type_ in FUNCTIONS if type_ != "EBS"])
def test_problem_of_an_integration_stays_although_the_resource_exists(type_: str) -> None:
    recovery = Recovery({}, [Item("orders", type_, MINUTE)])
    refusal = {"outcome": "refused", "reason": "setting-refused", "why": "no such setting", "remedy": "Fix the tag."}
    failing_integration(recovery, refusal)
    recovery.unfinished = list
    (problem,) = recovery.run()["problems"]
    assert (problem["step"], problem["reason"]) == ("integrate", "setting-refused")
    assert not times(recovery, "FailOverFunction")


def test_volume_that_is_attached_has_no_problem() -> None:
    recovery = Recovery({}, [Item("data", "EBS", MINUTE)])
    failing_integration(recovery, failure("Permanent", "no answer"))
    recovery.unfinished = list
    assert recovery.run()["problems"] == []


def fail_first_wave(recovery: Recovery) -> None:
    """Let the first wave fail as a whole, because its items cannot be read."""
    read = recovery.s3_get_object

    def refuse(given: dict[str, Any]) -> Any:
        if given["Key"].endswith("wave-0.json"):
            raise failure("S3.S3Exception", "Slow Down")
        return read(given)

    recovery.s3_get_object = refuse


def test_wave_that_fails_keeps_its_cause_and_the_next_wave_runs() -> None:
    recovery = Recovery({}, [Item("data", "EBS", MINUTE), Item("later", "EBS", MINUTE, wave=1)])
    fail_first_wave(recovery)
    wave, item = recovery.run()["problems"]
    assert wave["subject"] == "wave 0" and "Slow Down" in wave["cause"]
    assert item["subject"] == recovery_arn(recovery, "data")
    assert list(recovery.integrated) == ["later"]


def test_wave_that_fails_is_no_problem_if_its_items_are_complete() -> None:
    recovery = Recovery({}, [Item("data", "EBS", MINUTE)])
    fail_first_wave(recovery)
    recovery.unfinished = list
    assert recovery.run()["problems"] == []


def test_many_long_problems_fit_into_the_limit_of_a_state() -> None:
    stacks = {f"stack-{number}": Stack(MINUTE, {}, fails=True) for number in range(60)}
    recovery = Recovery(stacks, [Item(f"vol-{number}", "EBS", MINUTE) for number in range(250)])
    refusal = {"outcome": "refused", "reason": "not-allowed", "why": "w" * 450, "remedy": "r" * 250}
    recovery.restore_starter = lambda _given: refusal
    problems = recovery.run()["problems"]
    assert len(problems) == 200
    assert [problem["step"] for problem in problems[:41]] == ["infrastructure"] * 40 + ["start"]


def recovery_arn(recovery: Recovery, name: str) -> str:
    """The resource of an item."""
    (arn,) = [item.arn for item in recovery.items.values() if item.name == name]
    return arn
