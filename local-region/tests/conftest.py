"""Fixtures: a Region for each module, and a folder of binaries that are the tiny function."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from running_region import RunningRegion

TINY_FUNCTION = Path(__file__).with_name("tiny_function.py")


@pytest.fixture(scope="module")
def region() -> Iterator[RunningRegion]:
    """A Region shared by the tests of one module, with quick restores."""
    running = RunningRegion("--restore-seconds", "0.05", "--retry-seconds", "0.05", "0.05")
    yield running
    assert running.stop() == 0


@pytest.fixture(scope="module")
def slow_databases() -> Iterator[RunningRegion]:
    """A Region in which databases take longer than any test."""
    running = RunningRegion("--database-seconds", "600", "--database-change-seconds", "600")
    yield running
    assert running.stop() == 0


@pytest.fixture(scope="module")
def slow_changes() -> Iterator[RunningRegion]:
    """A Region in which databases are made quickly, and changes take longer than any test."""
    running = RunningRegion("--database-seconds", "0", "--database-change-seconds", "600")
    yield running
    assert running.stop() == 0


@pytest.fixture(scope="session")
def binaries(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the binary `tiny`, in place of cargo's target/debug."""
    folder = tmp_path_factory.mktemp("binaries")
    write_binary(folder / "tiny")
    return folder


def write_binary(path: Path, word: str = "", replacement: str = "") -> None:
    """Write the tiny function as an executable, with one word of it replaced to make it another."""
    code = TINY_FUNCTION.read_text()
    path.write_text(f"#!{sys.executable}\n{code.replace(word, replacement) if word else code}")
    path.chmod(0o755)
