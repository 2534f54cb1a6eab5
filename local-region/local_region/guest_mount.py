"""What `mount` does in a guest with network file systems: finds what a server would serve, or fails as it would.

Only the standard library: a guest runs this file by itself, as the stand-in of `mount`. There, the files of a file
system are a folder of this machine, which is mounted in place of the server's answer.
"""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TYPES = ("efs", "lustre", "nfs4")
# The result of mount(8) if a mount failed.
FAILED = 32
# Where efs-utils listens for the first mount over TLS.
TUNNEL_PORT = 20449
# What shows from which recovery point files were restored.
ORIGIN = "restored-from"


@dataclass(frozen=True)
class Found:
    """What a server serves."""

    file_system: str
    directory: str
    """Within the file system; it begins with a slash."""
    shown: str
    """The source that the kernel shows."""
    access_point: str | None = None
    creates: bool = False
    """Whether the access point makes its directory."""


class MountError(Exception):
    """The mount failed: what the client prints."""


def find(network: dict[str, Any], kind: str, source: str, options: list[str]) -> Found:
    """What a client with these arguments gets from the servers in `network` (see `file_servers`)."""
    named = {name: value for name, _, value in (option.partition("=") for option in options)}
    host, _, path = source.partition(":")
    if kind == "lustre":
        return _lustre(network, host, path)
    if kind == "nfs4":
        return _nfs(network, host, path or "/")
    return _efs(network, host, path or "/", named)


def origin(network: dict[str, Any], found: Found) -> str | None:
    """From which recovery point the files at what was found come; None if none do."""
    system = network["efs"].get(found.file_system) or network["lustre"].get(found.file_system) or {}
    return system["directories"].get(found.directory.strip("/")) or None


def has(network: dict[str, Any], file_system: str, directory: str) -> bool:
    """Whether a directory is in a file system of EFS."""
    return directory == "/" or directory.strip("/") in network["efs"][file_system]["directories"]


def _lustre(network: dict[str, Any], host: str, path: str) -> Found:
    name = host.removesuffix("@tcp")
    matching = [each for each in network["lustre"].items() if each[1]["name"] == name]
    if not matching or name == host:
        raise MountError(f"mount.lustre: Can't parse NID '{host}:{path}'")
    ((file_system, server),) = matching
    if not server["answers"]:
        raise MountError(f"mount.lustre: mount {host}:{path} failed: Connection timed out")
    if path != f"/{server['mountName']}":
        raise MountError(
            f"mount.lustre: mount {host}:{path} failed: No such file or directory\n"
            "Is the MGS specification correct?\nIs the filesystem name correct?"
        )
    return Found(file_system, "/", f"{server['address']}@tcp:{path}")


def _nfs(network: dict[str, Any], host: str, path: str) -> Found:
    for file_system, served in network["efs"].items():
        for target in served["targets"]:
            if target["address"] == host and target["answers"]:
                return _served(network, Found(file_system, path, f"{host}:{path}"))
    raise MountError("mount.nfs4: Connection timed out")


def _efs(network: dict[str, Any], file_system: str, path: str, options: dict[str, str]) -> Found:
    point_id, served = options.get("accesspoint"), network["efs"].get(file_system)
    if point_id and "tls" not in options:
        raise MountError('The "tls" option is required when mounting via "accesspoint"')
    if point_id and path != "/":
        raise MountError(f"The path of an access point must be /, not {path}")
    address = options.get("mounttargetip")
    targets = served["targets"] if served else []
    # The name of a file system resolves only in zones with a mount target.
    near = [each for each in targets if address in (None, each["address"]) and (address or each["isNear"])]
    if not near and not address:
        raise MountError(f'Failed to resolve "{file_system}": check that it has a mount target in this zone')
    if served is None or not any(each["answers"] for each in near):
        raise MountError("mount.nfs4: Connection timed out")
    if not point_id:
        return _served(network, Found(file_system, path, f"127.0.0.1:{path}"))
    point = served["accessPoints"].get(point_id)
    if point is None or point["state"] != "available":
        raise MountError("mount.nfs4: access denied by server while mounting 127.0.0.1:/")
    return _served(network, Found(file_system, point["path"], "127.0.0.1:/", point_id, point["creates"]))


def _served(network: dict[str, Any], found: Found) -> Found:
    if not found.creates and not has(network, found.file_system, found.directory):
        raise MountError(
            f"mount.nfs4: mounting {found.shown} failed, reason given by server: No such file or directory"
        )
    return found


def main(folder: Path, arguments: list[str]) -> int:
    """Mount as `mount -t TYPE -o OPTIONS SOURCE TARGET` says, in the guest with this folder."""
    _, kind, _, given, source, target = arguments
    network, options = json.loads((folder / "network.json").read_text()), given.split(",")
    try:
        found = find(network, kind, source, options)
    except MountError as error:
        print(error, file=sys.stderr)
        return FAILED
    files = Path(network["files"]) / found.file_system / found.directory.strip("/")
    if found.creates:
        files.mkdir(parents=True, exist_ok=True)
    subprocess.run([network["mount"], "--bind", files, target], check=True)
    if "ro" in options:
        subprocess.run([network["mount"], "-o", "remount,bind,ro", target], check=True)
    with (folder / "network-mounts").open("a") as shown:
        shown.write(f"{target} {found.shown}\n")
    if kind == "efs":
        state = Path("/run/efs")
        state.mkdir(exist_ok=True)
        dotted = target.strip("/").replace("/", ".")
        point = {"accessPoint": found.access_point} if found.access_point else {}
        (state / f"{found.file_system}.{dotted}.{TUNNEL_PORT}").write_text(json.dumps(point))
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
