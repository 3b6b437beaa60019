"""The WSGI application of an OpenStack service, made fit for threads; uwsgi loads this file.

DAYBREAK_APPLICATION names the module that has it. DAYBREAK_ARGUMENTS are the words that it takes for its
command line: the first one names its reply queue, too, which every program under uwsgi would share.
"""

import importlib
import os
import sys
import threading
from typing import Any

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


load_policies_alone()
application = importlib.import_module(os.environ["DAYBREAK_APPLICATION"]).application
