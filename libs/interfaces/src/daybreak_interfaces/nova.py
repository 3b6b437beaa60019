"""Interface `nova` (`nova-service`): what a hypervisor has to know of Nova.

The keys are those of nova-k8s (`nova_k8s/v0/nova_service.py` 0.4); `cell` and `vnc-proxy-url` are
Daybreak's own and may be absent. A hypervisor writes nothing: which cell it belongs to follows from
Nova's answer and from the message bus that it is related to.
"""

from dataclasses import dataclass, field

from daybreak_interfaces._common import Bag, NotReady, Secrets, WritableBag, load_json, put

METADATA_SECRET = "metadata-proxy-shared-secret"  # noqa: S105 -- a key, not its value
"""Key in the content of the secret that the hypervisor's metadata agent shares with Nova."""


@dataclass(frozen=True)
class Facts:
    """What Nova says of itself, no secret among it.

    Attributes:
        region: Region of the cloud.
        metadata_url: Root URL of the metadata API, as the hypervisors reach it.
        vnc_proxy_url: URL that a user opens for a VNC console (`.../vnc_auto.html`), "" without such a proxy.
        spice_proxy_url: The same for SPICE (`.../spice_auto.html?path=...`).
        cell: Name of the cell whose message bus the hypervisors use.
        pci_aliases: PCI devices that flavors may name, as JSON text: a list of objects in the form
            of Nova's option `[pci] alias`.
    """

    region: str
    metadata_url: str = ""
    vnc_proxy_url: str = ""
    spice_proxy_url: str = ""
    cell: str = "cell1"
    pci_aliases: str = "[]"


@dataclass(frozen=True)
class Answer:
    """What a hypervisor reads.

    Attributes:
        facts: What is no secret.
        metadata_secret: Shared by the metadata agent and Nova's metadata API; None while Nova has
            none. Kept out of `repr`.
    """

    facts: Facts
    metadata_secret: str | None = field(default=None, repr=False)


def write_answer(app_bag: WritableBag, facts: Facts, *, metadata_secret: str = "") -> None:
    """Write Nova's side (leader only).

    Args:
        app_bag: The databag.
        facts: What Nova says of itself.
        metadata_secret: Id of a secret with the key `METADATA_SECRET`, granted before this call;
            "" while there is none.
    """
    put(
        app_bag,
        {
            "region": facts.region,
            "metadata-url": facts.metadata_url,
            "vnc-proxy-url": facts.vnc_proxy_url,
            "spice-proxy-url": facts.spice_proxy_url,
            "cell": facts.cell,
            "pci-aliases": facts.pci_aliases,
            "metadata-proxy-shared-secret-id": metadata_secret,
        },
    )


def read_answer(app_bag: Bag, secrets: Secrets) -> Answer | NotReady:
    """Read Nova's side; an empty text stands for "not known yet"."""
    region = app_bag.get("region", "")
    if not region:
        return NotReady("Nova has not said anything yet")
    aliases = app_bag.get("pci-aliases", "") or "[]"
    if not isinstance(load_json({"aliases": aliases}, "aliases"), list):
        return NotReady("Nova's PCI aliases are not a JSON list")
    facts = Facts(
        region=region,
        metadata_url=app_bag.get("metadata-url", ""),
        vnc_proxy_url=app_bag.get("vnc-proxy-url", ""),
        spice_proxy_url=app_bag.get("spice-proxy-url", ""),
        cell=app_bag.get("cell", "") or "cell1",
        pci_aliases=aliases,
    )
    secret_id = app_bag.get("metadata-proxy-shared-secret-id", "")
    if not secret_id:
        return Answer(facts)
    content = secrets(secret_id)
    if content is None or not content.get(METADATA_SECRET):
        return NotReady("Nova's metadata secret cannot be read yet")
    return Answer(facts, content[METADATA_SECRET])
