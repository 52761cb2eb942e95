//! Whether a start asks for the cluster that is there. Pure.

use std::path::Path;

use anyhow::{Result, bail};

use super::options::Options;
use super::spec::{Kind, Spec};

/// Refuses flags that ask for another cluster than the one in `dir`: it keeps the shape of its first
/// start, and what was asked for must not be left out without a word.
pub(crate) fn check(options: &Options, spec: &Spec, dir: &Path) -> Result<()> {
    let count = |kind| spec.of(kind).count().to_string();
    let hollow = spec.of(Kind::Kubelet).filter(|node| node.hollow).count();
    let ports = spec.base_port.map_or_else(
        || "ports that were free then".to_owned(),
        |port| port.to_string(),
    );
    let flags = [
        ("--stores", options.stores, count(Kind::Store)),
        ("--apiservers", options.apiservers, count(Kind::Apiserver)),
        (
            "--controllers",
            options.controllers,
            count(Kind::Controllers),
        ),
        ("--schedulers", options.schedulers, count(Kind::Scheduler)),
        ("--hollow", options.hollow, hollow.to_string()),
        ("--base-port", options.base_port, ports),
    ];
    for (flag, asked, has) in flags {
        if let Some(asked) = asked
            && asked.to_string() != has
        {
            bail!(
                "{flag} {asked}: the cluster in {} was first started with {has}, and keeps its shape; leave {flag} out, or start another cluster in another --data-dir",
                dir.display()
            );
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use clap::{Args, Command, FromArgMatches};

    use super::check;
    use crate::up::options::Options;
    use crate::up::spec::{Component, Kind, Spec};

    fn options(flags: &str) -> Options {
        let words = ["up"].into_iter().chain(flags.split_whitespace());
        let command = Options::augment_args(Command::new("up"));
        Options::from_arg_matches(&command.try_get_matches_from(words).unwrap()).unwrap()
    }

    fn component(kind: Kind, hollow: bool) -> Component {
        Component {
            name: String::new(),
            kind,
            program: None,
            args: Vec::new(),
            urls: Vec::new(),
            hollow,
        }
    }

    #[test]
    fn only_flags_that_ask_for_something_else_are_refused() {
        let mut spec = Spec::new(vec![
            component(Kind::Store, false),
            component(Kind::Apiserver, false),
            component(Kind::Kubelet, true),
        ]);
        let refused = |flags: &str, spec: &Spec| {
            let refusal = check(&options(flags), spec, Path::new("/d")).err()?;
            Some(refusal.to_string())
        };
        assert_eq!(refused("", &spec), None);
        assert_eq!(refused("--stores 1 --apiservers 1 --hollow 1", &spec), None);
        assert_eq!(
            refused("--stores 3", &spec).as_deref(),
            Some(
                "--stores 3: the cluster in /d was first started with 1, and keeps its shape; leave --stores out, or start another cluster in another --data-dir"
            )
        );
        for flags in [
            "--apiservers 2",
            "--controllers 1",
            "--schedulers 2",
            "--hollow 0",
            "--base-port 2000",
        ] {
            assert!(refused(flags, &spec).is_some(), "{flags}");
        }
        spec.base_port = Some(2000);
        assert_eq!(refused("--base-port 2000", &spec), None);
        assert!(refused("--base-port 3000", &spec).is_some());
    }
}
