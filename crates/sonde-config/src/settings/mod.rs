//! `sonde.toml` with what stands above it (environment, then flags): where the services are and how roles behave.
//!
//! Nothing here is required: which command needs what is the command's business.

mod api;
mod read;
mod screenshots;
mod secret;
mod smtp;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use ipnet::IpNet;
use sonde_core::{Kind, Monitor, Region, format_duration, parse_duration};
use url::Url;

pub use self::api::{ApiSettings, OidcSettings};
use self::read::{Reader, Section};
pub use self::screenshots::{PicturesLocation, ScreenshotSettings, ScreenshotterSettings};
pub use self::secret::{Secret, ServiceUrl};
pub use self::smtp::{SmtpFrom, SmtpSecurity, SmtpSettings, SmtpUser};
use crate::problem::{Problems, nearest};
use crate::{address, kind, monitor_from_target};

/// The settings file and all that stands above it.
pub struct SettingsInputs<'a> {
    pub file: Option<SettingsFile<'a>>,
    /// In rising strength; each beats the file.
    pub overrides: &'a [Override],
    /// Reads the files that keys ending in `_file` name.
    pub read_file: &'a dyn Fn(&Path) -> io::Result<Vec<u8>>,
}

/// A `sonde.toml`. Paths in it are meant from its folder.
#[derive(Debug, Clone, Copy)]
pub struct SettingsFile<'a> {
    pub path: &'a Path,
    pub text: &'a str,
}

/// A variable of the environment or a flag, in place of a key of the file.
#[derive(Debug, Clone)]
pub struct Override {
    /// As in `amqp.url`.
    pub key: &'static str,
    /// What the user set, for messages: `SONDE_AMQP_URL`.
    pub source: String,
    /// Lists are separated by commas.
    pub value: Secret,
}

#[derive(Debug, Clone)]
pub struct Settings {
    pub amqp: AmqpSettings,
    pub clickhouse: ClickHouseSettings,
    pub libsql: LibsqlSettings,
    pub checker: CheckerSettings,
    pub dispatcher: DispatcherSettings,
    pub tasks: TaskSettings,
    pub run: RunSettings,
    pub api: ApiSettings,
    pub alerter: AlerterSettings,
    /// None where no mail is sent.
    pub smtp: Option<SmtpSettings>,
    pub screenshots: ScreenshotSettings,
    pub screenshotter: ScreenshotterSettings,
    /// Another `queues.toml` than the built-in one.
    pub queues: Option<PathBuf>,
}

#[derive(Debug, Clone)]
pub struct AmqpSettings {
    pub url: Option<ServiceUrl>,
    pub management_url: Option<ServiceUrl>,
}

#[derive(Debug, Clone)]
pub struct ClickHouseSettings {
    /// May name user, password and database too; the keys for them go before it.
    pub url: Option<ServiceUrl>,
    pub user: Option<String>,
    pub password: Option<Secret>,
    pub database: Option<String>,
    /// Tables are replicated over this cluster.
    pub cluster: Option<String>,
    /// How long rows are kept.
    pub retention: Duration,
    /// How long rollups are kept.
    pub rollup_retention: Duration,
}

#[derive(Debug, Clone)]
pub struct LibsqlSettings {
    pub location: Option<LibsqlLocation>,
    pub token: Option<Secret>,
    /// Seals the secrets of monitors at rest.
    pub secret_key: Option<Secret>,
    /// A PEM file with authorities to trust beside the system's.
    pub ca: Option<PathBuf>,
    /// How often replicas look for changes without being told.
    pub sync_interval: Duration,
}

/// Where the configuration is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LibsqlLocation {
    Primary(ServiceUrl),
    File(PathBuf),
}

#[derive(Debug, Clone)]
pub struct CheckerSettings {
    pub region: Option<Region>,
    /// Where metrics, health, `/probe` and `/task` are served.
    pub listen: SocketAddr,
    /// What must be reachable from here: a checker that cannot reach it doubts itself.
    pub canary: Option<Monitor>,
    pub allow_exec: bool,
    /// A name server instead of the system's.
    pub resolver: Option<SocketAddr>,
    /// Where the list of RDAP servers is, instead of at IANA's.
    pub rdap_bootstrap: Option<Url>,
    pub egress: EgressSetting,
    /// Networks that a guarded checker may reach beside the public internet.
    pub egress_allow: Vec<IpNet>,
    /// Ends the process when it had nothing to do for so long.
    pub exit_when_idle: Option<Duration>,
    /// Who knows it may hand in tasks by HTTP.
    pub task_token: Option<Secret>,
}

/// Which addresses checks may dial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EgressSetting {
    Open,
    /// The public internet only.
    Guarded,
}

#[derive(Debug, Clone)]
pub struct DispatcherSettings {
    /// Who knows it may trigger dispatch from outside.
    pub cron_token: Option<Secret>,
    /// Without it only triggers from outside dispatch.
    pub internal_clock: bool,
}

#[derive(Debug, Clone)]
pub struct AlerterSettings {
    /// Channels may be commands, which run beside the alerter.
    pub allow_exec: bool,
}

#[derive(Debug, Clone)]
pub struct TaskSettings {
    /// Seals the secrets of tasks.
    pub key: Option<Secret>,
}

#[derive(Debug, Clone)]
pub struct RunSettings {
    pub roles: BTreeSet<Role>,
    pub data: PathBuf,
    /// Where API and pages are served.
    pub listen: SocketAddr,
    /// How long a stop waits for what is in flight.
    pub grace: Duration,
}

/// What a process does; it may do several of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    Dispatcher,
    Checker,
    Ingester,
    Api,
    Alerter,
    Screenshotter,
}

impl Role {
    pub const ALL: [Self; 6] = [
        Self::Dispatcher,
        Self::Checker,
        Self::Ingester,
        Self::Api,
        Self::Alerter,
        Self::Screenshotter,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Dispatcher => "dispatcher",
            Self::Checker => "checker",
            Self::Ingester => "ingester",
            Self::Api => "api",
            Self::Alerter => "alerter",
            Self::Screenshotter => "screenshotter",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let names = Self::ALL.map(Self::as_str);
        let found = Self::ALL.into_iter().find(|role| role.as_str() == text);
        found.ok_or_else(|| match nearest(text, names) {
            Some(near) => format!("`{text}` is not a role (did you mean `{near}`?)"),
            None => format!("`{text}` is not a role: use some of {}", names.join(", ")),
        })
    }
}

/// Where a single machine and a process of the fleet serve API and pages unless told otherwise.
const LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);
/// Where every process serves metrics and health.
const CHECKER_LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9115);
const DATA: &str = "sonde-data";
const DAY: Duration = Duration::from_hours(24);
/// A quarter of single checks, two years of history.
const RETENTION: Duration = Duration::from_hours(90 * 24);
const ROLLUP_RETENTION: Duration = Duration::from_hours(730 * 24);
/// Twenty years.
const MOST_DAYS: Duration = Duration::from_hours(7_300 * 24);
/// Nudges tell of changes at once; this is for those that get lost.
const SYNC_INTERVAL: Duration = Duration::from_secs(5);
const GRACE: Duration = Duration::from_secs(30);

/// Merges and validates all settings; all problems are reported at once, and none tells a secret.
pub fn load(inputs: &SettingsInputs<'_>) -> Result<Settings, Problems> {
    let reader = Reader::new(inputs);
    let settings = settings(&reader);
    reader.finish().map(|()| settings)
}

fn settings(reader: &Reader<'_>) -> Settings {
    Settings {
        amqp: reader.section("amqp", amqp),
        clickhouse: reader.section("clickhouse", clickhouse),
        libsql: reader.section("libsql", libsql),
        checker: reader.section("checker", checker),
        dispatcher: reader.section("dispatcher", dispatcher),
        tasks: reader.section("tasks", |section| TaskSettings {
            key: section.secret("key", |text| Ok(Secret::new(text))),
        }),
        run: reader.section("run", run),
        api: reader.section("api", api::read),
        alerter: reader.section("alerter", |section| AlerterSettings {
            allow_exec: section.boolean("allow_exec").unwrap_or(false),
        }),
        smtp: reader.section("smtp", smtp::read),
        screenshots: reader.section("screenshots", screenshots::read),
        screenshotter: reader.section("screenshotter", |section| ScreenshotterSettings {
            chromium: section.path("chromium"),
        }),
        queues: reader.top(|section| section.path("queues")),
    }
}

fn amqp(section: &Section<'_>) -> AmqpSettings {
    AmqpSettings {
        url: section.secret("url", |text| ServiceUrl::parse(text, &["amqp", "amqps"])),
        management_url: section.secret("management_url", |text| {
            ServiceUrl::parse(text, &["http", "https"])
        }),
    }
}

fn clickhouse(section: &Section<'_>) -> ClickHouseSettings {
    let retention = section.parse("retention", days).unwrap_or(RETENTION);
    let rollups = section.parse("rollup_retention", |text| {
        let rollups = days(text)?;
        if rollups < retention {
            let least = format_duration(retention);
            return Err(format!("must be {least} or more, as long as the rows"));
        }
        Ok(rollups)
    });
    ClickHouseSettings {
        url: section.secret("url", |text| ServiceUrl::parse(text, &["http", "https"])),
        user: section.parse("user", plain),
        password: section.secret("password", |text| Ok(Secret::new(text))),
        database: section.parse("database", identifier),
        cluster: section.parse("cluster", plain),
        retention,
        rollup_retention: rollups.unwrap_or(ROLLUP_RETENTION.max(retention)),
    }
}

fn libsql(section: &Section<'_>) -> LibsqlSettings {
    let folder = section.folder("url");
    LibsqlSettings {
        location: section.secret("url", |text| location(text, &folder)),
        token: section.secret("token", |text| Ok(Secret::new(text))),
        secret_key: section.secret("secret_key", |text| Ok(Secret::new(text))),
        ca: section.path("ca"),
        sync_interval: section
            .parse("sync_interval", |text| {
                between(text, Duration::from_millis(100), Duration::from_hours(1))
            })
            .unwrap_or(SYNC_INTERVAL),
    }
}

fn checker(section: &Section<'_>) -> CheckerSettings {
    CheckerSettings {
        region: section.parse("region", parsed),
        listen: section.parse("listen", socket).unwrap_or(CHECKER_LISTEN),
        canary: section.parse("canary", canary),
        allow_exec: section.boolean("allow_exec").unwrap_or(false),
        resolver: section.parse("resolver", address::resolver),
        rdap_bootstrap: section.parse("rdap_bootstrap", |text| {
            kind::web_url(text, &["https", "http"])
        }),
        egress: section
            .parse("egress", egress)
            .unwrap_or(EgressSetting::Guarded),
        egress_allow: section
            .list("egress_allow", |text| {
                text.parse()
                    .map_err(|_| format!("`{text}` is not a network such as 10.0.0.0/8"))
            })
            .unwrap_or_default(),
        exit_when_idle: section.parse("exit_when_idle", |text| {
            between(text, Duration::from_secs(1), DAY)
        }),
        task_token: section.secret("task_token", |text| Ok(Secret::new(text))),
    }
}

fn dispatcher(section: &Section<'_>) -> DispatcherSettings {
    DispatcherSettings {
        cron_token: section.secret("cron_token", |text| Ok(Secret::new(text))),
        internal_clock: section.boolean("internal_clock").unwrap_or(true),
    }
}

fn run(section: &Section<'_>) -> RunSettings {
    RunSettings {
        roles: section
            .list("roles", Role::from_str)
            .unwrap_or_default()
            .into_iter()
            .collect(),
        data: section.path("data").unwrap_or_else(|| DATA.into()),
        listen: section.parse("listen", socket).unwrap_or(LISTEN),
        grace: section
            .parse("grace", |text| between(text, Duration::ZERO, DAY))
            .unwrap_or(GRACE),
    }
}

/// A URL of a primary, `file:PATH`, or a path.
fn location(text: &str, folder: &Path) -> Result<LibsqlLocation, String> {
    let path = text.strip_prefix("file:");
    if path.is_none() && text.contains("://") {
        let url = ServiceUrl::parse(text, &["libsql", "https", "http"])?;
        return Ok(LibsqlLocation::Primary(url));
    }
    // `file:///var/lib/x.db` is as good as `file:/var/lib/x.db`.
    let path = path.map_or(text, |path| path.strip_prefix("//").unwrap_or(path));
    if path.is_empty() {
        return Err("names no file".to_owned());
    }
    Ok(LibsqlLocation::File(folder.join(path)))
}

fn canary(text: &str) -> Result<Monitor, String> {
    let canary = monitor_from_target(text).map_err(|error| error.to_string())?;
    if canary.spec.kind() == Kind::Domain {
        return Err(
            "registries limit how often they are asked: name something that may be".to_owned(),
        );
    }
    Ok(canary)
}

fn egress(text: &str) -> Result<EgressSetting, String> {
    match text {
        "open" => Ok(EgressSetting::Open),
        "guarded" => Ok(EgressSetting::Guarded),
        _ => Err(format!("`{text}` is neither `open` nor `guarded`")),
    }
}

fn days(text: &str) -> Result<Duration, String> {
    between(text, DAY, MOST_DAYS)
}

fn between(text: &str, least: Duration, most: Duration) -> Result<Duration, String> {
    let duration = parse_duration(text).map_err(|error| error.to_string())?;
    if (least..=most).contains(&duration) {
        return Ok(duration);
    }
    let [least, most] = [least, most].map(|bound| match bound.as_secs() / DAY.as_secs() {
        days @ 1.. => format!("{days}d"),
        _ => format_duration(bound),
    });
    Err(format!(
        "must be at least {least} and at most {most}, got `{text}`"
    ))
}

fn parsed<T: FromStr>(text: &str) -> Result<T, String>
where
    T::Err: fmt::Display,
{
    text.parse().map_err(|error: T::Err| error.to_string())
}

fn socket(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        format!("`{text}` is not an IP address with a port such as 127.0.0.1:8080 or [::1]:8080")
    })
}

/// Names of databases.
fn identifier(text: &str) -> Result<String, String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
    if text.chars().all(fits) {
        return Ok(text.to_owned());
    }
    Err(format!(
        "`{text}` is not a name: use letters, digits, `_` and `-`"
    ))
}

/// Names that may have macros in them, but nothing that would end a quoted one.
fn plain(text: &str) -> Result<String, String> {
    if text.chars().any(|c| c.is_control() || "'\"`\\".contains(c)) {
        return Err("must not have quotes, backslashes and control characters".to_owned());
    }
    Ok(text.to_owned())
}
