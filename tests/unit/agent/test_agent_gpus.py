"""Which GPU of a host a job takes, and what is told of the others. nvidia-smi is a stand-in: tests/stand_ins."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from device_agents import gpus, state
from device_agents.errors import DeviceError
from device_agents.formats.nvidia_smi import parse_instances
from device_agents.system import System
from tests import recorded

BUSY = {"memory.used": "30720", "utilization.gpu": "97", "apps": [{"pid": 71, "process_name": "train"}]}
MIG = "MIG-c6d4f1ef-42e4-5de3-91c7-45d71c87eb3f"


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return tmp_path / "bin"


def host(tools: Path, *each: dict[str, Any]) -> System:
    recorded.gpus(tools, *({"uuid": f"GPU-{index}", **gpu} for index, gpu in enumerate(each)))
    return System()


def order(system: System, wanted: str = "") -> list[int]:
    return [choice.gpu.index for choice in gpus.choices(system, wanted)]


class TestTheDefault:
    def test_is_a_gpu_on_which_nothing_computes(self, tools: Path) -> None:
        system = host(tools, BUSY, {"utilization.gpu": "3"}, {})
        assert order(system) == [2, 1, 0]
        choice = gpus.choices(system, "")[0]
        assert choice.why == "the first idle one of 3 (0 % busy, 0 processes, 0.0 GiB used)"
        assert choice.environment == {
            "CUDA_VISIBLE_DEVICES": "GPU-2", "CUDA_DEVICE_ORDER": "PCI_BUS_ID", "EDGEBENCH_GPU": "GPU-2",
        }  # fmt: skip

    def test_is_the_least_busy_where_none_is_idle(self, tools: Path) -> None:
        system = host(tools, BUSY, {**BUSY, "memory.used": "9000"})
        assert order(system) == [1, 0]
        assert gpus.choices(system, "")[0].why.startswith("the least busy one of 2 (97 % busy, 1 process, 8.8 GiB")

    def test_memory_counts_before_load_and_the_driver_s_own_does_not(self, tools: Path) -> None:
        assert order(host(tools, {"memory.used": "4000"}, {"memory.used": "450", "utilization.gpu": "40"}, {})) == [
            2,
            1,
            0,
        ]

    def test_of_one_gpu_is_that_one_and_nothing_is_pinned(self, tools: Path) -> None:
        (choice,) = gpus.choices(host(tools, BUSY), "")
        assert (choice.environment, choice.pinned) == ({}, False)

    @pytest.mark.parametrize(("visible", "indices"), [("1", [1]), ("GPU-2,0", [2, 0]), ("", []), ("7", [])])
    def test_keeps_to_what_a_batch_system_left(
        self, tools: Path, monkeypatch: pytest.MonkeyPatch, visible: str, indices: list[int]
    ) -> None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
        assert order(host(tools, BUSY, {}, {})) == indices

    def test_a_driver_that_tells_nothing_leaves_no_choice(self, tools: Path) -> None:
        tools.mkdir()
        (tools / "nvidia-smi").write_text("#!/bin/sh\necho 'NVIDIA-SMI has failed'; exit 9\n")
        (tools / "nvidia-smi").chmod(0o755)
        assert gpus.choices(System(), "") == []


class TestOneThatIsNamed:
    @pytest.mark.parametrize("wanted", ["1", "GPU-1"])
    def test_is_taken_busy_or_not(self, tools: Path, wanted: str) -> None:
        (choice,) = gpus.choices(host(tools, {}, BUSY), wanted)
        assert (choice.gpu.uuid, choice.pinned, choice.free) == ("GPU-1", True, False)

    def test_and_absent_is_an_error_that_lists_what_there_is(self, tools: Path) -> None:
        with pytest.raises(DeviceError, match=r"there is no GPU 4 \(nvidia-smi names: 0 GPU-0, 1 GPU-1\)"):
            gpus.choices(host(tools, {}, {}), "4")


class TestMig:
    def test_an_instance_is_pinned_and_its_board_is_read(self, tools: Path) -> None:
        system = host(tools, {}, {"mig": [MIG, "MIG-b"], "utilization.gpu": "[N/A]", "clocks.sm": "1111"})
        assert [gpu.uuid for gpu in gpus.look(system)] == ["GPU-0", MIG, "MIG-b"]
        (choice,) = gpus.choices(system, MIG)
        assert choice.environment["CUDA_VISIBLE_DEVICES"] == MIG
        kind, identity, _ = state.describe(choice.seen(system), choice)
        assert (kind, identity["gpu_instance"].value, identity["gpu_uuid"].value) == ("nvidia_gpu", MIG, "GPU-1")
        assert state.snapshot(choice.seen(system))["gpu_clocks_sm"].value == 1111

    def test_listings_of_old_and_new_drivers(self) -> None:
        old = "MIG-GPU-5c89852c-d268-c3f3-1b07-005d5ae1dc3f/7/0"
        text = f"GPU 0: A100 (UUID: GPU-5c89852c)\n  MIG 1g.5gb Device 0: (UUID: {old})\nGPU 1: A100 (UUID: GPU-2)\n"
        assert parse_instances(text) == {"GPU-5c89852c": [old], "GPU-2": []}


class TestWhatIsTold:
    def test_of_a_free_choice_the_uuid_is_context_as_another_one_would_do(self, tools: Path) -> None:
        system = host(tools, BUSY, {"name": "A30"})
        choice = gpus.choices(system, "")[0]
        _, identity, context = state.describe(choice.seen(system), choice)
        assert identity["gpu_name"].value == "A30"
        assert "gpu_uuid" not in identity
        assert context["gpu_uuid"].value == "GPU-1"
        assert context["gpu_choice"].value == "1 (GPU-1): the first idle one of 2 (0 % busy, 0 processes, 0.0 GiB used)"
        assert context["gpu_neighbours"].value == "0: 97 % busy, 1 process, 30.0 GiB used"
        assert context["gpu_processes"].value == "none", "of this GPU, not of the first"

    def test_of_one_that_was_named_the_uuid_is_identity(self, tools: Path) -> None:
        system = host(tools, {}, {})
        (choice,) = gpus.choices(system, "1")
        _, identity, context = state.describe(choice.seen(system), choice)
        assert identity["gpu_uuid"].value == "GPU-1"
        assert context["gpu_choice"].value == "1 (GPU-1): asked for"
