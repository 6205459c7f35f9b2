"""The lock of an accelerator is one file for all users of a host."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from device_agents import locks

ROOT = Path(__file__).parents[3]
NOBODY = "65534"
TAKE = """
import os, sys
from device_agents import locks
os.umask(0o077)
lock = locks.open_lock(locks.accelerator_path("{key}"))
try:
    locks.acquire(lock, 0)
except locks.Busy:
    print("busy", flush=True)
else:
    print("taken", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def key() -> Iterator[str]:
    """Of an accelerator that only this test knows."""
    name = f"GPU-{uuid4()}"
    yield name
    for folder in ("/run/lock", "/tmp"):
        Path(folder, f"edgebench-{name}.lock").unlink(missing_ok=True)


@pytest.mark.parametrize(
    ("modes", "chosen"), [((0o1777, 0o1777), 0), ((0o755, 0o1777), 1), ((0o775, 0o1777), 1), ((None, 0o1777), 1)]
)
def test_is_in_the_first_folder_that_every_user_may_write_into(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, modes: tuple[int | None, int], chosen: int
) -> None:
    """Whatever this user may write into: all of them are ours."""
    folders = tmp_path / "run-lock", tmp_path / "tmp"
    for folder, mode in zip(folders, modes, strict=True):
        if mode is not None:
            folder.mkdir()
            folder.chmod(mode)
    monkeypatch.setattr(locks, "_FOLDERS", tuple(map(str, folders)))
    assert locks.accelerator_path("GPU-1") == folders[chosen] / "edgebench-GPU-1.lock"


@pytest.mark.parametrize("first", ["root", "nobody"])
@pytest.mark.parametrize("mode", ["0755", "1777"])
def test_is_the_same_for_root_and_for_another_user(tmp_path: Path, key: str, mode: str, first: str) -> None:
    """On a host whose /run/lock is root's alone, as systemd 258 makes it, and on one where it is everybody's: who comes
    second waits for the first, whatever the umask was."""
    if os.geteuid() or not all(map(shutil.which, ("unshare", "setpriv"))):
        pytest.skip("only root has a /run/lock of its own, and becomes another user")
    nobody = f"setpriv --reuid {NOBODY} --clear-groups"
    before, after = ("", nobody) if first == "root" else (nobody, "")
    (tmp_path / "both.sh").write_text(
        f"""cd {tmp_path}
{nobody} "$0" -c "from device_agents import locks" || exit 9
mount -t tmpfs -o mode={mode} tmpfs /run/lock || exit 9
mkfifo end && exec 3<>end
{before} "$0" -c "$1" <end >said &
while kill -0 $! && ! grep -q . said; do sleep 0.02; done
cat said
{after} "$0" -c "$1" </dev/null
kill $!
"""
    )
    argv = ["unshare", "--mount", "sh", "-c", f". {tmp_path}/both.sh", sys.executable, TAKE.format(key=key)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode == 9 or "unshare failed" in done.stderr:
        pytest.skip(f"no mounts of its own here, or no Python for another user: {done.stderr.strip()[-200:]}")
    assert done.stdout.split() == ["taken", "busy"], done.stderr
