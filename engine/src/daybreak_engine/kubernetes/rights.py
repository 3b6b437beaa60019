"""Who may do what: the rules that Juju gives an application's service account."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .failures import ApiError

if TYPE_CHECKING:
    from .backend import Account

# Without trust, by group and plural (a subresource after a slash).
_UNTRUSTED = {
    ("", "namespaces"): frozenset({"get", "list"}),
    ("", "pods"): frozenset({"get", "list", "patch"}),
    ("", "services"): frozenset({"get", "list", "patch"}),
    ("", "pods/exec"): frozenset({"create"}),
}
# These are given in the whole cluster, the others in the application's own namespace.
_CLUSTER_WIDE = {("", "namespaces")}


def allowed(account: Account, verb: str, group: str, resource: str, namespace: str | None) -> bool:
    """Tell whether an account may do this; a trusted one may do everything, everywhere."""
    if account.trusted:
        return True
    if (group, resource) not in _CLUSTER_WIDE and namespace != account.namespace:
        return False
    return verb in _UNTRUSTED.get((group, resource), frozenset())


def require(
    account: Account, verb: str, group: str, resource: str, namespace: str | None, name: str = ""
) -> None:
    """Do nothing when it is allowed.

    Raises:
        ApiError: 403 with Kubernetes' own words and the way out.
    """
    if allowed(account, verb, group, resource, namespace):
        return
    qualified = f"{resource}.{group}" if group else resource
    subject = f"{qualified} {name!r}".replace("'", '"') if name else qualified
    where = f'in the namespace "{namespace}"' if namespace else "at the cluster scope"
    raise ApiError(
        403,
        f"{subject} is forbidden: User "
        f'"system:serviceaccount:{account.namespace}:{account.application}" cannot {verb} resource '
        f'"{resource}" in API group "{group}" {where} '
        f"(give it the right: juju trust {account.application} --scope=cluster)",
    )
