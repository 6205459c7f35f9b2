"""The load pattern that draws the size of every image: what is drawn, what is taken down, and the runtimes under it."""

from __future__ import annotations

import statistics
from array import array
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from trt_bench import Bench, refusal

from device_agents import inputs
from device_agents.backends import base
from device_agents.backends.onnxruntime import Backend as OnnxRuntime
from device_agents.backends.trtexec import Backend as Trtexec
from device_agents.by_size import BySize
from device_agents.calibration import KnownDelay
from device_agents.contract import DimRange, EngineRequest, JobSpec, LoadPattern, SchemaViolation, Timing
from device_agents.cuda import Cuda
from device_agents.loops import Drawn
from device_agents.measure import measure, slots_needed
from device_agents.ort import outputs, providers
from device_agents.ort.streams import StreamRunner, Streams
from tests import free_sizes
from tests.stand_ins.cudart import StandIn

DRAWN = LoadPattern("sizes", sizes=(32, 64, 96))
SHORT = Timing(processes=1, warmup_s=0.0, warmup_iterations=1, warmup_cap_s=0.5, duration_s=0.0, iterations=600)
SPEC = free_sizes.drawing(DRAWN)


class TestThePattern:
    @pytest.mark.parametrize(
        ("text", "sizes", "written"),
        [
            ("sizes:224-512", tuple(range(224, 513, 32)), "sizes:224-512"),
            ("sizes:224-512/32", tuple(range(224, 513, 32)), "sizes:224-512"),
            ("sizes:192-320/64", (192, 256, 320), "sizes:192-320/64"),
            ("sizes:224,384,512", (224, 384, 512), "sizes:224,384,512"),
            ("sizes:224,448", (224, 448), "sizes:224-448/224"),
        ],
    )
    def test_is_read_and_written(self, text: str, sizes: tuple[int, ...], written: str) -> None:
        found = LoadPattern.parse(text)
        assert (found.sizes, found.loop, found.closed, str(found)) == (sizes, "sizes", True, written)
        assert LoadPattern.parse(written) == found

    @pytest.mark.parametrize(
        ("text", "why"),
        [
            ("sizes", "is no range of sizes; write sizes:224-512"),
            ("sizes:224", "is no range of sizes"),
            ("sizes:224-", "is no range of sizes"),
            ("sizes:224-512/0", "no multiples of the step 0"),
            ("sizes:225-512", "225 and 512 are no multiples of the step 32"),
            ("sizes:512-224", "drawn from are 2 to 64 sizes"),
            ("sizes:224-224", "drawn from are 2 to 64 sizes"),
            ("sizes:1-400/1", "are more than 64 sizes; take a larger step"),
            ("sizes:384,224", "each larger than the last"),
            ("sizes:0-64", "are not between 1 and 8192"),
            ("sizes:224,9000", "are not between 1 and 8192"),
        ],
    )
    def test_a_range_that_is_none_is_refused_by_a_sentence(self, text: str, why: str) -> None:
        with pytest.raises(SchemaViolation, match=why):
            LoadPattern.parse(text)

    def test_another_pattern_draws_no_sizes(self) -> None:
        with pytest.raises(SchemaViolation, match="the load pattern serial draws no sizes"):
            LoadPattern("serial", sizes=(32, 64))

    def test_a_first_look_takes_three(self) -> None:
        assert LoadPattern.parse("sizes:224-512").quick().sizes == (224, 384, 512)
        assert LoadPattern.parse("sizes:224,512").quick().sizes == (224, 512)
        assert LoadPattern("rate", 30.0).quick() == LoadPattern("rate", 30.0)

    def test_every_size_is_to_come_up_about_a_hundred_times_within_the_cap_that_it_has_alone(self) -> None:
        timing = Timing().for_pattern(LoadPattern.parse("sizes:224-512"))
        assert (timing.iterations, timing.cap_s) == (1000, 1200.0)
        assert Timing().for_pattern(DRAWN, 3).processes == 3


class Sized(KnownDelay):
    """Writes down its slots; those of the second size take ten times as long."""

    def __init__(self) -> None:
        super().__init__()
        self.slots: list[int] = []

    def enqueue(self, slot: int) -> None:
        self.slots.append(slot)
        self._delay_ns = 500_000 if slot in (2, 3) else 50_000
        super().enqueue(slot)


class TestTheLoop:
    def test_takes_down_the_size_of_every_timed_inference(self) -> None:
        backend = Sized()
        found = measure(backend, 6, DRAWN, SHORT, seed=1)
        assert len(found.sizes) == len(found.timed) >= 600
        assert set(found.sizes) == {32, 64, 96}
        timed = backend.slots[-len(found.timed) :]
        assert [DRAWN.sizes[slot // 2] for slot in timed] == list(found.sizes)
        slow = [sample for sample, size in zip(found.timed, found.sizes, strict=True) if size == 64]
        assert min(slow) >= 500_000
        assert statistics.median(found.timed) < 500_000

    def test_draws_every_size_as_often_as_another(self) -> None:
        counts = Counter(measure(KnownDelay(), 3, DRAWN, replace(SHORT, iterations=3000), seed=7).sizes)
        assert all(abs(count / sum(counts.values()) - 1 / 3) < 0.03 for count in counts.values())

    def test_draws_the_same_ones_for_the_same_seed_however_long_it_warmed_up(self) -> None:
        one = measure(KnownDelay(), 3, DRAWN, SHORT, seed=3)
        other = measure(KnownDelay(), 3, DRAWN, replace(SHORT, warmup_iterations=5000), seed=3)
        assert one.sizes[:600] == other.sizes[:600]
        assert measure(KnownDelay(), 3, DRAWN, SHORT, seed=4).sizes[:600] != one.sizes[:600]

    def test_takes_the_buffers_of_a_size_in_turn(self) -> None:
        backend = Sized()
        found = measure(backend, 6, DRAWN, replace(SHORT, warmup_cap_s=0.0), seed=1)
        of_first = [slot for slot in backend.slots[-len(found.timed) :] if slot < 2]
        assert of_first == [index % 2 for index in range(len(of_first))]

    def test_wants_as_many_slots_of_each(self) -> None:
        assert slots_needed(KnownDelay(), DRAWN) == 3
        with pytest.raises(ValueError, match="3 sizes need as many slots each, got 4 in all"):
            measure(KnownDelay(), 4, DRAWN, SHORT)

    def test_a_window_of_slow_sizes_is_not_unstable(self) -> None:
        """What warm-up goes by is latencies over the usual one of their size."""
        loop = Drawn(KnownDelay(), 3, DRAWN.sizes, 5)
        loop.restart()
        loop.window(0)
        while len(loop.drawn()) < 60:
            loop.window(0)
        takes = {32: 10, 64: 1000, 96: 5000}
        latencies = array("q", (takes[size] for size in loop.drawn()))
        levels = loop.levels([latencies[:20], latencies[20:40], latencies[40:]])
        assert levels == [1.0, 1.0, 1.0]
        slower = array("q", (2 * one for one in latencies[40:]))
        assert loop.levels([latencies[:20], latencies[20:40], slower])[-1] > 1.5


class TestInputs:
    def test_there_are_as_many_buffers_of_every_size(self) -> None:
        found = inputs.noise_of_sizes(SPEC, 2_000_000)
        shapes = Counter(buffer["images"].shape for buffer in found)
        assert set(shapes) == {(2, 3, side, side) for side in DRAWN.sizes}
        assert len(set(shapes.values())) == 1
        assert sum(buffer["images"].nbytes for buffer in found) > 2_000_000

    def test_hot_ones_are_one_of_each(self) -> None:
        assert len(inputs.noise_of_sizes(replace(SPEC, hot_input=True), None)) == 3

    def test_the_size_that_is_checked_is_seen_first(self) -> None:
        sides = [one.side for one in base.every_size(replace(SPEC, pattern=LoadPattern("sizes", sizes=(32, 96))))]
        assert sides == [64, 32, 96]

    def test_a_job_of_images_that_are_fixed_draws_no_sizes(self) -> None:
        with pytest.raises(SchemaViolation, match="no input has images whose height and width are free"):
            replace(SPEC, graph_inputs=SPEC.inputs)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    pytest.importorskip("onnx", reason="making a small model needs onnx")
    pytest.importorskip("onnxruntime", reason="the models here run through onnxruntime")
    return free_sizes.write_model(tmp_path / "model.onnx")


class TestOnnxRuntime:
    def test_one_session_computes_every_size(self, model: Path) -> None:
        backend = OnnxRuntime()
        backend.start()
        backend.load(model, SPEC)
        free_sizes.computes(backend, model, DRAWN.sizes)

    def test_a_cuda_graph_is_refused(self, model: Path) -> None:
        backend = OnnxRuntime()
        backend.start()
        error = refusal(lambda: backend.load(model, replace(SPEC, options={"cuda_graph": True})))
        assert error.info.code == "unsupported"

    @pytest.mark.parametrize("transfers", [True, False])
    def test_streams_of_our_own_take_every_size_through_buffers_of_its_own(
        self, stand_in: StandIn, model: Path, *, transfers: bool
    ) -> None:
        import onnxruntime

        with Cuda(str(stand_in.path)) as cuda:
            session = onnxruntime.InferenceSession(str(model), providers=[providers.CPU])
            streams = Streams(cuda, overlap=False)
            made: list[JobSpec] = []

            def make(sized: JobSpec) -> StreamRunner:
                made.append(sized)
                return StreamRunner(
                    onnxruntime, cuda, streams, session, outputs.tried(session, sized),
                    in_flight=1, cuda_graph=False, spin=True, device="cpu",
                )  # fmt: skip

            runner = BySize(make, replace(SPEC, transfers=transfers), cuda.close)
            free_sizes.computes(runner, model, DRAWN.sizes)
        assert [sized.inputs[0].shape[-1] for sized in made] == list(DRAWN.sizes)
        assert stand_in.live[1] == 0


class TestTensorRT:
    def drawing(self, **changes: Any) -> JobSpec:
        profile = {"batch": DimRange(2, 2, 2), "height": DimRange(32, 64, 96), "width": DimRange(32, 64, 96)}
        return replace(SPEC, backend="tensorrt", engine=EngineRequest((profile,)), **changes)

    @pytest.mark.parametrize("transfers", [True, False])
    def test_one_engine_computes_every_size_in_one_context(self, bench: Bench, model: Path, *, transfers: bool) -> None:
        free_sizes.write_model(bench.folder / "model.onnx")
        backend = bench.loaded(self.drawing(transfers=transfers))
        free_sizes.computes(backend, model, DRAWN.sizes)

    def test_memory_is_that_of_every_slot_s_own_size(self, newest: Bench) -> None:
        free_sizes.write_model(newest.folder / "model.onnx")
        backend = newest.loaded(self.drawing())
        backend.bind(free_sizes.images(32), 0)
        small = backend.memory()["buffers_device"]
        backend.bind(free_sizes.images(96), 1)
        assert backend.memory()["buffers_device"] > 9 * small

    def test_has_no_command_line_of_trtexec(self, newest: Bench, capsys: pytest.CaptureFixture[str]) -> None:
        free_sizes.write_model(newest.folder / "model.onnx")
        assert newest.loaded(self.drawing()).command(self.drawing(), None) == ""
        assert "trtexec draws no sizes" in capsys.readouterr().err

    def test_a_size_outside_is_refused(self, newest: Bench) -> None:
        free_sizes.write_model(newest.folder / "model.onnx")
        backend = newest.loaded(self.drawing())
        assert refusal(lambda: backend.bind(free_sizes.images(128), 0)).info.code == "shape_outside_profile"

    def test_a_cuda_graph_is_refused_before_it_is_built(self, newest: Bench) -> None:
        free_sizes.write_model(newest.folder / "model.onnx")
        error = refusal(lambda: newest.build(self.drawing(options={"cuda_graph": True})))
        assert error.info.message == "a CUDA graph is of one size, and the load pattern draws sizes"


@pytest.mark.parametrize("side", [DimRange(32, 64, 96), DimRange(64, 64, 64)], ids=["drawn", "static"])
def test_the_real_builder_takes_the_range_and_the_one_size(model: Path, side: DimRange) -> None:
    pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX is not installed: pip install 'edgebench[tensorrt-rtx]'")
    from device_agents.backends.tensorrt_rtx import Backend

    profile = {"batch": DimRange(2, 2, 2), "height": side, "width": side}
    spec = free_sizes.drawing(
        DRAWN, backend="tensorrt-rtx", task="build", engine=EngineRequest((profile,)), options={"target": "sm80"}
    )
    backend, engine = Backend(), model.with_name("model.engine")
    backend.start()
    built = backend.build(model, engine, spec, model.parent, lambda _: None)
    backend.close()
    assert engine.stat().st_size > 1000
    assert built.warnings == ()


def test_a_tool_with_a_loop_of_its_own_cannot() -> None:
    error = refusal(lambda: base.check_request(Trtexec(), replace(SPEC, backend="trtexec")))
    assert error.info.message == "trtexec cannot run the load pattern sizes:32-96"
