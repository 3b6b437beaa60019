#!/usr/bin/env python3
"""One address for all APIs."""

import logging

import balancer
import haproxy
import ops

from daybreak_charm import (
    RETRY,
    Blocked,
    Context,
    DaybreakCharm,
    Description,
    Need,
    Outcome,
    Ready,
    Tls,
    Waiting,
    containers,
    events,
    urls,
)
from daybreak_interfaces import NotReady, certificate_transfer, ingress

logger = logging.getLogger(__name__)

CONTAINER = "gateway"
INTERNAL = "ingress-internal"
PUBLIC = "ingress-public"


def load_balancer(context: Context) -> balancer.Balancer:
    """The load balancer, asked for once per dispatch; only the leader makes it."""
    found = context.memo.get("balancer")
    if not isinstance(found, balancer.Balancer):
        if context.config["load-balancer"]:
            make = context.acting and context.leader
            found = balancer.ensure(context.model, context.app, make=make)
        else:
            found = balancer.Balancer(why="no load balancer")
        context.memo["balancer"] = found
    return found


def public_host(context: Context) -> str | None:
    """Host of the public URLs; None while the load balancer has no address yet."""
    if name := str(context.config["external-hostname"]).strip():
        return name
    found = load_balancer(context)
    return found.address or (context.service_fqdn if found.why else None)


def outer_names(context: Context) -> list[str]:
    """Names and addresses in the certificate beside the units' own."""
    host, address = public_host(context), load_balancer(context).address
    return [name for name in (host, address) if name]


def url(context: Context, endpoint: str, route: haproxy.Route) -> str | None:
    """URL of a route for one kind of user."""
    host = context.service_fqdn if endpoint == INTERNAL else public_host(context)
    return urls.url("https", host, path=route.path) if host else None


def read_route(context: Context, relation: ops.Relation) -> haproxy.Route | NotReady:
    """What an application asked for."""
    request = ingress.read_request(context.remote_app(relation))
    if isinstance(request, NotReady):
        return request
    servers = [ingress.read_unit(bag) for bag in context.remote_units(relation)]
    route = haproxy.route(request, [s for s in servers if isinstance(s, ingress.Server)])
    if route is None:
        logger.warning("%s asked for a route that cannot be", relation)
        return NotReady("the request cannot be routed")
    return route


def answer(context: Context, relation: ops.Relation) -> None:
    """Publish the URL as soon as it is known: nobody has to wait for the gateway to know it."""
    if not context.leader:
        return
    route = read_route(context, relation)
    if isinstance(route, haproxy.Route):
        found = url(context, relation.name, route)
        if found:
            ingress.write_answer(relation.data[context.charm.app], found)


def read_trusted(context: Context, relation: ops.Relation) -> certificate_transfer.Answer:
    """Certificates that units of applications may be verified with."""
    return certificate_transfer.read_answer(
        context.remote_app(relation), context.remote_units(relation)
    )


def ask_certificates(context: Context, relation: ops.Relation) -> None:
    """Say that version 1 is understood."""
    if context.leader:
        certificate_transfer.write_request(relation.data[context.charm.app])


def read(context: Context) -> haproxy.Inputs | Waiting | Blocked:
    """Collect what decides how the gateway runs."""
    layout = context.layout(CONTAINER)
    certificate = context.certificate
    assert certificate is not None  # the certificate's gate is open
    extra = [p for trusted in context.needs["receive-ca-cert"] for p in trusted.certificates]
    routes: dict[str, haproxy.Route] = {}
    for route in (*context.needs[INTERNAL], *context.needs[PUBLIC]):
        known = routes.setdefault(route.name, route)
        # Both relations name the same units; one may have heard of a unit first.
        servers = {server.host: server for server in (*route.servers, *known.servers)}
        routes[route.name] = haproxy.Route(
            known.request, tuple(servers[host] for host in sorted(servers))
        )
    strangers = [name for name, route in sorted(routes.items()) if not route.servers]
    if strangers and not containers.running(context.container(CONTAINER)).get(CONTAINER):
        # A new unit hears of the others one by one. It would turn users away that the gateways before serve.
        waker = f"{PUBLIC}-relation-joined"
        return Waiting(f"no unit of {', '.join(strangers)} has joined yet", waker)
    return haproxy.Inputs(
        program=layout.program("haproxy") if layout else "/usr/sbin/haproxy",
        version=layout.version if layout else "",
        user=layout.user if layout else "haproxy",
        pem=certificate.key + certificate.certificate,
        ca=certificate.ca + "".join(f"{pem}\n" for pem in extra),
        routes=tuple(routes[name] for name in sorted(routes)),
        gateways=max(context.planned, 1),
        ipv6=":" in (context.bind_address or ""),
    )


def reachable(context: Context, _: haproxy.Inputs) -> Outcome:
    """Say what the public URLs still lack."""
    if public_host(context) is None:
        return Waiting("the load balancer has no address yet", RETRY)
    found = load_balancer(context)
    return Ready(found.why if not context.config["external-hostname"] else "")


class GatewayCharm(DaybreakCharm):
    """The charm."""

    description = Description(
        containers=(CONTAINER,),
        needs=(
            Need(INTERNAL, read_route, answer, required=False, many=True),
            Need(PUBLIC, read_route, answer, required=False, many=True),
            Need("receive-ca-cert", read_trusted, ask_certificates, required=False, many=True),
        ),
        tls=Tls(names=outer_names),
        read=read,
        render=haproxy.render,
        processes=haproxy.processes,
        after=reachable,
        ports=lambda _: [haproxy.HTTPS_PORT, haproxy.HTTP_PORT],
        version=lambda inputs: inputs.version,
    )

    def __init__(self, framework: ops.Framework):
        super().__init__(framework)
        framework.observe(self.on.show_urls_action, self._on_show_urls)
        framework.observe(self.on.remove, self._on_remove)

    def _on_show_urls(self, event: ops.ActionEvent) -> None:
        results: dict[str, str] = {}
        for endpoint in (INTERNAL, PUBLIC):
            for relation in self.context.relations(endpoint):
                route = read_route(self.context, relation)
                found = (
                    url(self.context, endpoint, route) if isinstance(route, haproxy.Route) else None
                )
                if found and relation.app:
                    kind = endpoint.removeprefix("ingress-")
                    results[f"{relation.app.name}.{kind}"] = found
        event.set_results(results)

    def _on_remove(self, _: ops.RemoveEvent) -> None:
        if self.context.planned == 0 and self.context.leader:
            balancer.remove(self.context.model, self.context.app)


if __name__ == "__main__":  # pragma: no cover
    events.main(GatewayCharm)
