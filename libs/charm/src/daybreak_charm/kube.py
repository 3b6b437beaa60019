"""The small part of the Kubernetes API that charms ask for, over the pod's own service account."""

import http.client
import json
import os
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"


class KubernetesError(Exception):
    """The API refused or did not answer.

    Attributes:
        status: HTTP status, 0 when there was no answer.
    """

    def __init__(self, status: int, what: str):
        super().__init__(f"{status} {what}")
        self.status = status


def request(
    method: str, path: str, body: Mapping[str, Any] | None = None, kind: str = "application/json"
) -> dict[str, Any]:
    """Ask the API server of the cluster.

    Args:
        method: HTTP method.
        path: Path such as `/api/v1/namespaces/x/services/y`.
        body: Object to send.
        kind: Content type of the body.

    Returns:
        The object of the answer.

    Raises:
        KubernetesError: It refused (403: the application is not trusted) or did not answer.
    """
    host = os.environ.get("KUBERNETES_SERVICE_HOST", "")
    if not host or not (ACCOUNT / "token").exists():
        raise KubernetesError(401, "this pod has no service account")
    try:
        context = ssl.create_default_context(cafile=str(ACCOUNT / "ca.crt"))
        connection = http.client.HTTPSConnection(
            host.strip("[]"),
            int(os.environ.get("KUBERNETES_SERVICE_PORT", "443")),
            timeout=10,
            context=context,
        )
        headers = {"Authorization": f"Bearer {(ACCOUNT / 'token').read_text().strip()}"}
        if body is not None:
            headers["Content-Type"] = kind
        data = json.dumps(body) if body is not None else None
        connection.request(method, path, data, headers)
        answer = connection.getresponse()
        text = answer.read()
    except (OSError, http.client.HTTPException) as error:
        raise KubernetesError(0, type(error).__name__) from None
    if answer.status >= 300:
        raise KubernetesError(answer.status, answer.reason)
    return cast("dict[str, Any]", json.loads(text or "{}"))
