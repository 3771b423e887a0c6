//! Where the server is and how long it keeps what.

use std::fmt;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use url::Url;

/// Rows are kept for three months, rollups for two years, where nothing else is said.
const RETENTION: Duration = Duration::from_hours(90 * 24);
const ROLLUP_RETENTION: Duration = Duration::from_hours(730 * 24);
/// Dates with a time end in 2106; this leaves room.
const LONGEST_RETENTION: Duration = Duration::from_hours(20 * 365 * 24);
const DATABASE: &str = "sonde";

/// A server or cluster and the database on it.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Options {
    /// Scheme, host and port alone.
    pub url: String,
    pub user: Option<String>,
    pub password: Option<String>,
    pub database: String,
    /// Compress requests and answers (LZ4); off by `?compression=none` for servers that cannot.
    pub compression: bool,
    /// The cluster whose servers all get the tables (`ON CLUSTER`), replicated.
    pub cluster: Option<String>,
    /// How long rows are kept: at least this, at most a month longer.
    pub retention: Duration,
    /// The same for rollups; not shorter than `retention`.
    pub rollup_retention: Duration,
}

/// What is wrong with [`Options`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidOptions {
    #[error("the address of ClickHouse is not a URL such as http://user:password@host:8123/sonde")]
    NotUrl(#[source] url::ParseError),
    #[error("the address of ClickHouse begins with http:// or https://, not `{0}://`")]
    Scheme(String),
    #[error("the address of ClickHouse has no host")]
    NoHost,
    #[error("`{0}` in ClickHouse's address is not UTF-8 once decoded")]
    NotUtf8(&'static str),
    #[error("`{0}` is not a name of a database: use letters, digits, `_` and `-`")]
    Database(String),
    #[error("the address of ClickHouse has two databases, `{0}` and `{1}`")]
    TwoDatabases(String, String),
    #[error("`{0}` in ClickHouse's address is not known: use `database` and `compression`")]
    Parameter(String),
    #[error("`compression={0}` in ClickHouse's address is not `lz4` or `none`")]
    Compression(String),
    #[error("the retention of {0} is not between one day and twenty years")]
    Retention(&'static str),
    #[error("rollups may not be kept for less time than the rows that they stand for")]
    RollupRetention,
    #[error("the system's certificates cannot be read")]
    Certificates(#[source] std::io::Error),
}

impl Options {
    /// Reads `http[s]://[user[:password]@]host[:port][/database][?database=…&compression=none|lz4]`; the rest is as
    /// usual and may be changed.
    pub fn from_url(text: &str) -> Result<Self, InvalidOptions> {
        let mut url = Url::parse(text).map_err(InvalidOptions::NotUrl)?;
        if !["http", "https"].contains(&url.scheme()) {
            return Err(InvalidOptions::Scheme(url.scheme().to_owned()));
        }
        if url.host_str().is_none_or(str::is_empty) {
            return Err(InvalidOptions::NoHost);
        }
        let mut options = Self {
            url: String::new(),
            user: decoded("user", url.username())?,
            password: decoded("password", url.password().unwrap_or_default())?,
            database: DATABASE.to_owned(),
            compression: true,
            cluster: None,
            retention: RETENTION,
            rollup_retention: ROLLUP_RETENTION,
        };
        options.take_parameters(&url)?;
        // Neither can fail for http, and what remains must not carry the password into messages.
        let _ = url.set_username("");
        let _ = url.set_password(None);
        url.set_query(None);
        url.set_fragment(None);
        url.set_path("");
        url.as_str().clone_into(&mut options.url);
        Ok(options)
    }

    fn take_parameters(&mut self, url: &Url) -> Result<(), InvalidOptions> {
        let mut database = decoded("database", url.path().trim_matches('/'))?;
        for (name, value) in url.query_pairs() {
            match (name.as_ref(), value.as_ref()) {
                ("database", name) => match &database {
                    Some(other) if other != name => {
                        return Err(InvalidOptions::TwoDatabases(other.clone(), name.to_owned()));
                    }
                    _ => database = Some(name.to_owned()),
                },
                ("compression", "none") => self.compression = false,
                ("compression", "lz4") => self.compression = true,
                ("compression", other) => {
                    return Err(InvalidOptions::Compression(other.to_owned()));
                }
                (other, _) => return Err(InvalidOptions::Parameter(other.to_owned())),
            }
        }
        self.database = database.unwrap_or_else(|| DATABASE.to_owned());
        Ok(())
    }

    pub(super) fn validate(&self) -> Result<(), InvalidOptions> {
        let named = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
        if self.database.is_empty() || !self.database.chars().all(named) {
            return Err(InvalidOptions::Database(self.database.clone()));
        }
        let sensible = Duration::from_hours(24)..=LONGEST_RETENTION;
        if !sensible.contains(&self.retention) {
            return Err(InvalidOptions::Retention("rows"));
        }
        if !sensible.contains(&self.rollup_retention) {
            return Err(InvalidOptions::Retention("rollups"));
        }
        if self.rollup_retention < self.retention {
            return Err(InvalidOptions::RollupRetention);
        }
        Ok(())
    }
}

fn decoded(what: &'static str, text: &str) -> Result<Option<String>, InvalidOptions> {
    let text = percent_decode_str(text)
        .decode_utf8()
        .map_err(|_| InvalidOptions::NotUtf8(what))?;
    Ok((!text.is_empty()).then(|| text.into_owned()))
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("url", &self.url)
            .field("user", &self.user)
            .field("password", &self.password.as_ref().map(|_| "…"))
            .field("database", &self.database)
            .field("compression", &self.compression)
            .field("cluster", &self.cluster)
            .field("retention", &self.retention)
            .field("rollup_retention", &self.rollup_retention)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_carries_user_password_database_and_compression() {
        let options =
            Options::from_url("https://sonde:p%40ss@ch.example:8443/checks?compression=lz4");
        let options = options.unwrap();
        assert_eq!(options.url, "https://ch.example:8443/");
        assert_eq!(options.user.as_deref(), Some("sonde"));
        assert_eq!(options.password.as_deref(), Some("p@ss"));
        assert_eq!(options.database, "checks");
        assert!(options.compression);
        assert!(!format!("{options:?}").contains("p@ss"));

        let options = Options::from_url("http://127.0.0.1:8123?compression=none").unwrap();
        assert_eq!((options.user, options.password), (None, None));
        assert_eq!(options.database, "sonde");
        assert!(!options.compression);
        let options = Options::from_url("http://h/?database=other").unwrap();
        assert_eq!(options.database, "other");
    }

    #[track_caller]
    fn check(url: &str, expected: &str) {
        let options = Options::from_url(url);
        let error = options.and_then(|options| options.validate()).unwrap_err();
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn what_is_wrong_with_an_address_is_said() {
        check(
            "localhost",
            "the address of ClickHouse is not a URL such as http://user:password@host:8123/sonde",
        );
        check(
            "tcp://localhost:9000",
            "the address of ClickHouse begins with http:// or https://, not `tcp://`",
        );
        check(
            "http://h/a?database=b",
            "the address of ClickHouse has two databases, `a` and `b`",
        );
        check(
            "http://h/a/b",
            "`a/b` is not a name of a database: use letters, digits, `_` and `-`",
        );
        check(
            "http://h?compression=zstd",
            "`compression=zstd` in ClickHouse's address is not `lz4` or `none`",
        );
        check(
            "http://h?async_insert=1",
            "`async_insert` in ClickHouse's address is not known: use `database` and `compression`",
        );
    }

    #[test]
    fn rollups_outlive_rows() {
        let mut options = Options::from_url("http://h").unwrap();
        options.rollup_retention = options.retention / 2;
        assert!(matches!(
            options.validate(),
            Err(InvalidOptions::RollupRetention)
        ));
        options.retention = Duration::from_secs(1);
        assert!(matches!(
            options.validate(),
            Err(InvalidOptions::Retention("rows"))
        ));
    }
}
