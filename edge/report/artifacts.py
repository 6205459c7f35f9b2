"""An artifact in a few lines, as `export` prints it."""

from __future__ import annotations

from collections.abc import Iterator

from edge.planning.targets import RUNTIME
from export.artifact import Artifact, Format, NotChecked, Parity
from export.native import FORMATS

_LONGEST_S = 1.0  # phases that took less are not told
_NAMED = 3


def lines(artifact: Artifact, waited_s: float) -> Iterator[str]:
    """What it is, how far it is from FP32, what it costs, and what the operator should know. `waited_s` is how long the
    operator waited for it: one that was there already took its time before."""
    profiles = "; ".join(
        ", ".join(f"{name} {bounds}" if name != "batch" else str(bounds) for name, bounds in profile.items())
        for profile in artifact.profiles
    )
    batch = f"batch {artifact.batch}" + (f" ({profiles})" if profiles else "")
    engine = artifact.format is Format.ENGINE
    form = f", {artifact.format}" if artifact.format in FORMATS.values() else ""
    built = f", engine for {artifact.target} by {RUNTIME} {artifact.produced_by[RUNTIME]}" if engine else ""
    yield f"{artifact.model} {artifact.framework} {artifact.precision} {batch}{form}{built}: {artifact.short_id}"
    if engine:
        size = next(entry.size for entry in artifact.files if entry.name == artifact.model_file)
        parent = (artifact.parent or "")[:12]
        yield f"  {_parity(artifact.parity)}; {size / 1e6:.1f} MB, of artifact {parent}, weights {artifact.weights}"
        return
    yield f"  {_parity(artifact.parity)}"
    if artifact.parity_images is not None:
        yield f"  on your {artifact.parity_images.inputs} images: {_parity(artifact.parity_images)}"
    yield f"  {_graph(artifact)}, weights {artifact.weights}"
    if artifact.kept_fp32:
        yield f"  {_kept(artifact)}"
    for note in artifact.notes:
        yield f"  note: {note}"
    whole_s = sum(artifact.seconds.values())
    if waited_s >= whole_s > 0:
        took = [f"{what} {seconds:.1f} s" for what, seconds in artifact.seconds.items() if seconds >= _LONGEST_S]
        yield f"  took {waited_s:.1f} s{': ' if took else ''}{', '.join(took)}"


def _parity(parity: Parity | NotChecked) -> str:
    if isinstance(parity, NotChecked):
        return f"parity not checked: {parity.reason}"
    label = f" ({parity.label})" if parity.label else ""
    agreement = "".join(f", {name.replace('_', ' ')} {share:.1%}" for name, share in parity.agreement.items())
    return f"parity {parity.error:.2g} of at most {parity.limit:.2g}{label}{agreement}"


def _graph(artifact: Artifact) -> str:
    graph = artifact.graph
    macs = "operations not counted" if graph.macs is None else f"{graph.macs / 1e9:.2f} GMAC a sample"
    counts = f"nodes {graph.nodes}, transposes {graph.transposes}, {graph.parameters / 1e6:.1f} M parameters"
    return f"{counts}, {macs}, opset {graph.opset}"


def _kept(artifact: Artifact) -> str:
    named = ", ".join(f"{kept.node} ({kept.op}, up to {kept.largest:.3g})" for kept in artifact.kept_fp32[:_NAMED])
    more = len(artifact.kept_fp32) - _NAMED
    return f"in FP32, as FP16 would overflow: {named}{f' and {more} more' if more > 0 else ''}"
