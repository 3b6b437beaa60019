"""Interface `s3`: a bucket of an object store, and the keys to it.

Wire format of the s3-integrator charm, both of its versions. Sources: version 0 is `data_platform_libs/v0/s3.py`
(LIBPATCH 2) of canonical/data-platform-libs; version 1 is `interfaces/s3/v1/README.md` of
canonical/charm-relation-interfaces, and `lib/object_storage` of canonical/object-storage-integrator.

| writer | key | bag | encoding |
|---|---|---|---|
| requirer | `bucket`: the name it would like; a provider may have another | app | plain |
| requirer | `requested-secrets`: without, version 1 answers like version 0 | app | JSON list |
| requirer | `version` | app | plain |
| provider | `access-key`, `secret-key` (version 0) | app | plain |
| provider | `secret-extra` (version 1) | app | secret id; content `access-key`, `secret-key` |
| provider | `bucket`, `region` | app | plain |
| provider | `endpoint` | app | a URL; absent for Amazon's own |
| provider | `path`: where in the bucket | app | plain |
| provider | `s3-uri-style`: `host`, `path` | app | plain |
| provider | `tls-ca-chain`: PEMs, in version 1's text their base64 | app | JSON list |

The rest (`storage-class`, `attributes`, `s3-api-version`) is not read. A version 0 provider answers only to who has
named a bucket.
"""

import base64
import binascii
import json
import re
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from daybreak_interfaces._common import Bag, NotReady, Secrets, WritableBag, list_of, load_json, put
from daybreak_interfaces.certificate_transfer import bundle, split_pem

REQUESTED_SECRETS = ("access-key", "secret-key")
STYLES = {"": "", "auto": "", "host": "host", "virtual": "host", "path": "path"}
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,253}[A-Za-z0-9]")
_REGION = re.compile(r"[A-Za-z0-9_-]*")


@dataclass(frozen=True)
class Request:
    """What a client asks for.

    Attributes:
        bucket: Name of the bucket that it would like.
    """

    bucket: str


@dataclass(frozen=True)
class Answer:
    """A bucket that can be used.

    Attributes:
        bucket: Its name, perhaps another one than asked for.
        access_key: Name of the key.
        secret_key: The key; kept out of `repr`.
        endpoint: `http://` or `https://`, host and perhaps port, without a slash at the end; "" for Amazon's own.
        region: May be empty.
        path: Where in the bucket, without slashes around it; "" for all of it.
        style: `host` or `path`: where the bucket's name stands in URLs; "" is the client's choice.
        ca: PEMs of the authorities that signed the server's certificate; "" for those that everybody trusts.
    """

    bucket: str
    access_key: str
    secret_key: str = field(repr=False)
    endpoint: str = ""
    region: str = ""
    path: str = ""
    style: str = ""
    ca: str = ""


def write_request(app_bag: WritableBag, request: Request) -> None:
    """Write the client's side into its application databag (leader only)."""
    put(
        app_bag,
        {
            "bucket": request.bucket,
            "requested-secrets": json.dumps(list(REQUESTED_SECRETS)),
            "version": "1",
        },
    )


def read_answer(app_bag: Bag, secrets: Secrets) -> Answer | NotReady:
    """Read the provider's application databag, whichever version it speaks."""
    keys: Bag = app_bag
    if secret_id := app_bag.get("secret-extra", ""):
        content = secrets(secret_id)
        if content is None:
            return NotReady("the object store's keys cannot be read yet")
        keys = content
    wanted = {"bucket": app_bag, "access-key": keys, "secret-key": keys}
    found = {key: bag.get(key, "").strip() for key, bag in wanted.items()}
    if missing := [key for key, value in found.items() if not value]:
        return NotReady(f"the object store has not said its {' and '.join(missing)} yet")
    if not _BUCKET.fullmatch(found["bucket"]):
        return NotReady("the object store's bucket has a name that no bucket can have")
    region = app_bag.get("region", "").strip()
    if not _REGION.fullmatch(region):
        return NotReady("the object store's region is no word")
    style = STYLES.get(app_bag.get("s3-uri-style", "").strip())
    if style is None:
        return NotReady("the object store's s3-uri-style is neither host nor path")
    endpoint = _endpoint(app_bag.get("endpoint", "").strip())
    if endpoint is None:
        return NotReady("the object store's endpoint is no URL such as https://s3.example.org:443")
    ca = _authorities(app_bag)
    if ca is None:
        return NotReady("the object store's tls-ca-chain is no JSON list of certificates")
    return Answer(
        bucket=found["bucket"],
        access_key=found["access-key"],
        secret_key=found["secret-key"],
        endpoint=endpoint,
        region=region,
        path=app_bag.get("path", "").strip().strip("/"),
        style=style,
        ca=ca,
    )


def _endpoint(text: str) -> str | None:
    """The URL of a server and nothing behind it; None when it is none."""
    if not text:
        return ""
    try:
        url = urlsplit(text)
        port = url.port
    except ValueError:
        return None
    rest = url.path.strip("/") or url.query or url.fragment or url.username or url.password
    if url.scheme not in ("http", "https") or not url.hostname or rest or port == 0:
        return None
    if any(letter.isspace() for letter in text):
        return None
    return f"{url.scheme}://{url.netloc}"


def _authorities(app_bag: Bag) -> str | None:
    """The authorities as PEMs; None when what stands there holds none."""
    if not app_bag.get("tls-ca-chain", "").strip():
        return ""
    texts = list_of(load_json(app_bag, "tls-ca-chain"), str)
    if texts is None:
        return None
    pems: list[str] = []
    for text in texts:
        plain = text if split_pem(text) else _decoded(text)
        if not split_pem(plain):
            return None
        pems.append(plain)
    return bundle(*pems)


def _decoded(text: str) -> str:
    try:
        return base64.b64decode(text, validate=True).decode("ascii")
    except (binascii.Error, ValueError):
        return ""
