"""A guest for the mount script: a mount namespace of its own, with real loop devices in place of EBS volumes.

Everything is real, except what the folder of stand-ins on PATH replaces: `lsblk` reports the serial of a loop
device, and `sleep` returns at once. /etc, /run and /srv are the guest's own, so the host's fstab is never written.
"""

import contextlib
import json
import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

SCRIPT = Path(__file__).parents[1] / "mount-restored.sh"
PATH = "/srv/data"
VOLUME = "vol-0123456789abcdef0"
MEBIBYTE = 1024 * 1024
MEMORY = "/dev/shm"

LSBLK = """#!/bin/sh
case $* in
  '-dnro NAME,SERIAL')
    echo asked >>{folder}/questions
    while read -r name serial; do
      if [ -e /sys/block/$name/loop/backing_file ]; then echo "$name $serial"; fi
    done <{folder}/serials ;;
  '-dnbro NAME,SIZE,TYPE') cat {folder}/sizes ;;
  *) exec {real} "$@" ;;
esac
"""
SLEEP = """#!/bin/sh
echo "$1" >>{folder}/sleeps
if [ -x {folder}/on-sleep ]; then exec {folder}/on-sleep; fi
"""


class Failed(Exception):
    """A command of a test's preparation failed."""


def run(*command: str | Path, stdin: str | None = None) -> str:
    """Run a command on the host. Returns its output."""
    done = subprocess.run([str(part) for part in command], input=stdin, capture_output=True, text=True)
    if done.returncode:
        raise Failed(f"{' '.join(map(str, command))}: {done.stdout}{done.stderr}")
    return done.stdout


@dataclass
class Answer:
    """What the script answered."""

    code: int
    result: dict[str, str]
    output: str

    @property
    def outcome(self) -> str:
        """How it ended."""
        return self.result["outcome"]

    @property
    def reason(self) -> str | None:
        """The reason of a refusal."""
        return self.result.get("reason")


class Guest:
    """A guest. Loop devices of it are disks; `attach` gives one the serial of a volume."""

    def __init__(self) -> None:
        # In memory, so that the script's fsync does not wait for the host's disk.
        self.folder = Path(tempfile.mkdtemp(prefix="mount-restored-", dir=MEMORY if os.path.isdir(MEMORY) else None))
        self.tools = self.folder / "bin"
        self.tools.mkdir()
        for name in ("serials", "sizes", "questions", "sleeps"):
            (self.folder / name).touch()
        real = shutil.which("lsblk", path="/usr/bin:/bin:/usr/sbin:/sbin")
        self.stand_in("lsblk", LSBLK.format(folder=self.folder, real=real))
        self.stand_in("sleep", SLEEP.format(folder=self.folder))
        self._loops: list[str] = []
        self._images = 0
        # Lives until its input is closed.
        self._holder = subprocess.Popen(
            ["unshare", "--mount", "--propagation", "private", "sh", "-c", "echo ready; exec cat >/dev/null"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._holder.stdout and self._holder.stdout.readline() == "ready\n"
        self.sh(
            f"""
            mkdir {self.folder}/etc
            find /etc -mindepth 1 -maxdepth 1 ! -type d -exec cp -a -t {self.folder}/etc {{}} +
            for part in alternatives lvm mdadm; do
              if [ -d /etc/$part ]; then cp -a /etc/$part {self.folder}/etc/; fi
            done
            mount --bind {self.folder}/etc /etc
            mount -t tmpfs -o size=8m tmpfs /run
            mount -t tmpfs -o size=8m tmpfs /srv
            """
        )
        self.write_fstab("# the image's\n")

    def close(self) -> None:
        """Unmount and detach everything."""
        for loop in self._loops:
            self._in_guest("sh", "-c", f"umount -q {loop} {loop}p*")
        assert self._holder.stdin
        self._holder.stdin.close()
        self._holder.wait()
        for loop in self._loops:
            with contextlib.suppress(Failed):
                run("partx", "--delete", loop)
            with contextlib.suppress(Failed):
                run("losetup", "--detach", loop)
        shutil.rmtree(self.folder)

    # ---- the host's side --------------------------------------------------------------------------------------

    def image(self, mebibytes: int) -> Path:
        """A sparse file, for a disk."""
        self._images += 1
        image = self.folder / f"image{self._images}"
        with image.open("wb") as file:
            file.truncate(mebibytes * MEBIBYTE)
        return image

    def disk(self, mebibytes: int = 320, image: Path | None = None) -> str:
        """A loop device. Returns its path."""
        loop = run("losetup", "--find", "--show", "--partscan", image or self.image(mebibytes)).strip()
        self._loops.append(loop)
        return loop

    def partitioned(self, table: str) -> str:
        """An attached disk with a partition table, which sfdisk reads from a text."""
        disk = self.attach(self.disk())
        run("sfdisk", "--quiet", "--no-reread", disk, stdin=table)
        # Tells the kernel, which may lack the code that reads the table.
        if "," in table:
            run("partx", "--update", disk)
        return disk

    def attach(self, disk: str, volume: str = VOLUME) -> str:
        """Give a disk the serial of a volume."""
        with (self.folder / "serials").open("a") as file:
            file.write(f"{Path(disk).name} {volume.replace('-', '')}\n")
        return disk

    def detach(self, disk: str) -> None:
        """Detach a disk that is not mounted any more."""
        run("losetup", "--detach", disk)
        self._loops.remove(disk)

    def ext4(self, volume: str = VOLUME) -> str:
        """An attached disk with ext4, in which there is the file `orders`."""
        return self.attach(self.with_file("ext4", self.disk()), volume)

    def with_file(self, file_system: str, device: str, *options: str) -> str:
        """Make a file system with the file `orders` on a device."""
        force = [] if file_system.startswith("ext") else ["-f"]
        run(f"mkfs.{file_system}", *(["-q"] if file_system != "btrfs" else []), *force, *options, device)
        self.sh(
            f"""
            mkdir -p /run/prepare
            mount -t {file_system} {"-o nouuid" if file_system == "xfs" else ""} {device} /run/prepare
            echo 42 >/run/prepare/orders
            umount /run/prepare
            """
        )
        return device

    def stand_in(self, name: str, text: str) -> None:
        """Put a program first on PATH."""
        tool = self.tools / name
        tool.write_text(text)
        tool.chmod(0o755)

    # ---- inside -----------------------------------------------------------------------------------------------

    def _in_guest(self, *command: str, **options: object) -> subprocess.CompletedProcess[str]:
        holder = ["nsenter", "--target", str(self._holder.pid), "--mount", "--wd=/"]
        return subprocess.run([*holder, *command], capture_output=True, text=True, **options)  # type: ignore[call-overload]

    def sh(self, script: str) -> str:
        """Run a shell script inside. Returns its output."""
        done = self._in_guest("sh", "-eu", "-c", script)
        if done.returncode:
            raise Failed(f"{script}: {done.stdout}{done.stderr}")
        return done.stdout

    def mount(self, source: str = VOLUME, path: str = PATH, kind: str = "EBS", **parameters: str) -> Answer:
        """Run the script."""
        given = {"Type": kind, "Source": source, "Path": path, "WaitSeconds": "2"} | parameters
        return self.run(SCRIPT, {f"SSM_{name}": value for name, value in given.items()})

    def run(self, script: Path, variables: dict[str, str]) -> Answer:
        """Run a script with these variables, and none of the host."""
        # No udev reaches a namespace: LVM must make its device nodes itself.
        given = {"PATH": f"{self.tools}:{os.environ['PATH']}", "DM_DISABLE_UDEV": "1"}
        done = self._in_guest("sh", str(script), env=variables | given)
        lines = done.stdout.splitlines()
        assert lines and lines[-1].startswith("RESULT "), f"no result: {done.stdout}{done.stderr}"
        return Answer(done.returncode, json.loads(lines[-1].removeprefix("RESULT ")), done.stdout + done.stderr)

    def source(self, path: str = PATH) -> str:
        """What is mounted at a path, or nothing."""
        return self._in_guest("findmnt", "-nrvo", "SOURCE", "-M", path).stdout.strip()

    def options(self, path: str = PATH) -> list[str]:
        """The options with which a path is mounted."""
        return self._in_guest("findmnt", "-nro", "OPTIONS", "-M", path).stdout.strip().split(",")

    def orders(self, path: str = PATH) -> str:
        """The content of the file `orders`."""
        return self.sh(f"cat {path}/orders").strip()

    def write_fstab(self, text: str) -> None:
        """Replace fstab."""
        (self.folder / "etc/fstab").write_text(text)

    def fstab(self) -> str:
        """The text of fstab."""
        return (self.folder / "etc/fstab").read_text()

    def uuid(self, device: str) -> str:
        """The id of what is on a device."""
        return run("blkid", "-p", "-s", "UUID", "-o", "value", device).strip()

    def sleeps(self) -> list[str]:
        """How long the script has slept."""
        return (self.folder / "sleeps").read_text().split()

    def own_dev(self) -> None:
        """Give the guest a /dev of its own, so that a test can add names."""
        self.sh(
            """
            mkdir /run/dev
            mount -t tmpfs -o size=1m tmpfs /run/dev
            cp -a /dev/loop* /dev/null /dev/zero /dev/urandom /run/dev/
            ln -s /proc/self/fd /run/dev/fd
            mkdir /run/dev/shm
            mount --bind /dev/shm /run/dev/shm
            mount --move /run/dev /dev
            """
        )


def reasons() -> dict[str, str]:
    """The refusals of the script, with their remedies."""
    body = re.search(r"^remedy\(\) \{\n(.*?)^\}", SCRIPT.read_text(), re.DOTALL | re.MULTILINE)
    assert body
    return dict(re.findall(r'^    ([a-z-]+)\) echo "(.*)" ;;$', body[1], re.MULTILINE))
