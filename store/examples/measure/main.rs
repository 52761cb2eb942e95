//! Measurements too long for a benchmark: `measure leases NAME=PROGRAM.. [LEASES]` and
//! `measure sizes PROGRAM GIB [MEMBERS]`. A program is any that takes etcd's flags.
#![expect(clippy::print_stdout, reason = "the table is what was asked for")]

mod leases;
mod server;
mod sizes;

use anyhow::{Result, bail};

#[tokio::main]
async fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.split_first() {
        Some((what, args)) if what == "leases" => leases::run(args).await,
        Some((what, args)) if what == "sizes" => sizes::run(args).await,
        _ => bail!(
            "usage: measure leases NAME=PROGRAM.. [LEASES] | measure sizes PROGRAM GIB [MEMBERS]"
        ),
    }
}
