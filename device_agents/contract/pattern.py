"""How inferences are asked for, and how that is written."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Sequence, Tuple

from device_agents.codec import SchemaViolation

_DAY_S = 86_400.0
_STEP, _MOST_SIZES, _MOST_PX = 32, 64, 8192
_QUICK_SIZES = 3
_UNITS_S = {"s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}
_SHORT_S = {"us": 1e-6, "ms": 1e-3, "s": 1.0}
_NUMBER = r"[0-9]{1,9}(?:\.[0-9]{1,9})?"
_RATE = re.compile(rf"(?P<rate>{_NUMBER})(?P<poisson>,poisson)?(?:,timeout:(?P<late>{_NUMBER})(?P<unit>us|ms|s))?\Z")


@dataclass(frozen=True)
class LoadPattern:
    """How inferences are asked for. `serial`: a closed loop, as an application calls. `pipelined`: the next batch is
    enqueued before the last one is awaited, as trtexec does. `rate`: `per_s` arrivals a second, at fixed intervals as
    a camera makes them or, with `poisson`, as requests come; latency counts from the arrival. `soak`: serial for
    `soak_s` seconds, however warm the device gets. `sizes`: serial, each inference on square images of one of `sizes`,
    pixels a side in rising order, drawn anew. At a rate an answer is late after `timeout_s`, of 0 after the mean gap
    between arrivals."""

    kind: str = "serial"
    per_s: float = 0.0
    poisson: bool = False
    soak_s: float = 0.0
    sizes: Tuple[int, ...] = ()
    timeout_s: float = 0.0

    KINDS = ("serial", "pipelined", "rate", "soak", "sizes")

    def __post_init__(self) -> None:
        if self.kind not in self.KINDS:
            known = "serial, pipelined, rate:FPS, soak:DURATION, sizes:LEAST-MOST"
            raise SchemaViolation("kind", f"unknown load pattern {self.kind!r}; allowed: {known}")
        if self.kind == "soak" and not 1 <= self.soak_s <= _DAY_S:
            raise SchemaViolation("soak_s", f"a soak of {self.soak_s:g} s is not between a second and a day")
        if self.kind != "soak" and self.soak_s:
            raise SchemaViolation("soak_s", f"the load pattern {self.kind} has no duration")
        if self.kind == "rate" and not 0.01 <= self.per_s <= 100_000:
            raise SchemaViolation("per_s", f"{self.per_s:g} arrivals a second are not between 0.01 and 100,000")
        if self.kind != "rate" and (self.per_s or self.poisson):
            raise SchemaViolation("per_s", f"the load pattern {self.kind} has no rate")
        if self.kind == "sizes":
            _check_sizes(self.sizes)
        elif self.sizes:
            raise SchemaViolation("sizes", f"the load pattern {self.kind} draws no sizes")
        if self.timeout_s and (self.kind != "rate" or not 1e-6 <= self.timeout_s <= 3600):
            raise SchemaViolation("timeout_s", "a time-out is that of a rate, and between 1 us and an hour")

    @property
    def loop(self) -> str:
        """The kind of loop that a backend has to be able to run: a soak is serial for long."""
        return "serial" if self.kind == "soak" else self.kind

    @property
    def closed(self) -> bool:
        """Whether an inference begins when the last one has finished."""
        return self.kind in ("serial", "soak", "sizes")

    @staticmethod
    def parse(text: str) -> LoadPattern:
        """`serial`, `pipelined`, `rate:FPS`, with `,poisson` and `,timeout:50ms` (us, ms, s), `soak:10m` (s, m, min,
        h), `sizes:224-512`, `sizes:224-512/64` or `sizes:224,384,512`. Errors: SchemaViolation."""
        kind, _, rest = text.partition(":")
        if kind == "sizes":
            return LoadPattern("sizes", sizes=_sizes(rest))
        if kind == "soak":
            return LoadPattern("soak", soak_s=_seconds(rest))
        if kind != "rate":
            return LoadPattern(text)
        match = _RATE.match(rest)
        if match is None:
            raise SchemaViolation(
                "kind", f"{text!r} is no rate; write rate:30, rate:30,poisson or rate:30,timeout:50ms"
            )
        timeout_s = float(match["late"]) * _SHORT_S[match["unit"]] if match["late"] else 0.0
        return LoadPattern("rate", float(match["rate"]), bool(match["poisson"]), timeout_s=timeout_s)

    def quick(self) -> LoadPattern:
        """For a first look: of many sizes the lowest, the one in the middle and the highest."""
        if len(self.sizes) <= _QUICK_SIZES:
            return self
        return replace(self, sizes=(self.sizes[0], self.middle, self.sizes[-1]))

    @property
    def middle(self) -> int:
        """The size in the middle, where sizes are drawn."""
        return self.sizes[len(self.sizes) // 2]

    def __str__(self) -> str:
        if self.kind == "soak":
            minutes = self.soak_s / 60
            return f"soak:{minutes:g}m" if minutes == int(minutes) else f"soak:{self.soak_s:g}s"
        if self.kind == "sizes":
            return f"sizes:{_range(self.sizes)}"
        if self.kind != "rate":
            return self.kind
        late = f",timeout:{self.timeout_s * 1e3:.12g}ms" if self.timeout_s else ""
        return f"rate:{self.per_s:g}" + (",poisson" if self.poisson else "") + late


def _sizes(text: str) -> Tuple[int, ...]:
    """`224-512` in steps of 32, `224-512/64`, or one by one: `224,384,512`."""
    match = re.match(r"([0-9]{1,5})-([0-9]{1,5})(?:/([0-9]{1,5}))?\Z", text)
    if match is None:
        if not re.match(r"[0-9]{1,5}(,[0-9]{1,5})+\Z", text):
            raise SchemaViolation("sizes", f"{text!r} is no range of sizes; write sizes:224-512 or sizes:224-512/64")
        return tuple(map(int, text.split(",")))
    lowest, highest, step = int(match.group(1)), int(match.group(2)), int(match.group(3) or _STEP)
    if not step or lowest % step or highest % step:
        raise SchemaViolation("sizes", f"{lowest} and {highest} are no multiples of the step {step}")
    if (highest - lowest) // step >= _MOST_SIZES:
        raise SchemaViolation("sizes", f"{text} are more than {_MOST_SIZES} sizes; take a larger step")
    return tuple(range(lowest, highest + 1, step))


def _check_sizes(sizes: Sequence[int]) -> None:
    if not 2 <= len(sizes) <= _MOST_SIZES or list(sizes) != sorted(set(sizes)):
        told = ", ".join(map(str, sizes[:8])) or "nothing"
        raise SchemaViolation(
            "sizes", f"drawn from are 2 to {_MOST_SIZES} sizes, each larger than the last, not {told}"
        )
    if sizes[0] < 1 or sizes[-1] > _MOST_PX:
        raise SchemaViolation("sizes", f"{sizes[0]} to {sizes[-1]} pixels are not between 1 and {_MOST_PX}")


def _range(sizes: Sequence[int]) -> str:
    """As `_sizes` reads it."""
    step = sizes[1] - sizes[0]
    if sizes[0] % step or list(sizes) != list(range(sizes[0], sizes[-1] + 1, step)):
        return ",".join(map(str, sizes))
    return f"{sizes[0]}-{sizes[-1]}" + ("" if step == _STEP else f"/{step}")


def _seconds(text: str) -> float:
    match = re.match(r"([0-9]{1,6}(?:\.[0-9]{1,3})?) ?(s|m|min|h)\Z", text)
    if match is None:
        raise SchemaViolation("soak_s", f"{text!r} is no duration; write soak:90s, soak:10m or soak:1h")
    return float(match.group(1)) * _UNITS_S[match.group(2)]
