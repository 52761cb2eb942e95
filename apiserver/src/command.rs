//! The program `kube-apiserver`: flags, log, signals, exit code.

use std::process::ExitCode;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::config;
use crate::server::Server;

/// Reads the flags, serves until a signal, and says what is wrong.
pub fn main_apiserver(args: Vec<String>) -> ExitCode {
    if args.iter().any(|arg| arg == "--version") {
        return say(&format!(
            "Kubernetes {}",
            crate::http::documents::git_version()
        ));
    }
    if args
        .iter()
        .any(|arg| matches!(arg.as_str(), "--help" | "-h"))
    {
        return say(&config::usage());
    }
    let config = match config::parse(&args) {
        Ok(config) => config,
        Err(error) => return fail(&error),
    };
    base::logging::init(&config.log_level, base::logging::Format::Text);
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error),
    };
    runtime.block_on(async {
        let server = match Server::build(config).await {
            Ok(server) => server,
            Err(error) => return fail(&base::report(&error)),
        };
        let stop = CancellationToken::new();
        let (interrupt, terminate) = match (
            signal(SignalKind::interrupt()),
            signal(SignalKind::terminate()),
        ) {
            (Ok(interrupt), Ok(terminate)) => (interrupt, terminate),
            (Err(error), _) | (_, Err(error)) => return fail(&error),
        };
        let asked = stop_on(interrupt, terminate, stop.clone());
        let (was_asked, ()) = tokio::join!(
            async {
                // The signal first: it is what cancels the other.
                tokio::select! { biased;
                    () = asked => true,
                    () = stop.cancelled() => false,
                }
            },
            async {
                server.run(stop.clone()).await;
                stop.cancel();
            }
        );
        if was_asked {
            ExitCode::SUCCESS
        } else {
            fail(&"a part of the server failed; see the log")
        }
    })
}

async fn stop_on(mut interrupt: Signal, mut terminate: Signal, stop: CancellationToken) {
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    stop.cancel();
}

fn say(text: &str) -> ExitCode {
    use std::io::Write as _;
    match writeln!(std::io::stdout(), "{text}") {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn fail(error: &dyn std::fmt::Display) -> ExitCode {
    use std::io::Write as _;
    // Nothing is left to do if even this cannot be written.
    let _ = writeln!(std::io::stderr(), "Error: {error}");
    ExitCode::FAILURE
}
