"""Step Functions' AWS SDK integrations: any operation of any service, called at the Region itself.

Members are spelled as in the SDK for Java, which Step Functions calls services with, the first letter capital
(SFN supported-services-awssdk).
"""

import functools
import json
import re
import threading
from typing import Any

import botocore.config
import botocore.session
from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError
from botocore.model import OperationModel, Shape
from ministack.core.responses import get_region
from ministack.services import stepfunctions

from local_region.callers import STATE_MACHINE, user_agent
from local_region.roles import Credentials

# A service's name in an integration -> the model's, where hyphens are not all the difference.
SERVICES = {
    "cloudwatchlogs": "logs",
    "elasticloadbalancing": "elb",
    "elasticloadbalancingv2": "elbv2",
    "eventbridge": "events",
    "sfn": "stepfunctions",
}
# Prefixes of errors that do not follow from the service's id.
PREFIXES = {"dynamodb": "DynamoDb", "elasticache": "ElastiCache", "events": "EventBridge"}


class SdkIntegrations:
    """Calls services in the name of a state machine's role."""

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint
        self._session = botocore.session.Session()
        self._lock = threading.Lock()
        self._clients: dict[tuple[str, str, str], Any] = {}

    def call(self, service: str, action: str, given: dict[str, Any], credentials: Credentials) -> Any:
        """The answer of an operation as a state's result, or stepfunctions._ExecutionError."""
        client = self._client(service, credentials)
        operation = action[0].upper() + action[1:]
        if operation not in client.meta.service_model.operation_names:
            raise stepfunctions._ExecutionError("States.Runtime", f"Service {service} has no action {action}")
        model = client.meta.service_model.operation_model(operation)
        prefix = _prefix(model)
        try:
            params = _as_modelled(model.input_shape, given) if model.input_shape else {}
            answer = client._make_api_call(operation, params)
        except ClientError as error:
            about = error.response["ResponseMetadata"]
            at = f"Service: {prefix}, Status Code: {about['HTTPStatusCode']}, Request ID: {about.get('RequestId', '')}"
            raise stepfunctions._ExecutionError(
                f"{prefix}.{_error_name(error, model, prefix)}", f"{error.response['Error']['Message']} ({at})"
            ) from error
        except ParamValidationError as error:
            raise stepfunctions._ExecutionError("States.Runtime", str(error)) from error
        except BotoCoreError as error:
            # No answer, or none that is one.
            raise stepfunctions._ExecutionError(f"{prefix}.SdkClientException", str(error)) from error
        return _as_spelled(model.output_shape, answer) if model.output_shape else {}

    def _client(self, service: str, credentials: Credentials) -> Any:
        key = service, get_region(), credentials.access_key_id
        with self._lock:
            if key not in self._clients:
                name = self._service_name(service)
                if name is None:
                    raise stepfunctions._ExecutionError("States.Runtime", f"There is no service {service}")
                self._clients[key] = self._session.create_client(
                    name,
                    region_name=get_region(),
                    endpoint_url=self._endpoint,
                    aws_access_key_id=credentials.access_key_id,
                    aws_secret_access_key=credentials.secret_access_key,
                    aws_session_token=credentials.session_token,
                    config=botocore.config.Config(
                        user_agent_extra=user_agent(STATE_MACHINE),
                        retries={"total_max_attempts": 1},
                        # A function may take a quarter of an hour, and the children of a map run call at once.
                        read_timeout=1000,
                        max_pool_connections=300,
                        s3={"addressing_style": "path"},
                    ),
                )
            return self._clients[key]

    def _service_name(self, service: str) -> str | None:
        names = self._session.get_available_services()
        wanted = SERVICES.get(service.lower(), service.lower())
        return next((name for name in names if wanted in (name, name.replace("-", ""))), None)


@functools.cache
def spelled(member: str) -> str:
    """A member's name as Step Functions spells it: dBInstance and DBInstance are DbInstance, roleARN is RoleARN."""
    name = member[0].upper() + member[1:]
    acronym = re.match(r"[A-Z]{2,}(?=[A-Z][a-z]|$|[^A-Za-z])", name)
    return name if acronym is None else acronym[0].capitalize() + name[acronym.end() :]


def _as_modelled(shape: Shape, value: Any) -> Any:
    """A state's arguments, with the members as the model names them."""
    if shape.type_name == "structure" and isinstance(value, dict):
        names = {alias: name for name in shape.members for alias in (name, spelled(name), name[0].upper() + name[1:])}
        return {
            names.get(name, name): _as_modelled(shape.members[names[name]], item) if name in names else item
            for name, item in value.items()
        }
    if shape.type_name == "list" and isinstance(value, list):
        return [_as_modelled(shape.member, item) for item in value]
    if shape.type_name == "map" and isinstance(value, dict):
        return {key: _as_modelled(shape.value, item) for key, item in value.items()}
    if shape.type_name == "blob" and not isinstance(value, str):
        return json.dumps(value)
    return value


def _as_spelled(shape: Shape, value: Any) -> Any:
    """An SDK's answer as a state's result: JSON, without what the SDK adds about the response."""
    if shape.type_name == "structure":
        return {
            spelled(name): _as_spelled(shape.members[name], item)
            for name, item in value.items()
            if name in shape.members
        }
    if shape.type_name == "list":
        return [_as_spelled(shape.member, item) for item in value]
    if shape.type_name == "map":
        return {key: _as_spelled(shape.value, item) for key, item in value.items()}
    if shape.type_name == "timestamp":
        return value.isoformat().replace("+00:00", "Z")
    if shape.type_name == "blob":
        data = value.read() if hasattr(value, "read") else value
        return data.decode(errors="replace")
    return value


def _prefix(model: OperationModel) -> str:
    """What the errors of a service begin with."""
    service = model.service_model
    words = service.service_id.split()
    return PREFIXES.get(service.service_name) or "".join(
        word.capitalize() if word.isupper() else word for word in words
    )


def _error_name(error: ClientError, model: OperationModel, prefix: str) -> str:
    """An error's name: its class in the SDK for Java. What the model does not know is an error of the service."""
    code = error.response["Error"]["Code"]
    for shape in model.service_model.error_shapes:
        if code in (shape.name, (shape.metadata.get("error") or {}).get("code")):
            # The name of a class, in which no acronym is in capitals.
            name = re.sub(r"[A-Z]{2,}(?=[A-Z][a-z]|$)", lambda acronym: acronym[0].capitalize(), shape.name)
            return f"{re.sub('(Exception|Fault)$', '', name)}Exception"
    return f"{prefix}Exception"
