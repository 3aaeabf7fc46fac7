//! How long every string and how many of everything a request may hold, checked on its bytes
//! before anything of it is decoded: what is too long costs its reading and no more. The numbers
//! are [`TABLE`]; a test holds them against the descriptors, so that a field without a bound is no
//! field of a request.

mod table;
mod wire;

use std::{collections::BTreeMap, fmt, sync::OnceLock};

use prost::Message as _;
use prost_types::{
    DescriptorProto, FieldDescriptorProto, FileDescriptorSet,
    field_descriptor_proto::{Label, Type},
};

pub use paasta_common::id::ECHO_CHARS_MAX;
pub use table::{Bound, TABLE};

/// What counts for a field that is not in [`TABLE`].
const UNLISTED: Bound = Bound {
    items: 10_000,
    bytes: 4 << 10,
};

/// Why a request is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A value is too long.
    #[error(
        "{field}: {actual} bytes are more than the {limit} that it may have; it begins {begins:?}"
    )]
    TooLong {
        /// `Message.field`.
        field: String,
        /// How many bytes it may have.
        limit: usize,
        /// How many it has.
        actual: usize,
        /// Its beginning, at most [`ECHO_CHARS_MAX`] characters.
        begins: String,
    },
    /// There are too many values.
    #[error("{field}: {actual} or more values, and there may be {limit}; ask in several requests")]
    TooMany {
        /// `Message.field`.
        field: String,
        /// How many there may be.
        limit: usize,
        /// How many there are at least.
        actual: usize,
    },
    /// The bytes are no such message.
    #[error("the bytes are no {message}: {why}; use a client of this version")]
    Malformed {
        /// The message.
        message: String,
        /// What is wrong.
        why: &'static str,
    },
}

/// Checks the bytes of a message that is called so, if it is one of a request; another message is
/// not looked at.
///
/// # Errors
/// What is wrong with it first.
pub fn check(message: &str, bytes: &[u8]) -> Result<(), Refusal> {
    let rules = rules();
    match rules.requests.get(message) {
        Some(at) => wire::check(rules, *at, bytes),
        None => Ok(()),
    }
}

/// Whether a message is one of a request.
pub fn is_request(message: &str) -> bool {
    rules().requests.contains_key(message)
}

/// What is known of every message that a request may hold.
#[derive(Debug, Default)]
struct Rules {
    /// Full names of the messages that calls take, and where their rules are.
    requests: BTreeMap<String, usize>,
    messages: Vec<MessageRules>,
    /// Fields without a bound, and bounds without a field: none, as a test sees.
    faults: Vec<String>,
}

#[derive(Debug, Default)]
struct MessageRules {
    name: String,
    fields: Vec<FieldRules>,
}

#[derive(Debug)]
struct FieldRules {
    name: String,
    number: u32,
    what: What,
    repeated: bool,
    bound: Bound,
}

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    /// A string or bytes.
    Text,
    /// A message.
    Message(usize),
    /// A number; several of them may be packed.
    Number,
}

impl FieldRules {
    fn full(&self, message: &MessageRules) -> String {
        format!("{}.{}", message.name, self.name)
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.items, self.bytes) {
            (1, bytes) => write!(f, "{bytes} bytes"),
            (items, 0) => write!(f, "{items} values"),
            (items, bytes) => write!(f, "{items} values of {bytes} bytes"),
        }
    }
}

fn rules() -> &'static Rules {
    static RULES: OnceLock<Rules> = OnceLock::new();
    // The descriptors are part of the program; a test reads them.
    RULES.get_or_init(|| {
        let set = FileDescriptorSet::decode(crate::DESCRIPTORS).unwrap_or_default();
        Rules::build(&set)
    })
}

impl Rules {
    fn build(set: &FileDescriptorSet) -> Self {
        let mut known = BTreeMap::new();
        for file in &set.file {
            let package = format!(".{}", file.package());
            for message in &file.message_type {
                collect(&mut known, &package, message);
            }
        }
        let mut rules = Self::default();
        let mut places = BTreeMap::new();
        let services = set.file.iter().flat_map(|file| &file.service);
        for input in services.flat_map(|service| &service.method) {
            let name = input.input_type();
            if let Some(at) = rules.add(&known, &mut places, name) {
                rules
                    .requests
                    .insert(name.trim_start_matches('.').to_owned(), at);
            }
        }
        for (name, _) in TABLE {
            let used = rules.messages.iter().any(|message| {
                let mut fields = message.fields.iter();
                fields.any(|field| field.full(message) == *name)
            });
            if !used {
                rules
                    .faults
                    .push(format!("{name} is no field of a request"));
            }
        }
        rules
    }

    /// Adds a message and all that it may hold.
    fn add(
        &mut self,
        known: &BTreeMap<String, &DescriptorProto>,
        places: &mut BTreeMap<String, usize>,
        name: &str,
    ) -> Option<usize> {
        if let Some(at) = places.get(name) {
            return Some(*at);
        }
        let descriptor = *known.get(name)?;
        let at = self.messages.len();
        places.insert(name.to_owned(), at);
        self.messages.push(MessageRules {
            name: descriptor.name().to_owned(),
            fields: Vec::new(),
        });
        for field in &descriptor.field {
            let made = self.field(known, places, descriptor, field);
            self.messages[at].fields.push(made);
        }
        Some(at)
    }

    fn field(
        &mut self,
        known: &BTreeMap<String, &DescriptorProto>,
        places: &mut BTreeMap<String, usize>,
        message: &DescriptorProto,
        field: &FieldDescriptorProto,
    ) -> FieldRules {
        let full = format!("{}.{}", message.name(), field.name());
        let repeated = field.label() == Label::Repeated;
        let what = match field.r#type() {
            Type::String | Type::Bytes => What::Text,
            Type::Message => {
                let entry = known.get(field.type_name());
                let is_map = entry.is_some_and(|entry| is_map_entry(entry));
                match self.add(known, places, field.type_name()) {
                    Some(inner) => {
                        if is_map {
                            self.bind_entry(inner, &full);
                        }
                        What::Message(inner)
                    }
                    None => What::Number,
                }
            }
            _ => What::Number,
        };
        let bound = bound_of(&full);
        let needed = repeated || what == What::Text;
        // The key and value of a map are bounded with the map.
        if needed && bound.is_none() && !is_map_entry(message) {
            self.faults.push(format!("{full} has no bound"));
        }
        FieldRules {
            name: field.name().to_owned(),
            number: u32::try_from(field.number()).unwrap_or_default(),
            what,
            repeated,
            // A line that is missing in the table fails a test; it is no reason to refuse a request.
            bound: bound.unwrap_or(UNLISTED),
        }
    }

    /// A map's entries have the bound of the map, and are called by it.
    fn bind_entry(&mut self, entry: usize, map: &str) {
        let bytes = bound_of(map).map_or(0, |bound| bound.bytes);
        let entry = &mut self.messages[entry];
        map.clone_into(&mut entry.name);
        for field in &mut entry.fields {
            field.bound = Bound { items: 1, bytes };
        }
    }
}

fn bound_of(full: &str) -> Option<Bound> {
    let mut table = TABLE.iter();
    table
        .find(|(name, _)| *name == full)
        .map(|(_, bound)| *bound)
}

fn is_map_entry(message: &DescriptorProto) -> bool {
    let options = message.options.as_ref();
    options.is_some_and(|options| options.map_entry())
}

fn collect<'a>(
    known: &mut BTreeMap<String, &'a DescriptorProto>,
    package: &str,
    message: &'a DescriptorProto,
) {
    let name = format!("{package}.{}", message.name());
    for nested in &message.nested_type {
        collect(known, &name, nested);
    }
    known.insert(name, message);
}

#[cfg(test)]
mod tests;
