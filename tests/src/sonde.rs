//! Runs the `sonde` binary as a user would: arguments, environment, signals, exit codes.

use std::ffi::{OsStr, OsString};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::OnceCell;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::wait::comes_within;

/// What a run may take when a test says nothing else. Long, because CI machines are slow; a run that takes it is broken.
const PATIENCE: Duration = Duration::from_secs(30);

/// A command line being put together.
pub struct Sonde {
    arguments: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    directory: Option<PathBuf>,
    patience: Duration,
}

/// How a run ended.
#[derive(Debug)]
pub struct Output {
    /// None when a signal ended it.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Sonde {
    pub fn new<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Self {
        Self {
            arguments: arguments
                .into_iter()
                .map(|argument| argument.as_ref().to_owned())
                .collect(),
            environment: Vec::new(),
            directory: None,
            patience: PATIENCE,
        }
    }

    /// `sonde up` in `directory`, on any free port, with its data in `directory/data`. It finds `directory/sonde.yaml`
    /// by itself.
    pub fn up(directory: &Path) -> Self {
        Self::up_with_screenshots(directory).argument("--no-screenshots")
    }

    /// The same, which takes pictures of what is down where there is a browser.
    pub fn up_with_screenshots(directory: &Path) -> Self {
        Self::new([
            "up",
            "--data=data",
            "--listen=127.0.0.1:0",
            "--checker-listen=127.0.0.1:0",
        ])
        .directory(directory)
    }

    #[must_use]
    pub fn argument(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.arguments.push(argument.as_ref().to_owned());
        self
    }

    #[must_use]
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.environment
            .push((name.into(), value.as_ref().to_owned()));
        self
    }

    /// Where it runs.
    #[must_use]
    pub fn directory(mut self, directory: &Path) -> Self {
        self.directory = Some(directory.to_owned());
        self
    }

    /// Fails the test when a run takes longer.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Runs to the end.
    pub async fn run(self) -> Output {
        let mut child = self.spawn().await;
        let mut stdout = child.stdout.take().expect("stdout is piped");
        let mut stderr = child.stderr.take().expect("stderr is piped");
        let (mut out, mut err) = (String::new(), String::new());
        let run = async {
            tokio::try_join!(
                child.wait(),
                stdout.read_to_string(&mut out),
                stderr.read_to_string(&mut err)
            )
        };
        let ended = timeout(self.patience, run).await;
        let (status, ..) = ended
            .expect("`sonde` ends in time")
            .expect("its output is text");
        Output {
            code: status.code(),
            stdout: out,
            stderr: err,
        }
    }

    /// Starts a server and waits until it has said where it listens.
    pub async fn serve(self) -> Running {
        let mut running = self.start().await;
        let (mut address, mut ended) = (None, false);
        comes_within(running.patience, async || {
            ended = running
                .child
                .try_wait()
                .is_ok_and(|status| status.is_some());
            address = running.log.address();
            ended || address.is_some()
        })
        .await;
        if ended {
            // What it said last may not have been read yet.
            while running.readers.join_next().await.is_some() {}
        }
        let address = address.filter(|_| !ended);
        assert!(
            address.is_some(),
            "`sonde` does not serve:\n{}",
            running.log()
        );
        running.address = address.expect("asserted above");
        running
    }

    /// Starts what is not waited for.
    pub async fn start(self) -> Running {
        let mut child = self.spawn().await;
        let pid = child.id().expect("a child that was not waited for");
        let log = Log::default();
        let mut readers = JoinSet::new();
        let stdout = child.stdout.take().expect("stdout is piped");
        let stderr = child.stderr.take().expect("stderr is piped");
        readers.spawn(log.clone().fill(stdout));
        readers.spawn(log.clone().fill(stderr));
        Running {
            address: String::new(),
            child,
            pid: Pid::from_raw(pid.cast_signed()),
            log,
            patience: self.patience,
            readers,
        }
    }

    async fn spawn(&self) -> Child {
        let mut command = Command::new(binary().await);
        command
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if text.starts_with("SONDE_") || text.starts_with("CHECK_") || text == "RUST_LOG" {
                command.env_remove(&name);
            }
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        if let Some(directory) = &self.directory {
            command.current_dir(directory);
        }
        command.spawn().expect("the `sonde` binary can be started")
    }
}

/// What was started with [`Sonde::serve`] or [`Sonde::start`]. Killed when dropped.
pub struct Running {
    /// Only of a server.
    address: String,
    child: Child,
    pid: Pid,
    log: Log,
    patience: Duration,
    readers: JoinSet<()>,
}

impl Running {
    /// `path` begins with a slash.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.address)
    }

    /// Where it says that its API is served.
    ///
    /// # Panics
    /// When it does not say so.
    pub fn api(&self) -> String {
        let log = self.log();
        let line = log
            .lines()
            .find_map(|line| line.strip_prefix("  API      "));
        line.expect("an API says where it is").to_owned()
    }

    pub fn pid(&self) -> u32 {
        self.pid.as_raw().cast_unsigned()
    }

    /// What it has printed so far, on stdout and stderr.
    pub fn log(&self) -> String {
        self.log.text()
    }

    /// Asks it to read its configuration again.
    pub fn reload(&self) {
        kill(self.pid, Signal::SIGHUP).expect("the server runs");
    }

    /// SIGSTOP: it stands still, and its connections stay open.
    pub fn freeze(&self) {
        kill(self.pid, Signal::SIGSTOP).expect("the server runs");
    }

    /// SIGCONT.
    pub fn thaw(&self) {
        kill(self.pid, Signal::SIGCONT).expect("the server runs");
    }

    /// Whether it has not ended by itself.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().is_ok_and(|status| status.is_none())
    }

    /// SIGTERM, then waits for its end.
    pub async fn terminate(self) -> ExitStatus {
        self.end(Signal::SIGTERM).await
    }

    /// As `kill -9`.
    pub async fn kill(self) -> ExitStatus {
        self.end(Signal::SIGKILL).await
    }

    async fn end(mut self, signal: Signal) -> ExitStatus {
        kill(self.pid, signal).expect("the server runs");
        let status = timeout(self.patience, self.child.wait()).await;
        let Ok(Ok(status)) = status else {
            unreachable!("{signal} did not end it; it said:\n{}", self.log.text());
        };
        if signal == Signal::SIGTERM && !status.success() {
            // Who asks whether it ended well wants to know why it did not.
            let _ = writeln!(std::io::stderr(), "{}", self.log.text());
        }
        status
    }

    /// The most memory it has had so far, in bytes.
    pub fn peak_memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid));
        let status = status.expect("the server runs");
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let peak = peak.and_then(|peak| peak.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        peak.expect("Linux reports the peak in kB") * 1024
    }
}

/// What a child prints, line by line.
#[derive(Debug, Clone, Default)]
struct Log(Arc<Mutex<String>>);

impl Log {
    async fn fill(self, output: impl AsyncRead + Unpin) {
        let mut lines = BufReader::new(output).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            let mut text = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            text.push_str(&line);
            text.push('\n');
        }
    }

    fn text(&self) -> String {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The first `http://127.0.0.1:PORT` that was printed.
    fn address(&self) -> Option<String> {
        const BEGIN: &str = "http://127.0.0.1:";
        let text = self.text();
        let (_, rest) = text.split_once(BEGIN)?;
        let (port, _) = rest.split_once(|c: char| !c.is_ascii_digit())?;
        (!port.is_empty()).then(|| format!("{BEGIN}{port}"))
    }
}

/// The binary under test: `SONDE_TEST_BIN`, else the debug build, made now.
pub async fn binary() -> &'static Path {
    static BINARY: OnceCell<PathBuf> = OnceCell::const_new();
    BINARY
        .get_or_init(|| async {
            if let Some(path) = std::env::var_os("SONDE_TEST_BIN") {
                return path.into();
            }
            let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
            let built = Command::new(env!("CARGO"))
                .args(["build", "--quiet", "-p", "sonde-cli", "--bin", "sonde"])
                .current_dir(&root)
                .status()
                .await;
            assert!(built.is_ok_and(|status| status.success()), "sonde builds");
            let target = std::env::var_os("CARGO_TARGET_DIR");
            let target = target.map_or_else(|| root.join("target"), PathBuf::from);
            target.join("debug/sonde")
        })
        .await
}
