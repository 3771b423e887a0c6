//! The schema of the configuration, for a local file and for the primary alike; a released migration is never edited.
//!
//! Every write is one statement: an insert into a view whose trigger does the rest, so that it is atomic and, at the
//! primary, one round trip.

/// From each version to the next.
pub(super) const MIGRATIONS: &[&str] = &[MONITORS, REVISIONS];

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
) STRICT, WITHOUT ROWID;
CREATE INDEX removed_monitors_revision ON removed_monitors (revision);

CREATE TABLE regions (
    workspace TEXT NOT NULL,
    region TEXT NOT NULL,
    PRIMARY KEY (workspace, region)
) STRICT, WITHOUT ROWID;
INSERT OR IGNORE INTO regions
    SELECT workspace, region.value FROM monitors, json_each(body, '$.regions') AS region
    WHERE json_valid(body);

CREATE VIEW monitor_replacements AS SELECT '' AS workspace, '[]' AS monitors;

CREATE TRIGGER replace_monitors INSTEAD OF INSERT ON monitor_replacements BEGIN
    SELECT RAISE(ABORT, 'two monitors have one id') FROM (
        SELECT count(*) AS named, count(DISTINCT value ->> '$.id') AS ids FROM json_each(NEW.monitors)
    ) WHERE named <> ids;

    INSERT INTO removed_monitors
        SELECT workspace, id, (SELECT revision FROM next_revision) FROM monitors
        WHERE workspace = NEW.workspace
            AND id NOT IN (SELECT value ->> '$.id' FROM json_each(NEW.monitors));
    DELETE FROM monitors
        WHERE workspace = NEW.workspace
            AND id NOT IN (SELECT value ->> '$.id' FROM json_each(NEW.monitors));

    INSERT INTO monitors (workspace, id, position, body, revision)
        SELECT NEW.workspace, value ->> '$.id', key, value, (SELECT revision FROM next_revision)
        FROM json_each(NEW.monitors) WHERE true
        ON CONFLICT (workspace, id) DO UPDATE SET
            position = excluded.position,
            body = excluded.body,
            revision = iif(body = excluded.body, revision, excluded.revision)
        WHERE body <> excluded.body OR position <> excluded.position;
    DELETE FROM removed_monitors
        WHERE workspace = NEW.workspace
            AND id IN (SELECT value ->> '$.id' FROM json_each(NEW.monitors));

    DELETE FROM regions
        WHERE workspace = NEW.workspace AND region NOT IN (
            SELECT region.value
            FROM json_each(NEW.monitors) AS monitor, json_each(monitor.value, '$.regions') AS region
        );
    INSERT OR IGNORE INTO regions
        SELECT DISTINCT NEW.workspace, region.value
        FROM json_each(NEW.monitors) AS monitor, json_each(monitor.value, '$.regions') AS region;

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
