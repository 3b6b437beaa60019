"""Workloads that need the node itself: DaemonSets that a charm applies, with their programs and files."""

from daybreak_charm.nodes.objects import (
    Component,
    Container,
    HostPath,
    Owner,
    Resources,
    scripts,
    shell,
)

__all__ = ["Component", "Container", "HostPath", "Owner", "Resources", "scripts", "shell"]
