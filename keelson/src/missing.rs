//! The component that this version does not have yet. It refuses and says what to run instead.
#![expect(clippy::print_stderr, reason = "a command-line tool talks to its user")]

use std::process::ExitCode;

/// The api-server.
pub(crate) fn apiserver(_args: Vec<String>) -> ExitCode {
    eprintln!(
        "error: `keelson apiserver` is not part of this version yet; upstream's kube-apiserver \
         works on `keelson store` by its --etcd-servers flag"
    );
    ExitCode::FAILURE
}
