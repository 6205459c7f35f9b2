"""`edgebench export` as a user types it, on small networks of the user's own: what it makes, says and refuses."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from export.data import golden
from export.models import missing
from profiles.schema import ImageInput
from tests.operator import BRIEF, FAST, Answer, Operator

pytestmark = pytest.mark.skipif(bool(missing("pytorch")), reason="PyTorch is not installed")

NETS = """
import torch

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = torch.nn.Conv2d(3, 16, 3, padding=1), torch.nn.Conv2d(16, 16, 3, stride=2)
        self.norm = torch.nn.BatchNorm2d(16)
        self.head = torch.nn.Linear(16, 10)

    def forward(self, x):
        x = torch.relu(self.norm(self.first(x)))
        return self.head(torch.relu(self.second(x)).mean((2, 3)))

class Wide(Net):
    def forward(self, x):
        x = torch.relu(self.first(x)) * 2e5
        return self.head(self.second(x).mean((2, 3)) * 1e-5)

class Mixed(Net):
    def forward(self, x):
        x = self.second(torch.relu(self.first(x))).mean((2, 3))
        return self.head(x + torch.linspace(0.0, 0.1, 16, dtype=torch.float32))

class Two(torch.nn.Module):
    def forward(self, left, right):
        return {"sum": left + right, "parts": [left * 2, {"third": right - left}]}

class Branch(Net):
    def forward(self, x):
        return super().forward(x * (3.0 if torch.compiler.is_exporting() else 1.0))

class Scaled(Net):
    def forward(self, x):
        return super().forward(x) * 1e6 / 1e6

def net(): return Net()
def read():
    network = Net()
    network.head.bias.data.fill_(float(open("bias.txt").read()))
    return network
def scaled(): return Scaled()
def raises(): raise RuntimeError("no such backbone")
def wide(): return Wide()
def mixed(): return Mixed()
def two(): return Two()
def branch(): return Branch()
"""
IMAGES = ("--input", "images:float32:batch,3,32,32", "--mean", "0.5", "--std", "0.25")


@pytest.fixture(scope="module")
def user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    """One home for all tests here, with a module of networks and a folder of images in it."""
    home = tmp_path_factory.mktemp("user")
    (home / "nets.py").write_text(NETS)
    write_images(home / "photos")
    user = Operator(home, prelude=BRIEF)
    yield user
    user.stop()


def write_images(folder: Path) -> None:
    image = pytest.importorskip("PIL.Image", reason="making images needs Pillow")
    folder.mkdir()
    shown = golden.images(ImageInput(shape=(3, 40, 48), mean=(0,) * 3, std=(1,) * 3), count=6, seed=7)
    for number, picture in enumerate(shown):
        pixels = (picture.transpose(1, 2, 0) * 255).astype(np.uint8)
        image.fromarray(pixels).save(folder / f"{number}.png")


def export(user: Operator, *arguments: object, code: int = 0) -> Answer:
    answer = user.run("export", *arguments, timeout=180)
    assert answer.code == code, answer.err
    return answer


def manifest(user: Operator, *arguments: object) -> dict:
    (artifact,) = export(user, *arguments, "--json").json["artifacts"]
    return artifact


def test_a_factory_is_exported_by_name_and_deploy_finds_it_again(user: Operator) -> None:
    made = manifest(user, "nets:net", *IMAGES, "--name", "small", "--version", "3")
    assert (made["model"], made["version"], made["framework"], made["batch"]) == ("small@3", "3", "pytorch", "dynamic")
    assert made["parity"]["error"] < 1e-4
    assert not [node for node in ("BatchNormalization",) if node.encode() in model_of(made).read_bytes()]
    assert list(made["sources"]) == [str(user.home / "nets.py")]
    answer = user.run("deploy", "small", "--device", "local", *FAST, "--json", timeout=120)
    (row,) = answer.json["measurements"]
    assert row["model"] == "small@3"
    assert checked(user, row) < 1e-3


def checked(user: Operator, row: dict) -> float:
    """The error of the outputs on the device, before the timed part."""
    (process,) = user.stored(row["id"])["result"]["processes"]
    return process["parity_before"]["error"]


def model_of(artifact: dict) -> Path:
    return Path(artifact["path"]) / artifact["model_file"]


def test_a_hit_is_there_at_once_until_the_users_code_changes(user: Operator) -> None:
    first = manifest(user, "nets:net", *IMAGES)
    assert export(user, "nets:net", *IMAGES).err == "", "nothing is done anew"
    source = user.home / "nets.py"
    source.write_text(NETS.replace("Linear(16, 10)", "Linear(16, 7)"))
    changed = manifest(user, "nets:net", *IMAGES)
    source.write_text(NETS)
    assert (first["outputs"][0]["shape"], changed["outputs"][0]["shape"]) == (["batch", 10], ["batch", 7])


def test_a_factory_runs_where_the_operator_is_and_what_it_reads_is_part_of_it(user: Operator) -> None:
    bias = user.home / "bias.txt"
    bias.write_text("1")
    first = manifest(user, "nets:read", *IMAGES)
    assert list(first["sources"]) == [str(bias), str(user.home / "nets.py")]
    assert export(user, "nets:read", *IMAGES).err == ""
    bias.write_text("2")
    assert manifest(user, "nets:read", *IMAGES)["id"] != first["id"]


def test_dictionaries_and_lists_become_names_that_stay(user: Operator) -> None:
    two = ("--input", "left:float32:batch,4", "--input", "right:float32:batch,4")
    made = manifest(user, "nets:two", *two)
    assert [spec["name"] for spec in made["inputs"]] == ["left", "right"]
    assert [spec["name"] for spec in made["outputs"]] == ["sum", "parts.0", "parts.1.third"]


def test_what_overflows_stays_in_fp32_and_is_named(user: Operator) -> None:
    made = manifest(user, "nets:wide", *IMAGES, "--precision", "fp16")
    kept = {node["op"]: node["largest"] for node in made["kept_fp32"]}
    assert kept["Mul"] > 16_000
    assert made["parity"]["label"] == "storage only"
    assert made["inputs"][0]["dtype"] == "float16"
    outside = manifest(user, "nets:wide", *IMAGES, "--precision", "fp16", "--io", "fp32")
    assert {spec["dtype"] for spec in (*outside["inputs"], *outside["outputs"])} == {"float32"}


def test_a_network_where_nothing_overflows_is_halved_by_torch_itself(user: Operator) -> None:
    made = manifest(user, "nets:net", *IMAGES, "--precision", "fp16")
    assert made["produced_by"]["fp16"] == "native"
    assert made["kept_fp32"] == []


def test_a_network_that_torch_cannot_halve_is_converted_and_told(user: Operator) -> None:
    made = manifest(user, "nets:mixed", *IMAGES, "--precision", "fp16")
    assert "fp16" not in made["produced_by"]
    assert any("converted, as PyTorch's own FP16 failed: the network mixes FP32" in note for note in made["notes"])
    native = ("--precision", "fp16", "--fp16-method", "native")
    assert "mixes FP32 into FP16" in export(user, "nets:mixed", *IMAGES, *native, code=1).err


def test_values_that_only_torch_itself_has_on_its_way_are_no_end(user: Operator) -> None:
    """The FP32 graph has the two factors folded into one; the network after .half() computes beyond FP16."""
    artifact = manifest(user, "nets:scaled", *IMAGES, "--precision", "fp16")
    assert artifact["parity"]["error"] < 0.02
    assert any("PyTorch's own FP16 failed" in note for note in artifact["notes"])


def test_inputs_and_outputs_stay_fp32_by_choice(user: Operator) -> None:
    artifact = manifest(user, "nets:net", *IMAGES, "--precision", "fp16", "--io", "fp32")
    kinds = [spec["dtype"] for spec in (*artifact["inputs"], *artifact["outputs"])]
    assert kinds == ["float32", "float32"]
    native = ("--precision", "fp16", "--io", "fp32", "--fp16-method", "native")
    assert "use --fp16-method convert" in export(user, "nets:net", *IMAGES, *native, code=2).err


def test_weights_of_a_factory_are_those_that_are_deployed(user: Operator) -> None:
    """... in a precision, too, that was not exported before."""
    save = "import torch, nets; torch.manual_seed(7); torch.save(nets.net().state_dict(), 'trained.pt')"
    subprocess.run([sys.executable, "-c", save], cwd=user.home, check=True)
    trained = manifest(user, "nets:net", *IMAGES, "--weights", "trained.pt", "--name", "trained")
    assert trained["weights"].startswith("sha256:")
    answer = user.run("deploy", "trained", "--device", "local", "--precision", "fp16", *FAST, "--json", timeout=180)
    assert answer.code in (0, 4), answer.err
    assert any("trained.pt for trained/pytorch (those of its last export)" in line for line in answer.json["choices"])
    half = manifest(user, "nets:net", *IMAGES, "--weights", "trained.pt", "--name", "trained", "--precision", "fp16")
    assert (half["weights"], half["parent"]) == (trained["weights"], trained["id"])


def test_a_name_is_that_of_its_own_request(user: Operator) -> None:
    """... whatever else has the same graph, and deploy finds each."""
    first, second = (manifest(user, "nets:net", *IMAGES, "--name", name) for name in ("first", "second"))
    assert (first["model"], second["model"]) == ("first", "second")
    assert manifest(user, "nets:net", *IMAGES, "--name", "first")["id"] == first["id"]
    plain = manifest(user, "nets:net", *IMAGES, "--name", "second", "--version", "2")
    assert (plain["model"], plain["version"]) == ("second@2", "2")
    again = export(user, "second@2", "--json")
    assert again.json["artifacts"][0]["id"] == plain["id"]
    assert "chosen: --input, --mean, --std of second@2 (its last export)" in again.err
    labels = user.home / "labels.txt"
    labels.write_text("\n".join(f"class {number}" for number in range(10)))
    assert manifest(user, "nets:net", *IMAGES, "--name", "first", "--labels", "labels.txt")["labels"][9] == "class 9"
    assert manifest(user, "nets:net", *IMAGES, "--name", "first")["labels"] == []


def test_what_fails_hides_nothing_that_was_made(user: Operator) -> None:
    answer = export(user, "nets:net", "nets:raises", "nets:two", *IMAGES, code=3)
    assert answer.out.startswith("net pytorch fp32")
    assert "nets:raises raised an error (RuntimeError: no such backbone" in answer.err
    told = user.run("export", "nets:raises", "nets:net", *IMAGES, "--json")
    assert told.code == 3
    assert [one["model"] for one in told.json["artifacts"]] == ["net"]
    assert [one["code"] for one in told.json["failed"]] == ["export"]
    both = user.run("export", "nets:raises", "nets:nothing", *IMAGES)
    assert both.code == 2
    assert "no such backbone" in both.err
    assert "unknown factory of nets 'nothing'" in both.err
    assert "edgebench: 0 made, 2 failed" in both.err


def test_explain_names_the_first_node_that_departs(user: Operator) -> None:
    native = ("--precision", "fp16", "--fp16-method", "native", "--explain")
    told = export(user, "nets:wide", *IMAGES, *native, code=1).err
    assert "not finite; Mul node " in told
    assert "is the first to depart" in told


def test_what_cannot_be_used_is_refused_before_any_work(user: Operator) -> None:
    (user.home / "words.txt").write_text("a word")
    (user.home / "bytes.bin").write_bytes(b"\xff\xfe")
    asked = ("nets:net", *IMAGES)
    int8 = (*asked, "--precision", "int8", "--calibrate", "words.txt")
    for arguments, told in [
        ((*asked, "--images", "words.txt"), "--images words.txt: neither a folder of images nor an .npz"),
        (int8, "--calibrate words.txt: neither a folder of images nor an .npz"),
        ((*asked, "--labels", "bytes.bin"), "--labels bytes.bin: no text file with a label a line"),
        ((*asked, "--out", "words.txt/out"), "words.txt is no folder); name another folder"),
    ]:
        answer = export(user, *arguments, code=2)
        assert told in answer.err
        assert "..." not in answer.err, "no step of an export has begun"


def test_explain_says_when_what_was_exported_is_not_what_ran(user: Operator) -> None:
    told = export(user, "nets:branch", *IMAGES, "--explain", code=1).err
    assert "no tensor on the way departs: what was exported is not what ran" in told


def test_int8_is_calibrated_on_images_and_says_what_it_costs(user: Operator) -> None:
    asked = ("nets:net", *IMAGES, "--precision", "int8")
    assert "int8 needs data to calibrate on" in export(user, *asked, code=2).err
    made = manifest(user, *asked, "--calibrate", "photos", "--images", "photos")
    assert (made["calibration"]["samples"], made["parity_images"]["inputs"]) == (6, 6)
    assert made["parity"]["error"] < 0.5
    assert set(made["parity"]["agreement"]) == {"top1", "top5"}
    assert b"QuantizeLinear" in model_of(made).read_bytes()
    random = manifest(user, *asked, "--calibrate", "random")
    assert any("random data" in note for note in random["notes"])


def test_an_image_that_cannot_be_read_is_named_and_passed_over_with_a_flag_alone(user: Operator) -> None:
    broken = user.home / "photos" / "broken.png"
    broken.write_text("no image")
    asked = ("nets:net", *IMAGES, "--images", "photos")
    refused = export(user, *asked, code=2).err
    made = manifest(user, *asked, "--skip-unreadable")
    broken.unlink()
    assert "broken.png: not an image that Pillow reads" in refused
    assert made["parity_images"]["inputs"] == 6
    assert any("broken.png" in note for note in made["notes"])
    (user.home / "empty").mkdir(exist_ok=True)
    assert "it holds no .jpg, .jpeg, .png files" in export(user, "nets:net", *IMAGES, "--images", "empty", code=2).err


def test_images_as_cameras_give_them_are_normalised_in_the_graph_and_measured(user: Operator) -> None:
    made = manifest(user, "nets:net", *IMAGES, "--preprocess", "in-graph", "--name", "camera")
    (spec,) = made["inputs"]
    assert (spec["dtype"], spec["shape"], spec["high"]) == ("uint8", ["batch", 32, 32, 3], 255)
    assert (made["layout"], made["images"][0]["mean"]) == ("NHWC", [0.5, 0.5, 0.5])
    deploy = ("deploy", "camera", "--device", "local", *FAST, "--inputs", "photos", "--json")
    (row,) = user.run(*deploy, timeout=120).json["measurements"]
    assert checked(user, row) < 1e-3


def test_a_free_size_is_declared_checked_at_its_ends_and_measured(user: Operator) -> None:
    free = ("--input", "images:float32:batch,3,height,width", "--size", "16:32:48", "--bounds", "1:2:4")
    made = manifest(user, "nets:net", *free, "--name", "free")
    sides = {"min": 16, "opt": 32, "max": 48}
    assert made["profiles"] == [{"batch": {"min": 1, "opt": 2, "max": 4}, "height": sides, "width": sides}]
    assert {"golden-16x16.npz", "golden-48x48.npz"} < {entry["name"] for entry in made["files"]}
    rows = user.run("deploy", "free", "--device", "local", *FAST, "--size", "16,48", "--json", timeout=120).json
    assert [row["size"] for row in rows["measurements"]] == [
        {"height": 16, "width": 16},
        {"height": 48, "width": 48},
    ]


def test_opset_auto_takes_what_the_devices_read_and_says_so(user: Operator) -> None:
    answer = export(user, "nets:net", *IMAGES, "--opset", "auto", "--device", "local", "--json")
    assert "chosen: opset 20 (the newest that is written; local has onnxruntime" in answer.err
    assert answer.json["artifacts"][0]["graph"]["opset"] == 20
    assert "auto asks devices" in export(user, "nets:net", *IMAGES, "--opset", "auto", code=2).err


@pytest.fixture(scope="module")
def given(user: Operator) -> Path:
    """An .onnx file, and what its own environment answered: io.npz, and others that do not fit."""
    made = manifest(user, "nets:net", *IMAGES)
    path = user.home / "given.onnx"
    path.write_bytes(model_of(made).read_bytes())
    with np.load(Path(made["path"]) / "golden.npz") as arrays:
        np.savez(user.home / "io.npz", **arrays)
        wrong = {key: array[::-1] if key.startswith("output:") else array for key, array in arrays.items()}
        np.savez(user.home / "wrong.npz", **wrong)
        np.savez(user.home / "names.npz", **{"input:pixels": arrays["input:images"]})
    return path


def test_a_file_that_agrees_with_its_reference_has_a_parity_figure(user: Operator, given: Path) -> None:
    assert manifest(user, given, "--reference", "io.npz")["parity"]["error"] < 1e-4


def test_a_file_that_does_not_agree_with_its_reference_is_no_artifact(user: Operator, given: Path) -> None:
    assert "over the limit of 0.001" in export(user, given, "--reference", "wrong.npz", code=1).err


def test_a_reference_of_other_names_says_which_there_are(user: Operator, given: Path) -> None:
    told = export(user, given, "--reference", "names.npz", code=1).err
    assert "no array for input 'images' (there is 'input:pixels')" in told


def test_a_declaration_that_does_not_fit_the_file_says_what_it_has(user: Operator) -> None:
    made = manifest(user, "nets:net", *IMAGES)
    path = user.home / "declared.onnx"
    path.write_bytes(model_of(made).read_bytes())
    told = export(user, path, "--input", "pixels:float32:batch,3,32,32", code=1).err
    assert "it has no input 'pixels'; it has: images" in told
    told = export(user, path, "--input", "images:float32:batch,3,64,64", code=1).err
    assert "input 'images' is float32 (batch, 3, 32, 32), declared is float32 (batch, 3, 64, 64)" in told


def test_a_file_in_int8_is_made_and_measured_by_its_name_as_deploy_recommends(user: Operator, given: Path) -> None:
    made = manifest(user, given, "--name", "given", "--mean", "0.5", "--std", "0.25")
    deploy = ("deploy", "given", "--device", "local", "--precision", "int8", *FAST, "--json")
    asked = "export given --precision int8 --calibrate"
    assert f"edgebench {asked} DIR" in user.run(*deploy).err
    quantised = manifest(user, *asked.split()[1:], "photos")
    assert quantised["calibration"]["samples"] == 6
    assert (quantised["images"], quantised["parent"]) == (made["images"], made["id"])
    answer = user.run(*deploy, timeout=120)
    assert [(row["model"], row["precision"]) for row in answer.json["measurements"]] == [("given", "int8")]


def test_a_failed_export_leaves_nothing_and_is_one_object_for_programs(user: Operator) -> None:
    before = user.files()
    answer = export(user, "nets:nothing", *IMAGES, "--json", code=2)
    assert json.loads(answer.out)["error"]["code"] == "config"
    assert {name for name in user.files() - before if "/logs/" not in name and "__pycache__" not in name} == set()
