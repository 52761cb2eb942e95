//! Programs of the machine that are run to their end.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

use super::Error;

/// The longest that any of them takes: runc gives a killed container 10 s, and an import writes some
/// megabytes to a disk that may be slow.
const TIME_MAX: Duration = Duration::from_secs(60);

/// Runs a program. What it says becomes part of the error.
pub(super) async fn run(program: impl AsRef<Path>, args: &[&OsStr]) -> Result<(), Error> {
    let program = program.as_ref();
    let name = program.display().to_string();
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null()).kill_on_drop(true);
    let output = match timeout(TIME_MAX, command.output()).await {
        Ok(Ok(output)) => output,
        Ok(Err(source)) => {
            return Err(Error::Start {
                program: name,
                source,
            });
        }
        Err(_) => {
            return Err(Error::Program {
                program: name,
                output: format!("no end within {TIME_MAX:?}"),
            });
        }
    };
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].concat();
    Err(Error::Program {
        program: name,
        output: String::from_utf8_lossy(&said).trim().to_owned(),
    })
}
