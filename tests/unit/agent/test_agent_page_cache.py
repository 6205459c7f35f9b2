"""What of a file lies in the page cache: of real files, as the kernel tells it, and made cold as a user can."""

from __future__ import annotations

import importlib.util
import mmap
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from device_agents import backends, page_cache
from device_agents.page_cache import Cached, Resident

SIZE = 8 * 2**20
NOBODY = 65_534
SHELL = Path("/bin/sh").resolve()  # root's, and everybody reads it


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Just written, and nowhere but in memory yet."""
    path = tmp_path / "weights.bin"
    path.write_bytes(os.urandom(SIZE))
    return path


def resident(path: Path) -> Resident:
    return page_cache.resident([path])


class TestAFile:
    def test_that_was_just_written_lies_there_whole(self, file: Path) -> None:
        assert resident(file) == Resident(SIZE, SIZE, 0)

    def test_is_cold_when_it_was_dropped_and_warm_when_it_was_read_again(self, file: Path) -> None:
        page_cache.drop([file])
        assert resident(file) == Resident(SIZE, 0, 0)
        file.read_bytes()
        assert resident(file) == Resident(SIZE, SIZE, 0)

    def test_read_in_part_lies_there_in_part(self, file: Path) -> None:
        page_cache.drop([file])
        with file.open("rb", buffering=0) as stream:
            os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_RANDOM)  # or the kernel reads ahead
            os.pread(stream.fileno(), mmap.PAGESIZE, SIZE // 2)
        assert 0 < resident(file).resident < SIZE // 2

    def test_that_another_process_has_mapped_stays_and_is_told(self, file: Path) -> None:
        page_cache.drop([file])
        with file.open("rb") as stream, mmap.mmap(stream.fileno(), SIZE, prot=mmap.PROT_READ) as held:
            assert held[: SIZE // 2]
            page_cache.drop([file])
            assert resident(file).resident >= SIZE // 2

    def test_of_another_owner_is_not_called_warm(self) -> None:
        """The kernel says of it that all is there."""
        size = SHELL.stat().st_size
        with an_ordinary_user():
            assert resident(SHELL) == Resident(size, 0, size)

    def test_that_may_not_be_read_is_no_matter(self, file: Path) -> None:
        file.chmod(0)
        with an_ordinary_user():
            assert resident(file) == Resident(0, 0, 0)
            page_cache.drop([file])

    def test_that_is_empty_counts_nothing(self, tmp_path: Path) -> None:
        (tmp_path / "empty").touch()
        assert resident(tmp_path / "empty") == Resident(0, 0, 0)


@contextmanager
def an_ordinary_user() -> Iterator[None]:
    own = os.geteuid()
    os.seteuid(own or NOBODY)
    try:
        yield
    finally:
        os.seteuid(own)


def cached(model: int, runtime: int, unseen: int = 0) -> Cached:
    return Cached(Resident(100, model, 0), Resident(1900, runtime, unseen))


class TestReadings:
    @pytest.mark.parametrize(
        ("before", "word", "share"),
        [(cached(0, 0), "cold", 0.0), (cached(0, 50), "cold", 0.05), (cached(100, 0), "partly", 0.1),
         (cached(50, 900), "warm", 0.95), (cached(100, 1400), "warm", 1.0)],
    )  # fmt: skip
    def test_a_process_is_as_warm_as_what_it_read_was_there_before(
        self, before: Cached, word: str, share: float
    ) -> None:
        found = page_cache.readings(before, cached(100, 900))
        assert (found["page_cache"].value, found["page_cache_share"].value) == (word, share)
        assert found["page_cache_share_model"].value == before.model.resident / 100

    def test_what_cannot_be_seen_is_not_guessed_but_the_model_is_told(self) -> None:
        found = page_cache.readings(cached(0, 0, 1500), cached(100, 0, 1500))
        assert "no file of another owner: 1500 of 2000 bytes" in str(found["page_cache"].unknown)
        assert found["page_cache_share_model"].value == 0.0
        assert "page_cache_share" not in found

    def test_where_nothing_is_kept_nothing_is_said(self) -> None:
        found = page_cache.readings(cached(0, 0), cached(0, 0))
        assert set(found) == {"page_cache"}
        assert found["page_cache"].value is None


MAPPED = """
import importlib, pathlib, sys
importlib.import_module(sys.argv[1])
lines = pathlib.Path("/proc/self/maps").read_text().splitlines()
print(*sorted({line.split(None, 5)[5] for line in lines if "site-packages" in line}), sep="\\n")
"""


class TestRuntimeFiles:
    @pytest.mark.parametrize(("backend", "module"), [("onnxruntime", "onnxruntime"), ("pytorch", "torch")])
    def test_hold_what_a_process_that_imports_the_runtime_has_mapped(self, backend: str, module: str) -> None:
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is not installed")
        done = subprocess.run([sys.executable, "-c", MAPPED, module], capture_output=True, text=True, check=True)
        mapped = {path: path.stat().st_size for path in map(Path, done.stdout.split())}
        packages = backends.create(backend).packages
        for least, share in ((0, 0.99), (page_cache.LARGE_BYTES, 0.9)):
            found = set(page_cache.runtime_files(packages, least))
            held = sum(size for path, size in mapped.items() if path in found)
            assert held >= share * sum(mapped.values()) > 0

    def test_of_a_package_that_is_not_there_are_none(self) -> None:
        assert page_cache.runtime_files(("no_such_runtime",)) == []
