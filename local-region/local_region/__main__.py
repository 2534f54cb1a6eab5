"""`python -m local_region`: serve a local Region, or deploy a template to one."""

import argparse
import sys
from pathlib import Path

from local_region import deploy, serve
from local_region.settings import Settings


def main(arguments: list[str] | None = None) -> int:
    """Run one command; answers the exit code."""
    parser = argparse.ArgumentParser(prog="python -m local_region", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    _add_serve(commands)
    _add_deploy(commands)
    chosen = parser.parse_args(arguments)
    return chosen.run(chosen, parser)


def _add_serve(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    command = commands.add_parser("serve", help="serve a Region on loopback until stopped")
    command.add_argument("--region", required=True, help="the name of the Region, such as us-west-2")
    command.add_argument("--account", required=True, help="the account id, 12 digits")
    command.add_argument(
        "--port", type=int, default=Settings.port, help="port to listen on; 0, the default, selects a free one"
    )
    command.add_argument(
        "--restore-seconds",
        type=float,
        default=Settings.restore_seconds,
        help="duration of a restore job (%(default)s)",
    )
    command.add_argument(
        "--restore-token-seconds",
        type=float,
        default=Settings.restore_token_seconds,
        help="how long StartRestoreJob remembers an idempotency token (%(default)s)",
    )
    command.add_argument(
        "--backup-seconds", type=float, default=Settings.backup_seconds, help="duration of a backup job (%(default)s)"
    )
    command.add_argument(
        "--attach-seconds",
        type=float,
        default=Settings.attach_seconds,
        help="duration of attaching a volume (%(default)s)",
    )
    command.add_argument(
        "--agent-seconds",
        type=float,
        default=Settings.agent_seconds,
        help="how long the agent of an instance takes to connect to Systems Manager",
    )
    command.add_argument(
        "--modify-seconds",
        type=float,
        default=Settings.modify_seconds,
        help="duration of modifying a volume (%(default)s)",
    )
    command.add_argument(
        "--restore-seconds-of",
        type=_seconds_of,
        action="append",
        default=[],
        metavar="TYPE=SECONDS",
        help="duration of a restore job of one of AWS Backup's types, such as RDS=3; may be repeated",
    )
    command.add_argument(
        "--database-seconds",
        type=float,
        default=Settings.database_seconds,
        help="how long a new DB instance or cluster is creating (%(default)s)",
    )
    command.add_argument(
        "--database-change-seconds",
        type=float,
        default=Settings.database_change_seconds,
        help="how long a database is backing-up, modifying, rebooting or deleting (%(default)s)",
    )
    command.add_argument(
        "--table-seconds",
        type=float,
        default=Settings.table_seconds,
        help="how long a DynamoDB table is CREATING, UPDATING or DELETING (%(default)s)",
    )
    command.add_argument(
        "--table-repeat-seconds",
        type=float,
        default=Settings.table_repeat_seconds,
        help="how long DynamoDB refuses a setting that changed a moment ago (%(default)s; 3 to 15 in AWS)",
    )
    command.add_argument(
        "--no-table-tags-in-policies",
        dest="table_tags_in_policies",
        action="store_false",
        help="let policies see no tags of tables, as in an account without attribute-based access control for DynamoDB",
    )
    command.add_argument(
        "--file-system-seconds",
        type=float,
        default=Settings.file_system_seconds,
        help="how long a new file system, mount target, access point or volume of FSx is being created (%(default)s)",
    )
    command.add_argument(
        "--file-system-change-seconds",
        type=float,
        default=Settings.file_system_change_seconds,
        help="how long it is being updated or deleted (%(default)s)",
    )
    command.add_argument(
        "--instance-seconds",
        type=float,
        default=Settings.instance_seconds,
        help="how long an instance that AWS Backup restores is pending (%(default)s)",
    )
    command.add_argument(
        "--instance-check-seconds",
        type=float,
        default=Settings.instance_check_seconds,
        help="how long its status checks are initializing then (%(default)s)",
    )
    command.add_argument(
        "--target-seconds",
        type=float,
        default=Settings.target_seconds,
        help="how long a target of a target group is initial, or draining (%(default)s)",
    )
    command.add_argument(
        "--stack-seconds-of",
        type=_seconds_of,
        action="append",
        default=[],
        metavar="TYPE=SECONDS",
        help="how long CloudFormation takes for a resource of a type, such as AWS::EC2::Instance=2; may be repeated",
    )
    command.add_argument(
        "--wait-scale",
        type=float,
        default=Settings.wait_scale,
        help="factor for the waits of runbooks and state machines (%(default)s)",
    )
    command.add_argument(
        "--retry-seconds",
        type=float,
        nargs=2,
        default=Settings.retry_seconds,
        metavar=("FIRST", "SECOND"),
        help="pauses before Lambda's retries of an asynchronous invocation, one and two minutes in AWS (0.2 0.4)",
    )
    command.add_argument(
        "--function-timeout-seconds",
        type=float,
        help="timeout of every function (default: its configured timeout)",
    )
    command.add_argument(
        "--functions-at-once",
        type=int,
        default=Settings.functions_at_once,
        help="number of concurrent invocations; others wait (8 for each processor: %(default)s)",
    )
    command.add_argument(
        "--minute-seconds",
        type=float,
        default=Settings.minute_seconds,
        help="duration of a minute of scheduled rules (%(default)s)",
    )
    command.add_argument(
        "--exit-with-stdin",
        action="store_true",
        help="stop at the end of standard input, for example when the parent process ends",
    )
    command.add_argument("--verbose", action="store_true", help="log to standard error")
    command.set_defaults(run=_serve)


def _serve(chosen: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
    try:
        settings = Settings(
            region=chosen.region,
            account=chosen.account,
            port=chosen.port,
            restore_seconds=chosen.restore_seconds,
            restore_token_seconds=chosen.restore_token_seconds,
            backup_seconds=chosen.backup_seconds,
            attach_seconds=chosen.attach_seconds,
            agent_seconds=chosen.agent_seconds,
            modify_seconds=chosen.modify_seconds,
            restore_seconds_by_type=dict(chosen.restore_seconds_of),
            database_seconds=chosen.database_seconds,
            database_change_seconds=chosen.database_change_seconds,
            table_seconds=chosen.table_seconds,
            table_repeat_seconds=chosen.table_repeat_seconds,
            table_tags_in_policies=chosen.table_tags_in_policies,
            file_system_seconds=chosen.file_system_seconds,
            file_system_change_seconds=chosen.file_system_change_seconds,
            instance_seconds=chosen.instance_seconds,
            instance_check_seconds=chosen.instance_check_seconds,
            target_seconds=chosen.target_seconds,
            stack_seconds_by_type=dict(chosen.stack_seconds_of),
            wait_scale=chosen.wait_scale,
            retry_seconds=tuple(chosen.retry_seconds),
            function_timeout_seconds=chosen.function_timeout_seconds,
            functions_at_once=chosen.functions_at_once,
            minute_seconds=chosen.minute_seconds,
            verbose=chosen.verbose,
        )
    except ValueError as error:
        parser.error(str(error))
    return serve.serve(settings, chosen.exit_with_stdin)


def _seconds_of(text: str) -> tuple[str, float]:
    """A type and a number of seconds, written TYPE=SECONDS."""
    resource_type, _, seconds = text.rpartition("=")
    if not resource_type:
        raise argparse.ArgumentTypeError(f"{text} is not TYPE=SECONDS")
    return resource_type, float(seconds)


def _add_deploy(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    command = commands.add_parser("deploy", help="deploy a SAM or CloudFormation template to a local Region")
    command.add_argument("--endpoint", required=True, help="the Region's endpoint, from its ready line")
    command.add_argument("--region", required=True, help="the Region's name")
    command.add_argument("--template", required=True, type=Path, help="the template, YAML or JSON")
    command.add_argument("--stack-name", required=True)
    command.add_argument("--binaries", type=Path, help="the folder of compiled functions, such as target/debug")
    command.add_argument(
        "--parameter", action="append", default=[], metavar="NAME=VALUE", help="a parameter's value; may be repeated"
    )
    command.add_argument(
        "--capability",
        action="append",
        default=[],
        help="an additional capability, such as CAPABILITY_NAMED_IAM; may be repeated",
    )
    command.add_argument(
        "--tag", action="append", default=[], metavar="KEY=VALUE", help="a tag of the stack; may be repeated"
    )
    command.set_defaults(run=_deploy)


def _deploy(chosen: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
    for parameter in chosen.parameter:
        if "=" not in parameter:
            parser.error(f"--parameter {parameter} is not NAME=VALUE")
    for tag in chosen.tag:
        if "=" not in tag:
            parser.error(f"--tag {tag} is not KEY=VALUE")
    return deploy.run(
        deploy.Deployment(
            chosen.endpoint.rstrip("/"),
            chosen.region,
            chosen.template,
            chosen.stack_name,
            chosen.binaries,
            dict(parameter.split("=", 1) for parameter in chosen.parameter),
            tuple(chosen.capability),
            dict(tag.split("=", 1) for tag in chosen.tag),
        )
    )


if __name__ == "__main__":
    sys.exit(main())
