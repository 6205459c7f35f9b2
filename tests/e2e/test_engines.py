"""Engines ahead of time by the real TensorRT-RTX, which builds without a GPU; listing engines, bringing one home."""

import hashlib
import json
import shutil
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.operator import Answer, Operator

pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX is not installed: pip install 'edgebench[tensorrt-rtx]'")

RTX = ("--engine", "tensorrt-rtx")
AHEAD = "built ahead of time on a machine that cannot run it: no device has checked it yet"


@dataclass(frozen=True)
class Stock:
    """What an operator has who built the small model for two targets, and what that printed."""

    home: Path
    answer: Answer


@pytest.fixture(scope="module")
def stock(tmp_path_factory: pytest.TempPathFactory, tiny_onnx: Path) -> Stock:
    operator = Operator(tmp_path_factory.mktemp("stock"))
    request = ("export", tiny_onnx, *RTX, "--target", "sm80,SM86", "--out", "out", "--json")
    return Stock(operator.home, operator.run(*request, timeout=300))


@pytest.fixture
def stocked(operator: Operator, stock: Stock) -> Operator:
    """An operator with a copy of it, to do with as a test likes."""
    shutil.copytree(stock.home, operator.home, dirs_exist_ok=True)
    return operator


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def engines_in_store(operator: Operator) -> list[Path]:
    return sorted((operator.home / ".cache/edgebench/artifacts").glob("*/model.engine"))


@pytest.fixture
def with_nonzero(tmp_path: Path) -> Path:
    """An operator that TensorRT-RTX lacks, by a node's name."""
    import onnx

    helper, kind = onnx.helper, onnx.TensorProto
    graph = helper.make_graph(
        [
            helper.make_node("NonZero", ["images"], ["where"], name="the_one_it_lacks"),
            helper.make_node("Cast", ["where"], ["as_float"], to=kind.FLOAT),
            helper.make_node("ReduceSum", ["as_float"], ["total"], keepdims=0),
            helper.make_node("Add", ["images", "total"], ["out"]),
        ],
        "nonzero",
        [helper.make_tensor_value_info("images", kind.FLOAT, ["batch", 8])],
        [helper.make_tensor_value_info("out", kind.FLOAT, ["batch", 8])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path = tmp_path / "nonzero.onnx"
    onnx.save(model, path)
    return path


def test_one_engine_a_target_is_kept_with_its_parent_and_copied_out(stock: Stock) -> None:
    assert stock.answer.code == 0, stock.answer.err
    engines, artifacts = stock.answer.json["artifacts"], stock.home / ".cache/edgebench/artifacts"
    assert [engine["target"] for engine in engines] == ["sm80", "sm86"]
    assert len({engine["id"] for engine in engines}) == 2
    for engine in engines:
        copy = stock.home / engine["copy"]
        report, plan = json.loads((copy / "engine.json").read_text()), copy / "model.engine"
        parent = json.loads((artifacts / engine["parent"] / "manifest.json").read_text())
        assert (engine["format"], engine["precision"], engine["batch"]) == ("engine", "fp16", 1)
        assert (parent["format"], parent["batch"], parent["weights"]) == ("onnx", 1, engine["weights"])
        assert engine["parity"] == {"reason": AHEAD}
        assert report["file"] == {"name": "model.engine", "sha256": sha256(plan), "size": plan.stat().st_size}
        assert (report["runtime"], report["made_of"]["target"]) == ("tensorrt-rtx", engine["target"])
        assert engine["produced_by"]["tensorrt-rtx"] == report["runtime_version"]
        assert engine["produced_by"]["builder"] == "local"
        assert report["artifact"] == engine["parent"]
    assert sorted(path.name for path in (stock.home / "out").iterdir()) == [
        "tiny-onnx-fp16-b1-sm80",
        "tiny-onnx-fp16-b1-sm86",
    ]


def test_the_same_request_builds_nothing_and_fresh_does(stocked: Operator, stock: Stock, tiny_onnx: Path) -> None:
    request = ("export", tiny_onnx, *RTX, "--target", "sm80", "--json")
    first = stock.answer.json["artifacts"][0]
    again = stocked.run(*request, timeout=300)
    assert again.code == 0, again.err
    assert [engine["id"] for engine in again.json["artifacts"]] == [first["id"]]
    assert ("building" in stock.answer.err, "building" in again.err) == (True, False)
    fresh = stocked.run(*request, "--fresh", timeout=300)
    assert fresh.code == 0, fresh.err
    assert "building" in fresh.err
    assert fresh.json["artifacts"][0]["parent"] == first["parent"]


def test_bounds_reach_the_engine_as_profiles(operator: Operator, tiny_onnx: Path) -> None:
    bounds = ("--bounds", "1:8:32", "--bounds", "33:64:64")
    answer = operator.run("export", tiny_onnx, *RTX, "--target", "sm89", *bounds, "--json", timeout=300)
    assert answer.code == 0, answer.err
    (engine,) = answer.json["artifacts"]
    profiles = [{"batch": {"min": 1, "opt": 8, "max": 32}}, {"batch": {"min": 33, "opt": 64, "max": 64}}]
    assert (engine["batch"], engine["profiles"]) == ("dynamic", profiles)
    report = json.loads((Path(engine["path"]) / "engine.json").read_text())
    assert report["profiles"] == profiles
    parent = operator.home / ".cache/edgebench/artifacts" / engine["parent"]
    assert json.loads((parent / "shapes.json").read_text()) == {"profiles": profiles}
    listed = operator.run("engines", "list")
    assert "batch 1:8:32; batch 33:64:64" in listed.out, listed.out + listed.err


def test_a_build_option_makes_another_engine_and_an_unknown_one_is_refused(stocked: Operator, tiny_onnx: Path) -> None:
    request = ("export", tiny_onnx, *RTX, "--target", "sm80", "--json")
    before = engines_in_store(stocked)
    option = stocked.run(*request, "--option", "optimization_level=1", timeout=300)
    assert option.code == 0, option.err
    after = engines_in_store(stocked)
    assert len(after) == len(before) + 1
    for text in ("optimisation_level=1", "target=sm80", "streams=2"):
        refused = stocked.run(*request, "--option", text, timeout=300)
        assert refused.code == 2, text
        assert f"unknown build option {text.partition('=')[0]!r}" in refused.err
    assert engines_in_store(stocked) == after


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (
            ("--engine", "tensorrt", "--target", "sm80"),
            "built on the device that runs them; `edgebench deploy` does that",
        ),
        (("--engine", "tensort-rtx", "--target", "sm80"), "did you mean 'tensorrt-rtx'?"),
        (RTX, "one kind of GPU; --target sm75,sm80"),
        ((*RTX, "--target", "sm87"), "sm87 is Jetson Orin, for which TensorRT-RTX builds no engine; use sm75"),
        ((*RTX, "--target", "sm90"), "sm90 is H100"),
        ((*RTX, "--target", "sm80", "--batch", "dynamic"), "such as --bounds 1:8:32"),
        ((*RTX, "--target", "sm80", "--batch", "0"), "0 is not between 1 and 4096"),
        (("--target", "sm80"), "it is for an engine, and none is asked for"),
        (("--option", "optimization_level=1"), "it is for an engine, and none is asked for"),
        (("--bounds", "1:8"), "'1:8' is not MIN:OPT:MAX; for example 1:8:32"),
        (("--bounds", "8:4:16"), "8:4:16 is not 1 <= min <= opt <= max"),
        (("--batch", "4", "--bounds", "1:8:32"), "the batch is fixed to 4"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence_before_any_work(
    operator: Operator, tiny_onnx: Path, arguments: tuple[str, ...], told: str
) -> None:
    answer = operator.run("export", tiny_onnx, *arguments)
    assert (answer.code, answer.out) == (2, "")
    assert told in answer.err
    assert len(answer.err.strip().splitlines()) == 1
    assert operator.files() == set()


def test_without_tensorrt_rtx_the_extra_is_named(operator: Operator, tiny_onnx: Path) -> None:
    bare = Path("/usr/bin/python3")
    if not bare.exists():
        pytest.skip("there is no /usr/bin/python3 to stand for one without TensorRT-RTX")
    (operator.home / "fleet.toml").write_text(f'[devices.local]\npython = "{bare}"\n')
    answer = operator.run("export", tiny_onnx, *RTX, "--target", "sm80")
    assert answer.code == 2
    assert "pip install 'edgebench[tensorrt-rtx]'" in answer.err
    assert engines_in_store(operator) == []


def test_an_operator_that_it_lacks_is_named_and_nothing_is_left(operator: Operator, with_nonzero: Path) -> None:
    request = ("export", with_nonzero, *RTX, "--precision", "fp32", "--target", "sm80,sm86", "--out", "out")
    answer = operator.run(*request, timeout=300)
    assert (answer.code, answer.out) == (1, "")
    assert "NonZero" in answer.err
    assert "the_one_it_lacks" in answer.err
    assert engines_in_store(operator) == []
    assert not (operator.home / "out").exists()
    assert not [name for name in operator.files() if "model.engine" in name]
    assert not [path for path in (operator.home / ".cache/edgebench").iterdir() if path.name.startswith("making-")]


def test_ctrl_c_ends_the_build_and_leaves_nothing(operator: Operator, heavy_onnx: Path) -> None:
    request = ("export", heavy_onnx, *RTX, "--precision", "fp32", "--target", "sm80", "--out", "out")
    child = operator.start(*request)
    end = time.monotonic() + 120
    while _states_of_builds(operator) != ["running"] and child.poll() is None and time.monotonic() < end:
        time.sleep(0.01)
    assert child.poll() is None, child.communicate()
    child.send_signal(signal.SIGINT)
    child.wait(timeout=60)
    assert child.returncode == 130
    assert _states_of_builds(operator) == ["cancelled"]
    assert engines_in_store(operator) == []
    assert not (operator.home / "out").exists()


def _states_of_builds(operator: Operator) -> list[str]:
    paths = (operator.home / ".cache/edgebench").glob("*/jobs/build-*/status.json")
    return [json.loads(path.read_text())["state"] for path in paths]


def test_an_engine_comes_home_whole_by_the_beginning_of_its_key(stocked: Operator) -> None:
    listed = stocked.run("engines", "list", "local", "--json").json["engines"]
    assert [(row["device"], row["model"], row["runtime"]) for row in listed] == [
        ("local", "tiny/onnx", "tensorrt-rtx")
    ] * 2
    one = listed[0]
    table = stocked.run("engines", "list").out
    for text in (one["key"][:12], "tiny/onnx", f"tensorrt-rtx {one['runtime_version']}", "fp16", "1x3x32x32"):
        assert text in table
    pulled = stocked.run("engines", "pull", one["key"][:9], "--device", "local", "--out", "home")
    assert pulled.code == 0, pulled.err
    home = stocked.home / "home"
    assert sorted(path.name for path in home.iterdir()) == ["engine.json", "model.engine"]
    assert json.loads((home / "engine.json").read_text())["key"] == one["key"]
    assert sha256(home / "model.engine") == one["file"]["sha256"]
    assert f"model.engine: tensorrt-rtx {one['runtime_version']}" in pulled.out
    assert f"sha256 {one['file']['sha256']}\n" in pulled.out
    assert len({path.stat().st_mode for path in home.iterdir()}) == 1, "as the umask says, both"
    again = stocked.run("engines", "pull", one["key"], "--device", "local", "--out", "home")
    assert (again.code, "name a new folder with --out" in again.err) == (2, True)


def test_a_device_that_does_not_answer_is_in_a_list_of_failures_as_deploy_has_it(operator: Operator) -> None:
    (operator.home / "fleet.toml").write_text('[devices.far]\nhost = "127.0.0.1"\nport = 1\nprofile = "t4-16gb"\n')
    answer = operator.run("engines", "list", "far", "--json")
    assert answer.code == 1
    (failure,) = answer.json["failed"]
    assert failure["device"] == "far"
    assert failure["error"]["message"]


def test_an_engine_that_is_not_there_or_not_whole_leaves_nothing_at_home(stocked: Operator) -> None:
    before = sorted(stocked.home.iterdir())
    keys = [path.parent.name for path in stocked.device_home.glob("engines/*/model.engine")]
    unknown = stocked.run("engines", "pull", "zzz", "--device", "local", "--out", "home")
    assert (unknown.code, len(unknown.err.strip().splitlines())) == (2, 1)
    assert all(key[:12] in unknown.err for key in keys)
    assert "2 engines begin with ''" in stocked.run("engines", "pull", "", "-d", "local", "--out", "home").err
    assert "no device of family orin" in stocked.run("engines", "pull", "a", "-d", "orin", "--out", "h").err
    damaged = stocked.device_home / "engines" / keys[0] / "model.engine"
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"!")
    refused = stocked.run("engines", "pull", keys[0], "--device", "local", "--out", "home")
    assert refused.code == 1
    assert "is not the one that its manifest describes" in refused.err
    assert sorted(stocked.home.iterdir()) == before
