"""Ctrl-C and kill -9 of the controller in each phase: nothing half made is left, nothing finished is lost."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path

from tests.operator import Operator
from tests.ssh.sshd import wait_until


def said(child: object) -> str:
    out, err = child.communicate(timeout=60)  # type: ignore[attr-defined]
    return f"{out}\n{err}"


def test_ctrl_c_while_measuring_cancels_the_job_and_says_so(operator: Operator, tiny_onnx: Path) -> None:
    child = operator.start("deploy", tiny_onnx, "--processes", "3")
    status = operator.home / ".cache" / "edgebench"
    wait_until(lambda: any('"running"' in path.read_text() for path in status.glob("*/jobs/*/status.json")), "it runs")
    os.killpg(child.pid, signal.SIGINT)
    told = said(child)
    assert child.returncode == 130
    assert "the job on local was cancelled; what was finished is kept" in told
    assert "Traceback" not in told
    assert '"cancelled"' in next(status.glob("*/jobs/*/status.json")).read_text()
    assert [event["event"] for event in operator.journal()] == ["started", "submitted", "cancelled"]
    assert operator.measurements() == []

    again = operator.run("deploy", tiny_onnx, "--processes", "3", "--json", timeout=120)
    assert again.code in (0, 4), again.err
    assert [event["event"] for event in operator.journal()][3:] == ["submitted", "done", "finished"]


def test_a_ctrl_c_that_arrives_twice_counts_as_one(operator: Operator, tiny_onnx: Path) -> None:
    """As from `timeout -s INT`, which signals its child and then the group."""
    child = operator.start("deploy", tiny_onnx, "--processes", "3")
    status = operator.home / ".cache" / "edgebench"
    wait_until(lambda: any('"running"' in path.read_text() for path in status.glob("*/jobs/*/status.json")), "it runs")
    os.kill(child.pid, signal.SIGINT)
    os.killpg(child.pid, signal.SIGINT)
    told = said(child)
    assert child.returncode == 130
    running = '"running"' in next(status.glob("*/jobs/*/status.json")).read_text()
    assert ("goes on" in told or "go on" in told) if running else "the job on local was cancelled" in told


def test_a_full_disk_under_the_output_is_a_sentence(operator: Operator) -> None:
    argv = [operator.python, "-c", "from edge.cli import main; main()", "devices", "list"]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(argv, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    assert "the output cannot be written" in done.stderr
    assert "Traceback" not in done.stderr


def test_ctrl_c_while_exporting_leaves_no_artifact_and_no_child(operator: Operator) -> None:
    child = operator.start("export", "resnet18", "--framework", "pytorch", "--weights", "random")
    store = operator.home / ".cache" / "edgebench"
    wait_until(lambda: any(store.glob("making-*/log")), "the exporter's child runs")
    os.killpg(child.pid, signal.SIGINT)
    told = said(child)
    assert child.returncode == 130
    assert "Traceback" not in told
    assert not list(store.glob("making-*"))
    assert not list(store.glob("artifacts/*"))


def test_a_result_that_was_cut_short_on_the_device_is_refused(operator: Operator, tiny_onnx: Path) -> None:
    """The job ended and its controller was killed before it could collect; then the samples lost their end."""
    samples = _finished_uncollected(operator, tiny_onnx) / "samples.i64le"
    samples.write_bytes(samples.read_bytes()[:-8])
    answer = operator.run("deploy", tiny_onnx, "--quick")
    assert answer.code == 1
    assert "the samples are not those of the result" in answer.out
    assert operator.measurements() == []


def test_a_result_of_another_schema_is_refused(operator: Operator, tiny_onnx: Path) -> None:
    result = _finished_uncollected(operator, tiny_onnx) / "result.json"
    result.write_text(result.read_text().replace('"schema":1', '"schema":99'))
    answer = operator.run("deploy", tiny_onnx, "--quick")
    assert answer.code == 1
    assert "result.json is not understood (schema: version 99; this edgebench reads 1)" in answer.out


def test_a_result_larger_than_the_limit_is_refused(operator: Operator, tiny_onnx: Path) -> None:
    result = _finished_uncollected(operator, tiny_onnx) / "result.json"
    os.truncate(result, 40 << 20)
    answer = operator.run("deploy", tiny_onnx, "--quick")
    assert answer.code == 1
    assert "is larger than the 33,554,432 bytes that are read of it" in answer.out
    assert operator.measurements() == []
    again = operator.run("deploy", tiny_onnx, "--quick", "--json")
    assert again.code in (0, 4), "what cannot be collected does not block the plan: it is measured anew"
    assert again.json["measurements"][0]["id"] != result.parent.name


def test_a_measurement_that_was_removed_is_made_again(operator: Operator, tiny_onnx: Path) -> None:
    """The run was interrupted after its first cell, whose folder then was removed."""
    shutil.rmtree(_killed_after_its_first_cell(operator, tiny_onnx))
    answer = operator.run("deploy", tiny_onnx, "--quick", "--batch", "1,2", "--json")
    assert answer.code in (0, 4), answer.err
    assert [row["batch"] for row in answer.json["measurements"]] == [1, 2]


def test_what_an_earlier_process_measured_is_told(operator: Operator, tiny_onnx: Path) -> None:
    _killed_after_its_first_cell(operator, tiny_onnx)
    answer = operator.run("deploy", tiny_onnx, "--quick", "--batch", "1,2", "--json")
    assert [row["earlier"] for row in answer.json["measurements"]] == [True, False]


def test_a_place_for_results_that_cannot_be_written_is_refused(operator: Operator, tiny_onnx: Path) -> None:
    place = operator.home / ".local/share/edgebench"
    place.parent.mkdir(parents=True)
    place.write_text("a file where the folder belongs")
    answer = operator.run("deploy", tiny_onnx, "--quick")
    assert answer.code == 2
    assert "cannot be written" in answer.err
    assert "Traceback" not in answer.err


def _killed_after_its_first_cell(operator: Operator, model: Path) -> Path:
    """The folder of the first measurement of a deploy of batches 1 and 2, whose controller was killed then."""
    child = operator.start("deploy", model, "--quick", "--batch", "1,2")
    store = operator.home / ".local/share/edgebench"
    wait_until(
        lambda: any('"done"' in path.read_text() for path in store.glob("sweeps/*/*.jsonl")), "a cell is done", 60
    )
    child.kill()
    child.wait()
    return next(store.glob("measurements/*/*/result.json")).parent


def _finished_uncollected(operator: Operator, model: Path) -> Path:
    """The folder of a job that is done on the device, whose controller was killed before it collected."""
    child = operator.start("deploy", model, "--quick")
    jobs = operator.home / ".cache" / "edgebench"
    wait_until(lambda: any('"running"' in path.read_text() for path in jobs.glob("*/jobs/*/status.json")), "it runs")
    child.kill()
    child.wait()
    job = next(jobs.glob("*/jobs/*"))
    wait_until(lambda: '"done"' in (job / "status.json").read_text(), "it is done")
    return job
