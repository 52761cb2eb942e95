//! `keelson up`: makes or finds the cluster's folder, starts what is not running, waits until it
//! is of use, and then either leaves it or shows it until Ctrl-C.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::sleep;

use super::options::Options;
use super::plan::{self, Machine};
use super::ports::{self, Ports};
use super::process::Process;
use super::ready::Ready;
use super::spec::{Component, Kind, Spec};
use super::{control, files, machine, pki, real_node, shape, show, status};

/// How often the live status block is drawn.
const DRAW_EACH: Duration = Duration::from_secs(2);

/// Runs the command. An error leaves no process of a start that failed.
pub(crate) async fn run(options: &Options) -> Result<()> {
    let started = Instant::now();
    let machine = machine::look(&options.data_dir)?;
    let spec = find_or_plan(options, &machine)?;
    let mut stop = [
        signal(SignalKind::interrupt())?,
        signal(SignalKind::terminate())?,
    ];
    let began: Vec<&Component> = spec
        .components
        .iter()
        .filter(|c| Process::of(&machine.dir, c).pid().is_none())
        .collect();
    let outcome = tokio::select! { biased;
        () = any(&mut stop) => Err(anyhow!("interrupted before the cluster was ready")),
        outcome = start(options, &machine.dir, &spec) => outcome,
    };
    if let Err(error) = outcome {
        say("\n");
        return Err(match control::down(&machine.dir, &spec, &began).await {
            Ok(()) => error,
            Err(also) => anyhow!("{error:#}; and then: {also:#}"),
        });
    }
    say(&show::welcome(&machine.dir, started.elapsed(), &spec));
    say(&format!(
        "\n{}",
        show::table(&status::look(&machine.dir, &spec).await)
    ));
    if options.detach {
        return Ok(());
    }
    show_until(&mut stop, &machine.dir, &spec).await;
    say("\nstopping\n");
    let all: Vec<&Component> = spec.components.iter().collect();
    control::down(&machine.dir, &spec, &all).await
}

/// The cluster of an earlier start, or a new one.
fn find_or_plan(options: &Options, machine: &Machine) -> Result<Spec> {
    let spec = match Spec::load(&machine.dir)? {
        Some(spec) => {
            shape::check(options, &spec, &machine.dir)?;
            spec
        }
        None => {
            let count = plan::ports_needed(options);
            if let Some(base) = options.base_port {
                ports::ensure_free(base, count)?;
            }
            let mut ports = Ports::new(options.base_port, count)?;
            let mut spec = plan::plan(options, machine, &mut ports)?;
            spec.base_port = options.base_port;
            // Before anything is kept, so that another choice can be made here.
            if let Some(node) = &spec.real_node {
                real_node::prepare(&machine.dir, node)?;
            }
            pki::prepare(options, machine, &spec)?;
            spec.save(&machine.dir)?;
            spec
        }
    };
    let binary = std::env::current_exe().context("find this binary")?;
    // `cargo xtask up` names the folder of those that it has fetched.
    let clients = std::env::var_os("KEELSON_PEERS_BIN").map(PathBuf::from);
    files::write_env(&machine.dir, &spec, &binary, clients.as_deref())?;
    Ok(spec)
}

/// Starts kind by kind, each when what it leans on is ready.
async fn start(options: &Options, dir: &Path, spec: &Spec) -> Result<()> {
    let ready = Ready::within(dir, spec, Duration::from_secs(options.timeout));
    begin(dir, spec, &[Kind::Store])?;
    say("store …");
    ready.stores().await?;
    say(" ready\n");
    if spec.of(Kind::Apiserver).next().is_none() {
        return Ok(());
    }
    begin(dir, spec, &[Kind::Apiserver])?;
    say("api-servers …");
    ready.apiservers().await?;
    say(" ready\n");
    begin(
        dir,
        spec,
        &[Kind::Controllers, Kind::Scheduler, Kind::CloudControllers],
    )?;
    if spec.real_node.is_some() {
        say("container runtime …");
        real_node::start(dir, spec, &ready).await?;
        say(" ready\n");
    }
    begin(dir, spec, &[Kind::Kubelet, Kind::Proxy])?;
    say("nodes …");
    ready.nodes().await?;
    say(" ready\n");
    Ok(())
}

fn begin(dir: &Path, spec: &Spec, kinds: &[Kind]) -> Result<()> {
    let chosen = spec
        .components
        .iter()
        .filter(|component| kinds.contains(&component.kind));
    chosen
        .into_iter()
        .try_for_each(|component| Process::of(dir, component).start(component))
}

/// Draws the status block again and again, in place on a terminal, and not at all elsewhere.
async fn show_until(stop: &mut [Signal; 2], dir: &Path, spec: &Spec) {
    let is_terminal = std::io::stdout().is_terminal();
    let lines = spec.components.len() + 1;
    loop {
        tokio::select! { biased;
            () = any(stop) => return,
            () = sleep(DRAW_EACH) => {}
        }
        if is_terminal {
            let table = show::table(&status::look(dir, spec).await);
            say(&format!("\x1b[{lines}A\x1b[J{table}"));
        }
    }
}

async fn any(signals: &mut [Signal; 2]) {
    let [interrupt, terminate] = signals;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}

/// To standard output at once; a closed pipe is no reason to end a cluster.
fn say(text: &str) {
    let mut out = std::io::stdout();
    let _ = out.write_all(text.as_bytes());
    let _ = out.flush();
}
