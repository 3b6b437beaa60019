"""What runs in the requirer's container, with the libraries of an OpenStack service: kombu and oslo.messaging.

usage: client COMMAND SECONDS, with what `stage.Stage.answer` gives as JSON in ANSWER; prints JSON

  load   publishes numbers with confirmation to a quorum queue, consumes them beside, and prints what was
         confirmed, what was lost, and the longest time without a confirmation
  rpc    calls an oslo.messaging server and casts to all of them (a stream), and prints what failed
"""

# The libraries are those of the container's image.
# pyright: reportMissingImports=false
import json
import os
import ssl
import sys
import threading
import time
from pathlib import Path

answer = json.loads(os.environ["ANSWER"])
CA = "/tmp/ca.pem"
Path(CA).write_text(answer["ca"])
HOSTS = answer["hosts"].split(",")
SECRET = f"{answer['username']}:{answer['password']}"


def connect():
    import kombu

    urls = [f"amqps://{SECRET}@{host}:{answer['port']}/{answer['vhost']}" for host in HOSTS]
    options = {"confirm_publish": True, "read_timeout": 3, "write_timeout": 3}
    made = kombu.Connection(
        urls,
        ssl={"ca_certs": CA, "cert_reqs": ssl.CERT_REQUIRED},
        connect_timeout=3,
        heartbeat=10,
        transport_options=options,
    )
    return made.ensure_connection(
        max_retries=60, interval_start=0.1, interval_step=0.1, interval_max=0.5
    )


def load(seconds):
    import kombu

    exchange = kombu.Exchange("load", durable=True)
    queue = kombu.Queue(
        "load", exchange, "load", durable=True, queue_arguments={"x-queue-type": "quorum"}
    )
    confirmed, seen, errors = set(), set(), []
    over = threading.Event()
    worst = 0.0

    def consume():
        quiet = 0
        while not over.is_set() or (confirmed - seen and quiet < 60):
            try:
                with connect() as connection:

                    def take(body, message):
                        seen.add(body)
                        message.ack()

                    with connection.Consumer(queue, callbacks=[take], prefetch_count=100):
                        while not over.is_set() or (confirmed - seen and quiet < 60):
                            try:
                                connection.drain_events(timeout=0.5)
                                quiet = 0
                            except TimeoutError:
                                quiet += over.is_set()
                                connection.heartbeat_check()
            except Exception as error:  # noqa: BLE001 - whatever libraries raise while servers die
                errors.append(f"consume: {type(error).__name__}: {str(error)[:80]}")
                quiet += over.is_set()
                time.sleep(0.1)

    with connect() as connection:
        queue(connection.channel()).declare()
    consumer = threading.Thread(target=consume)
    consumer.start()
    end, last, number = time.monotonic() + seconds, time.monotonic(), 0
    connection, producer = None, None
    while time.monotonic() < end:
        try:
            if connection is None or producer is None:
                connection = connect()
                producer = connection.Producer(connection.channel(), auto_declare=False)
            producer.publish(
                number,
                exchange="load",
                routing_key="load",
                timeout=3,
                delivery_mode=2,
                mandatory=True,
            )
            confirmed.add(number)
            worst = max(worst, time.monotonic() - last)
            last = time.monotonic()
        except Exception as error:  # noqa: BLE001 - the same
            errors.append(f"publish: {type(error).__name__}: {str(error)[:80]}")
            connection = None
        number += 1
        time.sleep(0.005)
    worst = max(worst, time.monotonic() - last)
    over.set()
    consumer.join()
    return {
        "confirmed": len(confirmed),
        "lost": len(confirmed - seen),
        "worst gap": round(worst, 2),
        "errors": errors[:20],
        "error count": len(errors),
    }


def rpc(seconds):
    import oslo_messaging
    from oslo_config import cfg

    conf = cfg.CONF
    conf([])
    oslo_messaging.set_transport_defaults("openstack")
    transport = oslo_messaging.get_rpc_transport(conf, answer["url"])
    for name, value in answer["options"].items():
        conf.set_override(name, value, group="oslo_messaging_rabbit")
    heard = []

    class Endpoint:
        def add(self, context, one, other):
            return one + other

        def tell(self, context, word):
            heard.append(word)

    servers = []
    for name in ("one", "two"):
        target = oslo_messaging.Target(topic="probe", server=name)
        server = oslo_messaging.get_rpc_server(
            transport, target, [Endpoint()], executor="threading"
        )
        server.start()
        servers.append(server)
    client = oslo_messaging.get_rpc_client(
        transport, oslo_messaging.Target(topic="probe"), timeout=30
    )
    client.prepare(fanout=True).cast({}, "tell", word="hello")
    end, calls, failed, worst = time.monotonic() + seconds, 0, [], 0.0
    while time.monotonic() < end:
        start = time.monotonic()
        try:
            assert client.call({}, "add", one=calls, other=1) == calls + 1
            calls += 1
        except Exception as error:  # noqa: BLE001 - the same
            failed.append(f"{type(error).__name__}: {str(error)[:80]}")
        worst = max(worst, time.monotonic() - start)
    for server in servers:
        server.stop()
    return {"calls": calls, "failed": failed, "fanout": len(heard), "worst call": round(worst, 2)}


print(json.dumps({"load": load, "rpc": rpc}[sys.argv[1]](float(sys.argv[2]))), flush=True)
# Threads of the libraries may outlive what they were for.
os._exit(0)
