"""A stand-in for docker: the commands that edgebench uses, with its options, refusals, exit codes and lines on stderr
(docker 28, as its sources and documentation have them); no images and no namespaces.

`docker run` starts the command on this machine, in a session of its own and with the environment of an image, that is:
PATH and what `--env` gives. As with docker, the client hands on its standard input, ends with the container, and can be
killed without it. What is not mounted is nevertheless there, and pids are those of the host: a real podman, where there
is one, shows the rest (tests/e2e/test_containers.py).

STAND_IN_DOCKER is a folder: `images` lists those that are there, `NAME.container` holds the process of each container,
`log` a line of JSON for each call; `fails` makes every call fail as in it: daemon, permission, toolkit.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

HOME = Path(os.environ["STAND_IN_DOCKER"])
SOCKET = "unix:///var/run/docker.sock"
FAILURES = {
    "daemon": f"Cannot connect to the Docker daemon at {SOCKET}. Is the docker daemon running?",
    "permission": "permission denied while trying to connect to the Docker daemon socket at "
    f'{SOCKET}: Get "http://%2Fvar%2Frun%2Fdocker.sock/v1.50/images/json": '
    "dial unix /var/run/docker.sock: connect: permission denied",
}
TOOLKIT = 'could not select device driver "" with capabilities: [[gpu]]'
WITH_VALUE = (
    "--name",
    "--mount",
    "--network",
    "--user",
    "--env",
    "--gpus",
    "--runtime",
    "--pull",
    "--volume",
    "--device",
)
SHORT = {"-v": "--volume", "-e": "--env", "-u": "--user"}
FLAGS = ("--rm", "--interactive")
MOUNT_KEYS = ("type", "source", "target", "readonly")


class Refused(Exception):
    """What docker says on stderr, and the code that it ends with."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


def main(argv: list[str]) -> int:
    with (HOME / "log").open("a") as log:
        log.write(json.dumps(argv) + "\n")
    try:
        failure = (HOME / "fails").read_text().strip() if (HOME / "fails").exists() else ""
        if failure in FAILURES:
            raise Refused(FAILURES[failure], 1 if argv[0] != "run" else 125)
        if argv[:2] == ["image", "inspect"]:
            return inspect(argv[2:])
        command = {"run": run, "kill": kill, "rm": remove}.get(argv[0])
        if command is None:
            raise Refused(f"docker: unknown command: docker {argv[0]}", 1)
        return command(argv[1:])
    except Refused as refused:
        print(refused, file=sys.stderr)
        return refused.code


def inspect(words: list[str]) -> int:
    if words[:2] != ["--format", "{{.Id}}"] or len(words) != 3:
        raise Refused("docker: 'docker image inspect' of another form than this stand-in knows", 1)
    if words[2] not in images():
        print()
        raise Refused(f"Error response from daemon: No such image: {words[2]}", 1)
    print(f"sha256:{abs(hash_of(words[2])):064x}")
    return 0


def run(words: list[str]) -> int:
    options, rest = parsed(words)
    image, command = rest[0], rest[1:]
    if image not in images():
        raise Refused(f"docker: Error response from daemon: No such image: {image}", 125)
    if "--gpus" in options and (HOME / "fails").exists():
        raise Refused(f"docker: Error response from daemon: {TOOLKIT}", 125)
    for mount in options.get("--mount", []):
        check_mount(mount)
    home = HOME / f"{options['--name'][-1]}.container"
    if home.exists():
        raise Refused(f"docker: Error response from daemon: Conflict. The name {home.stem} is already in use", 125)
    environment = {"PATH": os.environ["PATH"], **dict(pair.split("=", 1) for pair in options.get("--env", []))}
    try:
        child = subprocess.Popen(command, env=environment, start_new_session=True, cwd="/")
    except FileNotFoundError:
        message = f'exec: "{command[0]}": executable file not found in $PATH'
        raise Refused(
            f"docker: Error response from daemon: failed to create task for container: {message}", 127
        ) from None
    home.write_text(str(child.pid))
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # handed on, to a first process that has no handler for it
    code = child.wait()
    home.unlink(missing_ok=True)
    return 128 - code if code < 0 else code


def parsed(words: list[str]) -> tuple[dict[str, list[str]], list[str]]:
    """Options up to the image, as pflag reads them, and the image with its command."""
    options: dict[str, list[str]] = {}
    rest = list(words)
    while rest and rest[0].startswith("-"):
        name, equals, value = rest.pop(0).partition("=")
        name = SHORT.get(name, name)
        if name in FLAGS and not equals:
            options.setdefault(name, [])
        elif name in WITH_VALUE:
            options.setdefault(name, []).append(value if equals else rest.pop(0))
        else:
            raise Refused(f"unknown flag: {name}\n\nUsage:  docker run [OPTIONS] IMAGE [COMMAND] [ARG...]", 125)
    if not rest:
        raise Refused("docker: 'docker run' requires at least 1 argument", 125)
    return options, rest


def check_mount(mount: str) -> None:
    fields = dict(field.partition("=")[::2] for field in mount.split(","))
    unknown = [key for key in fields if key not in MOUNT_KEYS]
    if unknown or fields.get("type") != "bind":
        raise Refused(f'invalid argument "{mount}" for "--mount" flag: unexpected key {unknown}', 125)
    if not Path(fields["source"]).exists():
        message = f'invalid mount config for type "bind": bind source path does not exist: {fields["source"]}'
        raise Refused(f"docker: Error response from daemon: {message}", 125)


def kill(words: list[str]) -> int:
    (name,) = words
    home = HOME / f"{name}.container"
    if not home.exists():
        raise Refused(f"Error response from daemon: No such container: {name}", 1)
    pid = int(home.read_text())
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
    while Path(f"/proc/{pid}/stat").exists() and " Z " not in Path(f"/proc/{pid}/stat").read_text():
        time.sleep(0.002)
    home.unlink(missing_ok=True)
    return 0


def remove(words: list[str]) -> int:
    if words[0] != "--force":
        raise Refused("docker: 'docker rm' of another form than this stand-in knows", 1)
    return kill(words[1:]) if (HOME / f"{words[1]}.container").exists() else 0


def images() -> list[str]:
    return (HOME / "images").read_text().split()


def hash_of(text: str) -> int:
    return int.from_bytes(text.encode()[:32].ljust(32, b"\0"), "big")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
