"""Systems Manager documents: runbooks and other kinds, each in its latest version."""

import hashlib
import json
import time
from typing import Any

import yaml
from ministack.core.responses import AccountRegionScopedDict, get_account_id
from ministack.services import ssm

from local_region.api_error import ApiError
from local_region.callers import Caller
from local_region.operations import add_json_operations
from local_region.runbook_values import BRANCH, TYPES, Invalid, branch_targets, references

# AWS's own documents, which every account sees.
AWS_OWNED = ("AWS-", "AWSEC2-", "AWSSupport-")


class Documents:
    """The documents of an account and Region, by name."""

    def __init__(self) -> None:
        self._documents = AccountRegionScopedDict()
        add_json_operations(
            "ssm",
            {
                "CreateDocument": self._create_document,
                "DeleteDocument": self._delete_document,
                "DescribeDocument": self._describe_document,
                "GetDocument": self._get_document,
            },
        )

    def runbook(self, name: str) -> tuple[str, dict[str, Any]]:
        """The version and content of the runbook `name`, a name or an ARN."""
        name = name.rpartition("/")[2]
        document = self._documents.get(name)
        if document is None or document["description"]["DocumentType"] != "Automation":
            raise ApiError("AutomationDefinitionNotFoundException", f"Automation document {name} not found")
        return document["description"]["DocumentVersion"], document["body"]

    def command(self, name: str) -> dict[str, Any]:
        """The content of the Command document `name`."""
        document = self._documents.get(name)
        if document is None or document["description"]["DocumentType"] != "Command":
            raise ApiError("InvalidDocument", f"Document with name {name} does not exist.")
        return document["body"]

    def create(self, name: str, content: str | dict[str, Any], document_type: str, document_format: str) -> str:
        """Create a document, or fail with the error of CreateDocument; answers its name."""
        if name.startswith(AWS_OWNED):
            raise ApiError("InvalidDocument", f"The name {name} begins with a prefix reserved for AWS")
        if name in self._documents:
            raise ApiError("DocumentAlreadyExists", f"Document with same name {name} already exists")
        self._documents[name] = _document(name, content, document_type, document_format)
        return name

    def replace(self, name: str, content: str | dict[str, Any], document_format: str) -> None:
        """Make `content` the next, and default, version of a document."""
        before = self._existing_document(name)["description"]
        number = str(int(before["LatestVersion"]) + 1)
        document = _document(name, content, before["DocumentType"], document_format)
        document["description"].update(
            CreatedDate=before["CreatedDate"], DocumentVersion=number, LatestVersion=number, DefaultVersion=number
        )
        self._documents[name] = document

    def delete(self, name: str) -> None:
        """Delete a document if there is one."""
        self._documents.pop(name, None)
        ssm._tags.pop(name, None)

    def tag(self, name: str, tags: dict[str, str]) -> None:
        """Give a document these tags and no others."""
        ssm._tags[name] = tags

    def _create_document(self, params: dict[str, Any], _caller: Caller) -> dict[str, Any]:
        name = self.create(
            params["Name"],
            params["Content"],
            params.get("DocumentType") or "Command",
            params.get("DocumentFormat") or "JSON",
        )
        return {"DocumentDescription": self._documents[name]["description"]}

    def _describe_document(self, params: dict[str, Any], _caller: Caller) -> dict[str, Any]:
        return {"Document": self._existing_document(params["Name"])["description"]}

    def _get_document(self, params: dict[str, Any], _caller: Caller) -> dict[str, Any]:
        document = self._existing_document(params["Name"])
        return document["description"] | {"Content": document["text"]}

    def _delete_document(self, params: dict[str, Any], _caller: Caller) -> dict[str, Any]:
        self._existing_document(params["Name"])
        self.delete(params["Name"])
        return {}

    def _existing_document(self, name: str) -> dict[str, Any]:
        document = self._documents.get(name)
        if document is None:
            raise ApiError("InvalidDocument", f"Document with name {name} does not exist.")
        return document


def _document(name: str, content: str | dict[str, Any], document_type: str, document_format: str) -> dict[str, Any]:
    text = content if isinstance(content, str) else json.dumps(content)
    try:
        body = yaml.safe_load(text) if document_format == "YAML" else json.loads(text)
    except (ValueError, yaml.YAMLError) as error:
        raise ApiError("InvalidDocumentContent", f"The content of {name} is not {document_format}: {error}") from error
    if not isinstance(body, dict) or "schemaVersion" not in body:
        raise ApiError("InvalidDocumentContent", f"The content of {name} has no schemaVersion")
    if document_type == "Automation":
        _check_runbook(name, body)
    description = {
        "Name": name,
        "Owner": get_account_id(),
        "CreatedDate": time.time(),
        "Status": "Active",
        "DocumentVersion": "1",
        "LatestVersion": "1",
        "DefaultVersion": "1",
        "DocumentType": document_type,
        "DocumentFormat": document_format,
        "SchemaVersion": body["schemaVersion"],
        "Hash": hashlib.sha256(text.encode()).hexdigest(),
        "HashType": "Sha256",
        "PlatformTypes": ["Linux", "MacOS", "Windows"],
        "Parameters": [
            {"Name": key, "Type": parameter.get("type", "String"), "Description": parameter.get("description", "")}
            for key, parameter in (body.get("parameters") or {}).items()
        ],
    }
    return {"description": description, "text": text, "body": body}


def _check_runbook(name: str, body: dict[str, Any]) -> None:
    if body["schemaVersion"] != "0.3":
        raise ApiError(
            "InvalidDocumentSchemaVersion",
            f"An Automation document has schemaVersion 0.3, {name} has {body['schemaVersion']}",
        )
    steps = body.get("mainSteps")
    if not isinstance(steps, list) or not steps:
        raise ApiError("InvalidDocumentContent", f"{name} has no mainSteps")
    for step in steps:
        if not isinstance(step, dict) or not step.get("name") or not step.get("action"):
            raise ApiError("InvalidDocumentContent", f"A step of {name} lacks its name or action")
    names = [step["name"] for step in steps]
    for step in steps:
        if names.count(step["name"]) > 1:
            raise ApiError("InvalidDocumentContent", f"Two steps of {name} are named {step['name']}")
        for output in step.get("outputs") or []:
            if not output.get("Name") or not output.get("Selector") or output.get("Type", "String") not in TYPES:
                raise ApiError(
                    "InvalidDocumentContent",
                    f"An output of step {step['name']} of {name} lacks its name, selector or type",
                )
        for target in _targets(name, step):
            if target not in names:
                raise ApiError("InvalidDocumentContent", f"Step {step['name']} of {name} names no step: {target}")
    parameters = body.get("parameters") or {}
    for reference in references(body["mainSteps"]) | references(body.get("assumeRole")):
        if ":" not in reference and "." not in reference and reference not in parameters:
            raise ApiError("InvalidDocumentContent", f"{name} refers to {reference}, which is not its parameter")


def _targets(name: str, step: dict[str, Any]) -> list[str]:
    """The names of the steps that may follow a step."""
    jumps = [step[key].removeprefix("step:") for key in ("onFailure", "onCancel") if _jumps(step.get(key))]
    try:
        branches = branch_targets(step.get("inputs") or {}) if step["action"] == BRANCH else []
    except Invalid as error:
        raise ApiError("InvalidDocumentContent", f"Step {step['name']} of {name}: {error}") from error
    return [*jumps, *branches, *([step["nextStep"]] if step.get("nextStep") else [])]


def _jumps(wish: Any) -> bool:
    return isinstance(wish, str) and wish.startswith("step:")
