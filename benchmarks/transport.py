"""What shipping files costs, beside what people use by hand: all against one real sshd on this machine, in one run.

    python benchmarks/transport.py [--rounds N] [--json]

Two loads, 100 files of 1 MB and one of 100 MB, each by: our SSHTransport (connected beforehand, as in a run; what it
sends is hashed on the device before it gets its name), scp, scp and then sha256sum there, rsync, sftp, and paramiko's
own SFTP client. Every round does all of them in turn, to new names. The answer is how often we fit into the time of
scp followed by sha256sum, the median over the rounds with their range; at least 1.0 is asked for. scp alone, which
proves nothing of what arrived, stands beside it.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from edge.transport.files import Upload  # noqa: E402
from edge.transport.ssh import SSHTransport  # noqa: E402
from export.artifact import sha256_file  # noqa: E402
from tests.ssh.sshd import Sshd, missing, start  # noqa: E402

PEER = "scp + sha256sum"
LOADS = {"100 files of 1 MB": (100, 1_000_000), "1 file of 100 MB": (1, 100_000_000)}

Ship = Callable[[Sequence[Path], PurePosixPath], None]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="(default %(default)s)")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    if missing():
        sys.exit(missing())
    with tempfile.TemporaryDirectory(prefix="transport-") as folder:
        server = start(Path(folder) / "sshd")
        try:
            rows = [measured(name, *LOADS[name], server, Path(folder), arguments.rounds) for name in LOADS]
        finally:
            server.stop()
    if arguments.json:
        print(json.dumps({"rows": rows, "load": os.getloadavg()[0]}))
    else:
        for row in rows:
            print(told(row))
    return 0 if all(row["ratios"]["edgebench"]["median"] >= 1.0 for row in rows) else 1


def measured(name: str, count: int, size: int, server: Sshd, folder: Path, rounds: int) -> dict:
    """Seconds of every way in every round, and how often each fits into the peer's."""
    files = []
    for number in range(count):
        path = folder / f"{size}-{number}"
        path.write_bytes(os.urandom(size))
        files.append(path)
    with closing(SSHTransport(server.endpoint)) as transport:
        transport.run(["true"], timeout=20)
        hashes = {path: sha256_file(path) for path in files}
        ways = {"edgebench": ours(transport, hashes), **by_hand(server)}
        seconds: dict[str, list[float]] = {way: [] for way in ways}
        for number in range(rounds + 1):  # the first warms caches up
            for way, ship in ways.items():
                target = PurePosixPath(server.home) / f"{number}-{way.replace(' ', '')}"
                Path(target).mkdir()
                begin = time.perf_counter()
                ship(files, target)
                if number:
                    seconds[way].append(time.perf_counter() - begin)
                shutil.rmtree(target)
    ratios = {
        way: [peer / own for peer, own in zip(seconds[PEER], times, strict=True)] for way, times in seconds.items()
    }
    summary = {
        way: {"median": statistics.median(found), "low": min(found), "high": max(found)}
        for way, found in ratios.items()
    }
    return {"load": name, "seconds": seconds, "ratios": summary}


def ours(transport: SSHTransport, hashes: dict[Path, str]) -> Ship:
    def ship(files: Sequence[Path], target: PurePosixPath) -> None:
        transport.put_all([Upload(path, target / path.name, hashes[path]) for path in files], timeout=120)

    return ship


def by_hand(server: Sshd) -> dict[str, Ship]:
    """One command a load, as somebody would type it, with a connection of its own."""
    options = [
        "-F",
        "none",
        "-i",
        str(server.key),
        "-o",
        f"UserKnownHostsFile={server.known_hosts}",
        "-o",
        "LogLevel=ERROR",
    ]
    host = f"{server.user}@127.0.0.1"
    shell = ["ssh", *options, "-p", str(server.port), host]

    def scp(files: Sequence[Path], target: PurePosixPath) -> None:
        call(["scp", "-q", *options, "-P", str(server.port), *map(str, files), f"{host}:{target}"])

    def scp_and_hash(files: Sequence[Path], target: PurePosixPath) -> None:
        scp(files, target)
        call([*shell, "sha256sum", *(str(target / path.name) for path in files)])

    def rsync(files: Sequence[Path], target: PurePosixPath) -> None:
        call(["rsync", "-W", "-e", " ".join(shell[:-1]), *map(str, files), f"{host}:{target}/"])

    def sftp(files: Sequence[Path], target: PurePosixPath) -> None:
        batch = "".join(f"put {path} {target}/\n" for path in files)
        call(["sftp", "-q", *options, "-P", str(server.port), "-b", "-", host], batch)

    def paramiko_sftp(files: Sequence[Path], target: PurePosixPath) -> None:
        import paramiko

        client = paramiko.SSHClient()
        client.load_host_keys(str(server.known_hosts))
        client.connect("127.0.0.1", server.port, server.user, key_filename=str(server.key), look_for_keys=False)
        with client, client.open_sftp() as session:
            for path in files:
                session.put(str(path), str(target / path.name))

    ways: dict[str, Ship] = {"scp": scp, PEER: scp_and_hash, "sftp": sftp, "paramiko sftp": paramiko_sftp}
    return {**ways, "rsync": rsync} if shutil.which("rsync") else ways


def call(argv: Sequence[str], stdin: str = "") -> None:
    done = subprocess.run(argv, input=stdin, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{argv[0]} failed: {done.stderr.strip()}")


def told(row: dict) -> str:
    lines = [f"{row['load']}, how often it fits into {PEER} (median of {len(row['seconds'][PEER])} rounds)"]
    for way, ratio in row["ratios"].items():
        seconds = statistics.median(row["seconds"][way])
        lines.append(
            f"  {way:16} {seconds:6.2f} s   {ratio['median']:5.2f}   ({ratio['low']:.2f} to {ratio['high']:.2f})"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
