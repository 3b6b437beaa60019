"""Tools about the unit itself: configuration, leadership, log, ports, network, storage, state."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from daybreak_engine.hooktools.context import HookContext
from daybreak_engine.hooktools.flags import Arguments, ToolError
from daybreak_engine.hooktools.inputs import Inputs, settings_of
from daybreak_engine.model import applications, config, resources, rows, storage, units

_LEVELS = frozenset(("TRACE", "DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"))


def config_get(context: HookContext, args: Arguments, inputs: Inputs) -> object:
    """Show all set options, or one (None when unset or unknown)."""
    del inputs
    if context.config is None:
        context.config = config.settings(context.tx, context.application)
    key = args.position(0)
    return dict(context.config) if key in (None, "-") else context.config.get(key)


def is_leader(context: HookContext, args: Arguments, inputs: Inputs) -> object:
    """Tell whether the unit leads."""
    del args, inputs
    return context.is_leader


def juju_log(context: HookContext, args: Arguments, inputs: Inputs) -> object:
    """Write to the model's log."""
    del inputs
    if not args.rest:
        raise ToolError("no message specified", 2)
    level = "DEBUG" if args.on.get("debug") else (args.get("log-level") or "INFO").upper()
    if level == "WARN":
        level = "WARNING"
    if level not in _LEVELS:
        context.log("WARNING", f'Specified log level of "{args.get("log-level")}" is not valid')
        level = "INFO"
    context.log(level, " ".join(args.rest))
    return None


def juju_reboot(context: HookContext, args: Arguments, inputs: Inputs) -> object:
    """Accept in a hook, whose commit then fails: Kubernetes units are not rebooted."""
    del args, inputs
    if context.operation.is_task:
        raise ToolError("juju-reboot is not supported when running an action.")
    context.pending.reboot = True
    return None


def open_port(context: HookContext, args: Arguments, inputs: Inputs) -> object:
    """Buffer the opening of a port."""
    del inputs
    for port in _ports(args):
        context.pending.ports[port] = True
    return None


def close_port(context: HookContext, args: Arguments, inputs: Inputs) -> object:
    """Buffer the closing of a port; one that is not open is fine."""
    del inputs
    for port in _ports(args):
        context.pending.ports[port] = False
    return None


def opened_ports(context: HookContext, args: Arguments, inputs: Inputs) -> object:
    """List the open ports, this hook's pending changes included."""
    del inputs
    shown = set(units.ports(context.tx, context.unit))
    for port, opened in context.pending.ports.items():
        if opened:
            shown.add(port)
        else:
            shown = {p for p in shown if not _closes(port, p)}
    ordered = sorted(shown, key=lambda p: (p.protocol != "icmp", p.port, p.protocol))
    if not args.on.get("endpoints"):
        return list(dict.fromkeys(str(port) for port in ordered))
    endpoints: dict[str, list[str]] = {}
    for port in ordered:
        endpoints.setdefault(str(port), []).append(port.endpoint or "*")
    return [f"{port} ({', '.join(sorted(names))})" for port, names in endpoints.items()]


def network_get(context: HookContext, args: Arguments, inputs: Inputs) -> object:
    """Show the pod's address and the application's service address, the same for each binding."""
    del inputs
    binding = args.position(0)
    if binding is None:
        raise ToolError("no arguments specified", 2)
    if args.get("r") is not None:
        context.relation(args.get("r"))
    known = {*context.meta.endpoints, *context.meta.extra_bindings, "juju-info", ""}
    if binding not in known:
        raise ToolError(f'no network config found for binding "{binding}"')
    unit = units.get(context.tx, context.unit)
    application = applications.get(context.tx, context.application)
    ingress = application.service_address or unit.address
    egress = [f"{ingress}/{128 if ':' in ingress else 32}"] if ingress else []
    if args.on.get("bind-address"):
        return unit.address
    if args.on.get("ingress-address"):
        return ingress
    if args.on.get("egress-subnets"):
        return ",".join(egress)
    shown: dict[str, Any] = {
        "egress-subnets": egress,
        "ingress-addresses": [ingress] if ingress else [],
    }
    if unit.address:
        cidr = "::/0" if ":" in unit.address else "0.0.0.0/0"
        address = {"hostname": unit.address, "value": unit.address, "cidr": cidr}
        shown["bind-addresses"] = [
            {
                "mac-address": "",
                "interface-name": f'placeholder for "{context.unit}" k8s pod',
                "addresses": [address],
            }
        ]
    return shown


def unit_get(context: HookContext, args: Arguments, inputs: Inputs) -> object:
    """Show an address in the old way."""
    del inputs
    if args.position(0) not in ("private-address", "public-address"):
        raise ToolError(f'unknown setting "{args.position(0) or ""}"', 2)
    unit = units.get(context.tx, context.unit)
    if args.position(0) == "private-address":
        return unit.address
    return applications.get(context.tx, context.application).service_address or unit.address


def resource_get(context: HookContext, args: Arguments, inputs: Inputs) -> object:
    """Put a resource's file into the pod and show its path."""
    del inputs
    name = args.position(0)
    if name is None:
        raise ToolError("missing required resource name", 2)
    resource = resources.find(context.tx, context.application, name)
    if resource is None:
        raise ToolError(
            "could not download resource: HTTP request failed:"
            f' Get resource: resource "{name}" not found'
        )
    return context.services.resource_path(resource)


def credential_get(context: HookContext, args: Arguments, inputs: Inputs) -> object:
    """Show the cluster's credential to a trusted application."""
    del args, inputs
    if not applications.get(context.tx, context.application).trust:
        raise ToolError(
            "cannot access cloud credentials: getting model credentials: permission denied"
        )
    return {"type": "kubernetes", "name": context.model.name, **context.services.credential}


def storage_list(context: HookContext, args: Arguments, inputs: Inputs) -> object:
    """List the unit's storage instances."""
    del inputs
    name = args.position(0)
    found = storage.of(context.tx, context.unit)
    return [instance.id for instance in found if name in (None, instance.name)]


def storage_get(context: HookContext, args: Arguments, inputs: Inputs) -> object:
    """Show kind and location of an instance."""
    del inputs
    wanted = args.get("s") or context.operation.storage_id
    if not wanted:
        raise ToolError("no storage instance specified", 2)
    for instance in storage.of(context.tx, context.unit):
        if instance.id == wanted:
            shown = {"kind": "filesystem", "location": instance.location}
            key = args.position(0)
            if key in (None, "-"):
                return shown
            if key not in shown:
                raise ToolError(f'invalid storage attribute "{key}"')
            return shown[key]
    raise ToolError(f'invalid value "{wanted}" for option -s: storage not found', 2)


def storage_add(context: HookContext, args: Arguments, inputs: Inputs) -> object:
    """Buffer the addition of storage instances."""
    del inputs
    if not args.rest:
        raise ToolError("storage add requires a storage directive", 2)
    for argument in args.rest:
        name, equals, text = argument.partition("=")
        if name not in context.meta.storage:
            raise ToolError(f'storage "{name}" not found')
        count = int(text) if text.isdecimal() else 0 if equals else 1
        if count < 1:
            raise ToolError(f'storage directives: count must be a positive number, got "{text}"', 2)
        context.pending.storage[name] = context.pending.storage.get(name, 0) + count
    return None


def state_get(context: HookContext, args: Arguments, inputs: Inputs) -> object:
    """Show the charm's stored state: all of it (None when there is none) or one key."""
    del inputs
    stored: Mapping[str, str] = _merged(units.data(context.tx, context.unit), context.pending.data)
    key = args.position(0)
    if key in (None, "-"):
        return dict(stored) or None
    return stored.get(key, "") if stored else None


def state_set(context: HookContext, args: Arguments, inputs: Inputs) -> object:
    """Buffer changes of the charm's stored state."""
    context.pending.data.update(settings_of(args, inputs))
    return None


def state_delete(context: HookContext, args: Arguments, inputs: Inputs) -> object:
    """Buffer the removal of a key of the charm's stored state."""
    del inputs
    if len(args.rest) != 1:
        raise ToolError("missing key" if not args.rest else "too many arguments", 2)
    context.pending.data[args.rest[0]] = None
    return None


def _merged(stored: Mapping[str, str], changes: Mapping[str, str | None]) -> dict[str, str]:
    merged = {**stored, **changes}
    return {key: value for key, value in merged.items() if value is not None}


def _ports(args: Arguments) -> list[rows.Port]:
    text = args.position(0)
    if text is None:
        raise ToolError("no port or range specified", 2)
    endpoints = (args.get("endpoints") or "").split(",")
    return [_port(text, endpoint.strip().removeprefix("*")) for endpoint in endpoints]


def _port(text: str, endpoint: str) -> rows.Port:
    number, slash, protocol = text.partition("/")
    protocol = protocol.lower() if slash else "tcp"
    if number == "icmp" and not slash:
        return rows.Port("icmp", 0, endpoint)
    if protocol not in ("tcp", "udp", "icmp"):
        raise ToolError(f'invalid protocol "{protocol}", expected "tcp", "udp", or "icmp"', 2)
    low, dash, high = number.partition("-")
    for part in (low, high) if dash else (low,):
        if not part.isdecimal():
            raise ToolError(
                f'invalid port "{part}": strconv.Atoi: parsing "{part}": invalid syntax', 2
            )
    first, last = int(low), int(high or low)
    if not 0 <= first <= last <= 65535:
        raise ToolError(f"port range bounds must be between 0 and 65535, got {first}-{last}", 2)
    if first != last:
        raise ToolError(
            "port ranges are not supported for k8s applications, please specify a single port"
        )
    return rows.Port(protocol, first, endpoint)


def _closes(closed: rows.Port, port: rows.Port) -> bool:
    same = (closed.protocol, closed.port) == (port.protocol, port.port)
    return same and closed.endpoint in ("", port.endpoint)
