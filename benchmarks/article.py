"""Write docs/article.md: the article's programs as printed and as mended, run here, and its claims beside what was
measured.

    edgebench sweep article --device local --quick                      # measures; then
    python benchmarks/article.py [--results TITLE=FOLDER ...] [--state FILE]

TITLE=FOLDER is what was measured elsewhere: a folder as $XDG_DATA_HOME/edgebench is, brought here as it is. A section
of the page whose title is not given stays as it is. What the programs said is kept in the state file, and a program is
not run again before it, a framework or the machine is another. Nothing in the page is written by hand but what stands
in this file; what was not measured is named there, with the command that would.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROGRAMS = ROOT / "docs" / "examples" / "article"
PAGE = ROOT / "docs" / "article.md"
PATIENCE_S = 600.0
_LONGEST = 160  # characters of what a program said: an exception may list hundreds of options


@dataclass(frozen=True)
class Story:
    """One thing that its programs do otherwise than its text. `name` is how the files of both versions begin."""

    name: str
    title: str
    text: str
    lesson: str


STORIES = (
    Story(
        "fp16_input",
        "FP16 images, FP32 weights",
        "The PyTorch program casts the images to FP16 and leaves the weights in FP32.",
        "`--precision fp16` casts both, and the outputs are held against the FP32 ones before and after timing.",
    ),
    Story(
        "fold_quantize",
        "Compiled by name",
        "It asks torch.compile for an option that there is none of, within a `try` that falls back to eager mode, and "
        "goes on to report the figure as compiled.",
        "`--option mode=compile` fails where compiling does, and counts graph breaks and recompilations.",
    ),
    Story(
        "not_awaited",
        "A clock that does not wait",
        "The TensorFlow program times calls whose results nobody reads, 100 of them where the text says 5,000. On a "
        "processor TensorFlow computes within the call, so both loops agree there; on a GPU the call returns early.",
        "An inference ends when its outputs are on the host; what does not wait is found out at its first use and is "
        "INVALID (`not_waited`). The plan says 1,000 and 5,000, and the measurement how many there were.",
    ),
    Story(
        "fp32_images",
        "FP16 with FP32 weights and images",
        "It sets the policy mixed_float16, whose weights stay FP32, and feeds FP32 images.",
        "The FP16 artifact of Keras has the policy float16; `not_fp16` is a rule of the verdict.",
    ),
    Story(
        "tf_trt",
        "No model at all",
        (
            "The edge program converts with `input_saved_model_dir=None`. Here it ends before that matters: this "
            "TensorFlow has no TensorRT."
        ),
        "One way for both frameworks: ONNX, judged, then an engine that the device builds itself.",
    ),
    Story(
        "timeout",
        "A setting that there is none of",
        "The distributed program sets torch.distributed.timeout.",
        "No inference needs it: fleets are reached by SSH, with a time-out for every call.",
    ),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", action="append", default=[], metavar="TITLE=FOLDER")
    parser.add_argument("--state", type=Path, default=ROOT / "benchmarks" / "article_programs.json")
    parser.add_argument("--page", type=Path, default=PAGE)
    args = parser.parse_args()
    said = {} if not args.state.exists() else json.loads(args.state.read_text())
    for path in sorted(PROGRAMS.glob("*.py")):
        key = hashlib.sha256(path.read_bytes() + machine().encode()).hexdigest()
        if said.get(path.name, {}).get("sha256") != key:
            said[path.name] = {"sha256": key, **run(path)}
            args.state.write_text(json.dumps(said, indent=1, sort_keys=True) + "\n")
            print(path.name, said[path.name], file=sys.stderr)
    sections = kept(args.page)
    for word in args.results or ["this machine="]:
        title, _, folder = word.partition("=")
        sections[title] = claims(title, folder)
    parts = [head(), *(told(story, said) for story in STORIES), "## Its claims\n", *sections.values()]
    args.page.write_text("\n".join(parts))


def kept(page: Path) -> dict[str, str]:
    """The sections of measurements that are there, by title."""
    text = page.read_text().partition("\n## Its claims\n")[2] if page.exists() else ""
    found = re.split(r"^### On (.*)\n", text, flags=re.MULTILINE)[1:]
    return {title: f"### On {title}\n{told.rstrip()}\n" for title, told in zip(found[::2], found[1::2], strict=True)}


def machine() -> str:
    torch, tensorflow = metadata.version("torch"), metadata.version("tensorflow")
    return f"torch {torch}, tensorflow {tensorflow}, {os.cpu_count()} processors, no GPU"


def run(path: Path) -> dict[str, object]:
    """The last line of what it printed, else of why it ended."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, str(path)], cwd=folder, capture_output=True, text=True, timeout=PATIENCE_S, check=False
        )
    lines = (done.stdout if done.returncode == 0 else done.stderr).strip().splitlines()
    line = lines[-1] if lines else ""
    return {"code": done.returncode, "said": line if len(line) <= _LONGEST else line[:_LONGEST] + " ..."}


def head() -> str:
    return f"""# The article's table

edgebench began as an answer to ["Internals: PyTorch 2.5.0's 2026 Optimizations vs. TensorFlow 2.17.0 for Computer
Vision"](https://dev.to/johalputt/internals-pytorch-250s-2026-optimizations-vs-tensorflow-2170-for-computer-vision-gmh):
a table of latencies that nobody can check. This page holds each of its inference rows against measurements, which
`edgebench sweep article` repeats on whatever devices there are. It is written by `python benchmarks/article.py` and not
by hand; how verdicts come about is told in [claims](claims.md) and [measuring](measuring.md).

No Jetson and no A100 was at hand: rows about them are measured on what there was, which is named, and called not
comparable. The weights are random: no time depends on them. What was measured on a machine that is no longer at hand
stays as it was written then.

## Its programs

Three programs are printed with the table, and they do not do what its text says. Each slip below is reduced to the
statement that matters, in our words, in `docs/examples/article`, and was run here ({machine()}).
"""


def told(story: Story, said: dict[str, dict[str, object]]) -> str:
    lines = [f"### {story.title}\n\n{story.text}\n", "| version | what it does |", "|---|---|"]
    for version in ("printed", "mended"):
        found = said.get(f"{story.name}_{version}.py")
        file = next(PROGRAMS.glob(f"{story.name}_{version}.*"))
        what = "not run here: it needs a device with TensorRT"
        if found is not None:
            what = f"{'says' if found['code'] == 0 else 'ends with'} `{found['said']}`".replace("|", "\\|")
        lines.append(f"| [{version}](examples/article/{file.name}) | {what} |")
    return "\n".join([*lines, "", f"In edgebench: {story.lesson}\n"])


def claims(title: str, folder: str) -> str:
    """What `edgebench report --claims --matrix` says of the measurements there."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    if folder:
        if Path(folder).name != "edgebench":
            raise SystemExit(f"{folder}: the folder is to be called edgebench, as in $XDG_DATA_HOME")
        environment["XDG_DATA_HOME"] = str(Path(folder).absolute().parent)
    done = subprocess.run(
        [sys.executable, "-c", "from edge.cli import main; main()", "report", "--claims", "--matrix", "--markdown"],
        env=environment, capture_output=True, text=True, timeout=PATIENCE_S, check=False,
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(done.stderr)
    if "nothing of PyTorch or TensorFlow was measured" in done.stdout:
        raise SystemExit(f"{folder or 'this machine'}: nothing was measured; edgebench sweep article does")
    return f"### On {title}\n\n{done.stdout.strip()}\n"


if __name__ == "__main__":
    main()
