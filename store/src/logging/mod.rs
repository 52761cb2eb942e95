//! The log of a store's process: etcd's lines in the places that `--log-outputs` names.
//!
//! Records are lost rather than waited for only where a disk refuses them; they then go to standard
//! error. Nothing here decides what is logged: that is the filter of the settings.

mod journal;
mod outputs;
mod rotation;
mod zap;

use std::io;
use std::path::PathBuf;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use self::outputs::Outputs;
use self::zap::Zap;
use crate::config::Logging;
use crate::words;

/// Why the log cannot be set up. The words are those of etcd's logger.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// A file cannot be opened.
    #[error("couldn't open sink {path:?}: open {}: {}", path.display(), words::of_io(cause))]
    Open {
        /// The file.
        path: PathBuf,
        /// Why not; its words are in the text already.
        cause: io::Error,
    },
    /// There is no journal.
    #[error(
        "can't find journal (dial unixgram {path}: connect: {}): --log-outputs=systemd/journal needs systemd's journal; name stderr or a file",
        words::of_io(cause)
    )]
    Journal {
        /// Its socket.
        path: &'static str,
        /// Why not; its words are in the text already.
        cause: io::Error,
    },
    /// The thread that tidies old files cannot be started.
    #[error("start the thread that tidies rotated logs")]
    Thread(#[source] io::Error),
}

/// Sends the process's records where the settings say. A second call in one process does nothing.
pub fn init(logging: &Logging) -> Result<(), LogError> {
    let outputs = Outputs::open(&logging.outputs, logging.rotation)?;
    let filter = EnvFilter::try_new(&logging.filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let lines = tracing_subscriber::fmt::layer()
        .with_ansi(false)
        .event_format(Zap::new(logging.format))
        .with_writer(outputs);
    let _ = tracing_subscriber::registry()
        .with(filter)
        .with(lines)
        .try_init();
    Ok(())
}
