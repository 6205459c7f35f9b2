"""The engine inspector's JSON from 8.4 to 11: names alone, one string for type and layout, and both apart."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from device_agents.formats import inspector

RECORDED = Path(__file__).parent / "recorded"
FILES = ("layers-8.4-names.json", "layers-10-detailed.json", "layers-11-derived.json")


def text_of(name: str) -> str:
    return (RECORDED / name).read_text()


def layer(*, inputs: list[str], outputs: list[str], **more: Any) -> inspector.InspectedLayer:
    """What is read of a layer whose tensors have these formats."""
    sides = {side: [{"Name": "t", "Format/Datatype": one} for one in formats]
             for side, formats in (("Inputs", inputs), ("Outputs", outputs))}  # fmt: skip
    return inspector.parse_layers(json.dumps({"Layers": [{"Name": "layer", **sides, **more}]}))[0]


class TestLayers:
    def test_names_alone(self) -> None:
        found = inspector.parse_layers(text_of("layers-8.4-names.json"))
        assert found[0] == ("Conv__25 + Relu", "", "unknown", ())
        assert [one.name for one in found if one.kind == "reformat"] == [
            "Reformatting CopyNode for Output Tensor 0 to MaxPool2d",
            "Reformatting CopyNode for Input Tensor 0 to MaxPool2d_1",
            "copied_squeeze_after_add_3",
        ]

    def test_type_and_layout_in_one_string(self) -> None:
        found = inspector.parse_layers(text_of("layers-10-detailed.json"))
        assert [(one.kind, one.precision) for one in found] == [
            ("reformat", "mixed"),
            ("CaskConvolution", "int8"),
            ("CaskConvolution", "fp16"),
            ("CaskConvolution", "fp32"),
        ]
        assert found[1].nodes == ("resnetv15_stage2_conv1_fwd", "resnetv15_stage2_batchnorm1_fwd")
        assert found[2].nodes == ()
        assert found[3].nodes == ("p2o.Conv.6", "p2o.BatchNormalization.6", "p2o.Relu.5")

    def test_type_and_layout_apart(self) -> None:
        found = inspector.parse_layers(text_of("layers-11-derived.json"))
        assert [one.precision for one in found] == ["fp16", "mixed"]
        assert found[0].nodes == ("/conv1/Conv", "/relu/Relu")

    @pytest.mark.parametrize(
        ("told", "precision"),
        [
            ("Row major linear FP32", "fp32"),
            ("Row major linear FP16 format", "fp16"),
            ("Two wide channel vectorized row major FP16 format", "fp16"),
            ("Channel major FP16 format where channel % 8 == 0", "fp16"),
            ("Row major Int8 format", "int8"),
            ("Thirty-two wide channel vectorized row major Int8 format", "int8"),
            ("Row major linear BF16", "bf16"),
            ("BFloat16", "bf16"),
            ("Row major linear FP8", "fp8"),
            ("Half", "fp16"),
            ("Float", "fp32"),
            ("Int32", "int32"),
            ("UInt8", "uint8"),
            ("Bool", "bool"),
            ("N/A due to dynamic shapes", "unknown"),
            ("", "unknown"),
        ],
    )
    def test_the_type_in_a_format_s_words(self, told: str, precision: str) -> None:
        assert layer(inputs=[told], outputs=[told]).precision == precision

    @pytest.mark.parametrize("key", ["DataType", "Datatype", "datatype"])
    def test_the_type_s_own_field_goes_before_the_format(self, key: str) -> None:
        tensor = {"Name": "t", "Format": "Row major linear FP32 format (kLINEAR)", key: "Half"}
        text = json.dumps({"Layers": [{"Name": "layer", "Inputs": [tensor], "Outputs": [tensor]}]})
        assert inspector.parse_layers(text)[0].precision == "fp16"

    def test_masks_and_indices_say_nothing_of_the_type(self) -> None:
        assert layer(inputs=["Half", "Bool", "Int32"], outputs=["Half"]).precision == "fp16"

    def test_weights_decide_between_input_and_output(self) -> None:
        told = layer(inputs=["Half"], outputs=["Float"], LayerType="CaskConvolution", Weights={"Type": "Half"})
        assert told.precision == "fp16"
        assert layer(inputs=["Half"], outputs=["Float"], Weights={"Type": "Int8"}).precision == "mixed"

    def test_a_quantised_multiplication_computes_in_its_inputs_type(self) -> None:
        gemm = {"LayerType": "fusion", "TacticName": "sm80_xmma_gemm_i8i8_i8i32_f32_tn"}
        assert layer(inputs=["Int8", "Int8"], outputs=["Half"], **gemm).precision == "int8"
        assert layer(inputs=["Int8"], outputs=["Half"], LayerType="Dequantize").precision == "mixed"

    @pytest.mark.parametrize(
        ("metadata", "nodes"),
        [
            ("[ONNX Layer: /conv1/Conv]\x1e[ONNX Layer: /relu/Relu]", ("/conv1/Conv", "/relu/Relu")),
            ("[ONNX Layer: a]\x1f[ONNX Layer: b]\x1e[ONNX Layer: a]", ("a", "b")),
            ("x [ONNX Layer: a]\x1fy [ONNX Layer: b]", ("a", "b")),
            ("[ONNX Layer: a][ONNX Layer: b]", ("a", "b")),
            ("[ONNX Layer: onnx::Conv[0]]\x1e[ONNX Layer: (Unnamed Layer* 3) [Shuffle]]",
             ("onnx::Conv[0]", "(Unnamed Layer* 3) [Shuffle]")),
            ("", ()),
            ("no layer", ()),
            (7, ()),
        ],
    )  # fmt: skip
    def test_the_onnx_nodes(self, metadata: object, nodes: tuple[str, ...]) -> None:
        assert layer(inputs=[], outputs=[], Metadata=metadata).nodes == nodes

    @pytest.mark.parametrize(
        ("text", "told"),
        [
            ("[]", "no JSON object"),
            ("{}", "no list 'Layers'"),
            ('{"Layers": {}}', "no list 'Layers'"),
            ('{"Layers": [1]}', r"Layers\[0\] has no Name"),
            ('{"Layers": [{"Name": "a"}, {"LayerType": "b"}]}', r"Layers\[1\] has no Name"),
            ('{"Layers": [{"Name": "a", "Inputs": 1}]}', r"Inputs of Layers\[0\] is no list"),
        ],
    )
    def test_what_is_no_layer_information_is_named(self, text: str, told: str) -> None:
        with pytest.raises(ValueError, match=told):
            inspector.parse_layers(text)


class TestInputsAndOutputs:
    def test_before_11_their_names(self) -> None:
        assert [one.name for one in inspector.parse_io(text_of("layers-8.4-names.json"))] == ["x:0", "z:0"]

    def test_a_profile_s_copy_of_a_name_is_the_same_tensor(self) -> None:
        text = '{"Bindings": ["x", "y", "x [profile 1]", "y [profile 1]"]}'
        assert [one.name for one in inspector.parse_io(text)] == ["x", "y"]

    def test_from_11_mode_type_and_shape(self) -> None:
        assert inspector.parse_io(text_of("layers-11-derived.json")) == [
            ("input_0", "input", "fp32", (1, 3, 224, 224)),
            ("output_0", "output", "fp32", (1, 1000)),
        ]

    @pytest.mark.parametrize("text", ["[]", "{}", '{"Bindings": [1]}', '{"I/O Tensors": ["x"]}', '{"I/O Tensors": 1}'])
    def test_what_tells_none_is_an_error(self, text: str) -> None:
        with pytest.raises(ValueError, match="the engine inspector's text"):
            inspector.parse_io(text)


@pytest.mark.parametrize("name", FILES)
def test_a_cut_text_is_refused(name: str) -> None:
    text = text_of(name).strip()
    for end in range(0, len(text), 37):
        for read in (inspector.parse_layers, inspector.parse_io):
            with pytest.raises(ValueError, match="is cut or garbled"):
                read(text[:end])
