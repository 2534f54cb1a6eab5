"""Who may read and write parameters of Systems Manager."""

from typing import Any

from running_region import ACCOUNT, REGION, RunningRegion, refusal
from stores import tag_list, unique
from test_database_rights import allow
from test_drills import client_of

PARAMETERS = f"arn:aws:ssm:{REGION}:{ACCOUNT}:parameter/recovery/*"
DRILL = {"recovery:drill": "d-1"}


def test_parameters_are_authorized_by_their_names(region: RunningRegion) -> None:
    ssm = client_of(region, "ssm", allow(["ssm:GetParameters", "ssm:PutParameter"], PARAMETERS))
    name = f"/recovery/{unique('shop')}"
    ssm.put_parameter(Name=name, Value="orders", Type="String")
    assert ssm.get_parameters(Names=[name])["Parameters"][0]["Value"] == "orders"
    elsewhere = f"/other/{unique('shop')}"
    for call in (
        lambda: ssm.put_parameter(Name=elsewhere, Value="orders", Type="String"),
        lambda: ssm.get_parameters(Names=[elsewhere]),
    ):
        assert refusal(call)[0] == "AccessDeniedException"


def test_tags_of_a_new_parameter_need_a_right(region: RunningRegion) -> None:
    put = allow("ssm:PutParameter", PARAMETERS)

    def given() -> dict[str, Any]:
        return {"Name": f"/recovery/{unique('shop')}", "Value": "x", "Type": "String", "Tags": tag_list(DRILL)}

    code, message = refusal(lambda: client_of(region, "ssm", put).put_parameter(**given()))
    assert code == "AccessDeniedException" and "ssm:AddTagsToResource" in message
    only_drills = {"ForAllValues:StringEquals": {"aws:TagKeys": "recovery:drill"}}
    ssm = client_of(region, "ssm", put, allow("ssm:AddTagsToResource", PARAMETERS, **only_drills))
    ssm.put_parameter(**given())
    other = given() | {"Tags": tag_list({"team": "sales"})}
    assert refusal(lambda: ssm.put_parameter(**other))[0] == "AccessDeniedException"


def test_tags_are_not_accepted_with_overwrite(region: RunningRegion) -> None:
    ssm = region.client("ssm")
    given = {"Name": f"/recovery/{unique('shop')}", "Value": "x", "Type": "String", "Tags": tag_list(DRILL)}
    code, message = refusal(lambda: ssm.put_parameter(**given, Overwrite=True))
    assert code == "ValidationException" and "tags and overwrite" in message
