//! Tables and how they came to be. A migration that was released is never edited.

/// What leads from each version (`PRAGMA user_version`) to the next.
pub(super) const MIGRATIONS: &[&str] = &[FIRST, DEADLINES, BREAKDOWNS];

/// Numbers and bodies are apart so that statistics read few pages; a body's id never changes, so what points to it
/// follows every merge. Times are microseconds since the epoch.
const FIRST: &str = "
CREATE TABLE result_bodies (
    id INTEGER PRIMARY KEY,
    body TEXT NOT NULL
) STRICT;

CREATE TABLE check_results (
    workspace TEXT NOT NULL,
    monitor TEXT NOT NULL,
    slot INTEGER NOT NULL,
    region TEXT NOT NULL,
    run_id INTEGER NOT NULL,
    trigger TEXT NOT NULL,
    outcome TEXT NOT NULL,
    total_us INTEGER,
    in_maintenance INTEGER NOT NULL,
    body INTEGER NOT NULL,
    PRIMARY KEY (workspace, monitor, slot, region, run_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX check_results_by_slot ON check_results (slot, trigger, outcome);

CREATE TABLE latest_results (
    workspace TEXT NOT NULL,
    monitor TEXT NOT NULL,
    region TEXT NOT NULL,
    scheduled INTEGER NOT NULL,
    slot INTEGER NOT NULL,
    run_id INTEGER NOT NULL,
    body INTEGER NOT NULL,
    PRIMARY KEY (workspace, monitor, region, scheduled)
) STRICT, WITHOUT ROWID;

CREATE TABLE ledger (
    minute INTEGER NOT NULL,
    region TEXT NOT NULL,
    frequency TEXT NOT NULL,
    scheduled INTEGER NOT NULL,
    PRIMARY KEY (minute, region, frequency)
) STRICT, WITHOUT ROWID;

CREATE TABLE dispatch_gaps (
    begins INTEGER NOT NULL,
    ends INTEGER NOT NULL,
    PRIMARY KEY (begins, ends)
) STRICT, WITHOUT ROWID;

CREATE TABLE unsettled_checks (
    workspace TEXT NOT NULL,
    monitor TEXT NOT NULL,
    slot INTEGER NOT NULL,
    region TEXT NOT NULL,
    run_id INTEGER NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (workspace, monitor, slot, region, run_id)
) STRICT;

CREATE TABLE watermark (
    only INTEGER PRIMARY KEY CHECK (only = 0),
    slot INTEGER NOT NULL
) STRICT;
";

/// Until when what was scheduled may rightly be on its way; unknown for what older releases took down.
const DEADLINES: &str = "ALTER TABLE ledger ADD COLUMN deadline INTEGER";

/// What charts break down, out of the bodies. Rows whose `http_status` is NULL are of an earlier release and have it only
/// there; their slots are before that in `unfilled`. Zero stands for no answer.
pub(super) const BREAKDOWNS: &str = "
ALTER TABLE check_results ADD COLUMN reason TEXT;
ALTER TABLE check_results ADD COLUMN http_status INTEGER;
ALTER TABLE check_results ADD COLUMN dns_us INTEGER;
ALTER TABLE check_results ADD COLUMN connect_us INTEGER;
ALTER TABLE check_results ADD COLUMN tls_us INTEGER;
ALTER TABLE check_results ADD COLUMN send_us INTEGER;
ALTER TABLE check_results ADD COLUMN wait_us INTEGER;
ALTER TABLE check_results ADD COLUMN receive_us INTEGER;

CREATE TABLE unfilled (
    only INTEGER PRIMARY KEY CHECK (only = 0),
    before INTEGER NOT NULL
) STRICT;
INSERT INTO unfilled SELECT 0, slot + 1 FROM check_results ORDER BY slot DESC LIMIT 1;
";
