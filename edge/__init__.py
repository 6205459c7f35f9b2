"""The controller: everything that runs on the operator's machine."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("edgebench")
except PackageNotFoundError:  # a source tree that is not installed
    __version__ = "0+source"
