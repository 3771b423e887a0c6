//! Exit codes, and the one place where an error is printed. Scripts rely on the numbers.

use std::process::ExitCode;

/// What the process ends with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    Ok = 0,
    /// A check failed, a ledger does not balance, a plan has changes.
    Failed = 1,
    /// The command line or the configuration is wrong: trying again changes nothing.
    Usage = 2,
    /// It could not be found out.
    CouldNotRun = 3,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command could not do what it was asked for. What is not marked as usage could not be run.
#[derive(Debug)]
pub(crate) enum Error {
    Usage(anyhow::Error),
    /// One line per problem of the configuration: `file:line:column: …`.
    Configuration(Vec<String>),
    CouldNotRun(anyhow::Error),
}

impl From<anyhow::Error> for Error {
    fn from(error: anyhow::Error) -> Self {
        Self::CouldNotRun(error)
    }
}

impl Error {
    /// Something that the user has to change, said in one sentence.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::Usage(anyhow::Error::msg(message.into()))
    }

    pub(crate) const fn exit(&self) -> Exit {
        match self {
            Self::Usage(_) | Self::Configuration(_) => Exit::Usage,
            Self::CouldNotRun(_) => Exit::CouldNotRun,
        }
    }

    /// What went wrong, with what caused it.
    pub(crate) fn lines(&self) -> Vec<String> {
        match self {
            Self::Usage(error) | Self::CouldNotRun(error) => vec![format!("{error:#}")],
            Self::Configuration(problems) => problems.clone(),
        }
    }

    /// Writes the error to the log, for processes that go on.
    pub(crate) fn log(&self) {
        for line in self.lines() {
            tracing::error!("{line}");
        }
    }

    /// Prints the error on standard error.
    pub(crate) fn report(&self) {
        for line in self.lines() {
            anstream::eprintln!("error: {line}");
        }
    }
}
