//! `keelson store`, and a link named `etcd`: from a command line to an exit code.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::notify;
use super::store::{RunError, Store};
use crate::config::{self, Config, ConfigError, Invocation, Logging};
use crate::logging;

/// How long threads may take to end after the member has.
const END_TIMEOUT: Duration = Duration::from_secs(30);

/// Runs a member until SIGTERM or SIGINT. `args` are those behind the program's name. Exit codes are
/// etcd's: 0 after an orderly end, 2 for a command line that cannot be read, 1 for anything else.
pub fn main_store(args: Vec<String>) -> ExitCode {
    let arch = config::go_arch();
    let is_accepted = std::env::var_os("ETCD_UNSUPPORTED_ARCH").is_some_and(|given| given == arch);
    if !is_supported(arch) && !is_accepted {
        // Standard error takes no opening.
        let _ = logging::init(&Logging::default());
        tracing::error!(
            arch,
            "Refusing to run etcd on unsupported architecture since ETCD_UNSUPPORTED_ARCH is not set"
        );
        return ExitCode::FAILURE;
    }
    let config = match Invocation::parse(&args, std::env::vars()) {
        Ok(Invocation::Run(config)) => *config,
        Ok(Invocation::Print(text)) => {
            print(&text);
            return ExitCode::SUCCESS;
        }
        Err(error) => return refuse(&error),
    };
    if let Err(error) = logging::init(&config.logging) {
        return refuse(&ConfigError::Invalid(vec![error.to_string()]));
    }
    if !is_supported(arch) {
        tracing::info!(
            arch,
            "running etcd on unsupported architecture since ETCD_UNSUPPORTED_ARCH is set"
        );
    }
    tracing::info!(args = ?config::redacted(&args), "Running: ");
    if let Some(path) = &config.config_file {
        tracing::info!(
            path = %path.display(),
            "loaded server configuration, other configuration command line flags and environment variables will be ignored if provided"
        );
    }
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    if let Err(error) = crate::planted::choose() {
        tracing::error!(error = %error, "cannot plant a fault");
        return ExitCode::FAILURE;
    }
    if let Err(error) = crate::failpoint::serve() {
        tracing::error!(error = %error, "cannot listen for failpoint orders");
        return ExitCode::FAILURE;
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("store")
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(error = %error, "cannot start the runtime");
            return ExitCode::FAILURE;
        }
    };
    let code = runtime.block_on(run(config));
    end_threads(runtime);
    code
}

/// Those that etcd runs on without being asked twice.
fn is_supported(arch: &str) -> bool {
    matches!(arch, "amd64" | "arm64" | "ppc64le" | "s390x")
}

/// Waits for every thread of the runtime: a read that one of them still does keeps RocksDB open, and
/// RocksDB must be closed before this process runs its destructors. A thread that a dead disk holds up
/// leaves only an end without them; whatever was acknowledged is in the raft log.
fn end_threads(runtime: tokio::runtime::Runtime) {
    let started = Instant::now();
    runtime.shutdown_timeout(END_TIMEOUT);
    if started.elapsed() >= END_TIMEOUT {
        tracing::error!(
            "a thread still reads the disk after the shutdown timeout: ending without it"
        );
        let _ =
            rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    }
}

async fn run(config: Config) -> ExitCode {
    let stop = CancellationToken::new();
    // Before anything starts, so that no signal finds the member without a way to end in order.
    let (Ok(mut terminate), Ok(mut interrupt)) = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    ) else {
        tracing::error!("cannot listen for signals");
        return ExitCode::FAILURE;
    };
    let signals = async {
        tokio::select! {
            _ = terminate.recv() => tracing::info!("received signal; shutting down: terminated"),
            _ = interrupt.recv() => tracing::info!("received signal; shutting down: interrupt"),
        }
        stop.cancel();
        std::future::pending::<()>().await;
    };
    let work = async {
        let store = tokio::select! { biased;
            () = stop.cancelled() => return ExitCode::SUCCESS,
            built = Store::build(config) => match built {
                Ok(store) => store,
                Err(error) => {
                    tracing::error!(error = %base::report(&error), "failed to start");
                    return ExitCode::FAILURE;
                }
            },
        };
        let handle = store.handle();
        let told = async {
            if handle.wait_ready().await {
                notify::ready(std::env::var_os("NOTIFY_SOCKET").as_deref());
            }
            std::future::pending::<()>().await;
        };
        let ended = tokio::select! { biased;
            ended = store.run(stop.clone()) => ended,
            () = told => return ExitCode::FAILURE,
        };
        match ended {
            Ok(()) => ExitCode::SUCCESS,
            // Nothing failed, and a supervisor that starts the member again would not help.
            Err(error @ RunError::Removed) => {
                tracing::warn!(error = %error, "server error");
                tracing::warn!("data-dir used by this member must be removed");
                ExitCode::SUCCESS
            }
            Err(error) => {
                tracing::error!(error = %base::report(&error), "the member ended");
                ExitCode::FAILURE
            }
        }
    };
    tokio::select! {
        code = work => code,
        () = signals => ExitCode::FAILURE,
    }
}

fn refuse(error: &ConfigError) -> ExitCode {
    match error {
        ConfigError::Usage(fault) => complain(&format!("{fault}\n{}", crate::config::usage())),
        ConfigError::Invalid(faults) => {
            // Standard error takes no opening.
            let _ = logging::init(&Logging::default());
            for fault in faults {
                tracing::warn!(error = fault, "failed to verify flags");
            }
        }
    }
    ExitCode::from(error.exit_code())
}

#[expect(
    clippy::print_stdout,
    reason = "help and version are what was asked for"
)]
fn print(text: &str) {
    print!("{text}");
}

#[expect(
    clippy::print_stderr,
    reason = "there is no log before the command line is understood"
)]
fn complain(text: &str) {
    eprintln!("{text}");
}
