"""What torchvision has, and what its networks are built with."""

from __future__ import annotations

from pathlib import Path

import pytest

from device_agents.contract import Precision
from export.pt import catalog, weights
from export.request import ExportRequest
from profiles.errors import ConfigError, ExportError

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
torchvision = pytest.importorskip("torchvision", reason="torchvision is not installed")

REQUEST = ExportRequest("a network", "pytorch", Precision.FP32, "dynamic", "random")


def test_every_network_but_the_quantized_ones_has_an_entry() -> None:
    every = set(torchvision.models.list_models())
    quantized = {name for name in every if name.startswith("quantized_")}
    assert set(catalog.names()) == every - quantized
    for name, task in catalog.names().items():
        entry = catalog.find(name)
        assert entry.task == task
        assert len(entry.images) == (2 if task == "optical_flow" else 1)
        assert all(len(image.shape) == (4 if task == "video" else 3) for image in entry.images)


@pytest.mark.parametrize(
    ("name", "shape", "labels"),
    [
        ("resnet50", (3, 224, 224), 1000),
        ("efficientnet_b3", (3, 300, 300), 1000),
        ("vit_h_14", (3, 518, 518), 1000),
        ("fcn_resnet50", (3, 520, 520), 21),
        ("ssd300_vgg16", (3, 300, 300), 91),
        ("ssdlite320_mobilenet_v3_large", (3, 320, 320), 91),
        ("fasterrcnn_mobilenet_v3_large_320_fpn", (3, 320, 320), 91),
        ("fasterrcnn_mobilenet_v3_large_fpn", (3, 800, 800), 91),
        ("keypointrcnn_resnet50_fpn", (3, 800, 800), 2),
        ("r3d_18", (3, 16, 112, 112), 400),
        ("mvit_v2_s", (3, 16, 224, 224), 400),
        ("raft_small", (3, 520, 960), 0),
    ],
)
def test_the_images_and_labels_of_a_network(name: str, shape: tuple[int, ...], labels: int) -> None:
    entry = catalog.find(name)
    assert entry.images[0].shape == shape
    assert len(entry.labels) == labels


def test_pixels_are_normalised_as_the_weights_want_them_or_by_the_detector_itself() -> None:
    assert catalog.find("efficientnet_v2_l").images[0].mean == (0.5, 0.5, 0.5)
    assert catalog.find("r3d_18").images[0].std == (0.22803, 0.22145, 0.216989)
    detector = catalog.find("fcos_resnet50_fpn").images[0]
    assert (detector.mean, detector.std) == ((0.0,) * 3, (1.0,) * 3)


def test_sides_of_detectors_are_those_at_which_torchvision_does_not_resize() -> None:
    for name in ("ssdlite320_mobilenet_v3_large", "fasterrcnn_mobilenet_v3_large_320_fpn"):
        entry = catalog.find(name)
        transform = catalog.build(entry).transform
        side = transform.fixed_size[0] if transform.fixed_size else transform.min_size[-1]
        assert entry.images[0].shape == (3, side, side)


def test_unknown_names_are_told_the_nearest() -> None:
    for name, near in {"resnet81": "resnet18", "fcn_resnet5": "fcn_resnet50", "quantized_resnet18": "resnet18"}.items():
        with pytest.raises(ConfigError, match=f"unknown torchvision model '{name}' \\(did you mean '{near}'"):
            catalog.find(name)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """torchvision's cache of weights, empty, and no network."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder


def test_pretrained_networks_are_as_torchvision_builds_them(cache: Path) -> None:
    """GoogLeNet's weights want their images in another range, which it does itself with them alone."""
    trained = torchvision.models.googlenet(aux_logits=True, init_weights=False)
    torch.save(trained.state_dict(), cache / "googlenet-1378be20.pth")
    entry = catalog.find("googlenet")
    network = catalog.build_pretrained(entry, None)
    assert network.transform_input
    assert network.aux1 is None
    assert torch.equal(network.conv1.conv.weight, trained.conv1.conv.weight)
    assert catalog.build(entry).transform_input


def test_weights_that_are_not_there(cache: Path) -> None:
    entry = catalog.find("squeezenet1_1")
    with pytest.raises(ExportError, match=r"cannot be downloaded .* use --weights random, or --weights PATH"):
        catalog.build_pretrained(entry, None)
    with pytest.raises(ConfigError, match="unknown weights of torchvision's squeezenet1_1 'IMAGENET1K_V9'"):
        catalog.build_pretrained(entry, "SqueezeNet1_1_Weights.IMAGENET1K_V9")
    (cache / "squeezenet1_1-b8a52dc0.pth").write_bytes(b"no weights")
    with pytest.raises(ExportError, match=r"cannot read the pretrained weights .* remove .*squeezenet1_1-b8a52dc0.pth"):
        catalog.build_pretrained(entry, None)


def test_weights_from_a_file_are_the_networks(tmp_path: Path) -> None:
    entry = catalog.find("squeezenet1_1")
    torch.manual_seed(5)
    trained = torchvision.models.squeezenet1_1()
    state = {f"module.{name}": value for name, value in trained.state_dict().items()}
    torch.save({"state_dict": state}, tmp_path / "mine.pth")
    request = ExportRequest("x", "pytorch", Precision.FP32, 1, "sha256:0", weights_path=tmp_path / "mine.pth")
    network = weights.load(entry, request, None)
    assert torch.equal(network.features[0].weight, trained.features[0].weight)
    torch.save({"features.0.weight": torch.zeros(1)}, tmp_path / "mine.pth")
    with pytest.raises(ExportError, match=r"mine\.pth: the weights lack .* another network's"):
        weights.load(entry, request, None)


class Small(torch.nn.Module):
    """Its part is called what nn.DataParallel calls the whole."""

    def __init__(self) -> None:
        super().__init__()
        self.module = torch.nn.BatchNorm1d(2)


@pytest.mark.parametrize("prefix", ["", "module."])
def test_only_what_data_parallel_put_before_the_names_is_taken_off(tmp_path: Path, prefix: str) -> None:
    trained, network = Small(), Small()
    trained.module.weight.data += 1
    torch.save({prefix + name: value for name, value in trained.state_dict().items()}, tmp_path / "mine.pth")
    weights.load_file(network, tmp_path / "mine.pth")
    assert torch.equal(network.module.weight, trained.module.weight)


def test_weights_that_a_network_has_no_use_for_are_another_networks(tmp_path: Path) -> None:
    path = tmp_path / "mine.pth"
    state = {f"{part}.weight": torch.zeros(2, 2) for part in ("0", "1")}
    network = torch.nn.Sequential(torch.nn.Linear(2, 2, bias=False))
    torch.save(state, path)
    with pytest.raises(ExportError, match=r"mine\.pth: the weights hold '1\.weight', which the network does not have"):
        weights.load_file(network, path)
    torch.save(
        {"0.weight": torch.ones(2, 2), "aux1.weight": torch.zeros(1), "1.num_batches_tracked": torch.ones(1)}, path
    )
    weights.load_file(network, path)
    assert network[0].weight.sum() == 4
    heads = torch.nn.ModuleDict({"aux1": torch.nn.Linear(2, 2, bias=False)})
    torch.save({"aux1.weight": torch.ones(2, 2), "aux1.bias": torch.zeros(2)}, path)
    with pytest.raises(ExportError, match=r"the weights hold 'aux1\.bias'"):
        weights.load_file(heads, path)


def test_a_file_whose_keys_are_no_names_is_no_state_dict(tmp_path: Path) -> None:
    torch.save({0: torch.zeros(2)}, tmp_path / "mine.pth")
    with pytest.raises(ExportError, match=r"mine\.pth: holds no state dict; save it with torch\.save"):
        weights.load_file(torch.nn.Linear(2, 2), tmp_path / "mine.pth")
