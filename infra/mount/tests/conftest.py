"""Guests for the tests, and what a machine must have for them."""

import os
import shutil
from collections.abc import Iterator

import pytest
from guest import Guest

TOOLS = (
    "losetup",
    "unshare",
    "nsenter",
    "sfdisk",
    "mkfs.ext4",
    "mkfs.xfs",
    "mkfs.btrfs",
    "mkswap",
    "cryptsetup",
    "pvcreate",
    "mdadm",
)
FILE_SYSTEMS = ("ext4", "xfs", "btrfs")


def not_run(why: str) -> None:
    """Say that a test was not run. In CI, that is a failure."""
    if os.environ.get("CI"):
        pytest.fail(f"not run: {why}")
    pytest.skip(f"not run: {why}")


def missing() -> str | None:
    """What this machine lacks."""
    if os.geteuid() != 0:
        return "real devices need root"
    tools = [tool for tool in TOOLS if not shutil.which(tool, path=os.environ["PATH"] + ":/usr/sbin:/sbin")]
    if tools:
        return f"install {', '.join(tools)}"
    with open("/proc/filesystems") as file:
        known = file.read().split()
    lacking = [name for name in FILE_SYSTEMS if name not in known]
    return f"this kernel lacks {', '.join(lacking)}" if lacking else None


@pytest.fixture
def guest() -> Iterator[Guest]:
    """A guest with nothing attached."""
    lack = missing()
    if lack:
        not_run(lack)
    made = Guest()
    yield made
    made.close()
