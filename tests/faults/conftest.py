"""Every fault is made on a device of the test's own, and leaves nothing running there nor open here."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.faults import leaks
from tests.ssh.sshd import Sshd

Start = Callable[..., Sshd]


@pytest.fixture
def start_sshd(start_sshd: Start) -> Iterator[Start]:
    """As in tests/ssh, and at the end of the test nothing of ours may run on any of them."""
    servers: list[Sshd] = []

    def begin(*args: object, **kwargs: object) -> Sshd:
        servers.append(start_sshd(*args, **kwargs))
        return servers[-1]

    before = leaks.open_files()
    yield begin
    for server in servers:
        server.thaw()
        leaks.assert_quiet(server)
    assert leaks.open_files() <= before


@pytest.fixture
def server(start_sshd: Start) -> Sshd:
    return start_sshd()
