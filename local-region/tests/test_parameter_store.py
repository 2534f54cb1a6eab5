"""SSM parameters as a clean-up sees them: found by tag, page by page, and deleted ten at a time."""

from running_region import ACCOUNT, REGION, RunningRegion, refusal
from stores import tag_list, unique
from test_drills import client_of

TAG = "recovery:drill"


def put(region: RunningRegion, drill: str | None, count: int = 1) -> list[str]:
    """Parameters with the tag of a drill, if one is named."""
    path = f"/recovery/{unique('shop')}/drill"
    names = [f"{path}/{number:02}" for number in range(count)]
    for name in names:
        tags = {"Tags": tag_list({TAG: drill})} if drill else {}
        region.client("ssm").put_parameter(Name=name, Type="String", Value="x", **tags)
    return names


def test_lists_parameters_by_tag_in_pages(region: RunningRegion) -> None:
    drill, ssm = unique("d"), region.client("ssm")
    names = put(region, drill, 12)
    put(region, unique("d")), put(region, None)
    wanted = [{"Key": f"tag:{TAG}", "Values": [drill]}]
    first = ssm.describe_parameters(ParameterFilters=wanted, MaxResults=5)
    assert len(first["Parameters"]) == 5 and first["NextToken"]
    pages = ssm.get_paginator("describe_parameters").paginate(ParameterFilters=wanted, PaginationConfig={"PageSize": 5})
    assert [each["Name"] for page in pages for each in page["Parameters"]] == names
    assert ssm.describe_parameters(ParameterFilters=[{"Key": f"tag:{TAG}", "Values": ["d"]}])["Parameters"] == []
    # Also by the tag's key alone, together with other filters.
    both = [{"Key": f"tag:{TAG}"}, {"Key": "Name", "Option": "Contains", "Values": [names[0]]}]
    assert [each["Name"] for each in ssm.describe_parameters(ParameterFilters=both)["Parameters"]] == names[:1]


def test_describe_parameters_refuses_unknown_filters_and_large_pages(region: RunningRegion) -> None:
    ssm = region.client("ssm")
    filters = [{"Key": "Colour", "Values": ["red"]}]
    assert refusal(lambda: ssm.describe_parameters(ParameterFilters=filters))[0] == "ValidationException"
    assert refusal(lambda: ssm.describe_parameters(MaxResults=51))[0] == "ValidationException"


def test_deletes_at_most_ten_parameters_at_a_time(region: RunningRegion) -> None:
    names, ssm = put(region, unique("d"), 11), region.client("ssm")
    assert refusal(lambda: ssm.delete_parameters(Names=names))[0] == "ValidationException"
    answer = ssm.delete_parameters(Names=[*names[:9], "none"])
    assert sorted(answer["DeletedParameters"]) == names[:9] and answer["InvalidParameters"] == ["none"]


def test_each_parameter_needs_the_right_to_be_deleted(region: RunningRegion) -> None:
    (tagged,), (plain,) = put(region, unique("d")), put(region, None)
    of_drill = {
        "Effect": "Allow",
        "Action": "ssm:DeleteParameters",
        "Resource": f"arn:aws:ssm:{REGION}:{ACCOUNT}:parameter/*/drill/*",
        "Condition": {"Null": {f"aws:ResourceTag/{TAG}": "false"}},
    }
    ssm = client_of(region, "ssm", of_drill)
    for names in ([plain], [plain, tagged], [tagged, plain]):
        code, message = refusal(lambda names=names: ssm.delete_parameters(Names=names))
        assert code == "AccessDeniedException" and "ssm:DeleteParameters" in message
    assert ssm.delete_parameters(Names=[tagged])["DeletedParameters"] == [tagged]
    assert region.client("ssm").get_parameter(Name=plain)["Parameter"]["Value"] == "x"
