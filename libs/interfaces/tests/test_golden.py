"""Databags as the existing charms write and read them, in both directions."""

import base64
import json
from typing import Any

import pytest

from daybreak_interfaces import (
    NotReady,
    certificate_transfer,
    domain_config,
    ingress,
    keystone,
    keystone_credentials,
    memcached,
    mysql_client,
    nova,
    ovsdb_cms,
    put,
    rabbitmq,
    readiness,
    s3,
    tls_certificates,
)

SECRETS = {
    "secret://0b1c/cq1": {"username": "relation-5", "password": "pw"},
    "secret:cq2": {"tls": "True", "tls-ca": "PEM"},
}


def write(function: Any, *args: Any, **kwargs: Any) -> dict[str, str]:
    """What a write puts into an empty databag; the second write must change nothing."""
    bag: dict[str, str] = {}
    function(bag, *args, **kwargs)
    again = dict(bag)
    function(again, *args, **kwargs)
    assert again == bag
    return bag


def test_put_writes_only_what_differs_and_removes_what_is_empty() -> None:
    bag = {"a": "1", "b": "2", "other": "x"}
    assert not put(bag, {"a": "1"})
    assert put(bag, {"a": None, "b": "3", "c": ""})
    assert bag == {"b": "3", "other": "x"}


# --- readiness --------------------------------------------------------------------------------


def test_readiness() -> None:
    assert write(readiness.write_answer, ready=True) == {"ready": "true"}
    assert write(readiness.write_answer, ready=False) == {}
    assert readiness.read_answer({"ready": "true"}) is True
    assert isinstance(readiness.read_answer({"ready": "false"}), NotReady)
    assert isinstance(readiness.read_answer({}), NotReady)


# --- mysql_client -----------------------------------------------------------------------------


def test_mysql_client_request() -> None:
    golden = {
        "database": "keystone",
        "requested-secrets": '["username", "password", "tls", "tls-ca", "uris"]',
        "alias": "api_database",
    }
    request = mysql_client.Request("keystone")
    assert write(mysql_client.write_request, request, alias="api-database") == golden
    # What the library itself adds is no disturbance.
    assert mysql_client.read_request({**golden, "data": "{}"}) == request
    assert isinstance(mysql_client.read_request({}), NotReady)


def test_mysql_client_further_databases_are_for_the_same_user() -> None:
    request = mysql_client.Request("nova", extra_databases=("nova_cell0",))
    bag = write(mysql_client.write_request, request)
    assert bag["extra-databases"] == '["nova_cell0"]'
    assert mysql_client.read_request(bag) == request


def test_mysql_client_answer_of_the_router() -> None:
    bag = {
        "database": "keystone",
        "endpoints": "router-service.openstack.svc.cluster.local.:6446",
        "secret-user": "secret://0b1c/cq1",
        "data": "{}",
        "version": "8.0.37",
    }
    assert mysql_client.read_answer(bag, SECRETS.get) == mysql_client.Answer(
        "keystone",
        ("router-service.openstack.svc.cluster.local.:6446",),
        "relation-5",
        "pw",
        version="8.0.37",
    )


def test_mysql_client_tls_comes_from_its_secret_or_the_plain_keys() -> None:
    bag = {"endpoints": "a:3306,b:3306", "secret-user": "secret://0b1c/cq1"}
    secret = mysql_client.read_answer({**bag, "secret-tls": "secret:cq2"}, SECRETS.get)
    plain = mysql_client.read_answer({**bag, "tls": "True", "tls-ca": "PEM"}, SECRETS.get)
    assert isinstance(secret, mysql_client.Answer)
    assert isinstance(plain, mysql_client.Answer)
    assert secret.tls_ca == plain.tls_ca == "PEM"
    assert secret.endpoints == ("a:3306", "b:3306")


@pytest.mark.parametrize(
    "bag",
    [
        {},
        {"endpoints": "a:1"},
        {"secret-user": "secret://0b1c/cq1"},
        {"endpoints": "a:1", "secret-user": "secret:not-granted"},
        {"endpoints": "a:1", "secret-user": "secret://0b1c/cq1", "secret-tls": "secret:no"},
    ],
)
def test_mysql_client_answer_that_cannot_be_used(bag: dict[str, str]) -> None:
    assert isinstance(mysql_client.read_answer(bag, SECRETS.get), NotReady)


def test_mysql_client_provider() -> None:
    assert write(
        mysql_client.write_answer,
        database="keystone",
        endpoints=("db:3306",),
        secret_user="secret:1",
        secret_tls="secret:2",
        version="11.8",
    ) == {
        "database": "keystone",
        "endpoints": "db:3306",
        "secret-user": "secret:1",
        "secret-tls": "secret:2",
        "version": "11.8",
    }


def test_passwords_are_not_in_representations() -> None:
    answer = mysql_client.Answer("d", ("e",), "u", "hidden-password")
    assert "hidden-password" not in repr(answer)


# --- keystone ---------------------------------------------------------------------------------

PLACEMENT = keystone.Endpoint(
    service_name="placement",
    type="placement",
    description="OpenStack Placement API",
    internal_url="http://internal-url:80/",
    public_url="http://public-url:80/",
    admin_url="http://192.0.2.0:8778",
)


def test_keystone_request() -> None:
    # As seen from the existing placement charm.
    golden = {
        "region": "RegionOne",
        "service-endpoints": (
            '[{"admin_url": "http://192.0.2.0:8778", "description": "OpenStack Placement API",'
            ' "internal_url": "http://internal-url:80/", "public_url": "http://public-url:80/",'
            ' "service_name": "placement", "type": "placement"}]'
        ),
    }
    request = keystone.Request("RegionOne", (PLACEMENT,))
    assert write(keystone.write_request, request) == golden
    assert keystone.read_request(golden) == request


@pytest.mark.parametrize(
    "change",
    [
        {"region": ""},
        {"service-endpoints": "no JSON"},
        {"service-endpoints": '[{"type": "x"}]'},
        {"service-endpoints": "[1]"},
        {"extra-roles": '"reader"'},
        {"extra-roles": '["", "reader"]'},
        {"extra-roles": "[1]"},
    ],
)
def test_keystone_request_that_cannot_be_used(change: dict[str, str]) -> None:
    bag = write(keystone.write_request, keystone.Request("RegionOne", (PLACEMENT,)))
    assert isinstance(keystone.read_request({**bag, **change}), NotReady)


FACTS = keystone.Facts(
    internal=keystone.Address("gw", 443, "https"),
    auth=keystone.Address("keystone.m.svc.cluster.local", 5000, "https"),
    internal_auth_url="https://gw/m-keystone/v3",
    public_auth_url="https://cloud/m-keystone/v3",
    admin_domain=keystone.Named("Default", "default"),
    admin_project=keystone.Named("admin", "p1"),
    admin_user=keystone.Named("admin", "u1"),
    service_domain=keystone.Named("service_domain", "d2"),
    service_project=keystone.Named("services", "p2"),
    region="RegionOne",
)


def test_keystone_answer() -> None:
    golden = {
        "api-version": "v3",
        "auth-host": "keystone.m.svc.cluster.local",
        "auth-port": "5000",
        "auth-protocol": "https",
        "internal-host": "gw",
        "internal-port": "443",
        "internal-protocol": "https",
        "service-host": "keystone.m.svc.cluster.local",
        "service-port": "5000",
        "service-protocol": "https",
        "admin-domain-name": "Default",
        "admin-domain-id": "default",
        "admin-project-name": "admin",
        "admin-project-id": "p1",
        "admin-user-name": "admin",
        "admin-user-id": "u1",
        "service-domain-name": "service_domain",
        "service-domain-id": "d2",
        "service-project-name": "services",
        "service-project-id": "p2",
        "service-user-id": "u7",
        "internal-auth-url": "https://gw/m-keystone/v3",
        "admin-auth-url": "https://gw/m-keystone/v3",
        "public-auth-url": "https://cloud/m-keystone/v3",
        "service-credentials": "secret://0b1c/cq1",
        "admin-role": "admin",
        "region": "RegionOne",
        "processed-extra-roles": '["reader", "writer"]',
    }
    bag = write(
        keystone.write_answer,
        FACTS,
        service_user_id="u7",
        credentials="secret://0b1c/cq1",
        processed_extra_roles=("writer", "reader"),
    )
    assert bag == golden
    answer = keystone.read_answer(golden, SECRETS.get)
    assert isinstance(answer, keystone.Answer)
    assert (answer.username, answer.project_domain) == ("relation-5", "service_domain")
    unreadable = {**golden, "service-credentials": "secret:none"}
    assert isinstance(keystone.read_answer(unreadable, SECRETS.get), NotReady)


def test_keystone_credentials() -> None:
    request = write(keystone_credentials.write_request, keystone_credentials.Request("horizon"))
    assert request == {"username": "horizon"}
    assert keystone_credentials.read_request(request) == keystone_credentials.Request("horizon")
    bag = write(keystone_credentials.write_answer, FACTS, credentials="secret://0b1c/cq1")
    assert bag == {
        "api-version": "3",
        "auth-host": "keystone.m.svc.cluster.local",
        "auth-port": "5000",
        "auth-protocol": "https",
        "internal-host": "keystone.m.svc.cluster.local",
        "internal-port": "5000",
        "internal-protocol": "https",
        "credentials": "secret://0b1c/cq1",
        "project-name": "services",
        "project-id": "p2",
        "user-domain-name": "service_domain",
        "user-domain-id": "d2",
        "project-domain-name": "service_domain",
        "project-domain-id": "d2",
        "region": "RegionOne",
        "internal-endpoint": "https://gw/m-keystone/v3",
        "public-endpoint": "https://cloud/m-keystone/v3",
        "admin-role": "admin",
    }
    answer = keystone_credentials.read_answer(bag, SECRETS.get)
    assert isinstance(answer, keystone_credentials.Answer)
    assert answer.username == "relation-5"
    assert isinstance(keystone_credentials.read_answer({}, SECRETS.get), NotReady)


# --- ingress ----------------------------------------------------------------------------------


def test_ingress_request_leaves_defaults_out() -> None:
    request = ingress.Request("openstack", "placement", 8778)
    golden = {"model": '"openstack"', "name": '"placement"', "port": "8778"}
    assert write(ingress.write_request, request) == golden
    assert ingress.read_request(golden) == request


def test_ingress_request_with_everything() -> None:
    golden = {
        "model": '"openstack"',
        "name": '"nova-metadata"',
        "port": "8775",
        "scheme": '"https"',
        "strip-prefix": "true",
        "redirect-https": "true",
        "healthcheck_params": '{"path": "/", "scheme": "http", "port": 81, "interval": "2s", "timeout": "1s"}',
    }
    check = ingress.HealthCheck("/", 81, "http", "2s", "1s")
    request = ingress.Request("openstack", "nova-metadata", 8775, "https", True, True, check)
    assert write(ingress.write_request, request) == golden
    # Some writers put a unit's key into the application's databag, too.
    assert ingress.read_request({**golden, "host": '"x"'}) == request


def test_ingress_request_that_loses_a_value_removes_its_key() -> None:
    bag: dict[str, str] = {}
    ingress.write_request(bag, ingress.Request("m", "a", 1, strip_prefix=True))
    ingress.write_request(bag, ingress.Request("m", "a", 1))
    assert "strip-prefix" not in bag


@pytest.mark.parametrize(
    "change", [{"port": '"80"'}, {"port": "70000"}, {"model": "openstack"}, {"name": '""'}]
)
def test_ingress_request_that_cannot_be_used(change: dict[str, str]) -> None:
    bag = {"model": '"openstack"', "name": '"placement"', "port": "8778", **change}
    assert isinstance(ingress.read_request(bag), NotReady)


def test_ingress_unit_and_answer() -> None:
    server = ingress.Server("placement-0.x.svc.cluster.local", "10.1.0.7")
    bag = write(ingress.write_unit, server)
    assert bag == {"host": '"placement-0.x.svc.cluster.local"', "ip": '"10.1.0.7"'}
    assert ingress.read_unit(bag) == server
    assert isinstance(ingress.read_unit({"ingress-address": "10.1.0.7"}), NotReady)
    busy = ingress.Server(server.host, server.ip, 16)
    ingress.write_unit(bag, busy)
    assert bag["concurrency"] == "16"
    assert ingress.read_unit(bag) == busy
    assert ingress.read_unit({**bag, "concurrency": '"many"'}) == server
    ingress.write_unit(bag, None)
    assert bag == {}
    answer = write(ingress.write_answer, "http://10.1.0.9/openstack-placement")
    assert answer == {"ingress": '{"url": "http://10.1.0.9/openstack-placement"}'}
    assert ingress.read_answer(answer) == "http://10.1.0.9/openstack-placement"
    assert isinstance(ingress.read_answer({"ingress": "{}"}), NotReady)


# --- certificates -----------------------------------------------------------------------------

PEM = "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----"


def test_tls_certificates() -> None:
    requests = [tls_certificates.Request("CSR1"), tls_certificates.Request("CSR2", ca=True)]
    golden = {
        "certificate_signing_requests": (
            '[{"certificate_signing_request": "CSR1", "ca": false},'
            ' {"certificate_signing_request": "CSR2", "ca": true}]'
        )
    }
    assert write(tls_certificates.write_requests, requests) == golden
    assert tls_certificates.read_requests(golden) == tuple(requests)
    answer = {
        "certificates": (
            '[{"ca": "CA", "certificate_signing_request": "CSR1", "certificate": "CRT",'
            ' "chain": ["CRT", "CA"]}]'
        )
    }
    certificate = tls_certificates.Certificate("CSR1", "CRT", "CA", ("CRT", "CA"))
    assert write(tls_certificates.write_certificates, [certificate]) == answer
    # By the text of the request; writers differ in the line break at its end.
    assert tls_certificates.read_certificate(answer, "CSR1\n") == certificate
    assert isinstance(tls_certificates.read_certificate(answer, "CSR2"), NotReady)


def test_a_revoked_certificate_is_not_used() -> None:
    certificate = tls_certificates.Certificate("CSR", "CRT", "CA", revoked=True)
    bag = write(tls_certificates.write_certificates, [certificate])
    assert json.loads(bag["certificates"])[0]["revoked"] is True
    assert isinstance(tls_certificates.read_certificate(bag, "CSR"), NotReady)


def test_certificate_transfer_both_versions() -> None:
    one, two = PEM.format("one"), PEM.format("two")
    v1 = write(certificate_transfer.write_v1, [two, one, one])
    assert v1 == {"certificates": json.dumps([one, two]), "version": "1"}
    v0 = write(certificate_transfer.write_v0, [two, one])
    assert v0 == {"ca": one, "chain": json.dumps([f"{one}\n{two}"])}
    both = certificate_transfer.Answer((one, two))
    assert certificate_transfer.read_answer(v1, []) == both
    assert certificate_transfer.read_answer({}, [{}, v0]) == both
    # Keystone's own provider writes an empty certificate and one long element.
    odd = {"certificate": "", "ca": one, "chain": json.dumps([f"{one}\n{two}"])}
    assert certificate_transfer.read_answer({}, [odd]) == both
    assert certificate_transfer.read_answer({"certificates": "?"}, []).certificates == ()
    assert write(certificate_transfer.write_request) == {"version": "1"}


# --- the rest ---------------------------------------------------------------------------------


def test_domain_config() -> None:
    answer = domain_config.Answer("corp", "[ldap]\nurl = ldaps://x\n", "PEM")
    bag = write(domain_config.write_answer, answer)
    assert bag["domain-name"] == "corp"
    assert base64.b64decode(bag["config-contents"]) == b"[ldap]\nurl = ldaps://x\n"
    assert domain_config.read_answer(bag) == answer


@pytest.mark.parametrize(
    "change",
    [{"domain-name": ""}, {"config-contents": "%%"}, {"domain-name": "../x"}, {"ca": "%%"}],
)
def test_domain_config_that_cannot_be_used(change: dict[str, str]) -> None:
    bag = write(domain_config.write_answer, domain_config.Answer("corp", "x"))
    assert isinstance(domain_config.read_answer({**bag, **change}), NotReady)


def test_memcached() -> None:
    units = [write(memcached.write_unit, host) for host in ("b:11211", "a:11211")]
    assert units[0] == {"server": "b:11211"}
    assert memcached.read_answer({}, units) == memcached.Answer(("a:11211", "b:11211"))
    app = write(memcached.write_app, ["c:1", "a:1"])
    assert app == {"servers": "a:1,c:1"}
    assert memcached.read_answer(app, units) == memcached.Answer(("a:1", "c:1"))
    assert isinstance(memcached.read_answer({}, [{"ingress-address": "x"}]), NotReady)


# --- rabbitmq ---------------------------------------------------------------------------------

NEUTRON = rabbitmq.Request("neutron-server")


def test_rabbitmq_request_of_an_existing_charm() -> None:
    golden = {
        "username": "neutron-server",
        "vhost": "openstack",
        "external_connectivity": "false",
    }
    request = rabbitmq.Request("neutron-server", reads_secrets=False)
    assert write(rabbitmq.write_request, request) == golden
    assert rabbitmq.read_request(golden) == request
    outside = rabbitmq.read_request({**golden, "external_connectivity": "true"})
    assert outside == rabbitmq.Request("neutron-server", external=True, reads_secrets=False)


def test_rabbitmq_request_for_a_secret() -> None:
    bag = write(rabbitmq.write_request, NEUTRON)
    assert bag["requested-secrets"] == '["username", "password"]'
    assert rabbitmq.read_request(bag) == NEUTRON
    rabbitmq.write_request(bag, rabbitmq.Request("neutron-server", reads_secrets=False))
    assert "requested-secrets" not in bag


@pytest.mark.parametrize("bag", [{}, {"username": "nova"}, {"vhost": "openstack"}])
def test_rabbitmq_request_that_cannot_be_used(bag: dict[str, str]) -> None:
    assert isinstance(rabbitmq.read_request(bag), NotReady)


def test_rabbitmq_answer_of_an_existing_charm() -> None:
    bag = {"hostname": "rabbitmq.openstack.svc.cluster.local", "password": "pw"}
    host = "rabbitmq.openstack.svc.cluster.local"
    assert write(rabbitmq.write_answer, hostname=host, password="pw") == bag
    answer = rabbitmq.read_answer(bag, SECRETS.get, NEUTRON)
    assert answer == rabbitmq.Answer((host,), 5672, "openstack", "neutron-server", "pw")
    assert "'pw'" not in repr(answer)


def test_rabbitmq_answer_with_tls_and_a_secret() -> None:
    ca = PEM.format("ca")
    bag = write(
        rabbitmq.write_answer,
        hostname="rabbitmq",
        hosts=("rabbitmq-0", "rabbitmq-1"),
        tls_port=5671,
        ca=ca,
        secret_user="secret://0b1c/cq1",
    )
    assert bag == {
        "hostname": "rabbitmq",
        "hosts": "rabbitmq-0,rabbitmq-1",
        "ssl_port": "5671",
        "ssl_ca": ca,
        "secret-user": "secret://0b1c/cq1",
    }
    answer = rabbitmq.read_answer(bag, SECRETS.get, NEUTRON)
    hosts = ("rabbitmq-0", "rabbitmq-1")
    assert answer == rabbitmq.Answer(hosts, 5671, "openstack", "relation-5", "pw", True, ca)
    coded = {**bag, "ssl_ca": base64.b64encode(ca.encode()).decode()}
    assert rabbitmq.read_answer(coded, SECRETS.get, NEUTRON) == answer
    rabbitmq.clear_answer(bag)
    assert bag == {}


@pytest.mark.parametrize(("secret", "password"), [(None, None), ("secret:1", "pw")])
def test_rabbitmq_has_one_way_to_give_a_user(secret: str | None, password: str | None) -> None:
    with pytest.raises(ValueError, match="secret or"):
        rabbitmq.write_answer({}, hostname="h", secret_user=secret, password=password)


@pytest.mark.parametrize(
    "change",
    [
        {"hostname": ""},
        {"password": ""},
        {"secret-user": "secret:none"},
        {"hostname": "a@b"},
        {"hosts": ","},
        {"hosts": "a,:1"},
        {"ssl_port": "no"},
        {"ssl_port": "70000"},
        {"ssl_ca": "%%"},
        {"ssl_ca": base64.b64encode(b"no PEM").decode()},
    ],
)
def test_rabbitmq_answer_that_cannot_be_used(change: dict[str, str]) -> None:
    bag = {"hostname": "h", "password": "pw", **change}
    assert isinstance(rabbitmq.read_answer(bag, SECRETS.get, NEUTRON), NotReady)


def test_rabbitmq_transport_url() -> None:
    plain = rabbitmq.Answer(("h",), 5672, "openstack", "nova", "pw")
    assert rabbitmq.transport_url(plain, "/ca.pem") == "rabbit://nova:pw@h:5672/openstack"
    hosts = ("r-0.r", "2001:db8::7")
    tls = rabbitmq.Answer(hosts, 5671, "a/b", "n@va", "p:/%w", True, "PEM")
    assert rabbitmq.transport_url(tls, "/etc/nova/amqp-ca.pem") == (
        "rabbit://n%40va:p%3A%2F%25w@r-0.r:5671,n%40va:p%3A%2F%25w@[2001:db8::7]:5671/a%2Fb"
        "?ssl=true&ssl_ca_file=/etc/nova/amqp-ca.pem"
    )
    assert rabbitmq.transport_url(tls).endswith("/a%2Fb?ssl=true")
    bracketed = {"hostname": "[2001:db8::7]", "password": "pw"}
    answer = rabbitmq.read_answer(bracketed, SECRETS.get, NEUTRON)
    assert isinstance(answer, rabbitmq.Answer)
    assert answer.hosts == ("2001:db8::7",)


def test_rabbitmq_options_replicate_queues_and_bound_streams() -> None:
    options = rabbitmq.oslo_messaging_rabbit()
    assert options["rabbit_quorum_queue"]
    assert options["rabbit_stream_fanout"]
    assert options["rabbit_qos_prefetch_count"] == 1


# --- nova -------------------------------------------------------------------------------------


NOVA_SECRETS = {"secret://0b1c/md": {"metadata-proxy-shared-secret": "shh"}}


def test_nova_answer() -> None:
    golden = {
        "region": "RegionOne",
        "metadata-url": "http://gw:80/openstack-nova",
        "spice-proxy-url": "https://gw/openstack-nova-spiceproxy/spice_auto.html?path=/openstack-nova-spiceproxy",
        "pci-aliases": '[{"name": "a1"}]',
        "metadata-proxy-shared-secret-id": "secret://0b1c/md",
    }
    facts = nova.Facts(
        region="RegionOne",
        metadata_url=golden["metadata-url"],
        spice_proxy_url=golden["spice-proxy-url"],
        pci_aliases=golden["pci-aliases"],
    )
    written = write(nova.write_answer, facts, metadata_secret="secret://0b1c/md")
    # The key of our own is no disturbance for the charms that do not know it.
    assert written == {**golden, "cell": "cell1"}
    answer = nova.read_answer(golden, NOVA_SECRETS.get)
    assert answer == nova.Answer(facts, "shh")
    assert "shh" not in repr(answer)


def test_nova_answers_that_cannot_be_used() -> None:
    # nova-k8s writes empty texts for what it does not know yet.
    unknown = {"region": "", "metadata-url": "", "pci-aliases": "[]"}
    assert isinstance(nova.read_answer(unknown, NOVA_SECRETS.get), NotReady)
    known = {"region": "R", "metadata-proxy-shared-secret-id": "secret:other"}
    assert isinstance(nova.read_answer(known, NOVA_SECRETS.get), NotReady)
    assert isinstance(nova.read_answer({"region": "R", "pci-aliases": "{"}, {}.get), NotReady)
    assert nova.read_answer({"region": "R"}, {}.get) == nova.Answer(nova.Facts("R"))


# --- ovsdb-cms --------------------------------------------------------------------------------

OVN_UNITS = [
    {
        "bound-hostname": f"ovn-central-{n}.ovn-central-endpoints.openstack.svc.cluster.local",
        "bound-address": f"10.1.0.{n}",
        "ingress-bound-address": f"10.152.183.{n}",
    }
    for n in (7, 8)
]


def test_ovsdb_cms_request() -> None:
    assert write(ovsdb_cms.write_request, external=True) == {"external-connectivity": "true"}
    assert write(ovsdb_cms.write_request, external=False) == {"external-connectivity": "false"}
    assert ovsdb_cms.read_request({"external-connectivity": "true"})
    assert not ovsdb_cms.read_request({})


def test_ovsdb_cms_unit() -> None:
    server = ovsdb_cms.Server(OVN_UNITS[0]["bound-hostname"], "10.1.0.7", "10.152.183.7")
    bag = write(ovsdb_cms.write_unit, server)
    assert bag == OVN_UNITS[0]
    ovsdb_cms.write_unit(bag, None)
    assert bag == {}
    load_balancer = write(ovsdb_cms.write_load_balancer, "192.0.2.1")
    assert load_balancer == {"loadbalancer-address": "192.0.2.1"}


def test_ovsdb_cms_answer_of_units() -> None:
    names = [unit["bound-hostname"] for unit in OVN_UNITS]
    assert ovsdb_cms.read_answer({}, OVN_UNITS) == ovsdb_cms.Answer(
        tuple(f"ssl:{name}:6641" for name in names), tuple(f"ssl:{name}:6642" for name in names)
    )
    assert ovsdb_cms.read_answer({}, OVN_UNITS, names=False) == ovsdb_cms.Answer(
        ("ssl:10.1.0.7:6641", "ssl:10.1.0.8:6641"), ("ssl:10.1.0.7:6642", "ssl:10.1.0.8:6642")
    )
    outside = ovsdb_cms.read_answer({}, OVN_UNITS, external=True, names=False)
    assert isinstance(outside, ovsdb_cms.Answer)
    assert outside.southbound == ("ssl:10.152.183.7:6642", "ssl:10.152.183.8:6642")
    six = ovsdb_cms.read_answer({}, [{"bound-address": "fd00::1"}])
    assert isinstance(six, ovsdb_cms.Answer)
    assert six.southbound == ("ssl:[fd00::1]:6642",)


def test_ovsdb_cms_answer_of_a_load_balancer_is_for_who_is_outside() -> None:
    bag = {"loadbalancer-address": "192.0.2.1"}
    assert ovsdb_cms.read_answer(bag, OVN_UNITS, external=True) == ovsdb_cms.Answer(
        ("ssl:192.0.2.1:6641",), ("ssl:192.0.2.1:6642",)
    )
    assert ovsdb_cms.read_answer(bag, OVN_UNITS) == ovsdb_cms.read_answer({}, OVN_UNITS)


def test_ovsdb_cms_answer_of_a_proxy() -> None:
    bag = {
        "proxy-relation": "true",
        "db_nb_connection_strs": "ssl:10.0.0.1:6641,ssl:10.0.0.2:6641",
        "db_sb_connection_strs": "ssl:10.0.0.1:6642,ssl:10.0.0.2:6642",
    }
    assert ovsdb_cms.read_answer(bag, []) == ovsdb_cms.Answer(
        ("ssl:10.0.0.1:6641", "ssl:10.0.0.2:6641"), ("ssl:10.0.0.1:6642", "ssl:10.0.0.2:6642")
    )
    # Emptied when what is behind it goes away.
    gone = ovsdb_cms.read_answer({**bag, "db_sb_connection_strs": ""}, OVN_UNITS)
    assert isinstance(gone, NotReady)


@pytest.mark.parametrize(
    "units",
    [
        [],
        [OVN_UNITS[0], {}],
        [{"bound-address": "None", "ingress-bound-address": "None"}],
    ],
)
def test_ovsdb_cms_answer_that_cannot_be_used(units: list[dict[str, str]]) -> None:
    assert isinstance(ovsdb_cms.read_answer({}, units), NotReady)


# --- s3 ---------------------------------------------------------------------------------------

BUCKET = {"bucket": "images", "access-key": "AK", "secret-key": "s/3+cret="}
"""What the integrator of version 0 writes, when nothing but what it must have is configured."""
PLAIN = s3.Answer("images", "AK", "s/3+cret=")


def test_s3_request_is_one_that_both_versions_answer() -> None:
    assert write(s3.write_request, s3.Request("openstack-glance")) == {
        "bucket": "openstack-glance",
        "requested-secrets": '["access-key", "secret-key"]',
        "version": "1",
    }


def test_s3_answer_in_plain_text() -> None:
    answer = s3.read_answer(BUCKET, {}.get)
    assert answer == PLAIN
    assert "s/3+cret=" not in repr(answer)
    ca = PEM.format("ca")
    whole = {
        **BUCKET,
        "endpoint": "https://s3.example.org:9000/",
        "region": "eu-1",
        "path": "/images/",
        "s3-uri-style": "path",
        "tls-ca-chain": json.dumps([ca]),
        # What the integrator's own library keeps there, and what images have no use for.
        "data": "{}",
        "storage-class": "STANDARD",
    }
    assert s3.read_answer(whole, {}.get) == s3.Answer(
        "images",
        "AK",
        "s/3+cret=",
        endpoint="https://s3.example.org:9000",
        region="eu-1",
        path="images",
        style="path",
        ca=f"{ca}\n",
    )
    coded = {**whole, "tls-ca-chain": json.dumps([base64.b64encode(ca.encode()).decode()])}
    assert s3.read_answer(coded, {}.get) == s3.read_answer(whole, {}.get)


def test_s3_answer_with_a_secret() -> None:
    bag = {"bucket": "images", "secret-extra": "secret://0b1c/d40", "version": "1"}
    keys = {"secret://0b1c/d40": {"access-key": "AK", "secret-key": "s/3+cret="}}
    assert s3.read_answer(bag, keys.get) == PLAIN
    unread = s3.read_answer(bag, {}.get)
    assert isinstance(unread, NotReady)
    assert "cannot be read yet" in unread.why


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"bucket": ""}, "its bucket yet"),
        ({"access-key": " ", "secret-key": ""}, "its access-key and secret-key yet"),
        ({"bucket": "a/b"}, "name that no bucket can have"),
        ({"region": "eu 1"}, "region"),
        ({"s3-uri-style": "dns"}, "s3-uri-style is neither"),
        ({"endpoint": "s3.example.org"}, "endpoint is no URL"),
        ({"endpoint": "ftp://s3.example.org"}, "endpoint is no URL"),
        ({"endpoint": "https://"}, "endpoint is no URL"),
        ({"endpoint": "https://a:b@s3.example.org"}, "endpoint is no URL"),
        ({"endpoint": "https://s3.example.org/in/a/folder"}, "endpoint is no URL"),
        ({"endpoint": "https://s3.example.org:http"}, "endpoint is no URL"),
        ({"endpoint": "https://[::1"}, "endpoint is no URL"),
        ({"endpoint": "https://a b"}, "endpoint is no URL"),
        ({"tls-ca-chain": "PEM"}, "tls-ca-chain"),
        ({"tls-ca-chain": '["%%"]'}, "tls-ca-chain"),
        ({"tls-ca-chain": "[1]"}, "tls-ca-chain"),
    ],
)
def test_s3_answer_that_cannot_be_used(change: dict[str, str], said: str) -> None:
    answer = s3.read_answer({**BUCKET, **change}, {}.get)
    assert isinstance(answer, NotReady)
    assert said in answer.why
    assert "s/3+cret=" not in answer.why
