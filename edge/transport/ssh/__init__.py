"""The device behind SSH. This package is the only one that imports paramiko, and only when a connection is made."""

from edge.transport.ssh.connection import close_gateways, fetch_host_keys
from edge.transport.ssh.endpoint import Endpoint, resolve
from edge.transport.ssh.transport import SSHTransport

__all__ = ["Endpoint", "SSHTransport", "close_gateways", "fetch_host_keys", "resolve"]
