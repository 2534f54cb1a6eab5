"""Logical volumes and RAID: what needs drivers that the kernel of a small machine may lack.

Without them, the tests run in User Mode Linux: Debian's kernel as a process, with the same files.
"""

import subprocess
import uuid
from collections.abc import Iterator

import pytest
from conftest import UserModeLinux, has_drivers, is_user_mode_linux, missing, not_run
from guest import PATH, Guest, run
from test_refusals import refused

OTHER_VOLUME = "vol-0fedcba9876543210"


class Lvm:
    """Volume groups in a guest, with names of their own: the device mapper is one for all."""

    def __init__(self, guest: Guest) -> None:
        self.guest = guest
        self.group = f"orders_{uuid.uuid4().hex[:8]}"

    def sh(self, script: str) -> str:
        """Run a shell script in the guest, without udev, which a namespace cannot reach."""
        return self.guest.sh(f"export DM_DISABLE_UDEV=1\n{script}")

    def make(self, *disks: str, volumes: int = 1, file_system: str = "ext4") -> str:
        """A volume group, inactive as after the attachment. Returns its first volume."""
        self.sh(f"pvcreate -qq {' '.join(disks)}; vgcreate -qq {self.group} {' '.join(disks)}")
        for number in range(volumes):
            self.sh(f"lvcreate -qq -y -Wn -Zn -L 40m -n data{number} {self.group}")
        if volumes and file_system:
            self.guest.with_file(file_system, f"/dev/{self.group}/data0")
        self.deactivate()
        return f"/dev/{self.group}/data0"

    def deactivate(self) -> None:
        """Deactivate the group."""
        self.sh(f"vgchange -qq -an {self.group}")


@pytest.fixture
def lvm(guest: Guest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lvm]:
    """Volume groups, on a kernel that has the drivers."""
    if not has_drivers():
        assert not is_user_mode_linux(), "User Mode Linux lacks the device mapper"
        pytest.skip("this kernel lacks the device mapper: see test_all_of_this_in_user_mode_linux")
    monkeypatch.setenv("DM_DISABLE_UDEV", "1")
    made = Lvm(guest)
    yield made
    guest.sh(f"umount -q {PATH} || true")
    subprocess.run(
        ["sh", "-c", f"dmsetup ls | cut -f1 | grep '^{made.group}' | xargs -r -n1 dmsetup remove"], check=False
    )


def test_mounts_the_only_logical_volume(lvm: Lvm) -> None:
    disk = lvm.guest.attach(lvm.guest.disk(100))
    volume = lvm.make(disk)
    answer = lvm.guest.mount()
    assert answer.outcome == "mounted", answer.output
    assert answer.result["device"] == volume and lvm.guest.orders() == "42"
    assert f" {PATH} ext4 defaults,nofail 0 0\n" in lvm.guest.fstab()
    assert lvm.guest.mount().outcome == "already-mounted"


def test_mounts_the_only_logical_volume_of_a_partition(lvm: Lvm) -> None:
    disk = lvm.guest.partitioned("label: gpt\n,,L\n")
    lvm.make(f"{disk}p1")
    answer = lvm.guest.mount()
    assert answer.outcome == "mounted" and lvm.guest.orders() == "42", answer.output


def test_a_duplicate_in_a_logical_volume_is_named_by_the_volume(lvm: Lvm) -> None:
    disk = lvm.guest.attach(lvm.guest.disk(100))
    volume = lvm.make(disk)
    lvm.sh(f"vgchange -qq -ay {lvm.group}")
    lvm.guest.with_file("ext4", lvm.guest.disk(), "-U", lvm.guest.uuid(volume))
    answer = lvm.guest.mount()
    assert answer.outcome == "mounted", answer.output
    assert f"\n{volume} {PATH} ext4 defaults,nofail 0 0\n" in lvm.guest.fstab()


def test_two_logical_volumes(lvm: Lvm) -> None:
    disk = lvm.guest.attach(lvm.guest.disk(200))
    lvm.make(disk, volumes=2)
    refused(lvm.guest, "several-logical-volumes", "data0 data1", disk=disk)
    assert lvm.group not in run("dmsetup", "ls")


def test_a_group_without_a_logical_volume(lvm: Lvm) -> None:
    disk = lvm.guest.attach(lvm.guest.disk(100))
    lvm.make(disk, volumes=0)
    refused(lvm.guest, "no-file-system", "has no logical volume", disk=disk)


def test_a_physical_volume_of_no_group(lvm: Lvm) -> None:
    disk = lvm.guest.attach(lvm.guest.disk(100))
    lvm.sh(f"pvcreate -qq {disk}")
    refused(lvm.guest, "no-file-system", "a physical volume of no volume group", disk=disk)


@pytest.mark.parametrize("missing_one", [False, True])
def test_a_group_on_several_volumes(lvm: Lvm, missing_one: bool) -> None:
    disk, other = lvm.guest.attach(lvm.guest.disk(100)), lvm.guest.disk(100)
    lvm.make(disk, other)
    if missing_one:
        lvm.guest.detach(other)
    refused(lvm.guest, "volume-group-incomplete", f"missing ones: 2, {int(missing_one)}", disk=disk)


def test_the_copy_of_a_physical_volume(lvm: Lvm) -> None:
    image = lvm.guest.image(100)
    original = lvm.guest.disk(image=image)
    lvm.make(original)
    copy = lvm.guest.image(1)
    run("cp", "--sparse=always", image, copy)
    disk = lvm.guest.attach(lvm.guest.disk(image=copy))
    refused(lvm.guest, "volume-group-duplicate", original, disk=disk)


def test_another_group_of_the_name(lvm: Lvm) -> None:
    disk, other = lvm.guest.attach(lvm.guest.disk(100)), lvm.guest.disk(100)
    lvm.make(disk)
    lvm.sh(f"pvcreate -qq {other}; vgcreate -qq {lvm.group}_b {other}; vgexport -qq {lvm.group}_b")
    # By its id: vgrename refuses a name in use, so the first one is out of sight.
    lvm.sh(f"vgrename -qq --config 'devices/global_filter=[\"r|{disk}|\"]' {lvm.group}_b {lvm.group}")
    refused(lvm.guest, "volume-group-duplicate", f"several volume groups are named {lvm.group}", disk=disk)


def test_a_group_that_cannot_be_activated(lvm: Lvm) -> None:
    disk = lvm.guest.attach(lvm.guest.disk(100))
    lvm.make(disk)
    lvm.sh(f"vgexport -qq {lvm.group}")
    refused(lvm.guest, "volume-group-inactive", "exported", disk=disk)


def test_swap_in_a_logical_volume(lvm: Lvm) -> None:
    disk = lvm.guest.attach(lvm.guest.disk(100))
    volume = lvm.make(disk, file_system="")
    lvm.sh(f"vgchange -qq -ay {lvm.group}; mkswap {volume}")
    refused(lvm.guest, "swap", f"{volume} holds: swap", disk=disk)


def test_a_device_with_something_on_top(lvm: Lvm) -> None:
    disk = lvm.guest.ext4()
    sectors = run("blockdev", "--getsz", disk).strip()
    run("dmsetup", "create", lvm.group, "--table", f"0 {sectors} linear {disk} 0")
    refused(lvm.guest, "device-in-use", "is used by dm-")
    run("dmsetup", "remove", lvm.group)


def test_a_member_that_mdadm_made(lvm: Lvm) -> None:
    disk = lvm.guest.attach(lvm.guest.disk(64))
    run(
        "mdadm",
        "--create",
        "/dev/md/orders",
        "--run",
        "--level=1",
        "--raid-devices=2",
        "--metadata=1.2",
        disk,
        "missing",
    )
    run("mdadm", "--stop", "/dev/md/orders")
    refused(lvm.guest, "raid-member", "linux_raid_member", disk=disk)


@pytest.mark.skipif(has_drivers() or is_user_mode_linux(), reason="this is the kernel for them")
def test_all_of_this_in_user_mode_linux(user_mode_linux: UserModeLinux | None) -> None:
    if not user_mode_linux:
        not_run(missing() or "this kernel lacks the device mapper; install user-mode-linux")
        return
    output = user_mode_linux.output()
    assert "ended with 0" in output, output
    # Only this test itself is skipped there.
    assert "1 skipped" in output, output
