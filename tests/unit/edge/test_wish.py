"""A cell in words: MODEL[:WORD...][@BATCH]."""

from __future__ import annotations

from dataclasses import replace

import pytest

from device_agents.contract import Precision
from edge.answers.wish import Wish, parse_wish
from profiles.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "wish"),
    [
        ("resnet18", Wish("", "resnet18")),
        ("resnet18:fp16", Wish("", "resnet18", precision=Precision.FP16)),
        ("resnet18:fp16:tensorflow@8", Wish("", "resnet18", "tensorflow", Precision.FP16, batch=8)),
        ("resnet18:onnxruntime:pytorch", Wish("", "resnet18", "pytorch", backend="onnxruntime")),
        ("torchvision:resnet34:fp32", Wish("", "torchvision:resnet34", precision=Precision.FP32)),
        ("resnet18:mode=MODE_30W@2", Wish("", "resnet18", batch=2, power_mode="MODE_30W")),
        ("torchvision:resnet34@4096", Wish("", "torchvision:resnet34", batch=4096)),
    ],
)
def test_words_are_taken_from_the_end(text: str, wish: Wish) -> None:
    assert parse_wish(text) == replace(wish, text=text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("resnet18:fp16:fp32", "names two: fp16 and fp32"),
        ("resnet18@0", "batch 0 is not between 1 and 4096"),
        ("resnet18@99999999999", "batch 99999999999 is not between 1 and 4096"),
        ("resnet18:fp61", "resnet18:fp61"),
        ("fp16", "fp16"),
        (":fp16", ""),
        ("", ""),
    ],
)
def test_what_is_no_cell_is_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_wish(text)
    assert message in str(caught.value)
