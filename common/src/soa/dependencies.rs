//! `dependencies.yaml`: where the containers of a service connect to. The firewall that would use
//! it is not there yet.

use super::{
    node::{Map, Node, Value},
    table::{Entries, Field, Kind, Pattern, Shape, Table},
};

/// The groups of destinations, by the names that `dependencies_reference` gives.
pub static DEPENDENCIES: Entries = Entries {
    about: "groups of destinations, by the names that dependencies_reference gives",
    names: None,
    templates: true,
    kind: Kind::List(&DESTINATIONS),
    filled: false,
};

static DESTINATIONS: Kind = Kind::Map(&DESTINATION);

static DESTINATION: Table = Table::strict(
    "one destination: a CIDR, a namespace of smartstack.yaml, or a well-known one",
    &[
        Field::new("cidr", Kind::Pattern(&CIDR), "Addresses."),
        Field::new(
            "port",
            Kind::Shape(&PORT),
            "A TCP port of the CIDR; every one by default.",
        ),
        Field::new(
            "protocol",
            Kind::Choice(&["tcp", "udp"]),
            "Of the CIDR; both by default.",
        ),
        Field::new("smartstack", Kind::Text, "SERVICE.NAMESPACE."),
        Field::new("well-known", Kind::Text, "internet, for example."),
    ],
)
.filled();

static CIDR: Pattern = Pattern {
    fits: |text| {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, bits.parse::<u8>().ok()),
            None => (text, Some(0)),
        };
        match (address.parse::<std::net::IpAddr>(), bits) {
            (Ok(std::net::IpAddr::V4(_)), Some(bits)) => bits <= 32,
            (Ok(std::net::IpAddr::V6(_)), Some(bits)) => bits <= 128,
            _ => false,
        }
    },
    regex: "^[0-9a-fA-F.:]+(/[0-9]{1,3})?$",
    rule: "must be an address or a CIDR such as 10.0.0.0/8",
};

static PORT: Shape = Shape {
    expected: "a port from 1 to 65535, or '*'",
    fits: |node| match &node.value {
        Value::Int(port) => (1..=65_535).contains(port),
        Value::Text(text) => text == "*",
        _ => false,
    },
    schema: r#"{"oneOf": [{"type": "integer", "minimum": 1, "maximum": 65535}, {"const": "*"}]}"#,
};

/// The names of the groups in the file.
pub fn names(root: &Node) -> Vec<&str> {
    let entries = root.as_map().into_iter().flat_map(|map: &Map| &map.entries);
    entries.map(|(name, _)| name.as_str()).collect()
}
