"""The kinds that the API knows, as data."""

from __future__ import annotations

from dataclasses import dataclass

# What the engine acts on when it is patched, as dotted paths below the object; ``*`` is one key.
_METADATA = ("metadata.labels", "metadata.annotations")


@dataclass(frozen=True)
class Kind:
    """One kind of object.

    Args:
        kind: ``StatefulSet``.
        plural: ``statefulsets``, as in paths.
        group: API group, empty for the core group.
        version: ``v1``.
        namespaced: Whether objects live in a namespace.
        verbs: What the API does with it, in RBAC's words.
        writable: Paths that an update may change; everything else must stay as it is.
    """

    kind: str
    plural: str
    group: str
    version: str
    namespaced: bool
    verbs: frozenset[str]
    writable: tuple[str, ...]

    @property
    def api_version(self) -> str:
        """As in objects: ``apps/v1``."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def qualified(self) -> str:
        """As in messages: ``statefulsets.apps``."""
        return f"{self.plural}.{self.group}" if self.group else self.plural


_CRUD = frozenset({"get", "list", "create", "update", "patch", "delete"})

NAMESPACE = Kind("Namespace", "namespaces", "", "v1", False, frozenset({"get", "list"}), ())
POD = Kind("Pod", "pods", "", "v1", True, frozenset({"get", "list", "patch", "delete"}), _METADATA)
SERVICE = Kind("Service", "services", "", "v1", True, _CRUD, (*_METADATA, "spec"))
STATEFULSET = Kind(
    "StatefulSet",
    "statefulsets",
    "apps",
    "v1",
    True,
    frozenset({"get", "list", "update", "patch"}),
    (
        *_METADATA,
        "spec.updateStrategy",
        "spec.template.spec.terminationGracePeriodSeconds",
    ),
)
DISRUPTION_BUDGET = Kind(
    "PodDisruptionBudget",
    "poddisruptionbudgets",
    "policy",
    "v1",
    True,
    _CRUD,
    (*_METADATA, "spec"),
)

DAEMONSET = Kind(
    "DaemonSet",
    "daemonsets",
    "apps",
    "v1",
    True,
    _CRUD,
    (
        *_METADATA,
        "metadata.ownerReferences",
        "spec.template",
        "spec.updateStrategy",
        "spec.minReadySeconds",
        "spec.revisionHistoryLimit",
    ),
)
NODE = Kind(
    "Node",
    "nodes",
    "",
    "v1",
    False,
    frozenset({"get", "list", "update", "patch"}),
    (*_METADATA, "spec.unschedulable"),
)
SECRET = Kind(
    "Secret",
    "secrets",
    "",
    "v1",
    True,
    _CRUD,
    (*_METADATA, "metadata.ownerReferences", "data", "stringData"),
)
CONFIG_MAP = Kind(
    "ConfigMap",
    "configmaps",
    "",
    "v1",
    True,
    _CRUD,
    (*_METADATA, "metadata.ownerReferences", "data", "binaryData"),
)

KINDS = (
    NAMESPACE,
    NODE,
    POD,
    SERVICE,
    STATEFULSET,
    DAEMONSET,
    DISRUPTION_BUDGET,
    SECRET,
    CONFIG_MAP,
)
# Only charms make these, each as a whole: what an apply leaves out is gone.
APPLIED_WHOLE = frozenset({DAEMONSET, SECRET, CONFIG_MAP})
_BY_PATH = {(kind.group, kind.version, kind.plural): kind for kind in KINDS}


def find(group: str, version: str, plural: str) -> Kind | None:
    """Return the kind of a path, None when the engine has no such kind."""
    return _BY_PATH.get((group, version, plural))
