//! The keys `http_listen` and `hacheck_listen`: an address, or `off`, which YAML reads as a boolean.

use std::net::SocketAddr;

use crate::soa::{
    node::{Node, Value},
    table::{Record, Shape},
};

/// What turns an endpoint off.
const OFF: &str = "off";

/// `ADDRESS:PORT`, or `off` with or without quotes.
pub(super) static LISTEN: Shape = Shape {
    expected: "IP:PORT, or off",
    fits: |node| address(node).is_some(),
    schema: r#"{"anyOf": [{"const": false}, {"type": "string", "pattern":
        "^(off|[0-9.]+:[0-9]{1,5}|\\[[0-9a-fA-F:.]+\\]:[0-9]{1,5})$"}]}"#,
};

/// The text of the key; its default where it is not given.
pub(super) fn http_listen(fields: &mut Record<'_, '_>) -> String {
    listen(fields, "http_listen")
}

/// The text of this key; its default where it is not given.
pub(super) fn listen(fields: &mut Record<'_, '_>, key: &'static str) -> String {
    match fields.good(key) {
        Some(node) => address(node).unwrap_or_default(),
        None => fields.text(key).unwrap_or_default(),
    }
}

fn address(node: &Node) -> Option<String> {
    match &node.value {
        Value::Bool(false) => Some(OFF.to_owned()),
        Value::Text(text) if text == OFF || text.parse::<SocketAddr>().is_ok() => {
            Some(text.clone())
        }
        _ => None,
    }
}
