"""Interfaces that say only that a service is there: `placement`, `barbican-service` and their like.

Wire format of `sunbeam_libs/v0/service_readiness.py` 0.1; the requirer writes nothing.
"""

from daybreak_interfaces._common import Bag, NotReady, WritableBag, load_json, put


def write_answer(app_bag: WritableBag, *, ready: bool) -> None:
    """Write the provider's side (leader only)."""
    put(app_bag, {"ready": "true" if ready else None})


def read_answer(app_bag: Bag) -> bool | NotReady:
    """Whether the service is there: True, or why not."""
    return load_json(app_bag, "ready") is True or NotReady("the service is not there yet")
