"""Interface `keystone-credentials` (`identity-credentials`): a user without a catalogue entry."""

from dataclasses import dataclass, field

from daybreak_interfaces._common import Bag, NotReady, Secrets, WritableBag, put
from daybreak_interfaces.keystone import Facts


@dataclass(frozen=True)
class Request:
    """What a client asks for.

    Attributes:
        username: Name it wants, by custom its application's.
    """

    username: str


@dataclass(frozen=True)
class Answer:
    """What a client needs to use Keystone.

    Attributes:
        internal_url: URL that ends in `/v3`.
        public_url: The same for users.
        username: Name of the user.
        password: Its password; kept out of `repr`.
    """

    internal_url: str
    public_url: str
    username: str
    password: str = field(repr=False)
    user_domain: str = ""
    project: str = ""
    project_domain: str = ""
    region: str = ""


def write_request(app_bag: WritableBag, request: Request) -> None:
    """Write the client's side (leader only)."""
    put(app_bag, {"username": request.username})


def read_request(app_bag: Bag) -> Request | NotReady:
    """Read the client's side."""
    username = app_bag.get("username", "")
    return Request(username) if username else NotReady("the client has not named its user")


def write_answer(app_bag: WritableBag, facts: Facts, *, credentials: str) -> None:
    """Write Keystone's side (leader only).

    Args:
        app_bag: The databag.
        facts: What Keystone says of itself.
        credentials: Id of a secret with `username` and `password`, granted before this call.
    """
    auth = facts.auth
    put(
        app_bag,
        {
            "api-version": facts.api_version.removeprefix("v"),
            "auth-host": auth.host,
            "auth-port": str(auth.port),
            "auth-protocol": auth.protocol,
            "internal-host": auth.host,
            "internal-port": str(auth.port),
            "internal-protocol": auth.protocol,
            "credentials": credentials,
            "project-name": facts.service_project.name,
            "project-id": facts.service_project.id,
            "user-domain-name": facts.service_domain.name,
            "user-domain-id": facts.service_domain.id,
            "project-domain-name": facts.service_domain.name,
            "project-domain-id": facts.service_domain.id,
            "region": facts.region,
            "internal-endpoint": facts.internal_auth_url,
            "public-endpoint": facts.public_auth_url,
            "admin-role": facts.admin_role,
        },
    )


def read_answer(app_bag: Bag, secrets: Secrets) -> Answer | NotReady:
    """Read Keystone's side."""
    secret_id = app_bag.get("credentials", "")
    url = app_bag.get("internal-endpoint", "")
    if not secret_id or not url:
        return NotReady("Keystone is preparing the user")
    content = secrets(secret_id)
    if content is None or not content.get("username") or not content.get("password"):
        return NotReady("the user's credentials cannot be read yet")
    return Answer(
        internal_url=url,
        public_url=app_bag.get("public-endpoint", "") or url,
        username=content["username"],
        password=content["password"],
        user_domain=app_bag.get("user-domain-name", ""),
        project=app_bag.get("project-name", ""),
        project_domain=app_bag.get("project-domain-name", ""),
        region=app_bag.get("region", ""),
    )
