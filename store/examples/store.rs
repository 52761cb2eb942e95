//! Runs one store member, as `keelson store` does.

fn main() -> std::process::ExitCode {
    store::main_store(std::env::args().skip(1).collect())
}
