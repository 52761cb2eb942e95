//! `etcdutl completion`: a script by which a shell completes the command line. Words of refusals are
//! etcdutl's.

use clap::CommandFactory;
use clap_complete::Shell;

const SHELLS: [(&str, Shell); 4] = [
    ("bash", Shell::Bash),
    ("zsh", Shell::Zsh),
    ("fish", Shell::Fish),
    ("powershell", Shell::PowerShell),
];

/// The script for the one shell that is named.
pub(super) fn run<C: CommandFactory>(shells: &[String]) -> Result<String, String> {
    let [name] = shells else {
        return Err(format!("accepts 1 arg(s), received {}", shells.len()));
    };
    let known = SHELLS.iter().find(|(known, _)| known == name);
    let (_, shell) =
        known.ok_or_else(|| format!("invalid argument {name:?} for \"etcdutl completion\""))?;
    let mut script = Vec::new();
    clap_complete::generate(*shell, &mut C::command(), "etcdutl", &mut script);
    String::from_utf8(script).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::process::{Command, Stdio};

    use super::super::Cli;
    use super::run;

    #[test]
    fn a_script_names_every_command_and_bash_reads_it() {
        for shell in ["bash", "zsh", "fish", "powershell"] {
            let script = run::<Cli>(&[shell.into()]).unwrap();
            for word in [
                "snapshot", "restore", "hashkv", "defrag", "migrate", "backup",
            ] {
                assert!(script.contains(word), "{shell}: {word}");
            }
        }
        let script = run::<Cli>(&["bash".into()]).unwrap();
        let mut bash = Command::new("bash")
            .arg("-n")
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = bash.stdin.take().unwrap();
        stdin.write_all(script.as_bytes()).unwrap();
        drop(stdin);
        assert!(bash.wait().unwrap().success());
    }

    #[test]
    fn a_shell_must_be_known() {
        assert_eq!(run::<Cli>(&[]).unwrap_err(), "accepts 1 arg(s), received 0");
        assert_eq!(
            run::<Cli>(&["tcsh".into()]).unwrap_err(),
            "invalid argument \"tcsh\" for \"etcdutl completion\""
        );
    }
}
