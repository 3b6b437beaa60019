"""What holds for the process of a hook; imported before anything that is large."""

import gc
import logging

# A hook lives for half a second and makes next to nothing that only the collector could free, while the
# imports alone would start it often enough to cost a sixth of the hook.
gc.set_threshold(100_000)

# Each message is a process of its own (juju-log), and the framework's debug messages are two a hook.
logging.disable(logging.DEBUG)
