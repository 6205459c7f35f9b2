"""A cluster of real processes: `dask scheduler`, and a `dask worker` a site with a home of its own."""

from __future__ import annotations

import contextlib
import datetime
import importlib.util
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.ssh.sshd import free_port, wait_until

START_S = 60.0
PREFIX = "ebcluster-"


@dataclass
class Process:
    """One that can be killed and started again, with a home of its own."""

    home: Path
    argv: Sequence[str]
    ready: str
    child: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> str:
        path = self.home / "log"
        return path.read_text(errors="replace") if path.exists() else ""

    @property
    def received(self) -> list[str]:
        """The artifacts that a worker keeps."""
        return sorted(path.name for path in (self.home / ".cache/edgebench/received").glob("*"))

    def begin(self) -> None:
        self.home.mkdir(parents=True, exist_ok=True)
        (self.home / "log").unlink(missing_ok=True)
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("XDG_", "EDGEBENCH_"))}
        with (self.home / "log").open("wb") as log:
            self.child = subprocess.Popen(
                [sys.executable, "-m", "dask", *self.argv], cwd=self.home, env={**kept, "HOME": str(self.home)},
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    def wait(self) -> None:
        wait_until(lambda: self.ready in self.log or not self.is_alive, f"{self.argv[0]} to be ready", START_S)
        assert self.is_alive, self.log

    @property
    def is_alive(self) -> bool:
        return self.child is not None and self.child.poll() is None

    def is_connected_to(self, port: int) -> bool:
        """Whether it has a connection to that port of this machine."""
        pid = self.child.pid if self.child is not None else 0
        ours = {str(path.readlink()) for path in Path(f"/proc/{pid}/fd").glob("*") if path.is_symlink()}
        lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        there = {f"socket:[{line[9]}]" for line in lines if line[2].endswith(f":{port:04X}")}
        return bool(ours & there)

    def kill(self) -> None:
        if self.child is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.child.pid, signal.SIGKILL)
            self.child.wait()


@dataclass
class Cluster:
    """A scheduler and its workers by name; `whole` starts again what a test has killed."""

    address: str
    scheduler: Process
    workers: dict[str, Process] = field(default_factory=dict)

    def whole(self) -> Cluster:
        dead = [worker for worker in self.workers.values() if not worker.is_alive]
        for worker in dead:
            worker.begin()
        for worker in dead:
            worker.wait()
        return self

    def stop(self) -> None:
        for process in (*self.workers.values(), self.scheduler):
            process.kill()


@contextlib.contextmanager
def running(sites: dict[str, str], *, protocol: str = "tcp", options: Sequence[str] = ()) -> Iterator[Cluster]:
    """`sites` are the resources of the workers by their names."""
    if importlib.util.find_spec("distributed") is None:
        pytest.skip("distributed is not installed here (pip install 'edgebench[dask]')")
    with tempfile.TemporaryDirectory(prefix=PREFIX, ignore_cleanup_errors=True) as name:
        port, folder = free_port(), Path(name)
        address = f"{protocol}://127.0.0.1:{port}"
        plain = ("--no-dashboard", "--protocol", protocol, "--host", "127.0.0.1", *options)
        scheduler = Process(folder / "scheduler", ("scheduler", *plain, "--port", str(port)), "Scheduler at:")
        cluster = Cluster(address, scheduler)
        for worker, resources in sites.items():
            given = ("--resources", resources) if resources else ()
            home = folder / worker
            argv = ("worker", address, *plain, "--no-nanny", "--nthreads", "4", "--local-directory", str(home), *given)
            cluster.workers[worker] = Process(home, argv, "Registered to:")
        try:
            scheduler.begin()
            scheduler.wait()
            yield cluster.whole()
        finally:
            cluster.stop()


def authority(folder: Path) -> tuple[str, ...]:
    """A new authority and a certificate of it, as the options of `dask scheduler`, which are those of `sweep`."""
    x509 = pytest.importorskip("cryptography.x509")
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    folder.mkdir()
    now = datetime.datetime.now(datetime.timezone.utc)
    names = [x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)]) for name in ("authority", "cluster")]
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in names]
    for name, key, is_authority in zip(names, keys, (True, False), strict=True):
        builder = x509.CertificateBuilder().subject_name(name).issuer_name(names[0]).public_key(key.public_key())
        builder = builder.serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(hours=1))
        builder = builder.not_valid_after(now + datetime.timedelta(hours=1))
        builder = builder.add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        signed = builder.sign(keys[0], hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        (folder / ("ca.pem" if is_authority else "cert.pem")).write_bytes(signed)
    pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    (folder / "key.pem").write_bytes(keys[1].private_bytes(pem, pkcs8, serialization.NoEncryption()))
    files = {"--tls-ca-file": "ca.pem", "--tls-cert": "cert.pem", "--tls-key": "key.pem"}
    return tuple(word for option, name in files.items() for word in (option, str(folder / name)))
