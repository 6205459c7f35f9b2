"""Every mistake gets one sentence (what, where, the fix), the right exit code, and leaves nothing behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.operator import Operator


def one_sentence(err: str) -> str:
    """The error line; a traceback or a second complaint fails."""
    lines = [line for line in err.splitlines() if line and not line.endswith(" ...")]
    assert len(lines) == 1, err
    assert "Traceback" not in err
    return lines[0]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["deploy", "resnet19"],
            ["unknown model 'resnet19' (did you mean 'resnet18'?)", "torchvision:NAME"],
        ),
        (["export", "resnet19"], ["unknown model 'resnet19'"]),
        (["export", "no/such.onnx"], ["no/such.onnx", "no such file"]),
        (["deploy", "mobilenet_v3_large", "--framework", "tensorflow"], ["there is no tensorflow of it"]),
        (["deploy", "resnet18", "--device", "orrin"], ["--device", "'orrin'", "names: local"]),
        (["deploy", "resnet18", "--device", "orin"], ["no device of family orin", "edgebench init"]),
        (["deploy", "resnet18", "--device", "local and"], ["expected a name"]),
        (["deploy", "resnet18", "--device", "(local"], ["expected `)` after '( local'"]),
        (["sweep", "."], ["is a folder, and a plan is a file", "first-look"]),
        (["engines", "list", "orrin"], ["edgebench: EXPR: no device", "'orrin'"]),
        (["deploy", "resnet18", "--backend", "tensorrrt"], ["unknown backend 'tensorrrt'", "onnxruntime"]),
        (["deploy", "resnet18", "--batch", "1,x"], ["--batch", "'1,x'", "1,8,32"]),
        (["deploy", "resnet18", "--batch", "0"], ["--batch"]),
        (["deploy", "resnet18", "--pattern", "rat"], ["--pattern", "unknown load pattern 'rat'; allowed: serial"]),
        (["deploy", "resnet18", "--processes", "0"], ["--processes"]),
        (["deploy", "resnet18", "--weights", "no/such.pth"], ["no/such.pth", "pretrained, random or the path"]),
        (["deploy", "resnet18", "resnet18"], ["resnet18 is named twice"]),
        (["deploy", "resnet18", "--option", "threads"], ["--option", "KEY=VALUE"]),
        (
            ["deploy", "resnet18", "--lock-clocks"],
            ["--lock-clocks", "is for a Jetson or a discrete NVIDIA GPU; local is"],
        ),
        (["deploy", "resnet18", "--power-mode", "MAXN"], ["--power-mode", "is for a Jetson; local is a CPU"]),
        (["deploy", "resnet18", "--fleet", "no.toml"], ["no.toml", "edgebench init"]),
        (["export", "resnet18", "--batch", "many"], ["--batch", "'many'"]),
        (["results", "show", "abc"], ["no measurement begins with 'abc'", "results list"]),
        (["profiles", "show", "resnet19"], ["resnet19"]),
        (["devices", "trust", "local"], ["no host key"]),
        (["init", "orin-1@10.0.0.1"], ["NAME=PROFILE[@HOST"]),
        (["init", "orin-1=jetson@10.0.0.1"], ["unknown device profile 'jetson'"]),
    ],
)
def test_refused_before_any_work(operator: Operator, arguments: list[str], said: list[str]) -> None:
    answer = operator.run(*arguments)
    assert answer.code == 2, answer.err
    for words in said:
        assert words in one_sentence(answer.err)
    assert answer.out == ""
    assert operator.files() == set()


def test_what_the_parser_refuses_is_json_where_that_was_asked_for(operator: Operator) -> None:
    answer = operator.run("deploy", "resnet18", "--builds", "x", "--json")
    assert answer.code == 2
    error = answer.json["error"]
    assert (error["code"], "--builds" in error["message"]) == ("usage", True)
    assert "Usage: " in answer.err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            '[devices.orin-1]\nhots = "x"\nprofile = "t4-16gb"\n',
            ["unknown key 'hots' (did you mean 'host'?)", "allowed: "],
        ),
        ('[devices.orin-1]\nprofile = "t5"\n', ["devices.orin-1.profile", "t5"]),
        ('[devices.orin-1]\nprofile = "t4-16gb"\nport = "22"\n', ["devices.orin-1.port", "expected an integer"]),
        ("[devices\n", ["not valid TOML"]),
        ("[deploys]\n", ["unknown key 'deploys' (did you mean 'deploy'?)"]),
    ],
)
def test_a_mistake_in_fleet_toml_names_file_and_key(operator: Operator, text: str, said: list[str]) -> None:
    (operator.home / "fleet.toml").write_text(text)
    answer = operator.run("devices", "list")
    assert answer.code == 2
    for words in ["fleet.toml", *said]:
        assert words in one_sentence(answer.err)


def test_init_never_overwrites_a_fleet_file(operator: Operator) -> None:
    assert operator.run("init").code == 0
    before = (operator.home / "fleet.toml").read_text()
    answer = operator.run("init")
    assert answer.code == 2
    assert "the file exists" in one_sentence(answer.err)
    assert (operator.home / "fleet.toml").read_text() == before
    assert "local" in operator.run("devices", "list").out


@pytest.mark.parametrize("content", [b"", b"not onnx at all", b"\x08\x09garbage" * 50])
def test_a_file_that_is_no_onnx(operator: Operator, content: bytes) -> None:
    (operator.home / "model.onnx").write_bytes(content)
    answer = operator.run("deploy", "model.onnx", "--quick")
    assert answer.code == 1
    assert "not an ONNX file" in answer.out + answer.err
    assert not [name for name in operator.files() if "artifacts" in name]


def test_an_error_with_json_is_one_object(operator: Operator) -> None:
    answer = operator.run("deploy", "resnet19", "--json")
    assert answer.code == 2
    assert answer.json["error"]["code"] == "config"


def test_a_typo_in_the_fleet_file_s_models_names_the_file(operator: Operator) -> None:
    (operator.home / "fleet.toml").write_text('[deploy]\nmodels = ["resnet19"]\n')
    answer = operator.run("deploy")
    assert answer.code == 2
    assert "fleet.toml, key 'deploy.models'" in one_sentence(answer.err)


def test_debug_shows_where_an_error_comes_from(operator: Operator) -> None:
    answer = operator.run("--debug", "deploy", "resnet19")
    assert answer.code != 0
    assert "Traceback" in answer.err


def test_a_batch_that_a_fixed_model_has_not(operator: Operator, tiny_onnx: Path) -> None:
    onnx = pytest.importorskip("onnx")
    model = onnx.load(tiny_onnx)
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 2
    onnx.save(model, operator.home / "fixed.onnx")
    answer = operator.run("deploy", "fixed.onnx", "--quick", "--batch", "2,3", "--json")
    assert answer.code == 3, answer.err
    assert [row["batch"] for row in answer.json["measurements"]] == [2]
    failed = answer.json["failed"][0]
    assert failed["cell"]["batch"] == 3
    assert "batch" in failed["error"]["message"]
