"""One archive of measurements that anybody can read, check and import.

    manifest.json                      name, bytes and SHA-256 of every other member; the first one
    measurements/<id>/result.json      as stored, without names of hosts and users (scrubbing.py)
    measurements/<id>/samples.i64le    the raw samples
    artifacts/<id>.json                manifests of the artifacts, not their weights; of those that are here
    specs.json                         what was asked for, by measurement
    commands.json                      what measures it again, and what does so by hand, by measurement
    devices.json                       what each device told of itself

The same measurements give the same bytes, by whomever and whenever they are bundled.
"""

from __future__ import annotations

import contextlib
import functools
import gzip
import hashlib
import io
import re
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from device_agents.contract import SchemaViolation, dumps, to_json
from edge.results.again import deploy_command
from edge.results.formats import part_of
from edge.results.scrubbing import scrubbed, without_homes
from edge.results.store import RESULT, SAMPLES, Measurement, Store, encode
from export.artifact import Store as Artifacts
from profiles.errors import ConfigError, EdgebenchError, ResultError

SCHEMA = 1
MANIFEST = "manifest.json"
ENDINGS = (".tar.gz", ".tgz", ".zip")
ID = r"[a-z0-9][a-z0-9-]{3,127}"
_MEMBER = re.compile(
    rf"(?:measurements/{ID}/(?:result\.json|samples\.i64le)|artifacts/[0-9a-f]{{8,64}}\.json|"
    r"(?:specs|commands|devices)\.json)\Z"
)
_MODE = 0o644
_OF_HERE = ("path", "sources")  # of an artifact's manifest: where its files lay on the operator's machine
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the first that zip knows


@dataclass(frozen=True)
class Member:
    """A file of the archive by its name there, its size in bytes and its hash."""

    name: str
    size: int
    sha256: str

    def __post_init__(self) -> None:
        if not _MEMBER.match(self.name):
            raise SchemaViolation("name", f"{self.name[:80]!r} is no name of a bundle's member")
        if self.size < 0 or not re.match(r"[0-9a-f]{64}\Z", self.sha256):
            raise SchemaViolation(self.name, "no size or no SHA-256")


@dataclass(frozen=True)
class Manifest:
    """What a bundle holds."""

    members: tuple[Member, ...]
    edgebench: str
    schema: int = SCHEMA

    def __post_init__(self) -> None:
        if self.schema != SCHEMA:
            raise SchemaViolation("schema", f"version {self.schema}; this edgebench reads {SCHEMA}")
        if len({member.name for member in self.members}) != len(self.members):
            raise SchemaViolation("members", "a name stands twice")

    @property
    def measurements(self) -> tuple[str, ...]:
        return tuple(one.name.split("/")[1] for one in self.members if one.name.endswith(f"/{RESULT}"))


def bundle(target: Path, ids: Sequence[str], store: Store, artifacts: Artifacts, edgebench: str) -> Manifest:
    """Write the archive, whole or not at all.

    Errors: ConfigError for a name that is no archive's, or no measurements; ResultError for one that is damaged, or an
    archive that cannot be written.
    """
    if not target.name.endswith(ENDINGS):
        raise ConfigError(f"{target.name} is no archive", where="FILE", fix=f"call it {' or '.join(ENDINGS)}")
    if not ids:
        raise ConfigError("no measurements to bundle", where="IDS", fix="see `edgebench results list`")
    measurements = [store.get(name) for name in sorted(set(ids))]
    texts = _texts(measurements, artifacts)
    files = {f"measurements/{one.id}/{SAMPLES}": store.folder(one.id) / SAMPLES for one in measurements}
    for one in measurements:
        store.samples_ns(one)  # what is damaged is not passed on
    members = [Member(name, len(data), hashlib.sha256(data).hexdigest()) for name, data in texts.items()]
    members += [
        Member(f"measurements/{one.id}/{SAMPLES}", 8 * one.result.samples_count, one.result.samples_sha256)
        for one in measurements
    ]
    manifest = Manifest(tuple(sorted(members, key=lambda member: member.name)), edgebench)
    try:
        with part_of(target) as part, _archive(target.name, part) as put:
            put(MANIFEST, _json(to_json(manifest)))
            for member in manifest.members:
                put(member.name, texts.get(member.name) or files[member.name].read_bytes())
    except OSError as error:
        raise ResultError(f"cannot be written ({error.strerror})", where=str(target)) from None
    return manifest


def _texts(measurements: Sequence[Measurement], artifacts: Artifacts) -> dict[str, bytes]:
    """The members that are JSON, by name."""
    clean = [scrubbed(one) for one in measurements]
    told = {f"measurements/{one.id}/{RESULT}": encode(one) for one in clean}
    for artifact in {one.origin.artifact for one in clean}:
        with contextlib.suppress(EdgebenchError):  # it was made elsewhere, or is not kept any more
            manifest = to_json(artifacts.get(artifact))
            told[f"artifacts/{artifact}.json"] = _json(
                without_homes({k: v for k, v in manifest.items() if k not in _OF_HERE})
            )
    told["specs.json"] = _json({one.id: to_json(one.cell) for one in clean})
    told["commands.json"] = _json(
        {one.id: {"again": deploy_command(one.cell), "by_hand": one.result.command or None} for one in clean}
    )
    told["devices.json"] = _json(
        {
            one.cell.device: {"profile": one.origin.device_profile, "identity": to_json(one.result.identity)}
            for one in clean
        }
    )
    return told


def _json(value: Mapping[str, object]) -> bytes:
    return (dumps(value, indent=1) + "\n").encode()


Put = Callable[[str, bytes], None]


@contextlib.contextmanager
def _archive(name: str, path: Path) -> Iterator[Put]:
    """What adds a member to an archive of that name, written to `path`: nothing of who writes it, or when."""
    if name.endswith(".zip"):
        with zipfile.ZipFile(path, "w") as archive:
            yield functools.partial(_put_zip, archive)
        return
    with (
        path.open("wb") as stream,
        gzip.GzipFile("", "wb", 6, stream, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w|", format=tarfile.USTAR_FORMAT) as tar,
    ):
        yield functools.partial(_put_tar, tar)


def _put_zip(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    entry = zipfile.ZipInfo(name, _EPOCH)
    entry.external_attr, entry.create_system = _MODE << 16, 3
    archive.writestr(entry, data, zipfile.ZIP_DEFLATED, 6)


def _put_tar(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(data), _MODE
    tar.addfile(entry, io.BytesIO(data))
