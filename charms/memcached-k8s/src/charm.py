#!/usr/bin/env python3
"""memcached for whoever relates to it."""

import memcached

from daybreak_charm import (
    Blocked,
    Context,
    DaybreakCharm,
    Description,
    Process,
    Waiting,
    events,
    online,
    up,
)
from daybreak_interfaces import memcached as interface

CONTAINER = "memcached"


def read(context: Context) -> memcached.Inputs | Waiting | Blocked:
    """Return what the options, the machine and the image say."""
    try:
        memory = memcached.memory_mib(int(context.config["memory"]), context.machine(CONTAINER))
    except memcached.InvalidError as error:
        return Blocked("the option memory is too small", str(error))
    layout = context.layout(CONTAINER)
    return memcached.Inputs(
        memory_mib=memory,
        user=layout.user if layout else "memcached",
        program=layout.program("memcached") if layout else "/usr/bin/memcached",
        version=layout.version if layout else "",
    )


def processes(inputs: memcached.Inputs) -> list[Process]:
    """Return the one process; its contents are not worth waiting for when it ends."""
    return [
        Process(
            "memcached",
            memcached.command(inputs),
            user=inputs.user,
            checks=(online(tcp=memcached.PORT), up(tcp=memcached.PORT)),
            kill_delay="5s",
        )
    ]


def publish(context: Context, _: memcached.Inputs) -> None:
    """Every unit says its own name, and the leader all names.

    A client reads the leader's list before it has been told of the units one by one, so that its
    first configuration is its last.
    """
    names = [context.unit_fqdn(f"{context.app}/{number}") for number in range(context.planned)]
    for relation in context.relations("cache"):
        interface.write_unit(relation.data[context.charm.unit], f"{context.fqdn}:{memcached.PORT}")
        if context.leader:
            servers = [f"{name}:{memcached.PORT}" for name in names]
            interface.write_app(relation.data[context.charm.app], servers)


class MemcachedCharm(DaybreakCharm):
    """The charm."""

    description = Description(
        containers=(CONTAINER,),
        read=read,
        render=lambda _: (),
        processes=processes,
        publish=publish,
        ports=lambda _: [memcached.PORT],
        version=lambda inputs: inputs.version,
    )


if __name__ == "__main__":  # pragma: no cover
    events.main(MemcachedCharm)
