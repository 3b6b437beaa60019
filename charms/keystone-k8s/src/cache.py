"""Have memcached forget what Keystone has told it."""

import socket

from daybreak_charm import urls

TIMEOUT = 3.0
"""Seconds for a server to answer."""


def forget(server: str) -> bool:
    """Whether a server has dropped all that it holds.

    Args:
        server: `host:port`.
    """
    host, port = urls.split_host_port(server, 11211)
    try:
        with socket.create_connection((host, port), timeout=TIMEOUT) as connection:
            connection.sendall(b"flush_all\r\n")
            return connection.recv(64).startswith(b"OK")
    except OSError:
        return False
