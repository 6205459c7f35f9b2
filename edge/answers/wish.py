"""A cell as people write it: `MODEL[:WORD...][@BATCH]`, where a word is a framework, a precision, a backend or, for a
Jetson's power mode, `mode=NAME`.

resnet18:fp16   resnet18:tensorflow:fp16@8   mine.onnx:onnxruntime   torchvision:resnet34:fp32   resnet18:mode=15W@4

What no word says is chosen as `deploy` does. Words are taken from the end for as long as they are such; the rest is the
model, which may hold colons. A model whose name ends in `@2` is written `name@2@1`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from device_agents.contract import Precision
from edge.agent import bundle
from edge.planning.choosing import AUTO
from edge.planning.models import resolve
from edge.planning.request import Request
from profiles.errors import ConfigError

_FRAMEWORKS = ("pytorch", "tensorflow", "onnx")
_MODE = "mode="
_MOST = 4096


@dataclass(frozen=True)
class Wish:
    """None, or AUTO, leaves the choice to edgebench."""

    text: str
    model: str
    framework: str | None = None
    precision: Precision | None = None
    backend: str = AUTO
    batch: int = 1
    power_mode: str | None = None

    def request(self, base: Request) -> Request:
        """What measures it, as `base` says in all else. Errors: ConfigError."""
        return replace(
            base,
            models=(self.model,),
            framework=self.framework,
            backends=(self.backend,),
            precision=self.precision,
            batches=(self.batch,),
            wishes=replace(base.wishes, power_mode=self.power_mode),
        )


def parse_wish(text: str) -> Wish:
    """Errors: ConfigError for a model that is none, a kind of word that comes twice, and a batch that is none."""
    rest, at, number = text.rpartition("@")
    batch = 1
    if at and number.isascii() and number.isdigit():
        batch = int(number) if len(number) <= len(str(_MOST)) else 0
        if not 1 <= batch <= _MOST:
            raise ConfigError(f"batch {number} is not between 1 and {_MOST}", where=text)
    else:
        rest = text
    words = rest.split(":")
    said: dict[str, str] = {}
    while len(words) > 1 and _kind(words[-1]):
        kind = _kind(words[-1])
        if kind in said:
            raise ConfigError(f"names two: {words[-1]} and {said[kind]}", where=text, fix=f"one {kind} is a cell's")
        said[kind] = words.pop()
    model = ":".join(words)
    resolve(model)
    precision = Precision(said["precision"]) if "precision" in said else None
    mode = said["power mode"].removeprefix(_MODE) if "power mode" in said else None
    return Wish(text, model, said.get("framework"), precision, said.get("backend", AUTO), batch, mode)


def _kind(word: str) -> str:
    """Which kind of word it is; "" for none."""
    if word in _FRAMEWORKS:
        return "framework"
    if word in tuple(Precision):
        return "precision"
    if word.startswith(_MODE):
        return "power mode"
    return "backend" if word in bundle.backend_names() else ""
