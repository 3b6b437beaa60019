"""RabbitMQ with OpenStack's own client: messages over TLS, and a server that is killed meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ..messages.stage import deploy

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

    from ..clouds import Cloud


@pytest.mark.slow
@pytest.mark.embedded
def test_no_confirmed_message_is_lost_when_the_server_is_killed(
    another_model: Callable[[], AbstractContextManager[Cloud]], tmp_path: Path
):
    """The long tests, with three units, are in tests/messages."""
    with another_model() as cloud:
        stage = deploy(cloud, tmp_path)
        with stage.load(20) as load:
            stage.kill(0)

        result = load.result()
        assert result["confirmed"] > 0
        assert result["lost"] == 0, result
        assert stage.client("rpc", 1)["failed"] == []
