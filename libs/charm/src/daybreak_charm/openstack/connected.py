"""Exits with 0 when a program has a connection to one of some TCP ports, with 1 when it has none.

usage: connected.py USER PROGRAM PORT...   PROGRAM is its name, which its processes have in their titles, too

It becomes the program's user first: root without CAP_SYS_PTRACE may not look at others' descriptors.
"""

import os
import pwd
import sys
from collections.abc import Iterator

ESTABLISHED = "01"


def sockets(ports: set[int]) -> set[str]:
    """Inodes of the established connections to these ports (proc_pid_net(5), tcp)."""
    found: set[str] = set()
    for name in ("tcp", "tcp6"):
        with open(f"/proc/net/{name}") as table:
            for line in list(table)[1:]:
                words = line.split()
                if words[3] == ESTABLISHED and int(words[2].rpartition(":")[2], 16) in ports:
                    found.add(f"socket:[{words[9]}]")
    return found


def processes(program: str) -> Iterator[str]:
    """Numbers of the processes that have this name on their command line, this one left out."""
    for number in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{number}/cmdline", "rb") as file:
                title = file.read()
        except OSError:
            continue
        if program.encode() in title and int(number) != os.getpid():
            yield number


def connected(program: str, ports: set[int]) -> bool:
    """Whether one of its processes has such a connection."""
    wanted = sockets(ports)
    for number in processes(program):
        folder = f"/proc/{number}/fd"
        try:
            for descriptor in os.listdir(folder):
                if os.readlink(f"{folder}/{descriptor}") in wanted:
                    return True
        except OSError:
            continue
    return False


if __name__ == "__main__":
    user = pwd.getpwnam(sys.argv[1])
    if os.getuid() != user.pw_uid:
        os.setgroups([])
        os.setgid(user.pw_gid)
        os.setuid(user.pw_uid)
    sys.exit(0 if connected(sys.argv[2], {int(port) for port in sys.argv[3:]}) else 1)
