//! Generates the CRI v1 messages and clients. Pure Rust: no protoc is needed.
fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=protos");
    let descriptors = protox::compile(["runtime/v1/api.proto"], ["protos"])?;
    // Ordered maps, so that what is logged and compared in tests is the same every time.
    tonic_prost_build::configure()
        .btree_map(".")
        .build_server(false)
        .compile_fds(descriptors)?;
    Ok(())
}
