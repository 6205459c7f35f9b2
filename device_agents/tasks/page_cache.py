"""What of the model and its runtime lies in the page cache before and after a process of a job: asked where the files
are, be it in a container. A job that is to start cold has it emptied before the first."""

from __future__ import annotations

from pathlib import Path
from typing import List

from device_agents import backends, page_cache, state
from device_agents.contract import JobSpec
from device_agents.page_cache import Cached
from device_agents.system import System
from device_agents.tasks import Work


def run(work: Work) -> Cached:
    """`index` is that of the process which comes next."""
    backend = backends.create(work.spec.backend)
    packages = (*backend.packages, *(backend.gpu_packages if _has_gpu(work.spec) else ()))
    model = _model_files(work, builds=backend.builds)
    if work.spec.cold and work.index == 0:
        page_cache.drop([*model, *page_cache.runtime_files(packages)])
    libraries = page_cache.runtime_files(packages, page_cache.LARGE_BYTES)
    return Cached(page_cache.resident(model), page_cache.resident(libraries))


def _has_gpu(spec: JobSpec) -> bool:
    return spec.options.get("provider") != "cpu" and state.detect_kind(System.here()) != "cpu"


def _model_files(work: Work, *, builds: bool) -> List[Path]:
    """What a process loads: the engine, or the artifact without the samples that it is checked with."""
    if builds:
        return [work.engine_file]
    return [work.artifact / file.name for file in work.spec.files if file.name != work.spec.golden_file]
