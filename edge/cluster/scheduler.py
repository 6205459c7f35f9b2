"""The one module that speaks Dask: which scheduler is trusted, whose worker a device gets, what moves there.

A scheduler runs what its clients send, and its workers hold the SSH keys of their sites: without TLS, which lets in
only who has a certificate of the same authority, it is spoken to on this machine alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent import futures
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from device_agents.contract import ErrorInfo, dumps, from_json, loads
from edge import version
from edge.agent.finding import Found
from edge.cluster import received
from edge.cluster.remote import STAGE, LostError, RemoteRun
from edge.cluster.seat import LEASE_S, Seat, look
from edge.cluster.supplying import Payload
from edge.cluster.words import Answer, Down, Up, device_to_json, error_of
from edge.inventory.devices import Device
from edge.places import Places
from edge.planning.probing import Answers, probe_all
from edge.quantities import told_bytes
from edge.running.device_run import DeviceRun, Orders
from edge.running.device_work import Tools
from edge.running.journal import Journal
from profiles.errors import ConfigError, ConnectError, EdgebenchError, RunError, TransferError, TransportError
from profiles.progress import Progress

WORKER_S = 60.0
"""How long a device waits for a worker of its site, or as long as it may be out of reach, if that is longer."""

_CONNECT_S = 10.0
_SILENT_S = LEASE_S + 15.0  # a worker that we give up after that has given up us
_LOOK_S = 0.02
_AGAIN_S = 1.0
_BLOCK = 16 << 20
_DELIVERIES = 4

_CANCELLED = (asyncio.CancelledError, futures.CancelledError)
"""What Dask raises for tasks that it has forgotten."""


@dataclass(frozen=True)
class Certificates:
    """Files for TLS, as `dask scheduler` names its options; what is None is in Dask's own configuration."""

    ca_file: Path | None = None
    cert: Path | None = None
    key: Path | None = None


def check_address(address: str) -> None:
    """Errors: ConfigError for what is no scheduler's address, or nothing that may be trusted."""
    found = urlsplit(address)
    fix = "name it as tls://HOST:8786"
    try:
        complete = bool(found.hostname and found.port)
    except ValueError:
        complete = False
    if found.scheme not in ("tls", "tcp") or not complete:
        raise ConfigError(f"{address!r} is no address of a scheduler", where="--scheduler", fix=fix)
    if found.scheme == "tcp" and not _is_loopback(str(found.hostname)):
        message = f"{address} is open to whoever reaches it, to run anything beside the SSH keys of its workers"
        fix = "start it with --tls-ca-file, --tls-cert and --tls-key, and name it as tls://; tcp:// is for this machine"
        raise ConfigError(message, where="--scheduler", fix=fix)


@contextlib.contextmanager
def connected(address: str, certificates: Certificates, devices: Sequence[Device]) -> Iterator[Cluster]:
    """The cluster whose workers reach these devices.

    Errors: ConfigError for an address that is not trusted, for certificates, for a site that no worker has, for workers
    with another edgebench, and without distributed; ConnectError when the scheduler does not answer.
    """
    check_address(address)
    try:
        from distributed import Client
    except ImportError:
        message = "a scheduler needs Dask, which is not installed"
        raise ConfigError(message, where="--scheduler", fix="pip install 'edgebench[dask]'") from None
    security = _security(certificates) if address.startswith("tls:") else None
    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # what it would say is told by whom it concerns
    try:
        client = Client(address, security=security, timeout=_CONNECT_S, name="edgebench")
    except (OSError, ValueError, RuntimeError) as error:
        fix = "start it with `dask scheduler`, and look whether its certificates are of the same authority"
        raise ConnectError(f"no scheduler answers ({error})", where=address, fix=fix, stage=STAGE) from None
    try:
        with contextlib.closing(Cluster(client)) as cluster:
            cluster.check(devices)
            yield cluster
    finally:
        with contextlib.suppress(Exception):
            client.close(timeout=_CONNECT_S)


class Cluster:
    """An Executor whose devices are reached by workers. `local` is reached by this machine, whose it is."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._lock = threading.Lock()
        self._delivered: dict[tuple[str, str], Future[None]] = {}
        self._deliveries = ThreadPoolExecutor(_DELIVERIES, thread_name_prefix="deliver")

    def close(self) -> None:
        self._deliveries.shutdown(wait=False, cancel_futures=True)

    def check(self, devices: Sequence[Device]) -> None:
        """Errors: ConfigError for a site that no worker has, and for workers with another edgebench."""
        workers = self.workers()
        there = {site for its in workers.values() for site in its}
        missing = sorted({str(one.site) for one in devices if not one.is_local and one.site and one.site not in there})
        if missing or not workers:
            has = f"its workers are of {', '.join(sorted(there)) or 'no site'}" if workers else "it has no workers"
            wanted = f"no worker is of site {' or '.join(missing)}: " if missing else ""
            fix = f"start one there: dask worker ADDRESS{_option(missing[0] if missing else 'SITE')}"
            raise ConfigError(f"{wanted}{has}", where="--scheduler", fix=fix)
        for worker, answer in self._client.run(version, on_error="return").items():
            if answer != version():
                has = f"edgebench {answer}" if isinstance(answer, str) else f"no edgebench ({answer})"
                message = f"the worker {worker} has {has}, this machine has {version()}"
                raise ConfigError(message, where="--scheduler", fix="install the same one on both")

    def probe(
        self, devices: Sequence[Device], places: Places, progress: Progress, backends: Mapping[str, Sequence[str]]
    ) -> Answers:
        """What the devices answered of each backend, and why some did not, by name in the given order."""
        here = [device for device in devices if device.is_local]
        found, failed = probe_all(here, places, progress, backends) if here else ({}, {})
        asked = {one.name: self._ask(one, backends[one.name]) for one in devices if not one.is_local}
        for name, future in asked.items():
            progress(f"{name}: probing")
            try:
                answer = loads(_result(future, WORKER_S))
                if "error" in answer:
                    raise error_of(from_json(ErrorInfo, answer["error"]))
                found[name] = {backend: from_json(Found, one) for backend, one in answer["found"].items()}
            except EdgebenchError as error:
                failed[name] = error
            except Exception as error:  # noqa: BLE001 - Dask's, which are of many kinds
                failed[name] = TransportError(f"no worker answered ({_kind(error)})", where=name, stage=STAGE)
        return found, failed

    def device_run(self, device: Device, orders: Orders, journal: Journal, tools: Tools) -> DeviceRun:
        if device.is_local:
            return DeviceRun(device, orders, journal, tools)
        patience_s = max(WORKER_S, tools.policy.wait_online_s)

        def place(start: str, check: Callable[[], None]) -> _Seated:
            return self._place(device, start, check, patience_s, tools.progress)

        return RemoteRun(device, orders, journal, tools, place)

    def _ask(self, device: Device, backends: Sequence[str]) -> Any:
        words = dumps(device_to_json(device))
        return self._client.submit(look, words, list(backends), pure=False, resources=_pin(device))

    def _place(
        self, device: Device, start: str, check: Callable[[], None], patience_s: float, progress: Progress
    ) -> _Seated:
        """Errors: TransportError when no worker takes it in time; RunError when one cannot; LostError."""
        future = self._client.submit(Seat, start, actor=True, pure=False, resources=_pin(device))
        end = time.monotonic() + patience_s
        try:
            while not future.done():
                check()
                time.sleep(_LOOK_S)
                if time.monotonic() > end:
                    fix = f"start one: dask worker ADDRESS{_option(device.site)}, then run the same command again"
                    message = f"no worker{f' of site {device.site}' if device.site else ''} came in {patience_s:.0f} s"
                    raise TransportError(message, where=device.name, stage=STAGE, fix=fix)
            return _Seated(self, future, self._actor(future, device), device.site, progress)
        except BaseException:
            future.cancel()
            raise

    def _actor(self, future: Any, device: Device) -> Any:
        """Errors: EdgebenchError, LostError."""
        try:
            return _result(future, _CONNECT_S)
        except EdgebenchError as error:
            error.where = device.name
            raise
        except (OSError, *_CANCELLED) as error:
            raise LostError(f"the worker was lost ({_kind(error)})") from None
        except Exception as error:  # noqa: BLE001 - whatever went wrong on the worker
            message = f"its worker cannot take it ({_kind(error)})"
            raise RunError(message, where=device.name, stage=STAGE, fix="look at the log of the worker") from None

    def workers(self) -> dict[str, list[str]]:
        """Sites by the addresses of workers. Errors: those of Dask."""
        found = self._client.scheduler_info(n_workers=-1)["workers"]
        return {address: sorted(one["resources"]) for address, one in found.items()}

    def deliver(self, address: str, payload: Payload, to: str, progress: Progress) -> Future[None]:
        """Bring files to a worker, once for all who want them there. Its error is a TransferError."""
        with self._lock:
            known = self._delivered.get((address, payload.id))
            if known is None:
                known = self._deliveries.submit(self._deliver, address, payload, to, progress)
                self._delivered[address, payload.id] = known
            return known

    def _deliver(self, address: str, payload: Payload, to: str, progress: Progress) -> None:
        try:
            if self._call(address, received.is_there, payload.id, payload.files):
                return
            progress(f"sending {payload.label} ({told_bytes(payload.size)}) to {to}")
            delivery = secrets.token_hex(4)
            for entry in payload.files:
                for offset, block in _blocks(payload.folder / entry.name):
                    there = self._client.scatter(block, workers=[address], hash=False)
                    self._call(address, received.write, payload.id, delivery, entry.name, offset, there)
            whole = self._call(address, received.finish, payload.id, delivery, payload.files)
        except Exception as error:  # noqa: BLE001 - Dask's, or what the worker's disk says
            message = f"{payload.label} could not be brought to the worker ({_kind(error)})"
            raise TransferError(message, where=to, stage="ship", fix="look at the worker's disk and log") from None
        if not whole:
            raise TransferError(f"{payload.label} did not arrive whole", where=to, stage="ship", fix="try again")

    def _call(self, address: str, function: Callable[..., Any], *arguments: Any) -> Any:
        """Errors: LostError, and whatever the function raised there."""
        future = self._client.submit(function, *arguments, pure=False, workers=[address], allow_other_workers=False)
        while not _is_done(future, _AGAIN_S):
            if address not in self.workers():
                raise LostError(f"the worker {address} was lost")
        return _result(future, _CONNECT_S)


class _Seated:
    """A seat that a worker has given to a device."""

    def __init__(self, cluster: Cluster, future: Any, actor: Any, site: str | None, progress: Progress) -> None:
        self._cluster, self._future, self._actor, self._progress = cluster, future, actor, progress
        self._address: str = actor._address  # noqa: SLF001 - who_has asks the scheduler for what the actor knows
        self._to = site or self._address

    def exchange(self, down: Down) -> tuple[tuple[Up, ...], Mapping[str, bytes]]:
        """Again where the call broke and the worker is there: it repeats what was not taken. Errors: LostError."""
        words, end = dumps(down), time.monotonic() + _SILENT_S
        while True:
            try:
                said, samples = self._actor.exchange(words).result(timeout=down.wait_s + _CONNECT_S)
                return from_json(Answer, loads(said)).messages, samples
            except (Exception, *_CANCELLED) as error:  # noqa: BLE001 - Dask's, which are of many kinds
                if time.monotonic() > end or not self._is_there():
                    raise LostError(f"the worker {self._address} was lost ({_kind(error)})") from None
            time.sleep(_AGAIN_S)

    def deliver(self, payload: Payload) -> Future[None]:
        return self._cluster.deliver(self._address, payload, self._to, self._progress)

    def stop(self) -> None:
        with contextlib.suppress(Exception):  # it is lost, and who follows it is told
            self._actor.stop()

    def close(self) -> None:
        self._future.cancel()

    def _is_there(self) -> bool:
        try:
            return self._future.status == "finished" and self._address in self._cluster.workers()
        except Exception:  # noqa: BLE001 - the scheduler is not there either
            return False


def _result(future: Any, wait_s: float) -> Any:
    """Errors: TimeoutError, and those of the task. Dask fetches what many wait for at once, and a timeout of one of
    them would end it for all: so nobody asks for a result before it is there."""
    if not _is_done(future, wait_s):
        raise TimeoutError(f"nothing in {wait_s:.0f} s")
    return future.result()


def _is_done(future: Any, wait_s: float) -> bool:
    end = time.monotonic() + wait_s
    while not future.done() and time.monotonic() < end:
        time.sleep(_LOOK_S)
    return bool(future.done())


def _pin(device: Device) -> dict[str, float] | None:
    """To a worker of its site. A worker has room for any number: what it holds is a moment long."""
    return {device.site: 1.0} if device.site else None


def _option(site: str | None) -> str:
    return f' --resources "{site}=1"' if site else ""


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _security(certificates: Certificates) -> Any:
    """Errors: ConfigError when there are none, or they cannot be read."""
    from distributed.security import Security

    names = {
        "tls_ca_file": certificates.ca_file,
        "tls_client_cert": certificates.cert,
        "tls_client_key": certificates.key,
    }
    security = Security(require_encryption=True, **{name: str(path) for name, path in names.items() if path})
    fix = "give --tls-ca-file, --tls-cert and --tls-key, or set distributed.comm.tls in Dask's own configuration"
    if not security.tls_ca_file or not security.tls_client_cert:
        raise ConfigError("tls:// needs certificates", where="--scheduler", fix=fix)
    try:
        security.get_connection_args("client")
    except (OSError, ValueError) as error:
        raise ConfigError(f"the certificates cannot be used ({error})", where="--scheduler", fix=fix) from None
    return security


def _blocks(path: Path) -> Iterator[tuple[int, bytes]]:
    """Offset and bytes; one block of an empty file."""
    with path.open("rb") as stream:
        offset = 0
        while (block := stream.read(_BLOCK)) or not offset:
            yield offset, block
            offset += len(block) or 1


def _kind(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
