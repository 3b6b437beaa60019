"""The configuration of tempest for a cloud; pure.

What tempest must know that no API says is here, and what the cloud or its test guest does not have: tempest leaves the
tests of that out by itself, and the reason stands beside each.
"""

from __future__ import annotations

import configparser
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..clouds import Account

Option = str | int | bool


@dataclass(frozen=True)
class Resources:
    """What tempest's servers are made of, by their ids.

    Attributes:
        images: The test guest, twice: a server is rebuilt from the other one.
        flavors: A small one, and a larger one to resize to.
        network: The external network.
    """

    images: tuple[str, str]
    flavors: tuple[str, str]
    network: str


def options(
    account: Account,
    resources: Resources,
    directory: Path,
    certificate: Path,
    *,
    volumes: bool,
    resize: bool,
) -> Mapping[str, Mapping[str, Option]]:
    """Return tempest's options.

    Args:
        account: The administrator's.
        resources: Of the servers.
        directory: For locks.
        certificate: The cloud's authority.
        volumes: Whether the cloud can make volumes.
        resize: Whether a server may get another flavour on the host that it is on.
    """
    return {
        "DEFAULT": {"debug": True, "log_file": "tempest.log", "log_dir": str(directory)},
        "oslo_concurrency": {"lock_path": str(directory)},
        "auth": {
            "use_dynamic_credentials": True,
            "admin_username": account.username,
            "admin_password": account.password,
            "admin_project_name": account.project,
            "admin_domain_name": account.user_domain,
        },
        "identity": {
            "uri_v3": account.url,
            "region": account.region,
            "ca_certificates_file": str(certificate),
        },
        "service_available": {"swift": False, "cinder": volumes},
        "compute": {
            "image_ref": resources.images[0],
            "image_ref_alt": resources.images[1],
            "flavor_ref": resources.flavors[0],
            "flavor_ref_alt": resources.flavors[1],
            "max_microversion": "latest",
        },
        "compute-feature-enabled": {
            # One hypervisor: nowhere to migrate to.
            "live_migration": False,
            "cold_migration": False,
            "resize": resize,
            "vnc_console": True,
            # Sets a password through an agent in the guest; the test guest has none, and no passwords.
            "change_password": False,
            # The test guest has no driver for its file system; metadata comes over the network.
            "config_drive": False,
            # There is no key manager.
            "attach_encrypted_volume": False,
        },
        "image": {"disk_formats": "qcow2,raw", "container_formats": "bare"},
        "network": {
            "public_network_id": resources.network,
            # Never one of an instance of the engine, which are in 10.0.0.0/8.
            "project_network_cidr": "172.30.0.0/16",
        },
        "network-feature-enabled": {"port_security": True},
        "validation": {
            "run_validation": True,
            "connect_method": "floating",
            "image_ssh_user": "root",
            "image_alt_ssh_user": "root",
        },
        "scenario": {"dhcp_client": "udhcpc"},
        "volume": {"catalog_type": "block-storage", "max_microversion": "latest"},
        # There is no service for it.
        "volume-feature-enabled": {"backup": False},
    }


def render(chosen: Mapping[str, Mapping[str, Option]]) -> str:
    """Return the options as a file."""
    parser = configparser.RawConfigParser()
    parser.read_dict({section: {k: str(v) for k, v in o.items()} for section, o in chosen.items()})
    text = io.StringIO()
    parser.write(text)
    # oslo.config takes a dollar sign for a reference.
    return text.getvalue().replace("$", "$$")
