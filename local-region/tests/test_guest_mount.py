"""What a client of a file server gets or is refused, and what a run says that was not carried out."""

import json
from typing import Any

import pytest

from local_region.guest_mount import Found, MountError, find
from local_region.guests import Run, recorded

FS, POINT, DIRECTORY = "fs-1", "fsap-1", "aws-backup-restore_2026-11-23T03-10-00-123Z"
NEAR = {"address": "10.0.0.4", "isNear": True, "answers": True}
FAR = {"address": "10.0.1.4", "isNear": False, "answers": True}


def network(**efs: Any) -> dict[str, Any]:
    """A file system of EFS with an access point to its restored directory, and one of Lustre."""
    point = {"path": f"/{DIRECTORY}", "state": "available", "creates": False}
    served = {"directories": {DIRECTORY: "point-1"}, "targets": [NEAR], "accessPoints": {POINT: point}} | efs
    lustre = {
        "name": "fs-2.fsx",
        "address": "10.0.0.5",
        "mountName": "abcd1234",
        "directories": {"": "point-2"},
        "answers": True,
    }
    return {"zone": "us-west-2a", "efs": {FS: served}, "lustre": {"fs-2": lustre}}


def test_finds_what_servers_serve() -> None:
    options = ["tls", f"accesspoint={POINT}", "mounttargetip=10.0.0.4", "noresvport"]
    through = Found(FS, f"/{DIRECTORY}", "127.0.0.1:/", POINT)
    assert find(network(), "efs", f"{FS}:/", options) == through
    assert find(network(), "efs", f"{FS}:/", ["tls"]) == Found(FS, "/", "127.0.0.1:/")
    nfs = Found(FS, f"/{DIRECTORY}", f"10.0.0.4:/{DIRECTORY}")
    assert find(network(), "nfs4", f"10.0.0.4:/{DIRECTORY}", ["hard"]) == nfs
    lustre = Found("fs-2", "/", "10.0.0.5@tcp:/abcd1234")
    assert find(network(), "lustre", "fs-2.fsx@tcp:/abcd1234", ["flock"]) == lustre


@pytest.mark.parametrize(
    ("changes", "kind", "source", "options", "said"),
    [
        ({}, "efs", f"{FS}:/", [f"accesspoint={POINT}"], "tls"),
        ({}, "efs", f"{FS}:/", ["tls", "accesspoint=fsap-2"], "access denied by server"),
        ({}, "efs", f"{FS}:/{DIRECTORY}", ["tls", f"accesspoint={POINT}"], "must be /"),
        ({}, "efs", f"{FS}:/other", ["tls"], "No such file or directory"),
        ({}, "efs", "fs-9:/", ["tls"], "Failed to resolve"),
        ({}, "efs", f"{FS}:/", ["tls", "mounttargetip=10.0.0.9"], "timed out"),
        ({"targets": [FAR]}, "efs", f"{FS}:/", ["tls"], "Failed to resolve"),
        ({"targets": [NEAR | {"answers": False}]}, "efs", f"{FS}:/", ["tls"], "timed out"),
        ({"directories": {}}, "efs", f"{FS}:/", ["tls", f"accesspoint={POINT}"], "No such file or directory"),
        ({}, "nfs4", "10.0.0.9:/", [], "timed out"),
        ({}, "nfs4", "10.0.0.4:/other", [], "No such file or directory"),
        ({}, "lustre", "fs-2.fsx@tcp:/fsx", [], "filesystem name"),
        ({}, "lustre", "fs-3.fsx@tcp:/abcd1234", [], "parse NID"),
        ({}, "lustre", "fs-2.fsx:/abcd1234", [], "parse NID"),
    ],
)
def test_fails_as_the_client_does(changes: Any, kind: str, source: str, options: list[str], said: str) -> None:
    with pytest.raises(MountError, match=said):
        find(network(**changes), kind, source, options)


def test_an_access_point_in_creation_denies_access() -> None:
    point = {"path": f"/{DIRECTORY}", "state": "creating", "creates": False}
    with pytest.raises(MountError, match="access denied"):
        find(network(accessPoints={POINT: point}), "efs", f"{FS}:/", ["tls", f"accesspoint={POINT}"])


def answer(run: Run) -> dict[str, Any]:
    """The result of a run that was not carried out."""
    assert run.recorded and run.output.startswith("The local Region did not run this.")
    return json.loads(run.output.splitlines()[-1].removeprefix("RESULT "))


def not_run(mounts: dict[str, Any], *files: str, changes: Any = None, **parameters: str) -> dict[str, Any]:
    """What such a run says of these parameters."""
    volumes, known = {"vol-1": "snap-1"}, network(**(changes or {}))
    return answer(recorded(parameters, "why", volumes, known, mounts, list(files)))


def test_a_run_that_was_not_carried_out_refuses_what_a_guest_would() -> None:
    mounts: dict[str, Any] = {}
    volume = {"Type": "EBS", "Source": "vol-1", "Path": "/srv/data"}
    assert not_run(mounts, "/srv/data/file", **volume)["reason"] == "path-not-empty"
    assert not_run(mounts, **(volume | {"Source": "vol-2"}))["reason"] == "device-not-found"
    assert mounts == {}
    assert not_run(mounts, **volume)["outcome"] == "mounted"
    assert not_run(mounts, **volume)["outcome"] == "already-mounted"
    shared = {"Type": "EFS", "Source": FS, "AccessPoint": POINT, "Path": "/srv/data"}
    assert not_run(mounts, **shared)["reason"] == "path-mounted-from-other"
    shared |= {"Path": "/srv/shared", "Addresses": "us-west-2b=10.0.1.4 us-west-2a=10.0.0.4"}
    assert not_run(mounts, changes={"directories": {}}, **shared)["reason"] == "mount-failed"
    assert not_run(mounts, **shared)["transport"] == "tls"
    lustre = {"Type": "LUSTRE", "Source": "fs-2.fsx", "Path": "/srv/results"}
    assert not_run(mounts, Export="fsx", **lustre)["reason"] == "mount-failed"
    assert not_run(mounts, Export="abcd1234", **lustre)["outcome"] == "mounted"
    origins = {path: mount["restoredFrom"] for path, mount in mounts.items()}
    assert origins == {"/srv/data": "snap-1", "/srv/shared": "point-1", "/srv/results": "point-2"}


def test_the_directory_of_a_restore_is_that_of_the_file_system() -> None:
    finds = {"Operation": "find-restored-directory", "Type": "EFS", "Source": FS}
    assert not_run({}, **finds)["directory"] == f"/{DIRECTORY}"
    for names, reason in (
        ([], "no-restored-directory"),
        ([DIRECTORY, f"{DIRECTORY}2"], "several-restored-directories"),
    ):
        changes = {"directories": dict.fromkeys(names, "")}
        assert not_run({}, changes=changes, **finds)["reason"] == reason
