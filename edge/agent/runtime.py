"""Where the agent of a device runs: from a Device and an argv of the agent to the argv that is run on it.

A job's supervisor, and whatever only reads files, runs on the host's own Python; what needs the runtime (a look at the
backends, each worker of a job) runs in the device's container, where it has one. See docs/adr/0012.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import PurePosixPath

from device_agents.contract import Container, ProbeReport, Reading
from edge.inventory.devices import Device
from edge.inventory.runtime_keys import ContainerKey
from edge.transport.base import Completed
from profiles.errors import RunError

_PYTHONS = ("/usr/bin/python3", "python3")  # on a Jetson the runtime belongs to the system's
_CONTAINER_PYTHON = "python3"
_SETUP_FAILED = "edgebench: setup failed"
_SETUP = '{{ {text}\n}} </dev/null >&2 || {{ echo "{failed} ($?)" >&2; exit 99; }}; exec "$@"'
_TOOLKIT = "sudo apt install nvidia-container-toolkit"
_LOOK = 'id -u && id -g && exec "$@"'

_OF_PYTHON = ("python", "os")
_OF_RUNTIME = ("cudart", "trtexec", "tensorrt_module", "virtual_environment")

NEVER_STARTED = ("setup", "container", "no_gpu")
"""Codes of errors after which no other interpreter need be tried."""

CONTAINER_SEES = "container_sees"
"""In the context of a probe: the kind of device that it is from inside its container."""

# What an engine says, and what mends it; {engine}, {image}, {device} are filled in.
_TROUBLES: tuple[tuple[str, str, str], ...] = (
    (r"not found|No such file or directory: ", "{engine} is not there", "install {engine} there"),
    (
        r"permission denied.*(daemon|docker\.sock)", "the user may not talk to Docker's daemon",
        'sudo usermod -aG docker "$USER", then log in anew; or engine = "podman" for {device} in fleet.toml',
    ),
    (r"[Cc]annot connect to the Docker daemon", "Docker's daemon does not run", "sudo systemctl start docker"),
    (r"(?i)no such image|image not known", "the image {image} is not there", "{engine} pull {image}"),
    (
        r"could not select device driver|unknown or invalid runtime name", "Docker knows no NVIDIA runtime",
        f"{_TOOLKIT} && sudo nvidia-ctk runtime configure --runtime=docker && sudo systemctl restart docker",
    ),
    (
        r"(?i)unresolvable CDI device|stat nvidia\.com/gpu", "{engine} does not know the GPUs (no CDI description)",
        f"{_TOOLKIT} && sudo nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml",
    ),
    (
        r"nv_tegra_release", "the host is no Jetson: it has no /etc/nv_tegra_release",
        "name another `profile =` of {device} in fleet.toml",
    ),
)  # fmt: skip


def host_pythons(device: Device) -> tuple[str, ...]:
    """The host's interpreters that are tried for the agent, in this order. They need no packages of a runtime."""
    if device.container is None and device.python:
        return (device.python,)
    if device.is_local:
        return (sys.executable,)
    return tuple(dict.fromkeys((device.profile.python or _PYTHONS[0], *_PYTHONS)))


def pythons(device: Device) -> tuple[str, ...]:
    """The interpreters that are asked for backends: the one that fleet.toml names, or its profile's and the usual ones;
    in a container, that one's."""
    return host_pythons(device) if device.container is None else (device.python or _CONTAINER_PYTHON,)


def shown(device: Device, python: str) -> str:
    """An interpreter, and where it is, for messages."""
    return python if device.container is None else f"{python} in {device.container.shown}"


def on_host(device: Device, argv: Sequence[str]) -> list[str]:
    """`argv` as it is run on the host: with `env`, which is a container's own where there is one, after `setup`."""
    settings = () if device.container else device.env
    command = ["env", *(f"{name}={value}" for name, value in settings), *argv] if settings else list(argv)
    if device.setup is None:
        return command
    return ["sh", "-c", _SETUP.format(text=device.setup, failed=_SETUP_FAILED), "sh", *command]


def look_at_image(device: Device, key: ContainerKey) -> list[str]:
    """What prints the user's number, the group's, and the image's id: before anything is started in it."""
    engine = [key.engine, "image", "inspect", "--format", "{{.Id}}", key.image]
    return on_host(device, ["sh", "-c", _LOOK, "sh", *engine])


def container(device: Device, key: ContainerKey, looked: str, workdir: PurePosixPath, python: str) -> Container:
    """The container of a device, its working folder at the same path as on the host. `looked` is what `look_at_image`
    printed. Our own options come first, and step back where `args` has one of the kind."""
    user, group, image = looked.split()[-3:]
    options = [f"--mount=type=bind,source={workdir},target={workdir}"]
    ours: list[tuple[tuple[str, ...], list[str]]] = [(("--network", "--net"), ["--network=none"])]
    if key.engine == "docker":  # podman without root maps its root to the user
        ours.append((("--user", "-u"), [f"--user={user}:{group}"]))
    ours.append((("--gpus", "--device", "--runtime"), _gpu_options(device, key.engine)))
    for names, words in ours:
        if not any(word.partition("=")[0] in names for word in key.args):
            options += words
    options += [*key.args, *(f"--env={name}={value}" for name, value in device.env)]
    facts = {
        "container_image": Reading(key.image, "fleet.toml"),
        "container_image_id": Reading(image, f"{key.engine} image inspect"),
    }
    return Container(key.engine, key.image, python, tuple(options), facts)


def _gpu_options(device: Device, engine: str) -> list[str]:
    """How an engine hands on all GPUs; the worker is pinned to its own. A Jetson is known by a file of its own."""
    kind = device.profile.kind
    if kind == "cpu":
        return []
    tegra = "--mount=type=bind,source=/etc/nv_tegra_release,target=/etc/nv_tegra_release,readonly"
    own = [tegra] if kind == "jetson" else []
    if engine == "podman":
        return [*own, "--device=nvidia.com/gpu=all", "--security-opt=label=disable"]
    return [*own, "--runtime=nvidia"] if kind == "jetson" else ["--gpus=all"]


def merged(host: ProbeReport, inside: ProbeReport, within: Container) -> ProbeReport:
    """What a device with a container is: the host, whose supervisor reads it, with what the container has instead."""
    own = {name: inside.identity[name] for name in _OF_PYTHON if name in inside.identity}
    seen = {name: inside.context[name] for name in _OF_RUNTIME if name in inside.context}
    return replace(
        host,
        python=inside.python,
        identity={**host.identity, **own, **within.identity},
        context={**host.context, **seen, CONTAINER_SEES: Reading(inside.kind, within.image)},
        backends=inside.backends,
    )


def told_of(within: Container, probe: ProbeReport) -> Container:
    """The container as a job is given it, with what its probe told of the Python there."""
    return replace(within, identity={**within.identity, **{name: probe.identity[name] for name in _OF_PYTHON}})


def trouble(device: Device, done: Completed) -> RunError | None:
    """Why a command of ours never came to the agent: its setup or its container. None where that is not to be seen."""
    said = done.stderr.decode("utf-8", "replace").strip().splitlines()
    for index, line in enumerate(said):
        if line.startswith(_SETUP_FAILED):
            return _setup_failed(device, said[index - 1] if index else line)
    key = device.container
    if key is None or done.ok:
        return None
    text = " ".join(said)
    fill: Callable[[str], str] = lambda form: form.format(engine=key.engine, image=key.image, device=device.name)  # noqa: E731
    for pattern, message, fix in _TROUBLES:
        if re.search(pattern, text):
            return _container_error(device, f"{fill(message)} ({done.complaint})", fill(fix))
    if done.returncode == 125 or not done.stdout.strip():
        fix = f"try it there: {key.engine} run --rm {key.image} {device.python or _CONTAINER_PYTHON} --version"
        return _container_error(device, f"{key.engine} does not start {key.image} ({done.complaint})", fix)
    return None


def unanswered(device: Device, key: ContainerKey, done: Completed) -> RunError:
    """Why the engine told nothing of the image."""
    said = trouble(device, done)
    return said or _container_error(device, f"{key.engine} does not answer ({done.complaint})", f"{key.engine} info")


def _setup_failed(device: Device, line: str) -> RunError:
    fix = f"mend `setup =` of {device.name} in fleet.toml"
    if "module" in line and "not found" in line:  # a function that a login shell has and `sh -c` lacks
        fix = f'setup = ". /etc/profile.d/modules.sh && {device.setup}" for {device.name} in fleet.toml'
    error = RunError(f"its setup failed ({line.strip()[:300]})", where=device.name, stage="probe", fix=fix)
    error.code = "setup"
    return error


def _container_error(device: Device, message: str, fix: str) -> RunError:
    error = RunError(message, where=device.name, stage="probe", fix=fix)
    error.code = "container"
    return error
