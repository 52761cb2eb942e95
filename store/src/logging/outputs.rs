//! Where lines go. Each record is written whole, and to every place; a file that takes no more leaves
//! its line to standard error, so that somebody sees both the line and the trouble.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

use super::LogError;
use super::journal::Journal;
use super::rotation::Rotating;
use crate::config::{LogOutput, LogRotation};

/// All places.
pub(super) struct Outputs(Vec<Output>);

enum Output {
    Stderr,
    Stdout,
    File(File),
    Rotating(Rotating),
    Journal(Journal),
}

impl Outputs {
    /// Opens what the settings name.
    pub(super) fn open(
        outputs: &[LogOutput],
        rotation: Option<LogRotation>,
    ) -> Result<Self, LogError> {
        let open = |output: &LogOutput| {
            Ok(match (output, rotation) {
                (LogOutput::Stderr, _) => Output::Stderr,
                (LogOutput::Stdout, _) => Output::Stdout,
                (LogOutput::Journal, _) => Output::Journal(Journal::connect()?),
                (LogOutput::File(path), Some(rotation)) => {
                    Output::Rotating(Rotating::open(path, rotation)?)
                }
                (LogOutput::File(path), None) => Output::File(open_file(path)?),
            })
        };
        outputs.iter().map(open).collect::<Result<_, _>>().map(Self)
    }
}

fn open_file(path: &Path) -> Result<File, LogError> {
    let opened = OpenOptions::new().append(true).create(true).open(path);
    opened.map_err(|cause| LogError::Open {
        path: path.into(),
        cause,
    })
}

/// One record on its way.
pub(super) struct Line<'a> {
    outputs: &'a Outputs,
    level: Level,
    module: &'a str,
}

impl<'a> MakeWriter<'a> for Outputs {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line {
            outputs: self,
            level: Level::INFO,
            module: "",
        }
    }

    fn make_writer_for(&'a self, meta: &Metadata<'_>) -> Line<'a> {
        Line {
            outputs: self,
            level: *meta.level(),
            // The name of the program's own part is all that a journal's reader can use.
            module: env!("CARGO_PKG_NAME"),
        }
    }
}

impl Write for Line<'_> {
    /// The formatter hands over whole records.
    fn write(&mut self, record: &[u8]) -> io::Result<usize> {
        for output in &self.outputs.0 {
            let written = match output {
                Output::Stderr => io::stderr().lock().write_all(record),
                Output::Stdout => io::stdout().lock().write_all(record),
                Output::File(file) => (&mut &*file).write_all(record),
                Output::Rotating(file) => file.write(record),
                Output::Journal(journal) => journal.send(self.level, self.module, record),
            };
            if let Err(error) = written
                && !matches!(output, Output::Stderr)
            {
                let mut stderr = io::stderr().lock();
                let _ = writeln!(stderr, "write error: {error}");
                let _ = stderr.write_all(record);
            }
        }
        Ok(record.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use tracing_subscriber::fmt::MakeWriter;

    use super::Outputs;
    use crate::config::LogOutput;

    #[test]
    fn files_are_appended_to_and_every_one_gets_every_line() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (dir.path().join("a.log"), dir.path().join("b.log"));
        std::fs::write(&a, "old\n").unwrap();
        let files = [LogOutput::File(a.clone()), LogOutput::File(b.clone())];
        let outputs = Outputs::open(&files, None).unwrap();
        outputs.make_writer().write_all(b"new\n").unwrap();
        assert_eq!(std::fs::read_to_string(&a).unwrap(), "old\nnew\n");
        assert_eq!(std::fs::read_to_string(&b).unwrap(), "new\n");
    }

    #[test]
    fn a_file_that_cannot_be_opened_is_named() {
        let file = [LogOutput::File("/nothing/here/x.log".into())];
        let error = Outputs::open(&file, None).err().unwrap();
        assert_eq!(
            error.to_string(),
            "couldn't open sink \"/nothing/here/x.log\": open /nothing/here/x.log: no such file or directory"
        );
    }
}
