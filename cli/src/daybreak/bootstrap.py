"""From an empty machine to a token: steps that are skipped when their result is there already."""

from __future__ import annotations

import contextlib
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import jubilant
import yaml

from . import access, bundles, probe, programs, usual, waiting
from .errors import DaybreakError
from .preflight import Level

if TYPE_CHECKING:
    from jubilant.statustypes import Status

    from .access import Access
    from .bundles import Bundle
    from .output import Reporter
    from .places import Home, Instance
    from .preflight import Finding
    from .providers import Provider
    from .usual import Usual

POLL_SECONDS = 0.5
LOOK_SHARE = 9.0
"""How many times as long as it looks at the cloud a wait at least pauses in between."""
STUCK_SECONDS = 30.0
CLIENT_SECONDS = 60.0


@dataclass(frozen=True)
class Clock:
    """Time as a parameter, so that tests need none."""

    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


@dataclass(frozen=True)
class Done:
    """One finished step of a bootstrap.

    Attributes:
        mark: `done`, `there` (nothing was missing), or `would` in a dry run.
        seconds: Duration; None in a dry run.
    """

    title: str
    mark: str
    detail: str
    seconds: float | None


@dataclass(frozen=True)
class Result:
    """What a bootstrap did, and how the cloud is reached."""

    steps: tuple[Done, ...]
    findings: tuple[Finding, ...]
    seconds: float
    auth_url: str = ""
    expires: str = ""


@dataclass
class Run:
    """One bootstrap: what it works on, and what it has learnt so far."""

    bundle: Bundle
    instance: Instance
    home: Home
    provider: Provider
    report: Reporter
    timeout: float
    dry_run: bool = False
    sizes: tuple[Path, ...] = ()
    """Overlays on the bundle that say how many units there are, before those of the provider."""
    clock: Clock = field(default_factory=Clock)
    findings: tuple[Finding, ...] = ()
    status: Status | None = None
    fresh: bool = False
    """Whether the cloud is deployed by this run, so that its times are those of a whole deployment."""
    steps: list[Done] = field(default_factory=list[Done])
    auth_url: str = ""
    expires: str = ""

    @property
    def juju(self) -> jubilant.Juju:
        """The cloud's model."""
        return self.provider.juju()

    @property
    def units(self) -> int:
        """How many units the bundle has, with its overlays."""
        return bundles.units(self.bundle, self.sizes)

    @property
    def memory(self) -> int:
        """Bytes that a cluster keeps for the bundle, with its overlays."""
        return bundles.memory(self.bundle, self.sizes)


Step = Callable[[Run], tuple[str, str]]


def bootstrap(run: Run) -> Result:
    """Do all steps and return what was done.

    Raises:
        DaybreakError: A step could not be done; those before it stay done, a further run goes on.
    """
    started = run.clock.now()
    try:
        for title, step in _steps(run):
            _do(run, title, step)
    finally:
        run.provider.close()
    return Result(
        tuple(run.steps),
        run.findings,
        run.clock.now() - started,
        run.auth_url,
        run.expires,
    )


def _do(run: Run, title: str, step: Step) -> None:
    run.report.begin(title)
    begun = run.clock.now()
    try:
        mark, detail = step(run)
    except BaseException:
        run.report.end("failed", title, "", run.clock.now() - begun)
        raise
    seconds = None if mark == "would" else run.clock.now() - begun
    run.steps.append(Done(title, mark, detail, seconds))
    run.report.end(mark, title, detail, seconds)


def _steps(run: Run) -> Iterator[tuple[str, Step]]:
    yield "Look at the machine", _preflight
    yield from run.provider.steps(run)
    yield "Deploy bundle", _deploy
    yield "Wait until active", _settle
    if any(app.charm_name == access.KEYSTONE for app in run.bundle.applications):
        yield "Issue a token", _token


def _preflight(run: Run) -> tuple[str, str]:
    findings: list[Finding] = []
    _collect(run, findings, run.provider.findings(run))
    run.findings = tuple(findings)
    bad = [finding for finding in findings if finding.level is Level.ERROR]
    if bad and not run.dry_run:
        raise DaybreakError(
            "this machine is not ready: " + ", ".join(finding.name for finding in bad),
            details=tuple(f"{finding.name}: {finding.detail}" for finding in bad),
            remedy="\n".join(finding.remedy for finding in bad),
        )
    if bad:
        return "failed", "; ".join(f"{f.name}: {f.detail}. {f.remedy}" for f in bad)
    return "done", f"{len(findings)} checks passed"


def _collect(run: Run, into: list[Finding], findings: Iterable[Finding]) -> None:
    for finding in findings:
        into.append(finding)
        if finding.level is not Level.OK:
            run.report.line(f"{finding.level} {finding.name}: {finding.detail}")


def _deploy(run: Run) -> tuple[str, str]:
    if run.dry_run and not run.provider.reachable():
        names = f"{len(run.bundle.names)} applications: {', '.join(run.bundle.names)}"
        path, files = run.provider.deployed(run)
        overlays = "".join(f" --overlay {file}" for file in files)
        command = f"juju deploy {path}{overlays} --trust; " if run.instance.place else ""
        return "would", command + names
    run.status = _model(run)
    if not run.dry_run:
        bundles.choose(run.instance.state, run.bundle, run.home.bundles)
    missing = waiting.missing_parts(run.bundle, run.status) if run.status else run.bundle.names
    if run.status and not missing:
        return "there", f"{len(run.bundle.names)} applications and their relations"
    if run.dry_run:
        return "would", ", ".join(missing)
    path, files = run.provider.deployed(run)
    run.fresh = not (run.status and run.status.apps)
    with _kept_scales(run) as scales:
        try:
            words = [word for file in (*files, *scales) for word in ("--overlay", str(file))]
            run.juju.cli("deploy", str(path), *words, "--trust")
        except jubilant.CLIError as error:
            raise DaybreakError(
                f"the bundle {run.bundle.path} could not be deployed",
                details=tuple((error.stderr or "").strip().splitlines()),
                remedy="Correct what the lines above name and run the command again: it goes on"
                " from what is there. To begin anew: daybreak destroy",
            ) from error
    return "done", ", ".join(missing)


def _model(run: Run) -> Status | None:
    """Return the status of the model, after making it where it is missing; None when new."""
    try:
        return run.juju.status()
    except jubilant.CLIError as error:
        if "not found" not in (error.stderr or ""):
            raise _juju_trouble(error) from error
    if not run.dry_run:
        try:
            run.provider.add_model(run)
        except jubilant.CLIError as error:
            if "already exists" not in (error.stderr or ""):
                raise _juju_trouble(error) from error
    return None


def _juju_trouble(error: jubilant.CLIError) -> DaybreakError:
    return DaybreakError(
        "the juju command failed",
        details=tuple((error.stderr or str(error)).strip().splitlines()),
        remedy="Run the command again; `daybreak destroy` removes an instance that is beyond"
        " repair.",
    )


@contextlib.contextmanager
def _kept_scales(run: Run) -> Iterator[list[Path]]:
    scales = waiting.overlay_of_scales(run.bundle, run.status) if run.status else {}
    if not scales.get("applications"):
        yield []
        return
    with tempfile.TemporaryDirectory(dir=run.instance.place) as directory:
        path = Path(directory) / "keep-scale.yaml"
        path.write_text(yaml.safe_dump(scales), encoding="utf-8")
        yield [path]


def _settle(run: Run) -> tuple[str, str]:
    if run.dry_run:
        return "would", f"at most {run.timeout:.0f} s"
    path = usual.file(os.environ, run.instance.cache)
    key = f"{run.provider.name}:{run.bundle.path.stem}"
    known = usual.load(path, key) if run.fresh else usual.Usual()
    if known.total:
        run.report.line(f"usually {known.total:.0f} s, as the last time here")
    progress, seconds, times = watch(
        run.juju, run.bundle.names, run.report, run.timeout, run.clock, known
    )
    if run.fresh:
        usual.save(path, key, usual.Usual(seconds, times))
    run.status = None
    mark = "there" if seconds < POLL_SECONDS else "done"
    return mark, f"{len(progress.units)} units active"


def watch(
    juju: jubilant.Juju,
    applications: tuple[str, ...],
    report: Reporter,
    timeout: float,
    clock: Clock,
    known: Usual,
) -> tuple[waiting.Progress, float, dict[str, float]]:
    """Show what waits for what until every unit is active.

    Returns:
        The last view, the seconds that it took, and those that each unit took.

    Raises:
        DaybreakError: Time is up, or everything left waits for a person; says what waits for what.
    """
    started = clock.now()
    before: waiting.Progress | None = None
    times: dict[str, float] = {}
    stuck_since: float | None = None
    while True:
        looked = clock.now()
        try:
            now = waiting.progress(juju.status(), applications)
        except jubilant.CLIError as error:
            if clock.now() - started > timeout:
                raise _juju_trouble(error) from error
            # the engine's supervisor is bringing it back
            clock.sleep(POLL_SECONDS)
            continue
        passed = clock.now() - started
        times = usual.noted(times, before, now, passed)
        report.progress(now, waiting.changes(before, now), passed, known)
        if now.settled:
            return now, passed, times
        if not now.stuck or (before and waiting.changes(before, now)):
            stuck_since = None
        elif stuck_since is None:
            stuck_since = passed
        before = now
        if stuck_since is not None and passed - stuck_since > STUCK_SECONDS:
            raise _waits("the cloud waits for you", now)
        if passed > timeout:
            raise _waits(f"not everything was active within {timeout:.0f} s", now)
        # A look at a large model on a busy machine costs what units need.
        clock.sleep(max(POLL_SECONDS, LOOK_SHARE * (clock.now() - looked)))


def _waits(message: str, progress: waiting.Progress) -> DaybreakError:
    return DaybreakError(
        message,
        details=tuple(f"{u.name}: {u.state}: {u.message}" for u in progress.waiting),
        remedy='`juju debug-log` (after eval "$(./daybreak env)") shows what the charms say.'
        " Nothing is lost: running the command again goes on waiting (--timeout gives it longer).",
    )


def _token(run: Run) -> tuple[str, str]:
    if run.dry_run:
        return "would", "openstack token issue, through the gateway"
    juju = run.juju
    account = fetch_access(juju, juju.status())
    write_authority(run.instance, account)
    deadline = run.clock.now() + CLIENT_SECONDS
    while True:
        output = issue_token(run.home, run.instance, account)
        if output.ok:
            break
        if run.clock.now() > deadline:
            answer = probe.identity(account.auth_url, account.authority)
            raise DaybreakError(
                f"no token from {account.auth_url}",
                details=tuple(output.stderr.strip().splitlines()[-5:]),
                remedy=f"The API itself says: {answer.detail}. See `daybreak status`.",
            )
        run.clock.sleep(1)
    run.auth_url = account.auth_url
    run.expires = output.stdout.strip()
    return "done", f"from {account.auth_url}, valid until {run.expires}"


def fetch_access(
    juju: jubilant.Juju, status: Status, seconds: int = access.ACTION_SECONDS
) -> Access:
    """Return the access, asking Keystone and the authority at the same time.

    Args:
        juju: The model.
        status: Its status.
        seconds: How long each of them may take.

    Raises:
        DaybreakError: One of them did not answer.
    """
    certificate: list[str] = []

    def ask() -> None:
        with contextlib.suppress(DaybreakError):
            certificate.append(access.authority(juju, status, seconds))

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        keystone = access.application_of(status, access.KEYSTONE)
        if keystone is None:
            return access.fetch(juju, status)
        results: Mapping[str, object] = access.action(
            juju, f"{keystone}/leader", "get-admin-account", seconds=seconds
        )
    finally:
        thread.join()
    return access.account_from(results, certificate[0] if certificate else "")


def write_authority(instance: Instance, account: Access) -> Path | None:
    """Keep the authority's certificate in the instance's state, readable by all.

    Returns:
        Its path; None when the URL needs none.

    Raises:
        DaybreakError: The file cannot be written.
    """
    if not account.authority:
        return None
    path = instance.ca_file
    text = account.authority.rstrip() + "\n"
    try:
        if path.exists() and path.read_text(encoding="utf-8") == text:
            return path
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".ca-")
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
            os.fchmod(stream.fileno(), 0o644)
        Path(temporary).rename(path)
    except OSError as error:
        raise DaybreakError(
            f"cannot write {path}: {error.strerror}", remedy="Run the command as root."
        ) from error
    return path


def issue_token(place: Home, instance: Instance, account: Access) -> programs.Output:
    """Have the ordinary client issue a token; only its expiry is printed, never the token."""
    ca_file = instance.ca_file if account.authority else None
    # `-c expires` keeps the token out of our memory of outputs and logs
    return programs.capture(
        [place.program("openstack"), "token", "issue", "-f", "value", "-c", "expires"],
        env=account.variables(ca_file),
        timeout=CLIENT_SECONDS,
    )
