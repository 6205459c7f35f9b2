"""Releases: what stays on the device for a service to load, out of reach of `gc`.

releases/.lock                     held while a command works here, its hook included
        /<model>/<version>/        model.onnx with its data files, model.engine where one was measured, manifest.json
                /current, previous -> versions (links.py)
        /.hook.log                 what the last hook complained of; when it failed, and was run again for the version
        /.hook-again.log           that is restored, what it complained of then

A version appears by a rename, whole and synced, and never changes. What begins with a dot is unfinished: the next
command removes it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from pathlib import Path
from typing import Dict, Iterator, List, Optional

from device_agents import hook, links, locks
from device_agents.contract import (
    RELEASE_MANIFEST,
    Activation,
    FileEntry,
    ModelReleases,
    Release,
    ReleasedEngine,
    Releases,
    ReleaseState,
    Removal,
    SchemaViolation,
    dumps,
    from_json,
    loads,
)
from device_agents.errors import DeviceError
from device_agents.files import entry_of, sync, verify, write_atomic
from device_agents.links import Links

_PATIENCE_S = 300.0  # for another command: its hook may take its time
_LOOK_S = 2.0  # to only look, it is not worth waiting longer
_NO_LINKS = (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOSYS, errno.EOPNOTSUPP)


def make(workdir: Path, release: Release) -> ReleaseState:
    """Keep a release, of the files of its artifact and its engine that are here. One of the same content that is there
    already stays as it is.

    Errors: DeviceError when a file here is not the one that was measured, or the version is there with other content;
    OSError. Nothing is left then.
    """
    with _locked(workdir, _PATIENCE_S) as root:
        home = root / release.model
        folder = home / release.version
        changed = not os.path.lexists(str(folder))
        if changed:
            _make(workdir, home, release)
        else:
            _check_same(folder, release)
        return _state(home, release.version, changed)


def listed(workdir: Path) -> Releases:
    """What there is. Not hashed: that is done before anything is activated."""
    root = workdir / "releases"
    if not root.is_dir():
        return Releases(())
    with contextlib.ExitStack() as held:
        with contextlib.suppress(DeviceError, OSError):  # somebody's hook runs, or nothing can be written: as it is now
            held.enter_context(_locked(workdir, _LOOK_S))
        found = [_listed(home) for home in _models(root)]
        return Releases(tuple(one for one in found if one.versions or one.damaged))


def activate(workdir: Path, order: Activation) -> ReleaseState:
    """Make a version, or the previous one, current, and run the hook; when that fails, everything is put back, and the
    hook is run again for the version that is restored.

    Errors: DeviceError when there is no such release, it is damaged, or the hook failed; OSError.
    """
    with _locked(workdir, _PATIENCE_S) as root:
        home = root / order.model
        before = links.read(home)
        version = order.version or before.previous
        if version is None:
            message = f"there is no previous release of {order.model} to go back to"
            raise DeviceError("no_release", "release", message, fix="name one: edgebench release activate")
        _check_whole(home, version)
        meant = before if version == before.current else Links(version, before.current)
        if meant != before:
            links.swap(home, meant)
        why = _run_hook(home, version, order, _log(home))
        if why:
            raise _put_back(home, version, before, order, why)
        return _state(home, version, meant != before)


def remove(workdir: Path, order: Removal) -> ReleaseState:
    """Errors: DeviceError when there is no such release, or it is the current one, or the previous one and that was
    not said."""
    with _locked(workdir, _PATIENCE_S) as root:
        home, version = root / order.model, order.version
        if not os.path.lexists(str(home / version)):
            raise _absent(home, version)
        now = links.read(home)
        if version == now.current:
            message = f"{version} is the current release of {order.model}"
            raise DeviceError("release_in_use", "release", message, fix="activate another one before")
        if version == now.previous:
            if not order.previous_too:
                message = f"{version} is the release of {order.model} that a rollback would restore"
                raise DeviceError("release_in_use", "release", message, fix="--previous removes it all the same")
            links.forget_previous(home)
        going = home / f".removing-{version}"
        (home / version).rename(going)
        sync(home)
        state = _state(home, version, changed=True)
        _clear(going)
        return state


@contextlib.contextmanager
def _locked(workdir: Path, patience_s: float) -> Iterator[Path]:
    """The folder of all releases, for this command alone, tidied up. Errors: DeviceError when others do not end."""
    root = workdir / "releases"
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = locks.open_lock(root / ".lock")
    try:
        locks.acquire(lock, patience_s)
        for home in _models(root):
            _tidy(home)
        yield root
    except locks.Busy:
        message, fix = f"another command has been at work here for {patience_s:g} s", "run the same command again"
        raise DeviceError("release_busy", "release", message, where=str(root), fix=fix) from None
    finally:
        os.close(lock)


def _models(root: Path) -> List[Path]:
    return sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))


def _tidy(home: Path) -> None:
    """Undo, or finish, what commands left that were killed. A folder that holds nothing goes, too."""
    links.recover(home)
    for path in home.glob(".*"):
        _clear(path)
    with contextlib.suppress(OSError):
        home.rmdir()


def _clear(path: Path) -> None:
    """It may also be a file that somebody put there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def _make(workdir: Path, home: Path, release: Release) -> None:
    making = home / f".making-{release.version}"
    try:
        making.mkdir(mode=0o700, parents=True)
        for entry in release.files:
            _place(_source(workdir, release, entry), making, entry)
        write_atomic(making / RELEASE_MANIFEST, (dumps(release, indent=1) + "\n").encode())
        sync(making)
        making.rename(home / release.version)
        sync(home)
        sync(home.parent)
    finally:
        shutil.rmtree(making, ignore_errors=True)
        with contextlib.suppress(OSError):  # nothing else is there: as if it had not been made
            home.rmdir()


def _source(workdir: Path, release: Release, entry: FileEntry) -> Path:
    if release.engine is not None and entry == release.engine.file:
        return _engine(workdir, release.engine)
    return workdir / "artifacts" / release.artifact / entry.name


def _engine(workdir: Path, engine: ReleasedEngine) -> Path:
    """The file that was measured: in this device's cache, or among what was sent, where another one built it."""
    own = workdir / "engines" / engine.key / engine.file.name
    sent = sorted(workdir.glob(f"artifacts/*/{engine.file.name}"))
    found = (path for path in (own, *sent) if path.is_file() and path.stat().st_size == engine.file.size)
    return next((path for path in found if entry_of(path) == engine.file), own)


def _place(source: Path, folder: Path, entry: FileEntry) -> None:
    """A hard link, or a copy where there can be none; hashed where it lies now, and synced. Errors: DeviceError when it
    is not what was measured."""
    target = folder / entry.name
    try:
        _link_or_copy(source, target)
    except FileNotFoundError:
        raise _not_measured(source, "is missing") from None
    if entry_of(target) != entry:
        raise _not_measured(source, "is not what was measured")
    sync(target)


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        os.link(str(source), str(target))
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        shutil.copyfile(str(source), str(target))


def _not_measured(source: Path, what: str) -> DeviceError:
    fix = "run the same command again: it is sent and measured anew"
    return DeviceError("release_source", "release", f"the file {what}", where=str(source), fix=fix)


def _check_same(folder: Path, release: Release) -> None:
    """Errors: DeviceError unless a release of the same content is there, whole."""
    there = _check_whole(folder.parent, folder.name)
    if not there.same_content(release):
        message = f"{release.version} of {release.model} is there with other content, and a version never changes"
        raise DeviceError("release_taken", "release", message, fix="release it as a new version")


def _check_whole(home: Path, version: str) -> Release:
    """The release, every file hashed. Errors: DeviceError when there is none, or it is damaged."""
    folder = home / version
    if not os.path.lexists(str(folder)):
        raise _absent(home, version)
    try:
        release = _read(folder)
        verify(folder, release.files)
    except DeviceError as error:
        raise _damaged(folder, f"{Path(error.info.where).name}: {error.info.message}") from None
    except (OSError, SchemaViolation) as error:
        raise _damaged(folder, f"{RELEASE_MANIFEST}: {error}") from None
    return release


def _damaged(folder: Path, why: str) -> DeviceError:
    fix = "release it as a new version, and remove this one"
    message = f"{folder.name} of {folder.parent.name} is damaged ({why})"
    return DeviceError("release_damaged", "release", message, where=str(folder), fix=fix)


def _absent(home: Path, version: str) -> DeviceError:
    there = _listed(home).versions if home.is_dir() else ()
    known = f"it has: {', '.join(one.version for one in there)}" if there else "it has none"
    return DeviceError("no_release", "release", f"there is no release {version} of {home.name}; {known}")


def _read(folder: Path) -> Release:
    """Errors: OSError, SchemaViolation."""
    release = from_json(Release, loads((folder / RELEASE_MANIFEST).read_bytes()))
    if (release.model, release.version) != (folder.parent.name, folder.name):
        raise SchemaViolation("version", f"it is of {release.model} {release.version}")
    return release


def _listed(home: Path) -> ModelReleases:
    versions: List[Release] = []
    damaged: Dict[str, str] = {}
    for folder in sorted(home.iterdir()):
        if folder.name.startswith(".") or folder.is_symlink():
            continue
        try:
            versions.append(_read(folder))
        except (OSError, SchemaViolation) as error:
            damaged[folder.name] = str(error)
    versions.sort(key=lambda release: release.released_at)
    now = links.read(home)
    return ModelReleases(home.name, tuple(versions), now.current, now.previous, damaged)


def _state(home: Path, version: str, changed: bool) -> ReleaseState:
    now = links.read(home)
    return ReleaseState(home.name, version, changed, str(home / version), now.current, now.previous)


def _run_hook(home: Path, version: str, order: Activation, log: Path) -> str:
    """Why it failed; "" where it did not, or there is none."""
    if not order.hook:
        return ""
    told = {
        "EDGEBENCH_MODEL": order.model,
        "EDGEBENCH_VERSION": version,
        "EDGEBENCH_RELEASE": str(home / version),
    }
    return hook.run(order.hook, told, order.hook_timeout_s, log)


def _log(home: Path) -> Path:
    return home.parent / ".hook.log"


def _put_back(home: Path, version: str, before: Links, order: Activation, why: str) -> DeviceError:
    """The links as they were before the hook of `version` failed, the hook run again; the error that tells it all."""
    told = f"the hook failed for {version} ({why})"
    try:
        if links.read(home) != before:
            links.swap(home, before)
    except OSError as error:
        return _hook_failed(f"{told}, and {version} stays current: it cannot be put back ({error.strerror})", home)
    return _hook_failed(f"{told}; {_restored(home, version, before.current, order)}", home)


def _restored(home: Path, version: str, current: Optional[str], order: Activation) -> str:
    if current == version:
        return f"{version} was current before, and is"
    if current is None:
        return "none is current, as before"
    why = _run_hook(home, current, order, home.parent / ".hook-again.log")
    told = f"the hook failed for it, too ({why})" if why else "the hook ran for it"
    return f"{current} is current again, and {told}"


def _hook_failed(message: str, home: Path) -> DeviceError:
    return DeviceError("hook_failed", "release", message, fix=f"what it said is in {_log(home)} there")
