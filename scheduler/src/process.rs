//! The process around the scheduler: flags, logs, the runtime, and signals that end it in order.

use std::io::Write;
use std::process::ExitCode;

use client::flags::{Error, Flags, Known};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// What a program is started with.
pub(crate) struct Program<C> {
    pub(crate) name: &'static str,
    pub(crate) known: Known,
    pub(crate) read: fn(&Flags) -> Result<C, Error>,
    pub(crate) log_level: fn(&C) -> &str,
}

/// Runs `run` with the settings that `args` give, until it ends or a signal asks it to.
pub(crate) fn main<C, F, E>(
    program: &Program<C>,
    args: &[String],
    run: impl FnOnce(C, CancellationToken) -> F,
) -> ExitCode
where
    F: Future<Output = Result<(), E>>,
    E: std::error::Error + 'static,
{
    let flags = match program.known.parse(program.name, args) {
        Ok(flags) => flags,
        Err(error) => return refuse(&error),
    };
    if flags.wants_help() {
        let _ = std::io::stdout().write_all(program.known.help(program.name).as_bytes());
        return ExitCode::SUCCESS;
    }
    let config = match (program.read)(&flags) {
        Ok(config) => config,
        Err(error) => return refuse(&error),
    };
    base::logging::init((program.log_level)(&config), base::logging::Format::Text);
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return refuse(&error),
    };
    let result = runtime.block_on(async {
        let stop = CancellationToken::new();
        let run = run(config, stop.clone());
        tokio::pin!(run);
        tokio::select! { biased;
            () = asked_to_end() => stop.cancel(),
            result = &mut run => return result,
        }
        run.await
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = %base::report(&error), "ended");
            ExitCode::FAILURE
        }
    }
}

fn refuse(error: &dyn std::error::Error) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "Error: {}", base::report(error));
    ExitCode::FAILURE
}

async fn asked_to_end() {
    let (Ok(mut terminate), Ok(mut interrupt)) = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    ) else {
        // Without handlers the default action of the signals ends the process.
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
