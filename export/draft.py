"""What a framework hands over: a raw graph and its own answers in a folder, and this description of them; and what the
gate is given to judge.

    <folder>/model.onnx              the graph as the exporter wrote it; weights of 1.9 GB and more in model.onnx.data
    <folder>/golden.npz              seeded inputs and the framework's own FP32 outputs (export.data.golden's format)
    <folder>/golden-<H>x<W>.npz      the same for the other ends of a dynamic image size
    <folder>/half.npz                the framework's own FP16 outputs for golden.npz, where they were asked for
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from device_agents.contract import Dim, Precision
from export.artifact import Calibration, KeptNode
from profiles.schema import ImageInput

MODEL_FILE = "model.onnx"
HALF = "half.npz"


@dataclass(frozen=True)
class Draft:
    """A graph before it is cared for and judged.

    `task` is one of profiles.schema.TASKS; `batch` what was really made (a detector's NMS wants a fixed one); `images`
    the images that the model takes, in the order of its inputs, empty where its inputs are none; `ranges` what values
    the other inputs take in practice, by name: (low, high). `precision` is what the graph is in. `notes` are sentences
    for the operator; `unchecked` says why there is nothing to compare with; `sources` are the files of the user's own
    code that ran, with their hashes.
    """

    task: str
    batch: Dim
    produced_by: Mapping[str, str]
    precision: Precision = Precision.FP32
    images: tuple[ImageInput, ...] = ()
    ranges: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    labels: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    unchecked: str | None = None
    sources: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Case:
    """What is to be judged (export.judging.gate). `graph` is the folder of the raw graph, `golden` that of the golden
    data; both are the draft's own folder, or `golden` is of the FP32 parent. `care`: a framework wrote the graph.

    `named` is what the operator calls a model of their own. `half` holds the framework's own FP16 outputs; without it
    `can_ask` says whether they could be had. `images` holds the operator's images and the framework's own answers.
    """

    name: str
    graph: str
    golden: str
    out: str
    draft: Draft
    care: bool = True
    parent: str | None = None
    kept_fp32: tuple[KeptNode, ...] = ()
    calibration: Calibration | None = None
    named: str = ""
    half: str | None = None
    can_ask: bool = False
    images: str | None = None
