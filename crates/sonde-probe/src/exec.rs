//! The exec kind: a command of the operator's own, ended with all its children at the deadline.

use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use sonde_core::{ExecDetail, ExecSpec, Reason, format_duration};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{Child, Command};
use tokio::time::{Instant, timeout_at};

use crate::environment::Environment;
use crate::observe::{Failure, Observation};

/// Bytes of output kept; the rest is read and forgotten, so that the command does not block on a full pipe.
const KEPT: usize = 4096;

/// For what is still in the pipes once the command has ended, in case a stray child holds them open.
const LEFTOVERS: Duration = Duration::from_millis(100);

pub(crate) async fn probe(
    environment: &Environment,
    spec: &ExecSpec,
    seen: &mut Observation,
) -> Result<(), Failure> {
    let command = &spec.command;
    if !environment.settings.allow_exec {
        let text =
            format!("exec checks are not allowed here: start with --allow-exec to run {command}");
        return Err(Failure::new(Reason::Unsupported, text));
    }
    let start = Instant::now();
    let failed = |text: String| Failure::new(Reason::ExecFailed, text);
    let mut child =
        spawn(spec).map_err(|error| failed(format!("cannot start {command} ({error})")))?;
    let group = Group::of(&child);
    let mut output = Output::default();
    let ended = timeout_at(seen.deadline, run(&mut child, group, &mut output)).await;
    let code = match &ended {
        Ok(Ok(status)) => status.code(),
        Ok(Err(_)) | Err(_) => None,
    };
    seen.exec = Some(ExecDetail {
        code,
        output: output.into_text(),
    });
    match ended {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(failed(format!("cannot wait for {command} ({error})"))),
        Err(_) => {
            let allowed = seen.deadline.saturating_duration_since(start);
            // The microseconds that it took to get here are not what the user has configured.
            let allowed = Duration::from_secs_f64((allowed.as_secs_f64() * 1e3).round() / 1e3);
            let allowed = format_duration(allowed);
            Err(failed(format!("{command} did not finish within {allowed}")))
        }
    }
}

fn spawn(spec: &ExecSpec) -> std::io::Result<Child> {
    Command::new(&spec.command)
        .args(&spec.arguments)
        .envs(&spec.environment)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
}

/// Reads until the command has ended, then ends its group and takes what is left in the pipes.
async fn run(child: &mut Child, group: Group, output: &mut Output) -> std::io::Result<ExitStatus> {
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let reading = async {
        tokio::join!(
            drain(stdout, &mut output.stdout),
            drain(stderr, &mut output.stderr)
        );
    };
    tokio::pin!(reading);
    let status = tokio::select! {
        status = child.wait() => status,
        () = &mut reading => return child.wait().await,
    };
    drop(group);
    // Cut off by a child that has left the group: what it says later is not waited for.
    let _ = tokio::time::timeout(LEFTOVERS, reading).await;
    status
}

#[derive(Default)]
struct Output {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

impl Output {
    fn into_text(mut self) -> String {
        self.stdout.append(&mut self.stderr);
        self.stdout.truncate(KEPT);
        String::from_utf8_lossy(&self.stdout).into_owned()
    }
}

async fn drain(pipe: Option<impl AsyncRead + Unpin>, kept: &mut Vec<u8>) {
    let Some(mut pipe) = pipe else {
        return;
    };
    let mut buffer = [0; 1024];
    while let Ok(size @ 1..) = pipe.read(&mut buffer).await {
        let room = KEPT - kept.len();
        kept.extend_from_slice(&buffer[..size.min(room)]);
    }
}

/// A process group that does not outlive this value.
struct Group(Option<Pid>);

impl Group {
    fn of(child: &Child) -> Self {
        let id = child.id().and_then(|id| i32::try_from(id).ok());
        Self(id.map(Pid::from_raw))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // Fails when all have ended, which is what is wanted.
            let _ = killpg(group, Signal::SIGKILL);
        }
    }
}

#[cfg(test)]
mod tests;
