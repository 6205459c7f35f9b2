"""The index of the store: one Parquet file a shard, made of what the JSON files say, and made anew where they say more.

    index/<columns>-<rules>/<shard>.<time>.parquet

`time` (ns) is that of the shard's folder when it was read: measurements never change, so a folder with this time holds
what the file knows. A file whose folder had changed just before it was read has the time 0, since a folder may change
twice within one tick of its file system's clock. What other rules have judged, or has other columns or prices, is
judged anew.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import itertools
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path

from edge.results import database
from edge.results.columns import COLUMNS, Record, damaged, record
from edge.results.store import Store
from edge.results.verdict import RULES
from profiles.errors import ResultError
from profiles.load import device_profile, device_profile_names
from profiles.progress import Progress

_SETTLED_NS = 2_000_000_000
_MANY = 2_000  # measurements to read: from here on processes side by side are worth their start
_CHUNK = 64


@dataclass
class _Shard:
    """What is known of a shard: its file, and what the folder has that the file has not."""

    name: str
    changed_ns: int
    file: Path | None
    known: set[str] = field(default_factory=set)
    stored: dict[str, int] = field(default_factory=dict)

    @property
    def new(self) -> dict[str, int]:
        return {name: stored_ns for name, stored_ns in self.stored.items() if name not in self.known}

    @property
    def kept(self) -> set[str]:
        return self.known & set(self.stored)


class Index:
    """The index of the store below `root`, as made by this edgebench."""

    def __init__(self, root: Path) -> None:
        self._store = Store(root)
        self._root = root
        prices = [device_profile(name).price for name in device_profile_names()]
        shape = hashlib.sha256(repr(([(one.name, one.kind) for one in COLUMNS], prices)).encode()).hexdigest()[:8]
        self._folder = root / "index" / f"{shape}-{RULES}"

    @property
    def exists(self) -> bool:
        """Whether it was ever made."""
        return self._folder.is_dir()

    @contextlib.contextmanager
    def files(self, progress: Progress) -> Iterator[list[Path]]:
        """Its files, which know every measurement that was stored before, and stay for as long as the block runs.

        Errors: ResultError when it cannot be written; ConfigError without DuckDB.
        """
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self._folder.parent / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise self._unwritable(error) from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH)
            if self._stale(self._known()):
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                self._update(progress)
                fcntl.flock(descriptor, fcntl.LOCK_SH)
            yield sorted(self._known().values())
        finally:
            os.close(descriptor)

    def _known(self) -> dict[str, Path]:
        return {path.name.partition(".")[0]: path for path in self._folder.glob("??.*.parquet")}

    def _stale(self, known: Mapping[str, Path]) -> list[_Shard]:
        shards = [_Shard(name, changed_ns, known.get(name)) for name, changed_ns in self._store.shards().items()]
        gone = [_Shard(name, 0, file) for name, file in known.items() if not (self._store.root / name).is_dir()]
        return [one for one in shards if one.file is None or _time_of(one.file) != one.changed_ns] + gone

    def _update(self, progress: Progress) -> None:
        try:
            self._clean()
            stale = self._stale(self._known())
            known = database.ids_by_file([shard.file for shard in stale if shard.file])
            for shard in stale:
                shard.known = known.get(str(shard.file), set())
                shard.stored = dict(self._store.stored_in(shard.name))
            asked = [(self._root, name, ns) for shard in stale for name, ns in shard.new.items()]
            done = 0
            with tempfile.TemporaryDirectory(prefix=".making-", dir=self._folder) as name, _read(asked) as records:
                for shard in stale:
                    if asked:
                        progress("reading new measurements into the index", done, len(asked))
                    self._renew(shard, Path(name), list(itertools.islice(records, len(shard.new))))
                    done += len(shard.new)
        except OSError as error:
            raise self._unwritable(error) from None

    def _renew(self, shard: _Shard, workspace: Path, records: list[Record]) -> None:
        settled = time.time_ns() - shard.changed_ns > _SETTLED_NS
        if shard.file is not None and not shard.stored:
            shard.file.unlink()
            return
        unsound = False
        if shard.file is None or shard.new or shard.kept != shard.known:
            unsound = any("damaged" in one for one in records)
            made = workspace / "shard.parquet"
            kept = (shard.file, shard.kept) if shard.file and shard.kept else None
            database.write(made, records, workspace=workspace, kept=kept)
        else:
            made = shard.file
        time_ns = shard.changed_ns if settled and not unsound else 0
        target = self._folder / f"{shard.name}.{time_ns}.parquet"
        made.replace(target)
        if shard.file is not None and shard.file not in (target, made):
            shard.file.unlink()

    def _clean(self) -> None:
        """Take away what other rules have judged, and what a process that was killed had begun."""
        for left in (*self._folder.parent.iterdir(), *self._folder.glob(".making-*")):
            if left.is_dir() and left != self._folder:
                shutil.rmtree(left, ignore_errors=True)

    def _unwritable(self, error: OSError) -> ResultError:
        fix = "free space, or let $XDG_DATA_HOME name a folder that can be written"
        return ResultError(f"cannot be written ({error.strerror})", where=str(self._folder), fix=fix)


_Asked = tuple[Path, str, int]


@contextlib.contextmanager
def _read(asked: Sequence[_Asked]) -> Iterator[Iterator[Record]]:
    """The measurements in their order, by processes side by side where there are many."""
    if len(asked) < _MANY:
        yield map(read_record, asked)
        return
    deaf = (signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends this process, and that ends them
    readers = ProcessPoolExecutor(mp_context=get_context("spawn"), initializer=signal.signal, initargs=deaf)
    try:
        yield readers.map(read_record, asked, chunksize=_CHUNK)
    finally:
        readers.shutdown(cancel_futures=True)


def read_record(asked: _Asked) -> Record:
    """A measurement as the index has it, also one that cannot be read."""
    from edge.report import rows

    root, name, stored_ns = asked
    try:
        return record(rows.read(Store(root), name), stored_ns)
    except ResultError as error:
        return damaged(name, str(error), stored_ns)


def _time_of(file: Path) -> int:
    return int(file.name.split(".")[1])
