"""The transport of a device: this machine, or a host behind SSH."""

from __future__ import annotations

from edge.inventory.devices import Device
from edge.places import Places
from edge.transport.base import Transport


def connect(device: Device, places: Places) -> Transport:
    """A transport to the device, not connected yet where that takes time. The caller closes it."""
    if device.is_local:
        from edge.transport.local import LocalTransport

        return LocalTransport(device.name)
    from edge.transport.ssh import SSHTransport, resolve

    return SSHTransport(resolve(device, places))
