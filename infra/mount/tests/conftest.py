"""Guests for the tests, and what a machine must have for them."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest
from guest import Guest

HERE = Path(__file__).parent
USER_MODE_LINUX = "test_all_of_this_in_user_mode_linux"

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


def has_drivers() -> bool:
    """Whether this kernel has the device mapper and RAID."""
    return "device-mapper" in Path("/proc/misc").read_text() and Path("/proc/mdstat").exists()


def is_user_mode_linux() -> bool:
    """Whether this is the kernel that the tests start."""
    return "user_mode_linux" in os.environ


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the longest test be the last: what it waits for runs while the others do."""
    items.sort(key=lambda item: item.name == USER_MODE_LINUX)


class UserModeLinux:
    """Debian's kernel as a process, with the same files, that runs the tests of LVM and RAID."""

    def __init__(self, linux: str, output: IO[str]) -> None:
        self._output = output
        self._process = subprocess.Popen(
            [
                *(linux, "mem=768M", "rootfstype=hostfs", "rw", "quiet"),
                *("user_mode_linux=yes", "con=null", "con0=null,fd:1"),
                *(f"init={HERE}/user-mode-linux-init", f"python={sys.executable}", f"tests={HERE}"),
            ],
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def output(self) -> str:
        """What it printed, when it has ended."""
        self._process.wait(timeout=500)
        self._output.seek(0)
        return self._output.read()

    def close(self) -> None:
        """End it, with all its processes."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


@pytest.fixture(scope="session", autouse=True)
def user_mode_linux(request: pytest.FixtureRequest) -> Iterator[UserModeLinux | None]:
    """User Mode Linux, if this kernel lacks the drivers and the tests need them."""
    wanted = any(item.name == USER_MODE_LINUX for item in request.session.items)
    linux = shutil.which("linux.uml", path=f"{os.environ['PATH']}:/usr/bin")
    if not wanted or has_drivers() or is_user_mode_linux() or missing() or not linux:
        yield None
        return
    with tempfile.TemporaryFile("w+") as output:
        started = UserModeLinux(linux, output)
        yield started
        started.close()
