//! `secrets/NAME.json` and the references to it. Nothing is decrypted here: there is no secret
//! provider yet.

use super::table::{Entries, Field, Kind, Table};

/// Where secrets that several services use are kept, beside the services.
pub const SHARED_SERVICE: &str = "_shared";

/// One secret: its ciphertext for each environment.
pub static SECRET: Table = Table::strict(
    "one secret",
    &[Field::new(
        "environments",
        Kind::Entries(&ENVIRONMENTS),
        "The ciphertext for each environment of the secret provider.",
    )
    .required()],
);

static ENVIRONMENTS: Entries = Entries {
    about: "the ciphertext for each environment",
    names: None,
    templates: false,
    kind: Kind::Map(&ENVIRONMENT),
    filled: false,
};

static ENVIRONMENT: Table = Table::open(
    "the secret in one environment",
    &[
        Field::new("ciphertext", Kind::Text, "The encrypted text.").required(),
        Field::new(
            "signature",
            Kind::Text,
            "What changes when the plain text does.",
        ),
    ],
);

/// A value of `env` that stands for a secret.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reference {
    /// Whether it is one that several services use.
    pub shared: bool,
    /// Its name.
    pub name: String,
}

impl Reference {
    /// The secret's file, relative to the soa directory.
    pub fn file(&self, service: &str) -> String {
        let owner = if self.shared { SHARED_SERVICE } else { service };
        format!("{owner}/secrets/{}.json", self.name)
    }
}

/// The secret that a text stands for: `SECRET(name)` or `SHARED_SECRET(name)`, the whole text.
pub fn reference(text: &str) -> Option<Reference> {
    let (shared, rest) = match text.strip_prefix("SHARED_") {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let name = rest.strip_prefix("SECRET(")?.strip_suffix(')')?;
    let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    name.chars().all(fine).then(|| Reference {
        shared,
        name: name.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_is_the_whole_text() {
        let file = |text: &str| reference(text).map(|found| found.file("web"));
        for (text, expected) in [
            ("SECRET(key)", Some("web/secrets/key.json")),
            ("SHARED_SECRET(key-2)", Some("_shared/secrets/key-2.json")),
            ("SECRET", None),
            ("SECRET(../x)", None),
            ("x SECRET(key)", None),
            ("SECRET(key) ", None),
        ] {
            assert_eq!(file(text).as_deref(), expected, "{text}");
        }
    }
}
