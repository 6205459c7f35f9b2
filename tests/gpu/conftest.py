"""What the tests on a GPU share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from device_agents.cuda import Cuda
from device_agents.errors import DeviceError


@pytest.fixture
def cuda() -> Iterator[Cuda]:
    """The library that the agent would take; skips where there is no GPU to use."""
    try:
        cuda = Cuda.load()
        cuda.device_count()
    except DeviceError as error:
        pytest.skip(f"no NVIDIA GPU to use here: {error}")
    with cuda:
        cuda.set_device(0)
        yield cuda
