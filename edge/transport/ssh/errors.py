"""paramiko's and the socket's exceptions, translated once. A test walks paramiko's and fails on a missing one."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable

from edge.transport.ssh.endpoint import Endpoint
from profiles.errors import ConnectError, HostKeyError, LoginError, Timeout, TransportError

_Make = Callable[[BaseException, Endpoint], TransportError]


def translated(error: BaseException, endpoint: Endpoint) -> TransportError:
    """The error of ours that says the same, with place and remedy."""
    for kind in type(error).__mro__:
        if kind.__name__ in BY_NAME:
            return BY_NAME[kind.__name__](error, endpoint)
    return _unforeseen(error, endpoint)


def hung_up(error: BaseException) -> bool:
    """Whether the server closed the connection before its first line: paramiko says so in what led to its error."""
    ends = (EOFError, ConnectionResetError, BrokenPipeError)
    return isinstance(error, ends) or ("banner" in str(error) and isinstance(error.__context__, ends))


def lost(endpoint: Endpoint, detail: object = "") -> ConnectError:
    """The connection ended in the middle of a call."""
    more = f" ({detail})" if str(detail) else ""
    return ConnectError(
        f"the connection was lost{more}", where=endpoint.where, fix="run it again: it goes on from there"
    )


def _refused_key(error: BaseException, endpoint: Endpoint) -> TransportError:
    return LoginError(
        f"the login as {endpoint.user} was refused ({error})",
        where=endpoint.where,
        fix=f"try `ssh -p {endpoint.port} {endpoint.user}@{endpoint.host}`, and set user and key in fleet.toml",
    )


def _partial(_error: BaseException, endpoint: Endpoint) -> TransportError:
    return LoginError(
        f"the login as {endpoint.user} needs more than a key",
        where=endpoint.where,
        fix="allow this user to log in by key alone (sshd_config, AuthenticationMethods)",
    )


def _methods(error: BaseException, endpoint: Endpoint) -> TransportError:
    allowed = ", ".join(getattr(error, "allowed_types", ()) or ("nothing",))
    return LoginError(
        f"the login of {endpoint.user} by key is not allowed; the server takes {allowed}",
        where=endpoint.where,
        fix="switch on PubkeyAuthentication in its sshd_config",
    )


def _passphrase(_error: BaseException, endpoint: Endpoint) -> TransportError:
    return LoginError("the key needs a passphrase", where=endpoint.where, fix="give it to your agent: ssh-add")


def _host_key(error: BaseException, endpoint: Endpoint) -> TransportError:
    return HostKeyError(
        f"the host key is not the expected one ({error})",
        where=endpoint.where,
        fix=f"find out why before you run {endpoint.trusting(anew=True)}",
    )


def _no_channel(error: BaseException, endpoint: Endpoint) -> TransportError:
    return ConnectError(
        f"the server opened no session ({error})", where=endpoint.where, fix="raise MaxSessions in its sshd_config"
    )


def _incompatible(error: BaseException, endpoint: Endpoint) -> TransportError:
    return LoginError(
        f"the server shares no algorithm with this client ({error})", where=endpoint.where, fix="update OpenSSH there"
    )


def _protocol(error: BaseException, endpoint: Endpoint) -> TransportError:
    if hung_up(error):
        return ConnectError(
            "the server hung up before it said anything, several times",
            where=endpoint.where,
            fix="check that it is sshd at this port, and how many logins at once it takes (MaxStartups)",
        )
    return ConnectError(
        f"what answers does not speak SSH as expected ({error})", where=endpoint.where, fix="check host and port"
    )


def _config(error: BaseException, endpoint: Endpoint) -> TransportError:
    return LoginError(f"~/.ssh/config cannot be applied ({error})", where=endpoint.where, fix="mend it")


def _proxy(error: BaseException, endpoint: Endpoint) -> TransportError:
    return ConnectError(f"the proxy command failed ({error})", where=endpoint.where, fix="run it by hand")


def _unknown_name(_error: BaseException, endpoint: Endpoint) -> TransportError:
    return ConnectError(
        f"the name {endpoint.host} cannot be resolved",
        where=endpoint.where,
        fix="check host in fleet.toml, or HostName in ~/.ssh/config",
    )


def _refused(_error: BaseException, endpoint: Endpoint) -> TransportError:
    return ConnectError(
        f"nothing listens at port {endpoint.port}",
        where=endpoint.where,
        fix="start sshd on the device, or set port in fleet.toml",
    )


def _timeout(_error: BaseException, endpoint: Endpoint) -> TransportError:
    return Timeout("no answer in time", where=endpoint.where, fix="check that the device is on and reachable")


def _cut(error: BaseException, endpoint: Endpoint) -> TransportError:
    return lost(endpoint, getattr(error, "strerror", None) or "")


def _socket(error: BaseException, endpoint: Endpoint) -> TransportError:
    number = getattr(error, "errno", None)
    if number in (errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN, errno.ENETDOWN):
        return ConnectError(
            f"there is no route to {endpoint.host}",
            where=endpoint.where,
            fix="check the network, and host in fleet.toml",
        )
    return ConnectError(f"the connection failed ({getattr(error, 'strerror', None) or error})", where=endpoint.where)


def _unforeseen(error: BaseException, endpoint: Endpoint) -> TransportError:
    return TransportError(f"the connection failed ({type(error).__name__}: {error})", where=endpoint.where)


BY_NAME: dict[str, _Make] = {
    # paramiko, by name: importing it here would cost every start of the program
    "AgentKeyException": _refused_key,
    "AuthFailure": _refused_key,
    "AuthenticationException": _refused_key,
    "BadAuthenticationType": _methods,
    "BadHostKeyException": _host_key,
    "ChannelException": _no_channel,
    "ConfigParseError": _config,
    "CouldNotCanonicalize": _unknown_name,
    "IncompatiblePeer": _incompatible,
    "MessageOrderError": _protocol,
    "NoValidConnectionsError": _refused,
    "PartialAuthentication": _partial,
    "PasswordRequiredException": _passphrase,
    "ProxyCommandFailure": _proxy,
    "SFTPError": _protocol,
    "SSHException": _protocol,
    "UnableToAuthenticate": _refused_key,
    "UnknownKeyType": _protocol,
    # the socket
    socket.gaierror.__name__: _unknown_name,
    "ConnectionRefusedError": _refused,
    "ConnectionError": _cut,
    "TimeoutError": _timeout,
    "EOFError": _cut,
    "OSError": _socket,
}
