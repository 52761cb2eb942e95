//! `cargo xtask sim`: many seeds, on all cores, and one line at the end.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command-line tool talks to its user"
)]

use std::io::{IsTerminal, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use clap::Parser;
use sha1::{Digest, Sha1};
use simulation::{Outcome, Totals, line, run_seed};

/// Runs simulated clusters and judges their histories.
///
/// Each seed is a cluster of three members on virtual time, network and disk, with clients and faults;
/// the same seed gives the same history everywhere. Ends with a digest over all histories and what they
/// add up to. Exit status 1 if a promise was broken.
#[derive(Parser)]
#[command(name = "sim")]
struct Arguments {
    /// How many seeds.
    #[arg(long, default_value_t = 1000)]
    seeds: u64,
    /// The first one.
    #[arg(long, default_value_t = 0)]
    first: u64,
    /// Stop after so many seconds, at the end of the seeds under way.
    #[arg(long, value_name = "SECONDS")]
    time: Option<u64>,
    /// Seeds at once. Default: one for each core.
    #[arg(long)]
    jobs: Option<usize>,
    /// Print the history of each seed.
    #[arg(long)]
    history: bool,
    /// Build this fault into the store, and end with the first seed that notices. Exit status 1 if none does.
    #[cfg(feature = "planted")]
    #[arg(long, value_name = "FAULT")]
    planted: Option<String>,
}

impl Arguments {
    /// Whether the store is broken on purpose; an error if nobody knows how.
    #[cfg(feature = "planted")]
    fn plant(&self) -> Result<bool, store::planted::UnknownFault> {
        let Some(name) = &self.planted else {
            return Ok(false);
        };
        store::planted::plant(Some(store::planted::named(name)?));
        Ok(true)
    }

    /// The words that plant the same fault again.
    #[cfg(feature = "planted")]
    fn planted(&self) -> String {
        let words = |name| format!(" --planted {name}");
        self.planted.as_ref().map(words).unwrap_or_default()
    }

    #[cfg(not(feature = "planted"))]
    fn planted(&self) -> &'static str {
        let _ = self;
        ""
    }

    #[cfg(not(feature = "planted"))]
    #[expect(clippy::unnecessary_wraps, reason = "the other build's may fail")]
    fn plant(&self) -> Result<bool, std::convert::Infallible> {
        let _ = self;
        Ok(false)
    }
}

/// Broken seeds that are told in full.
const TOLD_MAX: usize = 5;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let is_planted = match arguments.plant() {
        Ok(is_planted) => is_planted,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::from(2);
        }
    };
    let jobs = arguments
        .jobs
        .or_else(|| std::thread::available_parallelism().ok().map(Into::into))
        .unwrap_or(1)
        .max(1);
    let deadline = arguments
        .time
        .map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let (next, is_over) = (AtomicU64::new(0), AtomicBool::new(false));
    let (send, results) = mpsc::sync_channel(jobs * 4);
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            let send = send.clone();
            let (next, is_over, arguments) = (&next, &is_over, &arguments);
            scope.spawn(move || {
                while !is_over.load(Ordering::Relaxed) {
                    let nth = next.fetch_add(1, Ordering::Relaxed);
                    if nth >= arguments.seeds {
                        return;
                    }
                    if send.send((nth, run(arguments.first + nth))).is_err() {
                        return;
                    }
                }
            });
        }
        drop(send);
        let mut tally = Tally::new(&arguments);
        for (nth, result) in &results {
            tally.take(nth, result);
            let is_late = deadline.is_some_and(|deadline| Instant::now() >= deadline);
            if is_late || (is_planted && !tally.broken.is_empty()) {
                is_over.store(true, Ordering::Relaxed);
            }
        }
        tally.end(is_planted)
    })
}

/// A panic is a broken promise like any other.
fn run(seed: u64) -> Result<Outcome, String> {
    catch_unwind(AssertUnwindSafe(|| run_seed(seed))).map_err(|panic| {
        let text = panic
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
        format!("panicked: {}", text.unwrap_or_default())
    })
}

/// Adds results up, in the order of the seeds.
struct Tally<'a> {
    arguments: &'a Arguments,
    hash: Sha1,
    totals: Totals,
    done: u64,
    broken: Vec<u64>,
    /// Results that came before those of earlier seeds.
    early: std::collections::BTreeMap<u64, [u8; 20]>,
    next: u64,
    begun: Instant,
    shown: Instant,
}

impl<'a> Tally<'a> {
    fn new(arguments: &'a Arguments) -> Self {
        Self {
            arguments,
            hash: Sha1::new(),
            totals: Totals::default(),
            done: 0,
            broken: Vec::new(),
            early: std::collections::BTreeMap::new(),
            next: 0,
            begun: Instant::now(),
            shown: Instant::now(),
        }
    }

    fn take(&mut self, nth: u64, result: Result<Outcome, String>) {
        let seed = self.arguments.first + nth;
        let (digest, broken) = match result {
            Ok(outcome) => {
                self.totals.add(&outcome.totals);
                if self.arguments.history {
                    outcome
                        .events
                        .iter()
                        .for_each(|event| print!("{}", line(event)));
                }
                (outcome.digest, outcome.broken)
            }
            Err(text) => ([0; 20], vec![text]),
        };
        self.done += 1;
        if !broken.is_empty() {
            self.broken.push(seed);
            if self.broken.len() <= TOLD_MAX {
                println!("seed {seed}: {}", broken.join("\n  "));
                println!(
                    "  again: cargo xtask sim --first {seed} --seeds 1 --history{}",
                    self.arguments.planted()
                );
            }
        }
        self.early.insert(nth, digest);
        while let Some(digest) = self.early.remove(&self.next) {
            self.hash.update(digest);
            self.next += 1;
        }
        if self.shown.elapsed() >= Duration::from_secs(2) {
            self.shown = Instant::now();
            self.show();
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    fn show(&self) {
        let seconds = self.begun.elapsed().as_secs_f64().max(0.001);
        let text = format!(
            "{} of {} seeds, {:.0} a minute, {} broken",
            self.done,
            self.arguments.seeds,
            self.done as f64 * 60.0 / seconds,
            self.broken.len()
        );
        match std::io::stderr().is_terminal() {
            true => eprint!("\r{text}   "),
            false => eprintln!("{text}"),
        }
        // A progress line that cannot be written is no reason to end.
        let _ = std::io::stderr().flush();
    }

    fn end(self, is_planted: bool) -> ExitCode {
        self.show();
        if std::io::stderr().is_terminal() {
            eprintln!();
        }
        let digest: [u8; 20] = self.hash.finalize().into();
        let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        let totals = self.totals;
        println!(
            "digest {digest}: {} seeds from {}, {} operations ({} acknowledged), {} faults, {} elections, \
             {} snapshots, {} un-synced losses, {} seeds with a leader change and a loss, {} broken",
            self.done,
            self.arguments.first,
            totals.operations,
            totals.acknowledged,
            totals.faults,
            totals.elections,
            totals.snapshots,
            totals.losses,
            totals.hard_runs,
            self.broken.len()
        );
        let is_broken = !self.broken.is_empty();
        match is_broken == is_planted && self.done > 0 {
            true => ExitCode::SUCCESS,
            false => ExitCode::FAILURE,
        }
    }
}
