//! Generates the etcd v3 messages and services. Pure Rust: no protoc is needed.
use std::path::PathBuf;

use prost::Message;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = PathBuf::from("protos");
    let files = [
        "etcd/api/mvccpb/kv.proto",
        "etcd/api/authpb/auth.proto",
        "etcd/api/membershippb/membership.proto",
        "etcd/api/etcdserverpb/rpc.proto",
        "etcd/api/etcdserverpb/raft_internal.proto",
        "etcd/v3lockpb/v3lock.proto",
        "etcd/v3electionpb/v3election.proto",
    ];
    println!("cargo:rerun-if-changed=protos");
    let descriptors = protox::compile(files, [root])?;
    // For whoever reads messages without knowing their types when it is compiled.
    let out = PathBuf::from(std::env::var("OUT_DIR")?).join("descriptors.bin");
    std::fs::write(out, descriptors.encode_to_vec())?;
    tonic_prost_build::configure()
        .build_client(std::env::var_os("CARGO_FEATURE_CLIENT").is_some())
        .build_server(std::env::var_os("CARGO_FEATURE_SERVER").is_some())
        // Keys and values are shared by reference between the log, the state machine and the wire.
        .bytes(".")
        .compile_fds(descriptors)?;
    Ok(())
}
