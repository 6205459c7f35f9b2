"""MODEL as people type it: a profile's name, torchvision:NAME, keras:NAME, a file or folder, package.module:factory, or
the name that an export was given.

Pure: no framework is imported and no code of the user's runs, so an unknown torchvision or Keras name is found out by
the exporter's child process.
"""

from __future__ import annotations

import ast
import importlib.machinery
import importlib.util
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from export.keras_pixels import keras_input
from profiles.errors import ConfigError
from profiles.load import model_profile, model_profile_names, unknown
from profiles.schema import FRAMEWORKS, FrameworkModel, ImageInput, ModelProfile

ONNX = "onnx"
"""The framework of a model that is an .onnx file already."""

_MODULES: Mapping[str, tuple[str, ...]] = {
    "pytorch": ("torch", "torchvision", "onnx", "onnxscript", "onnxruntime"),
    "tensorflow": ("tensorflow", "keras", "tf2onnx", "onnx", "onnxruntime", "onnxscript"),
    ONNX: ("onnx", "onnxruntime", "onnxscript"),
}

_LIBRARY_FRAMEWORK = {"torchvision": "pytorch", "keras": "tensorflow"}
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}\Z")
_USERS_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}\Z")
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,31}\Z")
_FACTORY = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*\Z")

_ONE_SIZE = ("vit_", "maxvit_")
_SUFFIXES = {".onnx": "onnx", ".pt2": "pt2", ".keras": "keras", ".h5": "h5"}
_KIND_FRAMEWORK = {
    "onnx": ONNX,
    "pt2": "pytorch",
    "keras": "tensorflow",
    "h5": "tensorflow",
    "savedmodel": "tensorflow",
}
_IMPORTED = {
    "pytorch": {"torch", "torchvision", "timm", "segmentation_models_pytorch"},
    "tensorflow": {"tensorflow", "keras", "tf_keras", "keras_cv", "keras_hub"},
}


@dataclass(frozen=True)
class ModelRef:
    """A model that can be exported: `name` as results and tables call it, and where it comes from by `kind`:

    profile                             `profile`, from profiles/models or a library's name
    onnx, pt2, keras, h5, savedmodel    `path` of a file or folder of the user's
    factory                             `factory`, package.module:name, found in `folders` before anywhere else; `path`
                                        is the module's file
    """

    name: str
    kind: str = "profile"
    profile: ModelProfile | None = None
    path: Path | None = None
    factory: str | None = None
    folders: tuple[str, ...] = ()
    framework: str | None = None

    @property
    def is_file(self) -> bool:
        """Whether it is a file or a folder that holds its weights."""
        return self.path is not None and self.factory is None

    @property
    def version(self) -> str:
        """What stands behind the @ of a name that --version gave."""
        return self.name.partition("@")[2] if self.profile is None else ""

    def frameworks(self) -> tuple[str, ...]:
        """The frameworks that have this model, in the order in which they are exported."""
        if self.profile is not None:
            return tuple(name for name in FRAMEWORKS if name in self.profile.frameworks)
        if self.kind in _KIND_FRAMEWORK:
            return (_KIND_FRAMEWORK[self.kind],)
        return (self.framework,) if self.framework else FRAMEWORKS


def parse_model(text: str) -> ModelRef:
    """MODEL as typed. Errors: ConfigError for an unknown model, with the nearest name, a file that is not there or is
    of no kind that can be exported, a factory whose module is not found."""
    if text in model_profile_names():
        return ModelRef(text, profile=model_profile(text))
    library, colon, name = text.partition(":")
    if colon and library in _LIBRARY_FRAMEWORK:
        return ModelRef(text, profile=_library_profile(library, name))
    if _FACTORY.match(text):
        return _factory(text)
    path = Path(text).expanduser()
    if path.suffix in _SUFFIXES or "/" in text or (text and path.is_dir()):
        return _file(path)
    fix = f"or name torchvision:NAME, keras:NAME, package.module:factory or a path ({', '.join(_SUFFIXES)}, SavedModel)"
    raise unknown("model", text, model_profile_names(), fix=fix)


def renamed(ref: ModelRef, name: str | None, version: str | None) -> ModelRef:
    """The user's model under a name, and a version, of its own. Errors: ConfigError for a name that is none, or that
    means a network already."""
    if name is None and version is None:
        return ref
    if ref.profile is not None:
        fix = "give --name and --version to a file or a factory of yours"
        raise ConfigError("it has a name already", where=ref.name, fix=fix)
    name = name or ref.name
    if not _USERS_NAME.match(name) or name in model_profile_names():
        why = "is a model's of edgebench" if name in model_profile_names() else "is no name"
        fix = "take letters, digits, . _ and -, beginning with a letter"
        raise ConfigError(f"{name!r} {why}", where="--name", fix=fix)
    if version is not None and not _VERSION.match(version):
        raise ConfigError(f"{version!r} is no version", where="--version", fix="take letters, digits, . _ and -")
    return replace(ref, name=name if version is None else f"{name}@{version}")


def frameworks_of(ref: ModelRef) -> tuple[str, ...]:
    """The frameworks that have this model: a subset of pytorch and tensorflow, or `onnx` alone for a file."""
    return ref.frameworks()


def takes_one_size(ref: ModelRef) -> bool:
    """Whether it is a transformer of torchvision's that is another network at another size."""
    sources = ref.profile.frameworks.values() if ref.profile else ()
    return any(one.source.partition(":")[2].startswith(_ONE_SIZE) for one in sources)


def installed(framework: str) -> bool:
    """Whether everything that exports from this framework can be found, without importing any of it."""
    return not missing(framework)


def missing(framework: str) -> tuple[str, ...]:
    """The modules that exporting from this framework needs and that are not installed."""
    return tuple(module for module in _MODULES[framework] if importlib.util.find_spec(module) is None)


def _library_profile(library: str, name: str) -> ModelProfile:
    if not _NAME.match(name):
        raise ConfigError(f"{name!r} is no model name", where=f"{library}:{name}")
    framework = _LIBRARY_FRAMEWORK[library]
    image = keras_input(name) if library == "keras" else ImageInput()
    frameworks = {framework: FrameworkModel(f"{library}:{name}")}
    return ModelProfile(f"{library}:{name}", "classification", frameworks, input=image)


def _file(path: Path) -> ModelRef:
    if not path.exists():
        raise ConfigError("no such file", where=str(path))
    kind = _SUFFIXES.get(path.suffix)
    if path.is_dir():
        if not (path / "saved_model.pb").is_file():
            raise ConfigError("a folder that holds no saved_model.pb", where=str(path), fix="name a SavedModel folder")
        kind = "savedmodel"
    if kind is None:
        raise ConfigError("no kind of model", where=str(path), fix=f"export takes {', '.join(_SUFFIXES)}, SavedModel")
    name = path.resolve().stem if path.is_file() else path.resolve().name
    return ModelRef(_as_name(name), kind, path=path.resolve())


def _as_name(stem: str) -> str:
    """A file's stem as it stands in tables: without what would take a name apart there."""
    return stem.replace("@", "-") or "model"


def _factory(text: str) -> ModelRef:
    """The module is found, not imported: that happens in the child."""
    module, _, name = text.partition(":")
    folders = (str(Path.cwd()),)
    path = _locate(module, (*folders, *sys.path))
    if path is None:
        fix = "run edgebench where it is, or install its package; or name torchvision:NAME, keras:NAME"
        raise ConfigError(f"no module {module!r} is found", where=text, fix=fix)
    return ModelRef(_as_name(name), "factory", path=path, factory=text, folders=folders, framework=_imports(path))


def _locate(module: str, folders: tuple[str, ...]) -> Path | None:
    """The file of a module, looked up as Python would but without running its parents."""
    search: Sequence[str] | None = folders
    origin = None
    parts = module.split(".")
    for index in range(len(parts)):
        spec = importlib.machinery.PathFinder.find_spec(".".join(parts[: index + 1]), search)
        if spec is None and index == 0:
            spec = _installed_elsewhere(module.partition(".")[0])
        if spec is None:
            return None
        origin, search = spec.origin, spec.submodule_search_locations or ()
    return Path(origin) if origin and Path(origin).suffix == ".py" else None


def _installed_elsewhere(package: str) -> importlib.machinery.ModuleSpec | None:
    """By the finders that editable installs bring."""
    finders = (finder for finder in sys.meta_path if finder is not importlib.machinery.PathFinder)
    found = (finder.find_spec(package, None) for finder in finders if hasattr(finder, "find_spec"))
    return next((spec for spec in found if spec is not None), None)


def _imports(path: Path) -> str | None:
    """Which framework a module imports; None where it is both or neither, and the user has to say it."""
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError) as error:
        raise ConfigError(f"it is no Python that can be read ({error})", where=str(path)) from None
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.partition(".")[0])
    found = {framework for framework, packages in _IMPORTED.items() if names & packages}
    return found.pop() if len(found) == 1 else None
