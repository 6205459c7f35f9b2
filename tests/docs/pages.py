"""What each page takes for granted before its first command, and where a command is not what it says here: names of its
reader's own (measurements, users), networks that take minutes, and what other tests run already."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.docs.lab import TENSORRT, Lab
from tests.labelled import pictures
from tests.operator import write_model

MODEL = "edgebench export resnet18 --framework pytorch --weights random --precision fp32"
NIGHTLY = """\
models = ["resnet18"]
frameworks = ["pytorch"]
precisions = ["fp32"]
weights = "random"
batches = [1]
devices = "{devices}"
"""
SMALLER = {
    r"\b(?:resnet50|vit_b_16|mobilenet_v3_large)\b(?!\.)": "resnet18",
    r"torchvision:retinanet_resnet50_fpn": "torchvision:ssdlite320_mobilenet_v3_large",
}
"""Networks that take minutes are others of their kind here."""

_NAMES_MEASUREMENTS = ("edgebench compare ", "edgebench results show", "edgebench results export")


@dataclass(frozen=True)
class Page:
    """`fleet` are the devices of its fleet file, `hosts` those that are there besides (`known`: to ssh, too), `files`
    by name, `models` small networks, `photos` and `labelled` folders of images, `before` lines that are typed first;
    `instead` are patterns and what they are here; `ends` exit codes other than 0 and 4 (INVALID, or refused by a gate);
    `elsewhere` is the test that runs a line, `FILE::NAME`."""

    fleet: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    known: bool = False
    files: Mapping[str, str] = field(default_factory=dict)
    models: tuple[str, ...] = ()
    photos: tuple[str, ...] = ()
    labelled: tuple[str, ...] = ()
    before: tuple[str, ...] = ()
    instead: Mapping[str, str] = field(default_factory=dict)
    ends: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    elsewhere: Mapping[str, str] = field(default_factory=dict)

    def begin(self, lab: Lab) -> None:
        for name in self.hosts:
            lab.host(name, known=self.known)
        if self.fleet:
            lab.fleet(*self.fleet)
        for name, text in self.files.items():
            (lab.home / name).parent.mkdir(parents=True, exist_ok=True)
            (lab.home / name).write_text(text)
        for name in self.models:
            write_model(lab.home / name, classes=10)
        for name in self.photos:
            pictures(lab.home / name)
        for name in self.labelled:
            for number, file in enumerate(pictures(lab.home / name)):
                kind = lab.home / name / str(number % 3)
                kind.mkdir(exist_ok=True)
                file.rename(kind / file.name)
        for line in self.before:
            code, said = lab.run(line)
            assert code in (0, 4), f"before the page: {line}\n{said}"


def commands_of(path: Path) -> list[str]:
    """In the order of the page, each once, without comments and `&`."""
    blocks = path.read_text().split("```")[1::2]
    lines = [line.strip().removeprefix("$ ") for block in blocks for line in block.splitlines()]
    found = [line.partition("  #")[0].rstrip("& ") for line in lines if line.startswith("edgebench ")]
    return list(dict.fromkeys(found))


def as_here(line: str, page: Page, lab: Lab) -> str:
    """The line with names of this lab. A page that makes its fleet file anew begins without one."""
    for pattern, here in {**page.instead, **SMALLER}.items():
        line = re.sub(pattern, here, line)
    if re.match(r"edgebench init \S", line) or "--write fleet.toml" in line:
        (lab.home / "fleet.toml").unlink(missing_ok=True)
    account = next((server.user for server in lab.hosts.values()), "")
    line = re.sub(r"--user \w+", f"--user {account}", line)
    line = re.sub(r"\bops@", f"{account}@", line)
    line = line.replace(" --key ~/.ssh/lab", "")
    if re.match(r"edgebench (?:deploy|export|best|compare --live) .*\bresnet18\b", line) and "--weights" not in line:
        line += " --weights random"  # published ones would have to be downloaded
    if line.startswith(_NAMES_MEASUREMENTS):
        line = _with_measurements(line, lab)
    return re.sub(r"--run \d{8}t", f"--run {_newest_run(lab)}", line) if "--run " in line else line


def _with_measurements(line: str, lab: Lab) -> str:
    """Ids of the reader's measurements are those of the lab's, of both frameworks where these are compared."""
    words = re.findall(r"\b(?:ID|[0-9a-f]{4,8})\b", line)
    if not words:
        return line
    rows = lab.json("edgebench results list")["measurements"]
    if "--across framework" in line:
        rows = [next(row for row in rows if row["framework"] == name) for name in ("pytorch", "tensorflow")]
    for word, row in zip(words, rows, strict=False):
        line = re.sub(rf"\b{word}\b", row["id"][:8], line, count=1)
    return line


def _newest_run(lab: Lab) -> str:
    return str(lab.json("edgebench results list --last 1")["measurements"][0]["run"])


_DEPLOY = "edgebench deploy resnet18 --framework pytorch --weights random --precision fp32 --quick --device"
_BOTH = "edgebench deploy resnet18 --framework all --weights random --precision fp32 --quick --device"
_TLS = "tests/cluster/test_cluster.py::test_tls_lets_in_who_has_a_certificate_of_the_same_authority"
_FILES = "--tls-ca-file ca.pem --tls-cert cert.pem --tls-key key.pem"
_ON_TLS = f"edgebench sweep nightly.toml --scheduler tls://HOST:8786 {_FILES}"
_KILLED = "tests/faults/test_sweep_faults.py::test_a_sweep_that_is_killed_again_and_again_measures_every_cell_once"
_REFERENCE = f"""{sys.executable} -c '
import numpy, onnxruntime
session = onnxruntime.InferenceSession("net.onnx")
(input,), (output,) = session.get_inputs(), session.get_outputs()
images = numpy.random.default_rng(0).random((4, 3, 32, 32), numpy.float32)
numpy.savez("io.npz", **{{input.name: images, output.name: session.run(None, {{input.name: images}})[0]}})'"""
_STOPS = (0, 1)  # a host of stand-ins has no CUDA, and the doctor says so
_ORINS = ("orin-1", "orin-2")
_EVENING = NIGHTLY.format(devices="board-1")
_DATASHEET = """\
[source]
title = "Datasheet of the camera, revision 3"
url = "https://example.com/camera.pdf"
read = "2026-11-26"

[[claims]]
id = "one"
sentence = "It takes 2 ms"
measure = "latency_mean_ms"
value = 2
unit = "ms"
conditions = { model = "resnet18", precision = "fp32", batch = 1 }
"""
_HOSTS_INI = "[orins]\norin-1 ansible_host=10.0.0.21 ansible_user=nvidia\n[hosts]\na100-1 ansible_host=a100-1.example\n"
_SITES = "[site_b]\norin-2 ansible_host=10.0.0.22\n[site_a]\norin-1 ansible_host=10.0.0.21\n"
_NETS = "import torchvision\n\n\ndef small():\n    return torchvision.models.squeezenet1_1(weights=None)\n"

BY_PAGE = {
    "README.md": Page(
        fleet=("board",),
        hosts=_ORINS,
        files={"nightly.toml": NIGHTLY.format(devices="orin"), "tensorrt": TENSORRT},
        instead={
            "resnet50 vit_b_16": "resnet18",
            "(edgebench compare --live .*)": r"\1 --rounds 2",
            "(edgebench compare latest~1 latest)": rf"{_DEPLOY} orin-1 && {_DEPLOY} orin-1 --fresh && \1",
            "(edgebench compare --baseline main.tar.gz .*)": r"edgebench results bundle main.tar.gz --last 1 && \1",
            "(.* --release) v7 --require 'p99<33ms' (.*)": r"\1 v6 \2 && \1 v7 \2",  # so few samples support no p99
        },
        elsewhere={"edgebench init": "tests/ssh/test_init.py::test_questions_lead_to_a_fleet_that_works"},
    ),
    "ci.md": Page(before=(_DEPLOY + " local", "edgebench results bundle baseline.tar.gz --last 1")),
    "claims.md": Page(
        fleet=("orin-1", "a100-1"),
        files={"datasheet.toml": _DATASHEET},
        before=(_BOTH + " orin",),
        instead={r"(sweep article .*)": r"\1 --dry-run"},  # measured, it takes a quarter of an hour: docs/article.md
    ),
    "comparing.md": Page(
        fleet=("orin-1",),
        files={"nightly.toml": NIGHTLY.format(devices="orin")},
        models=("digits.onnx",),
        before=(
            _BOTH + " orin",
            "edgebench sweep nightly.toml",
            _BOTH + " orin",
            "edgebench results bundle main.tar.gz --last 2",
        ),
    ),
    "control.md": Page(fleet=("orin-1", "a100-1"), instead={"MODE_30W": "MODE_15W"}),  # the board's other mode
    "exporting.md": Page(
        fleet=("orin-1",), files={"nets.py": _NETS}, models=("net.onnx",), photos=("photos",), before=(_REFERENCE,)
    ),
    "fleet.md": Page(
        hosts=("orin-1", "orin-2", "orin-7", "a100-1", "a100-2", "bastion"),
        known=True,
        files={"hosts.ini": _HOSTS_INI, "inventory/hosts.ini": _SITES},
        before=(MODEL,),
        elsewhere={_ON_TLS: _TLS},
    ),
    "frameworks.md": Page(
        fleet=("orin-1", "a100-1"),
        instead={"max-autotune": "default"},  # on a processor it searches for minutes
    ),
    "a100-host.md": Page(
        hosts=("a100-1",),
        files={"tensorrt": TENSORRT},
        instead={"(.* --device a100-1:0)": r"echo 'gpus = [0]' >> fleet.toml && \1"},
        ends={"edgebench devices doctor a100-1": _STOPS},
    ),
    "bastion.md": Page(hosts=("orin-1", "bastion-a")),
    "dask.md": Page(fleet=("orin-1",), elsewhere={_ON_TLS: _TLS}),
    "first-jetson.md": Page(hosts=("orin-1",), ends={"edgebench devices doctor orin-1": _STOPS}),
    "int8.md": Page(fleet=("orin-1",), photos=("photos", "others"), labelled=("labelled",)),
    "mixed-tensorrt.md": Page(fleet=_ORINS),
    "interop.md": Page(
        fleet=("orin-1",),
        before=(
            _BOTH + " local",
            "edgebench results export --last 1 --format trtexec-times --out times.json",
            "edgebench results export --last 1 --format optimum-benchmark --out benchmark.json",
        ),
    ),
    "measuring.md": Page(fleet=("orin-1",), labelled=("photos",), before=(_DEPLOY + " local",)),
    "releases.md": Page(
        fleet=("board-1", "board-2"),
        models=("gate.onnx",),
        before=("sed -i '/devices.board-1/a tags = [\"canary\"]' fleet.toml",),
        instead={"(.* --release) v1 (.*) --activate": r"\1 v1 \2 --activate && \1 v2 \2 && \1 v3 \2"},
        ends={
            "edgebench deploy gate.onnx --device board-1 --quick --release v4 --require 'p50<1us'": (1,),
            "edgebench release remove gate v2 --device board-1": (1,),  # it is the current one
        },
    ),
    "report.md": Page(fleet=("orin-1",), before=(_DEPLOY + " orin",)),
    "results.md": Page(fleet=("orin-1",), before=(_DEPLOY + " orin",)),
    "sweeps.md": Page(
        fleet=("board-1", "board-2"),
        files={"evening.toml": _EVENING, "nightly.toml": _EVENING},
        before=("edgebench sweep nightly.toml",),
        elsewhere={"edgebench sweep evening.toml --resume": _KILLED},
    ),
    "tensorrt.md": Page(
        fleet=_ORINS,
        elsewhere={
            "edgebench deploy resnet50 --device orin --check-with trtexec": "tests/e2e/test_deploy_engines.py::"
            "test_a_second_opinion_that_is_not_there_is_refused_before_anything_is_sent"
        },
    ),
    "tutorial.md": Page(hosts=("board-1",), files={"evening.toml": _EVENING}),
    "use-the-engine.md": Page(
        fleet=("orin-1",),
        before=(_DEPLOY + " orin",),
        instead={"3f9c": r"$(edgebench engines list orin | grep -wo '[0-9a-f]\\{12\\}' | head -n 1)"},
    ),
}
