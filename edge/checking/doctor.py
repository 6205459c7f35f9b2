"""What keeps a device from doing its job, and the command that mends it: judged from what its probe told.

A check is a function from a patient to findings; `CHECKS` lists them. What is to be installed, remedies.py says.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from device_agents.formats import l4t
from device_agents.formats.nvidia_smi import NO_PROCESS
from edge.agent.runtime import CONTAINER_SEES, pythons, shown
from edge.agent.serials import another_board, cure
from edge.checking.patient import Finding, Patient, Severity, numbers
from edge.checking.remedies import OLDEST_DRIVER, install, install_cudart, install_onnxruntime, new_driver
from edge.inventory.devices import Device
from edge.planning.control import LOCK_CLOCKS, PERSISTENCE, POWER_MODE
from profiles.errors import EdgebenchError

SPACE_STOPS = 500_000_000
"""Bytes free in the working folder below which an artifact, its engine and a job have no room."""

SPACE_NOTE = 2_000_000_000
MEMORY_SPOILS = 1_000_000_000
CLOCK_OFF_S = 300.0


def examine(patient: Patient) -> tuple[Finding, ...]:
    """Every finding, those that stop the device first."""
    order = list(Severity)
    found = [finding for check in CHECKS for finding in check(patient)]
    return tuple(sorted(found, key=lambda finding: order.index(finding.severity)))


def unanswered(device: Device, error: EdgebenchError) -> tuple[Finding, ...]:
    """The finding of a device that could not be asked: its own error."""
    if "is older than 3.8" in error.message and device.container is None:
        command = f'sudo apt install python3.8; then python = "/usr/bin/python3.8" for {device.name} in fleet.toml'
        return (Finding("old_python", Severity.STOPS, "no Python there is 3.8 or newer", error.message, command),)
    return (Finding(error.code, Severity.STOPS, error.message, error.where, error.fix),)


def healthy(findings: Iterable[Finding]) -> bool:
    return all(finding.severity is not Severity.STOPS for finding in findings)


Check = Callable[[Patient], Iterable[Finding]]

_JETSON_CONTAINER = "in a container: start it with --runtime nvidia -v /etc/nv_tegra_release:/etc/nv_tegra_release:ro"


def _profile(patient: Patient) -> Iterable[Finding]:
    device = patient.device
    if device.profile.kind in (patient.kind, "cpu"):
        return
    what = f"its profile {device.profile.name} is for a {device.profile.kind}, it looks like a {patient.kind}"
    another = f"name another `profile =` of {device.name} in fleet.toml"
    if device.profile.kind == "jetson":  # no board is without that file, and no package for servers mends one
        another = f"{_JETSON_CONTAINER}; else {another}"
    if patient.kind == "cpu":
        why = "there is no /etc/nv_tegra_release and no /dev/nvidiactl, and nvidia-smi names no GPU"
        server = f"{new_driver(patient, max(OLDEST_DRIVER))}; in a container: start it with --gpus all"
        command = another if device.profile.kind == "jetson" else server
        yield Finding("no_gpu", Severity.STOPS, what, why, command)
        return
    why = "another profile's peaks and expectations judge its figures"
    yield Finding("profile", Severity.SPOILS, what, why, another)


def _board(patient: Patient) -> Iterable[Finding]:
    what = another_board(patient.device, patient.any.probe)
    if what:
        yield Finding("board", Severity.STOPS, what, "nothing is measured on it", cure(patient.device))


def _container(patient: Patient) -> Iterable[Finding]:
    """A container that is not given the GPU that its host has."""
    key, sees = patient.device.container, patient.reading(CONTAINER_SEES).value
    if key is None or not patient.on_gpu or sees == patient.kind:
        return
    what = f"the host is a {patient.kind}, {key.image} sees a {sees}"
    why = "a worker there would find no GPU"
    option = {"docker": "--gpus=all", "podman": "--device=nvidia.com/gpu=all"}[key.engine]
    if patient.kind == "jetson" and key.engine == "docker":
        option = "--runtime=nvidia"
    command = f'args = ["{option}"] in `container =` of {patient.device.name} in fleet.toml, or its profile\'s default'
    yield Finding("container_gpu", Severity.STOPS, what, why, command)


def _silent_driver(patient: Patient) -> Iterable[Finding]:
    reading = patient.reading("gpu_driver_version")
    if patient.kind == "nvidia_gpu" and patient.on_gpu and reading.unknown is not None:
        what, command = "nvidia-smi tells no driver", "nvidia-smi says why; after an update of the driver: sudo reboot"
        yield Finding("no_driver", Severity.STOPS, what, reading.unknown, command)


def _runtimes(patient: Patient) -> Iterable[Finding]:
    if patient.kind == "cpu" != patient.device.profile.kind:
        return  # what to install depends on the GPU and the driver that nobody sees yet
    wanted, there = patient.wanted, patient.first_running
    missing = [name for name in wanted if not patient.runs(name)]
    for name in missing:
        if there is not None and wanted.index(name) > wanted.index(there):
            continue  # it would not be chosen anyway
        if name == "trtexec" and "tensorrt" in missing:
            continue  # it stands in for the module, which is what to install
        if there:
            severity, what = Severity.SPOILS, f"{name} does not run; {there} does, and would be measured instead"
        elif name == wanted[0]:
            severity, what = Severity.STOPS, f"{name} does not run, nor does what could take its place"
        else:  # one of them is enough
            severity, what = Severity.NOTE, f"{name} does not run either; it could take the place of {wanted[0]}"
        yield Finding(f"no_{name}", severity, what, _asked(patient, name), install(patient, name))


def _asked(patient: Patient, backend: str) -> str:
    found = patient.found[backend]
    device = patient.device
    tried = ", ".join(shown(device, python) for python in pythons(device))
    return f"tried {tried}; {found.python} ({found.version}): {found.report.version.unknown}"


def _gpu_provider(patient: Patient) -> Iterable[Finding]:
    if not patient.on_gpu or not patient.runs("onnxruntime"):
        return
    providers = patient.fact("onnxruntime", "providers")
    if providers.value is not None and "cuda" not in str(providers.value).split():
        what = "its onnxruntime has no CUDA provider: it would measure the processor"
        why = f"it has: {providers}"
        yield Finding("no_provider", _weight(patient, "onnxruntime"), what, why, install_onnxruntime(patient))


def _weight(patient: Patient, backend: str) -> Severity:
    """Of what keeps a backend from the GPU that imports nevertheless."""
    return Severity.STOPS if patient.first_running == backend else Severity.NOTE


def _cuda_runtime(patient: Patient) -> Iterable[Finding]:
    reading = patient.reading("cudart")
    if not patient.on_gpu or reading.unknown is None:
        return
    severity = Severity.SPOILS if patient.runs("trtexec") else Severity.STOPS  # which has its own inside
    what = "the CUDA runtime (libcudart) was not found"
    yield Finding("no_cudart", severity, what, reading.unknown, install_cudart(patient))


def _driver(patient: Patient) -> Iterable[Finding]:
    beyond = [want for want in _wants(patient) if _too_old(patient, want[1])]
    newest = max((cuda for _, cuda, _ in beyond), default=0)  # one driver serves all
    for who, cuda, severity in beyond:
        why = f"{who} is of CUDA {cuda}"
        if patient.kind == "jetson":
            own = patient.cuda or str(patient.driver_cuda)
            what = f"its driver, part of L4T {patient.value('l4t')}, is for CUDA {own}"
            command = f"sudo apt install cuda-cudart-{own.replace('.', '-')}, or CUDA {cuda}'s cuda-compat package"
        else:
            least = ".".join(f"{number:02}" for number in OLDEST_DRIVER[cuda][0])
            driver = patient.value("gpu_driver_version")
            what = f"the driver {driver} is too old for CUDA {cuda}: it has to be {least} or newer"
            command = new_driver(patient, newest)
        yield Finding("old_driver", severity, what, why, command)


def _too_old(patient: Patient, cuda: int) -> bool:
    """Whether the driver does not know a major CUDA; minor ones do not matter. CUDA's own answer counts, as a
    cuda-compat package makes it know more than its number says."""
    if cuda not in OLDEST_DRIVER:
        return False
    own = patient.driver_cuda or (patient.cuda if patient.kind == "jetson" else None)
    if own:
        return numbers(own)[0] < cuda
    return patient.kind == "nvidia_gpu" and bool(patient.driver) and patient.driver < OLDEST_DRIVER[cuda][0]


def _wants(patient: Patient) -> Iterable[tuple[str, int, Severity]]:
    """What wants which CUDA there."""
    if not patient.on_gpu:
        return
    loaded = patient.fact("tensorrt", "cudart")  # of several the agent takes one that the driver knows
    runtime = loaded if loaded.unknown is None else patient.reading("cudart")
    if runtime.value is not None and numbers(str(runtime.value)):
        yield str(runtime.source), numbers(str(runtime.value))[0], Severity.STOPS
    built = patient.fact("onnxruntime", "built_for_cuda").value
    if built is not None and numbers(str(built)):
        yield "onnxruntime", numbers(str(built))[0], _weight(patient, "onnxruntime")


def _space(patient: Patient) -> Iterable[Finding]:
    probe = patient.any.probe
    if probe.free_bytes >= SPACE_NOTE:
        return
    severity = Severity.STOPS if probe.free_bytes < SPACE_STOPS else Severity.NOTE
    what = f"{probe.free_bytes / 1e6:.0f} MB are free in {probe.workdir}"
    needs = f"{SPACE_STOPS / 1e6:.0f} MB at least, several models {SPACE_NOTE / 1e9:.0f} GB"
    why = f"a model, its engines and a job need {needs}"
    command = f"sudo apt clean; or set `workdir =` of {patient.device.name} in fleet.toml to a larger disk"
    yield Finding("no_space", severity, what, why, command)


def _memory(patient: Patient) -> Iterable[Finding]:
    free = patient.number("memory_free_bytes")
    if free is None or free >= MEMORY_SPOILS:
        return
    shared = patient.kind == "jetson"
    why = "the GPU shares it: building an engine fails or swaps" if shared else "loading a model fails or swaps"
    command = "sudo systemctl isolate multi-user.target" if shared else "ps aux --sort=-rss | head"
    yield Finding("low_memory", Severity.SPOILS, f"{free / 1e6:.0f} MB of memory are free", why, command)


def _power_mode(patient: Patient) -> Iterable[Finding]:
    wanted, reading = patient.device.expected_power_mode, patient.reading("power_mode")
    if wanted is None or patient.kind != "jetson" or reading.value == wanted:
        return
    modes = str(patient.value("power_modes") or "")
    number = l4t.power_mode_id(modes, wanted)
    if modes and number is None:
        what, names = f"this board has no power mode {wanted}", re.sub(r"\d+:", "", modes)
        mode = reading.value or names.split()[0]
        command = f'power_mode = "{mode}" for {patient.device.name} in fleet.toml, or another of: {names}'
        yield Finding("wrong_power_mode", Severity.SPOILS, what, f"it has: {names}", command)
        return
    command = f"sudo nvpmodel -m {'ID' if number is None else number}"
    if number is None:
        command += f" (the ID of {wanted} in /etc/nvpmodel.conf)"
    if reading.value is None:
        yield Finding("power_mode", Severity.NOTE, "its power mode is not known", str(reading.unknown), command)
        return
    what = f"its power mode is {reading.value}, {wanted} is expected"
    why = "the verdict would be INVALID wrong_power_mode; the change may ask for a reboot"
    yield Finding("wrong_power_mode", Severity.SPOILS, what, why, command)


def _foreign_work(patient: Patient) -> Iterable[Finding]:
    if not patient.on_gpu:
        return
    running = patient.value("gpu_processes")
    if running not in (None, NO_PROCESS):
        pids = ",".join(re.findall(r"(?:^|, )(\d+)", str(running)))
        what = f"something else is on the GPU: {running}"
        why = "it takes time and memory from what is measured"
        yield Finding("foreign_work", Severity.SPOILS, what, why, f"ps -fp {pids}, and stop what need not run")
    busy, limit = patient.number("gpu_busy_share"), patient.device.profile.thresholds.foreign_work
    if busy is not None and busy > limit:
        what, why = f"the GPU is {busy:.0%} busy", f"the verdict would be INVALID foreign_work above {limit:.0%}"
        yield Finding(
            "foreign_work", Severity.SPOILS, what, why, "sudo fuser -v /dev/nvmap, and stop what need not run"
        )


def _clocks(patient: Patient) -> Iterable[Finding]:
    low, high = patient.number("gpu_clock_min_hz"), patient.number("gpu_clock_max_hz")
    if low is not None and high is not None and low < high:
        what = f"the GPU's clock floats between {low / 1e6:.0f} and {high / 1e6:.0f} MHz"
        why = "figures vary less when it is locked, until the next boot or power mode"
        yield Finding("clocks_floating", Severity.NOTE, what, why, "sudo jetson_clocks")
    if patient.value("gpu_persistence_mode") == "Disabled":
        what, why = "persistence mode is off", "the driver unloads between processes: each starts slowly, clocks reset"
        yield Finding("persistence", Severity.NOTE, what, why, "sudo nvidia-smi -pm 1")


def _clock(patient: Patient) -> Iterable[Finding]:
    told, (earliest, latest) = patient.number("clock_unix_s"), patient.asked
    off_s = 0.0 if told is None else told - min(max(told, earliest), latest)
    if abs(off_s) > CLOCK_OFF_S:
        what = f"its clock is {abs(off_s):.0f} s {'ahead of' if off_s > 0 else 'behind'} ours"
        why = "its results carry wrong times, and apt and pip may refuse certificates"
        yield Finding("clock", Severity.NOTE, what, why, "sudo timedatectl set-ntp true")


_SPARE_JOBS = (
    "sudo mkdir -p /etc/systemd/logind.conf.d && printf '[Login]\\nKillUserProcesses=no\\n' | "
    "sudo tee /etc/systemd/logind.conf.d/zz-edgebench.conf && sudo systemctl restart systemd-logind"
)


def _kills_jobs(patient: Patient) -> Iterable[Finding]:
    """Lingering would not mend it: see device_agents/logind.py."""
    reading = patient.reading("kills_jobs")
    if reading.value is True and not patient.device.is_local:
        what = "logind kills a measurement that goes on when its connection is lost"
        yield Finding("kills_jobs", Severity.NOTE, what, f"KillUserProcesses=yes in {reading.source}", _SPARE_JOBS)


def _left(patient: Patient) -> Iterable[Finding]:
    """What a job that was killed had changed, and nobody was left to put back. The probe itself has tried."""
    contexts = [found.probe.context for found in patient.found.values()]
    for context in contexts:
        if "not_put_back" in context:
            what, remedy = str(context["not_put_back"].value), str(context["remedy"].value)
            yield Finding("not_put_back", Severity.STOPS, what, "no job is begun there until it is", remedy)
            return
    for context in contexts:
        if "put_back" in context:
            yield Finding("put_back", Severity.NOTE, str(context["put_back"].value), "", "")
            return


_OPTIONS = {"lock_clocks": LOCK_CLOCKS, "power_mode": POWER_MODE, "persistence": PERSISTENCE}


def _control(patient: Patient) -> Iterable[Finding]:
    """Which knobs can be turned there, and what is missing for it."""
    report = patient.control
    if report is None or not report.knobs or not patient.on_gpu:
        return
    there = [option for name, option in _OPTIONS.items() if report.knobs.get(name) == ""]
    absent = [f"{_OPTIONS[name]}: {why}" for name, why in report.knobs.items() if why and name in _OPTIONS]
    mend = [report.folder] if report.folder else []
    mend += [f"sudo visudo -f /etc/sudoers.d/edgebench, and add: {report.rule}"] if report.rule else []
    able = f"{', '.join(there)} can be asked for" if there else "nothing of it can be changed for a measurement"
    what = f"{able}, once sudo lets its user" if mend else able
    yield Finding("control", Severity.NOTE, what, "; ".join(absent), "; then ".join(mend))


def _recorded(patient: Patient) -> Iterable[Finding]:
    reading = patient.reading("recorded_system")
    if reading.value is not None:
        what = f"this is no device but a recorded one, read from {reading.value}"
        command = f"unset {reading.source} on it"
        yield Finding("recorded", Severity.NOTE, what, "its readings are stand-ins", command)


CHECKS: tuple[Check, ...] = (
    _board, _profile, _container, _silent_driver, _runtimes, _gpu_provider, _cuda_runtime, _driver, _space, _memory,
    _power_mode, _foreign_work, _clocks, _clock, _kills_jobs, _left, _control,
    _recorded,
)  # fmt: skip
