"""A second opinion: another tool times the engine that was timed, with the same load pattern and switches."""

from __future__ import annotations

import statistics

from device_agents import backends, runtimes
from device_agents.backends.base import SelfTimed
from device_agents.contract import Opinion
from device_agents.errors import DeviceError, with_log
from device_agents.tasks import Work
from device_agents.tasks.trial import own_data


def run(work: Work) -> Opinion:
    """A tool that is missing or fails is an opinion with an error: it costs no measurement."""
    name = str(work.spec.check_with)
    version = command = ""
    try:
        tool = backends.create(name)
        if not isinstance(tool, SelfTimed):
            fix = "--check-with takes a tool that times by itself: trtexec"
            raise DeviceError("unsupported", "opinion", f"{name} cannot check another backend", fix=fix)
        version = runtimes.version_of(tool, name)
        engine = work.engine_file
        tool.load(engine, work.spec)
        command = work.repeatable(tool.command(work.spec, work.engine.report))
        given = own_data(work)
        first = given.batches(work.spec)[0] if given else None
        own = tool.time(engine, work.spec, (), work.job, first)
    except DeviceError as error:
        return Opinion(name, version, command, {}, error=with_log(error.info, work.job))
    # no latency: the tool's is a sum by the GPU's clock, ours is the host's, and to divide them would mislead
    figures = {f"{part}_median": round(statistics.median(values)) for part, values in own.parts.items() if values}
    served = len(own.samples_ns) * work.spec.batch
    return Opinion(name, version, command, figures, served * 1e9 / own.elapsed_ns if own.elapsed_ns else None)
