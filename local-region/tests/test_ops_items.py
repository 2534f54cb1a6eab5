"""OpsCenter: OpsItems as the API model and the guide describe them."""

import datetime
import json
from typing import Any

import pytest
from running_region import RunningRegion, received, refusal, subscribe


def create(region: RunningRegion, **params: Any) -> str:
    """Create an OpsItem. Returns its id."""
    return region.client("ssm").create_ops_item(
        **{"Title": "title", "Description": "description", "Source": "tests"} | params
    )["OpsItemId"]


def get(region: RunningRegion, item_id: str) -> dict[str, Any]:
    """The OpsItem."""
    return region.client("ssm").get_ops_item(OpsItemId=item_id)["OpsItem"]


def found(region: RunningRegion, key: str, operator: str, *values: str) -> set[str]:
    """The ids of the OpsItems a filter finds."""
    pages = (
        region.client("ssm")
        .get_paginator("describe_ops_items")
        .paginate(
            OpsItemFilters=[{"Key": key, "Operator": operator, "Values": list(values)}],
        )
    )
    return {item["OpsItemId"] for page in pages for item in page["OpsItemSummaries"]}


def dedup(text: str, **more: str) -> dict[str, dict[str, str]]:
    """Operational data with a deduplication string."""
    data = {"/aws/dedup": {"Type": "SearchableString", "Value": json.dumps({"dedupString": text})}}
    return data | {key: {"Type": "SearchableString", "Value": value} for key, value in more.items()}


def test_new_ops_item_is_open(region: RunningRegion) -> None:
    item_id = create(
        region, Severity="2", Category="Recovery", Priority=1, OperationalData=dedup("begins-open", job="1")
    )
    item = get(region, item_id)
    assert item["Status"] == "Open" and item["OpsItemType"] == "/aws/issue" and item["Version"] == "1"
    assert (item["Severity"], item["Category"], item["Priority"]) == ("2", "Recovery", 1)
    assert item["OperationalData"]["job"] == {"Type": "SearchableString", "Value": "1"}
    assert isinstance(item["CreatedTime"], datetime.datetime)
    assert region.journal("ops-item", opsItemId=item_id)[0]["status"] == "Open"


def test_duplicate_of_an_active_item_is_rejected_with_its_id(region: RunningRegion) -> None:
    ssm = region.client("ssm")
    item_id = create(region, OperationalData=dedup("twice"))
    with pytest.raises(ssm.exceptions.OpsItemAlreadyExistsException) as refused:
        create(region, OperationalData=dedup("twice"))
    assert refused.value.response["OpsItemId"] == item_id
    ssm.update_ops_item(OpsItemId=item_id, Status="InProgress")
    with pytest.raises(ssm.exceptions.OpsItemAlreadyExistsException):
        create(region, OperationalData=dedup("twice"))
    assert create(region, OperationalData=dedup("other")) != item_id


def test_deduplication_ignores_case(region: RunningRegion) -> None:
    ssm = region.client("ssm")
    item_id = create(region, OperationalData=dedup("alarm/Down"))
    with pytest.raises(ssm.exceptions.OpsItemAlreadyExistsException) as refused:
        create(region, OperationalData=dedup("ALARM/down"))
    assert refused.value.response["OpsItemId"] == item_id


def test_quota_allows_finding_and_updating_but_not_creating(region: RunningRegion) -> None:
    ssm = region.client("ssm")
    item_id = create(region, OperationalData=dedup("before-the-quota"))
    assert region.post("ops-item-quota", {"left": 1}) == (200, {"left": 1})
    create(region, OperationalData=dedup("last-one"))
    try:
        assert region.get("ops-item-quota") == {"left": 0}
        with pytest.raises(ssm.exceptions.OpsItemLimitExceededException) as refused:
            create(region, OperationalData=dedup("one-too-many"))
        assert refused.value.response["Limit"] == 10000
        assert refused.value.response["ResourceTypes"] == ["OpsItem"]
        with pytest.raises(ssm.exceptions.OpsItemAlreadyExistsException):
            create(region, OperationalData=dedup("before-the-quota"))
        ssm.update_ops_item(OpsItemId=item_id, Status="Resolved")
        assert get(region, item_id)["Status"] == "Resolved"
    finally:
        assert region.post("ops-item-quota", {"left": None}) == (200, {"left": None})
    create(region, OperationalData=dedup("one-too-many"))


@pytest.mark.parametrize("wish", [{}, {"left": -1}, {"left": "1"}, {"left": True}, {"left": 1, "more": 1}, [1]])
def test_rejects_an_invalid_quota(region: RunningRegion, wish: Any) -> None:
    status, answer = region.post("ops-item-quota", wish)
    assert status == 400 and answer["error"] == "BadRequest"


def test_resources_added_later_do_not_affect_deduplication(region: RunningRegion) -> None:
    item_id = create(region, OperationalData=dedup("later"))
    resources = {"Type": "SearchableString", "Value": json.dumps([{"arn": "arn:aws:ec2:us-west-2:1:volume/vol-later"}])}
    ssm = region.client("ssm")
    ssm.update_ops_item(OpsItemId=item_id, OperationalData={"/aws/resources": resources})
    with pytest.raises(ssm.exceptions.OpsItemAlreadyExistsException):
        create(region, OperationalData=dedup("later"))


def test_resolved_item_allows_a_new_one(region: RunningRegion) -> None:
    item_id = create(region, OperationalData=dedup("again"))
    region.client("ssm").update_ops_item(OpsItemId=item_id, Status="Resolved")
    assert create(region, OperationalData=dedup("again")) != item_id


def test_update_merges_and_deletes_operational_data(region: RunningRegion) -> None:
    ssm = region.client("ssm")
    item_id = create(region, OperationalData=dedup("merge", kept="1", changed="1", dropped="1"))
    ssm.update_ops_item(
        OpsItemId=item_id,
        Title="new title",
        OperationalData={"changed": {"Type": "String", "Value": "2"}},
        OperationalDataToDelete=["dropped"],
        RelatedOpsItems=[{"OpsItemId": create(region)}],
    )
    item = get(region, item_id)
    assert item["Title"] == "new title" and item["Description"] == "description" and item["Version"] == "2"
    assert set(item["OperationalData"]) == {"/aws/dedup", "kept", "changed"}
    assert item["OperationalData"]["changed"] == {"Type": "String", "Value": "2"}
    assert len(item["RelatedOpsItems"]) == 1
    code, _ = refusal(lambda: ssm.update_ops_item(OpsItemId=item_id, OperationalData=dedup("another")))
    assert code == "OpsItemInvalidParameterException"


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"Title": "x" * 1025}, "ValidationException"),
        ({"Title": " "}, "ValidationException"),
        ({"Description": "x" * 2049}, "ValidationException"),
        ({"Source": "x" * 129}, "ValidationException"),
        ({"Severity": "x" * 65}, "ValidationException"),
        ({"Priority": 6}, "ValidationException"),
        ({"Source": "AWS Backup"}, "OpsItemInvalidParameterException"),
        ({"Source": "my-amazon-thing"}, "OpsItemInvalidParameterException"),
        ({"OperationalData": {"aws-thing": {"Type": "String", "Value": "1"}}}, "OpsItemInvalidParameterException"),
        ({"OperationalData": {"/aws/other": {"Type": "String", "Value": "1"}}}, "OpsItemInvalidParameterException"),
        ({"OperationalData": {"ssm-thing": {"Type": "String", "Value": "1"}}}, "OpsItemInvalidParameterException"),
        ({"OperationalData": {"big": {"Type": "String", "Value": "x" * 20481}}}, "OpsItemInvalidParameterException"),
        (
            {"OperationalData": {"/aws/dedup": {"Type": "SearchableString", "Value": "plain"}}},
            "OpsItemInvalidParameterException",
        ),
        ({"OperationalData": {"key": {"Type": "Number", "Value": "1"}}}, "ValidationException"),
    ],
)
def test_create_ops_item_rejects_invalid_requests(region: RunningRegion, params: dict[str, Any], code: str) -> None:
    assert refusal(lambda: create(region, **params))[0] == code


def test_limits_are_inclusive(region: RunningRegion) -> None:
    item_id = create(
        region,
        Title="x" * 1024,
        Description="x" * 2048,
        Source="x" * 128,
        OperationalData={"k" * 128: {"Type": "String", "Value": "x" * 20480}},
    )
    assert len(get(region, item_id)["Description"]) == 2048


def test_missing_item_is_not_found(region: RunningRegion) -> None:
    ssm = region.client("ssm")
    assert refusal(lambda: ssm.get_ops_item(OpsItemId="oi-0123456789ab"))[0] == "OpsItemNotFoundException"
    assert (
        refusal(lambda: ssm.update_ops_item(OpsItemId="oi-0123456789ab", Status="Open"))[0]
        == "OpsItemNotFoundException"
    )
    assert refusal(lambda: ssm.get_ops_item(OpsItemId="12"))[0] == "ValidationException"
    assert refusal(lambda: ssm.update_ops_item(OpsItemId=create(region), Status="Done"))[0] == "ValidationException"


def test_finds_items_by_filters(region: RunningRegion) -> None:
    one = create(
        region,
        Title="restore of the shop",
        Source="finders",
        Severity="1",
        Category="Recovery",
        OperationalData=dedup(
            "found",
            job="job-1",
            **{"/aws/resources": json.dumps([{"arn": "arn:aws:ec2:us-west-2:111122223333:volume/vol-1"}])},
        ),
    )
    two = create(
        region, Title="another", Source="finders", OperationalData={"hidden": {"Type": "String", "Value": "job-1"}}
    )
    region.client("ssm").update_ops_item(OpsItemId=two, Status="Resolved")
    assert found(region, "Source", "Equal", "finders") == {one, two}
    assert found(region, "Title", "Contains", "of the") == {one}
    assert found(region, "Severity", "Equal", "1") & {one, two} == {one}
    assert found(region, "Status", "Equal", "Resolved") & {one, two} == {two}
    assert found(region, "OperationalData", "Equal", json.dumps({"key": "job", "value": "job-1"})) == {one}
    # Only searchable data is found by its value; a key is found either way.
    assert found(region, "OperationalDataValue", "Equal", "job-1") == {one}
    assert found(region, "OperationalDataKey", "Equal", "hidden") == {two}
    assert found(region, "ResourceId", "Contains", "vol-1") == {one}
    assert found(region, "OpsItemId", "Equal", one) == {one}
    hour = datetime.timedelta(hours=1)
    now = datetime.datetime.now(datetime.timezone.utc)
    assert {one, two} <= found(region, "CreatedTime", "GreaterThan", (now - hour).isoformat())
    assert found(region, "CreatedTime", "GreaterThan", (now + hour).isoformat()) == set()
    code, _ = refusal(lambda: found(region, "Status", "Contains", "Open"))
    assert code == "ValidationException"


def test_lists_items_page_by_page_newest_first(region: RunningRegion) -> None:
    made = [create(region, Source="pages") for _ in range(5)]
    request = {"OpsItemFilters": [{"Key": "Source", "Operator": "Equal", "Values": ["pages"]}], "MaxResults": 2}
    pages, token = [], {}
    while not pages or token:
        answer = region.client("ssm").describe_ops_items(**request, **token)
        pages.append([item["OpsItemId"] for item in answer["OpsItemSummaries"]])
        token = {"NextToken": answer["NextToken"]} if "NextToken" in answer else {}
    assert [len(page) for page in pages] == [2, 2, 1]
    assert [item_id for page in pages for item_id in page] == made[::-1]


def test_items_send_events(region: RunningRegion) -> None:
    url = subscribe(region, "ops-items", {"source": ["aws.ssm"], "detail": {"title": ["announced"]}})
    item_id = create(region, Title="announced")
    region.client("ssm").update_ops_item(OpsItemId=item_id, Status="Resolved")
    events = received(region, url)
    assert [(event["detail-type"], event["detail"]["status"]) for event in events] == [
        ("OpsItem Create", "Open"),
        ("OpsItem Update", "Resolved"),
    ]
    assert {event["detail"]["ops-item-id"] for event in events} == {item_id}
