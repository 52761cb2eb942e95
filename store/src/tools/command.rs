//! `keelson etcdutl`, and a link named `etcdutl`: from a command line to an exit code. Flags, words and
//! codes are etcdutl's; what it does not have says so.

mod backup;
mod completion;
mod long;
mod member;
mod migrate;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{ArgAction, Args, Parser, Subcommand};

use super::print::{Format, Show, render};
use super::{dump, file, folder, hashkv, restore, status, verify};
use crate::config::{ETCD_VERSION, parse_duration};

const BAD_FEATURE: u8 = 4;
const BAD_ARGS: u8 = 128;

/// An administrative command line tool for etcd3.
#[derive(Parser)]
#[command(name = "etcdutl", disable_help_subcommand = true)]
struct Cli {
    /// Set the output format (fields, json, protobuf, simple, table)
    #[arg(short, long, global = true, default_value = "simple")]
    write_out: String,
    /// Time to wait until a member has given its directory up, 0 to block indefinitely
    #[arg(long, global = true, default_value = "10s", value_parser = parse_duration)]
    timeout: Duration,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Defragments the storage of a member that is not running
    Defrag {
        /// Required. Defragments a data directory not in use by etcd.
        #[arg(long)]
        data_dir: PathBuf,
    },
    /// Manages etcd node snapshots
    #[command(subcommand)]
    Snapshot(Snapshot),
    /// Prints the KV history hash of a given file, or of the data directory of a member that is not running
    Hashkv {
        #[arg(value_name = "filename")]
        files: Vec<PathBuf>,
        /// Maximum revision to hash (default: latest revision)
        #[arg(long, default_value_t = 0, allow_negative_numbers = true)]
        rev: i64,
    },
    /// Moves a running etcd into a data directory of ours, and follows it until told to cut over (etcd's
    /// etcdutl means something else by it: the format of its own files)
    Migrate(Box<migrate::Migrate>),
    /// Keeps backups from which every revision can be restored (not in etcd's etcdutl)
    #[command(subcommand)]
    Backup(backup::Backup),
    /// Prints the version of etcdutl
    Version,
    /// Generates a completion script for bash, zsh, fish or powershell
    Completion {
        #[arg(value_name = "bash|zsh|fish|powershell")]
        shells: Vec<String>,
    },
    /// Reads all of a member that is not running: is its log whole, and its state, and do they fit?
    /// (not in etcd's etcdutl)
    Verify(Place),
    /// Prints the log of a member that is not running, a line an entry (not in etcd's etcdutl)
    Dump(Place),
}

/// A member's folders.
#[derive(Args)]
struct Place {
    /// The member's data directory
    #[arg(long)]
    data_dir: PathBuf,
    /// Its --wal-dir, if it has one
    #[arg(long)]
    wal_dir: Option<PathBuf>,
}

#[derive(Subcommand)]
enum Snapshot {
    /// Restores an etcd member snapshot to an etcd directory
    Restore(Box<Restore>),
    /// Gets backend snapshot status of a given file
    Status {
        #[arg(value_name = "filename")]
        files: Vec<PathBuf>,
    },
}

#[derive(Args)]
struct Restore {
    #[arg(value_name = "filename")]
    files: Vec<PathBuf>,
    /// Path to the output data directory (default: NAME.etcd)
    #[arg(long)]
    data_dir: Option<PathBuf>,
    /// Path to the WAL directory (use --data-dir if none given)
    #[arg(long)]
    wal_dir: Option<PathBuf>,
    /// Initial cluster configuration for restore bootstrap
    #[arg(long, default_value = "default=http://localhost:2380")]
    initial_cluster: String,
    /// Initial cluster token for the etcd cluster during restore bootstrap
    #[arg(long, default_value = "etcd-cluster")]
    initial_cluster_token: String,
    /// List of this member's peer URLs to advertise to the rest of the cluster
    #[arg(long, default_value = "http://localhost:2380")]
    initial_advertise_peer_urls: String,
    /// Human-readable name for this member
    #[arg(long, default_value = "default")]
    name: String,
    /// Ignore snapshot integrity hash value (required if copied from data directory)
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true")]
    skip_hash_check: bool,
    /// Of no effect here: nothing is mapped into memory
    #[arg(long, default_value_t = 0)]
    initial_memory_map_size: u64,
    /// How much to increase the latest revision after restore
    #[arg(long, default_value_t = 0)]
    bump_revision: u64,
    /// Mark the latest revision after restore as the point of scheduled compaction (required if
    /// --bump-revision > 0, disallowed otherwise)
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true")]
    mark_compacted: bool,
}

/// What to print, or with which words and code to end.
type Outcome = Result<String, (u8, String)>;

/// Runs one command. `args` are those behind the program's name.
pub fn main_etcdutl(args: Vec<String>) -> ExitCode {
    let cli = match Cli::try_parse_from(std::iter::once("etcdutl".to_owned()).chain(args)) {
        Ok(cli) => cli,
        Err(error) => {
            // Help goes to standard output, faults to standard error; either may be closed.
            let _ = error.print();
            return ExitCode::from(u8::from(error.use_stderr()));
        }
    };
    base::logging::init("info,openraft=warn", base::logging::Format::Text);
    match run(cli) {
        Ok(text) => {
            print(&text);
            ExitCode::SUCCESS
        }
        Err((code, text)) => {
            complain(&text);
            ExitCode::from(code)
        }
    }
}

fn run(cli: Cli) -> Outcome {
    let format = || {
        Format::parse(&cli.write_out).ok_or((BAD_FEATURE, "unsupported output format".to_owned()))
    };
    let patience = (!cli.timeout.is_zero()).then_some(cli.timeout);
    match cli.command {
        Command::Defrag { data_dir } => defrag(&data_dir, patience),
        Command::Snapshot(Snapshot::Status { files }) => {
            let file = one(
                &files,
                "snapshot status requires exactly one argument",
                BAD_ARGS,
            )?;
            stat(file)?;
            let format = format()?;
            let status = file::open(file)
                .map_err(failed)
                .and_then(|file| status::status(&file).map_err(failed));
            show(&status?, format)
        }
        Command::Snapshot(Snapshot::Restore(restore)) => run_restore(*restore),
        Command::Hashkv { files, rev } => {
            let fault = format!("accepts 1 arg(s), received {}", files.len());
            let path = one(&files, &fault, 1)?;
            let format = format()?;
            stat(path)?;
            let hash = if path.is_dir() {
                hashkv::of_folder(path, rev, patience).map_err(failed)
            } else {
                let file = file::open(path).map_err(failed)?;
                hashkv::of_file(&file, rev).map_err(failed)
            };
            show(&hash?, format)
        }
        Command::Migrate(flags) => migrate::run(*flags),
        Command::Backup(command) => backup::run(command, Format::parse(&cli.write_out)),
        Command::Version => Ok(format!(
            "etcdutl version: {ETCD_VERSION}\nAPI version: {}\n",
            ETCD_VERSION.rsplit_once('.').map_or("", |(api, _)| api)
        )),
        Command::Completion { shells } => {
            completion::run::<Cli>(&shells).map_err(|fault| (1, fault))
        }
        Command::Verify(place) => {
            let found = verify::verify(&place.data_dir, place.wal_dir.as_deref(), patience);
            let found = found.map_err(failed)?;
            let (member, cluster) = (found.identity.member_id, found.identity.cluster_id);
            Ok(format!(
                "member {member:x} of cluster {cluster:x}; log: {} entries; state: applied up to {}, revision {}, hash {}\n",
                found.entries, found.applied, found.revision, found.hash
            ))
        }
        Command::Dump(place) => {
            let mut out = std::io::BufWriter::new(std::io::stdout().lock());
            let dumped = dump::dump(
                &place.data_dir,
                place.wal_dir.as_deref(),
                patience,
                &mut out,
            );
            dumped.map(|()| String::new()).map_err(failed)
        }
    }
}

fn defrag(dir: &Path, patience: Option<Duration>) -> Outcome {
    let defragmented =
        folder::open(dir, None, patience).and_then(|folder| Ok(folder.view.defragment()?));
    defragmented.map(|()| String::new()).map_err(|error| {
        let (dir, error) = (dir.display(), base::report(&error).to_string());
        (
            1,
            format!("Failed to defragment etcd data[{dir}] ({error})"),
        )
    })
}

fn run_restore(flags: Restore) -> Outcome {
    let fault = "snapshot restore requires exactly one argument";
    let file = one(&flags.files, fault, BAD_ARGS)?.to_owned();
    if (flags.bump_revision > 0) != flags.mark_compacted {
        let fault = "--mark-compacted required if --revision-bump > 0";
        return Err((BAD_ARGS, fault.to_owned()));
    }
    let bump_revision = i64::try_from(flags.bump_revision)
        .map_err(|_| (BAD_ARGS, "--bump-revision is too large".to_owned()))?;
    let data_dir = flags.data_dir.filter(|dir| !dir.as_os_str().is_empty());
    let options = restore::Options {
        file,
        data_dir: data_dir.unwrap_or_else(|| format!("{}.etcd", flags.name).into()),
        wal_dir: flags.wal_dir.filter(|dir| !dir.as_os_str().is_empty()),
        name: flags.name,
        initial_cluster: flags.initial_cluster,
        cluster_token: flags.initial_cluster_token,
        peer_urls: flags.initial_advertise_peer_urls,
        skips_hash_check: flags.skip_hash_check,
        bump_revision,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(failed)?;
    let restored = runtime.block_on(restore::restore(&options));
    restored.map(|_| String::new()).map_err(failed)
}

fn one<'p>(files: &'p [PathBuf], fault: &str, code: u8) -> Result<&'p Path, (u8, String)> {
    match files {
        [file] => Ok(file),
        _ => Err((code, fault.to_owned())),
    }
}

/// As etcdutl, which looks before it opens.
fn stat(path: &Path) -> Result<(), (u8, String)> {
    match std::fs::metadata(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let text = format!("stat {}: no such file or directory", path.display());
            Err((1, text))
        }
        Err(error) => Err((1, format!("stat {}: {error}", path.display()))),
    }
}

fn show(shown: &impl Show, format: Format) -> Outcome {
    let text = render(shown, format);
    text.ok_or((
        BAD_FEATURE,
        "protobuf not supported as output format".to_owned(),
    ))
}

fn failed(error: impl std::error::Error) -> (u8, String) {
    (1, base::report(&error).to_string())
}

#[expect(clippy::print_stdout, reason = "what was asked for")]
fn print(text: &str) {
    print!("{text}");
}

#[expect(clippy::print_stderr, reason = "a command-line tool talks to its user")]
fn complain(text: &str) {
    eprintln!("Error: {text}");
}
