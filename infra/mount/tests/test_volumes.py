"""Restored volumes that are mounted, on real loop devices."""

import subprocess
from pathlib import Path

import pytest
from guest import PATH, SCRIPT, VOLUME, Guest, run

MARKER = f"# Rapid Recovery: {PATH} {VOLUME}"
OTHER_VOLUME = "vol-0fedcba9876543210"


def mounted(answer, guest: Guest, device: str) -> None:
    assert (answer.code, answer.outcome) == (0, "mounted"), answer.output
    assert guest.source() == device and guest.orders() == "42"


@pytest.mark.parametrize("file_system", ["ext3", "ext4", "xfs", "btrfs"])
def test_mounts_a_whole_disk_now_and_at_each_boot(guest: Guest, file_system: str) -> None:
    disk = guest.attach(guest.with_file(file_system, guest.disk()))
    answer = guest.mount()
    mounted(answer, guest, disk)
    uuid = guest.uuid(disk)
    assert guest.fstab() == f"# the image's\n{MARKER}\nUUID={uuid} {PATH} {file_system} defaults,nofail 0 0\n"
    assert answer.result == {
        "outcome": "mounted",
        "type": "EBS",
        "source": VOLUME,
        "path": PATH,
        "device": disk,
        "fileSystem": file_system,
        "mountedFrom": f"UUID={uuid}",
        "persistent": "fstab",
    }


def test_what_fstab_says_mounts_the_same(guest: Guest) -> None:
    disk = guest.ext4()
    guest.mount()
    guest.sh(f"umount {PATH}; mount {PATH}")
    assert guest.source() == disk


def test_a_repetition_changes_nothing(guest: Guest) -> None:
    disk = guest.ext4()
    guest.mount()
    before = (guest.folder / "etc/fstab").stat()
    answer = guest.mount()
    assert (answer.code, answer.outcome, answer.result["persistent"]) == (0, "already-mounted", "fstab")
    after = (guest.folder / "etc/fstab").stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
    assert guest.sh(f"grep -c {disk} /proc/mounts") == "1\n"


def test_a_volume_that_a_person_mounted_there_gets_its_line(guest: Guest) -> None:
    disk = guest.ext4()
    guest.sh(f"mkdir {PATH}; mount {disk} {PATH}")
    assert guest.mount().outcome == "already-mounted"
    assert f"UUID={guest.uuid(disk)} {PATH} ext4 defaults,nofail 0 0\n" in guest.fstab()


def test_mounts_the_only_partition(guest: Guest) -> None:
    disk = guest.partitioned("label: gpt\n,,L\n")
    partition = guest.with_file("ext4", f"{disk}p1")
    mounted(guest.mount(), guest, partition)


def test_a_partition_without_content_is_no_second_file_system(guest: Guest) -> None:
    disk = guest.partitioned("label: gpt\n,1M,21686148-6449-6E6F-744E-656564454649\n,,L\n")
    partition = guest.with_file("xfs", f"{disk}p2")
    mounted(guest.mount(), guest, partition)


@pytest.mark.parametrize("other_is_mounted", [True, False])
def test_xfs_with_the_id_of_another_device_is_mounted_by_its_volume_id(guest: Guest, other_is_mounted: bool) -> None:
    other = guest.with_file("xfs", guest.disk())
    disk = guest.attach(guest.with_file("xfs", guest.disk(), "-m", f"uuid={guest.uuid(other)}"))
    guest.own_dev()
    name = f"/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_{VOLUME.replace('-', '')}"
    guest.sh(f"mkdir -p /dev/disk/by-id; ln -s ../../{Path(disk).name} {name}")
    if other_is_mounted:
        guest.sh(f"mkdir /srv/other; mount {other} /srv/other")
    answer = guest.mount()
    mounted(answer, guest, disk)
    assert "nouuid" in guest.options()
    assert f"{MARKER}\n{name} {PATH} xfs nouuid,nofail 0 0\n" in guest.fstab()
    guest.sh(f"umount {PATH}; mount {PATH}")
    assert guest.source() == disk


def test_the_partition_of_a_duplicate_has_its_own_name(guest: Guest) -> None:
    other = guest.with_file("ext4", guest.disk())
    disk = guest.partitioned("label: dos\n,,L\n")
    guest.with_file("ext4", f"{disk}p1", "-U", guest.uuid(other))
    guest.own_dev()
    name = f"/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_{VOLUME.replace('-', '')}"
    base = Path(disk).name
    guest.sh(f"mkdir -p /dev/disk/by-id; ln -s ../../{base} {name}; ln -s ../../{base}p1 {name}-part1")
    mounted(guest.mount(), guest, f"{disk}p1")
    assert f"\n{name}-part1 {PATH} ext4 defaults,nofail 0 0\n" in guest.fstab()


def crash_copy(guest: Guest, file_system: str) -> str:
    """The copy of a file system that is mounted and has a journal to replay, as a snapshot has. Returns its disk."""
    image = guest.image(320)
    live = guest.with_file(file_system, guest.disk(image=image))
    guest.sh(
        f"""
        mkdir /srv/live
        mount {live} /srv/live
        echo 43 >/srv/live/orders
        sync /srv/live/orders
        """
    )
    copy = guest.image(1)
    run("cp", "--sparse=always", image, copy)
    guest.sh("umount /srv/live")
    guest.detach(live)
    return guest.attach(guest.disk(image=copy))


@pytest.mark.parametrize(
    ("file_system", "check", "dirty"),
    [
        ("ext4", ["dumpe2fs", "-h"], "needs_recovery"),
        ("xfs", ["xfs_logprint", "-t"], "<DIRTY>"),
        ("btrfs", ["btrfs", "inspect-internal", "dump-super"], "log_root\t\t"),
    ],
)
def test_a_journal_is_replayed_by_the_mount(guest: Guest, file_system: str, check: list[str], dirty: str) -> None:
    disk = crash_copy(guest, file_system)
    state = subprocess.run([*check, disk], capture_output=True, text=True).stdout
    assert dirty in state and "log_root\t\t0" not in state, "the copy has nothing to replay"
    answer = guest.mount()
    assert answer.outcome == "mounted", answer.output
    assert guest.orders() == "43"


def test_waits_for_a_device_that_appears_late(guest: Guest) -> None:
    image = guest.image(64)
    late = guest.disk(image=image)
    guest.with_file("ext4", late)
    guest.attach(late)
    guest.detach(late)
    # The disk appears while the script waits for the second time, at the same number.
    guest.stand_in(
        "sleep",
        f"""#!/bin/sh
echo "$1" >>{guest.folder}/sleeps
if [ "$(grep -c . {guest.folder}/sleeps)" -eq 2 ]; then
  losetup --find --show {image} >{guest.folder}/late
  echo "$(basename "$(cat {guest.folder}/late)") {VOLUME.replace("-", "")}" >{guest.folder}/serials
fi
""",
    )
    answer = guest.mount(WaitSeconds="9")
    guest._loops.append((guest.folder / "late").read_text().strip())
    assert answer.outcome == "mounted", answer.output
    assert guest.sleeps() == ["1", "1", "1"] and guest.orders() == "42"


def test_a_device_that_does_not_appear_is_tried_again_later(guest: Guest) -> None:
    guest.ext4(OTHER_VOLUME)
    answer = guest.mount(WaitSeconds="3")
    assert (answer.code, answer.outcome, answer.reason) == (3, "retry", "device-not-found")
    assert guest.sleeps() == ["1"] * 3 and guest.source() == ""


def test_an_earlier_line_of_ours_is_replaced(guest: Guest) -> None:
    guest.write_fstab(
        "UUID=1 / ext4 defaults 0 1\n"
        f"# Rapid Recovery: {PATH} {OTHER_VOLUME}\nUUID=old {PATH} xfs defaults,nofail 0 0\n"
        f"# Rapid Recovery: {PATH}2 {OTHER_VOLUME}\nUUID=other {PATH}2 xfs defaults,nofail 0 0\n"
        "tmpfs /tmp tmpfs defaults 0 0"
    )
    (guest.folder / "etc/fstab").chmod(0o640)
    disk = guest.ext4()
    assert guest.mount().outcome == "mounted"
    assert guest.fstab() == (
        "UUID=1 / ext4 defaults 0 1\n"
        f"# Rapid Recovery: {PATH}2 {OTHER_VOLUME}\nUUID=other {PATH}2 xfs defaults,nofail 0 0\n"
        "tmpfs /tmp tmpfs defaults 0 0\n"
        f"{MARKER}\nUUID={guest.uuid(disk)} {PATH} ext4 defaults,nofail 0 0\n"
    )
    assert (guest.folder / "etc/fstab").stat().st_mode & 0o777 == 0o640
    assert [file.name for file in (guest.folder / "etc").glob("fstab*")] == ["fstab"]


def test_a_guest_without_fstab_gets_one(guest: Guest) -> None:
    (guest.folder / "etc/fstab").unlink()
    guest.ext4()
    assert guest.mount().outcome == "mounted"
    assert guest.fstab().startswith(MARKER) and (guest.folder / "etc/fstab").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("name", ["UUID={uuid}", "{disk}", "LABEL=orders"])
def test_a_line_of_the_image_for_the_same_volume_is_left_as_it_is(guest: Guest, name: str) -> None:
    disk = guest.ext4()
    run("e2label", disk, "orders")
    guest.write_fstab(f"{name.format(uuid=guest.uuid(disk), disk=disk)}\t{PATH}/ ext4 noatime,nofail 0 2\n")
    before = guest.fstab()
    answer = guest.mount()
    assert (answer.outcome, answer.result["persistent"]) == ("mounted", "existing-line"), answer.output
    assert guest.fstab() == before


def test_systemd_reads_the_new_line_before_the_mount(guest: Guest) -> None:
    disk = guest.ext4()
    guest.sh("mkdir -p /run/systemd/system")
    guest.stand_in(
        "systemctl",
        f'#!/bin/sh\necho "$* $(grep -c UUID= /etc/fstab) $(grep -c {disk} /proc/mounts)" >>{guest.folder}/systemctl\n',
    )
    assert guest.mount().outcome == "mounted"
    assert (guest.folder / "systemctl").read_text() == "daemon-reload 1 0\n"
    assert guest.sleeps() == ["1"]


def test_creates_missing_folders_of_the_path(guest: Guest) -> None:
    guest.ext4()
    assert guest.mount(path="/srv/shop/orders").outcome == "mounted"
    assert guest.orders("/srv/shop/orders") == "42"


def xen_guest(guest: Guest, sizes: str = "") -> str:
    """A Xen guest: its disk is xvdf, and has no serial. Returns the loop device behind it."""
    disk = guest.with_file("ext4", guest.disk(1024))
    guest.own_dev()
    guest.sh(f"cp -a {disk} /dev/xvdf")
    (guest.folder / "sizes").write_text(f"loop0 1073741824 loop\nxvda 8589934592 disk\nxvdf 1073741824 disk\n{sizes}")
    return disk


def test_on_xen_the_only_unused_disk_of_the_size_is_the_volume(guest: Guest) -> None:
    xen_guest(guest)
    answer = guest.mount(SizeGiB="1")
    assert answer.outcome == "mounted", answer.output
    assert guest.source() == "/dev/xvdf" and guest.orders() == "42"


def test_on_xen_a_repetition_finds_the_disk_that_it_mounted(guest: Guest) -> None:
    xen_guest(guest)
    guest.mount(SizeGiB="1")
    # Another volume of this size would be the only unused disk now.
    other = guest.with_file("ext4", guest.disk(1024))
    guest.sh(f"mknod /dev/xvdg b $(stat -c '0x%t 0x%T' {other})")
    with (guest.folder / "sizes").open("a") as file:
        file.write("xvdg 1073741824 disk\n")
    answer = guest.mount(SizeGiB="1")
    assert (answer.outcome, answer.result["device"]) == ("already-mounted", "/dev/xvdf"), answer.output


def test_on_xen_two_unused_disks_of_the_size_are_refused(guest: Guest) -> None:
    disk = xen_guest(guest, "xvdg 1073741824 disk\n")
    guest.sh(f"cp -a {disk} /dev/xvdg")
    answer = guest.mount(SizeGiB="1")
    assert (answer.code, answer.reason) == (2, "device-ambiguous"), answer.output
    assert "/dev/xvdf /dev/xvdg" in answer.result["found"]


@pytest.mark.parametrize("size", ["", "2"])
def test_on_xen_no_disk_of_the_size_is_no_device(guest: Guest, size: str) -> None:
    xen_guest(guest)
    assert guest.mount(SizeGiB=size).reason == "device-not-found"


def test_nothing_in_the_script_makes_repairs_or_relabels() -> None:
    commands = [line for line in SCRIPT.read_text().splitlines() if not line.lstrip().startswith("#")]
    text = "\n".join(line for line in commands if ") echo " not in line)
    for forbidden in (
        "mkfs",
        "fsck",
        "xfs_admin",
        "xfs_repair",
        "tune2fs",
        "wipefs",
        "vgimportclone",
        "pvcreate",
        "mount -f",
        "umount -l",
        "rm -r",
    ):
        assert forbidden not in text, forbidden
