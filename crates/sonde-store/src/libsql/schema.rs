//! The schema of the configuration, for a local file and for the primary alike; a released migration is never edited.
//!
//! Every write is one statement: an insert into a view whose trigger does the rest, so that it is atomic and, at the
//! primary, one round trip. A table has at most one of the options after its columns: libsql parses a batch on its way to
//! the primary and forgets the comma between two.

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
