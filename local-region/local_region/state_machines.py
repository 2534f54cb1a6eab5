"""Step Functions' AWS SDK integrations with the services ministack does not map."""

from typing import Any

import botocore.config
import botocore.session
from botocore.exceptions import ClientError, ParamValidationError, UnknownServiceError
from ministack.core.responses import get_region
from ministack.services import stepfunctions

from local_region.callers import STATE_MACHINE, user_agent
from local_region.settings import Settings

# The service's name in an integration -> its name in an error, where that is not the first capitalised.
ERROR_PREFIXES = {"cloudformation": "CloudFormation"}


class SdkIntegrations:
    """Calls any AWS service at the Region itself, on behalf of a state machine."""

    def __init__(self, settings: Settings, endpoint: str) -> None:
        self._settings = settings
        self._endpoint = endpoint
        self._clients: dict[tuple[str, str], Any] = {}
        self._invoke_by_ministack = stepfunctions._invoke_aws_sdk_integration
        stepfunctions._invoke_aws_sdk_integration = self._invoke

    def _invoke(self, resource: str, input_data: dict[str, Any]) -> Any:
        # arn:aws:states:::aws-sdk:<service>:<action>
        service, action = resource.removesuffix(".waitForTaskToken").split(":")[6:8]
        if service.lower() in stepfunctions._AWS_SDK_SERVICE_MAP:
            return self._invoke_by_ministack(resource, input_data)
        prefix = ERROR_PREFIXES.get(service, service.capitalize())
        try:
            client = self._client(service)
        except UnknownServiceError as error:
            raise stepfunctions._ExecutionError("States.Runtime", f"There is no service {service}") from error
        operation = action[0].upper() + action[1:]
        if operation not in client.meta.service_model.operation_names:
            raise stepfunctions._ExecutionError("States.Runtime", f"Service {service} has no action {action}")
        try:
            return _plain(client._make_api_call(operation, input_data or {}))
        except ClientError as error:
            raise stepfunctions._ExecutionError(
                f"{prefix}.{error.response['Error']['Code']}", error.response["Error"]["Message"]
            ) from error
        except ParamValidationError as error:
            raise stepfunctions._ExecutionError("States.Runtime", str(error)) from error

    def _client(self, service: str) -> Any:
        key = service, get_region()
        if key not in self._clients:
            self._clients[key] = botocore.session.Session().create_client(
                service,
                region_name=get_region(),
                endpoint_url=self._endpoint,
                aws_access_key_id=self._settings.access_key_id,
                aws_secret_access_key=self._settings.secret_access_key,
                config=botocore.config.Config(
                    user_agent_extra=user_agent(STATE_MACHINE), retries={"total_max_attempts": 1}
                ),
            )
        return self._clients[key]


def _plain(value: Any) -> Any:
    """An SDK answer as a state's output: JSON, without what the SDK adds about the response."""
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items() if name != "ResponseMetadata"}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value.isoformat() if hasattr(value, "isoformat") else value
