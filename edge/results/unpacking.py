"""Reading a bundle that a stranger sent: every name, size and hash is checked before anything is stored.

Nothing is ever unpacked to a name of the archive's: a member is read to its declared size, and goes where its checked
name says. All measurements of a bundle come in, or none: they are gathered beside the shards, get their name as a
whole, and from then on whoever opens the store brings in what is left of them, should this process be killed.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import shutil
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import IO, TYPE_CHECKING

from device_agents.contract import SchemaViolation, from_json, loads
from edge.results.bundle import MANIFEST, Manifest, Member
from edge.results.samples import check_samples
from edge.results.store import IMPORTED, IMPORTING, RESULT, SAMPLES, Imported, Measurement, Store, encode, parse, write
from profiles.errors import ConfigError, ResultError

if TYPE_CHECKING:
    from typing_extensions import Self

_MANIFEST_BYTES = 2**26
_MEMBER_BYTES = 2**31
_JSON_BYTES = 2**27
_ALL_BYTES = 2**36
_RATIO = 500  # of declared bytes to packed ones: results pack to a tenth, and no packing of ours reaches this
_AT_ONCE = 2**20
_BROKEN = (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError)
"""What the standard library raises for archives that are none, cut, encrypted or packed in unknown ways."""


@dataclass(frozen=True)
class Came:
    """What an import brought: ids that are new, and those that were there and stayed as they are."""

    new: tuple[str, ...]
    kept: tuple[str, ...]


def import_bundle(source: Path, root: Path) -> Came:
    """Check a bundle and store its measurements, marked with where they came from.

    Errors: ConfigError for a file that is not there; ResultError for a bundle that is damaged, or hostile, or does not
    fit: nothing of it is stored then.
    """
    if not source.is_file():
        raise ConfigError(f"there is no file {source}", where="FILE")
    store = Store(root)
    try:
        store.root.mkdir(parents=True, exist_ok=True)
        store.settle()
        with tempfile.TemporaryDirectory(prefix=IMPORTING, dir=store.root) as name:
            gathered = Path(name) / "bundle"
            gathered.mkdir()
            new, kept = _gather(source, gathered, store)
            whole = store.root / f"{IMPORTED}{Path(name).name.removeprefix(IMPORTING)}"
            gathered.rename(whole)
        store.settle()
    except _BROKEN as error:
        raise _refused(source, f"it cannot be unpacked ({error})") from None
    except OSError as error:
        raise ResultError(f"cannot be imported ({error.strerror or error})", where=str(source)) from None
    return Came(tuple(new), tuple(kept))


def _gather(source: Path, gathered: Path, store: Store) -> tuple[list[str], list[str]]:
    """The ids whose measurements lie in `gathered` now, and those that the store has whole."""
    with _opened(source) as archive:
        members = iter(archive)
        manifest, digest = _manifest(source, members, shutil.disk_usage(gathered).free)
        declared = {member.name: member for member in manifest.members}
        held = [name for name in manifest.measurements if store.keeps(name)]
        for name, size, stream in members:
            member = declared.pop(name, None)
            if member is None or name == MANIFEST:
                raise _refused(source, f"{name[:80]!r} is not in its manifest, or stands twice")
            if size != member.size:
                raise _refused(source, f"{name} has {size} bytes, its manifest says {member.size}")
            _take(source, member, stream, gathered)
    if declared:
        raise _refused(source, f"{min(declared)} is missing")
    mark = Imported(source.name, digest, datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"))
    for name in manifest.measurements:
        _adopt(source, gathered / name, name, mark)
        if name in held:
            shutil.rmtree(gathered / name)
    return [name for name in manifest.measurements if name not in held], held


def _manifest(source: Path, members: Iterator[_Packed], room: int) -> tuple[Manifest, str]:
    name, size, stream = next(members, ("", 0, None))
    if stream is None or name != MANIFEST:
        raise _refused(source, f"its first member is not {MANIFEST}")
    if size > _MANIFEST_BYTES:
        raise _refused(source, f"a manifest of {size} bytes")
    data = _read(source, stream, Member("specs.json", size, "0" * 64))
    try:
        manifest = from_json(Manifest, loads(data))
    except SchemaViolation as error:
        raise _refused(source, f"{MANIFEST}: {error}") from None
    sizes = [member.size for member in manifest.members]
    most = min(_ALL_BYTES, room, _RATIO * source.stat().st_size)
    if sum(sizes) > most or max(sizes, default=0) > _MEMBER_BYTES:
        raise _refused(source, f"it declares {sum(sizes)} bytes, more than is taken or fits")
    return manifest, hashlib.sha256(data).hexdigest()


def _take(source: Path, member: Member, stream: IO[bytes], gathered: Path) -> None:
    """Read a member and check it; what belongs to a measurement is kept."""
    kind, _, rest = member.name.partition("/")
    if member.name.endswith(".json") and member.size > _JSON_BYTES:
        raise _refused(source, f"{member.name} has {member.size} bytes")
    data = _read(source, stream, member)
    if hashlib.sha256(data).hexdigest() != member.sha256:
        raise _refused(source, f"the SHA-256 of {member.name} is not that of its manifest")
    if kind == "measurements":
        name, _, file = rest.partition("/")
        (gathered / name).mkdir(exist_ok=True)
        write(gathered / name / file, data)


def _read(source: Path, stream: IO[bytes], member: Member) -> bytes:
    """Never more than a member declares, and a byte by which it is seen to be more."""
    parts, left = [], member.size + 1
    while left and (part := stream.read(min(left, _AT_ONCE))):
        parts.append(part)
        left -= len(part)
    if left != 1:
        raise _refused(source, f"{member.name} is not of the {member.size} bytes that it declares")
    return b"".join(parts)


def _adopt(source: Path, folder: Path, name: str, mark: Imported) -> None:
    """Check that a folder holds one whole measurement of that id, and mark it."""
    place = f"{source}: {name}"
    try:
        measurement: Measurement = parse((folder / RESULT).read_bytes(), where=place)
        samples = (folder / SAMPLES).read_bytes()
    except FileNotFoundError:
        raise _refused(source, f"measurement {name} is not whole") from None
    if measurement.id != name:
        raise _refused(source, f"{name} says of itself that it is {measurement.id[:80]!r}")
    check_samples(measurement.result, samples, where=place)
    write(folder / RESULT, encode(replace(measurement, imported=mark)))


_Packed = tuple[str, int, IO[bytes]]


@contextlib.contextmanager
def _opened(source: Path) -> Iterator[Iterator[_Packed]]:
    """The members of an archive in their order: name, declared size, content. Only plain files are members."""
    if zipfile.is_zipfile(source):
        with zipfile.ZipFile(source) as archive, contextlib.closing(_of_zip(source, archive)) as members:
            yield members
        return
    with gzip.open(source) as stream, tarfile.open(fileobj=stream, mode="r|", tarinfo=_PlainFile) as tar:
        with contextlib.closing(_of_tar(source, tar)) as members:
            yield members
        if len(stream.read(_AT_ONCE)) == _AT_ONCE:  # to its end, where the checksum of all of it is
            raise _refused(source, "there is more behind its last member")


def _of_zip(source: Path, archive: zipfile.ZipFile) -> Generator[_Packed, None, None]:
    for entry in archive.infolist():
        kind = entry.external_attr >> 28
        packed = entry.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
        if entry.is_dir() or kind not in (0, 0o10) or not packed:
            raise _refused(source, f"{entry.filename[:80]!r} is no plain file")
        with archive.open(entry) as stream:
            yield entry.filename, entry.file_size, stream


def _of_tar(source: Path, tar: tarfile.TarFile) -> Generator[_Packed, None, None]:
    for entry in tar:
        stream = tar.extractfile(entry)
        if stream is None:
            raise _refused(source, f"{entry.name[:80]!r} is no plain file")
        with stream:
            yield entry.name, entry.size, stream


class _PlainFile(tarfile.TarInfo):
    """Nothing else is read, headers of extensions included, which tarfile would read into memory, however long."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        found = super().frombuf(buf, encoding, errors)
        if found.type not in (tarfile.REGTYPE, tarfile.AREGTYPE):
            raise tarfile.ReadError(f"{found.name[:80]!r} is no plain file")
        return found


def _refused(source: Path, why: str) -> ResultError:
    return ResultError(why, where=str(source), fix="nothing of it was imported; get the bundle again")
