//! Notes: one line each, appended to a local file, both bounded.

use std::io;
use std::path::PathBuf;

use tokio::fs::OpenOptions;
use tokio::io::AsyncWriteExt as _;
use tokio::sync::Mutex;

/// Longest note, in bytes.
const MAX_NOTE: usize = 1024;

/// Largest file, in bytes: whoever can reach the service cannot fill the disk.
const MAX_FILE: u64 = 1024 * 1024;

#[derive(Debug)]
pub(super) struct Notes {
    path: PathBuf,
    /// One writer at a time, so that the size is true and lines stay whole.
    writing: Mutex<()>,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum NoteError {
    #[error("a note has at most {MAX_NOTE} bytes")]
    TooLong,
    #[error("the file of notes is full")]
    Full,
    #[error("cannot write the note")]
    Io(#[from] io::Error),
}

impl Notes {
    pub(super) fn new(path: PathBuf) -> Self {
        Self {
            path,
            writing: Mutex::new(()),
        }
    }

    /// Appends `content` as one line; line breaks and backslashes in it are escaped.
    pub(super) async fn append(&self, content: &str) -> Result<(), NoteError> {
        if content.len() > MAX_NOTE {
            return Err(NoteError::TooLong);
        }
        let line = format!("{}\n", escape(content));
        let _one = self.writing.lock().await;
        let mut options = OpenOptions::new();
        let mut file = options.create(true).append(true).open(&self.path).await?;
        if file.metadata().await?.len() + line.len() as u64 > MAX_FILE {
            return Err(NoteError::Full);
        }
        file.write_all(line.as_bytes()).await?;
        Ok(file.flush().await?)
    }
}

fn escape(content: &str) -> String {
    content
        .replace('\\', r"\\")
        .replace('\n', r"\n")
        .replace('\r', r"\r")
}
