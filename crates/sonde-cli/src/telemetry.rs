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

/// Other people's crates stay at warnings unless the filter names them. The clients of broker and primary call things an
/// error or a warning that we expect; what matters reaches us as a value.
fn filter(options: &LogOptions, default: LevelFilter) -> EnvFilter {
    let level = match options.verbose {
        0 => default,
        1 => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    };
    let others = level.min(LevelFilter::WARN);
    let directives = options.log.clone();
    EnvFilter::new(
        directives.unwrap_or_else(|| format!("{others},lapin=off,libsql=error,sonde={level}")),
    )
}

/// Refuses a filter with a mistake, which would otherwise silently log nothing.
fn parse_filter(text: &str) -> Result<String, tracing_subscriber::filter::ParseError> {
    EnvFilter::try_new(text).map(|_| text.to_owned())
}
