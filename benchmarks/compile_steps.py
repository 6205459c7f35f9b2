"""One step of one model for benchmarks/compile_coverage.py, in a process of its own: a line of JSON at the end.

python benchmarks/compile_steps.py NAME capture|inductor
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from export.data import golden
from export.pt import catalog
from export.pt.random_weights import randomise

SIDE = 224
"""Of classifiers' and segmenters' images, which are 520 and 600 otherwise; detectors have their own."""
LIMIT = 1e-3
"""export.judging.parity's, for FP32."""


def work(name: str, step: str, answer: Any) -> None:
    """Send what came of it into the pipe `answer`, whatever that is."""
    os.setsid()  # a group of its own, so that all of it can be ended
    with tempfile.TemporaryDirectory(prefix="compile-coverage-") as home:
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = home
        try:
            answer.send(step_of(name, step))
        except Exception as error:  # noqa: BLE001  why is what is wanted
            answer.send({"error": f"{type(error).__name__}: {_line(str(error))}"})


def step_of(name: str, step: str) -> dict[str, Any]:
    """The fields of compile_coverage.Outcome that the step tells."""
    import torch

    torch.manual_seed(0)
    entry = _small(catalog.find(name))
    network = catalog.build(entry)
    if step == "inductor":
        randomise(network, entry)
        _as_torchvision_has_it(network)
        torch.manual_seed(0)
    with torch.inference_mode():
        found = (inductor if step == "inductor" else capture)(network, entry)
    parameters = sum(weight.numel() for weight in network.parameters()) / 1e6
    return {**found, "mparameters": parameters, "size": "x".join(map(str, entry.images[0].shape))}


def capture(network: Any, entry: catalog.Entry) -> dict[str, Any]:
    """Whether fullgraph=True holds, with the backend that compiles nothing: that is one graph and no break. Where it
    does not, the graphs and breaks that torch._dynamo.explain finds."""
    import torch

    image = images(entry)[0]
    begin = time.monotonic()
    try:
        torch.compile(network, backend="eager", fullgraph=True)(image)
    except Exception as error:  # noqa: BLE001  whatever Dynamo raises is why
        torch._dynamo.reset()
        told = torch._dynamo.explain(network)(image)
        reason = _line(told.break_reasons[0].reason) if told.break_reasons else ""
        counted = {"graphs": told.graph_count, "breaks": told.graph_break_count, "reason": reason}
        return {**counted, "error": _line(str(error))}
    return {"graphs": 1, "breaks": 0, "seconds": time.monotonic() - begin}


def inductor(network: Any, entry: catalog.Entry) -> dict[str, Any]:
    """torch.compile as it is by default, and its answers for two images against the network's own."""
    import torch

    inputs = images(entry)
    wanted = [_tensors(network(one)) for one in inputs]
    compiled = torch.compile(network)
    begin = time.monotonic()
    given = [_tensors(compiled(inputs[0]))]
    seconds = time.monotonic() - begin
    given += [_tensors(compiled(one)) for one in inputs[1:]]
    found: dict[str, Any] = {"seconds": seconds}
    for one, other in zip(wanted, given, strict=True):
        shapes = [[tuple(tensor.shape) for tensor in tensors] for tensors in (one, other)]
        if shapes[0] != shapes[1]:
            return {**found, "error": f"its answer has the shapes {shapes[1]}, eager's {shapes[0]}"}
    found["parity"] = max(_apart(torch, *pair) for pair in zip(_joined(wanted), _joined(given), strict=True))
    if not found["parity"] <= LIMIT:
        found["error"] = f"its answer is off by {found['parity']:.1e} of eager's, over the limit of {LIMIT:.0e}"
    return found


def images(entry: catalog.Entry) -> list[Any]:
    """Two seeded images as the network takes them, batch 1: a detector a list of one."""
    import torch

    (image,) = entry.images
    tensors = torch.from_numpy(golden.images(image, count=2)).split(1)
    return [[one[0]] if entry.task == "detection" else one for one in tensors]


def _small(entry: catalog.Entry) -> catalog.Entry:
    if entry.task == "detection":
        return entry
    return replace(entry, images=tuple(replace(one, shape=(one.shape[0], SIDE, SIDE)) for one in entry.images))


def _as_torchvision_has_it(network: Any) -> None:
    """With a detector's own resizing, which our random weights were set without."""
    for name in ("forward", "postprocess"):
        vars(getattr(network, "transform", network)).pop(name, None)


def _tensors(answer: Any) -> list[Any]:
    """All there are in what torchvision returns: a tensor, a dict of them, or a list of a detector's dicts."""
    if isinstance(answer, dict):
        return [tensor for _, tensor in sorted(answer.items())]
    return [tensor for one in answer for tensor in _tensors(one)] if isinstance(answer, list) else [answer]


def _joined(answers: Sequence[Sequence[Any]]) -> list[Any]:
    """Every tensor of both images in one row, where it is not empty."""
    import torch

    rows = [torch.cat([tensor.double().flatten() for tensor in tensors]) for tensors in zip(*answers, strict=True)]
    return [row for row in rows if row.numel()]


def _apart(torch: Any, wanted: Any, given: Any) -> float:
    """||y - y'|| / ||y - mean y||, the mean over all values of the tensor."""
    scale = float(torch.linalg.vector_norm(wanted - wanted.mean()))
    apart = float(torch.linalg.vector_norm(wanted - given))
    return apart / scale if scale else float(apart > 0)


def _line(text: str) -> str:
    """The first line that says something, without what points into this machine."""
    lines = (line.strip() for line in text.splitlines())
    return next((line for line in lines if line and not line.startswith("File ")), "no reason given")[:200]
