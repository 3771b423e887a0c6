//! The schema of the configuration, for a local file and for the primary alike; a released migration is never edited.
//!
//! Every write is one statement: an insert into a view whose trigger does the rest, so that it is atomic and, at the
//! primary, one round trip. A table has at most one of the options after its columns: libsql parses a batch on its way to
//! the primary and forgets the comma between two.

/// From each version to the next.
pub(super) const MIGRATIONS: &[&str] = &[
    MONITORS,
    REVISIONS,
    RESOURCES,
    REQUESTS,
    POSITIONS,
    ALERTS,
    TERMS,
    RESOLUTIONS,
    ANNOTATIONS,
    SCREENSHOTS,
];

const MONITORS: &str = "
CREATE TABLE monitors (
    workspace TEXT NOT NULL,
    id TEXT NOT NULL,
    position INTEGER NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (workspace, id)
) STRICT;
";

/// A revision is the time at which it came to be, in milliseconds, or one more than the last: so a store that was made
/// anew or restored does not take another's revisions for its own. The limits bound what is kept for those who ask
/// what changed: 4096 revisions, and 100,000 removed monitors.
///
/// A replacement is some rows of `monitor_replacements` in one statement: one with all ids and regions, which removes
/// what is not named, and any number with a part of the monitors, because a server takes no more than 10 MB in one value.
const REVISIONS: &str = "
CREATE TABLE revisions (revision INTEGER PRIMARY KEY) STRICT;

CREATE VIEW next_revision AS
    SELECT max(
        coalesce(max(revision), 0) + 1,
        CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)
    ) AS revision FROM revisions;

INSERT INTO revisions SELECT revision FROM next_revision;

ALTER TABLE monitors ADD COLUMN revision INTEGER NOT NULL DEFAULT 0;
UPDATE monitors SET revision = (SELECT revision FROM revisions);
CREATE INDEX monitors_revision ON monitors (revision);

CREATE TABLE removed_monitors (
    workspace TEXT NOT NULL,
    id TEXT NOT NULL,
    revision INTEGER NOT NULL,
    PRIMARY KEY (workspace, id)
) STRICT;
CREATE INDEX removed_monitors_revision ON removed_monitors (revision);

CREATE TABLE regions (
    workspace TEXT NOT NULL,
    region TEXT NOT NULL,
    PRIMARY KEY (workspace, region)
) STRICT;
INSERT OR IGNORE INTO regions
    SELECT workspace, region.value FROM monitors, json_each(body, '$.regions') AS region
    WHERE json_valid(body);

CREATE VIEW monitor_replacements AS
    SELECT '' AS workspace, '[]' AS ids, '[]' AS regions, 0 AS position, '[]' AS monitors;

CREATE TRIGGER replace_monitors INSTEAD OF INSERT ON monitor_replacements BEGIN
    SELECT RAISE(ABORT, 'two monitors have one id') FROM (
        SELECT count(*) AS named, count(DISTINCT value) AS ids FROM json_each(NEW.ids)
    ) WHERE named <> ids;

    INSERT INTO removed_monitors
        SELECT workspace, id, (SELECT revision FROM next_revision) FROM monitors
        WHERE NEW.ids IS NOT NULL AND workspace = NEW.workspace
            AND id NOT IN (SELECT value FROM json_each(NEW.ids));
    DELETE FROM monitors
        WHERE NEW.ids IS NOT NULL AND workspace = NEW.workspace
            AND id NOT IN (SELECT value FROM json_each(NEW.ids));
    DELETE FROM removed_monitors
        WHERE workspace = NEW.workspace AND id IN (SELECT value FROM json_each(NEW.ids));
    DELETE FROM regions
        WHERE NEW.regions IS NOT NULL AND workspace = NEW.workspace
            AND region NOT IN (SELECT value FROM json_each(NEW.regions));
    INSERT OR IGNORE INTO regions
        SELECT NEW.workspace, value FROM json_each(NEW.regions);

    INSERT INTO monitors (workspace, id, position, body, revision)
        SELECT NEW.workspace, value ->> '$.id', NEW.position + key, value,
            (SELECT revision FROM next_revision)
        FROM json_each(NEW.monitors) WHERE true
        ON CONFLICT (workspace, id) DO UPDATE SET
            position = excluded.position,
            body = excluded.body,
            revision = iif(body = excluded.body, revision, excluded.revision)
        WHERE body <> excluded.body OR position <> excluded.position;

    INSERT INTO revisions
        SELECT revision FROM next_revision
        WHERE EXISTS (SELECT 1 FROM monitors WHERE monitors.revision = next_revision.revision)
            OR EXISTS (SELECT 1 FROM removed_monitors WHERE removed_monitors.revision = next_revision.revision);
    DELETE FROM revisions
        WHERE revision <= (SELECT revision FROM revisions ORDER BY revision DESC LIMIT 1 OFFSET 4096);
    DELETE FROM revisions
        WHERE revision < (SELECT revision FROM removed_monitors ORDER BY revision DESC LIMIT 1 OFFSET 100000);
    DELETE FROM removed_monitors WHERE revision <= (SELECT min(revision) FROM revisions);
END;
";

/// Monitors become resources as all else that people configure, with versions, an audit log and accounts.
///
/// A change is some rows of `changes` in one statement, each with a part of what is put: see `replace_monitors` above. The
/// last one looks for regions that no monitor names any more, which takes a look at all of them.
/// What is to be removed is marked with revision -1 first, so that each following statement finds it by its index.
const RESOURCES: &str = "
CREATE TABLE resources (
    workspace TEXT NOT NULL,
    kind TEXT NOT NULL,
    id TEXT NOT NULL,
    position INTEGER NOT NULL,
    body TEXT NOT NULL,
    sealed TEXT,
    managed_by TEXT,
    version INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    created_us INTEGER NOT NULL,
    updated_us INTEGER NOT NULL,
    PRIMARY KEY (workspace, kind, id)
) STRICT;
INSERT INTO resources
    SELECT workspace, 'monitor', id, position, body, NULL, NULL, 1, revision, now, now
    FROM monitors, (SELECT CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER) AS now);
CREATE INDEX resources_revision ON resources (revision);
CREATE INDEX resources_of_members ON resources (id) WHERE kind = 'member';

CREATE TABLE removed_resources (
    workspace TEXT NOT NULL,
    kind TEXT NOT NULL,
    id TEXT NOT NULL,
    revision INTEGER NOT NULL,
    PRIMARY KEY (workspace, kind, id)
) STRICT;
INSERT INTO removed_resources SELECT workspace, 'monitor', id, revision FROM removed_monitors;
CREATE INDEX removed_resources_revision ON removed_resources (revision);

DROP TRIGGER replace_monitors;
DROP VIEW monitor_replacements;
DROP TABLE monitors;
DROP TABLE removed_monitors;

CREATE TABLE audit (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    workspace TEXT NOT NULL,
    at_us INTEGER NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    kind TEXT NOT NULL,
    id TEXT NOT NULL,
    before TEXT,
    after TEXT
) STRICT;
CREATE INDEX audit_of_workspace ON audit (workspace, number);

CREATE TABLE users (
    id TEXT NOT NULL PRIMARY KEY,
    email TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    password TEXT,
    created_us INTEGER NOT NULL
) STRICT;

CREATE TABLE identities (
    issuer TEXT NOT NULL,
    subject TEXT NOT NULL,
    user TEXT NOT NULL,
    PRIMARY KEY (issuer, subject)
) STRICT;

CREATE TABLE credentials (
    hash TEXT NOT NULL PRIMARY KEY,
    kind TEXT NOT NULL,
    workspace TEXT,
    holder TEXT,
    created_us INTEGER NOT NULL,
    expires_us INTEGER,
    last_used_us INTEGER
) STRICT;
CREATE INDEX credentials_holder ON credentials (kind, workspace, holder);

CREATE VIEW clock AS SELECT CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER) AS now_us;

CREATE VIEW changes AS SELECT
    '' AS workspace, '' AS actor,
    '' AS only_ids, '' AS only_managed_by, '[]' AS removes, '[]' AS puts, 0 AS is_last;

CREATE TRIGGER change INSTEAD OF INSERT ON changes BEGIN
    SELECT RAISE(ABORT, 'one thing is put twice') FROM (
        SELECT count(*) AS named, count(DISTINCT (value ->> '$.kind') || '/' || (value ->> '$.id')) AS ids
        FROM json_each(NEW.puts)
    ) WHERE named <> ids;
    SELECT RAISE(ABORT, 'two monitors have one id') FROM (
        SELECT count(*) AS named, count(DISTINCT value) AS ids FROM json_each(NEW.only_ids)
    ) WHERE NEW.only_ids IS NOT NULL AND named <> ids;
    SELECT RAISE(ABORT, 'version conflict')
        FROM (
            SELECT value FROM json_each(NEW.puts) UNION ALL SELECT value FROM json_each(NEW.removes)
        ) AS one
        LEFT JOIN resources ON resources.workspace = NEW.workspace
            AND resources.kind = one.value ->> '$.kind' AND resources.id = one.value ->> '$.id'
        WHERE one.value ->> '$.expected' IS NOT NULL
            AND one.value ->> '$.expected' <> coalesce(resources.version, 0);

    UPDATE resources SET revision = -1
        WHERE workspace = NEW.workspace AND (kind, id) IN (
            SELECT value ->> '$.kind', value ->> '$.id' FROM json_each(NEW.removes)
        );
    UPDATE resources SET revision = -1
        WHERE NEW.only_ids IS NOT NULL AND workspace = NEW.workspace AND kind = 'monitor'
            AND (NEW.only_managed_by IS NULL OR managed_by = NEW.only_managed_by)
            AND id NOT IN (SELECT value FROM json_each(NEW.only_ids));
    INSERT INTO audit (workspace, at_us, actor, action, kind, id, before)
        SELECT workspace, (SELECT now_us FROM clock), NEW.actor, 'removed', kind, id, body FROM resources
        WHERE NEW.actor IS NOT NULL AND revision = -1;
    INSERT OR REPLACE INTO removed_resources
        SELECT workspace, kind, id, (SELECT revision FROM next_revision) FROM resources WHERE revision = -1;
    DELETE FROM credentials WHERE (kind, workspace, holder) IN (
        SELECT kind, workspace, id FROM resources WHERE revision = -1
    );
    DELETE FROM resources WHERE revision = -1;

    INSERT INTO audit (workspace, at_us, actor, action, kind, id, before, after)
        SELECT NEW.workspace, (SELECT now_us FROM clock), NEW.actor, iif(resources.id IS NULL, 'created', 'updated'),
            one.value ->> '$.kind', one.value ->> '$.id', resources.body, one.value -> '$.body'
        FROM json_each(NEW.puts) AS one
        LEFT JOIN resources ON resources.workspace = NEW.workspace
            AND resources.kind = one.value ->> '$.kind' AND resources.id = one.value ->> '$.id'
        WHERE NEW.actor IS NOT NULL AND (
            resources.id IS NULL OR resources.body <> one.value -> '$.body'
            OR resources.sealed IS NOT one.value ->> '$.sealed'
            OR resources.managed_by IS NOT one.value ->> '$.managed_by'
        );
    DELETE FROM removed_resources
        WHERE workspace = NEW.workspace AND (kind, id) IN (
            SELECT value ->> '$.kind', value ->> '$.id' FROM json_each(NEW.puts)
        );
    INSERT INTO resources (
        workspace, kind, id, position, body, sealed, managed_by, version, revision, created_us, updated_us
    )
        SELECT NEW.workspace, one.value ->> '$.kind', one.value ->> '$.id',
            coalesce(
                one.value ->> '$.position',
                resources.position,
                one.key + 1 + (
                    SELECT coalesce(max(position), -1) FROM resources AS others
                    WHERE others.workspace = NEW.workspace AND others.kind = one.value ->> '$.kind'
                )
            ),
            one.value -> '$.body', one.value ->> '$.sealed', one.value ->> '$.managed_by', 1,
            (SELECT revision FROM next_revision), (SELECT now_us FROM clock), (SELECT now_us FROM clock)
        FROM json_each(NEW.puts) AS one
        LEFT JOIN resources ON resources.workspace = NEW.workspace
            AND resources.kind = one.value ->> '$.kind' AND resources.id = one.value ->> '$.id'
        WHERE true
        ON CONFLICT (workspace, kind, id) DO UPDATE SET
            position = excluded.position,
            body = excluded.body,
            sealed = excluded.sealed,
            managed_by = excluded.managed_by,
            (version, revision, updated_us) = (
                SELECT version + 1, excluded.revision, excluded.updated_us
                WHERE body <> excluded.body OR sealed IS NOT excluded.sealed
                    OR managed_by IS NOT excluded.managed_by
                UNION ALL SELECT version, revision, updated_us LIMIT 1
            )
        WHERE body <> excluded.body OR sealed IS NOT excluded.sealed
            OR managed_by IS NOT excluded.managed_by OR position <> excluded.position;
    INSERT OR REPLACE INTO credentials (hash, kind, workspace, holder, created_us, expires_us)
        SELECT value ->> '$.credential.hash', value ->> '$.kind', NEW.workspace, value ->> '$.id',
            (SELECT now_us FROM clock), value ->> '$.credential.expires_us'
        FROM json_each(NEW.puts) WHERE value ->> '$.credential.hash' IS NOT NULL;

    INSERT OR IGNORE INTO regions
        SELECT NEW.workspace, region.value
        FROM json_each(NEW.puts) AS one, json_each(one.value, '$.body.regions') AS region
        WHERE one.value ->> '$.kind' = 'monitor';
    DELETE FROM regions WHERE NEW.is_last AND workspace = NEW.workspace AND region NOT IN (
        SELECT region.value FROM resources, json_each(resources.body, '$.regions') AS region
        WHERE resources.workspace = NEW.workspace AND resources.kind = 'monitor'
    );

    INSERT INTO revisions
        SELECT revision FROM next_revision
        WHERE EXISTS (SELECT 1 FROM resources WHERE resources.revision = next_revision.revision)
            OR EXISTS (SELECT 1 FROM removed_resources WHERE removed_resources.revision = next_revision.revision);
    DELETE FROM revisions
        WHERE revision <= (SELECT revision FROM revisions ORDER BY revision DESC LIMIT 1 OFFSET 4096);
    DELETE FROM revisions
        WHERE revision < (SELECT revision FROM removed_resources ORDER BY revision DESC LIMIT 1 OFFSET 100000);
    DELETE FROM removed_resources WHERE revision <= (SELECT min(revision) FROM revisions);
END;
";

/// Answers are kept for a day, as the API says.
const REQUESTS: &str = "
CREATE TABLE requests (
    workspace TEXT NOT NULL,
    actor TEXT NOT NULL,
    key TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    claimed_us INTEGER NOT NULL,
    status INTEGER,
    body TEXT,
    PRIMARY KEY (workspace, actor, key)
) STRICT;
CREATE INDEX requests_claimed ON requests (claimed_us);
CREATE TRIGGER forget_requests AFTER INSERT ON requests BEGIN
    DELETE FROM requests WHERE claimed_us < NEW.claimed_us - 86400000000;
END;
CREATE INDEX audit_of_resource ON audit (workspace, kind, id, number);
";

/// What is new is put after all others, each of it: ten thousand at once looked at all that there were, each of them.
const POSITIONS: &str = "
CREATE INDEX resources_position ON resources (workspace, kind, position);
";

/// Alerting. A decision is one row of `decisions`: states of another version than expected abort it whole. People write to
/// `incident_events`, of which the table of incidents follows; the alerter tells what came of notices in `tellings`.
const ALERTS: &str = "
CREATE TABLE alert_states (
    workspace TEXT NOT NULL,
    monitor TEXT NOT NULL,
    version INTEGER NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (workspace, monitor)
) STRICT;

CREATE TABLE incidents (
    id TEXT NOT NULL PRIMARY KEY,
    workspace TEXT NOT NULL,
    monitor TEXT NOT NULL,
    status TEXT NOT NULL,
    cause TEXT NOT NULL,
    flapping INTEGER NOT NULL,
    opened_us INTEGER NOT NULL,
    acknowledged_by TEXT,
    resolved_us INTEGER,
    caused_by TEXT,
    detail TEXT NOT NULL
) STRICT;
CREATE INDEX incidents_of_workspace ON incidents (workspace, opened_us, id);
CREATE INDEX incidents_of_monitor ON incidents (workspace, monitor, opened_us, id);

CREATE TABLE incident_events (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    incident TEXT NOT NULL,
    at_us INTEGER NOT NULL,
    kind TEXT NOT NULL,
    actor TEXT,
    text TEXT
) STRICT;
CREATE INDEX incident_events_of ON incident_events (incident, at_us, number);

CREATE TABLE outbox (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    workspace TEXT NOT NULL,
    incident TEXT NOT NULL,
    channel TEXT NOT NULL,
    body TEXT NOT NULL,
    state TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    due_us INTEGER NOT NULL,
    settled_us INTEGER,
    error TEXT
) STRICT;
CREATE INDEX outbox_due ON outbox (due_us, number) WHERE state = 'waiting';
CREATE INDEX outbox_of_incident ON outbox (incident, channel, number);
CREATE INDEX outbox_of_channel ON outbox (workspace, channel, number);

CREATE TRIGGER acknowledge AFTER INSERT ON incident_events WHEN NEW.kind = 'acknowledged' BEGIN
    UPDATE incidents SET status = 'acknowledged', acknowledged_by = NEW.actor
        WHERE id = NEW.incident AND status = 'open';
    UPDATE outbox SET state = 'dropped', settled_us = NEW.at_us
        WHERE incident = NEW.incident AND state = 'waiting' AND attempts = 0 AND due_us > NEW.at_us;
END;

CREATE VIEW decisions AS SELECT '[]' AS states, '[]' AS incidents, '[]' AS notices;

CREATE TRIGGER decide INSTEAD OF INSERT ON decisions BEGIN
    SELECT RAISE(ABORT, 'version conflict') FROM json_each(NEW.states) AS one
        LEFT JOIN alert_states AS kept ON kept.workspace = one.value ->> '$.workspace'
            AND kept.monitor = one.value ->> '$.monitor'
        WHERE coalesce(kept.version, 0) <> one.value ->> '$.expected';
    DELETE FROM alert_states WHERE (workspace, monitor) IN (
        SELECT value ->> '$.workspace', value ->> '$.monitor' FROM json_each(NEW.states)
        WHERE value ->> '$.body' IS NULL
    );
    INSERT OR REPLACE INTO alert_states (workspace, monitor, version, body)
        SELECT value ->> '$.workspace', value ->> '$.monitor', 1 + (value ->> '$.expected'), value ->> '$.body'
        FROM json_each(NEW.states) WHERE value ->> '$.body' IS NOT NULL;

    INSERT INTO incidents (
        id, workspace, monitor, status, cause, flapping, opened_us, resolved_us, caused_by, detail
    )
        SELECT value ->> '$.id', value ->> '$.workspace', value ->> '$.monitor',
            iif(value ->> '$.event' = 'resolved', 'resolved', 'open'), value ->> '$.cause', value ->> '$.flapping',
            value ->> '$.at_us', iif(value ->> '$.event' = 'resolved', value ->> '$.at_us', NULL),
            value ->> '$.caused_by', value ->> '$.detail'
        FROM json_each(NEW.incidents) WHERE true
        ON CONFLICT (id) DO UPDATE SET
            status = iif(excluded.status = 'resolved', 'resolved', status),
            cause = excluded.cause,
            flapping = excluded.flapping,
            resolved_us = coalesce(resolved_us, excluded.resolved_us),
            caused_by = excluded.caused_by,
            detail = excluded.detail;
    INSERT INTO incident_events (incident, at_us, kind, text)
        SELECT value ->> '$.id', value ->> '$.at_us', value ->> '$.event', value ->> '$.cause'
        FROM json_each(NEW.incidents);
    UPDATE outbox SET state = 'dropped', settled_us = one.value ->> '$.at_us' FROM json_each(NEW.incidents) AS one
        WHERE one.value ->> '$.event' = 'resolved' AND outbox.incident = one.value ->> '$.id'
            AND outbox.state = 'waiting' AND outbox.attempts = 0 AND outbox.due_us > one.value ->> '$.at_us';
    INSERT OR IGNORE INTO outbox (id, workspace, incident, channel, body, state, attempts, due_us)
        SELECT value ->> '$.id', value ->> '$.workspace', value ->> '$.incident', value ->> '$.channel',
            value ->> '$.body', 'waiting', 0, value ->> '$.due_us'
        FROM json_each(NEW.notices)
        WHERE NOT (value ->> '$.follows') OR EXISTS (
            SELECT 1 FROM outbox WHERE outbox.incident = value ->> '$.incident'
                AND outbox.channel = value ->> '$.channel' AND outbox.state IN ('waiting', 'sent')
        );
END;

CREATE VIEW tellings AS
    SELECT '' AS id, 0 AS at_us, '' AS state, 0 AS due_us, '' AS error, '' AS reminder;

CREATE TRIGGER tell INSTEAD OF INSERT ON tellings BEGIN
    UPDATE outbox SET
        state = NEW.state,
        attempts = attempts + 1,
        due_us = coalesce(NEW.due_us, due_us),
        settled_us = iif(NEW.state = 'waiting', NULL, NEW.at_us),
        error = NEW.error
        WHERE id = NEW.id AND state = 'waiting';
    INSERT OR IGNORE INTO outbox (id, workspace, incident, channel, body, state, attempts, due_us)
        SELECT NEW.reminder ->> '$.id', NEW.reminder ->> '$.workspace', NEW.reminder ->> '$.incident',
            NEW.reminder ->> '$.channel', NEW.reminder ->> '$.body', 'waiting', 0, NEW.reminder ->> '$.due_us'
        WHERE NEW.reminder IS NOT NULL AND EXISTS (
            SELECT 1 FROM incidents WHERE id = NEW.reminder ->> '$.incident' AND status = 'open'
        );
END;
";

/// Who decides holds the newest term: one that lost its office without noticing writes nothing.
const TERMS: &str = "
CREATE TABLE alert_term (term INTEGER NOT NULL) STRICT;
INSERT INTO alert_term VALUES (0);

CREATE TRIGGER decide_in_term INSTEAD OF INSERT ON decisions BEGIN
    SELECT RAISE(ABORT, 'version conflict') FROM json_each(NEW.states) AS one, alert_term
        WHERE one.value ->> '$.term' < alert_term.term;
END;
";

/// What a person ends: the alerter, whose next write finds another version, begins with results of later slots.
const RESOLUTIONS: &str = "
CREATE VIEW resolutions AS
    SELECT '' AS workspace, '' AS incident, '' AS actor, 0 AS at_us, '' AS at, '[]' AS notices;

CREATE TRIGGER resolve INSTEAD OF INSERT ON resolutions BEGIN
    SELECT RAISE(ABORT, 'version conflict') WHERE NOT EXISTS (
        SELECT 1 FROM incidents
        WHERE id = NEW.incident AND workspace = NEW.workspace AND status <> 'resolved'
    );
    UPDATE alert_states SET version = version + 1,
        body = json_set(json_remove(body, '$.incident', '$.regions', '$.opened'), '$.since', NEW.at)
        WHERE (workspace, monitor) = (SELECT workspace, monitor FROM incidents WHERE id = NEW.incident)
            AND json_valid(body) AND body ->> '$.incident.id' = NEW.incident;
    UPDATE incidents SET status = 'resolved', resolved_us = NEW.at_us,
        detail = json_set(detail, '$.resolved_at', NEW.at)
        WHERE id = NEW.incident;
    INSERT INTO incident_events (incident, at_us, kind, actor)
        VALUES (NEW.incident, NEW.at_us, 'resolved', NEW.actor);
    UPDATE outbox SET state = 'dropped', settled_us = NEW.at_us
        WHERE incident = NEW.incident AND state = 'waiting' AND attempts = 0 AND due_us > NEW.at_us;
    INSERT OR IGNORE INTO outbox (id, workspace, incident, channel, body, state, attempts, due_us)
        SELECT value ->> '$.id', value ->> '$.workspace', value ->> '$.incident', value ->> '$.channel',
            value ->> '$.body', 'waiting', 0, value ->> '$.due_us'
        FROM json_each(NEW.notices)
        WHERE EXISTS (
            SELECT 1 FROM outbox WHERE outbox.incident = value ->> '$.incident'
                AND outbox.channel = value ->> '$.channel' AND outbox.state IN ('waiting', 'sent')
        );
END;
";

/// What people do to an incident, and what is told of it, are one write, as decisions are. What was told and what is over
/// are found by their age, to be forgotten.
const ANNOTATIONS: &str = "
CREATE INDEX outbox_settled ON outbox (settled_us) WHERE settled_us IS NOT NULL;
CREATE INDEX incidents_resolved ON incidents (resolved_us) WHERE resolved_us IS NOT NULL;

CREATE VIEW annotations AS
    SELECT '' AS workspace, '' AS incident, 0 AS at_us, '' AS kind, '' AS actor, '' AS text, '[]' AS notices;

CREATE TRIGGER annotate INSTEAD OF INSERT ON annotations BEGIN
    SELECT RAISE(ABORT, 'nothing to annotate') WHERE NOT EXISTS (
        SELECT 1 FROM incidents WHERE workspace = NEW.workspace AND id = NEW.incident
            AND (NEW.kind = 'commented' OR status = 'open')
    );
    INSERT INTO incident_events (incident, at_us, kind, actor, text)
        VALUES (NEW.incident, NEW.at_us, NEW.kind, NEW.actor, NEW.text);
    INSERT OR IGNORE INTO outbox (id, workspace, incident, channel, body, state, attempts, due_us)
        SELECT value ->> '$.id', value ->> '$.workspace', value ->> '$.incident', value ->> '$.channel',
            value ->> '$.body', 'waiting', 0, value ->> '$.due_us'
        FROM json_each(NEW.notices)
        WHERE NOT (value ->> '$.follows') OR EXISTS (
            SELECT 1 FROM outbox WHERE outbox.incident = value ->> '$.incident'
                AND outbox.channel = value ->> '$.channel' AND outbox.state IN ('waiting', 'sent')
        );
END;
";

/// Pictures of incidents. A row is a claim until there is a picture, which `attempts` tells apart from earlier ones.
const SCREENSHOTS: &str = "
CREATE TABLE screenshots (
    incident TEXT NOT NULL PRIMARY KEY,
    workspace TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    claimed_until_us INTEGER NOT NULL,
    taken_us INTEGER,
    size INTEGER,
    error TEXT
) STRICT;
CREATE INDEX screenshots_claimed ON screenshots (claimed_until_us);
CREATE INDEX incidents_not_over ON incidents (opened_us) WHERE status <> 'resolved';
";
