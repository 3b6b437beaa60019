"""Removing an instance: nothing of it stays on the machine, whatever half-made state it was in."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from typing import TYPE_CHECKING

from daybreak_engine.daemon import supervisor
from daybreak_engine.substrate import network, nodes, pods
from daybreak_engine.substrate.files import remove_tree
from daybreak_engine.substrate.podman import podman_for, release

if TYPE_CHECKING:
    from daybreak_engine.instance import Instance


async def remove(instance: Instance) -> None:
    """End the daemon and remove pods, network, model, storage, logs and sockets of the instance.

    The cache that all instances share (images, Pebble, unpacked charms) stays.
    """
    await asyncio.to_thread(supervisor.stop, instance)
    if shutil.which("podman") and instance.podman_graphroot.exists():
        podman = podman_for(instance)
        await pods.Pods(podman).remove_all()
        await release(podman)
    await network.remove_router(instance)
    await nodes.remove_all(instance)
    for directory in (instance.state, instance.run):
        await asyncio.to_thread(remove_tree, directory)
        with contextlib.suppress(OSError):
            # Only when this was the last instance.
            directory.parent.rmdir()
