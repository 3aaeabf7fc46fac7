//! The sections `coordinator.tls` and `agent.tls`: the files of a program's TLS.

use crate::soa::table::{Field, Kind, Pattern, Record, Table};

pub(super) static PATH: Pattern = Pattern {
    fits: |path| path.starts_with('/'),
    regex: "^/",
    rule: "must be an absolute path",
};

pub(super) static TLS: Table = Table::warning(
    "the files of the program's TLS, in PEM; without this section it speaks plain text, on loopback only",
    &[
        Field::new(
            "ca",
            Kind::Pattern(&PATH),
            "The certificates of the authorities that are trusted.",
        )
        .required(),
        Field::new(
            "certificate",
            Kind::Pattern(&PATH),
            "The program's own certificate, and those between it and an authority.",
        )
        .required(),
        Field::new(
            "key",
            Kind::Pattern(&PATH),
            "The certificate's private key; a file that only its owner can read.",
        )
        .required(),
    ],
);

/// The files of a program's TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsConfig {
    /// `ca`: the authorities that are trusted.
    pub ca: String,
    /// `certificate`: the program's own.
    pub certificate: String,
    /// `key`: its private key.
    pub key: String,
}

impl TlsConfig {
    /// `None` without the section. A file that is not named is the empty path here: the problem was
    /// noted, and nothing is ever served without TLS because of it.
    pub(super) fn decode(fields: &mut Record<'_, '_>) -> Option<Self> {
        let given = fields.node("tls").is_some();
        let mut section = fields.map("tls");
        let mut text = |key| {
            let section = section.as_mut()?;
            section.text(key)
        };
        let (ca, certificate, key) = (text("ca"), text("certificate"), text("key"));
        given.then(|| Self {
            ca: ca.unwrap_or_default(),
            certificate: certificate.unwrap_or_default(),
            key: key.unwrap_or_default(),
        })
    }
}
