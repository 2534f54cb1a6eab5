"""The process environment ministack and the functions run in."""

import os
from pathlib import Path

from local_region.settings import Settings

# All that a Region takes over from the user's shell. Everything else stays outside, above all AWS_PROFILE, real
# credentials and proxies: nothing here may ever reach beyond loopback.
INHERITED = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "PYTHONPATH", "VIRTUAL_ENV")


def of_region(settings: Settings, port: int, scratch: Path) -> dict[str, str]:
    """The whole environment of a Region on `port` that keeps its files under `scratch`."""
    inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
    return inherited | {
        "AUTH": "true",
        "AWS_ACCESS_KEY_ID": settings.access_key_id,
        "AWS_SECRET_ACCESS_KEY": settings.secret_access_key,
        "AWS_DEFAULT_REGION": settings.region,
        "AWS_REGION": settings.region,
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        # A socket that is not there: ministack must not find the user's containers, let alone reap them.
        "DOCKER_HOST": f"unix://{scratch}/no-docker.sock",
        "GATEWAY_PORT": str(port),
        "HOME": str(scratch),
        "IOT_MTLS_ENABLED": "0",
        # An account's quota. Ministack's own limit is what the machine's memory holds: see functions_at_once.
        "LAMBDA_ACCOUNT_CONCURRENCY": "1000",
        "LAMBDA_EXECUTOR": "local",
        "LOG_LEVEL": "INFO" if settings.verbose else "ERROR",
        "MINISTACK_ACCOUNT_ID": settings.account,
        "MINISTACK_HOST": "127.0.0.1",
        "MINISTACK_REGION": settings.region,
        "NO_PROXY": "*",
        "SFTP_ENABLED": "0",
        "TMPDIR": str(scratch),
        "TZ": "UTC",
    }


def replace(environment: dict[str, str]) -> None:
    """Make `environment` the environment of this process: nothing kept, nothing added."""
    os.environ.clear()
    os.environ.update(environment)
