"""The controller: everything that runs on the operator's machine."""


def version() -> str:
    """The version of this edgebench; `0+source` in a source tree that is not installed."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("edgebench")
    except PackageNotFoundError:
        return "0+source"
