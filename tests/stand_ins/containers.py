"""Container engines for tests: the stand-in for docker, and a real podman where one runs containers here.

The image is empty: what a test needs of this machine, an interpreter with its packages, is mounted by the `args` of
fleet.toml.
"""

from __future__ import annotations

import io
import os
import shlex
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

IMAGE = "localhost/edgebench-test"
_FOLDERS = ("usr", "lib", "lib64", "bin", "tmp", "etc", "proc", "sys", "dev")
# Some machines let nobody raise a limit, or have control groups that crun refuses.
_CONFIGURATIONS = (
    "",
    '[containers]\ndefault_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]\n[engine]\nruntime="runc"\n',
)
_PATIENCE_S = 60.0


@dataclass(frozen=True)
class Engine:
    """An engine as a fleet file names it; `setup` is what it needs before a command."""

    name: str
    setup: str
    image: str
    args: tuple[str, ...] = ()

    @property
    def container(self) -> str:
        """The value of `container =`."""
        args = ", ".join(f'"{word}"' for word in self.args)
        return f'{{ image = "{self.image}", engine = "{self.name}", args = [{args}] }}'

    @property
    def toml(self) -> str:
        """The lines of a device."""
        return f"container = {self.container}\nsetup = '''{self.setup}'''\npython = \"{sys.executable}\"\n"

    def names(self) -> list[str]:
        """The containers that there are, running or not."""
        if self.name == "docker":
            home = Path(self.setup.split("STAND_IN_DOCKER=")[1].split()[0])
            return [path.stem for path in home.glob("*.container") if _lives(path)]
        listing = ["sh", "-c", f"{self.setup} && podman ps --all --format '{{{{.Names}}}}' --filter name=edgebench-"]
        done = subprocess.run(listing, capture_output=True, text=True, timeout=_PATIENCE_S, check=True)
        return done.stdout.split()


def docker(folder: Path) -> Engine:
    """The stand-in, on the PATH by `setup` alone."""
    tools, home = folder / "tools", folder / "docker"
    for path in (tools, home):
        path.mkdir(parents=True)
    (home / "images").write_text(f"{IMAGE}\n")
    program = Path(__file__).with_name("container_engine.py")
    (tools / "docker").write_text(f'#!/bin/sh\n# a stand-in for docker\nexec {sys.executable} {program} "$@"\n')
    (tools / "docker").chmod(0o755)
    return Engine("docker", f"export STAND_IN_DOCKER={home} PATH={tools}:$PATH", IMAGE)


@pytest.fixture(scope="session")
def podman(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """A real one. Skips where there is none, or none that starts a container."""
    folder = tmp_path_factory.mktemp("podman")
    mounts = {"/usr", "/lib", "/lib64", "/bin", sys.prefix, sys.base_prefix}
    args = tuple(f"--volume={path}:{path}:ro" for path in sorted(mounts) if Path(path).exists())
    said = ""
    for number, text in enumerate(_CONFIGURATIONS):
        conf = folder / f"containers-{number}.conf"
        conf.write_text(text)
        engine = Engine("podman", f"export CONTAINERS_CONF={conf}", f"{IMAGE}:{os.getpid()}", args)
        said = _try(engine)
        if not said:
            yield engine
        _podman(engine, "rmi", "--force", engine.image)
        if not said:
            return
    pytest.skip(f"no podman that runs a container here ({said})")


@pytest.fixture(params=["docker", "podman"])
def container_engine(request: pytest.FixtureRequest, tmp_path: Path) -> Engine:
    """Each engine in turn; the test fails if it leaves a container."""
    engine: Engine = docker(tmp_path / "engine") if request.param == "docker" else request.getfixturevalue("podman")
    return engine


def _lives(container: Path) -> bool:
    """Whether the first process does; a client that was killed leaves its note."""
    try:
        return " Z " not in Path(f"/proc/{container.read_text()}/stat").read_text()
    except FileNotFoundError:
        return False


def _try(engine: Engine) -> str:
    """Why it does not run a container; "" where it does."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for name in _FOLDERS:
            folder = tarfile.TarInfo(name)
            folder.type, folder.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(folder)
    for words, stdin in (
        (("import", "-", engine.image), archive.getvalue()),
        (("run", "--rm", "--network=none", *engine.args, engine.image, sys.executable, "-c", "pass"), b""),
    ):
        done = _podman(engine, *words, stdin=stdin)
        if done.returncode:
            return done.stderr.decode(errors="replace").strip()[-200:] or f"exit code {done.returncode}"
    return ""


def _podman(engine: Engine, *words: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    line = f"{engine.setup} && exec podman {shlex.join(words)}"
    return subprocess.run(
        ["sh", "-c", line], input=stdin, capture_output=True, timeout=_PATIENCE_S, check=False, env=dict(os.environ)
    )
