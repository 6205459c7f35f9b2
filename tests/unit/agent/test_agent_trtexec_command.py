"""The command line that means the same on every trtexec, and what is refused because a version cannot."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from device_agents.formats.trtexec import Settings
from device_agents.formats.trtexec_command import Range, TrtexecRun, command_line, differences

VERSIONS = ("8.5.2", "8.6.2", "10.3.0", "10.16.2.10", "11.0.0", "11.4.0.106")
TIMED = TrtexecRun(engine="model.engine")
BUILT = TrtexecRun(onnx="model.onnx", save_engine="model.engine", skip_inference=True)


def words(run: TrtexecRun, version: str) -> set[str]:
    return set(command_line(run, version)[1:])


class TestSwitches:
    @pytest.mark.parametrize("version", VERSIONS)
    @pytest.mark.parametrize("on", [False, True])
    def test_what_each_version_calls_them(self, version: str, on: bool) -> None:
        """Before 11 a switch is off (transfers: on) and has a word for the other side; 11 turned all of them round."""
        said = words(replace(TIMED, cuda_graph=on, spin_wait=on, transfers=on), version)
        old, new = {"--useCudaGraph", "--useSpinWait"}, {"--noCudaGraph", "--noSpinWait"}
        if version.startswith("11"):
            assert said & (old | new) == (set() if on else new)
            assert ("--includeDataTransfers" in said) == on
            assert "--noDataTransfers" not in said
        else:
            assert said & (old | new) == (old if on else set())
            assert ("--noDataTransfers" in said) == (not on)
            assert "--includeDataTransfers" not in said

    @pytest.mark.parametrize(
        ("version", "word"),
        [
            ("8.5.2", "--streams=2"),
            ("8.6.2", "--streams=2"),
            ("10.3.0", "--infStreams=2"),
            ("11.1.0", "--infStreams=2"),
        ],
    )
    def test_streams(self, version: str, word: str) -> None:
        assert word in words(replace(TIMED, streams=2), version)

    @pytest.mark.parametrize("version", VERSIONS)
    def test_serial_is_to_enqueue_nothing_ahead(self, version: str) -> None:
        assert "--exposeDMA" in words(replace(TIMED, serial=True), version)
        assert "--exposeDMA" not in words(TIMED, version)

    @pytest.mark.parametrize("version", VERSIONS)
    def test_how_long(self, version: str) -> None:
        said = words(replace(TIMED, warmup_ms=1000, duration_s=2, iterations=150), version)
        assert {"--warmUp=1000", "--duration=2", "--iterations=150", "--device=0", "--idleTime=0"} <= said

    def test_a_run_that_set_something_else_is_found_out(self) -> None:
        told = Settings(streams=1, serial=False, transfers=False, spin_wait=False, cuda_graph=True)
        assert differences(TIMED, told) == ("transfers is False, not True", "cuda_graph is True, not False")
        assert differences(replace(TIMED, transfers=False, cuda_graph=True), told) == ()


class TestBuilding:
    @pytest.mark.parametrize(
        ("version", "word"), [("8.5.2", "--buildOnly"), ("8.6.2", "--skipInference"), ("11.1.0", "--skipInference")]
    )
    def test_without_an_inference(self, version: str, word: str) -> None:
        assert words(BUILT, version) & {"--buildOnly", "--skipInference"} == {word}

    @pytest.mark.parametrize(
        ("version", "typed", "word"),
        [
            ("8.5.2", False, "--fp16"),
            ("8.6.2", False, "--fp16"),
            ("10.3.0", False, "--fp16"),
            ("10.3.0", True, "--stronglyTyped"),
            ("10.16.2", True, "--stronglyTyped"),
            ("11.1.0", True, None),
        ],
    )
    def test_an_fp16_graph(self, version: str, typed: bool, word: str | None) -> None:
        said = words(replace(BUILT, precision="fp16", strongly_typed=typed), version)
        assert said & {"--fp16", "--int8", "--stronglyTyped"} == ({word} if word else set())

    @pytest.mark.parametrize("version", VERSIONS)
    def test_fp32_is_not_tf32(self, version: str) -> None:
        assert "--noTF32" in words(BUILT, version)
        assert not words(BUILT, version) & {"--fp16", "--int8", "--best", "--stronglyTyped"}

    @pytest.mark.parametrize("version", VERSIONS)
    def test_the_rest_is_the_same_in_all(self, version: str) -> None:
        said = words(replace(BUILT, workspace_mib=1024, timing_cache="t.cache"), version)
        same = {"--memPoolSize=workspace:1024", "--timingCacheFile=t.cache", "--profilingVerbosity=detailed"}
        assert {"--onnx=model.onnx", "--saveEngine=model.engine"} | same <= said
        assert not any(word.startswith("--workspace") for word in said)

    @pytest.mark.parametrize("version", VERSIONS)
    def test_options_that_8_5_lacks(self, version: str) -> None:
        newer = {"--builderOptimizationLevel=3", "--hardwareCompatibilityLevel=none"}
        assert words(BUILT, version) & newer == (set() if version == "8.5.2" else newer)

    @pytest.mark.parametrize("version", VERSIONS)
    def test_tactics_are_timed_as_by_the_builder_itself(self, version: str) -> None:
        """Its own default is one timing, trtexec's is eight: without the word another engine would be built."""
        assert "--avgTiming=1" in words(BUILT, version)

    @pytest.mark.parametrize("version", VERSIONS)
    def test_streams_share_a_profile(self, version: str) -> None:
        """An option of 8.6 alone: 8.5 does not know it, 10 does so always, 11 refuses the word."""
        assert ("--preview=+profileSharing0806" in words(BUILT, version)) == version.startswith("8.6")

    def test_compatibility(self) -> None:
        said = words(replace(BUILT, hardware_compatibility="ampere+", version_compatible=True), "10.3.0")
        assert {"--hardwareCompatibilityLevel=ampere+", "--versionCompatible"} <= said

    def test_a_dla(self) -> None:
        said = words(replace(BUILT, dla_core=0, gpu_fallback=True, precision="fp16"), "8.6.2")
        assert {"--useDLACore=0", "--allowGPUFallback", "--fp16"} <= said

    @pytest.mark.parametrize("version", VERSIONS)
    def test_loading_an_engine_takes_no_options_of_building(self, version: str) -> None:
        said = words(replace(TIMED, precision="fp16", strongly_typed=True, workspace_mib=1, timing_cache="t"), version)
        building = ("--fp16", "--strongly", "--memPool", "--timingCache", "--builder", "--hardware", "--profilingV")
        assert not [word for word in said if word.startswith(building)]


class TestShapes:
    def test_those_inferred_are_those_built_for(self) -> None:
        said = words(replace(BUILT, shapes={"x:0": (8, 3, 224, 224), "len": (8,)}), "8.6.2")
        told = "x:0:8x3x224x224,len:8"
        assert {f"--minShapes={told}", f"--optShapes={told}", f"--maxShapes={told}"} <= said
        assert f"--shapes={told}" not in said

    def test_an_inference_says_its_own(self) -> None:
        assert "--shapes=x:4x3" in words(replace(TIMED, shapes={"x": (4, 3)}), "10.3.0")

    def test_a_profile(self) -> None:
        run = replace(BUILT, profiles=({"x": Range((1, 3), (4, 3), (8, 3))},))
        said = words(run, "8.5.2")
        assert {"--minShapes=x:1x3", "--optShapes=x:4x3", "--maxShapes=x:8x3"} <= said

    def test_several_profiles_keep_their_order(self) -> None:
        profiles = ({"x": Range((1,), (1,), (1,))}, {"x": Range((2,), (4,), (8,))})
        argv = command_line(replace(BUILT, profiles=profiles), "10.16.2")
        assert argv[argv.index("--profile=1") :][:4] == [
            "--profile=1", "--minShapes=x:2", "--optShapes=x:4", "--maxShapes=x:8",
        ]  # fmt: skip
        assert "--useProfile=1" in words(replace(TIMED, profile_index=1), "11.1.0")


class TestFiles:
    @pytest.mark.parametrize("version", VERSIONS)
    def test_exports(self, version: str) -> None:
        run = replace(TIMED, export_times="t", export_profile="p", export_layer_info="l", export_output="o")
        said = words(run, version)
        assert {"--exportTimes=t", "--exportProfile=p", "--exportLayerInfo=l", "--exportOutput=o"} <= said

    @pytest.mark.parametrize("version", VERSIONS)
    def test_a_profile_is_of_a_run_of_its_own(self, version: str) -> None:
        separate = "--separateProfileRun"
        assert separate not in words(TIMED, version)
        assert (separate in words(replace(TIMED, export_profile="p"), version)) == (not version.startswith("11"))

    def test_inputs_by_name(self) -> None:
        assert "--loadInputs=x:0:a/x.bin,y:a/y.bin" in words(
            replace(TIMED, load_inputs={"x:0": "a/x.bin", "y": "a/y.bin"}), "10.3.0"
        )

    def test_the_program_comes_first(self) -> None:
        assert command_line(TIMED, "8.6.2", "/usr/src/tensorrt/bin/trtexec")[0] == "/usr/src/tensorrt/bin/trtexec"


class TestRefused:
    @pytest.mark.parametrize(
        ("changes", "version", "told"),
        [
            ({"engine": "e"}, "10.3.0", "name one of them"),
            ({"onnx": ""}, "10.3.0", "name one of them"),
            ({"precision": "fp8"}, "10.3.0", "unknown precision"),
            ({"export_times": "t"}, "10.3.0", "do not skip"),
            ({"hardware_compatibility": "turing"}, "10.3.0", "unknown hardware compatibility"),
            ({"optimization_level": 6}, "10.3.0", "not 0 to 5"),
            ({"streams": 0}, "10.3.0", "begin at 1"),
            ({"gpu_fallback": True}, "10.3.0", "needs a DLA core"),
            ({"dla_core": 0}, "10.3.0", "not in fp32"),
            ({"dla_core": 0, "precision": "fp16", "cuda_graph": True}, "10.3.0", "exclude each other"),
            ({}, "8.4.1", "8.5 is the oldest"),
            ({}, "ten", "no version of TensorRT"),
            ({"strongly_typed": True}, "8.6.2", "no strong typing"),
            ({"precision": "fp16"}, "11.1.0", "strongly_typed must be true"),
            ({"precision": "int8"}, "11.1.0", "strongly_typed must be true"),
            ({"optimization_level": 5}, "8.5.2", "no optimization levels"),
            ({"version_compatible": True}, "8.5.2", "no version compatibility"),
            ({"hardware_compatibility": "sameComputeCapability"}, "10.3.0", "does not know"),
            ({"profiles": ({"x": Range((1,), (1,), (1,))},) * 2}, "8.6.2", "one optimization profile"),
            ({"shapes": {"x": (2,)}, "streams": 2}, "8.5.2", "every stream of TensorRT 8.5 needs"),
            ({"shapes": {"a,b": (1,)}}, "10.3.0", "cannot take the input name"),
            ({"shapes": {"a*": (1,)}}, "10.3.0", "cannot take the input name"),
            ({"shapes": {"a": ()}}, "10.3.0", "no shape that trtexec takes"),
            ({"shapes": {"a": (-1, 3)}}, "10.3.0", "no shape that trtexec takes"),
        ],
    )
    def test_a_build(self, changes: dict[str, Any], version: str, told: str) -> None:
        with pytest.raises(ValueError, match=told):
            command_line(replace(BUILT, **changes), version)

    @pytest.mark.parametrize(
        ("changes", "told"),
        [
            ({"save_engine": "again"}, "not saved again"),
            ({"load_inputs": {"x": "C:/x.bin"}}, "a file called"),
            ({"load_inputs": {"x,y": "x.bin"}}, "cannot take the input name"),
        ],
    )
    def test_a_run(self, changes: dict[str, Any], told: str) -> None:
        with pytest.raises(ValueError, match=told):
            command_line(replace(TIMED, **changes), "10.3.0")
