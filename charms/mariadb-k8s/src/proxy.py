"""The proxy as data: HAProxy in front of the members, in every unit.

Which member is the writer is decided by the members alone (`writer.sh`), so all proxies use the same one, whoever else
is away. Pure: nothing is read, run or written.
"""

from collections.abc import Sequence
from pathlib import PurePosixPath

from daybreak_charm import Drain, drain

PORT = 3306
"""Where the proxy listens; the only port that leaves the pod's application."""
HEALTH_PORT = 3308
# Pebble numbers the containers of a pod in alphabetical order from 38813 on, and `mariadb` is the
# first: this is where the kubelet asks for its readiness, too.
PEBBLE_PORT = 38813
CONFIG = PurePosixPath("/etc/haproxy/daybreak.cfg")
HOLD = PurePosixPath("/etc/haproxy/daybreak-hold.lua")
COMMAND = f"haproxy -W -db -f {CONFIG}"
HOLD_SECONDS = 25
"""How long a new session waits for a writer; a cluster that lost one has the next after 6 to 10."""
DRAIN = Drain(detection=4, limit=drain.LIMIT, signal="SIGUSR1")
"""A pod that ends leaves its service address at once, so that there is less to wait for than at the gateway."""

# A session that comes while the role of the writer moves waits for the next one; HAProxy itself would refuse it.
HOLD_LUA = f"""\
core.register_action("hold", {{"tcp-req"}}, function(txn)
    for _ = 1, {HOLD_SECONDS - 1} * 20 do
        if txn.f:nbsrv("rule") > 0 then return end
        core.msleep(50)
    end
end)
"""


def config(hosts: Sequence[str], server_port: int) -> str:
    """Return HAProxy's configuration.

    Args:
        hosts: DNS names of all members that there can be: the text never changes, for a reload would leave the
            sessions that are open to a process without checks.
        server_port: Where the members listen.
    """
    names = [host.partition(".")[0] for host in hosts]
    servers = "\n".join(
        f"    server {name} {host}:{server_port}" for name, host in zip(names, hosts, strict=True)
    )
    rules = "\n".join(f"    use-server {name} if {{ srv_is_up(rule/{name}) }}" for name in names)
    return f"""\
global
    log stdout format raw local0 notice
    maxconn 4096
    lua-load {HOLD}

resolvers cluster
    parse-resolv-conf
    accepted_payload_size 4096
    resolve_retries 3
    timeout resolve 1s
    timeout retry 1s
    hold valid 1s
    hold nx 10s
    # A name server that is away must not take the servers away: the last address stays.
    hold other 1h
    hold refused 1h
    hold timeout 1h
    hold obsolete 10s

defaults
    mode tcp
    log global
    option dontlognull
    option clitcpka
    option srvtcpka
    srvtcpka-idle 10s
    srvtcpka-intvl 5s
    srvtcpka-cnt 3
    retries 3
    timeout connect 2s
    # Longer than a pool keeps a connection (3600 s in OpenStack), so that pools end them.
    timeout client 2h
    timeout server 2h
    timeout check 3s

frontend database
    bind :::{PORT} v4v6
    tcp-request inspect-delay {HOLD_SECONDS}s
    tcp-request content lua.hold
    tcp-request content reject unless {{ nbsrv(rule) gt 0 }}
    default_backend writer

# Sessions end when their member is out of the cluster, not when another becomes the writer: the old one waits for them.
backend writer
{rules}
    option httpchk
    http-check connect port {PEBBLE_PORT}
    http-check send meth GET uri /v1/health?names=online
    http-check expect status 200
    default-server check inter 1s fall 3 rise 1 resolvers cluster init-addr libc,none \
on-marked-down shutdown-sessions
{servers}

# Who is the writer. Pebble takes a check that has not been made yet for a good one: hence the port, too.
backend rule
    option httpchk
    http-check connect port {PEBBLE_PORT}
    http-check send meth GET uri /v1/health?names=writer&names=mariadb-serving
    http-check expect status 200
    http-check connect port {server_port}
    default-server check inter 1s fall 1 rise 1 resolvers cluster init-addr libc,none
{servers}

frontend health
    mode http
    bind 127.0.0.1:{HEALTH_PORT}
    timeout client 5s
    monitor-uri /ready
"""
