"""torch.compile: where it keeps what it compiled, and what it tells of it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any, Dict, Optional

from device_agents.contract import Reading
from device_agents.errors import DeviceError

_SOURCE = "torch._dynamo.utils.counters"
_COMPILERS = ("c++", "g++", "clang++")


def keep_in(folder: Path) -> None:
    """Before anything is compiled: where the compilers of PyTorch keep what they made."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(folder)
    os.environ["TRITON_CACHE_DIR"] = str(folder / "triton")


def need_compiler() -> None:
    """Errors: DeviceError `no_runtime` where there is no C++ compiler, which Inductor calls for the processor."""
    if not os.environ.get("CXX") and not any(shutil.which(name) for name in _COMPILERS):
        message = "torch.compile wants a C++ compiler, and there is none on PATH"
        raise DeviceError("no_runtime", "load", message, fix="install g++ there, or use mode=eager")


def dismiss_workers() -> None:
    """Inductor keeps the processes that compiled for the next time: beside what is timed they have no place."""
    try:
        from torch._inductor.async_compile import shutdown_compile_workers
    except ImportError:  # PyTorch 2.0 keeps none by that name
        return
    shutdown_compile_workers()


class Counted:
    """What Dynamo and Inductor counted in this process, since it compiled."""

    def __init__(self) -> None:
        from torch._dynamo.utils import counters

        self._counters = counters
        self._first = self._graphs = self._graphs_so_far()

    def compiled(self) -> None:
        """From here on, a graph that is compiled is one too many."""
        self._graphs = self._graphs_so_far()

    def readings(self) -> Dict[str, Reading]:
        """`graph_breaks`: where the network falls back to Python, however many graphs that makes; `compilations`:
        graphs before timing, of whatever sizes; `recompiles`: graphs since; `compile_cache`: warm where all that was
        compiled had been kept, else cold."""
        inductor = self._counters["inductor"]
        warm = inductor["fxgraph_cache_hit"] and not inductor["fxgraph_cache_miss"]
        return {
            "graph_breaks": Reading(sum(self._counters["graph_break"].values()), _SOURCE),
            "compilations": Reading(self._graphs - self._first, _SOURCE),
            "recompiles": Reading(self._graphs_so_far() - self._graphs, _SOURCE),
            "compile_cache": Reading("warm" if warm else "cold", _SOURCE),
        }

    def _graphs_so_far(self) -> int:
        return int(self._counters["stats"]["unique_graphs"])


def compiled(torch: Any, network: Any, mode: str, *, dynamic: Optional[bool] = False, sizes: int = 1) -> Any:
    """The network, to be compiled at its first call, and for as many sizes anew as there are: beyond a limit of its own
    Dynamo would run it eagerly, and say so in its log alone. `dynamic` is torch.compile's own."""
    from torch._dynamo import config

    limit = "recompile_limit" if hasattr(config, "recompile_limit") else "cache_size_limit"
    setattr(config, limit, max(getattr(config, limit), sizes))
    return torch.compile(network, mode=mode, dynamic=dynamic)
