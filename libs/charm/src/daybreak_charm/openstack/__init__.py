"""What OpenStack's services have in common: relations, sections of options, APIs and workers as data."""

from daybreak_charm.openstack import needs, options, steps
from daybreak_charm.openstack.needs import Entry, Urls
from daybreak_charm.openstack.service import Api, Inputs, Service, Worker, describe

__all__ = [
    "Api",
    "Entry",
    "Inputs",
    "Service",
    "Urls",
    "Worker",
    "describe",
    "needs",
    "options",
    "steps",
]
