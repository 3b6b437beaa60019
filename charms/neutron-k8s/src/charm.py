#!/usr/bin/env python3
"""The network service, on OVN."""

import dataclasses
from typing import ClassVar, cast

import neutron as workload
import ops
from ops import pebble

from daybreak_charm import Blocked, Context, DaybreakCharm, Description, Need, Waiting, events
from daybreak_charm.openstack import Inputs, describe
from daybreak_interfaces import NotReady, ovsdb_cms

_SYNC_SECONDS = 1800.0


def ask_ovn(context: Context, relation: ops.Relation) -> None:
    """Say that the databases' own addresses can be reached from here."""
    if context.leader:
        ovsdb_cms.write_request(relation.data[context.charm.app], external=False)


def read_ovn(context: Context, relation: ops.Relation) -> ovsdb_cms.Answer | NotReady:
    """Where OVN's databases are."""
    return ovsdb_cms.read_answer(context.remote_app(relation), context.remote_units(relation))


_BASE = describe(workload.SERVICE)


def read(context: Context) -> Inputs | Waiting | Blocked:
    """Collect what decides how Neutron runs."""
    return workload.refused(context.config) or _BASE.read(context)


class NeutronCharm(DaybreakCharm):
    """The charm."""

    description: ClassVar[Description[Inputs]] = dataclasses.replace(
        _BASE, needs=(*_BASE.needs, Need(workload.OVN, read_ovn, ask_ovn)), read=read
    )

    def __init__(self, framework: ops.Framework):
        super().__init__(framework)
        framework.observe(self.on.sync_ovn_action, self._on_sync_ovn)

    def _on_sync_ovn(self, event: ops.ActionEvent) -> None:
        outcomes = self.ask()
        if not isinstance(self.inputs, Inputs):
            event.fail(f"Neutron is not set up yet: {self.explain(outcomes)}")
            return
        layout = self.inputs.layout
        program = layout.program("neutron-ovn-db-sync-util")
        mode = str(event.params.get("mode", "log"))
        command = workload.SERVICE.command(program, "--ovn-neutron_sync_mode", mode)
        process = self.context.container(workload.CONTAINER).exec(
            list(command), user=layout.user, group=layout.user, timeout=_SYNC_SECONDS
        )
        try:
            said = process.wait_output()
        except pebble.ExecError as failure:
            error = cast("pebble.ExecError[str]", failure)
            lines = str(error.stderr or "").strip().splitlines()
            event.fail(f"It ended with {error.exit_code}: {(lines or ['it said nothing'])[-1]}")
            return
        except (pebble.ChangeError, TimeoutError):
            event.fail(f"It did not end within {_SYNC_SECONDS:.0f} s.")
            return
        lines = [line for text in said if text for line in text.splitlines()]
        found = [line for line in lines if "WARNING" in line or "ERROR" in line]
        event.set_results({"mode": mode, "differences": str(len(found)), "log": "\n".join(found)})


if __name__ == "__main__":  # pragma: no cover
    events.main(NeutronCharm)
