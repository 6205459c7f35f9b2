"""What `edgebench export` of ResNet-50 costs beside the bare exporter and its parity runs, on this machine.

    python benchmarks/export_cost.py [--rounds N] [--json]

For both frameworks, one after the other and again: `edgebench export resnet50 --weights random --fresh` against a
script that does by hand what cannot be left out: build the network with the same weights, export it by the bare call
(`torch.onnx.export`, `tf2onnx.convert.from_keras`), run eight images through the framework and through onnxruntime, and
compare. Both are whole processes and start cold. The answer is the ratio of the two, with its range over the rounds;
the budget is 1.2.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

BUDGET = 1.2

COMMON = """
import sys, numpy as np, onnxruntime
sys.path.insert(0, sys.argv[1])
from export.data import golden
from profiles.schema import ImageInput
images = golden.images(ImageInput())
def compare(path, reference, feed):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (answer,) = session.run(None, {session.get_inputs()[0].name: feed})
    error = np.linalg.norm(answer - reference) / np.linalg.norm(reference - reference.mean(axis=0))
    assert error < 1e-3, error
"""
BARE = {
    "pytorch": COMMON
    + """
import torch, torchvision
torch.set_num_threads(2)
torch.manual_seed(0)
network = torchvision.models.resnet50(weights=None).train()
with torch.no_grad():
    network(torch.from_numpy(np.concatenate([images, images])))  # statistics, as random weights need them
network.eval()
with torch.inference_mode():
    reference = network(torch.from_numpy(images)).numpy()
path = sys.argv[2] + "/bare.onnx"
torch.onnx.export(
    network, (torch.zeros(2, 3, 224, 224),), path, dynamo=True, opset_version=18, verbose=False,
    dynamic_shapes=({0: torch.export.Dim("batch", min=1, max=64)},), external_data=False,
)
compare(path, reference, images)
""",
    "tensorflow": COMMON
    + """
import tensorflow as tf, tf2onnx, keras
tf.config.threading.set_intra_op_parallelism_threads(2)
network = keras.applications.ResNet50(weights=None, classifier_activation=None)
feed = images.transpose(0, 2, 3, 1)
network(np.concatenate([feed, feed]), training=True)
reference = np.asarray(network(feed, training=False))
path = sys.argv[2] + "/bare.onnx"
signature = (tf.TensorSpec((None, 224, 224, 3), tf.float32, name="images"),)
call = tf.function(lambda x: network(x, training=False), input_signature=signature)
proto, _ = tf2onnx.convert.from_function(
    call, input_signature=signature, opset=18, inputs_as_nchw=["images"], output_path=path
)
compare(path, reference, images)
""",
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="of each framework (default %(default)s)")
    parser.add_argument("--json", action="store_true", help="print JSON in place of a table")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        edgebench(Path(home), "tensorflow")  # the weights of the Keras twin are made once
        found = {framework: measure(framework, Path(home), arguments.rounds) for framework in BARE}
    if arguments.json:
        print(json.dumps({"budget": BUDGET, "load": os.getloadavg()[0], **found}))
    else:
        print(f"{arguments.rounds} rounds, load {os.getloadavg()[0]:.1f}, {os.cpu_count()} processors")
        for framework, one in found.items():
            ratios = one["ratios"]
            print(
                f"{framework:11} edgebench {statistics.median(one['edgebench']):5.1f} s, bare "
                f"{statistics.median(one['bare']):5.1f} s, ratio {statistics.median(ratios):.2f} "
                f"({min(ratios):.2f} to {max(ratios):.2f}), budget {BUDGET}"
            )
    return 1 if any(statistics.median(one["ratios"]) > BUDGET for one in found.values()) else 0


def measure(framework: str, home: Path, rounds: int) -> dict[str, list[float]]:
    """Seconds of both, in turn, and their ratio in each round."""
    ours, bare = [], []
    for number in range(rounds):
        pair = (edgebench, by_hand) if number % 2 == 0 else (by_hand, edgebench)
        seconds = {one: one(home, framework) for one in pair}
        ours.append(seconds[edgebench])
        bare.append(seconds[by_hand])
    return {"edgebench": ours, "bare": bare, "ratios": [one / other for one, other in zip(ours, bare, strict=True)]}


def edgebench(home: Path, framework: str) -> float:
    code = "from edge.cli import main; main()"
    model = "resnet50"
    return timed(home, ["-c", code, "export", model, "--framework", framework, "--weights", "random", "--fresh"])


def by_hand(home: Path, framework: str) -> float:
    root = Path(__file__).resolve().parent.parent
    return timed(home, ["-c", BARE[framework], str(root), str(home)])


def timed(home: Path, arguments: list[str]) -> float:
    environment = {**os.environ, "HOME": str(home), "CUDA_VISIBLE_DEVICES": "", "TF_CPP_MIN_LOG_LEVEL": "3"}
    begin = time.perf_counter()
    done = subprocess.run([sys.executable, *arguments], env=environment, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - begin
    if done.returncode:
        sys.exit(done.stderr[-2000:])
    return seconds


if __name__ == "__main__":
    sys.exit(main())
