//! Layers, twins, places of problems, and the example file.

use std::collections::BTreeSet;

use super::*;

const EXAMPLE: &str = include_str!("../../../../infra/sonde.toml");

fn over(key: &'static str, source: &str, value: &str) -> Override {
    Override {
        key,
        source: source.to_owned(),
        value: Secret::new(value),
    }
}

/// A file whose secrets are all `from PATH`, but for one that is missing and one that is empty.
fn load_with(text: &str, overrides: &[Override]) -> Result<Settings, Problems> {
    load(&SettingsInputs {
        file: Some(SettingsFile {
            path: Path::new("etc/sonde.toml"),
            text,
        }),
        overrides,
        read_file: &|path| match path.to_str() {
            Some("etc/missing") => Err(io::Error::from(io::ErrorKind::NotFound)),
            Some("etc/empty") => Ok(b"\n".to_vec()),
            _ => Ok(format!("from {}\r\n", path.display()).into_bytes()),
        },
    })
}

fn exposed(secret: Option<&Secret>) -> Option<&str> {
    secret.map(Secret::expose)
}

#[test]
fn the_example_is_accepted_and_its_comments_are_the_defaults() {
    let example = load_with(EXAMPLE, &[]).unwrap();
    assert_eq!(example.checker.region, Some(Region::new("fra").unwrap()));
    let defaults = load_with("", &[]).unwrap();
    let optional = [
        "queues",
        "database",
        "cluster",
        "ca",
        "canary",
        "resolver",
        "rdap_bootstrap",
        "egress_allow",
        "exit_when_idle",
        "roles",
        "public_url",
        "allowed_origins",
        "oidc_issuer",
        "oidc_client_id",
        "oidc_client_secret",
        "oidc_name",
        "url",
        "from",
        "endpoint",
        "region",
        "access_key_id",
        "secret_access_key",
        "chromium",
    ];
    let uncommented = EXAMPLE.lines().filter_map(|line| {
        let assignment = line.strip_prefix("# ").unwrap_or_default();
        let key = assignment.split_once(" = ").map_or("", |(key, _)| key);
        let is_key = !key.is_empty() && !key.contains(' ');
        let has_default = is_key && !key.ends_with("_file") && !optional.contains(&key);
        let told = has_default && !key.ends_with("_token");
        (line.starts_with('[') || told).then(|| line.trim_start_matches("# "))
    });
    let uncommented: Vec<_> = uncommented.collect();
    assert!(uncommented.len() > 15, "{uncommented:?}");
    let mut same = load_with(&uncommented.join("\n"), &[]).unwrap();
    assert_eq!(same.run.data, Path::new("etc/sonde-data"));
    same.run.data.clone_from(&defaults.run.data);
    assert_eq!(format!("{same:?}"), format!("{defaults:?}"));
}

#[test]
fn the_example_names_every_key() {
    let inputs = SettingsInputs {
        file: None,
        overrides: &[],
        read_file: &|_| Err(io::Error::from(io::ErrorKind::NotFound)),
    };
    let reader = Reader::new(&inputs);
    settings(&reader);
    let mut section = "";
    let mut named = BTreeSet::new();
    for line in EXAMPLE.lines() {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']');
        }
        let assignment = line.strip_prefix("# ").unwrap_or(line);
        let Some((key, _)) = assignment.split_once(" = ") else {
            continue;
        };
        named.insert(match section {
            "" => key.to_owned(),
            _ => format!("{section}.{key}"),
        });
    }
    let asked = reader.asked.borrow().clone();
    let unnamed: Vec<_> = asked.difference(&named).collect();
    // The values themselves would stand in the example as if they were some.
    assert_eq!(unnamed, ["libsql.secret_key", "tasks.key"]);
}

#[test]
fn every_problem_is_named_with_its_place_and_no_secret() {
    let text = r#"
quues = "x"
[ampq]
[amqp]
url = "http://user:hunter2@broker"
management_url = "https://"
[clickhouse]
retention = "1h"
database = "a b"
user = 5
[libsql]
token = "hunter2"
token_file = "missing"
url = "ftp://primary"
[checker]
region = "Frankfurt am Main"
listen = "8080"
alow_exec = true
allow_exec = "yes"
egress = "shut"
egress_allow = ["10.0.0.0/8", "10.0.0.0/40", 7]
canary = "gopher://x"
[dispatcher]
cron_token_file = "missing"
[tasks]
key_file = "empty"
[run]
roles = ["chekcer", "king"]
grace = 30
"#;
    let overrides = [
        over("amqp.url", "SONDE_AMQP_URL", "hunter2"),
        over("run.roles", "--role", "chekcer,ingester"),
        over("run.listen", "SONDE_LISTEN", "localhost"),
    ];
    let error = load_with(text, &overrides).unwrap_err();
    assert!(!error.to_string().contains("hunter2"), "{error}");
    insta::assert_snapshot!(error);
    let error = load_with("[amqp\nurl = 5", &[]).unwrap_err();
    insta::assert_snapshot!(error, @"etc/sonde.toml:1:6: unclosed table, expected `]`");
}

#[test]
fn flags_beat_the_environment_which_beats_the_file() {
    let file = "[libsql]\nurl = \"http://file\"\ntoken = \"file\"\n[run]\nroles = [\"dispatcher\"]";
    let environment = over("libsql.token", "SONDE_LIBSQL_TOKEN", "environment");
    let flag = over("libsql.token", "--libsql-token", "flag");
    let token = |overrides: &[Override]| {
        let settings = load_with(file, overrides).unwrap();
        exposed(settings.libsql.token.as_ref()).map(ToOwned::to_owned)
    };
    assert_eq!(token(&[]).as_deref(), Some("file"));
    assert_eq!(
        token(std::slice::from_ref(&environment)).as_deref(),
        Some("environment")
    );
    assert_eq!(token(&[environment, flag]).as_deref(), Some("flag"));
    let roles = over("run.roles", "SONDE_ROLES", "ingester, checker,");
    let settings = load_with(file, &[roles]).unwrap();
    assert_eq!(
        Vec::from_iter(settings.run.roles),
        [Role::Checker, Role::Ingester]
    );
}

#[test]
fn a_secret_may_stand_in_a_file_of_its_own() {
    let file = "[tasks]\nkey_file = \"key\"\n[libsql]\ntoken = \"t\"";
    let settings = load_with(file, &[]).unwrap();
    // From the folder of the file that names it.
    assert_eq!(exposed(settings.tasks.key.as_ref()), Some("from etc/key"));
    let key = over("tasks.key", "SONDE_TASK_KEY", "plain");
    let key_file = over("tasks.key_file", "SONDE_TASK_KEY_FILE", "other");
    let of = |overrides: &[Override]| {
        let settings = load_with(file, overrides).unwrap();
        exposed(settings.tasks.key.as_ref()).map(ToOwned::to_owned)
    };
    assert_eq!(of(std::slice::from_ref(&key)).as_deref(), Some("plain"));
    assert_eq!(
        of(std::slice::from_ref(&key_file)).as_deref(),
        Some("from other")
    );
    assert_eq!(
        of(&[key.clone(), key_file.clone()]).as_deref(),
        Some("from other")
    );
    assert_eq!(of(&[key_file, key]).as_deref(), Some("plain"));
    let token_file = over("libsql.token_file", "SONDE_LIBSQL_TOKEN_FILE", "token");
    let settings = load_with(file, &[token_file]).unwrap();
    assert_eq!(exposed(settings.libsql.token.as_ref()), Some("from token"));
}

#[test]
fn settings_are_shown_without_their_secrets() {
    let text = r#"
[amqp]
url = "amqp://sonde:hunter2@broker/%2f?password=hunter2&heartbeat=5"
[clickhouse]
url = "http://reader:hunt%20er2@clickhouse:8123/tests"
[libsql]
url = "libsql://primary?authToken=hunter2"
token = "hunter2"
[dispatcher]
cron_token = "hunter2"
[tasks]
key = "hunter2"
"#;
    let settings = load_with(text, &[]).unwrap();
    let shown = format!("{settings:?}");
    assert!(!shown.contains("hunt"), "{shown}");
    let amqp = settings.amqp.url.unwrap();
    assert_eq!(
        amqp.to_string(),
        "amqp://sonde:REDACTED@broker/%2f?password=REDACTED&heartbeat=5"
    );
    assert_eq!(amqp.expose().password(), Some("hunter2"));
}

#[test]
fn the_configuration_is_at_a_primary_or_in_a_file() {
    let location = |text: &str| {
        let settings = load_with(&format!("[libsql]\nurl = \"{text}\""), &[]).unwrap();
        match settings.libsql.location.unwrap() {
            LibsqlLocation::Primary(url) => url.to_string(),
            LibsqlLocation::File(path) => path.display().to_string(),
        }
    };
    assert_eq!(location("libsql://a.turso.io"), "libsql://a.turso.io");
    assert_eq!(location("http://127.0.0.1:1"), "http://127.0.0.1:1/");
    assert_eq!(location("config.db"), "etc/config.db");
    assert_eq!(location("file:config.db"), "etc/config.db");
    assert_eq!(location("file:///var/lib/a.db"), "/var/lib/a.db");
    let flag = over("libsql.url", "--libsql-url", "config.db");
    let settings = load_with("", &[flag]).unwrap();
    assert_eq!(
        settings.libsql.location,
        Some(LibsqlLocation::File("config.db".into()))
    );
}

#[test]
fn rollups_are_kept_at_least_as_long_as_rows() {
    let settings = load_with("[clickhouse]\nretention = \"1000d\"", &[]).unwrap();
    assert_eq!(settings.clickhouse.rollup_retention, 1000 * DAY);
    let text = "[clickhouse]\nretention = \"30d\"\nrollup_retention = \"7d\"";
    assert!(load_with(text, &[]).is_err());
}

#[test]
fn an_identity_provider_is_named_by_its_host_and_takes_an_id() {
    let oidc = |text: &str| load_with(&format!("[api]\n{text}"), &[]).map(|it| it.api.oidc);
    assert_eq!(oidc("").unwrap(), None);
    let found = oidc("oidc_issuer = \"https://id.example/\"\noidc_client_id = \"sonde\"");
    let found = found.unwrap().unwrap();
    assert_eq!(found.issuer, "https://id.example/");
    assert_eq!(found.name, "id.example");
    let refused = |text: &str| oidc(text).unwrap_err().to_string();
    let error = refused("oidc_issuer = \"https://id.example\"");
    insta::assert_snapshot!(error, @"etc/sonde.toml:2:15: api.oidc_issuer: needs `oidc_client_id` beside it");
    let error = refused("oidc_issuer = \"id.example\"\noidc_client_id = \"sonde\"");
    insta::assert_snapshot!(error, @"etc/sonde.toml:2:15: api.oidc_issuer: must begin with http:// or https://");
}
