"""All commands, and those that only a real Juju has."""

from collections.abc import Mapping

from . import (
    configcommand,
    constraining,
    debuglog,
    deploy,
    modelcommands,
    modelconfig,
    nodecommands,
    refreshing,
    relating,
    running,
    scaling,
    secretcommands,
    shell,
    showing,
    status,
    tasking,
)
from .command import Command

COMMANDS: tuple[Command, ...] = tuple(
    sorted(
        (
            *configcommand.COMMANDS,
            *constraining.COMMANDS,
            *debuglog.COMMANDS,
            *deploy.COMMANDS,
            *modelcommands.COMMANDS,
            *modelconfig.COMMANDS,
            *nodecommands.COMMANDS,
            *refreshing.COMMANDS,
            *relating.COMMANDS,
            *running.COMMANDS,
            *scaling.COMMANDS,
            *secretcommands.COMMANDS,
            *shell.COMMANDS,
            *showing.COMMANDS,
            *status.COMMANDS,
            *tasking.COMMANDS,
        ),
        key=lambda command: command.name,
    )
)

_CONTROLLERS = "there is one controller, made by itself, without clouds and credentials"
_MACHINES = "its units are pods on this machine; there are no machines"
_USERS = "there are no users but the administrator of this machine"
_OFFERS = "relations between models are not supported"
_CHARMHUB = "charms are packed files, none come from Charmhub"
_MIGRATION = "a model stays where it was made"
_DEBUG = "there are no interactive sessions"

ELSEWHERE: Mapping[str, str] = {
    **dict.fromkeys(
        (
            "bootstrap",
            "kill-controller",
            "destroy-controller",
            "controllers",
            "list-controllers",
            "show-controller",
            "controller-config",
            "register",
            "unregister",
            "enable-ha",
            "upgrade-controller",
            "add-cloud",
            "update-cloud",
            "remove-cloud",
            "clouds",
            "list-clouds",
            "show-cloud",
            "regions",
            "add-k8s",
            "update-k8s",
            "remove-k8s",
            "add-credential",
            "update-credential",
            "remove-credential",
            "credentials",
            "autoload-credentials",
            "set-credential",
            "default-credential",
            "default-region",
        ),
        _CONTROLLERS,
    ),
    **dict.fromkeys(
        (
            "add-machine",
            "remove-machine",
            "machines",
            "list-machines",
            "show-machine",
            "retry-provisioning",
            "add-space",
            "spaces",
            "subnets",
            "bind",
            "add-ssh-key",
            "remove-ssh-key",
            "import-ssh-key",
            "ssh-keys",
            "add-storage",
            "attach-storage",
            "detach-storage",
            "import-filesystem",
            "create-storage-pool",
            "storage-pools",
        ),
        _MACHINES,
    ),
    **dict.fromkeys(
        (
            "add-user",
            "remove-user",
            "change-user-password",
            "login",
            "logout",
            "users",
            "grant",
            "revoke",
            "grant-cloud",
            "revoke-cloud",
            "enable-user",
            "disable-user",
        ),
        _USERS,
    ),
    **dict.fromkeys(
        (
            "offer",
            "offers",
            "consume",
            "remove-offer",
            "remove-saas",
            "find-offers",
            "show-offer",
            "suspend-relation",
            "resume-relation",
        ),
        _OFFERS,
    ),
    **dict.fromkeys(("find", "info", "download", "charm-resources"), _CHARMHUB),
    **dict.fromkeys(("migrate", "upgrade-model", "export-bundle", "sync-agent-binary"), _MIGRATION),
    **dict.fromkeys(("debug-hooks", "debug-code", "dashboard"), _DEBUG),
    "wait-for": "it was removed from Juju; use jubilant's wait or juju status",
}
