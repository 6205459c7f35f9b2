"""FP16 by rounding what operators compute: what torch's own FP16 gives, in the time of FP32."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: pip install 'edgebench[pytorch]'")

from export.pt.rounding import as_type, rounded  # noqa: E402


def network() -> torch.nn.Sequential:
    torch.manual_seed(3)
    return torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3, padding=1),
        torch.nn.BatchNorm2d(8),
        torch.nn.ReLU(inplace=True),
        torch.nn.Conv2d(8, 16, 3, stride=2, groups=2),
        torch.nn.GELU(),
        torch.nn.Flatten(),
        torch.nn.LazyLinear(10),
    ).eval()


@pytest.fixture
def images() -> torch.Tensor:
    return torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(1)).half().float()


def test_it_is_as_far_off_as_torch_s_own_fp16(images: torch.Tensor) -> None:
    net = network()
    with torch.inference_mode():
        exact = net(images)
        with rounded(net):
            found = net(images)
        own = net.half()(images.half()).float()
    off, own_off = (found - exact).abs().max(), (own - exact).abs().max()
    assert off > 0
    assert 0.5 * own_off <= off <= 2 * own_off
    assert (found - own).abs().max() <= own_off


def test_indices_that_are_sorted_as_floats_stay_whole() -> None:
    indices = torch.tensor([2049, 70_001, 3])
    with rounded(torch.nn.Identity()):
        found = torch.topk(indices.float(), 3, largest=False).values.long()
    assert found.tolist() == [3, 2049, 70_001]


def test_weights_are_afterwards_what_they_were(images: torch.Tensor) -> None:
    net = network()
    with torch.inference_mode():
        before = net(images)
        with rounded(net):
            net(images)
        assert torch.equal(net(images), before)
    with as_type(net, torch.bfloat16):
        assert {tensor.dtype for tensor in net.parameters()} == {torch.bfloat16}
    assert {tensor.dtype for tensor in (*net.parameters(), net[1].running_mean)} == {torch.float32}


def test_what_is_written_into_a_view_is_rounded_where_it_lies() -> None:
    class Writes(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = x * 1.0
            y[:, 0] += 1 / 3
            y[:, 1].mul_(1 / 3)
            return y

    x = torch.ones(2, 3)
    with torch.inference_mode(), rounded(Writes()):
        found = Writes()(x)
    assert torch.equal(found, torch.tensor([[4 / 3, 1 / 3, 1.0]]).half().float().expand(2, 3))


def test_what_fp16_does_not_hold_overflows() -> None:
    class Large(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * 300.0

    with torch.inference_mode(), rounded(Large()):
        assert torch.isinf(Large()(torch.full((1,), 300.0))).all()


def test_whole_numbers_are_left_alone() -> None:
    class Counts(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + 1

    with torch.inference_mode(), rounded(Counts()):
        assert Counts()(torch.tensor([2049])).item() == 2050
