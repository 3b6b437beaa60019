"""The WSGI application of an OpenStack service, made fit for threads; uwsgi loads this file.

DAYBREAK_APPLICATION names the module that has it. DAYBREAK_ARGUMENTS are the words that it takes for its
command line: the first one names its reply queue, too, which every program under uwsgi would share.
"""

import importlib
import os
import sys
import threading
import time
from typing import Any

PATIENCE = 10.0
"""Seconds until the rest of a part of a request's body must have come."""

sys.argv = os.environ["DAYBREAK_ARGUMENTS"].split()


def load_policies_alone() -> None:
    """Let one thread load policies while the others wait.

    oslo.policy does not lock: threads that come while another loads see half of the rules, and refuse what
    is allowed. Nor do rules change below running threads: another file of policies is a restart.
    """
    enforcer: Any = importlib.import_module("oslo_policy.policy").Enforcer
    lock = threading.RLock()
    load = enforcer.load_rules

    def load_rules(self: Any, force_reload: bool = False) -> None:
        if not self.use_conf and not force_reload:
            return
        with lock:
            load(self, force_reload)
            self.use_conf = False

    enforcer.load_rules = load_rules


def read_parts_whole() -> None:
    """Let a body that comes in chunks, without its length, come over TLS.

    uwsgi 2.0.28 takes it for the end of the connection when it finds only a part of a TLS record (core/chunked.c:
    it reads once after it has waited). Nothing is lost, so it can be asked again.
    """
    try:
        server: Any = importlib.import_module("uwsgi")
    except ImportError:
        return  # another server
    read = server.chunked_read

    def chunked_read(*timeout: int) -> bytes:
        until = time.monotonic() + PATIENCE
        while True:
            try:
                return read(*timeout)
            except OSError:
                if time.monotonic() >= until:
                    raise
                time.sleep(0.005)

    server.chunked_read = chunked_read


load_policies_alone()
read_parts_whole()
application = importlib.import_module(os.environ["DAYBREAK_APPLICATION"]).application
