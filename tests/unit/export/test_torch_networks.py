"""torchvision's networks with random weights: exported with parity, and with outputs that parity can judge."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from device_agents.contract import DimRange, Precision
from export import graph
from export.data import golden
from export.draft import MODEL_FILE, Draft
from export.frameworks import pytorch
from export.judging import parity
from export.models import parse_model
from export.pt import catalog, heads, raw_heads
from export.pt.net import of_torchvision
from export.request import ExportRequest
from profiles.errors import ConfigError, ExportError
from profiles.progress import silent

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
torchvision = pytest.importorskip("torchvision", reason="torchvision is not installed")

REQUEST = ExportRequest("x", "pytorch", Precision.FP32, "dynamic", "random")
DETECTOR = "ssdlite320_mobilenet_v3_large"


def exported(name: str, out: Path, **changes: Any) -> tuple[Draft, dict[str, tuple[Any, ...]], Path]:
    """(the draft, shapes of the outputs, the graph after care); parity is asserted here."""
    out.mkdir()
    request = replace(REQUEST, **changes)
    draft = pytorch.Exporter(name, silent).export(parse_model(f"torchvision:{name}"), request, out)
    cared = graph.tidy(graph.load(out / MODEL_FILE))
    assert cared.note == ""
    graph.check(cared.model)
    path = graph.save(cared.model, out)
    for file in out.glob("golden*.npz"):
        inputs, reference = golden.load(file)
        compared = parity.compare(reference, parity.run(path, inputs, request.precision), draft.task)
        assert not compared.over_limit(request.precision), compared.errors
    return draft, {spec.name: spec.shape for spec in graph.specs(cared.model.graph.output)}, path


def test_a_classifier_in_both_precisions_and_opsets(tmp_path: Path) -> None:
    draft, shapes, path = exported("shufflenet_v2_x0_5", tmp_path / "whole")
    assert (draft.task, draft.batch, len(draft.labels)) == ("classification", "dynamic", 1000)
    assert shapes == {"logits": ("batch", 1000)}
    inputs, reference = golden.load(tmp_path / "whole" / "golden.npz")
    swapped = {"images": inputs["images"][:, ::-1].copy()}
    assert parity.compare(reference, parity.run(path, swapped, Precision.FP32)).errors["logits"] > 0.3
    draft, older, traced = exported("shufflenet_v2_x0_5", tmp_path / "older", opset=17)
    assert older == shapes
    assert (graph.opset(graph.load(traced)), draft.produced_by["exporter"]) == (17, "torch.onnx.export(dynamo=False)")
    _, _, half = exported("shufflenet_v2_x0_5", tmp_path / "half", precision=Precision.FP16)
    errors = parity.compare(reference, parity.run(half, inputs, Precision.FP16)).errors
    fp16 = replace(REQUEST, precision=Precision.FP16)
    own = pytorch.answers(parse_model("torchvision:shufflenet_v2_x0_5"), fp16, inputs, silent)
    assert 1e-4 < errors["logits"] < 2 * parity.compare(reference, own).errors["logits"] < 0.1


def test_a_size_of_ones_own_fixed_and_free(tmp_path: Path) -> None:
    side = DimRange(96, 128, 160)
    fixed = (DimRange(96, 96, 96), DimRange(128, 128, 128))
    draft, _, path = exported("squeezenet1_1", tmp_path / "fixed", size=fixed)
    assert draft.images[0].shape == (3, 96, 128)
    assert graph.specs(graph.load(path).graph.input)[0].shape == ("batch", 3, 96, 128)
    draft, _, path = exported("squeezenet1_1", tmp_path / "free", size=(side, side))
    assert graph.specs(graph.load(path).graph.input)[0].shape == ("batch", 3, "height", "width")
    assert len(list((tmp_path / "free").glob("golden*.npz"))) == 3


def test_a_segmentation_network_gives_maps_as_large_as_its_free_images(tmp_path: Path) -> None:
    side = DimRange(64, 96, 128)
    draft, shapes, _ = exported("lraspp_mobilenet_v3_large", tmp_path / "out", size=(side, side))
    assert (draft.task, len(draft.labels)) == ("segmentation", 21)
    assert shapes == {"out": ("batch", 21, "height", "width")}


def test_a_size_that_a_network_does_not_take_is_told(tmp_path: Path) -> None:
    small = DimRange(16, 16, 16)
    with pytest.raises(
        ExportError, match=r"squeezenet1_1: the network does not take images \(3, 16, 16\) \(RuntimeError"
    ):
        exported("squeezenet1_1", tmp_path / "out", size=(small, small))


@cache
def detector() -> tuple[Any, catalog.Entry, Any]:
    """(the network with a full head as a module, its entry, its golden images)."""
    request = replace(REQUEST, batch=8)
    ref = parse_model(f"torchvision:{DETECTOR}")
    net = pytorch.load(ref, request)
    return net.module, catalog.find(DETECTOR), torch.from_numpy(golden.images(net.images[0]))


def found(module: Any, images: Any) -> dict[str, Any]:
    with torch.inference_mode():
        outputs = module(images)
    return dict(zip(module.names, outputs, strict=True))


def test_the_full_head_is_torchvisions_own_answer_padded() -> None:
    module, entry, images = detector()
    own = catalog.build(entry)
    own.load_state_dict(module.network.state_dict())
    ours = found(module, images[:2])
    with torch.inference_mode():
        for index, theirs in enumerate(own(list(images[:2]))):
            count = len(theirs["scores"])
            for name, value in theirs.items():
                assert torch.allclose(ours[name][index, :count].float(), value.float(), atol=1e-3)
                assert not ours[name][index, count:].any()


def test_random_weights_find_something_and_see_colours() -> None:
    module, _, images = detector()
    ours, swapped = found(module, images), found(module, images.flip(1))
    counts = (ours["scores"] > 0).sum(1)
    assert counts.sum() >= 20
    assert (counts < ours["scores"].shape[1]).all()
    assert len(ours["labels"].unique()) > 5
    compared = parity.compare(
        {name: value.numpy() for name, value in ours.items()},
        {name: value.numpy() for name, value in swapped.items()},
        "detection",
    )
    assert compared.errors["labels"] > 0.5


def test_the_raw_head_followed_by_nms_is_the_full_head() -> None:
    module, entry, images = detector()
    full, network = found(module, images[:2]), module.network
    raw = found(raw_heads.as_raw_module(network, entry, entry.images[0]), images[:2])
    scores = raw["class_logits"].softmax(-1)
    for index in range(2):
        kept = [scores[index, :, label].topk(network.topk_candidates) for label in range(1, 91)]
        best = torch.cat([one.values for one in kept])
        boxes = torch.cat([raw["boxes"][index, one.indices] for one in kept])
        labels = torch.arange(1, 91).repeat_interleave(network.topk_candidates)
        over = best > network.score_thresh
        best, boxes, labels = best[over], boxes[over], labels[over]
        chosen = torchvision.ops.batched_nms(boxes, best, labels, network.nms_thresh)[: network.detections_per_img]
        assert torch.allclose(best[chosen], full["scores"][index, : len(chosen)], atol=1e-5)
        assert torch.allclose(boxes[chosen], full["boxes"][index, : len(chosen)], atol=1e-2)
        assert not full["scores"][index, len(chosen) :].any()


def test_pooling_on_all_levels_is_roi_align_on_each_ones_own() -> None:
    torch.manual_seed(0)
    sizes = ((40, 50), (20, 25), (10, 13))
    maps = {str(level): torch.randn(2, 8, *size) for level, size in enumerate(sizes)}
    ends = torch.rand(2, 60, 2, 2).sort(dim=2).values * torch.tensor([400.0, 320.0])
    boxes = ends.flatten(2)
    boxes[0, :3] = torch.tensor([[0, 0, 400, 320], [10, 10, 10, 10], [390, 300, 400, 320]])
    pool = torchvision.ops.MultiScaleRoIAlign(list(maps), 7, 2)
    theirs = pool(maps, list(boxes), [(320, 400)] * 2)
    assert torch.allclose(raw_heads._pool(pool, maps, boxes), theirs, atol=1e-4)


def test_the_full_head_has_a_fixed_batch_and_says_so(tmp_path: Path) -> None:
    draft, shapes, _ = exported(DETECTOR, tmp_path / "out")
    assert (draft.task, draft.batch) == ("detection", 1)
    assert any("the batch is fixed to 1" in note for note in draft.notes)
    assert any("older exporter" in note for note in draft.notes)
    assert shapes == {"boxes": (1, 300, 4), "scores": (1, 300), "labels": (1, 300)}


@pytest.mark.parametrize(
    ("name", "boxes"), [(DETECTOR, (3234, 4)), ("fasterrcnn_mobilenet_v3_large_320_fpn", (150, 91, 4))]
)
def test_the_raw_head_has_a_free_batch_and_real_tensorrt_builds_it(
    tmp_path: Path, name: str, boxes: tuple[int, ...], build: Callable[[Path], Any]
) -> None:
    draft, shapes, path = exported(name, tmp_path / "out", head="raw")
    assert draft.batch == "dynamic"
    assert shapes["boxes"] == ("batch", *boxes)
    assert not {node.op_type for node in graph.load(path).graph.node} & {"NonZero", "NonMaxSuppression", "If", "Loop"}
    assert build(path) is not None


@pytest.fixture
def build() -> Callable[[Path], Any]:
    """The real parser and builder, for a GPU elsewhere: batches of 1 to 4."""
    trt = pytest.importorskip("tensorrt_rtx", reason="the real builder: pip install tensorrt-rtx-cu13")

    def from_graph(path: Path) -> Any:
        builder = trt.Builder(trt.Logger(trt.Logger.ERROR))
        network = builder.create_network(0)
        parser = trt.OnnxParser(network, trt.Logger(trt.Logger.ERROR))
        assert parser.parse_from_file(str(path)), parser.get_error(0).desc()
        config = builder.create_builder_config()
        config.num_compute_capabilities = 1
        config.set_compute_capability(trt.ComputeCapability.SM86, 0)
        profile = builder.create_optimization_profile()
        images = network.get_input(0)
        profile.set_shape(images.name, *((count, *images.shape[1:]) for count in (1, 2, 4)))
        config.add_optimization_profile(profile)
        return builder.build_serialized_network(network, config)

    return from_graph


def test_the_batch_of_a_full_head_has_no_bounds() -> None:
    entry = catalog.find(DETECTOR)
    with pytest.raises(ConfigError, match=r"the batch is fixed to 1: there is nothing to bound; .* take --head raw"):
        of_torchvision(catalog.build(entry), entry, replace(REQUEST, bounds=(DimRange(1, 2, 4),)))


def test_random_weights_are_the_same_at_every_size_and_for_a_twin(tmp_path: Path) -> None:
    ref, side = parse_model("torchvision:shufflenet_v2_x0_5"), DimRange(64, 64, 64)
    sized = replace(REQUEST, size=(side, side))
    net = pytorch.load(ref, sized)
    assert net.images[0].shape == (3, 64, 64)
    with np.load(pytorch.write_weights(ref, sized, tmp_path, silent)) as twin:
        for name, tensor in net.module.network.state_dict().items():
            assert np.array_equal(twin[name], tensor.numpy()), name


def test_what_only_detectors_have_or_cannot_have(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="only detectors have a raw head"):
        exported("squeezenet1_1", tmp_path / "a", head="raw")
    with pytest.raises(ConfigError, match="the anchors of a detector are those of one size"):
        exported(DETECTOR, tmp_path / "b", size=(DimRange(256, 320, 512), DimRange(256, 320, 512)))


def test_names_of_outputs_are_the_same_as_the_frameworks_own(tmp_path: Path) -> None:
    ref = parse_model("torchvision:squeezenet1_1")
    inputs = {"images": golden.images(catalog.find("squeezenet1_1").images[0], count=3)}
    whole = pytorch.answers(ref, REQUEST, inputs, silent)
    half = pytorch.answers(ref, replace(REQUEST, precision=Precision.FP16), inputs, silent)
    assert whole["logits"].shape == half["logits"].shape == (3, 1000)
    assert 1e-6 < parity.relative_error(whole["logits"], half["logits"]) < 2e-2
    assert half["logits"].dtype == np.float32
    assert heads.is_two_stage(detector()[0].network) is False
