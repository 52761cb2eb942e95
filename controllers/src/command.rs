//! The two programs: flags, logs, the health port, the election, and the controllers of a term.

use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use base::Tasks;
use client::events::Recorder;
use client::leader::Elector;
use client::serve::{Check, Server};
use parking_lot::Mutex;
use prometheus_client::registry::Registry;
use tokio_util::sync::CancellationToken;

use crate::credentials::Credentials;
use crate::driver::Builder;
use crate::metrics::Metrics;
use crate::options::{self, Process, Program};

/// The last chance of tasks at the end of the process.
const STOP_TIME_MAX: Duration = Duration::from_secs(5);

/// `keelson controllers`, or `kube-controller-manager`. `args` are those after the program's name.
pub fn main_controllers(args: Vec<String>) -> ExitCode {
    main(Program::Controllers, &args)
}

/// `keelson cloud-controllers`, or `cloud-controller-manager`. `args` are those after the program's name.
pub fn main_cloud_controllers(args: Vec<String>) -> ExitCode {
    main(Program::CloudControllers, &args)
}

fn main(program: Program, args: &[String]) -> ExitCode {
    let known = options::known(program);
    let parsed = known.parse(program.name(), args);
    let read = parsed.and_then(|flags| Ok((options::read(program, &flags)?, flags)));
    let (process, flags) = match read {
        Ok(read) => read,
        Err(error) => return fail(&error.to_string()),
    };
    if flags.wants_help() {
        let _ = std::io::stdout().write_all(known.help(program.name()).as_bytes());
        return ExitCode::SUCCESS;
    }
    base::logging::init(&process.log_level, base::logging::Format::Text);
    for flag in options::without_effect(&flags) {
        tracing::info!(flag, "flag accepted, without effect");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return fail(&format!("start the runtime: {error}")),
    };
    let result = runtime.block_on(async {
        let stop = CancellationToken::new();
        let signals = Tasks::child_of("signals", &stop);
        let stopper = stop.clone();
        signals.spawn_infallible("signals", async move {
            wait_for_signal(&stopper).await;
            stopper.cancel();
        });
        let result = run(program, process, stop.clone()).await;
        stop.cancel();
        signals.shutdown(STOP_TIME_MAX).await;
        result
    });
    runtime.shutdown_timeout(Duration::from_secs(1));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

fn fail(error: &str) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "Error: {error}");
    ExitCode::FAILURE
}

async fn wait_for_signal(stop: &CancellationToken) {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut terminate), Ok(mut interrupt)) = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    ) else {
        tracing::error!("cannot listen to signals");
        return stop.cancelled().await;
    };
    tokio::select! { biased;
        () = stop.cancelled() => {}
        _ = terminate.recv() => tracing::info!("SIGTERM, stopping"),
        _ = interrupt.recv() => tracing::info!("SIGINT, stopping"),
    }
}

/// Runs a program until `stop`. The error is text for its user.
pub async fn run(
    program: Program,
    process: Process,
    stop: CancellationToken,
) -> Result<(), String> {
    let text = |error: &dyn std::error::Error| base::report(error).to_string();
    let client = client::connect(&process.connect)
        .await
        .map_err(|error| text(&error))?;
    let credentials = Credentials::build(process.act_as, &process.connect, client.clone())
        .await
        .map_err(|error| text(&error))?;
    let registry = Arc::new(Mutex::new(Registry::default()));
    let metrics = Metrics::new(&registry);
    let tasks = Tasks::child_of("process", &stop);
    if let Some(config) = process.serve {
        let ping: (&'static str, Check) = ("ping", Arc::new(|| Ok(())));
        let server = Server::build(config, vec![ping], registry).await;
        let server = server.map_err(|error| text(&error))?;
        tasks.spawn_infallible("health", server.run(tasks.stop().clone()));
    }
    let options = Arc::new(process.options);
    let lead = |term: CancellationToken| {
        let mut builder = Builder::new(credentials.clone(), options.clone(), metrics.clone());
        for entry in &process.enabled {
            builder.add(entry.account, entry.build);
        }
        let metrics = metrics.clone();
        async move {
            metrics.leads(program.name(), true);
            builder.run(term).await;
            metrics.leads(program.name(), false);
        }
    };
    let result = match process.election {
        None => {
            lead(stop.clone()).await;
            if stop.is_cancelled() {
                Ok(())
            } else {
                Err("the controllers ended".to_owned())
            }
        }
        Some(config) => {
            let (recorder, writer) = Recorder::new(client.clone(), program.name());
            tasks.spawn_infallible("events", writer.run(tasks.stop().clone()));
            let elector = Elector::new(client.clone(), config).map_err(|error| text(&error))?;
            let led = elector
                .with_recorder(recorder)
                .run(stop.clone(), lead)
                .await;
            led.map_err(|error| text(&error))
        }
    };
    tasks.shutdown(STOP_TIME_MAX).await;
    result
}
