"""What the script refuses, each on a real device. A refusal changes nothing."""

import re
import struct
from pathlib import Path

import pytest
from guest import PATH, SCRIPT, Answer, Guest, reasons, run

OTHER_VOLUME = "vol-0fedcba9876543210"


def refused(guest: Guest, reason: str, *found: str, disk: str | None = None, **parameters: str) -> Answer:
    """The script refuses, says what it found, and leaves fstab, the path and the disk as they were."""

    def state() -> tuple[str, str, str]:
        disk_now = run("md5sum", disk) if disk else ""
        return guest.fstab(), guest.sh("cat /proc/mounts; ls -R /srv; ls /etc/fstab*"), disk_now

    before = state()
    answer = guest.mount(**parameters)
    assert (answer.code, answer.outcome, answer.reason) == (2, "refused", reason), answer.output
    for part in found:
        assert part in answer.result["found"], answer.output
    assert answer.result["remedy"] == reasons()[reason]
    assert "persistent" not in answer.result
    assert state() == before
    return answer


# ---- what is on the device ------------------------------------------------------------------------------------------


def test_an_empty_disk(guest: Guest) -> None:
    disk = guest.attach(guest.disk(16))
    refused(guest, "no-file-system", disk, disk=disk)


def test_an_empty_partition(guest: Guest) -> None:
    disk = guest.partitioned("label: gpt\n,,L\n")
    refused(guest, "no-file-system", f"a partition table on {disk}", disk=disk)


def test_a_partition_table_without_partitions(guest: Guest) -> None:
    disk = guest.partitioned("label: gpt\n")
    refused(guest, "no-file-system", f"a partition table on {disk}", disk=disk)


def test_two_partitions_with_file_systems(guest: Guest) -> None:
    disk = guest.partitioned("label: gpt\n,100M,L\n,,L\n")
    guest.with_file("ext4", f"{disk}p1")
    guest.with_file("btrfs", f"{disk}p2")
    refused(guest, "several-file-systems", f"{disk}p1=ext4", f"{disk}p2=btrfs", disk=disk)


def test_a_file_system_beside_swap(guest: Guest) -> None:
    disk = guest.partitioned("label: gpt\n,100M,L\n,,L\n")
    guest.with_file("ext4", f"{disk}p1")
    run("mkswap", f"{disk}p2")
    refused(guest, "several-file-systems", f"{disk}p2=swap", disk=disk)


def test_swap(guest: Guest) -> None:
    disk = guest.attach(guest.disk(16))
    run("mkswap", disk)
    refused(guest, "swap", f"{disk} holds: swap", disk=disk)


def test_swap_in_the_only_partition(guest: Guest) -> None:
    disk = guest.partitioned("label: gpt\n,,L\n")
    run("mkswap", f"{disk}p1")
    refused(guest, "swap", f"{disk}p1 holds: swap", disk=disk)


@pytest.mark.parametrize("version", ["luks1", "luks2"])
def test_a_luks_header(guest: Guest, version: str) -> None:
    disk = guest.attach(guest.disk(64))
    cheap = ["--pbkdf=pbkdf2", "--pbkdf-force-iterations=1000"]
    run("cryptsetup", "luksFormat", "--batch-mode", f"--type={version}", *cheap, "--key-file=-", disk, stdin="secret")
    refused(guest, "encrypted", "crypto_LUKS", disk=disk)


def test_a_member_of_a_raid_array(guest: Guest) -> None:
    disk = guest.attach(guest.disk(64))
    raid_superblock(disk)
    assert "Raid Level : raid1" in run("mdadm", "--examine", disk), "mdadm does not recognize the member"
    refused(guest, "raid-member", "linux_raid_member", disk=disk)


def raid_superblock(disk: str) -> None:
    """A superblock of version 1.2 of one of two disks of a mirror: `mdadm --create` needs the kernel's driver."""
    superblock = bytearray(256 + 2 * 2)
    struct.pack_into(
        "<IIII16s32sQIIQII",
        superblock,
        0,
        *(0xA92B4EFC, 1, 0, 0),
        b"0123456789abcdef",
        b"guest:0",
        0,
        1,
        0,
        100000,
        0,
        2,
    )
    struct.pack_into("<QQQQIII", superblock, 128, 2048, 100000, 8, 0, 0, 0, 0)
    struct.pack_into("<16s", superblock, 168, b"fedcba9876543210")
    struct.pack_into("<QQQII", superblock, 192, 0, 1, 0xFFFFFFFFFFFFFFFF, 0, 2)
    struct.pack_into("<HH", superblock, 256, 0, 1)
    words = sum(struct.unpack(f"<{len(superblock) // 4}I", superblock))
    struct.pack_into("<I", superblock, 216, ((words & 0xFFFFFFFF) + (words >> 32)) & 0xFFFFFFFF)
    with open(disk, "r+b") as file:
        file.seek(4096)
        file.write(superblock)


def test_a_file_system_that_linux_reads_differently(guest: Guest) -> None:
    disk = guest.attach(guest.disk(16))
    # The volume descriptor of ISO 9660.
    with open(disk, "r+b") as file:
        file.seek(32768)
        file.write(b"\x01CD001\x01" + b"\0" * 33 + b"orders".ljust(32))
    refused(guest, "file-system-unsupported", "iso9660", disk=disk)


def test_two_signatures_on_one_device(guest: Guest) -> None:
    disk = guest.attach(guest.with_file("xfs", guest.disk()))
    with open(disk, "rb") as file:
        superblock = file.read(512)
    # The superblock of ext4 begins behind that of XFS.
    guest.with_file("ext4", disk)
    with open(disk, "r+b") as file:
        file.write(superblock)
    refused(guest, "content-ambiguous", disk, disk=disk)


def test_a_file_system_over_partitions(guest: Guest) -> None:
    disk = guest.partitioned("label: dos\n,,L\n")
    with open(disk, "rb") as file:
        table = file.read(512)
    run("mkfs.ext4", "-q", "-F", "-F", disk)
    with open(disk, "r+b") as file:
        file.write(table)
    refused(guest, "content-ambiguous", disk, disk=disk)


def test_btrfs_with_the_id_of_another_device(guest: Guest) -> None:
    image = guest.image(320)
    guest.with_file("btrfs", guest.disk(image=image))
    copy = guest.image(1)
    run("cp", "--sparse=always", image, copy)
    disk = guest.attach(guest.disk(image=copy))
    refused(guest, "duplicate-btrfs", guest._loops[0], disk=disk)


def test_a_duplicate_without_a_name_that_lasts(guest: Guest) -> None:
    other = guest.ext4(OTHER_VOLUME)
    disk = guest.attach(guest.with_file("ext4", guest.disk(), "-U", guest.uuid(other)))
    refused(guest, "no-stable-name", other, disk=disk)


def test_two_disks_with_the_serial(guest: Guest) -> None:
    disks = [guest.ext4(), guest.ext4()]
    refused(guest, "device-ambiguous", *disks)


def test_a_file_system_that_cannot_be_mounted(guest: Guest) -> None:
    disk = guest.attach(guest.with_file("ext4", guest.disk()))
    # A feature that no kernel has.
    run("debugfs", "-w", "-R", "set_super_value feature_incompat 0xf0000002", disk)
    answer = refused(guest_with_folder(guest), "mount-failed", f"mount -t ext4 -o defaults {disk} {PATH}", disk=disk)
    assert "No such" not in answer.result["found"]


def guest_with_folder(guest: Guest) -> Guest:
    """The path exists: the folder that the script makes for a mount that fails is no difference then."""
    guest.sh(f"mkdir {PATH}")
    return guest


def test_a_line_that_failed_does_not_stay_in_fstab(guest: Guest) -> None:
    guest.write_fstab(f"# Rapid Recovery: {PATH} {OTHER_VOLUME}\nUUID=earlier {PATH} xfs defaults,nofail 0 0\n")
    guest.sh("mkdir -p /run/systemd/system")
    guest.stand_in("systemctl", f'#!/bin/sh\necho "$* $(grep UUID= /etc/fstab)" >>{guest.folder}/systemctl\n')
    guest.stand_in("mount", "#!/bin/sh\necho 'wrong \"fs\" type\\n' >&2\nexit 32\n")
    disk = guest.ext4()
    answer = refused(guest_with_folder(guest), "mount-failed", 'wrong "fs" type', disk=disk)
    assert "persistent" not in answer.result
    seen = (guest.folder / "systemctl").read_text().splitlines()
    assert [f"UUID={guest.uuid(disk)}" in line for line in seen] == [True, False] and "UUID=earlier" in seen[1]


# ---- the path -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("entry", ["orders", ".hidden", "lost+found/"])
def test_a_path_with_files(guest: Guest, entry: str) -> None:
    guest.ext4()
    guest.sh(f"mkdir -p {PATH}; cd {PATH}; {'mkdir' if entry.endswith('/') else 'touch'} {entry}")
    refused(guest, "path-not-empty", entry.rstrip("/"))


def test_a_path_that_is_a_file(guest: Guest) -> None:
    guest.ext4()
    guest.sh(f"touch {PATH}")
    refused(guest, "path-not-directory", PATH)


@pytest.mark.parametrize("target", ["/srv/real", "/srv/missing"])
def test_a_path_that_is_a_link(guest: Guest, target: str) -> None:
    guest.ext4()
    guest.sh(f"mkdir /srv/real; ln -s {target} {PATH}")
    refused(guest, "path-symlink", target)


def test_a_path_below_a_link(guest: Guest) -> None:
    guest.ext4()
    guest.sh("mkdir /srv/real; ln -s /srv/real /srv/link")
    refused(guest, "path-symlink", "/srv/real/data", path="/srv/link/data")


@pytest.mark.parametrize(
    "path",
    [
        "/srv/../etc/data",
        "/srv//data",
        "/srv/./data",
        "/srv/data/",
        "/proc/data",
        "/dev/data",
        "/run/data",
        "/sys/data",
    ],
)
def test_a_path_that_is_not_one(guest: Guest, path: str) -> None:
    guest.ext4()
    refused(guest, "path-invalid", path, path=path)


def test_a_path_mounted_from_another_device(guest: Guest) -> None:
    other = guest.ext4(OTHER_VOLUME)
    guest.mount(OTHER_VOLUME)
    guest.ext4()
    refused(guest, "path-mounted-from-other", other)
    assert guest.source() == other


def test_a_device_mounted_elsewhere(guest: Guest) -> None:
    disk = guest.ext4()
    guest.sh(f"mkdir /srv/other; mount {disk} /srv/other")
    refused(guest, "device-mounted-elsewhere", "/srv/other")


@pytest.mark.parametrize(
    "line",
    [
        "fs-0a1b2c3d:/ {path} efs _netdev,nofail 0 0",
        "UUID=00000000-0000-0000-0000-000000000000 {path} ext4 defaults 0 2",
        "/dev/sdf\t{path}/\text4 defaults,nofail 0 2",
        "LABEL=orders {path} ext4 defaults 0 0",
    ],
)
def test_a_line_of_somebody_else_for_the_path(guest: Guest, line: str) -> None:
    guest.ext4()
    line = line.format(path=PATH)
    guest.write_fstab(f"# the image's\n{line}\n")
    refused(guest, "fstab-other-line", line.replace("\t", " "))


def test_an_fstab_that_cannot_be_replaced(guest: Guest) -> None:
    guest.ext4()
    guest.sh("mount -o remount,bind,ro /etc")
    refused(guest, "fstab-not-writable", "/etc/fstab")


def test_a_mount_that_systemd_undoes_is_tried_again(guest: Guest) -> None:
    disk = guest.ext4()
    on_sleep = guest.folder / "on-sleep"
    on_sleep.write_text(f"#!/bin/sh\numount {PATH}\n")
    on_sleep.chmod(0o755)
    answer = guest.mount()
    assert (answer.code, answer.outcome, answer.reason) == (3, "retry", "mount-undone"), answer.output
    assert guest.fstab() == "# the image's\n"
    on_sleep.unlink()
    assert guest.mount().outcome == "mounted" and guest.source() == disk


def test_a_second_run_waits_for_the_first(guest: Guest) -> None:
    guest.ext4()
    guest.stand_in("flock", '#!/bin/sh\necho "$*" >/run/flock\nexit 1\n')
    answer = guest.mount()
    assert (answer.code, answer.outcome, answer.reason) == (3, "retry", "busy")
    assert guest.sh("cat /run/flock") == "-w 300 9\n"


def test_a_helper_that_stays_behind_keeps_neither_the_lock_nor_the_run(guest: Guest) -> None:
    guest.ext4()
    guest.stand_in("mount", f'#!/bin/sh\n(read -r _ <{guest.folder}/end) &\nexec /bin/mount "$@"\n')
    run("mkfifo", guest.folder / "end")
    try:
        assert guest.mount().outcome == "mounted"
        guest.stand_in("flock", "#!/bin/sh\nexec /usr/bin/flock --nonblock 9\n")
        assert guest.mount().outcome == "already-mounted"
    finally:
        run("sh", "-c", f"echo >{guest.folder}/end")


# ---- parameters -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        ("Type", "EBS2"),
        ("Type", ""),
        ("Source", "vol-0123; touch /srv/injected"),
        ("Source", "vol-0123456789abcdef0\n$(touch /srv/injected)"),
        ("Source", "fs-0123456789abcdef0"),
        ("Path", "/srv/$(touch /srv/injected)"),
        ("Path", "/srv/`touch /srv/injected`"),
        ("Path", "/srv/a b"),
        ("Path", "srv/data"),
        ("Path", "/"),
        ("Path", "/srv/data\n/etc"),
        ("Export", "/x;touch /srv/injected"),
        ("Addresses", "10.0.0.1 -o"),
        ("Addresses", "10.0.0.1;touch /srv/injected"),
        ("AccessPoint", "fsap-0123,ro"),
        ("Transport", "plain"),
        ("SizeGiB", "1+1"),
        ("WaitSeconds", "-1"),
        ("Operation", "format"),
        ("Operation", "find-restored-directory"),
    ],
)
def test_a_parameter_that_is_not_what_it_should_be(guest: Guest, parameter: str, value: str) -> None:
    guest.ext4()
    refused(guest, "parameter-invalid", parameter, **{parameter: value})


def test_a_user_without_rights(guest: Guest) -> None:
    guest.ext4()
    guest.stand_in("id", "#!/bin/sh\ncase $1 in -u) echo 1000 ;; *) echo operator ;; esac\n")
    refused(guest, "not-root", "operator")


def test_a_command_that_fails_unexpectedly_is_no_success(guest: Guest) -> None:
    guest.ext4()
    guest.stand_in("mkdir", "#!/bin/sh\nexit 1\n")
    answer = guest.mount()
    assert (answer.code, answer.outcome, answer.reason) == (3, "retry", "script-failed")
    assert guest.fstab() == "# the image's\n" and guest.sh("ls /etc/fstab*") == "/etc/fstab\n"


# ---- the list -------------------------------------------------------------------------------------------------------


def used_reasons() -> set[str]:
    """The reasons that the script can answer."""
    text = SCRIPT.read_text()
    named = set(re.findall(r"\b(?:refuse|try_again|result retry) ([a-z]+(?:-[a-z]+)*)", text))
    contents = set(re.findall(r"content='?([a-z-]+)'?", text)) - {"file-system", "partitions", "physical-volume"}
    return named | contents


def test_every_refusal_has_a_remedy_and_every_remedy_a_refusal() -> None:
    assert used_reasons() == set(reasons())


def test_every_refusal_has_a_test() -> None:
    texts = "".join(file.read_text() for file in Path(__file__).parent.glob("test_*.py"))
    untested = {reason for reason in reasons() if f'"{reason}"' not in texts}
    assert not untested


def test_the_answer_fits_systems_manager_whatever_was_found(guest: Guest) -> None:
    disk = guest.attach(guest.with_file("ext4", guest.disk()))
    guest.stand_in("mount", "#!/bin/sh\nyes 'no \"\\\\ é' | head -c 100000 >&2\nexit 32\n")
    answer = guest.mount()
    assert answer.reason == "mount-failed" and disk in answer.result["found"]
    # Standard output of GetCommandInvocation (API reference of Systems Manager).
    assert len(answer.output) < 24_000
