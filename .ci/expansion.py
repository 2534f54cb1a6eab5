"""Templates in the forms that they are checked in besides the one they are written in.

What a check cannot see, it cannot object to: cfn-lint and checkov know little of AWS::Serverless::*
and of Globals, and neither looks into both branches of an Fn::If.
"""

import copy
import json

import boto3
from samtranslator.model.exceptions import InvalidDocumentException
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator
from samtranslator.yaml_helper import yaml_parse

# The translator wants a Region. Which one makes no difference to what it makes.
REGION = "us-west-2"

# Properties that hold a local path until the template is packaged. The translator insists on S3.
PACKAGED = ("CodeUri", "ContentUri", "DefinitionUri")

NO_VALUE = {"Ref": "AWS::NoValue"}


class CannotExpand(Exception):
    """The SAM transform refuses the template."""


def read(path):
    """A parsed template, with the content of the files that it includes."""
    template = _with_includes(yaml_parse(path.read_text()), path.parent)
    # An alias is the same object as its anchor. A change to one would change the other.
    return json.loads(json.dumps(template))


def _with_includes(value, folder):
    if isinstance(value, list):
        return [_with_includes(member, folder) for member in value]
    if not isinstance(value, dict):
        return value
    members = {}
    for name, member in value.items():
        if name == "Fn::Transform" and member["Name"] == "AWS::Include":
            members |= yaml_parse((folder / member["Parameters"]["Location"]).read_text())
        else:
            members[name] = _with_includes(member, folder)
    return members


def is_sam(template):
    """Whether a parsed template needs the SAM transform."""
    transforms = template.get("Transform", [])
    return "AWS::Serverless-2016-10-31" in (
        transforms if isinstance(transforms, list) else [transforms]
    )


def expand(template):
    """The CloudFormation template that the SAM transform makes of a parsed SAM template."""
    template = copy.deepcopy(template)
    sections = [r.get("Properties", {}) for r in template.get("Resources", {}).values()]
    sections += template.get("Globals", {}).values()
    for section in sections:
        for name in PACKAGED:
            if isinstance(section.get(name), str) and not section[name].startswith("s3://"):
                section[name] = "s3://packaged/object"
    # The session only names the Region. With the map of managed policies given, the translator
    # asks AWS nothing.
    session = boto3.session.Session(region_name=REGION)
    translator = Translator({}, Parser(), boto_session=session)
    try:
        return translator.translate(template, {})
    except InvalidDocumentException as error:
        raise CannotExpand("; ".join(cause.message for cause in error.causes)) from error
    finally:
        # It counts what it did, and complains if nobody takes the counts. They go nowhere.
        translator.metrics.publish()


def with_every_option(value):
    """A template, or a part of one, with every Fn::If replaced by what it adds where it holds.

    Where that is nothing, by what it leaves where it does not.
    """
    if isinstance(value, dict):
        if list(value) == ["Fn::If"]:
            _, held, otherwise = value["Fn::If"]
            return with_every_option(otherwise if held == NO_VALUE else held)
        members = {name: with_every_option(member) for name, member in value.items()}
        return {name: member for name, member in members.items() if member != NO_VALUE}
    if isinstance(value, list):
        return [member for member in map(with_every_option, value) if member != NO_VALUE]
    return value
