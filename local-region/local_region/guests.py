"""The guest operating systems of instances, as far as a Command document mounts in them.

Where the server runs as root, a guest is a mount namespace, and a volume is a loop device with a file system: the
document's own script mounts it. Elsewhere, and for what is not imitated, the output is that of an earlier run, and
says so.
"""

import json
import os
import shutil
import subprocess
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local_region.settings import Settings

NEEDED = ("blkid", "findmnt", "flock", "losetup", "lsblk", "mkfs.ext4", "mount", "nsenter", "unshare")
SYSTEM_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin:/usr/bin:/bin"
# Folders of a guest's own. Elsewhere, a mount would leave folders on this machine.
OWN_FOLDERS = ("/mnt", "/srv")
DIRECTORY = "/aws-backup-restore_2026-11-23T03-10-00-123Z"
RECORDED = "The local Region did not run this. It is the output of an earlier run: "
VOLUME_BYTES = 64 * 1024 * 1024

LSBLK = """#!/bin/sh
if [ "$*" = '-dnro NAME,SERIAL' ]; then exec cat {folder}/serials; fi
exec {real} "$@"
"""
SLEEP = """#!/bin/sh
exec {real} "$(awk "BEGIN {{ print $1 * {scale} }}")"
"""


@dataclass(frozen=True)
class Run:
    """What a script printed, and how it ended."""

    output: str
    error: str
    code: int
    recorded: str | None
    """Why it was not run; None if it was."""


class Guests:
    """The guests of all instances, by instance id."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._guests: dict[str, Guest] = {}
        self._folder: Path | None = None
        self._why_not = _why_not()

    def run(self, instance_id: str, script: str, parameters: dict[str, str], volumes: dict[str, str]) -> Run:
        """Run a script as the agent does, with `volumes` attached, by id: the snapshot of each."""
        why_not = self._why_not or _not_imitated(parameters)
        if why_not:
            return recorded(parameters, why_not)
        with self._lock:
            if self._folder is None:
                memory = "/dev/shm" if os.path.isdir("/dev/shm") else None
                self._folder = Path(tempfile.mkdtemp(prefix="local-region-guests-", dir=memory))
            guest = self._guests.get(instance_id)
            if guest is None:
                guest = self._guests[instance_id] = Guest(self._folder / instance_id, self._settings.wait_scale)
            images = {volume: _image(self._folder, volume, snapshot) for volume, snapshot in volumes.items()}
            return guest.run(script, parameters, images)

    def close(self) -> None:
        """End all guests. What they mounted is unmounted with them."""
        for guest in self._guests.values():
            guest.close()
        self._guests.clear()
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)


class Guest:
    """One guest: a mount namespace, with an fstab of its own."""

    def __init__(self, folder: Path, scale: float) -> None:
        self._folder = folder
        tools = folder / "bin"
        tools.mkdir(parents=True)
        for name, text in (("lsblk", LSBLK), ("sleep", SLEEP)):
            real = shutil.which(name, path=SYSTEM_PATH)
            (tools / name).write_text(text.format(folder=folder, real=real, scale=scale))
            (tools / name).chmod(0o755)
        # Lives until its input is closed, also if this server is killed.
        self._holder = subprocess.Popen(
            ["unshare", "--mount", "--propagation", "private", "sh", "-c", "echo ready; exec cat >/dev/null"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._holder.stdout
        self._holder.stdout.readline()
        self._sh(
            f"""
            mkdir {folder}/etc
            cp -a /etc/alternatives /etc/group /etc/nsswitch.conf /etc/passwd {folder}/etc/ 2>/dev/null || true
            echo '# the image has no lines' >{folder}/etc/fstab
            mount --bind {folder}/etc /etc
            mount -t tmpfs -o size=4m tmpfs /run
            for own in {" ".join(OWN_FOLDERS)}; do mount -t tmpfs -o size=4m tmpfs $own; done
            """
        )

    def run(self, script: str, parameters: dict[str, str], images: dict[str, Path]) -> Run:
        """Run a script with these volumes attached."""
        loops = {volume: _loop(image) for volume, image in images.items()}
        serials = [f"{Path(loop).name} {volume.replace('-', '')}\n" for volume, loop in loops.items()]
        (self._folder / "serials").write_text("".join(serials))
        (self._folder / "script").write_text(script)
        variables = {f"SSM_{name}": value for name, value in parameters.items()}
        path = {"PATH": f"{self._folder}/bin:{SYSTEM_PATH}"}
        done = self._in_guest("sh", str(self._folder / "script"), env=variables | path)
        for loop in loops.values():
            # Of a mounted device, this only says that it goes when it is unmounted.
            _tool("losetup", "--detach", loop)
        return Run(done.stdout, done.stderr, done.returncode, None)

    def close(self) -> None:
        """End the namespace."""
        if self._holder.stdin:
            self._holder.stdin.close()
        self._holder.wait()
        if self._holder.stdout:
            self._holder.stdout.close()

    def _sh(self, script: str) -> None:
        self._in_guest("sh", "-eu", "-c", script, env={"PATH": SYSTEM_PATH}).check_returncode()

    def _in_guest(self, *command: str, env: dict[str, str]) -> "subprocess.CompletedProcess[str]":
        holder = ["nsenter", "--target", str(self._holder.pid), "--mount", "--wd=/"]
        # No udev reaches a namespace.
        environment = env | {"DM_DISABLE_UDEV": "1"}
        return subprocess.run([*holder, *command], capture_output=True, text=True, check=False, env=environment)


def recorded(parameters: dict[str, str], why: str) -> Run:
    """The output of an earlier run, with the source and path of this one."""
    kind = parameters.get("Type", "")
    result: dict[str, Any] = {"outcome": "mounted", "type": kind, "source": parameters.get("Source", "")}
    if parameters.get("Operation") == "find-restored-directory":
        result |= {"outcome": "found", "directory": DIRECTORY}
    else:
        result["path"] = parameters.get("Path", "")
        if kind == "EBS":
            uuid = "UUID=6c1a9b52-0d2f-4d1e-9a0e-2f1f4d0d7c11"
            result |= {"device": "/dev/nvme1n1", "fileSystem": "ext4", "mountedFrom": uuid}
        elif kind == "EFS":
            named = parameters.get("Export") or parameters.get("AccessPoint")
            if parameters.get("Operation") == "mount-restored" and not named:
                result |= {"mountedFrom": f"{parameters.get('Source')}:{DIRECTORY}", "directory": DIRECTORY}
            else:
                result["mountedFrom"] = f"{parameters.get('Source')}:/"
            result["transport"] = "tls"
        result["persistent"] = "fstab"
    return Run(f"{RECORDED}{why}\nRESULT {json.dumps(result)}\n", "", 0, why)


def _why_not() -> str | None:
    """Why this machine cannot run guests."""
    if os.geteuid() != 0:
        return "the server does not run as root"
    missing = [tool for tool in NEEDED if not shutil.which(tool, path=SYSTEM_PATH)]
    if missing:
        return f"this machine lacks {', '.join(missing)}"
    if not os.path.exists("/dev/loop-control"):
        return "this machine has no loop devices"
    tried = subprocess.run(["unshare", "--mount", "--propagation", "private", "true"], capture_output=True, check=False)
    return None if tried.returncode == 0 else "this machine gives no mount namespace"


def _not_imitated(parameters: dict[str, str]) -> str | None:
    """Why this mount is not carried out."""
    if parameters.get("Type") != "EBS":
        return f"the local Region has no file server for {parameters.get('Type')}"
    path = parameters.get("Path", "")
    if path.startswith("/") and not path.startswith(tuple(f"{own}/" for own in OWN_FOLDERS)):
        return f"a guest has no {path} of its own, only paths below {' and '.join(OWN_FOLDERS)}"
    return None if path.startswith("/") else "there is no Windows guest"


def _image(folder: Path, volume: str, snapshot: str) -> Path:
    """The file behind a volume. It has ext4, and a file that names the snapshot."""
    image = folder / f"{volume}.image"
    if not image.exists():
        content = folder / f"{volume}.content"
        content.mkdir()
        (content / "restored-from").write_text(f"{snapshot}\n")
        with image.open("wb") as file:
            file.truncate(VOLUME_BYTES)
        made = _tool("mkfs.ext4", "-q", "-d", str(content), str(image))
        made.check_returncode()
    return image


def _loop(image: Path) -> str:
    """The loop device of an image: the one that it has, or a new one."""
    known = _tool("losetup", "--noheadings", "--output", "NAME", "--associated", str(image)).stdout.split()
    if known:
        return known[0]
    made = _tool("losetup", "--find", "--show", str(image))
    made.check_returncode()
    return made.stdout.strip()


def _tool(*command: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(command, capture_output=True, text=True, check=False, env={"PATH": SYSTEM_PATH})
