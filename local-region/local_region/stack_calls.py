"""What CloudFormation asks of who calls it, and how it words what it refuses."""

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

from ministack.core.responses import get_account_id, get_region
from ministack.services import cloudformation
from ministack.services.cloudformation import changesets, handlers

from local_region.api_error import ApiError
from local_region.callers import Caller
from local_region.roles import CannotAssume, assume
from local_region.stack_templates import object_of

PRINCIPAL = "cloudformation.amazonaws.com"
# The operations that read a template, and those that may be given a service role.
READS_TEMPLATE = ("CreateChangeSet", "CreateStack", "GetTemplateSummary", "UpdateStack", "ValidateTemplate")
TAKES_ROLE = ("CreateChangeSet", "CreateStack", "DeleteStack", "UpdateStack")
# A template's parameter of this type holds the name of an SSM parameter, whose value CloudFormation reads.
SSM_VALUE = "AWS::SSM::Parameter::Value<"
Handler = Callable[[dict[str, Any]], Any]


def check_stack_calls() -> None:
    """Have the operations on stacks checked as AWS checks them."""
    actions = handlers._ACTION_HANDLERS
    for name in READS_TEMPLATE:
        actions[name] = _checked(actions[name], _may_read_template)
    for name in TAKES_ROLE:
        actions[name] = _checked(actions[name], _may_pass_role)
    for module in (handlers, changesets):
        module._resolve_parameters = _with_rights_of_caller(module._resolve_parameters)
    actions["DescribeStacks"] = _without_empty_descriptions(actions["DescribeStacks"])
    actions["DescribeStackResource"] = _of_existing_resource(handlers._describe_stack_resource)


def stack_of(name: str) -> dict[str, Any] | None:
    """The stack that a name or an id means. A name means none that has been deleted."""
    stack = handlers._resolve_stack(name)
    gone = stack and stack["StackStatus"] == "DELETE_COMPLETE" and not name.startswith("arn:")
    return None if gone else stack


def _checked(handle: Handler, check: Callable[[dict[str, Any]], None]) -> Handler:
    def checked(params: dict[str, Any]) -> Any:
        try:
            check(params)
        except ApiError as error:
            code = "AccessDenied" if error.code == "AccessDeniedException" else error.code
            return handlers._error(code, error.message, error.status)
        return handle(params)

    return checked


def _may_read_template(params: dict[str, Any]) -> None:
    """CloudFormation reads a template in S3 with the rights of its caller."""
    found = object_of(handlers._p(params, "TemplateURL"))
    if found:
        try:
            Caller.current().require(
                "s3:GetObject",
                f"arn:aws:s3:::{found[0]}/{unquote(found[1])}",
                **{"aws:ResourceAccount": get_account_id()},
            )
        except ApiError as error:
            raise ApiError("ValidationError", f"S3 error: Access Denied: {error.message}") from error


def _with_rights_of_caller(resolve: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    """CloudFormation reads the SSM parameters that a template's parameters name with the rights of its caller.

    The service role does not count: it makes the resources, and reads `{{resolve:ssm:..}}` in them.
    """

    def resolved(
        template: dict[str, Any], provided_params: list[dict[str, Any]], previous_params: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        given = {parameter.get("Key"): parameter for parameter in provided_params}
        for name, declared in template.get("Parameters", {}).items():
            if str(declared.get("Type")).startswith(SSM_VALUE):
                value = given.get(name, {}).get("Value", declared.get("Default"))
                if given.get(name, {}).get("UsePreviousValue"):
                    value = (previous_params or {}).get(name, {}).get("SsmName", declared.get("Default"))
                if value:
                    _may_read_parameter(str(value))
        return resolve(template, provided_params, previous_params)

    return resolved


def _may_read_parameter(name: str) -> None:
    try:
        Caller.current().require("ssm:GetParameters", _arn_of_parameter(name))
    except ApiError as error:
        # Ministack makes a ValidationError of it. The words are AWS's, which do not say which parameter it is.
        raise ValueError("AccessDenied. User doesn't have permission to call ssm:GetParameters") from error


def _arn_of_parameter(name: str) -> str:
    if name.startswith("arn:"):
        return name
    name = name.partition(":")[0]
    # Parameters that AWS publishes belong to no account.
    owner = "" if name.startswith("/aws/") else get_account_id()
    return f"arn:aws:ssm:{get_region()}:{owner}:parameter/{name.lstrip('/')}"


def _may_pass_role(params: dict[str, Any]) -> None:
    role = handlers._p(params, "RoleARN")
    if not role:
        return
    Caller.current().require("iam:PassRole", role, **{"iam:PassedToService": PRINCIPAL})
    name = handlers._p(params, "StackName")
    stack = stack_of(name)
    arn = stack["StackId"] if stack else f"arn:aws:cloudformation:{get_region()}:{get_account_id()}:stack/{name}/new"
    try:
        assume(role, "AWSCloudFormation", PRINCIPAL, arn)
    except CannotAssume as error:
        raise ApiError("ValidationError", f"Role {role} is invalid or cannot be assumed: {error}") from error


def _of_existing_resource(describe: Handler) -> Handler:
    """DescribeStackResource says what does not exist in AWS's own words."""

    def described(params: dict[str, Any]) -> Any:
        stack_name, logical_id = handlers._p(params, "StackName"), handlers._p(params, "LogicalResourceId")
        stack = stack_of(stack_name)
        if not stack:
            return handlers._error("ValidationError", f"Stack '{stack_name}' does not exist")
        if logical_id not in stack.get("_resources", {}):
            return handlers._error("ValidationError", f"Resource {logical_id} does not exist for stack {stack_name}")
        return describe(params)

    return described


def _without_empty_descriptions(describe: Handler) -> Handler:
    """AWS leaves out what a stack or an output does not have."""

    def described(params: dict[str, Any]) -> Any:
        status, headers, body = describe(params)
        return status, headers, re.sub(rb"<(Description|StackStatusReason)></\1>", b"", body)

    return described


def tags_of_stack(arn: str) -> dict[str, str] | None:
    """The tags of a stack by its id; None when there is none."""
    for stack in cloudformation._stacks.values():
        if stack["StackId"] == arn:
            return {tag["Key"]: tag["Value"] for tag in stack.get("Tags") or []}
    return None
