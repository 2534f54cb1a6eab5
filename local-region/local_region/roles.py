"""Roles that AWS services work with: who may assume them, and the credentials of a session."""

import json
import secrets
import time
from dataclasses import dataclass

from ministack.core.responses import get_account_id
from ministack.services import iam, sts

from local_region.service_principals import on_behalf_of, service_may

SESSION_SECONDS = 12 * 3600


@dataclass(frozen=True)
class Credentials:
    """What API calls are signed with."""

    access_key_id: str
    secret_access_key: str
    session_token: str | None = None


class CannotAssume(Exception):
    """A role that does not exist, or does not trust the service that is to work with it."""


def assume(role_arn: str, session_name: str, service: str, source_arn: str, **about: str) -> Credentials:
    """The credentials of `service` with a role of this account, on behalf of `source_arn`; or CannotAssume.

    `about` is kept with the session.
    """
    role = iam._roles.get(role_arn.rpartition("/")[2])
    if role is None or role["Arn"] != role_arn:
        raise CannotAssume(f"The role {role_arn} does not exist.")
    if not service_may(service, "sts:AssumeRole", role_arn, _as_resource_policy(role), on_behalf_of(source_arn)):
        raise CannotAssume(f"The role {role_arn} does not trust {service} on behalf of {source_arn}.")
    credentials = Credentials(f"ASIA{secrets.token_hex(8).upper()}", secrets.token_hex(20), secrets.token_hex(32))
    sts.register_session(
        credentials.access_key_id,
        {
            "Arn": f"arn:aws:sts::{get_account_id()}:assumed-role/{role['RoleName']}/{session_name}",
            "UserId": f"{role['RoleId']}:{session_name}",
            "SecretAccessKey": credentials.secret_access_key,
            "SessionToken": credentials.session_token,
            "Expiration": time.time() + SESSION_SECONDS,
            **about,
        },
    )
    return credentials


def of_session(access_key_id: str) -> Credentials | None:
    """The credentials of a session by their key's id; None if the session does not exist."""
    session = sts._sessions.get(access_key_id)
    return Credentials(access_key_id, session["SecretAccessKey"], session["SessionToken"]) if session else None


def _as_resource_policy(role: dict) -> dict:
    """A role's trust policy, with the resource its statements leave out."""
    trust = role["AssumeRolePolicyDocument"]
    trust = json.loads(trust) if isinstance(trust, str) else trust
    statements = trust["Statement"] if isinstance(trust["Statement"], list) else [trust["Statement"]]
    return trust | {"Statement": [statement | {"Resource": "*"} for statement in statements]}
