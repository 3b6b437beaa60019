-- One file holds one model. Times are seconds since the epoch (UTC, REAL). Columns that
-- end in _json hold JSON. Secrets are stored as they are: the file's mode is 0600.

CREATE TABLE models (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    name TEXT NOT NULL,
    uuid TEXT NOT NULL,
    life TEXT NOT NULL DEFAULT 'alive',
    config_json TEXT NOT NULL DEFAULT '{}',
    constraints_json TEXT NOT NULL DEFAULT '{}',
    created REAL NOT NULL
);

-- Numbers that are never given twice: relation, task, storage, charm:<name>.
CREATE TABLE sequences (
    name TEXT PRIMARY KEY,
    next INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE charms (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    revision INTEGER NOT NULL,
    digest TEXT NOT NULL,
    path TEXT NOT NULL,
    meta_json TEXT NOT NULL,
    created REAL NOT NULL,
    UNIQUE (name, revision)
);

CREATE TABLE applications (
    name TEXT PRIMARY KEY,
    charm_id INTEGER NOT NULL REFERENCES charms (id),
    life TEXT NOT NULL DEFAULT 'alive',
    scale INTEGER NOT NULL DEFAULT 0,
    trust INTEGER NOT NULL DEFAULT 0,
    exposed INTEGER NOT NULL DEFAULT 0,
    constraints_json TEXT NOT NULL DEFAULT '{}',
    storage_json TEXT NOT NULL DEFAULT '{}',
    partition INTEGER NOT NULL DEFAULT 0,
    grace_period REAL NOT NULL DEFAULT 30,
    charm_modified_version INTEGER NOT NULL DEFAULT 0,
    service_address TEXT NOT NULL DEFAULT '',
    load_balancer_address TEXT NOT NULL DEFAULT '',
    provider_id TEXT NOT NULL,
    workload_version TEXT NOT NULL DEFAULT '',
    created REAL NOT NULL
) WITHOUT ROWID;

-- Only what was set; defaults stay in the charm.
CREATE TABLE options (
    application TEXT NOT NULL REFERENCES applications (name) ON DELETE CASCADE,
    key TEXT NOT NULL,
    value_json TEXT NOT NULL,
    PRIMARY KEY (application, key)
) WITHOUT ROWID;

CREATE TABLE resources (
    application TEXT NOT NULL REFERENCES applications (name) ON DELETE CASCADE,
    name TEXT NOT NULL,
    type TEXT NOT NULL,
    value_json TEXT NOT NULL,
    created REAL NOT NULL,
    PRIMARY KEY (application, name)
) WITHOUT ROWID;

CREATE TABLE leases (
    application TEXT PRIMARY KEY REFERENCES applications (name) ON DELETE CASCADE,
    holder TEXT NOT NULL,
    expires REAL NOT NULL
) WITHOUT ROWID;

CREATE TABLE units (
    name TEXT PRIMARY KEY,
    application TEXT NOT NULL REFERENCES applications (name),
    ordinal INTEGER NOT NULL,
    life TEXT NOT NULL DEFAULT 'alive',
    address TEXT NOT NULL DEFAULT '',
    charm_id INTEGER REFERENCES charms (id),
    charm_modified_version INTEGER NOT NULL DEFAULT -1,
    pod_generation INTEGER NOT NULL DEFAULT 0,
    boot TEXT NOT NULL DEFAULT '',
    stopping INTEGER NOT NULL DEFAULT 0,
    resolved TEXT NOT NULL DEFAULT '',
    state_json TEXT NOT NULL DEFAULT '',
    created REAL NOT NULL,
    UNIQUE (application, ordinal)
) WITHOUT ROWID;

CREATE TABLE ports (
    unit TEXT NOT NULL REFERENCES units (name) ON DELETE CASCADE,
    endpoint TEXT NOT NULL DEFAULT '',
    protocol TEXT NOT NULL,
    port INTEGER NOT NULL,
    PRIMARY KEY (unit, endpoint, protocol, port)
) WITHOUT ROWID;

-- state-set and state-get
CREATE TABLE unit_data (
    unit TEXT NOT NULL REFERENCES units (name) ON DELETE CASCADE,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (unit, key)
) WITHOUT ROWID;

-- kind: application, workload, agent, error (hides the workload status of a failed hook)
CREATE TABLE statuses (
    entity TEXT NOT NULL,
    kind TEXT NOT NULL,
    status TEXT NOT NULL,
    message TEXT NOT NULL DEFAULT '',
    data_json TEXT NOT NULL DEFAULT '{}',
    since REAL NOT NULL,
    by_charm INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (entity, kind)
) WITHOUT ROWID;

CREATE TABLE status_history (
    id INTEGER PRIMARY KEY,
    entity TEXT NOT NULL,
    kind TEXT NOT NULL,
    status TEXT NOT NULL,
    message TEXT NOT NULL,
    since REAL NOT NULL
);
CREATE INDEX status_history_entity ON status_history (entity, id);

CREATE TABLE relations (
    id INTEGER PRIMARY KEY,
    interface TEXT NOT NULL,
    peer INTEGER NOT NULL DEFAULT 0,
    life TEXT NOT NULL DEFAULT 'alive',
    created REAL NOT NULL
);

CREATE TABLE relation_endpoints (
    relation_id INTEGER NOT NULL REFERENCES relations (id) ON DELETE CASCADE,
    application TEXT NOT NULL REFERENCES applications (name),
    endpoint TEXT NOT NULL,
    role TEXT NOT NULL,
    PRIMARY KEY (relation_id, application, endpoint)
) WITHOUT ROWID;
CREATE INDEX relation_endpoints_application ON relation_endpoints (application);

-- Units that are in the scope of a relation: visible to the other side.
CREATE TABLE relation_units (
    relation_id INTEGER NOT NULL REFERENCES relations (id) ON DELETE CASCADE,
    unit TEXT NOT NULL,
    application TEXT NOT NULL,
    PRIMARY KEY (relation_id, unit)
) WITHOUT ROWID;

-- entity: a unit or an application. Kept after the unit left, until the relation goes.
CREATE TABLE databags (
    relation_id INTEGER NOT NULL REFERENCES relations (id) ON DELETE CASCADE,
    entity TEXT NOT NULL,
    version INTEGER NOT NULL,
    settings_json TEXT NOT NULL,
    PRIMARY KEY (relation_id, entity)
) WITHOUT ROWID;

-- What a unit was last shown of a remote unit (in its joined or changed hook).
CREATE TABLE databag_views (
    relation_id INTEGER NOT NULL REFERENCES relations (id) ON DELETE CASCADE,
    unit TEXT NOT NULL REFERENCES units (name) ON DELETE CASCADE,
    member TEXT NOT NULL,
    settings_json TEXT NOT NULL,
    PRIMARY KEY (relation_id, unit, member)
) WITHOUT ROWID;

-- owner_kind: application, unit, model (user secrets: label is the name)
CREATE TABLE secrets (
    id TEXT PRIMARY KEY,
    owner_kind TEXT NOT NULL,
    owner TEXT NOT NULL,
    label TEXT NOT NULL DEFAULT '',
    description TEXT NOT NULL DEFAULT '',
    rotate TEXT NOT NULL DEFAULT 'never',
    rotates REAL,
    expires REAL,
    auto_prune INTEGER NOT NULL DEFAULT 0,
    revision INTEGER NOT NULL,
    created REAL NOT NULL,
    updated REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX secrets_owner ON secrets (owner, owner_kind);
CREATE UNIQUE INDEX secrets_label ON secrets (owner_kind, owner, label) WHERE label <> '';

CREATE TABLE secret_revisions (
    secret_id TEXT NOT NULL REFERENCES secrets (id) ON DELETE CASCADE,
    revision INTEGER NOT NULL,
    content_json TEXT NOT NULL,
    checksum TEXT NOT NULL,
    created REAL NOT NULL,
    PRIMARY KEY (secret_id, revision)
) WITHOUT ROWID;

-- consumer: a unit; the owner's units too, once they did a secret-get.
CREATE TABLE secret_consumers (
    secret_id TEXT NOT NULL REFERENCES secrets (id) ON DELETE CASCADE,
    unit TEXT NOT NULL REFERENCES units (name) ON DELETE CASCADE,
    label TEXT NOT NULL DEFAULT '',
    revision INTEGER NOT NULL,
    PRIMARY KEY (secret_id, unit)
) WITHOUT ROWID;
CREATE INDEX secret_consumers_unit ON secret_consumers (unit);

-- target: an application or a unit name. relation_id is NULL for user secrets.
CREATE TABLE secret_grants (
    secret_id TEXT NOT NULL REFERENCES secrets (id) ON DELETE CASCADE,
    target TEXT NOT NULL,
    relation_id INTEGER REFERENCES relations (id) ON DELETE CASCADE,
    PRIMARY KEY (secret_id, target)
) WITHOUT ROWID;

-- unit is NULL once detached; the volume is kept then until it is removed.
CREATE TABLE storage (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    application TEXT NOT NULL,
    unit TEXT,
    location TEXT NOT NULL,
    size TEXT NOT NULL DEFAULT '',
    life TEXT NOT NULL DEFAULT 'alive',
    provisioned INTEGER NOT NULL DEFAULT 0,
    created REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX storage_unit ON storage (unit);

CREATE TABLE operations (
    id INTEGER PRIMARY KEY,
    summary TEXT NOT NULL,
    created REAL NOT NULL
);

-- action is juju-exec for commands. status: pending running completed failed aborted error
CREATE TABLE tasks (
    id INTEGER PRIMARY KEY,
    operation_id INTEGER NOT NULL REFERENCES operations (id),
    unit TEXT NOT NULL,
    action TEXT NOT NULL,
    parameters_json TEXT NOT NULL,
    status TEXT NOT NULL DEFAULT 'pending',
    message TEXT NOT NULL DEFAULT '',
    results_json TEXT NOT NULL DEFAULT '{}',
    log_json TEXT NOT NULL DEFAULT '[]',
    cancel INTEGER NOT NULL DEFAULT 0,
    enqueued REAL NOT NULL,
    started REAL,
    completed REAL
);
CREATE INDEX tasks_unit ON tasks (unit, status);

-- What charms made through the Kubernetes API.
CREATE TABLE kubernetes_objects (
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    version INTEGER NOT NULL,
    body_json TEXT NOT NULL,
    PRIMARY KEY (kind, name)
) WITHOUT ROWID;

PRAGMA user_version = 1;
