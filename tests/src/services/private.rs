//! Components of a test's own, which it may kill, freeze and start again.

use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use super::{Amqp, Clickhouse, setting};
use crate::wait::comes_within;

/// How long a component may take to start; RabbitMQ takes six seconds on an idle machine.
const START: Duration = Duration::from_secs(90);

/// A libSQL server (sqld) with one empty database.
pub struct Libsql {
    /// As `SONDE_LIBSQL_URL` takes it.
    pub url: String,
    pub process: Process,
}

/// Starts the server that `SONDE_TEST_SQLD` names: one per call, because it is ready within milliseconds.
pub async fn libsql() -> Option<Libsql> {
    let program = setting("SONDE_TEST_SQLD", "sqld")?;
    let process = Process::start(2, |directory, port| Launch {
        command: [program.as_str(), "--no-welcome", "--db-path"]
            .map(str::to_owned)
            .into_iter()
            .chain([directory.join("data").display().to_string()])
            .chain(["--http-listen-addr".to_owned(), format!("127.0.0.1:{port}")])
            .chain([
                "--grpc-listen-addr".to_owned(),
                format!("127.0.0.1:{}", port + 1),
            ])
            .collect(),
        ready: format!("http://127.0.0.1:{port}/health"),
        pid_file: None,
    });
    let process = process.await;
    Some(Libsql {
        url: format!("http://127.0.0.1:{}", process.port),
        process,
    })
}

/// A RabbitMQ node.
pub struct Broker {
    script: String,
    pub process: Process,
}

/// Starts a node with the script that `SONDE_TEST_RABBITMQ` names.
pub async fn broker() -> Option<Broker> {
    let script = setting("SONDE_TEST_RABBITMQ", "RabbitMQ")?;
    let process = Process::start(5, |directory, port| Launch {
        command: vec![
            script.clone(),
            directory.display().to_string(),
            port.to_string(),
        ],
        ready: format!(
            "http://guest:guest@127.0.0.1:{}/api/health/checks/port-listener/{port}",
            port + 1
        ),
        pid_file: Some(directory.join("pid")),
    });
    let process = process.await;
    Some(Broker { script, process })
}

impl Broker {
    /// A fresh virtual host; `name` tells whose it is.
    pub async fn vhost(&self, name: &str) -> Amqp {
        let port = self.process.port;
        let url = format!("amqp://guest:guest@127.0.0.1:{port}");
        let management_url = format!("http://guest:guest@127.0.0.1:{}", port + 1);
        Amqp::create(&url, &management_url, name).await
    }

    /// Waits until a new queue would survive [`Process::kill`]: the broker confirms messages at once, but writes
    /// down half a second late under which name it keeps them.
    pub async fn remembers(&self, amqp: &Amqp, queue: &str) {
        let name = format!("{}_{queue}", amqp.vhost);
        let node = format!("sonde-{}@localhost", self.process.port);
        let data = self.process.directory.path().join("data").join(&node);
        let file = data.join("quorum").join(&node).join("names.dets");
        crate::wait_until(START, async || {
            let names = std::fs::read(&file).unwrap_or_default();
            names.windows(name.len()).any(|it| it == name.as_bytes())
        })
        .await;
    }

    /// Runs rabbitmqctl.
    pub async fn control(&self, arguments: &[&str]) {
        let output = tokio::process::Command::new(&self.script)
            .arg(self.process.directory.path())
            .arg(self.process.port.to_string())
            .arg("ctl")
            .args(arguments)
            .output()
            .await
            .expect("the script can be started");
        assert!(
            output.status.success(),
            "rabbitmqctl {arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

/// A ClickHouse engine.
pub struct Engine {
    /// Only the address.
    pub base_url: String,
    pub process: Process,
}

/// Starts an engine with the command that `SONDE_TEST_CLICKHOUSE` holds.
pub async fn engine() -> Option<Engine> {
    let command = setting("SONDE_TEST_CLICKHOUSE", "ClickHouse")?;
    let process = Process::start(1, |directory, port| Launch {
        command: command
            .split_whitespace()
            .map(str::to_owned)
            .chain([
                directory.join("data").display().to_string(),
                "--port".to_owned(),
                port.to_string(),
            ])
            .collect(),
        ready: format!("http://127.0.0.1:{port}/ping"),
        pid_file: None,
    });
    let process = process.await;
    Some(Engine {
        base_url: format!("http://127.0.0.1:{}", process.port),
        process,
    })
}

impl Engine {
    /// Asks for faults; `parameters` as `tests/services/clickhouse.py` knows them.
    pub async fn fault(&self, parameters: &str) {
        let url = format!("{}/-/fault?{parameters}", self.base_url);
        let answer = crate::http::client().post(url).send().await;
        let answer = answer.expect("the engine answers");
        assert!(answer.status().is_success(), "{parameters}: {answer:?}");
    }

    /// How many kinds of faults have not all happened yet.
    pub async fn pending_faults(&self) -> usize {
        let url = format!("{}/-/fault", self.base_url);
        let answer = crate::http::client().get(url).send().await;
        let text = answer.expect("the engine answers").text().await;
        let faults: serde_json::Value =
            serde_json::from_str(&text.expect("a list")).expect("a list");
        faults.as_array().map_or(0, Vec::len)
    }

    /// No more faults.
    pub async fn heal(&self) {
        let url = format!("{}/-/fault", self.base_url);
        let answer = crate::http::client().delete(url).send().await;
        answer.expect("the engine answers");
    }

    /// A fresh database; `name` tells whose it is.
    pub async fn database(&self, name: &str) -> Clickhouse {
        Clickhouse::create(&self.base_url, name).await
    }
}

/// A component's process, its data and its port. Killed, and its data deleted, when dropped.
pub struct Process {
    /// The first of its ports.
    pub port: u16,
    directory: TempDir,
    launch: Launch,
    child: Child,
}

/// How a component is started.
pub(super) struct Launch {
    pub(super) command: Vec<String>,
    /// Answers with success once it can be used.
    pub(super) ready: String,
    /// Where the command is only a script around the process that counts.
    pub(super) pid_file: Option<PathBuf>,
}

impl Process {
    /// On any `ports` consecutive free ports. Somebody else may take one of them in the meantime: then on others.
    pub(super) async fn start(ports: u16, launch: impl Fn(&Path, u16) -> Launch) -> Self {
        let mut failure = String::new();
        for _ in 0..3 {
            let directory = tempfile::tempdir().expect("a temporary folder");
            let port = free_ports(ports);
            let launch = launch(directory.path(), port);
            let child = launch.spawn(directory.path());
            let mut process = Self {
                port,
                directory,
                launch,
                child: child.unwrap_or_else(|error| unreachable!("a component: {error}")),
            };
            if process.comes_up().await {
                return process;
            }
            failure = process.log();
        }
        unreachable!("a component does not start:\n{failure}");
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.signal(Signal::SIGKILL);
        let _ = self.child.wait();
    }

    /// After [`kill`](Self::kill): on the same port, with the same data. Waits until it can be used.
    pub async fn restart(&mut self) {
        let child = self.launch.spawn(self.directory.path());
        self.child = child.expect("it could be started before");
        assert!(
            self.comes_up().await,
            "a component does not start again:\n{}",
            self.log()
        );
    }

    /// SIGSTOP: its connections stay open, and nothing answers.
    pub fn freeze(&self) {
        self.signal(Signal::SIGSTOP);
    }

    /// SIGCONT.
    pub fn thaw(&self) {
        self.signal(Signal::SIGCONT);
    }

    /// What it has printed.
    pub fn log(&self) -> String {
        let log = std::fs::read(self.directory.path().join("output.log"));
        String::from_utf8_lossy(&log.unwrap_or_default()).into_owned()
    }

    /// False when it ended, or takes too long.
    async fn comes_up(&mut self) -> bool {
        let client = crate::http::client();
        let mut ended = false;
        let up = comes_within(START, async || {
            ended = self.child.try_wait().is_ok_and(|status| status.is_some());
            let request = client.get(&self.launch.ready);
            let answer = request.timeout(Duration::from_secs(5)).send().await;
            ended || answer.is_ok_and(|answer| answer.status().is_success())
        });
        up.await && !ended
    }

    fn signal(&self, signal: Signal) {
        let written = self.launch.pid_file.as_ref().and_then(|file| {
            let text = std::fs::read_to_string(file).ok()?;
            text.trim().parse().ok()
        });
        let pid = written.unwrap_or_else(|| self.child.id().cast_signed());
        let _ = kill(Pid::from_raw(pid), signal);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            self.signal(Signal::SIGKILL);
            // A script cleans up after its process; this is for one that had not started it yet.
            let script = Pid::from_raw(self.child.id().cast_signed());
            let _ = kill(script, Signal::SIGTERM);
            let _ = self.child.wait();
        }
    }
}

impl Launch {
    fn spawn(&self, directory: &Path) -> io::Result<Child> {
        if let Some(stale) = &self.pid_file {
            let _ = std::fs::remove_file(stale);
        }
        let output = File::options()
            .create(true)
            .append(true)
            .open(directory.join("output.log"))?;
        let (program, arguments) = self.command.split_first().expect("a command is not empty");
        Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
    }
}

/// The first of `count` consecutive ports that nobody listens on. Below those that the system gives to outgoing
/// connections, so that a component finds its port free again after a restart.
fn free_ports(count: u16) -> u16 {
    use std::hash::{BuildHasher, RandomState};
    const FIRST: u16 = 20_000;
    const PORTS: u64 = 12_000;
    let free = |port: u16| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
    let blocks = std::iter::repeat_with(|| {
        let random = RandomState::new().hash_one(std::process::id()) % PORTS;
        FIRST + u16::try_from(random).expect("less than the number of ports")
    });
    let mut blocks = blocks
        .take(1000)
        .filter(|first| (*first..*first + count).all(free));
    blocks.next().expect("the machine has free ports")
}
