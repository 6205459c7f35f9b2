"""What of a file lies in the page cache of the kernel, and how an ordinary user empties it of that file.

mincore(2) tells of a file only who owns it or may write it; of others it says that all is there, which is why they are
not asked about.
"""

from __future__ import annotations

import ctypes
import importlib.util
import mmap
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Iterable, Iterator, List, Sequence, Set, Tuple

from device_agents.contract import Reading
from device_agents.system import Readings

COLD, WARM, PARTLY = "cold", "warm", "partly"
_COLD_AT_MOST, _WARM_AT_LEAST = 0.05, 0.95
_MOST_UNSEEN = 0.1  # of all bytes: with more, what is seen does not speak for the rest
LARGE_BYTES = 2**18
"""Files of that size and more are looked at: they hold nine tenths of a runtime's bytes in a hundredth of its files."""

_SOURCE = f"mincore(2) before and after the process, files of {LARGE_BYTES // 1024} KiB and more"
_WRITE_AND_WAIT = 7  # sync_file_range(2): all of its flags; without the disk's own cache, as fsync has it
_WITHOUT_LARGE = ("include", "__pycache__", "test", "tests")


@dataclass(frozen=True)
class Resident:
    """Bytes of files: how many there are, how many of them lie in memory, and of how many nobody can tell."""

    total: int
    resident: int
    unseen: int

    def and_of(self, other: Resident) -> Resident:
        """Both together."""
        return Resident(self.total + other.total, self.resident + other.resident, self.unseen + other.unseen)

    def share_of(self, after: Resident) -> float:
        """What was there of what is there afterwards: what nobody read meanwhile does not count."""
        return min(self.resident / after.resident, 1.0) if after.resident else 0.0


@dataclass(frozen=True)
class Cached:
    """What lies in the page cache of the model and of the runtime that loads it."""

    model: Resident
    runtime: Resident

    @property
    def all(self) -> Resident:
        return self.model.and_of(self.runtime)


def runtime_files(packages: Sequence[str], least: int = 0) -> List[Path]:
    """The files of at least so many bytes of these packages, as far as they are there for this Python, without
    importing one; with the libraries that a wheel keeps beside its package. Headers and tests are passed over where
    small files are."""
    found: Set[str] = set()
    for name in packages:
        spec = importlib.util.find_spec(name)
        for folder in spec.submodule_search_locations or () if spec else ():
            for place in (folder, f"{folder}.libs"):
                found.update(_files(place, least))
    return sorted(map(Path, found))


def drop(files: Iterable[Path]) -> None:
    """Have the kernel forget what it keeps of the files. What others have mapped stays, and so would what is not on
    disk yet, of a model that has just come or a runtime that was just installed: it is written out first."""
    libc = _libc()
    for _, descriptor in _opened(files):
        libc.sync_file_range(descriptor, 0, 0, _WRITE_AND_WAIT)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)


def resident(files: Iterable[Path]) -> Resident:
    """Of the files that can be opened: no process of this user reads another."""
    total = there = unseen = 0
    libc = _libc()
    for path, descriptor in _opened(files):
        size = os.fstat(descriptor).st_size
        total += size
        if not _told_of(path, descriptor):
            unseen += size
        elif size:
            there += _resident_bytes(libc, descriptor, size)
    return Resident(total, there, unseen)


def readings(before: Cached, after: Cached) -> Readings:
    """How warm model and runtime were before a process: `page_cache` in a word, `page_cache_share` of all bytes and
    `page_cache_share_model` of the model's, 0 to 1."""
    found: Readings = {}
    if after.model.resident:
        found["page_cache_share_model"] = Reading(round(before.model.share_of(after.model), 4), _SOURCE)
    whole = after.all
    if whole.unseen > _MOST_UNSEEN * whole.total:
        why = f"mincore(2) tells of no file of another owner: {whole.unseen} of {whole.total} bytes"
        return {**found, "page_cache": Reading(unknown=why)}
    if not whole.resident:
        return {**found, "page_cache": Reading(unknown="nothing was in the page cache after the process either")}
    share = before.all.share_of(whole)
    name = COLD if share <= _COLD_AT_MOST else WARM if share >= _WARM_AT_LEAST else PARTLY
    return {**found, "page_cache": Reading(name, _SOURCE), "page_cache_share": Reading(round(share, 4), _SOURCE)}


def _files(folder: str, least: int) -> Iterator[str]:
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    if not least or entry.name not in _WITHOUT_LARGE:
                        yield from _files(entry.path, least)
                elif entry.is_file() and entry.stat().st_size >= least:
                    yield entry.path
    except OSError:  # it is not there, or not for us
        return


def _opened(files: Iterable[Path]) -> Iterator[Tuple[Path, int]]:
    for path in files:
        try:
            descriptor = os.open(str(path), os.O_RDONLY)
        except OSError:
            continue
        try:
            yield path, descriptor
        finally:
            os.close(descriptor)


def _told_of(path: Path, descriptor: int) -> bool:
    """Whether mincore tells this user the truth of it: can_do_mincore of the kernel's mm/mincore.c."""
    user = os.geteuid()
    return user in (0, os.fstat(descriptor).st_uid) or os.access(str(path), os.W_OK, effective_ids=True)


def _libc() -> ctypes.CDLL:
    libc = ctypes.CDLL(None, use_errno=True)
    size, pointer = ctypes.c_size_t, ctypes.c_void_p
    libc.mmap.restype = pointer
    libc.mmap.argtypes = [pointer, size, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
    libc.mincore.argtypes = [pointer, size, ctypes.c_char_p]
    libc.sync_file_range.argtypes = [ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint]
    libc.munmap.argtypes = [pointer, size]
    return libc


def _resident_bytes(libc: ctypes.CDLL, descriptor: int, size: int) -> int:
    """Whole pages, but no more than the file has."""
    address = libc.mmap(None, size, mmap.PROT_READ, mmap.MAP_SHARED, descriptor, 0)
    if address in (None, ctypes.c_void_p(-1).value):
        return 0
    try:
        pages = ctypes.create_string_buffer(-(-size // mmap.PAGESIZE))
        if libc.mincore(address, size, pages):
            return 0
        return min(pages.raw.count(b"\x01") * mmap.PAGESIZE, size)
    finally:
        libc.munmap(address, size)
