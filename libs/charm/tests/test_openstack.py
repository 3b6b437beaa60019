"""The pieces that OpenStack's services share: options, the WSGI file, the check of a worker."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from daybreak_charm import openstack
from daybreak_charm.openstack import options
from daybreak_interfaces import keystone, mysql_client, rabbitmq

PROGRAMS = Path(openstack.__file__).parent
IDENTITY = keystone.Answer(
    auth_url="https://in/v3",
    public_auth_url="https://out/v3",
    username="svc",
    password="secret",
    user_domain="service_domain",
    project="services",
    project_domain="service_domain",
)


def test_a_database_url_quotes_and_trusts() -> None:
    answer = mysql_client.Answer("glance", ("[fd00::1]:3307",), "u@1", "p/w", tls_ca="PEM")
    url = "mysql+pymysql://u%401:p%2Fw@[fd00::1]:3307/glance?charset=utf8mb4&ssl_ca=/ca"
    assert options.database_url(answer, "/ca") == url
    assert "/other?" in options.database_url(answer, "/ca", "other")


def test_messages_go_through_replicated_queues() -> None:
    answer = rabbitmq.Answer(("mq",), 5671, "openstack", "q", "pw", tls=True, ca="PEM")
    found = options.messaging(answer, "/ca.pem")
    driver = found["oslo_messaging_rabbit"]
    assert driver["rabbit_quorum_queue"]
    # Streams without a prefetch count end a service with native threads at its start.
    assert driver["rabbit_stream_fanout"]
    assert driver["rabbit_qos_prefetch_count"] == 1
    assert "ssl_ca_file=/ca.pem" in str(found["DEFAULT"]["transport_url"])


def test_a_service_checks_tokens_inside_and_sends_users_outside() -> None:
    found = options.token_check(IDENTITY, "R", ("cache:11211",), "/ca.pem")
    assert found["auth_url"] == "https://in/v3"
    assert found["www_authenticate_uri"] == "https://out/v3"
    assert found["memcached_servers"] == ["cache:11211"]
    assert options.client(IDENTITY, "R", "/ca.pem")["valid_interfaces"] == ["internal"]


WATCH = """
import os, sys, threading
sys.path.insert(0, {folder!r})
exec(open({program!r}).read())
from oslo_policy.policy import Enforcer
one = Enforcer()
def ask():
    one.load_rules()
    seen.append(len(one.rules))
seen = []
threads = [threading.Thread(target=ask) for _ in range(8)]
[t.start() for t in threads]; [t.join() for t in threads]
print(*application({{}}, None), sys.argv, seen, one.loads)
"""
POLICY = """
import time
class Enforcer:
    loads = 0
    use_conf = True
    rules = ()
    def load_rules(self, force_reload=False):
        if self.use_conf:
            self.loads += 1
            for number in range(20):
                self.rules = tuple(range(number + 1))
                time.sleep(0.001)
"""


def test_threads_see_all_policies_or_wait_for_them(tmp_path: Path) -> None:
    (tmp_path / "oslo_policy").mkdir()
    (tmp_path / "oslo_policy/__init__.py").write_text("")
    (tmp_path / "oslo_policy/policy.py").write_text(POLICY)
    (tmp_path / "app.py").write_text(
        "def application(environ, start):\n    return ['the application']\n"
    )
    code = WATCH.format(folder=str(tmp_path), program=str(PROGRAMS / "wsgi.py"))
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={
            **os.environ,
            "DAYBREAK_APPLICATION": "app",
            "DAYBREAK_ARGUMENTS": "nova-api --config-file /etc/nova/nova.conf",
        },
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == (
        f"the application ['nova-api', '--config-file', '/etc/nova/nova.conf'] {[20] * 8} 1\n"
    )


SERVER = """
import socket
opt = {"chunked-input-timeout": b"0"}
client, here = socket.socketpair()
here.setblocking(False)
def connection_fd():
    return here.fileno()
def chunked_read_nb():
    try:
        if part := here.recv(4):
            return part if part != b"end." else b""
        raise OSError("unable to receive chunked part")
    except BlockingIOError:
        return None
"""
READ = """
import sys, threading
sys.path.insert(0, {folder!r})
exec(open({program!r}).read())
import uwsgi
uwsgi.client.sendall(b"part")
print(uwsgi.chunked_read())
later = threading.Timer(0.05, uwsgi.client.sendall, [b"end."])
later.start()
print(uwsgi.chunked_read(60))
for _ in range(2):
    try:
        uwsgi.chunked_read()
    except OSError as error:
        print(type(error).__name__)
    uwsgi.client.close()
"""


def test_chunks_are_waited_for_and_told_from_silence_and_from_the_end(tmp_path: Path) -> None:
    # What images/tests/test_uploads.py sees of uwsgi itself.
    (tmp_path / "uwsgi.py").write_text(SERVER)
    (tmp_path / "oslo_policy").mkdir()
    (tmp_path / "oslo_policy/__init__.py").write_text("")
    (tmp_path / "oslo_policy/policy.py").write_text(POLICY)
    (tmp_path / "app.py").write_text("application = None\n")
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            READ.format(folder=str(tmp_path), program=str(PROGRAMS / "wsgi.py")),
        ],
        env={**os.environ, "DAYBREAK_APPLICATION": "app", "DAYBREAK_ARGUMENTS": "glance-api"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "b'part'\nb''\nTimeoutError\nOSError\n"


HOLD = "import socket, sys; s = socket.create_connection(('127.0.0.1', int(sys.argv[2]))); input()"


def ask(user: str, word: str, port: int) -> int:
    command = [sys.executable, "-SE", str(PROGRAMS / "connected.py"), user, word, str(port)]
    return subprocess.run(command, check=False).returncode


@pytest.fixture
def me() -> str:
    import pwd

    return pwd.getpwuid(os.getuid()).pw_name


def test_a_worker_is_online_while_it_has_a_connection(me: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = int(server.getsockname()[1])
        worker = subprocess.Popen(
            [
                sys.executable,
                "-c",
                HOLD,
                "a-worker-of-this-test",
                str(port),
                "x: y (python titled -c z)",
            ],
            stdin=subprocess.PIPE,
        )
        try:
            connection, _ = server.accept()
            assert ask(me, "a-worker-of-this-test", port) == 0
            assert ask(me, "another-worker", port) == 1
            # Titles such as "neutron-server: maintenance worker (python PROGRAM --config-file X)".
            assert ask(me, "titled", port) == 0
            assert ask(me, "a-worker-of-this-test", port + 1 if port < 65535 else 1) == 1
            connection.close()
        finally:
            worker.communicate(b"\n")
        assert ask(me, "a-worker-of-this-test", port) == 1
