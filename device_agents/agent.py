"""The agent's command line: `python agent.pyz COMMAND`, those of `_parser`. JSON on stdout, one object.

Everything lies under --workdir. A failure is `{"error": {...}}` with exit code 1.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any, Dict, List, Optional, Type, TypeVar

from device_agents.contract import (
    SCHEMA,
    Activation,
    BackendReport,
    ControlReport,
    JobSpec,
    ProbeReport,
    Reading,
    Release,
    Removal,
    SchemaViolation,
    dumps,
    from_json,
    loads,
    to_json,
)
from device_agents.errors import DeviceError, io_error

_OPTIONAL = {"--preparing": None, "--gpu": "", "--backend": "", "--put-back": "yes"}
T = TypeVar("T")


def main(argv: Optional[List[str]] = None) -> int:
    arguments = _parser().parse_args(argv)
    os.umask(0o077)
    try:
        answer = arguments.command(arguments)
    except DeviceError as error:
        return _fail(to_json(error.info))
    except SchemaViolation as error:
        return _fail({"code": "schema", "stage": "agent", "message": str(error), "where": "", "fix": ""})
    except OSError as error:
        return _fail(to_json(io_error(error, "agent", "")))
    if isinstance(answer, int):
        return answer
    print(dumps(answer))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="agent.pyz", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, function, options in (
        ("probe", _probe, ("--workdir", "--backend", "--gpu", "--put-back")),
        ("control", _control, ("--workdir", "--gpu")),
        ("run", _run, ("--workdir", "--timeout", "--preparing")),
        ("wait", _wait, ("--workdir", "--job", "--timeout", "--preparing")),
        ("cancel", _cancel, ("--workdir", "--job")),
        ("gc", _gc, ("--workdir", "--keep-days")),
        ("engines", _engines, ("--workdir",)),
        ("release", _release, ("--workdir",)),
        ("releases", _releases, ("--workdir",)),
        ("activate", _activate, ("--workdir",)),
        ("remove-release", _remove_release, ("--workdir",)),
        ("worker", _worker, ("--job", "--task", "--index", "--supervisor")),
        ("sampler", _sampler, ("--job", "--supervisor")),
    ):
        command = commands.add_parser(name)
        command.set_defaults(command=function)
        for option in options:
            default = _OPTIONAL.get(option)
            command.add_argument(option, required=option not in _OPTIONAL, default=default)
    return parser


def _probe(arguments: argparse.Namespace) -> ProbeReport:
    """What this device is, and what the named backends (comma between) find here. What a job left changed that was
    killed is put back first; in a container, which cannot, `--put-back no` leaves that to the host."""
    from device_agents import state
    from device_agents.system import System

    workdir, system = Path(arguments.workdir), System.here()
    workdir.mkdir(mode=0o700, parents=True, exist_ok=True)
    choice = _best(system, arguments.gpu)
    left = _put_back(workdir, system) if arguments.put_back == "yes" else {}
    if choice is not None:
        system = choice.seen(system)
        os.environ.update(choice.environment)  # before any backend is asked
    kind, identity, context = state.describe(system, choice)
    return ProbeReport(
        schema=SCHEMA,
        kind=kind,
        python=sys.executable or "python",
        workdir=str(workdir),
        free_bytes=shutil.disk_usage(str(workdir)).free,
        identity=identity,
        context={**context, **left},
        backends={name: _report(name) for name in arguments.backend.split(",") if name},
        gpus=choice.of if choice else (),
    )


def _best(system: Any, gpu: str) -> Any:
    """The GPU that a job would take; None where there is no choice."""
    from device_agents import gpus, state

    choices = gpus.choices(system, gpu) if state.detect_kind(system) == "nvidia_gpu" else []
    return choices[0] if choices else None


def _put_back(workdir: Path, system: Any) -> Dict[str, Reading]:
    """What came of it, to be shown. What cannot be put back keeps jobs from starting, not a look at the device."""
    from device_agents.control import holding

    mended, left = holding.recover(workdir, system)
    told = {"put_back": "; ".join(mended), "not_put_back": "; ".join(str(error) for error in left)}
    told["remedy"] = "; ".join(error.info.fix for error in left)
    return {name: Reading(text, "control") for name, text in told.items() if text}


def _control(arguments: argparse.Namespace) -> ControlReport:
    """What a job may change here."""
    from device_agents.control import knobs
    from device_agents.system import System

    system = System.here()
    choice = _best(system, arguments.gpu)
    return knobs.report(system if choice is None else choice.seen(system))


def _report(name: str) -> BackendReport:
    from device_agents import backends

    if name not in backends.names():
        known = ", ".join(backends.names())
        return BackendReport(Reading(unknown=f"the agent has no backend {name}; it has: {known}"), (), {})
    backend = backends.create(name)
    try:
        version = Reading(backend.look(), f"import {name}")
    except Exception as error:  # noqa: BLE001 - a broken runtime can raise anything, and the operator must see it
        version = Reading(unknown=f"{type(error).__name__}: {str(error)[:300]}")
    return BackendReport(
        version, backend.patterns, backend.options, backend.build_options,
        facts={} if version.unknown else _facts(backend), builds=backend.builds,
    )  # fmt: skip


def _facts(backend: Any) -> Dict[str, Any]:
    try:
        return dict(backend.facts())
    except Exception as error:  # noqa: BLE001 - as above; what it is missing costs no measurement
        return {"facts": Reading(unknown=f"{type(error).__name__}: {str(error)[:300]}")}


def _run(arguments: argparse.Namespace) -> Any:
    """Start the job whose spec is on stdin, detached, then wait for it as `wait` does. Starting twice is harmless.

    Waiting in the process that started it spares the device the start of another one beside the measurement.
    """
    from device_agents import jobs

    spec = _given(JobSpec)
    workdir, timeout_s = Path(arguments.workdir), float(arguments.timeout)
    started = jobs.start(workdir, spec)
    if timeout_s <= 0:
        return started
    return jobs.wait(workdir, spec.job, timeout_s, _preparing_s(arguments), began_here=True)


def _wait(arguments: argparse.Namespace) -> Any:
    from device_agents import jobs

    timeout_s, preparing_s = float(arguments.timeout), _preparing_s(arguments)
    return jobs.wait(Path(arguments.workdir), arguments.job, timeout_s, preparing_s)


def _preparing_s(arguments: argparse.Namespace) -> Optional[float]:
    return None if arguments.preparing is None else float(arguments.preparing)


def _cancel(arguments: argparse.Namespace) -> Any:
    from device_agents import jobs

    return jobs.cancel(Path(arguments.workdir), arguments.job)


def _engines(arguments: argparse.Namespace) -> Dict[str, Any]:
    """The manifests of the engines that were built here, newest first."""
    from device_agents.engines import Engines

    return {"engines": [to_json(report) for report in Engines(Path(arguments.workdir)).all()]}


def _release(arguments: argparse.Namespace) -> Any:
    """Keep what the manifest on stdin describes, of what is here already."""
    from device_agents import releases

    return releases.make(Path(arguments.workdir), _given(Release))


def _releases(arguments: argparse.Namespace) -> Any:
    from device_agents import releases

    return releases.listed(Path(arguments.workdir))


def _activate(arguments: argparse.Namespace) -> Any:
    """Make current what stdin names, and run its hook."""
    from device_agents import releases

    return releases.activate(Path(arguments.workdir), _given(Activation))


def _remove_release(arguments: argparse.Namespace) -> Any:
    from device_agents import releases

    return releases.remove(Path(arguments.workdir), _given(Removal))


def _given(kind: Type[T]) -> T:
    """What stdin holds. Errors: SchemaViolation."""
    return from_json(kind, loads(sys.stdin.buffer.read()))


def _worker(arguments: argparse.Namespace) -> int:
    from device_agents import worker

    if arguments.supervisor == worker.STDIN:
        worker.die_with_stdin()
    else:
        worker.die_with(int(arguments.supervisor))
    return worker.main(Path(arguments.job), arguments.task, int(arguments.index))


def _sampler(arguments: argparse.Namespace) -> int:
    from device_agents import sampler, worker

    worker.die_with(int(arguments.supervisor))
    return sampler.main(Path(arguments.job), int(arguments.supervisor))


def _gc(arguments: argparse.Namespace) -> Dict[str, Any]:
    """Remove what nothing has touched for --keep-days: ended jobs, artifacts, agents, cut uploads."""
    from device_agents import garbage

    workdir = Path(arguments.workdir)
    removed = garbage.collect(workdir, float(arguments.keep_days))
    return {"removed": removed, "free_bytes": shutil.disk_usage(str(workdir)).free}


def _fail(error: Dict[str, Any]) -> int:
    print(json.dumps({"error": error}))
    return 1


if __name__ == "__main__":
    sys.exit(main())
