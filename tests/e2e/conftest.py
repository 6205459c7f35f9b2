"""One artifact store for a whole test session: an export takes tens of seconds, and most tests only need its result.
And devices that build engines, with a stand-in for TensorRT."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from device_agents.contract import Dim, Precision
from export.api import export_model, installed, parse_model
from export.artifact import Artifact, Store
from tests.operator import BRIEF, Answer, Operator
from tests.ssh.sshd import Sshd
from tests.stand_ins.carried import carry

ORIN = "jetson-agx-orin-64gb"

Start = Callable[..., Sshd]

Export = Callable[..., Artifact]


class ArtifactStore:
    """A store, and `get`: the artifact of a request, made on demand. Skips the test where the framework is missing."""

    def __init__(self, root: Path) -> None:
        self.store = Store(root)

    def get(
        self,
        model: str = "resnet18",
        framework: str = "pytorch",
        precision: Precision = Precision.FP32,
        batch: Dim = "dynamic",
        weights: str = "random",
        *,
        fresh: bool = False,
        **more: Any,
    ) -> Artifact:
        for needed in {framework, "pytorch"}:  # the Keras twins take torchvision's weights
            if not installed(needed):
                pytest.skip(f"{needed} is not installed: pip install 'edgebench[{needed}]'")
        return export_model(
            parse_model(model),
            framework=framework,
            precision=precision,
            batch=batch,
            weights=weights,
            store=self.store,
            fresh=fresh,
            **more,
        )


@pytest.fixture(scope="session")
def artifact_store(tmp_path_factory: pytest.TempPathFactory) -> ArtifactStore:
    """Exports on demand, random weights by default: `artifact_store.get("resnet18", "tensorflow")`."""
    return ArtifactStore(tmp_path_factory.mktemp("artifacts"))


@dataclass
class Bench:
    """An operator and his devices."""

    operator: Operator
    start: Start
    model: Path

    def device(self, name: str, *, version: str | None = "10.3.0", profile: str = ORIN, extra: str = "") -> Sshd:
        server = self.start(name=name)
        if version is not None:
            (server.home / "tensorrt").write_text(version)
        with (self.operator.home / "fleet.toml").open("a") as fleet:
            fleet.write(server.fleet_toml(profile) + f'python = "{sys.executable}"\n{extra}')
        return server

    def arguments(self, *more: object, device: str = "all") -> tuple[object, ...]:
        return ("deploy", self.model, "-d", device, "--precision", "fp32", "--quick", *more)

    def deploy(self, *more: object, device: str = "all") -> Answer:
        return self.operator.run(*self.arguments(*more, "--json", device=device))

    def engines(self, answer: Answer) -> dict[str, Any]:
        """Which engine every measurement used, by device."""
        assert answer.code in (0, 4), answer.err + answer.out
        found: dict[str, Any] = {}
        for row in answer.json["measurements"]:
            found.setdefault(row["device"], []).append(row["engine"])
        return found


@pytest.fixture
def bench(
    operator: Operator, start_sshd: Start, tiny_onnx: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Bench:
    carry(tmp_path, monkeypatch, {"tensorrt": "builder_backend.py", "tensorrt_rtx": "builder_backend.py"})
    operator.prelude = BRIEF
    return Bench(operator, start_sshd, tiny_onnx)
