//! What the files of a service, and the operator's, may hold, as data: every field with its kind, its bounds, its
//! default and its meaning. One declaration serves the check of a file ([`check`]), taking typed
//! values out of it ([`record`]) and the JSON schemas of `deploy/schemas` ([`schema`]). Not here:
//! the fields themselves, which stand beside the code that uses them.

use super::node::Node;

pub mod check;
mod range;
pub mod record;
pub mod schema;

pub use range::Range;
pub use record::Record;

/// The fields of a kind of map.
#[derive(Debug)]
pub struct Table {
    /// What such a map is, in a sentence.
    pub about: &'static str,
    /// Its fields, sorted by their keys.
    pub fields: &'static [Field],
    /// When given, only these of the fields exist, sorted.
    pub only: Option<&'static [&'static str]>,
    /// Tables whose fields may stand here, too.
    pub beside: &'static [&'static Table],
    /// What becomes of other keys.
    pub unknown: Unknown,
    /// Whether it must hold something.
    pub filled: bool,
}

/// What becomes of a key that is not in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unknown {
    /// It is an error.
    Refused,
    /// It is a warning: another version of the program may know it.
    Warned,
    /// It belongs to somebody else; only what looks like one of the fields, misspelt, is warned of.
    Left,
    /// The code that takes the fields out judges them.
    Judged,
}

/// One field.
#[derive(Debug)]
pub struct Field {
    /// Its key.
    pub key: &'static str,
    /// What it may hold.
    pub kind: Kind,
    /// What it says when it is not given.
    pub default: Default,
    /// What it means, with its unit.
    pub about: &'static str,
    /// Whether it must be given.
    pub required: bool,
    /// Whether `null` is a value of it.
    pub nullable: bool,
    /// Whether a value of another kind is a warning: it counts as not given.
    pub mild: bool,
}

/// What a field says when it is not given.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Default {
    /// Nothing.
    None,
    /// This boolean.
    Bool(bool),
    /// This number.
    Number(f64),
    /// This whole number.
    Whole(i64),
    /// This text.
    Text(&'static str),
    /// A list of this text.
    Texts(&'static str),
    /// What these words say.
    Said(&'static str),
}

/// What a value may be.
#[derive(Debug)]
pub enum Kind {
    /// Anything.
    Any,
    /// A boolean.
    Bool,
    /// A number.
    Number(Range),
    /// A whole number.
    Whole(Range),
    /// Text.
    Text,
    /// Text of a form.
    Pattern(&'static Pattern),
    /// One of these texts.
    Choice(&'static [&'static str]),
    /// A list.
    List(&'static Kind),
    /// A list in which nothing stands twice.
    Set(&'static Kind),
    /// A map with fields.
    Map(&'static Table),
    /// A map with fields that is merged with others, and checked after that.
    Layer(&'static Table),
    /// A map from names to values of a kind.
    Entries(&'static Entries),
    /// A form of its own.
    Shape(&'static Shape),
}

/// A form of text.
#[derive(Debug)]
pub struct Pattern {
    /// Whether a text has the form.
    pub fits: fn(&str) -> bool,
    /// The same as a regular expression, for the JSON schema.
    pub regex: &'static str,
    /// The same in words: what the text must be.
    pub rule: &'static str,
}

/// A map from names to values of one kind.
#[derive(Debug)]
pub struct Entries {
    /// What the map is, in a sentence.
    pub about: &'static str,
    /// The form of the names.
    pub names: Option<&'static Pattern>,
    /// Whether names that begin with `_` are templates, which may hold anything.
    pub templates: bool,
    /// What is under a name.
    pub kind: Kind,
    /// Whether it must hold something.
    pub filled: bool,
}

/// A form that the other kinds cannot express.
#[derive(Debug)]
pub struct Shape {
    /// The rule in words: `expected ...`.
    pub expected: &'static str,
    /// Whether a value has the form.
    pub fits: fn(&Node) -> bool,
    /// The same as a JSON schema, in JSON.
    pub schema: &'static str,
}

impl Table {
    /// A table of these fields that refuses any other key.
    pub const fn strict(about: &'static str, fields: &'static [Field]) -> Self {
        Self {
            about,
            fields,
            only: None,
            beside: &[],
            unknown: Unknown::Refused,
            filled: false,
        }
    }

    /// A table of these fields that leaves other keys to others.
    pub const fn open(about: &'static str, fields: &'static [Field]) -> Self {
        Self {
            unknown: Unknown::Left,
            ..Self::strict(about, fields)
        }
    }

    /// A table of these fields that warns of other keys.
    pub const fn warning(about: &'static str, fields: &'static [Field]) -> Self {
        Self {
            unknown: Unknown::Warned,
            ..Self::strict(about, fields)
        }
    }

    /// The same, with something in it at least.
    #[must_use]
    pub const fn filled(mut self) -> Self {
        self.filled = true;
        self
    }

    /// The field of that key.
    pub fn get(&self, key: &str) -> Option<&'static Field> {
        if self
            .only
            .is_some_and(|only| only.binary_search(&key).is_err())
        {
            return None;
        }
        self.lookup(key)
    }

    fn lookup(&self, key: &str) -> Option<&'static Field> {
        let found = self.fields.binary_search_by(|field| field.key.cmp(key));
        found.ok().map(|n| &self.fields[n])
    }

    /// Every field, without those of the tables beside it.
    pub fn fields(&self) -> impl Iterator<Item = &'static Field> {
        let only = self.only;
        let fields = self.fields.iter();
        fields.filter(move |field| only.is_none_or(|only| only.binary_search(&field.key).is_ok()))
    }

    /// Every key that may stand in such a map.
    pub fn keys(&self) -> impl Iterator<Item = &'static str> {
        let beside = self.beside.iter().flat_map(|table| table.fields());
        self.fields().chain(beside).map(|field| field.key)
    }
}

impl Field {
    /// A field without a default.
    pub const fn new(key: &'static str, kind: Kind, about: &'static str) -> Self {
        Self {
            key,
            kind,
            default: Default::None,
            about,
            required: false,
            nullable: false,
            mild: false,
        }
    }

    /// The same, with a default.
    #[must_use]
    pub const fn or(mut self, default: Default) -> Self {
        self.default = default;
        self
    }

    /// The same, and it must be given.
    #[must_use]
    pub const fn required(mut self) -> Self {
        self.required = true;
        self
    }

    /// The same, and it may be `null`.
    #[must_use]
    pub const fn or_null(mut self) -> Self {
        self.nullable = true;
        self
    }

    /// The same, and a value of another kind is a warning.
    #[must_use]
    pub const fn mild(mut self) -> Self {
        self.mild = true;
        self
    }
}

#[cfg(test)]
mod tests;
