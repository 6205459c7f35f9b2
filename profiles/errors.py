"""Every error edgebench raises on purpose.

    EdgebenchError
    ├── ConfigError          a mistake in a file or on the command line, found before any work   exit code 2
    ├── ExportError          a model did not become an artifact
    │   └── ParityError      it did, but its outputs are not the framework's
    ├── TransportError       a device could not be reached or stopped answering
    │   ├── ConnectError     no connection, or no login
    │   │   └── LoginError   the host answers and does not let us in
    │   ├── HostKeyError     the host's key is unknown or has changed
    │   ├── TransferError    a file did not arrive whole
    │   └── Timeout          a call ran past its bound
    ├── AgentError           the device answered that it could not
    │   ├── BuildError       an engine was not built
    │   ├── RunError         a measurement was not made
    │   └── SchemaError      it answered something we do not understand
    └── ResultError          stored results are damaged or missing

Each is one sentence: what happened, where (device, stage, file, key), and what mends it. Third-party exceptions are
translated once, at the module that owns the library.
"""

from __future__ import annotations

from device_agents.contract import ErrorInfo


class EdgebenchError(Exception):
    """Base of all. `message` says what, `where` the place, `fix` the remedy; `code` is stable for programs."""

    code = "error"
    exit_code = 1
    usual_stage = ""

    def __init__(self, message: str, *, where: str = "", fix: str = "", stage: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.where = where
        self.fix = fix
        self.stage = stage or self.usual_stage

    def __str__(self) -> str:
        return sentence(self.message, where=self.where, fix=self.fix)

    def info(self) -> ErrorInfo:
        """The same as data, for journals and `--json`."""
        return ErrorInfo(self.code, self.stage, self.message, self.where, self.fix)


def sentence(message: str, *, where: str = "", fix: str = "") -> str:
    """`where: message; fix`, leaving out what is empty. Control characters, which a device may send, become `?`."""
    text = f"{where}: {message}" if where else message
    return printable(f"{text.rstrip('.')}; {fix}" if fix else text)


def printable(text: str) -> str:
    """`text` without anything that could move a terminal's cursor or colour it."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


class ConfigError(EdgebenchError):
    code = "config"
    exit_code = 2


class ExportError(EdgebenchError):
    code = "export"


class ParityError(ExportError):
    code = "parity_failed"


class TransportError(EdgebenchError):
    code = "transport"
    usual_stage = "connection"


class ConnectError(TransportError):
    code = "connect"


class LoginError(ConnectError):
    """Its code is ConnectError's: what differs is that to try again helps nobody."""


class HostKeyError(TransportError):
    code = "host_key"


class TransferError(TransportError):
    code = "transfer"
    usual_stage = "transfer"


class Timeout(TransportError):
    code = "timeout"


class AgentError(EdgebenchError):
    code = "agent"
    usual_stage = "agent"


class BuildError(AgentError):
    code = "build"


class RunError(AgentError):
    code = "run"


class SchemaError(AgentError):
    code = "schema"


class ResultError(EdgebenchError):
    code = "result"
