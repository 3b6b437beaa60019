"""What an operator and a user get from the identity bundle; nothing here knows what runs it."""

from __future__ import annotations

import datetime
import json
import re
import ssl
import urllib.error
import urllib.parse
import urllib.request
from typing import TYPE_CHECKING

import jubilant
import pytest

from ..clouds import APPLICATIONS, Account, Cloud, eventually, issues_tokens, token

if TYPE_CHECKING:
    from pathlib import Path


def test_every_application_of_the_bundle_is_active(settled: Cloud):
    status = settled.juju.status()

    assert set(status.apps) >= set(APPLICATIONS)
    assert {len(app.units) for app in status.apps.values()} == {1}


def test_the_ordinary_client_issues_a_token_over_https(
    settled: Cloud, account: Account, tmp_path: Path
):
    issued = settled.client(account, tmp_path, "token", "issue")

    assert account.url.startswith("https://")
    assert len(issued["id"]) > 100  # a Fernet token, not a row in a table
    assert issued["project_id"]


def test_a_client_that_does_not_know_the_authority_refuses(account: Account):
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}),
        urllib.request.HTTPSHandler(context=ssl.create_default_context()),
    )

    with pytest.raises(urllib.error.URLError, match="CERTIFICATE_VERIFY_FAILED"):
        opener.open(account.url, timeout=10)


def test_a_wrong_password_is_refused(account: Account):
    wrong = Account(**{**vars(account), "password": "wrong"})

    with pytest.raises(urllib.error.HTTPError, match="401"):
        token(wrong)


def test_the_catalogue_has_public_and_internal_urls(
    settled: Cloud, account: Account, tmp_path: Path
):
    endpoints = settled.client(account, tmp_path, "endpoint", "list", "--service", "identity")
    urls = {entry["Interface"]: entry["URL"] for entry in endpoints}
    gateway = settled.juju.status().apps["gateway"]

    assert set(urls) >= {"public", "internal"}
    assert {urllib.parse.urlsplit(url).scheme for url in urls.values()} == {"https"}
    public, internal = (urllib.parse.urlsplit(urls[side]) for side in ("public", "internal"))
    assert public.hostname == urllib.parse.urlsplit(account.url).hostname
    assert internal.hostname is not None
    assert internal.hostname.endswith(".svc.cluster.local") or gateway.address
    assert {entry["Region"] for entry in endpoints} == {account.region}


def test_the_account_works_with_every_interface_of_the_client(
    settled: Cloud, account: Account, tmp_path: Path
):
    users = settled.client(account, tmp_path, "user", "list")

    assert account.username in {user["Name"] for user in users}


def test_the_workload_version_is_shown(settled: Cloud):
    assert re.match(r"\d+\.", settled.juju.status().apps["keystone"].version)


def test_an_unknown_action_is_refused(settled: Cloud):
    with pytest.raises((ValueError, jubilant.CLIError)):
        settled.juju.run("keystone/0", "no-such-action")


def test_a_secret_is_in_no_status_and_no_log(settled: Cloud, account: Account):
    assert account.password not in settled.juju.cli("status", "--format", "json")
    assert account.password not in settled.juju.debug_log()


def test_a_changed_option_reaches_users(settled: Cloud, account: Account):
    """A token's life is short for once: the option is one of Keystone's own."""
    settled.juju.config("keystone", {"config-overrides": "token: {expiration: 1234}"})
    settled.settle("keystone")

    eventually(lambda: _life(account) == 1234, "tokens live 1234 s")
    settled.juju.config("keystone", reset=["config-overrides"])
    settled.settle("keystone")
    eventually(lambda: _life(account) > 1234, "tokens live as long as before")


def _life(account: Account) -> float:
    """Return the seconds that a new token lives; 0 while the only unit restarts."""
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}),
        urllib.request.HTTPSHandler(context=account.context()),
    )
    try:
        issued = token(account)
        request = urllib.request.Request(
            f"{account.url.rstrip('/')}/auth/tokens",
            headers={"X-Auth-Token": issued, "X-Subject-Token": issued},
        )
        with opener.open(request, timeout=10) as answer:
            body = json.load(answer)["token"]
    except OSError:
        return 0
    ends, began = (
        datetime.datetime.fromisoformat(body[key]) for key in ("expires_at", "issued_at")
    )
    return round((ends - began).total_seconds())


def test_an_unknown_option_blocks_with_the_nearest_name(settled: Cloud, account: Account):
    settled.juju.config("keystone", {"config-overrides": "token: {expiratoin: 1234}"})

    status = settled.juju.wait(
        lambda status: jubilant.any_blocked(status, "keystone"), delay=0.5, timeout=60
    )
    assert "expiration" in status.apps["keystone"].units["keystone/0"].workload_status.message
    assert issues_tokens(account), "a wrong option must not stop what runs"


def test_a_wrong_type_is_refused_at_once(settled: Cloud):
    with pytest.raises(jubilant.CLIError, match="certificate-validity"):
        settled.juju.config("certificates", {"certificate-validity": "soon"})


def test_an_option_that_the_charm_lacks_is_refused(settled: Cloud):
    with pytest.raises(jubilant.CLIError, match="nosuch"):
        settled.juju.config("keystone", {"nosuch": "1"})


def test_unlike_interfaces_are_not_related(settled: Cloud):
    with pytest.raises(jubilant.CLIError):
        settled.juju.integrate("keystone:database", "memcached:cache")


def test_a_second_deploy_of_the_bundle_changes_nothing(settled: Cloud):
    from ..clouds import BUNDLE

    before = settled.juju.status()
    settled.juju.deploy(BUNDLE, trust=True)
    after = settled.settle()

    assert {n: list(a.units) for n, a in before.apps.items()} == {
        n: list(a.units) for n, a in after.apps.items()
    }


def test_keystone_scales_to_three_and_back(settled: Cloud, account: Account):
    settled.juju.cli("scale-application", "keystone", "3")
    settled.juju.wait(
        lambda status: (
            len(status.apps["keystone"].units) == 3
            and jubilant.all_active(status, "keystone", "gateway")
            and jubilant.all_agents_idle(status)
        ),
        delay=0.5,
        successes=2,
        timeout=300,
    )
    assert all(issues_tokens(account) for _ in range(6)), "each unit knows the keys"

    settled.juju.cli("scale-application", "keystone", "1")
    settled.juju.wait(
        lambda status: (
            set(status.apps["keystone"].units) == {"keystone/0"}
            and jubilant.all_active(status)
            and jubilant.all_agents_idle(status)
        ),
        delay=0.5,
        successes=2,
        timeout=180,
    )
    assert issues_tokens(account)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("keystone:cache", "memcached:cache"),
        ("keystone:ingress-public", "gateway:ingress-public"),
        ("keystone:database", "mariadb:database"),
    ],
    ids=["cache", "ingress", "database"],
)
def test_a_relation_can_be_removed_and_made_again(settled: Cloud, one: str, other: str):
    settled.juju.remove_relation(one, other)
    endpoint = one.partition(":")[2]
    settled.juju.wait(
        lambda status: (
            endpoint not in status.apps["keystone"].relations and jubilant.all_agents_idle(status)
        ),
        delay=0.5,
        timeout=90,
    )

    settled.juju.integrate(one, other)
    settled.settle()

    assert issues_tokens(settled.account())
