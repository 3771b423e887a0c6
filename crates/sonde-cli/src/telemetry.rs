//! Log output: on standard error, as text or JSON, from `-v` or `SONDE_LOG`.

use std::io::IsTerminal as _;

use clap::{Args, ValueEnum};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::EnvFilter;

/// The log options that every command takes.
#[derive(Debug, Args)]
pub(crate) struct LogOptions {
    /// Log more: -v debug, -vv trace
    #[arg(short, long, global = true, action = clap::ArgAction::Count, help_heading = "Logging")]
    verbose: u8,
    /// How log lines are written to standard error
    #[arg(
        long,
        global = true,
        value_name = "FORMAT",
        default_value = "text",
        env = "SONDE_LOG_FORMAT",
        hide_env_values = true,
        help_heading = "Logging"
    )]
    log_format: LogFormat,
    /// What is logged, as in `sonde=debug,hyper=warn`; stronger than -v
    #[arg(
        long,
        global = true,
        value_name = "FILTER",
        env = "SONDE_LOG",
        hide_env_values = true,
        value_parser = parse_filter,
        help_heading = "Logging"
    )]
    log: Option<String>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum LogFormat {
    Text,
    Json,
}

/// Starts logging for the whole process; without options only what is at least as grave as `default`.
pub(crate) fn start(options: &LogOptions, default: LevelFilter) {
    let builder = tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none())
        .with_env_filter(filter(options, default));
    match options.log_format {
        LogFormat::Text => builder.init(),
        LogFormat::Json => builder.json().flatten_event(true).init(),
    }
}

/// What the clients of broker, primary and servers call an error or a warning is expected by us, and what matters
/// reaches us as a value. Lapin also logs whole messages, with all that is in them.
const QUIET: &str = "lapin=off,libsql=error,rustls_platform_verifier=off";

/// Other people's crates stay at warnings unless the filter names them, and the quiet ones quiet unless it names those.
fn filter(options: &LogOptions, default: LevelFilter) -> EnvFilter {
    let level = match options.verbose {
        0 => default,
        1 => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    };
    let others = level.min(LevelFilter::WARN);
    let directives = options.log.clone();
    let directives = directives.unwrap_or_else(|| format!("{others},sonde={level}"));
    // Of two directives for one target the later counts, and one that names no target never counts for these.
    EnvFilter::new(format!("{QUIET},{directives}"))
}

/// Refuses a filter with a mistake, which would otherwise silently log nothing.
fn parse_filter(text: &str) -> Result<String, tracing_subscriber::filter::ParseError> {
    EnvFilter::try_new(text).map(|_| text.to_owned())
}

#[cfg(test)]
mod tests {
    use tracing::Level;
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    /// What is logged of lapin, libsql and ourselves, in this order.
    #[track_caller]
    fn check(log: Option<&str>, verbose: u8, expected: [LevelFilter; 3]) {
        let options = LogOptions {
            verbose,
            log_format: LogFormat::Text,
            log: log.map(str::to_owned),
        };
        let subscriber = tracing_subscriber::registry().with(filter(&options, LevelFilter::WARN));
        let logged = tracing::subscriber::with_default(subscriber, || {
            macro_rules! loudest {
                ($target:literal) => {
                    [
                        tracing::enabled!(target: $target, Level::TRACE),
                        tracing::enabled!(target: $target, Level::DEBUG),
                        tracing::enabled!(target: $target, Level::INFO),
                        tracing::enabled!(target: $target, Level::WARN),
                        tracing::enabled!(target: $target, Level::ERROR),
                    ]
                };
            }
            let targets = [
                loudest!("lapin::channel"),
                loudest!("libsql::replication"),
                loudest!("sonde::commands"),
            ];
            targets.map(|enabled| {
                let levels = [
                    LevelFilter::TRACE,
                    LevelFilter::DEBUG,
                    LevelFilter::INFO,
                    LevelFilter::WARN,
                    LevelFilter::ERROR,
                ];
                let loudest = levels
                    .into_iter()
                    .zip(enabled)
                    .find(|(_, enabled)| *enabled);
                loudest.map_or(LevelFilter::OFF, |(level, _)| level)
            })
        });
        assert_eq!(logged, expected, "{log:?}");
    }

    #[test]
    fn clients_of_broker_and_primary_are_quiet_unless_the_filter_names_them() {
        const OFF: LevelFilter = LevelFilter::OFF;
        const ERROR: LevelFilter = LevelFilter::ERROR;
        const WARN: LevelFilter = LevelFilter::WARN;
        const INFO: LevelFilter = LevelFilter::INFO;
        const DEBUG: LevelFilter = LevelFilter::DEBUG;
        check(None, 0, [OFF, ERROR, WARN]);
        check(None, 2, [OFF, ERROR, LevelFilter::TRACE]);
        check(Some("info"), 0, [OFF, ERROR, INFO]);
        check(Some("sonde=debug,hyper=warn"), 0, [OFF, ERROR, DEBUG]);
        check(Some("lapin=debug,info"), 0, [DEBUG, ERROR, INFO]);
        check(Some("warn,libsql=info"), 0, [OFF, INFO, WARN]);
        check(Some("lapin::channel=info"), 0, [INFO, ERROR, OFF]);
    }
}
