"""Bundles: the same bytes for the same measurements, nothing of hosts and users, and hostile ones refused whole."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from device_agents.contract import SchemaViolation, loads
from edge.results.bundle import MANIFEST, bundle
from edge.results.scrubbing import scrubbed
from edge.results.store import IMPORTED, RESULT, SAMPLES, Store
from edge.results.unpacking import import_bundle
from export.artifact import Store as Artifacts
from profiles.errors import ConfigError, ResultError
from tests import plans
from tests.measured import VALUES, add, measurement, telling

Members = list[tuple[str, bytes]]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path / "here")
    add(store, telling(measurement("aaaa1111")), measurement("bbbb2222", batch=8))
    return store


@pytest.fixture
def there(tmp_path: Path) -> Store:
    return Store(tmp_path / "there")


def make(store: Store, name: str, *ids: str) -> Path:
    target = store.root.parent / name
    bundle(target, ids or store.ids(), store, Artifacts(store.root.parent), "0.1.0")
    return target


def members(archive: Path) -> Members:
    with tarfile.open(archive) as tar:
        return [(one.name, tar.extractfile(one).read()) for one in tar]  # type: ignore[union-attr]


def packed(path: Path, content: Members, *more: tarfile.TarInfo) -> Path:
    with tarfile.open(path, "w:gz", format=tarfile.USTAR_FORMAT) as tar:
        for name, data in content:
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
        for entry in more:
            tar.addfile(entry)
    return path


def resealed(content: Members) -> Members:
    """With a manifest that says of every member what it is."""
    told = json.loads(content[0][1])
    told["members"] = [
        {"name": name, "size": len(data), "sha256": hashlib.sha256(data).hexdigest()} for name, data in content[1:]
    ]
    return [(MANIFEST, json.dumps(told).encode()), *content[1:]]


@pytest.mark.parametrize("name", ["one.tar.gz", "one.tgz", "one.zip"])
def test_what_was_bundled_is_imported_and_says_from_where(store: Store, there: Store, name: str) -> None:
    came = import_bundle(make(store, name), there.root.parent)
    assert came.new == ("aaaa1111", "bbbb2222")
    found = there.get("bbbb2222")
    assert found.imported is not None
    assert found.imported.bundle == name
    assert replace(found, imported=None) == store.get("bbbb2222")
    assert there.samples_ns(found).tolist() == VALUES.tolist()
    assert not list(there.root.glob(".*"))


@pytest.mark.parametrize("ending", ["tar.gz", "zip"])
def test_the_same_measurements_are_the_same_bytes(store: Store, ending: str) -> None:
    first = make(store, f"a.{ending}", "aaaa1111", "bbbb2222")
    os.utime(store.folder("aaaa1111") / RESULT, (1, 1))
    assert make(store, f"b.{ending}", "bbbb2222", "aaaa1111").read_bytes() == first.read_bytes()


def test_hosts_and_users_are_left_out_and_serials_hashed(store: Store) -> None:
    whole = b"".join(data for _, data in members(make(store, "one.tar.gz")))
    for secret in (b"orin-in-the-lab", b"jane", b"1421223000", b"orin.lab.example"):
        assert secret not in whole
    digest = hashlib.sha256(b"1421223000").hexdigest()[:16]
    assert scrubbed(store.get("aaaa1111")).result.identity["serial"].value == f"sha256:{digest}"


def test_it_says_what_was_asked_for_and_what_measures_it_again(store: Store) -> None:
    made = plans.stored(Artifacts(store.root.parent))
    origin = replace(store.get("aaaa1111").origin, artifact=made.id)
    add(store, replace(measurement("cccc3333"), origin=origin))
    found = {name: loads(data) for name, data in members(make(store, "one.tar.gz")) if name.endswith(".json")}
    assert found["specs.json"]["bbbb2222"]["batch"] == 8
    assert "deploy resnet18 --device local" in found["commands.json"]["bbbb2222"]["again"]
    assert found["devices.json"]["local"]["profile"] == "local"
    assert found[f"artifacts/{made.id}.json"]["model"] == "resnet18"
    listed = {one["name"]: one["sha256"] for one in found[MANIFEST]["members"]}
    assert listed == {
        name: hashlib.sha256(data).hexdigest() for name, data in members(store.root.parent / "one.tar.gz")[1:]
    }


def test_what_is_here_stays_as_it_is(store: Store, there: Store) -> None:
    add(there, measurement("aaaa1111", run="mine"))
    came = import_bundle(make(store, "one.tar.gz"), there.root.parent)
    assert (came.new, came.kept) == (("bbbb2222",), ("aaaa1111",))
    assert there.get("aaaa1111").run == "mine"


def test_an_import_that_was_killed_when_it_was_checked_comes_in_whole(store: Store, there: Store) -> None:
    import_bundle(make(store, "one.tar.gz"), there.root.parent)
    left = there.root / f"{IMPORTED}killed"
    left.mkdir()
    for name in ("aaaa1111", "bbbb2222"):
        there.folder(name).rename(left / name)
    assert sorted(there.ids()) == ["aaaa1111", "bbbb2222"]
    assert not left.exists()


@pytest.mark.parametrize("lost", [RESULT, SAMPLES])
def test_what_is_damaged_here_comes_in_whole(store: Store, there: Store, lost: str) -> None:
    add(there, measurement("aaaa1111", run="mine"), measurement("bbbb2222", run="mine"))
    (there.folder("aaaa1111") / lost).unlink()
    came = import_bundle(make(store, "one.tar.gz"), there.root.parent)
    assert (came.new, came.kept) == (("aaaa1111",), ("bbbb2222",))
    assert there.ids() == ["bbbb2222", "aaaa1111"]
    assert there.readable("aaaa1111")
    assert [there.get(name).run for name in ("aaaa1111", "bbbb2222")] == ["run-1", "mine"]
    assert not [*there.root.glob(".*"), *there.root.glob("??/.*")]


def test_what_a_newer_edgebench_stored_here_stays(store: Store, there: Store) -> None:
    add(there, measurement("aaaa1111"))
    path = there.folder("aaaa1111") / RESULT
    path.write_text(json.dumps({**json.loads(path.read_bytes()), "schema": 99}))
    assert import_bundle(make(store, "one.tar.gz"), there.root.parent).kept == ("aaaa1111",)
    assert json.loads(path.read_bytes())["schema"] == 99


def test_a_damaged_measurement_is_not_bundled(store: Store) -> None:
    (store.folder("aaaa1111") / SAMPLES).write_bytes(b"")
    with pytest.raises(ResultError, match="not those of the result"):
        make(store, "one.tar.gz")
    assert not (store.root.parent / "one.tar.gz").exists()


@pytest.mark.parametrize(("name", "ids", "said"), [("a.rar", ["aaaa1111"], "no archive"), ("a.zip", [], "no meas")])
def test_what_makes_no_bundle_is_refused(store: Store, name: str, ids: list[str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        bundle(store.root.parent / name, ids, store, Artifacts(store.root.parent), "0")


def _changed(content: Members, name: str, change: Callable[[Any], Any]) -> Members:
    at = next(index for index, one in enumerate(content) if one[0].endswith(name))
    content[at] = (content[at][0], json.dumps(change(json.loads(content[at][1]))).encode())
    return content


def _renamed(name: str) -> Callable[[Members], Members]:
    return lambda content: resealed([*content, (name, b"x")])


HOSTILE: dict[str, tuple[Callable[[Members], Members], str]] = {
    "parent folder": (_renamed("measurements/../../../evil/result.json"), "is no name of a bundle's member"),
    "dots as an id": (_renamed("measurements/../result.json"), "is no name of a bundle's member"),
    "absolute": (_renamed("/etc/cron.d/evil"), "is no name of a bundle's member"),
    "backslashes": (_renamed("measurements\\..\\evil"), "is no name of a bundle's member"),
    "hidden": (_renamed("measurements/.making-1/result.json"), "is no name of a bundle's member"),
    "not in the manifest": (lambda content: [*content, ("measurements/cccc3333/result.json", b"{}")], "not in"),
    "twice": (lambda content: [*content, content[-1]], "stands twice"),
    "manifest twice": (lambda content: [*content, content[0]], "stands twice"),
    "twice in the manifest": (lambda content: resealed([*content, content[-1]]), "a name stands twice"),
    "missing": (lambda content: content[:-1], "is missing"),
    "no manifest": (lambda content: content[1:], "first member is not manifest.json"),
    "manifest later": (lambda content: [*content[1:], content[0]], "first member is not manifest.json"),
    "empty": (lambda content: [], "first member is not manifest.json"),
    "other bytes": (lambda content: [*content[:-1], (content[-1][0], b"x" * len(content[-1][1]))], "SHA-256"),
    "other size": (lambda content: [*content[:-1], (content[-1][0], content[-1][1] + b"x")], "its manifest says"),
    "other id": (
        lambda content: resealed(_changed(content, "aaaa1111/result.json", lambda one: {**one, "id": "dddd4444"})),
        "says of itself that it is 'dddd4444'",
    ),
    "no samples": (lambda content: resealed([one for one in content if "bbbb2222/samples" not in one[0]]), "not whole"),
    "a newer schema": (
        lambda content: resealed(_changed(content, "aaaa1111/result.json", lambda one: {**one, "schema": 99})),
        "upgrade edgebench",
    ),
    "a newer bundle": (
        lambda content: _changed(content, MANIFEST, lambda one: {**one, "schema": 2}),
        "version 2; this edgebench reads 1",
    ),
    "nested too deep": (lambda content: [(MANIFEST, b"[" * 100_000), *content[1:]], "not valid JSON"),
    "declares a flood": (
        lambda content: _changed(
            content, MANIFEST, lambda one: {**one, "members": [{**one["members"][0], "size": 2**40}]}
        ),
        "it declares 1099511627776 bytes",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_bundle_is_refused_and_nothing_is_stored(store: Store, there: Store, what: str) -> None:
    change, said = HOSTILE[what]
    path = packed(store.root.parent / "evil.tar.gz", change(members(make(store, "one.tar.gz"))))
    refused(path, there, said)


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE])
def test_only_plain_files_are_members(store: Store, there: Store, kind: bytes) -> None:
    entry = tarfile.TarInfo("measurements/cccc3333/result.json")
    entry.type, entry.linkname = kind, "/etc/passwd"
    refused(
        packed(store.root.parent / "evil.tar.gz", members(make(store, "one.tar.gz")), entry), there, "no plain file"
    )


def test_a_link_of_a_zip_is_refused(store: Store, there: Store) -> None:
    path = make(store, "one.zip")
    with zipfile.ZipFile(path, "a") as archive:
        entry = zipfile.ZipInfo("measurements/cccc3333/result.json")
        entry.external_attr = 0o120777 << 16
        archive.writestr(entry, "/etc/passwd")
    refused(path, there, "no plain file")


def test_a_zip_that_unpacks_to_more_than_it_declares_is_refused(store: Store, there: Store) -> None:
    """Its directory says 10 bytes, its manifest says 10 bytes, and there are 50 MB of zeros."""
    path, zeros = store.root.parent / "bomb.zip", b"\0" * 50_000_000
    told = {"name": "specs.json", "size": 10, "sha256": hashlib.sha256(zeros[:10]).hexdigest()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(MANIFEST, json.dumps({"members": [told], "edgebench": "0", "schema": 1}))
        archive.writestr("specs.json", zeros)
    data = path.read_bytes()
    path.write_bytes(data.replace((50_000_000).to_bytes(4, "little"), (10).to_bytes(4, "little")))
    refused(path, there, "")


def test_an_honest_bomb_is_refused_before_it_is_unpacked(store: Store, there: Store) -> None:
    zeros = b"\0" * 100_000_000
    content = resealed([(MANIFEST, members(make(store, "one.tar.gz"))[0][1]), ("specs.json", zeros)])
    refused(packed(store.root.parent / "bomb.tar.gz", content), there, "bytes, more than is taken or fits")


def test_a_header_of_an_extension_is_not_read_into_memory(store: Store, there: Store) -> None:
    path, entry = store.root.parent / "evil.tar.gz", tarfile.TarInfo("long")
    entry.type, entry.size = tarfile.XHDTYPE, 2**35
    with gzip.open(path, "wb") as stream:
        stream.write(entry.tobuf(tarfile.GNU_FORMAT))
    refused(path, there, "no plain file")


@pytest.mark.parametrize("data", [b"", b"hello", b"\x1f\x8b\x08garbage", b"PK\x03\x04garbage"])
def test_what_is_no_archive_is_a_sentence(store: Store, there: Store, data: bytes) -> None:
    path = store.root.parent
    path.mkdir(exist_ok=True)
    (path / "x.tar.gz").write_bytes(data)
    refused(path / "x.tar.gz", there, "")


@pytest.mark.parametrize("ending", ["tar.gz", "zip"])
def test_a_bundle_that_was_cut_anywhere_is_refused(store: Store, there: Store, ending: str) -> None:
    whole = make(store, f"one.{ending}").read_bytes()
    for share in (0.1, 0.5, 0.9, 0.99):
        (store.root.parent / "cut").write_bytes(whole[: int(share * len(whole))])
        refused(store.root.parent / "cut", there, "")


def test_a_file_that_is_not_there_is_refused(there: Store) -> None:
    with pytest.raises(ConfigError, match="there is no file"):
        import_bundle(Path("/nowhere.tar.gz"), there.root.parent)


def refused(path: Path, there: Store, said: str) -> None:
    with pytest.raises(ResultError) as caught:
        import_bundle(path, there.root.parent)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert [one.name for one in there.root.rglob("*")] == []


def test_a_name_that_is_none_makes_no_member() -> None:
    from edge.results.bundle import Member

    with pytest.raises(SchemaViolation, match="no size or no SHA-256"):
        Member("specs.json", -1, "0" * 64)
