"""An OpenStack service as data: its APIs, its workers, its databases, and what it is called.

`describe` makes a charm's description of it. What a service has beyond (further needs, files, gates) is added
to the description with `dataclasses.replace`.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from typing import Any

from daybreak_charm import catalogue, ini, sizing, urls, uwsgi
from daybreak_charm.context import Context
from daybreak_charm.description import (
    Check,
    DatabaseAddress,
    Description,
    File,
    Folder,
    Need,
    OnChange,
    Process,
    Schema,
    Tls,
)
from daybreak_charm.layout import Layout
from daybreak_charm.openstack import needs, options
from daybreak_charm.outcome import Blocked, Waiting
from daybreak_charm.upgrade import Step
from daybreak_interfaces import certificate_transfer, keystone, mysql_client, rabbitmq

with suppress(ImportError):  # which a charm without a database does not bring
    # All but the first hooks of a service ask its database; where hooks are forks of one interpreter, it imports early.
    import_module("daybreak_charm.mysql")

_HERE = Path(__file__).parent
WSGI = (_HERE / "wsgi.py").read_text(encoding="utf-8")
CONNECTED = (_HERE / "connected.py").read_text(encoding="utf-8")


@dataclass(frozen=True)
class Inputs:
    """Everything that decides how a service runs.

    Attributes:
        layout: What the image says of itself.
        certificate: PEM with its chain.
        key: PEM of the private key.
        ca: PEMs of all authorities that are trusted.
        region: Region of the service.
        urls: Where it is reached, by the name of the API.
        size: Workers, threads and pools.
        any_address: Address that means all of this unit's.
        fqdn: Stable name of this unit.
        databases: Databases by endpoint.
        identity: Service user; None for a service without, and until there is one.
        messaging: User of the message queue; None for a service without.
        cache_servers: `host:port` of memcached servers, may be empty.
        debug: Whether DEBUG is logged.
        config: The charm's options.
        needs: What further relations said, by endpoint.
        overrides: The operator's options, checked.
        policies: The operator's policies, checked.
        planned: Number of units that the application shall have.
    """

    layout: Layout
    certificate: str = field(repr=False)
    key: str = field(repr=False)
    ca: str = field(repr=False)
    region: str
    urls: Mapping[str, needs.Urls]
    size: sizing.ApiSize
    any_address: str
    fqdn: str
    databases: Mapping[str, mysql_client.Answer] = field(
        default_factory=dict[str, mysql_client.Answer]
    )
    identity: keystone.Answer | None = None
    messaging: rabbitmq.Answer | None = None
    cache_servers: tuple[str, ...] = ()
    debug: bool = False
    config: Mapping[str, Any] = field(default_factory=dict[str, Any])
    needs: Mapping[str, Any] = field(default_factory=dict[str, Any], repr=False)
    overrides: ini.Options = field(default_factory=dict[str, dict[str, ini.Value]])
    policies: Mapping[str, str] = field(default_factory=dict[str, str])
    planned: int = 1


@dataclass(frozen=True)
class Api:
    """An HTTP API under uwsgi.

    Attributes:
        name: Name of its process.
        application: Module that has the WSGI `application`.
        port: Port of its listener, by TLS.
        health_port: Port that answers for its health.
        container: Its container.
        environment: Makes the variables that the application reads.
        routes: Endpoints of its relations with gateways: for services, and for users.
        suffix: What tells a second API of an application from its first, in its URLs.
        lazy: As in `uwsgi.Api`.
    """

    name: str
    application: str
    port: int
    health_port: int
    container: str
    environment: Callable[[Inputs], Mapping[str, str]] = lambda _: {}
    routes: tuple[str, ...] = (needs.INTERNAL, needs.PUBLIC)
    suffix: str = ""
    lazy: bool = False


@dataclass(frozen=True)
class Worker:
    """A process that takes its work from the message queue, or by itself.

    Attributes:
        name: Name of its process.
        container: Its container.
        program: Its program; None is the one of its name.
        arguments: Further words behind the configuration file.
        checks: Checks instead of the one for its connection to the message queue.
        environment: Makes its variables.
        ports: Makes the ports of which it must have a connection to one; None is the message queue's.
        kill_delay: Time between SIGTERM and SIGKILL.
        scaled: Whether its configuration gives it as many processes as an API has workers.
    """

    name: str
    container: str
    program: str | None = None
    arguments: tuple[str, ...] = ()
    checks: tuple[Check, ...] | None = None
    environment: Callable[[Inputs], Mapping[str, str]] = lambda _: {}
    ports: Callable[[Inputs], tuple[int, ...]] | None = None
    kill_delay: str = "20s"
    scaled: bool = False


def _none(_: Inputs) -> Any:
    return ()


@dataclass(frozen=True)
class Service:
    """An OpenStack service.

    Attributes:
        project: Name of the project: of its folder in /etc, its image, and its configuration file.
        apis: Its APIs, the main one first.
        entries: What the catalogue says of the main one.
        options: Options of its own, beside those that every service has.
        databases: Names of its databases by endpoint; the first is oslo.db's own.
        extra_databases: Further ones that the user of the first may use.
        database_section: Section of the first one.
        prepare: What an empty database needs before.
        sync: Program and arguments that bring an empty database to its heads.
        upgrade: Steps from one release to another.
        workers: Its further processes.
        messaging: Whether it uses the message queue.
        config_file: Name of its configuration file; None is the project's.
        sections: Sections that the service names itself, with the one that says what they may hold.
        catalogue: Folder with the option catalogues.
        files: Further files.
        roles: Roles that its user needs beside the usual ones.
    """

    project: str
    apis: tuple[Api, ...]
    entries: tuple[needs.Entry, ...]
    catalogue: Path
    options: Callable[[Inputs], ini.Options] = _none
    databases: Mapping[str, str] = field(default_factory=dict[str, str])
    extra_databases: tuple[str, ...] = ()
    database_section: str = "database"
    prepare: tuple[Step, ...] = ()
    sync: tuple[str, ...] = ()
    upgrade: tuple[Step, ...] = ()
    workers: tuple[Worker, ...] = ()
    messaging: bool = False
    config_file: str | None = None
    sections: Mapping[str, str] = field(default_factory=dict[str, str])
    files: Callable[[Inputs], Sequence[File | Folder]] = _none
    roles: tuple[str, ...] = ()

    @property
    def folder(self) -> str:
        """Folder of its configuration."""
        return f"/etc/{self.project}"

    @property
    def path(self) -> str:
        """Its configuration file."""
        return f"{self.folder}/{self.config_file or self.project + '.conf'}"

    @property
    def ca(self) -> str:
        """File of the authorities that it trusts."""
        return f"{self.folder}/ca.pem"

    @property
    def containers(self) -> tuple[str, ...]:
        """Its containers, the main API's first."""
        places = [part.container for part in (*self.apis, *self.workers)]
        return tuple(dict.fromkeys(places))

    def command(self, program: str, *words: str) -> tuple[str, ...]:
        """Words of a program that reads the configuration file."""
        return (program, "--config-file", self.path, *words)


# --- inputs -----------------------------------------------------------------------------------


def read_overrides(
    context: Context, known: catalogue.Catalogue
) -> tuple[dict[str, dict[str, ini.Value]], dict[str, str]] | Blocked:
    """The operator's options and policies, or what is wrong with them."""
    try:
        overrides = ini.parse_overrides(str(context.config["config-overrides"]))
    except ini.OverridesError as error:
        return Blocked(f"config-overrides: {error}", "correct the option")
    if fault := known.check(overrides):
        return Blocked(f"config-overrides: {fault}", "correct the option")
    policies = catalogue.parse_policies(str(context.config["policy-overrides"]), known)
    if isinstance(policies, str):
        return Blocked(f"policy-overrides: {policies}", "correct the option")
    return overrides, policies


def read_release(
    context: Context, container: str, folder: Path
) -> tuple[Layout, catalogue.Catalogue] | Blocked:
    """What an image says of itself, and the options of its release."""
    layout = context.layout(container)
    if layout is None:
        return Blocked("the image does not say its release", "attach an image with a layout file")
    known = catalogue.load(folder, layout.release)
    if known is None:
        return Blocked(f"release {layout.release} is unknown to this charm", "refresh the charm")
    return layout, known


def read(context: Context, service: Service) -> Inputs | Waiting | Blocked:
    """Collect what decides how a service runs."""
    found = read_release(context, service.containers[0], service.catalogue)
    if isinstance(found, Blocked):
        return found
    layout, known = found[0], found[1].extended(service.sections)
    checked = read_overrides(context, known)
    if isinstance(checked, Blocked):
        return checked
    certificate = context.certificate
    assert certificate is not None  # the certificate's gate is open
    cache = context.needs.get(needs.CACHE)
    messaging = context.needs.get(needs.AMQP)
    databases = {endpoint: context.needs[endpoint] for endpoint in service.databases}
    authorities = [
        certificate.ca,
        *(answer.tls_ca or "" for answer in databases.values()),
        messaging.ca if messaging else "",
        *(pem for answer in needs.answers(context.needs) for pem in answer.certificates),
    ]
    inputs = Inputs(
        layout=layout,
        certificate=certificate.certificate,
        key=certificate.key,
        ca=certificate_transfer.bundle(*authorities),
        region=str(context.config["region"]),
        urls={api.name: api_urls(context, api) for api in service.apis},
        size=size(context, service),
        any_address=urls.any_address(context.bind_address),
        fqdn=context.fqdn,
        databases=databases,
        identity=context.needs.get(needs.IDENTITY),
        messaging=messaging,
        cache_servers=cache.servers if cache else (),
        debug=bool(context.config["debug"]),
        config=dict(context.config),
        needs=dict(context.needs),
        overrides=checked[0],
        policies=checked[1],
        planned=context.planned,
    )
    if fault := known.check(all_options(service, inputs)):
        return Blocked(fault, "refresh the charm")
    return inputs


def size(context: Context, service: Service) -> sizing.ApiSize:
    """Workers, threads and pools of a service all of whose processes share the main container."""
    scaled = [worker for worker in service.workers if worker.scaled]
    return sizing.api(
        context.machine(service.containers[0]),
        scaled=len(service.apis) + len(scaled),
        alone=len(service.apis) + len(service.workers),
    )


def api_urls(context: Context, api: Api) -> needs.Urls:
    """URLs of one API."""
    return needs.addresses(context, api.port, api.routes, api.suffix)


# --- files ------------------------------------------------------------------------------------


def all_options(service: Service, inputs: Inputs) -> dict[str, options.Section]:
    """Options of the configuration file, without the operator's."""
    common: dict[str, options.Section] = {
        "DEFAULT": {"debug": inputs.debug},
        "oslo_policy": {"policy_file": f"{service.folder}/policy.yaml"},
    }
    if service.databases:
        main = inputs.databases[next(iter(service.databases))]
        common[service.database_section] = options.database(main, inputs.size, service.ca)
    if inputs.identity:
        common["keystone_authtoken"] = options.token_check(
            inputs.identity, inputs.region, inputs.cache_servers, service.ca
        )
    queue = options.messaging(inputs.messaging, service.ca) if inputs.messaging else {}
    return options.joined(common, queue, service.options(inputs) or {})


def render(service: Service, inputs: Inputs) -> list[File | Folder]:
    """The files of every container."""
    items: list[File | Folder] = []
    conf = ini.render(ini.merge(all_options(service, inputs), inputs.overrides))
    for container in service.containers:

        def own(
            name: str, content: str, on_change: OnChange = "restart", place: str = container
        ) -> File:
            path = name if name.startswith("/") else f"{service.folder}/{name}"
            return File(
                path,
                content,
                mode=0o640,
                group=inputs.layout.user,
                on_change=on_change,
                container=place,
            )

        group = inputs.layout.user
        items += [
            Folder(service.folder, mode=0o750, group=group, container=container),
            own(service.path, conf),
            own("policy.yaml", catalogue.render_policies(inputs.policies)),
            # Each new connection reads it again.
            own("ca.pem", inputs.ca, "none"),
        ]
        apis = [api for api in service.apis if api.container == container]
        if apis:
            items += [
                own("tls.key", inputs.key),
                own("tls.crt", inputs.certificate),
                own("wsgi.py", WSGI),
            ]
        for api in apis:
            items += uwsgi.files(uwsgi_api(service, inputs, api))
        if any(w.checks is None for w in service.workers if w.container == container):
            items.append(own("connected.py", CONNECTED, "none"))
    return [*items, *service.files(inputs)]


def uwsgi_api(service: Service, inputs: Inputs, api: Api) -> uwsgi.Api:
    """An API under uwsgi."""
    return uwsgi.Api(
        name=api.name,
        program=inputs.layout.program("uwsgi"),
        folder=service.folder,
        file=f"{api.name}.ini",
        application=f"{service.folder}/wsgi.py",
        port=api.port,
        health_port=api.health_port,
        certificate=f"{service.folder}/tls.crt",
        key=f"{service.folder}/tls.key",
        user=inputs.layout.user,
        size=inputs.size,
        any_address=inputs.any_address,
        mounts=("/", inputs.urls[api.name].prefix),
        container=api.container,
        lazy=api.lazy,
        environment={
            **api.environment(inputs),
            "DAYBREAK_APPLICATION": api.application,
            "DAYBREAK_ARGUMENTS": " ".join(service.command(api.name)),
        },
    )


# --- processes --------------------------------------------------------------------------------


def processes(service: Service, inputs: Inputs) -> list[Process]:
    """All processes."""
    several = len(service.apis) + len(service.workers) > 1
    return [
        *(
            uwsgi.process(uwsgi_api(service, inputs, api), prefix=f"{api.name}-" if several else "")
            for api in service.apis
        ),
        *(_worker(service, inputs, worker) for worker in service.workers),
    ]


def _worker(service: Service, inputs: Inputs, worker: Worker) -> Process:
    program = inputs.layout.program(worker.program or worker.name)
    user = inputs.layout.user
    checks = worker.checks
    if checks is None:
        python = inputs.layout.program("python")
        ports = (inputs.messaging.port,) if inputs.messaging else ()
        words = " ".join(map(str, worker.ports(inputs) if worker.ports else ports))
        command = f"{python} -SE {service.folder}/connected.py {user} {worker.name} {words}"
        checks = (
            Check(
                f"{worker.name}-online", command=command, level="ready", period="10s", timeout="5s"
            ),
        )
    return Process(
        worker.name,
        " ".join(service.command(program, *worker.arguments)),
        container=worker.container,
        user=user,
        group=user,
        checks=checks,
        environment=worker.environment(inputs),
        kill_delay=worker.kill_delay,
    )


# --- description ------------------------------------------------------------------------------


def schema(service: Service, inputs: Inputs) -> Schema:
    """How its schema is brought to the image's release."""
    main, *others = (database_address(inputs.databases[name]) for name in service.databases)
    extra = (replace(main, database=name) for name in service.extra_databases)
    return Schema(
        project=service.project,
        connect=main,
        further=(*others, *extra),
        prepare=service.prepare,
        command=service.sync,
        upgrade=service.upgrade,
        user=inputs.layout.user,
    )


def database_address(answer: mysql_client.Answer) -> DatabaseAddress:
    """A database as a charm itself uses it."""
    host, port = urls.split_host_port(answer.endpoints[0], 3306)
    return DatabaseAddress(
        host, port, answer.database, answer.username, answer.password, answer.tls_ca
    )


def describe(service: Service) -> Description[Inputs]:
    """The description of a charm that runs this service."""
    main = service.apis[0]
    asked: list[Need] = [
        needs.database(name, at, () if number else service.extra_databases)
        for number, (at, name) in enumerate(service.databases.items())
    ]
    if service.messaging:
        asked.append(needs.messaging(service.project))
    asked += [
        needs.identity(service.entries, lambda context: api_urls(context, main), service.roles),
        needs.cache(),
        needs.trusted(),
        *(
            needs.route(
                *(endpoint, api.port, needs.health(api.health_port), api.suffix),
                size=lambda context: size(context, service),
            )
            for api in service.apis
            for endpoint in api.routes
        ),
    ]
    return Description(
        containers=service.containers,
        needs=tuple(asked),
        tls=Tls(),
        read=lambda context: read(context, service),
        render=lambda inputs: render(service, inputs),
        processes=lambda inputs: processes(service, inputs),
        schema=(lambda inputs: schema(service, inputs)) if service.sync else None,
        ports=lambda _: [api.port for api in service.apis],
        version=lambda inputs: inputs.layout.version,
    )
