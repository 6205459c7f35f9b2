"""Where a graph's nodes run, and which of those on the processor matter.

The profiles are onnxruntime's own, of its CPU provider: what it writes of a node is the same whoever runs it. No
profile of a GPU can be made here; tests/gpu holds the same questions to a real one.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ort_models import classifier, job

from device_agents.errors import DeviceError
from device_agents.ort import placement, providers
from device_agents.ort.look import _SCRIPT, look, read
from device_agents.ort.placement import Node, judge, refuse_compute
from edge.agent import bundle

ort = pytest.importorskip("onnxruntime", reason="reading onnxruntime's profiles needs onnxruntime")
pytest.importorskip("onnx", reason="making a small model needs onnx")

ROOT = Path(__file__).resolve().parents[3]
DYNAMIC = job(free_dims={})
"""The batch stays free, so that the computed shape is not folded away."""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ort") / "model.onnx"
    classifier(path)
    return path


@pytest.fixture(scope="module")
def nodes(model: Path) -> list[Node]:
    return look(model, providers.choose(ort, DYNAMIC), DYNAMIC, [providers.CPU])


class TestAProfiledRun:
    def test_names_every_node_once_with_its_provider(self, nodes: list[Node]) -> None:
        operators = [node.operator for node in nodes]
        assert {"Conv", "Shape", "Gather", "Concat", "Reshape", "MatMul", "Softmax", "ArgMax"} <= set(operators)
        assert len({node.name for node in nodes}) == len(nodes)
        assert {node.provider for node in nodes} == {providers.CPU}

    def test_tells_what_a_node_reads_and_writes(self, nodes: list[Node]) -> None:
        softmax = next(node for node in nodes if node.operator == "Softmax")
        assert softmax.reads == (("float", 20),)
        assert softmax.writes == (("float", 20),)
        assert next(node for node in nodes if node.operator == "Shape").writes == (("int64", 4),)

    def test_works_from_the_agent_s_single_file(self, model: Path, tmp_path: Path) -> None:
        agent = tmp_path / "agent.pyz"
        agent.write_bytes(bundle.build().data)
        script = f"""
import sys
sys.path.insert(0, {str(agent)!r})
from pathlib import Path
from device_agents.contract import from_json, loads, JobSpec
from device_agents.ort import look, providers
import onnxruntime
assert look.__file__.startswith({str(agent)!r})
spec = from_json(JobSpec, loads(sys.stdin.read()))
print(len(look.look(Path({str(model)!r}), providers.choose(onnxruntime, spec), spec, [providers.CPU])))
"""
        from device_agents.contract import dumps

        done = subprocess.run(
            [sys.executable, "-c", script],
            input=dumps(job()),
            cwd=tmp_path,
            text=True,
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert int(done.stdout) > 3

    def test_that_fails_says_why(self, tmp_path: Path) -> None:
        with pytest.raises(DeviceError) as caught:
            look(tmp_path / "nothing.onnx", providers.choose(ort, job()), job(), [providers.CPU])
        assert caught.value.info.code == "fallback_unknown"
        assert "nothing.onnx" in caught.value.info.message
        assert "allow_fallback=true" in caught.value.info.fix

    def test_that_outlasts_the_job_is_ended(self, model: Path) -> None:
        with pytest.raises(DeviceError, match=r"the look took longer than 0\.01 s") as caught:
            look(model, providers.choose(ort, job()), job(deadline_s=0.01), [providers.CPU])
        assert caught.value.info.code == "fallback_unknown"

    def test_dies_with_the_worker_whose_lock_keeps_others_off(self) -> None:
        script = f"""
import os, subprocess, sys, time
argv = [sys.executable, "-c", {_SCRIPT!r}, {str(ROOT)!r}, str(os.getpid())]
print(subprocess.Popen(argv).pid, flush=True)
time.sleep(60)
"""
        ours, theirs = os.pipe()  # the look waits for its request: this end stays open, and nothing comes
        with subprocess.Popen([sys.executable, "-c", script], stdin=ours, stdout=subprocess.PIPE, text=True) as worker:
            assert worker.stdout
            stat = Path(f"/proc/{int(worker.stdout.readline())}/stat")
            worker.kill()
        end = time.monotonic() + 30
        while stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z":
            assert time.monotonic() < end, "the look outlived the worker"
            time.sleep(0.05)
        os.close(ours)
        os.close(theirs)

    def test_of_an_old_runtime_tells_no_types(self) -> None:
        event = {"cat": "Node", "name": "a_kernel_time", "args": {"provider": "P", "op_name": "Conv"}}
        assert read([event, {"cat": "Session", "name": "model_run"}, {"cat": "Node", "name": "a_fence_before"}]) == [
            Node("a", "Conv", "P", None, None)
        ]


class TestAFallback:
    def test_of_compute_is_told_from_shape_work(self, nodes: list[Node]) -> None:
        """As if CUDA had been asked for, and everything had fallen back."""
        found = judge(nodes, providers.CUDA)
        shape_work = {label.rpartition(" ")[2] for label in found.shape_work}
        assert shape_work == {"(Shape)", "(Gather)", "(Mul)", "(Div)", "(Unsqueeze)", "(Concat)"}
        operators = {label.rpartition(" ")[2] for label in found.compute}
        assert {"(Conv)", "(Reshape)", "(MatMul)", "(Softmax)", "(ArgMax)"} <= operators
        assert found.counts == {providers.CPU: len(nodes)}

    def test_is_none_where_the_processor_was_asked_for(self, nodes: list[Node]) -> None:
        found = judge(nodes, providers.CPU)
        assert (found.compute, found.shape_work) == ((), ())

    SCALES = Node("scales", "Div", providers.CPU, (("float", 4), ("float", 4)), (("float", 4),))
    CONV = Node("conv", "Conv", providers.CUDA, (("float", 192),), (("float", 288),))

    def test_of_a_handful_of_floats_from_shapes_is_shape_work(self) -> None:
        assert judge([self.CONV, self.SCALES], providers.CUDA).shape_work == ("scales (Div)",)

    def test_of_a_handful_of_floats_from_the_gpu_is_compute(self) -> None:
        fetch = Node("copy", "MemcpyToHost", providers.CUDA, (("float", 4),), (("float", 4),))
        assert judge([self.CONV, fetch, self.SCALES], providers.CUDA).compute == ("scales (Div)",)

    def test_of_whole_numbers_that_are_data_is_compute(self) -> None:
        mask = Node("mask", "NonZero", providers.CPU, (("bool", 8400),), (("int64", 40),))
        assert judge([self.CONV, mask], providers.CUDA).compute == ("mask (NonZero)",)

    def test_of_a_shape_reads_no_data_however_large(self) -> None:
        shape = Node("shape", "Shape", providers.CPU, (("float16", 1 << 20),), (("int64", 4),))
        assert judge([self.CONV, shape], providers.CUDA).shape_work == ("shape (Shape)",)

    def test_without_types_counts_as_compute(self) -> None:
        unknown = Node("gather", "Gather", providers.CPU, None, None)
        assert judge([self.CONV, unknown], providers.CUDA).compute == ("gather (Gather)",)

    def test_from_tensorrt_to_cuda_is_told_and_no_fallback_to_the_processor(self) -> None:
        engine = Node("engine", "TRTKernel", providers.TENSORRT, (("float", 192),), (("float", 288),))
        found = judge([engine, self.CONV], providers.TENSORRT)
        assert (found.compute, found.second_choice) == ((), ("conv (Conv)",))
        assert placement.switches(found) == {
            "nodes_tensorrt": 1, "nodes_cuda": 1, "fallback_compute": 0, "fallback_shape_work": 0,
            "fallback_to_cuda": 1, "fallback_to_cuda_nodes": "conv (Conv)",
        }  # fmt: skip


class TestRefusing:
    def test_counts_and_names_the_first(self) -> None:
        fallen = [Node(f"n{index}", "Erf", providers.CPU, (("float", 99),), (("float", 99),)) for index in range(7)]
        found = judge([TestAFallback.CONV, *fallen], providers.CUDA)
        with pytest.raises(DeviceError) as caught:
            refuse_compute(found, "cuda", allowed=False)
        assert caught.value.info.code == "fell_back"
        assert caught.value.info.message == (
            "7 of 8 nodes compute on the processor, not with cuda: "
            "n0 (Erf), n1 (Erf), n2 (Erf), n3 (Erf), n4 (Erf) and 2 more"
        )
        refuse_compute(found, "cuda", allowed=True)

    def test_a_graph_of_which_nothing_runs_where_it_was_asked_for(self) -> None:
        with pytest.raises(DeviceError, match="no node runs with tensorrt"):
            refuse_compute(judge([TestAFallback.CONV], providers.TENSORRT), "tensorrt", allowed=False)

    def test_lets_shape_work_pass(self) -> None:
        refuse_compute(judge([TestAFallback.CONV, TestAFallback.SCALES], providers.CUDA), "cuda", allowed=False)


def test_the_runtime_s_own_record_settles_nothing_where_nodes_are_on_the_processor(model: Path) -> None:
    options = ort.SessionOptions()
    options.add_session_config_entry(placement.RECORD, "1")
    session = ort.InferenceSession(str(model), options, providers=[providers.CPU])
    if not hasattr(session, "get_provider_graph_assignment_info"):
        pytest.skip(f"onnxruntime {ort.__version__} does not record where nodes run")
    assert sum(len(part.get_nodes()) for part in session.get_provider_graph_assignment_info()) > 3
    assert placement.assigned(session) is None
