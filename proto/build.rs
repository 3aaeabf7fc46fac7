//! Compiles every `.proto` of the package without a system protoc, and keeps the descriptor set
//! for the gRPC reflection service.

use std::{env, error::Error, fs, path::PathBuf};

use prost::Message;

fn main() -> Result<(), Box<dyn Error>> {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let package = root.join("paasta/v1");
    println!("cargo:rerun-if-changed={}", package.display());
    let mut files: Vec<PathBuf> = fs::read_dir(&package)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    files.retain(|path| path.extension().is_some_and(|ext| ext == "proto"));
    files.sort();
    for file in &files {
        println!("cargo:rerun-if-changed={}", file.display());
    }
    let descriptors = protox::compile(&files, [&root])?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("paasta.v1.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure()
        .type_attribute(".", "#[derive(serde::Serialize, serde::Deserialize)]")
        .type_attribute(".", "#[serde(rename_all = \"snake_case\")]")
        .message_attribute(".", "#[serde(default)]")
        .btree_map(".")
        .bytes(".paasta.v1.RaftPayload")
        .compile_fds(descriptors)?;
    Ok(())
}
