//! Compiles every `.proto` of the package without a system protoc, and keeps the descriptor set
//! for the gRPC reflection service, the words of every enum, and which text stands for which enum.

use std::{
    collections::BTreeMap,
    env,
    error::Error,
    fmt::{self, Write as _},
    fs,
    path::PathBuf,
};

use prost::Message;
use prost_types::{
    DescriptorProto, FieldDescriptorProto, FileDescriptorSet,
    field_descriptor_proto::{Label, Type},
};

/// Values whose word is that of the configuration file, which has `_` between words.
const AS_CONFIGURED: [&str; 1] = ["DEADLINE_ACTION_GO_ON"];
/// The enum whose words are in capitals, as in the configuration file.
const IN_CAPITALS: &str = "ConstraintOperator";
/// What the name of the text beside an enum ends with.
const TEXT: &str = "_word";
/// The message that is one word in JSON.
const NETWORK: &str = ".paasta.v1.Network";

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
    fs::write(out.join("paasta.v1.texts.rs"), texts(&descriptors)?)?;
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
    for (field, attribute) in attributes(&descriptors) {
        config = config.field_attribute(field, attribute);
    }
    config.compile_fds_with_config(descriptors, names)?;
    Ok(())
}

/// How fields that are words are written in JSON, each by its path.
fn attributes(set: &FileDescriptorSet) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for file in &set.file {
        for message in &file.message_type {
            let path = format!(".{}.{}", file.package(), message.name());
            for field in &message.field {
                if let Some(attribute) = attribute(message, field) {
                    found.push((format!("{path}.{}", field.name()), attribute));
                }
            }
        }
    }
    found
}

fn attribute(message: &DescriptorProto, field: &FieldDescriptorProto) -> Option<String> {
    let of = of_type(field);
    let with = match (field.r#type(), field.label()) {
        (Type::Enum, Label::Repeated) => format!("crate::words::List::<crate::v1::{of}>"),
        (Type::Enum, _) => format!("crate::words::Word::<crate::v1::{of}>"),
        (Type::Message, _) if field.type_name() == NETWORK => "crate::words::network".to_owned(),
        (Type::String, _) if is_text(message, field) => return Some("#[serde(skip)]".to_owned()),
        _ => return None,
    };
    Some(format!("#[serde(with = \"{with}\")]"))
}

/// The last part of the name of a field's type.
fn of_type(field: &FieldDescriptorProto) -> &str {
    field.type_name().rsplit('.').next().unwrap_or_default()
}

/// Whether a field is the text of another one of the message.
fn is_text(message: &DescriptorProto, field: &FieldDescriptorProto) -> bool {
    let of = field.name().strip_suffix(TEXT);
    of.is_some_and(|of| message.field.iter().any(|field| field.name() == of))
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
            let as_configured = AS_CONFIGURED.contains(&value.name());
            let word = match (name == IN_CAPITALS, as_configured) {
                (true, _) => word.to_owned(),
                (false, true) => word.to_ascii_lowercase(),
                (false, false) => word.to_ascii_lowercase().replace('_', "-"),
            };
            writeln!(text, "        ({}, {word:?}),", value.number())?;
        }
        text.push_str("    ];\n}\n");
    }
    Ok(text)
}

/// `impl Texts` for every message of the package, and for what its oneofs hold.
fn texts(set: &FileDescriptorSet) -> Result<String, Box<dyn Error>> {
    let mut text = String::new();
    for message in set.file.iter().flat_map(|file| &file.message_type) {
        let mut lines = Lines::default();
        for field in &message.field {
            lines.add(message, field);
        }
        let name = message.name();
        implement(&mut text, name, &lines.write, &lines.read)?;
        for (oneof, variants) in &lines.oneofs {
            let arms = |call: &str| {
                let arms = variants
                    .iter()
                    .map(|variant| format!("Self::{variant}(message) => message.{call}(),"));
                format!("match self {{ {} }}", arms.collect::<String>())
            };
            let name = format!("{}::{}", snake(name), camel(oneof));
            implement(&mut text, &name, &arms("write_texts"), &arms("read_texts"))?;
        }
    }
    Ok(text)
}

fn implement(text: &mut String, name: &str, write: &str, read: &str) -> fmt::Result {
    writeln!(text, "impl crate::texts::Texts for crate::v1::{name} {{")?;
    writeln!(text, "    fn write_texts(&mut self) {{ {write} }}")?;
    writeln!(text, "    fn read_texts(&mut self) {{ {read} }}")?;
    writeln!(text, "}}")
}

/// What is done for the fields of one message.
#[derive(Default)]
struct Lines {
    write: String,
    read: String,
    /// The messages that each oneof may hold.
    oneofs: BTreeMap<String, Vec<String>>,
}

impl Lines {
    fn add(&mut self, message: &DescriptorProto, field: &FieldDescriptorProto) {
        let name = field.name();
        let oneof = field.oneof_index.filter(|_| !field.proto3_optional());
        let oneof = oneof.and_then(|at| message.oneof_decl.get(usize::try_from(at).ok()?));
        if let Some(oneof) = oneof {
            let variants = self.oneofs.entry(oneof.name().to_owned()).or_default();
            variants.push(camel(name));
            if variants.len() == 1 {
                self.within(oneof.name());
            }
            return;
        }
        let text = format!("{name}{TEXT}");
        let has_text = message.field.iter().any(|field| field.name() == text);
        let with = match (field.r#type(), field.label()) {
            (Type::Enum, Label::Repeated) => format!("List::<crate::v1::{}>", of_type(field)),
            (Type::Enum, _) => format!("One::<crate::v1::{}>", of_type(field)),
            (Type::Message, _) if field.type_name() == NETWORK => "Net".to_owned(),
            // A map's entries are a message that only the map has.
            (Type::Message, _) => match message
                .nested_type
                .iter()
                .find(|entry| entry.name() == of_type(field))
            {
                Some(entry) if !holds_messages(entry) => return,
                _ => return self.within(name),
            },
            _ => return,
        };
        if has_text {
            let (value, text) = (format!("self.{name}"), format!("self.{text}"));
            self.write += &format!("crate::texts::{with}::write(&{value}, &mut {text});");
            self.read += &format!("crate::texts::{with}::read(&mut {value}, &mut {text});");
        }
    }

    fn within(&mut self, name: &str) {
        self.write += &format!("self.{name}.write_texts();");
        self.read += &format!("self.{name}.read_texts();");
    }
}

fn holds_messages(entry: &DescriptorProto) -> bool {
    let mut fields = entry.field.iter();
    fields.any(|field| field.r#type() == Type::Message)
}

/// The name of a type as that of a module.
fn snake(name: &str) -> String {
    let mut text = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !text.is_empty() {
            text.push('_');
        }
        text.push(letter.to_ascii_lowercase());
    }
    text
}

/// The name of a field as that of a type.
fn camel(name: &str) -> String {
    let words = name.split('_').map(|word| {
        let (first, rest) = word.split_at_checked(1).unwrap_or_default();
        first.to_ascii_uppercase() + rest
    });
    words.collect()
}
