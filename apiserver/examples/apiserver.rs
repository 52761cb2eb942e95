//! Runs the api-server alone, with kube-apiserver's flags.

use std::process::ExitCode;

fn main() -> ExitCode {
    apiserver::main_apiserver(std::env::args().skip(1).collect())
}
