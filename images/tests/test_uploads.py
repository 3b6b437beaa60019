"""Bodies of requests through uwsgi as charms set it up: in chunks, as Nova sends a snapshot; and refused half-way."""

import json
import re
import shutil
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from daybreak_charm import File, sizing, uwsgi
from daybreak_charm.openstack import service as openstack
from daybreak_images import spec, store

pytestmark = pytest.mark.pods
HERE = Path(__file__).parent / "uploads"
AT = "/test"
CERTIFICATE = "openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=localhost -keyout /tmp/tls.key -out /tmp/tls.crt"
Upload = Callable[[int], dict[str, Any]]


@pytest.fixture
def upload(images: store.Store, service: spec.Image, tmp_path: Path) -> Iterator[Upload]:
    """Runs the client against uwsgi that bears a silence of so many seconds."""
    read = ["podman", "run", "--rm", "--pull=never", "--network=none", service.reference]
    layout = json.loads(images.run([*read, "cat", "/usr/share/daybreak/layout.json"]))
    api = uwsgi.Api(
        name="uploads",
        program=f"{layout['bin']}/uwsgi",
        folder=AT,
        application=f"{AT}/wsgi.py",
        port=9292,
        health_port=9293,
        certificate="/tmp/tls.crt",
        key="/tmp/tls.key",
        user=layout["user"],
        # One thread: who holds it is noticed by the next.
        size=sizing.ApiSize(workers=1, threads=1, pool_size=1, max_overflow=1),
        any_address="127.0.0.1",
        environment={
            "DAYBREAK_APPLICATION": "application",
            "DAYBREAK_ARGUMENTS": "uploads",
            "PYTHONPATH": AT,
        },
    )
    name = f"test-images-{uuid.uuid4().hex[:8]}"

    def run(patience: int) -> dict[str, Any]:
        for file in uwsgi.files(api):
            assert isinstance(file, File)
            (tmp_path / Path(file.path).name).write_text(file.content)
        (tmp_path / "wsgi.py").write_text(openstack.WSGI)
        shutil.copytree(HERE, tmp_path, dirs_exist_ok=True)
        rendered = (tmp_path / "uwsgi.ini").read_text()
        ours, times = re.subn(
            "(?m)^chunked-input-timeout = .*", f"chunked-input-timeout = {patience}", rendered
        )
        assert times == 1
        (tmp_path / "uwsgi.ini").write_text(ours)
        for path in (tmp_path, *tmp_path.iterdir()):
            path.chmod(0o755)
        options = ["--detach", "--pull=never", "--network=none", f"--name={name}"]
        options += [f"--volume={tmp_path}:{AT}:ro", f"--user={layout['user']}", service.reference]
        start = f"{CERTIFICATE} && exec {api.program} --ini {api.path}"
        images.run(["podman", "run", *options, "sh", "-c", start])
        client = ["timeout", "300", f"{layout['bin']}/python", f"{AT}/client.py", str(patience)]
        return json.loads(images.run(["podman", "exec", name, *client]))

    yield run
    images.run(["podman", "rm", "--force", "--time=0", "--ignore", name])


def test_bodies_in_chunks_come_whole_or_as_an_error(upload: Upload) -> None:
    found = upload(5)
    broken = {"size": 5, "error": "OSError"}
    assert found == {
        "large": "whole",
        "chunks of glanceclient": "whole",
        "torn": "whole",
        "pauses": "whole",
        # Noticed at once, not after the silence that is borne.
        "gone": [broken] * 3,
        "silent": {"size": 5, "error": "TimeoutError"},
        "malformed": broken,
        "too large": [broken],
        "refused": [{"full": True}] * 2,
        "after them": "whole",
    }
