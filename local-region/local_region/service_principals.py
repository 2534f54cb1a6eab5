"""What policies of resources let AWS services do. A service has no policies of its own."""

from typing import Any

from ministack.core.iam_evaluator import EvalContext, evaluate_resource_policy
from ministack.core.responses import get_account_id, get_region


def service_may(service: str, action: str, resource_arn: str, policy: Any, context: dict[str, str]) -> bool:
    """Whether a resource's policy allows an action to an AWS service, under the condition keys of `context`."""
    request = EvalContext(
        principal_arn="*",
        principal_type="Service",
        principal_account="",
        action=action,
        resource_arn=resource_arn,
        region=get_region(),
        service_context={key.lower(): value for key, value in context.items()},
    )
    return evaluate_resource_policy(policy, request, service=service).decision == "Allow"


def on_behalf_of(source_arn: str) -> dict[str, str]:
    """The condition keys of a service that acts for a resource of this account."""
    return {"aws:SourceArn": source_arn, "aws:SourceAccount": get_account_id()}
