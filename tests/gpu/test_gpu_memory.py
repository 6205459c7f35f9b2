"""Memory by stage on a real GPU: what a process takes there is what its board tells of it."""

from __future__ import annotations

import pytest

from device_agents.cuda import Cuda
from device_agents.footprint import Footprint
from device_agents.system import System
from tests.jobs import job_spec

pytestmark = pytest.mark.leaves("CUDA's driver keeps pipes, threads and its context for the life of the process")

SIZE = 256 << 20


def test_a_stage_that_takes_memory_of_the_gpu_is_seen_to(cuda: Cuda) -> None:
    with Footprint(System(), job_spec(inputs=(), outputs=(), batch=1)) as memory:
        cuda.stream().synchronize()  # the context is there
        memory.end("import")
        cuda.device_memory(SIZE)
        memory.end("load")
    before, load = memory.stages["import"], memory.stages["load"]
    told = [name for name in ("device_process", "device") if name in load]
    if not told:
        pytest.skip("no NVML here, or a Jetson, whose memory is shared")
    assert load[told[0]] - before[told[0]] >= SIZE
