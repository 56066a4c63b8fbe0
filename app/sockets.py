"""Addresses to listen on; free of heavy imports, since the parent of the workers uses it too."""

import socket
import sys

from model.errors import PolyrankError

REFUSED = 2  # exit status of a worker that cannot start: its parent does not start it again


class AddressError(PolyrankError):
    """An address cannot be listened on."""


def bound_socket(host: str, port: int) -> socket.socket:
    """A bound socket; every worker has one of its own, and the kernel spreads connections over them by SO_REUSEPORT."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        made.bind((host, port))
    except OSError as error:
        made.close()
        move = "end what listens there or choose another --port"
        raise AddressError(f"address {host}:{port}", error.strerror, move) from None
    return made


def address_of(sock: socket.socket) -> str:
    """The URL of a bound socket."""
    host, port = sock.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def announce(sock: socket.socket) -> None:
    """Say where the service is."""
    sys.stdout.write(f"Polyrank on {address_of(sock)}\n")
    sys.stdout.flush()
