//! Generates the peer protocol, and stops a build that would spend twelve minutes on RocksDB
//! without a word.

use std::path::PathBuf;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-env-changed=ROCKSDB_LIB_DIR");
    let library =
        std::env::var_os("ROCKSDB_LIB_DIR").map(|dir| PathBuf::from(dir).join("librocksdb.a"));
    if !library.as_ref().is_some_and(|path| path.exists()) {
        println!(
            "cargo::error=RocksDB is not built on this machine yet: run `cargo xtask setup` once"
        );
    }
    println!("cargo:rerun-if-changed=protos");
    let descriptors = protox::compile(["peer.proto"], ["protos"])?;
    tonic_prost_build::configure()
        // Payloads are shared by reference between the wire, the log and the state machine.
        .bytes(".")
        .compile_fds(descriptors)?;
    Ok(())
}
