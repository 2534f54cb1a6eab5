"""Network file systems: the exact commands, and what fstab gets. `mount` itself is replaced: there is no server."""

import json

import pytest
from guest import PATH, Answer, Guest

FILE_SYSTEM, ACCESS_POINT = "fs-0123456789abcdef0", "fsap-0fedcba9876543210"
DIRECTORY = "/aws-backup-restore_2026-11-30T07-00-00-250589632Z"
MARKER = f"# Rapid Recovery: {PATH}"
# Answers as after a mount: findmnt is replaced too, and shows what the kernel would.
MOUNT = """#!/bin/sh
printf '%s\\n' "$*" >>{folder}/mounts
if [ -x {folder}/on-mount ]; then {folder}/on-mount "$@" || exit $?; fi
for last; do :; done
case $last in /run/*) ;; *) echo "$(cat {folder}/shown)" >{folder}/mounted ;; esac
"""
FINDMNT = """#!/bin/sh
case $* in
  '-nrvo SOURCE -M {path}') cat {folder}/mounted ;;
  *) exec /usr/bin/findmnt "$@" ;;
esac
"""


class Client:
    """A guest with the clients of network file systems."""

    def __init__(self, guest: Guest, *helpers: str) -> None:
        self.guest = guest
        for name in ("mounted", "mounts"):
            (guest.folder / name).touch()
        guest.stand_in("mount", MOUNT.format(folder=guest.folder))
        guest.stand_in("findmnt", FINDMNT.format(folder=guest.folder, path=PATH))
        for helper in helpers:
            guest.stand_in(helper, "#!/bin/sh\n")

    def on_mount(self, script: str) -> None:
        """What a mount does besides."""
        self.guest.stand_in("../on-mount", f"#!/bin/sh\n{script}\n")

    def mount(self, kind: str, source: str, shown: str, **parameters: str) -> Answer:
        """Run the script. The kernel shows `shown` after the mount."""
        (self.guest.folder / "shown").write_text(shown)
        return self.guest.mount(source, kind=kind, **parameters)

    @property
    def mounts(self) -> list[str]:
        """The arguments of each mount."""
        return (self.guest.folder / "mounts").read_text().splitlines()


@pytest.fixture
def client(guest: Guest) -> Client:
    """A guest with every client."""
    return Client(guest, "mount.efs", "mount.nfs", "mount.nfs4", "mount.lustre", "mount.cifs")


NFS_OPTIONS = "nfsvers=4.1,rsize=1048576,wsize=1048576,hard,timeo=600,retrans=2,noresvport"
NAME = "fs-0a1b2c3d4e5f60718.fsx.eu-central-1.amazonaws.com"
SVM = "svm-0123.fs-0a1b.fsx.eu-central-1.amazonaws.com"


@pytest.mark.parametrize(
    ("kind", "source", "parameters", "shown", "command", "line"),
    [
        (
            *("EFS", FILE_SYSTEM, {}, "127.0.0.1:/"),
            f"-t efs -o tls,noresvport {FILE_SYSTEM}:/ {PATH}",
            f"{FILE_SYSTEM}:/ {PATH} efs tls,noresvport,_netdev,nofail 0 0",
        ),
        (
            *("EFS", FILE_SYSTEM, {"AccessPoint": ACCESS_POINT, "Addresses": "10.0.1.5"}, "127.0.0.1:/"),
            f"-t efs -o tls,accesspoint={ACCESS_POINT},mounttargetip=10.0.1.5,noresvport {FILE_SYSTEM}:/ {PATH}",
            f"{FILE_SYSTEM}:/ {PATH} efs "
            f"tls,accesspoint={ACCESS_POINT},mounttargetip=10.0.1.5,noresvport,_netdev,nofail 0 0",
        ),
        (
            *("EFS", FILE_SYSTEM, {"Transport": "tls-iam", "Export": DIRECTORY}, f"127.0.0.1:{DIRECTORY}"),
            f"-t efs -o tls,iam,noresvport {FILE_SYSTEM}:{DIRECTORY} {PATH}",
            f"{FILE_SYSTEM}:{DIRECTORY} {PATH} efs tls,iam,noresvport,_netdev,nofail 0 0",
        ),
        (
            *(
                "EFS",
                FILE_SYSTEM,
                {"Transport": "nfs", "Export": DIRECTORY, "Addresses": "10.0.1.5"},
                f"10.0.1.5:{DIRECTORY}",
            ),
            f"-t nfs4 -o {NFS_OPTIONS} 10.0.1.5:{DIRECTORY} {PATH}",
            f"10.0.1.5:{DIRECTORY} {PATH} nfs4 {NFS_OPTIONS},_netdev,nofail 0 0",
        ),
        (
            *("LUSTRE", NAME, {"Export": "abcdefgh"}, f"{NAME}@tcp:/abcdefgh"),
            f"-t lustre -o relatime,flock {NAME}@tcp:/abcdefgh {PATH}",
            f"{NAME}@tcp:/abcdefgh {PATH} lustre relatime,flock,_netdev,nofail 0 0",
        ),
        (
            *("OPENZFS", NAME, {"Export": "/fsx/orders"}, f"{NAME}:/fsx/orders"),
            f"-t nfs -o nfsvers=4.2,rsize=1048576,wsize=1048576,timeo=600 {NAME}:/fsx/orders {PATH}",
            f"{NAME}:/fsx/orders {PATH} nfs nfsvers=4.2,rsize=1048576,wsize=1048576,timeo=600,_netdev,nofail 0 0",
        ),
        (
            *("ONTAP", SVM, {"Export": "/orders"}, f"{SVM}:/orders"),
            f"-t nfs -o defaults {SVM}:/orders {PATH}",
            f"{SVM}:/orders {PATH} nfs defaults,_netdev,nofail 0 0",
        ),
        (
            *("WINDOWS", NAME, {"Export": "share"}, f"//{NAME}/share"),
            f"-t cifs -o vers=3.0,sec=krb5,cruid=0 //{NAME}/share {PATH}",
            f"//{NAME}/share {PATH} cifs vers=3.0,sec=krb5,cruid=0,_netdev,nofail 0 0",
        ),
    ],
)
def test_mounts_with_these_arguments_now_and_at_each_boot(
    client: Client, kind: str, source: str, parameters: dict[str, str], shown: str, command: str, line: str
) -> None:
    answer = client.mount(kind, source, shown, **parameters)
    assert (answer.code, answer.outcome) == (0, "mounted"), answer.output
    assert client.mounts == [command]
    assert client.guest.fstab() == f"# the image's\n{MARKER} {source}\n{line}\n"
    assert client.guest.sleeps() == ["1"]
    again = client.mount(kind, source, shown, **parameters)
    assert (again.code, again.outcome) == (0, "already-mounted"), again.output
    assert client.mounts == [command]


def test_without_efs_utils_nfs_is_used_and_the_answer_says_so(guest: Guest) -> None:
    client = Client(guest, "mount.nfs4")
    answer = client.mount(
        "EFS", FILE_SYSTEM, f"10.0.1.5:{DIRECTORY}", Export=DIRECTORY, AccessPoint=ACCESS_POINT, Addresses="10.0.1.5"
    )
    assert (answer.outcome, answer.result["transport"]) == ("mounted", "nfs"), answer.output
    assert client.mounts == [f"-t nfs4 -o {NFS_OPTIONS} 10.0.1.5:{DIRECTORY} {PATH}"]


@pytest.mark.parametrize(
    ("zone", "address"), [("eu-central-1b", "10.0.2.5"), ("eu-central-1c", "10.0.1.5"), ("", "10.0.1.5")]
)
def test_the_mount_target_of_the_instances_zone_is_used(client: Client, zone: str, address: str) -> None:
    client.guest.stand_in(
        "curl",
        f"""#!/bin/sh
case "$*" in
  *"-X PUT"*/latest/api/token) [ -n "{zone}" ] && echo TOKEN ;;
  *"X-aws-ec2-metadata-token: TOKEN"*/latest/meta-data/placement/availability-zone) echo {zone} ;;
  *) exit 22 ;;
esac
""",
    )
    client.mount("EFS", FILE_SYSTEM, "127.0.0.1:/", Addresses="eu-central-1a=10.0.1.5 eu-central-1b=10.0.2.5")
    assert client.mounts == [f"-t efs -o tls,mounttargetip={address},noresvport {FILE_SYSTEM}:/ {PATH}"]


def state_file(client: Client, file_system: str, access_point: str | None) -> None:
    """What efs-utils leaves for a mount over TLS."""
    state = {"pid": 1} | ({"accessPoint": access_point} if access_point else {})
    client.guest.sh(
        f"mkdir -p /run/efs; echo '{json.dumps(state)}' >/run/efs/{file_system}.{PATH[1:].replace('/', '.')}.20049"
    )


@pytest.mark.parametrize(
    ("file_system", "access_point", "same"),
    [
        (FILE_SYSTEM, ACCESS_POINT, True),
        (FILE_SYSTEM, "fsap-00000000000000000", False),
        (FILE_SYSTEM, None, False),
        ("fs-00000000000000000", ACCESS_POINT, False),
    ],
)
def test_a_mount_over_tls_is_recognized_by_the_state_of_efs_utils(
    client: Client, file_system: str, access_point: str | None, same: bool
) -> None:
    state_file(client, file_system, access_point)
    (client.guest.folder / "mounted").write_text("127.0.0.1:/")
    # What was asked for is another directory.
    client.on_mount('for last; do :; done; /bin/mount -t tmpfs tmpfs "$last"')
    answer = client.mount("EFS", FILE_SYSTEM, "", AccessPoint=ACCESS_POINT)
    assert answer.reason == (None if same else "path-mounted-from-other"), answer.output
    assert all(f" {PATH}" not in mount for mount in client.mounts)


def test_a_mount_over_tls_of_which_nothing_is_known_is_refused(client: Client) -> None:
    (client.guest.folder / "mounted").write_text("127.0.0.1:/")
    assert client.mount("EFS", FILE_SYSTEM, "").reason == "path-mounted-from-other"


def test_lustre_shows_the_address_of_its_server(client: Client) -> None:
    client.guest.stand_in("getent", f"#!/bin/sh\n[ \"$*\" = 'ahosts {NAME}' ] && echo '10.0.3.7 STREAM'\n")
    assert client.mount("LUSTRE", NAME, "10.0.3.7@tcp:/abcdefgh", Export="abcdefgh").outcome == "mounted"
    (client.guest.folder / "mounted").write_text("10.0.3.8@tcp:/abcdefgh")
    assert client.mount("LUSTRE", NAME, "", Export="abcdefgh").reason == "path-mounted-from-other"
    (client.guest.folder / "mounted").write_text("10.0.3.7@tcp:/hgfedcba")
    assert client.mount("LUSTRE", NAME, "", Export="abcdefgh").reason == "path-mounted-from-other"


@pytest.mark.parametrize(
    ("kind", "source", "parameters", "reason", "found"),
    [
        ("EFS", FILE_SYSTEM, {"Transport": "tls"}, "tool-missing", "mount.efs"),
        ("EFS", FILE_SYSTEM, {"AccessPoint": ACCESS_POINT}, "tool-missing", "mount.efs"),
        ("EFS", FILE_SYSTEM, {"Addresses": "10.0.1.5"}, "tool-missing", "mount.nfs4"),
        ("LUSTRE", NAME, {"Export": "abc"}, "tool-missing", "mount.lustre"),
        ("OPENZFS", NAME, {"Export": "/fsx"}, "tool-missing", "mount.nfs"),
        ("ONTAP", NAME, {"Export": "/a"}, "tool-missing", "mount.nfs"),
        ("WINDOWS", NAME, {"Export": "share"}, "tool-missing", "mount.cifs"),
    ],
)
def test_a_missing_client_is_refused(
    guest: Guest, kind: str, source: str, parameters: dict[str, str], reason: str, found: str
) -> None:
    client = Client(guest)
    answer = client.mount(kind, source, "", **parameters)
    assert (answer.code, answer.reason) == (2, reason) and found in answer.result["found"], answer.output
    assert client.mounts == [] and guest.fstab() == "# the image's\n"


def test_nfs_without_an_address_is_refused(client: Client) -> None:
    assert client.mount("EFS", FILE_SYSTEM, "", Transport="nfs").reason == "address-missing"


@pytest.mark.parametrize("kind", ["LUSTRE", "OPENZFS", "ONTAP", "WINDOWS"])
def test_fsx_without_an_export_is_refused(client: Client, kind: str) -> None:
    assert client.mount(kind, NAME, "").reason == "export-missing"


def test_a_server_that_does_not_answer_is_tried_again(client: Client) -> None:
    client.guest.stand_in("timeout", f'#!/bin/sh\necho "$1" >{client.guest.folder}/limit\nexit 124\n')
    answer = client.mount("EFS", FILE_SYSTEM, "")
    assert (answer.code, answer.outcome, answer.reason) == (3, "retry", "mount-timeout")
    assert (client.guest.folder / "limit").read_text() == "150\n"
    assert client.guest.fstab() == "# the image's\n"


def test_a_mount_that_fails_is_refused_with_its_error(client: Client) -> None:
    client.on_mount("echo 'Failed to resolve' >&2; exit 1")
    answer = client.mount("EFS", FILE_SYSTEM, "")
    assert answer.reason == "mount-failed" and "Failed to resolve" in answer.result["found"]
    assert client.guest.fstab() == "# the image's\n"


@pytest.mark.parametrize(
    ("names", "reason", "found"),
    [
        ([DIRECTORY[1:]], None, ""),
        ([DIRECTORY[1:], "aws-backup-lost+found_2026", "orders"], None, "aws-backup-lost+found_2026"),
        ([], "no-restored-directory", ""),
        (["aws-backup-failed-restore_2026"], "no-restored-directory", "aws-backup-failed-restore_2026"),
        (
            [DIRECTORY[1:], "aws-backup-restore_2026-12-01"],
            "several-restored-directories",
            "aws-backup-restore_2026-12-01",
        ),
        (["aws-backup-restore_a b"], "several-restored-directories", "an unexpected name"),
    ],
)
def test_finds_the_directory_of_the_restore(client: Client, names: list[str], reason: str | None, found: str) -> None:
    # A tmpfs in place of the root of the file system.
    folders = " ".join(f"'{name}'" for name in names)
    client.on_mount(
        f"""for last; do :; done
/bin/mount -t tmpfs tmpfs "$last"
for name in {folders}; do mkdir "$last/$name"; done
/bin/mount -o remount,ro "$last"
"""
    )
    answer = client.mount("EFS", FILE_SYSTEM, "", Operation="find-restored-directory", Path="", Addresses="10.0.1.5")
    assert answer.reason == reason and found in answer.result.get("found", ""), answer.output
    (command,) = client.mounts
    assert command.startswith(
        f"-t efs -o ro,tls,mounttargetip=10.0.1.5,noresvport {FILE_SYSTEM}:/ /run/rapid-recovery-efs."
    )
    if reason is None:
        assert (answer.code, answer.outcome, answer.result["directory"]) == (0, "found", DIRECTORY)
    assert client.guest.sh("ls /run; cat /proc/mounts").count("rapid-recovery-efs") == 0
    assert client.guest.fstab() == "# the image's\n"


ROOT = f"""for last; do :; done
case $last in
  /run/*)
    /bin/mount -t tmpfs tmpfs "$last"
    mkdir "$last{DIRECTORY}"
    /bin/mount -o remount,ro "$last" ;;
esac
"""


def test_mounts_the_directory_of_the_restore_that_it_finds(client: Client) -> None:
    client.on_mount(ROOT)
    given = {"Operation": "mount-restored", "Addresses": "10.0.1.5"}
    answer = client.mount("EFS", FILE_SYSTEM, f"127.0.0.1:{DIRECTORY}", **given)
    assert (answer.code, answer.outcome, answer.result["directory"]) == (0, "mounted", DIRECTORY), answer.output
    find, mount = client.mounts
    assert find.startswith(
        f"-t efs -o ro,tls,mounttargetip=10.0.1.5,noresvport {FILE_SYSTEM}:/ /run/rapid-recovery-efs."
    )
    assert mount == f"-t efs -o tls,mounttargetip=10.0.1.5,noresvport {FILE_SYSTEM}:{DIRECTORY} {PATH}"
    line = f"{FILE_SYSTEM}:{DIRECTORY} {PATH} efs tls,mounttargetip=10.0.1.5,noresvport,_netdev,nofail 0 0"
    assert client.guest.fstab() == f"# the image's\n{MARKER} {FILE_SYSTEM}\n{line}\n"
    again = client.mount("EFS", FILE_SYSTEM, f"127.0.0.1:{DIRECTORY}", **given)
    assert (again.code, again.outcome) == (0, "already-mounted"), again.output
    assert len(client.mounts) == 3
    assert client.guest.sh("ls /run; cat /proc/mounts").count("rapid-recovery-efs") == 0


def test_without_a_directory_of_a_restore_nothing_is_mounted_at_the_path(client: Client) -> None:
    client.on_mount('for last; do :; done; /bin/mount -t tmpfs tmpfs "$last"\n')
    answer = client.mount("EFS", FILE_SYSTEM, "", Operation="mount-restored")
    assert (answer.code, answer.reason) == (2, "no-restored-directory")
    assert len(client.mounts) == 1 and client.guest.fstab() == "# the image's\n"


@pytest.mark.parametrize(
    ("kind", "source", "parameters", "shown"),
    [
        ("EFS", FILE_SYSTEM, {"Export": "/orders"}, "127.0.0.1:/orders"),
        ("EFS", FILE_SYSTEM, {"AccessPoint": ACCESS_POINT}, "127.0.0.1:/"),
        ("LUSTRE", NAME, {"Export": "abcdefgh"}, f"{NAME}@tcp:/abcdefgh"),
    ],
)
def test_where_nothing_is_to_be_found_mount_restored_is_mount(
    client: Client, kind: str, source: str, parameters: dict[str, str], shown: str
) -> None:
    answer = client.mount(kind, source, shown, Operation="mount-restored", **parameters)
    assert (answer.outcome, len(client.mounts)) == ("mounted", 1), answer.output


# What is mounted at the path, and what is asked for there: the directory of a restore, and an access point to it.
WAYS = [
    (None, f"127.0.0.1:{DIRECTORY}", {"AccessPoint": ACCESS_POINT}),
    (ACCESS_POINT, "127.0.0.1:/", {"Export": DIRECTORY}),
]


@pytest.mark.parametrize(("access_point", "shown", "parameters"), WAYS)
@pytest.mark.parametrize(
    ("file_system", "scratch", "same"),
    [
        (FILE_SYSTEM, f'/bin/mount --bind {PATH} "$last"', True),
        (FILE_SYSTEM, '/bin/mount -t tmpfs tmpfs "$last"', False),
        ("fs-00000000000000000", f'/bin/mount --bind {PATH} "$last"', False),
    ],
    ids=["same", "another-directory", "another-file-system"],
)
def test_the_directory_and_its_access_point_are_the_same(
    client: Client,
    access_point: str | None,
    shown: str,
    parameters: dict[str, str],
    file_system: str,
    scratch: str,
    same: bool,
) -> None:
    client.guest.sh(f"mkdir -p {PATH}")
    state_file(client, file_system, access_point)
    (client.guest.folder / "mounted").write_text(shown)
    client.on_mount(f"for last; do :; done; {scratch}\n")
    answer = client.mount("EFS", FILE_SYSTEM, shown, **parameters)
    if same:
        assert (answer.code, answer.outcome) == (0, "already-mounted"), answer.output
    else:
        assert (answer.code, answer.reason) == (2, "path-mounted-from-other"), answer.output
    assert client.guest.fstab() == "# the image's\n"
    assert client.guest.sh("ls /run; cat /proc/mounts").count("rapid-recovery-efs") == 0
