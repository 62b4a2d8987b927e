"""TCP ports on the loopback interface: finding a free one, and saying who holds a taken one."""

import socket
from collections.abc import Iterable
from dataclasses import dataclass

import psutil

from embedded.process import EmbeddedError

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class Port:
    """A port something wants, with the words for a message about it."""

    number: int
    wanted_by: str
    variable: str  # the environment variable that chooses another one


def free_port() -> int:
    """A port nobody listens on at this moment; another process may take it before you do."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        number: int = probe.getsockname()[1]
        return number


def is_free(number: int) -> bool:
    """Whether a server could listen there now."""
    with socket.socket() as probe:
        # As servers do: a port that only has old connections in TIME_WAIT counts as free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, number))
        except OSError:
            return False
        return True


def require_free(ports: Iterable[Port]) -> None:
    """Raise one :class:`EmbeddedError` that names every taken port, its holder if known, and the way out."""
    wanted: dict[int, Port] = {}
    problems = []
    for port in ports:
        if port.number in wanted:
            other = wanted[port.number]
            problems.append(
                f"Port {port.number} is wanted by both {other.wanted_by} and {port.wanted_by}. "
                f"Choose another with {port.variable}."
            )
        elif not is_free(port.number):
            problems.append(
                f"Port {port.number}, which {port.wanted_by} needs, is taken{_held_by(port.number)}. "
                f"Stop that program, or choose another port: {port.variable}={free_port()} make run"
            )
        wanted[port.number] = port
    if problems:
        raise EmbeddedError("\n".join(problems))


def _held_by(number: int) -> str:
    """``" by NAME (process PID)"``, or nothing where the system does not tell."""
    try:
        for connection in psutil.net_connections("tcp"):
            listens = connection.status == psutil.CONN_LISTEN and connection.laddr
            if listens and listens.port == number and connection.pid:
                return f" by {psutil.Process(connection.pid).name()} (process {connection.pid})"
    except psutil.Error:
        pass  # another user's process, or a system that only tells root
    return ""
