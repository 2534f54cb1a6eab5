"""The guest operating systems of instances, as far as a Command document mounts in them.

Where the server runs as root, a guest is a mount namespace, and a volume is a loop device with a file system: the
document's own script mounts it. A network file system is a folder of this machine, which a stand-in of `mount` mounts
if a server would serve it (see `guest_mount`). Elsewhere, and for what is not imitated, the output is that of an
earlier run, and says so; what a server would refuse is refused there, too.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local_region import guest_mount
from local_region.settings import Settings

NEEDED = ("blkid", "findmnt", "flock", "losetup", "lsblk", "mkfs.ext4", "mount", "nsenter", "unshare")
SYSTEM_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin:/usr/bin:/bin"
# Folders of a guest's own. Elsewhere, a mount would leave folders on this machine.
OWN_FOLDERS = ("/mnt", "/srv")
RECORDED = "The local Region did not run this. It is the output of an earlier run: "
VOLUME_BYTES = 64 * 1024 * 1024
NETWORK_TYPES = {"EFS": "efs", "LUSTRE": "lustre"}
# The clients that the image has. Their programs are not called: the stand-in of `mount` is.
CLIENTS = ("mount.efs", "mount.lustre", "mount.nfs4")
# What the script writes above its line in fstab: the path and the source.
MARKER = re.compile(r"# Rapid Recovery: (\S+) (\S+)")

LSBLK = """#!/bin/sh
if [ "$*" = '-dnro NAME,SERIAL' ]; then exec cat {folder}/serials; fi
exec {real} "$@"
"""
SLEEP = """#!/bin/sh
exec {real} "$(awk "BEGIN {{ print $1 * {scale} }}")"
"""
MOUNT = """#!/bin/sh
case "$1 $2" in '-t efs' | '-t lustre' | '-t nfs4') exec {python} -I -S {folder}/guest_mount.py {folder} "$@" ;; esac
exec {real} "$@"
"""
# The kernel shows the source of a network file system.
FINDMNT = """#!/bin/sh
[ "$1 $2 $3" = '-nrvo SOURCE -M' ] || exec {real} "$@"
from=$({real} "$@") || exit
shown=$(awk -v path="$4" '$1 == path {{ source = $2 }} END {{ print source }}' {folder}/network-mounts)
echo "${{shown:-$from}}"
"""
# The instance metadata: the zone.
CURL = """#!/bin/sh
case "$*" in *placement/availability-zone) exec cat {folder}/zone ;; *api/token) echo token ;; *) exit 22 ;; esac
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
        # Of runs that were not carried out: what is mounted on an instance, by path.
        self._recorded: dict[str, dict[str, dict[str, Any]]] = {}
        self._folder: Path | None = None
        self._files: list[str] = []
        self._why_not = _why_not()

    def run(
        self,
        instance_id: str,
        script: str,
        parameters: dict[str, str],
        volumes: dict[str, str],
        network: dict[str, Any],
    ) -> Run:
        """Run a script as the agent does.

        `volumes` are attached, by id: the snapshot of each. `network` is what the instance sees of file servers.
        """
        why_not = self._why_not or _not_imitated(parameters)
        with self._lock:
            if why_not:
                mounts = self._recorded.setdefault(instance_id, {})
                return recorded(parameters, why_not, volumes, network, mounts, self._files)
            if self._folder is None:
                memory = "/dev/shm" if os.path.isdir("/dev/shm") else None
                self._folder = Path(tempfile.mkdtemp(prefix="local-region-guests-", dir=memory))
            guest = self._guests.get(instance_id)
            if guest is None:
                guest = self._guests[instance_id] = Guest(self._folder / instance_id, self._settings.wait_scale)
                guest.set_files([], self._files)
            files = self._folder / "files"
            _serve(files, network)
            images = {volume: _image(self._folder, volume, snapshot) for volume, snapshot in volumes.items()}
            return guest.run(script, parameters, images, network | {"files": str(files)})

    def set_files(self, files: list[str]) -> list[str]:
        """Let each guest, also each later one, have these files besides those that a run makes."""
        with self._lock:
            for guest in self._guests.values():
                guest.set_files(self._files, files)
            self._files = files
        return files

    def mounts(self) -> dict[str, list[dict[str, Any]]]:
        """What is mounted in each guest, by instance id."""
        with self._lock:
            found = {instance_id: guest.mounts() for instance_id, guest in self._guests.items()}
            for instance_id, mounts in self._recorded.items():
                for path, mount in mounts.items():
                    shown = {name: value for name, value in mount.items() if name != "result"}
                    found.setdefault(instance_id, []).append({"path": path} | shown)
        return found

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
        stand_ins = {"curl": CURL, "findmnt": FINDMNT, "lsblk": LSBLK, "mount": MOUNT, "sleep": SLEEP}
        for name, text in (stand_ins | dict.fromkeys(CLIENTS, "#!/bin/sh\nexit 1\n")).items():
            real = shutil.which(name, path=SYSTEM_PATH)
            (tools / name).write_text(text.format(folder=folder, real=real, scale=scale, python=_python()))
            (tools / name).chmod(0o755)
        shutil.copy(guest_mount.__file__, folder / "guest_mount.py")
        (folder / "network-mounts").touch()
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

    def run(self, script: str, parameters: dict[str, str], images: dict[str, Path], network: dict[str, Any]) -> Run:
        """Run a script with these volumes attached, and these file servers."""
        mount = shutil.which("mount", path=SYSTEM_PATH)
        (self._folder / "network.json").write_text(json.dumps(network | {"mount": mount}))
        (self._folder / "zone").write_text(network["zone"])
        names = [f"{server['address']} {server['name']}\n" for server in network["lustre"].values()]
        (self._folder / "etc" / "hosts").write_text("".join(["127.0.0.1 localhost\n", *names]))
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

    def set_files(self, before: list[str], files: list[str]) -> None:
        """Replace the files that a tester put into the guest."""
        for name in {*before} - {*files}:
            (self._root / name.lstrip("/")).unlink(missing_ok=True)
        for name in {*files} - {*before}:
            file = self._root / name.lstrip("/")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()

    def mounts(self) -> list[dict[str, Any]]:
        """What is mounted below the folders of the guest's own, as its kernel shows it."""
        fstab = (self._root / "etc/fstab").read_text()
        sources = dict(MARKER.findall(fstab))
        rows = [line.split() for line in Path(f"/proc/{self._holder.pid}/mountinfo").read_text().splitlines()]
        # The newest mount of each folder is the guest's own. What this machine has mounted there is below another one.
        own = {path: mount_id for mount_id, _, _, _, path, *_ in rows if path in OWN_FOLDERS}
        found = []
        for _, parent, _, _, path, *_ in rows:
            if parent not in own.values():
                continue
            origin = self._root / path.lstrip("/") / guest_mount.ORIGIN
            found.append(
                {
                    "path": path,
                    # What the line in fstab is for, which mounts it at each boot.
                    "source": sources.get(path),
                    "restoredFrom": origin.read_text().strip() if origin.exists() else None,
                    "ran": "script",
                }
            )
        return found

    @property
    def _root(self) -> Path:
        """The root of the guest's files."""
        return Path(f"/proc/{self._holder.pid}/root")

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


def recorded(
    parameters: dict[str, str],
    why: str,
    volumes: dict[str, str],
    network: dict[str, Any],
    mounts: dict[str, dict[str, Any]],
    files: list[str],
) -> Run:
    """The output of an earlier run, with the source and path of this one, or the refusal of this one.

    `mounts` is what is mounted already, by path, and `files` are in the guest.
    """
    kind, source, path = (parameters.get(name, "") for name in ("Type", "Source", "Path"))
    result: dict[str, Any] = {"outcome": "mounted", "type": kind, "source": source}
    if parameters.get("Operation") == "find-restored-directory":
        return _not_run(why, result | _restored_directory(network, source))
    result["path"] = path
    mounted = mounts.get(path)
    if mounted and mounted["source"] != source:
        found = f"{path} is mounted from {mounted['source']}"
        return _not_run(why, result | {"outcome": "refused", "reason": "path-mounted-from-other", "found": found})
    if mounted:
        return _not_run(why, result | {"outcome": "already-mounted"} | mounted["result"])
    inside = [name for name in files if name.startswith(f"{path}/")]
    if inside:
        found = f"{path} has: {' '.join(inside)}"
        remedy = "Move the files away, or choose another path, and run it again. A mount would hide them."
        refused = {"outcome": "refused", "reason": "path-not-empty", "found": found, "remedy": remedy}
        return _not_run(why, result | refused)
    named = parameters.get("Export") or parameters.get("AccessPoint")
    if kind == "EFS" and parameters.get("Operation") == "mount-restored" and not named:
        found = _restored_directory(network, source)
        if found["outcome"] == "refused":
            return _not_run(why, result | found)
        result["directory"] = found["directory"]
        parameters = parameters | {"Export": found["directory"]}
    origin = volumes.get(source)
    if kind == "EBS" and origin is None:
        found = f"no disk for {source}"
        return _not_run(why, result | {"outcome": "retry", "reason": "device-not-found", "found": found})
    if kind == "EBS":
        uuid = "UUID=6c1a9b52-0d2f-4d1e-9a0e-2f1f4d0d7c11"
        how = {"device": "/dev/nvme1n1", "fileSystem": "ext4", "mountedFrom": uuid}
    elif kind in NETWORK_TYPES:
        try:
            served = guest_mount.find(network, NETWORK_TYPES[kind], *_arguments(parameters, network["zone"]))
        except guest_mount.MountError as error:
            return _not_run(why, result | {"outcome": "refused", "reason": "mount-failed", "found": str(error)})
        origin = guest_mount.origin(network, served)
        how = {"mountedFrom": served.shown} | ({"transport": "tls"} if kind == "EFS" else {})
    else:
        how = {}
    how["persistent"] = "fstab"
    mounts[path] = {"source": source, "restoredFrom": origin, "ran": "recorded", "result": how}
    return _not_run(why, result | how)


def _restored_directory(network: dict[str, Any], source: str) -> dict[str, Any]:
    """The directory into which AWS Backup restored, or the refusal."""
    names = network["efs"].get(source, {"directories": {}})["directories"]
    restored = sorted(name for name in names if name.startswith("aws-backup-restore_"))
    if len(restored) == 1:
        return {"outcome": "found", "directory": f"/{restored[0]}"}
    reason = "several-restored-directories" if restored else "no-restored-directory"
    return {"outcome": "refused", "reason": reason, "found": " ".join(restored)}


def _not_run(why: str, result: dict[str, Any]) -> Run:
    code = {"refused": 2, "retry": 3}.get(result["outcome"], 0)
    return Run(f"{RECORDED}{why}\nRESULT {json.dumps(result)}\n", "", code, why)


def _arguments(parameters: dict[str, str], zone: str) -> tuple[str, list[str]]:
    """The source and options with which the script mounts a network file system."""
    export, point = parameters.get("Export", ""), parameters.get("AccessPoint", "")
    if parameters["Type"] == "LUSTRE":
        return f"{parameters['Source']}@tcp:/{export}", []
    named = [each.rpartition("=") for each in parameters.get("Addresses", "").split()]
    address = next((each[2] for each in [*(own for own in named if own[0] == zone), *named]), None)
    options = ["tls", *([f"accesspoint={point}"] if point else []), *([f"mounttargetip={address}"] if address else [])]
    return f"{parameters['Source']}:{'/' if point else export or '/'}", options


def _python() -> str:
    """The interpreter of this process: in a guest, only its standard library is needed."""
    return os.path.realpath(getattr(sys, "_base_executable", sys.executable))


def _serve(files: Path, network: dict[str, Any]) -> None:
    """Let the file systems have their directories and files."""
    for file_system, served in {**network["efs"], **network["lustre"]}.items():
        root = files / file_system
        root.mkdir(parents=True, exist_ok=True)
        for name, origin in served["directories"].items():
            (root / name).mkdir(exist_ok=True)
            if origin:
                (root / name / guest_mount.ORIGIN).write_text(f"{origin}\n")


def _why_not() -> str | None:
    """Why this machine cannot run guests."""
    if os.geteuid() != 0:
        return "the server does not run as root"
    missing = [tool for tool in NEEDED if not shutil.which(tool, path=SYSTEM_PATH)]
    if missing:
        return f"this machine lacks {', '.join(missing)}"
    if _python().startswith(tuple(f"{own}/" for own in OWN_FOLDERS)):
        return f"Python is below {' or '.join(OWN_FOLDERS)}, of which a guest has its own"
    if not os.path.exists("/dev/loop-control"):
        return "this machine has no loop devices"
    tried = subprocess.run(["unshare", "--mount", "--propagation", "private", "true"], capture_output=True, check=False)
    return None if tried.returncode == 0 else "this machine gives no mount namespace"


def _not_imitated(parameters: dict[str, str]) -> str | None:
    """Why this mount is not carried out."""
    if parameters.get("Type") not in ("EBS", *NETWORK_TYPES):
        return f"the local Region has no file server for {parameters.get('Type')}"
    path = parameters.get("Path", "")
    if parameters.get("Operation") == "find-restored-directory":
        return None
    if path.startswith("/") and not path.startswith(tuple(f"{own}/" for own in OWN_FOLDERS)):
        return f"a guest has no {path} of its own, only paths below {' and '.join(OWN_FOLDERS)}"
    return None if path.startswith("/") else "there is no Windows guest"


def _image(folder: Path, volume: str, snapshot: str) -> Path:
    """The file behind a volume. It has ext4, and a file that names the snapshot."""
    image = folder / f"{volume}.image"
    if not image.exists():
        content = folder / f"{volume}.content"
        content.mkdir()
        (content / guest_mount.ORIGIN).write_text(f"{snapshot}\n")
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
