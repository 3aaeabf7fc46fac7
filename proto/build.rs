//! Compiles every `.proto` of the package without a system protoc, and keeps the descriptor set
//! for the gRPC reflection service and the words of every enum.

use std::{env, error::Error, fmt::Write as _, fs, path::PathBuf};

use prost::Message;
use prost_types::{DescriptorProto, FileDescriptorSet, field_descriptor_proto::Type};

/// Values whose word is that of the configuration file, which has `_` between words.
const AS_CONFIGURED: [&str; 1] = ["DEADLINE_ACTION_GO_ON"];

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
    fs::write(out.join("paasta.v1.words.rs"), words(&descriptors)?)?;
    // Each message knows its name: by it requests are held against their bounds.
    let mut names = prost_build::Config::new();
    names.enable_type_names();
    let mut config = tonic_prost_build::configure()
        .codec_path("crate::codec::BoundedCodec")
        .type_attribute(".", "#[derive(serde::Serialize, serde::Deserialize)]")
        .type_attribute(".", "#[serde(rename_all = \"snake_case\")]")
        .message_attribute(".", "#[serde(default)]")
        .btree_map(".")
        .bytes(".paasta.v1.RaftPayload");
    for (field, of) in enum_fields(&descriptors) {
        let with = format!("#[serde(with = \"crate::words::Word::<crate::v1::{of}>\")]");
        config = config.field_attribute(field, with);
    }
    config.compile_fds_with_config(descriptors, names)?;
    Ok(())
}

/// The path of every field whose type is an enum, and the name of that.
fn enum_fields(set: &FileDescriptorSet) -> Vec<(String, String)> {
    fn of(message: &DescriptorProto, within: &str, found: &mut Vec<(String, String)>) {
        let path = format!("{within}.{}", message.name());
        for field in &message.field {
            if field.r#type() == Type::Enum {
                let of = field.type_name().rsplit('.').next().unwrap_or_default();
                found.push((format!("{path}.{}", field.name()), of.to_owned()));
            }
        }
        for nested in &message.nested_type {
            of(nested, &path, found);
        }
    }
    let mut found = Vec::new();
    for file in &set.file {
        for message in &file.message_type {
            of(message, &format!(".{}", file.package()), &mut found);
        }
    }
    found
}

/// `impl Words` for every enum of the package: `REPLICA_CLASS_AT_RISK` is `at-risk`.
fn words(set: &FileDescriptorSet) -> Result<String, Box<dyn Error>> {
    let mut text = String::new();
    for of in set.file.iter().flat_map(|file| &file.enum_type) {
        let name = of.name();
        let zero = of.value.first().map(|value| value.name().to_owned());
        let zero = zero.unwrap_or_default();
        let prefix = zero
            .strip_suffix("UNSPECIFIED")
            .ok_or_else(|| format!("enum {name} begins without an UNSPECIFIED value"))?;
        writeln!(text, "impl crate::words::Words for crate::v1::{name} {{")?;
        text.push_str("    const WORDS: &'static [(i32, &'static str)] = &[\n");
        for value in of.value.iter().skip(1) {
            let word = value.name().strip_prefix(prefix);
            let word = word.ok_or_else(|| format!("{} is not {prefix}...", value.name()))?;
            let word = match AS_CONFIGURED.contains(&value.name()) {
                true => word.to_ascii_lowercase(),
                false => word.to_ascii_lowercase().replace('_', "-"),
            };
            writeln!(text, "        ({}, {word:?}),", value.number())?;
        }
        text.push_str("    ];\n}\n");
    }
    Ok(text)
}
