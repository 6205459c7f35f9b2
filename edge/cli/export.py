"""edgebench export: a model from its framework to an artifact."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from edge.cli.common import JsonOption, command, print_json

if TYPE_CHECKING:
    from export.artifact import Artifact

ModelArguments = Annotated[
    list[str], typer.Argument(metavar="MODEL", help="A profile's name, torchvision:NAME, keras:NAME or FILE.onnx.")
]
WeightsHelp = "pretrained, random, or the path of a weights file."


@command
def export(
    models: ModelArguments,
    framework: Annotated[
        Literal["pytorch", "tensorflow", "all"] | None,
        typer.Option(help="Which framework's implementation.", show_default="all that are installed"),
    ] = None,
    precision: Annotated[Literal["fp32", "fp16"], typer.Option(help="FP16 is written into the graph.")] = "fp32",
    batch: Annotated[str, typer.Option(help="A number, or dynamic.")] = "dynamic",
    weights: Annotated[str, typer.Option(help=WeightsHelp)] = "pretrained",
    out: Annotated[Path | None, typer.Option(help="Also write a plain copy below this folder.")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Export anew, cached or not.")] = False,
    json: JsonOption = False,
) -> None:
    """Export models to ONNX, checked against their framework.

    Example: edgebench export resnet50 --framework all --precision fp16 --weights random
    """
    from device_agents.contract import Precision
    from edge.cli.progress import drawn
    from edge.places import places
    from edge.planning import exports
    from export.api import export_model, write_copy
    from export.artifact import Store

    store = Store(places().artifacts)
    made = []
    with drawn() as progress:
        for ref, name in exports(models, framework):
            artifact = export_model(
                ref,
                framework=name,
                precision=Precision(precision),
                batch=_batch(batch),
                weights=weights,
                store=store,
                progress=progress,
                fresh=fresh,
            )
            copy = write_copy(artifact, out) if out is not None else None
            made.append((artifact, copy))
    if json:
        print_json({"artifacts": [_as_json(artifact, copy) for artifact, copy in made]})
        return
    for artifact, copy in made:
        _print(artifact, copy)


def _batch(text: str) -> int | str:
    from profiles.errors import ConfigError

    if text == "dynamic":
        return text
    if not text.isascii() or not text.isdigit():
        raise ConfigError(f"{text!r} is neither a number nor dynamic", where="--batch")
    return int(text)


def _as_json(artifact: Artifact, copy: Path | None) -> dict[str, object]:
    from device_agents.contract import to_json

    return {**to_json(artifact), "path": str(artifact.path), **({"copy": str(copy)} if copy else {})}


def _print(artifact: Artifact, copy: Path | None) -> None:
    from export.artifact import Parity

    parity = artifact.parity
    if isinstance(parity, Parity):
        label = f" ({parity.label})" if parity.label else ""
        checked = f"parity {parity.error:.2g} of at most {parity.limit:.2g}{label}"
    else:
        checked = f"parity not checked: {parity.reason}"
    graph = artifact.graph
    typer.echo(
        f"{artifact.model} {artifact.framework} {artifact.precision} batch {artifact.batch}: {artifact.short_id}"
    )
    typer.echo(
        f"  {checked}; nodes {graph.nodes}, transposes {graph.transposes}, {graph.parameters / 1e6:.1f} M parameters, "
        f"{graph.macs / 1e9:.2f} GMAC a sample, opset {graph.opset}, weights {artifact.weights}"
    )
    typer.echo(f"  {copy or artifact.path / artifact.model_file}")
