"""One artifact store for a whole test session: an export takes tens of seconds, and most tests only need its result."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from device_agents.contract import Dim, Precision
from export.api import export_model, installed, parse_model
from export.artifact import Artifact, Store

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
