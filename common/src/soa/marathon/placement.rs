//! The fields that say where an instance may run.

use super::{Location, Placement, Whitelist};
use crate::{
    app::{Constraint, Operator},
    soa::{
        decode::Fields,
        node::{Node, Value},
    },
};

/// Takes `pool`, the constraints and the deploy lists.
pub(super) fn placement(fields: &mut Fields<'_, '_>) -> Placement {
    Placement {
        pool: fields.text("pool").unwrap_or_else(|| "default".to_owned()),
        constraints: constraints(fields, "constraints"),
        extra_constraints: constraints(fields, "extra_constraints").unwrap_or_default(),
        blacklist: blacklist(fields, "deploy_blacklist"),
        whitelist: whitelist(fields, "deploy_whitelist"),
    }
}

/// A list of `[attribute, OPERATOR, value]`.
fn constraints(fields: &mut Fields<'_, '_>, key: &'static str) -> Option<Vec<Constraint>> {
    let mut constraints = Vec::new();
    for (n, item) in fields.list(key)?.iter().enumerate() {
        let path = format!("{key}[{n}]");
        match constraint(item) {
            Ok(constraint) if constraints.contains(&constraint) => {
                fields.error(&path, &item.mark, "the same constraint is given twice");
            }
            Ok(constraint) => constraints.push(constraint),
            Err(message) => fields.error(&path, &item.mark, message),
        }
    }
    Some(constraints)
}

fn constraint(node: &Node) -> Result<Constraint, String> {
    let shape = || {
        format!(
            "expected [attribute, OPERATOR, value], found {}",
            node.describe()
        )
    };
    let Value::List(items) = &node.value else {
        return Err(shape());
    };
    let parts: Vec<String> = items.iter().map_while(word).collect();
    if parts.len() != items.len() || !(2..=3).contains(&parts.len()) || parts[0].is_empty() {
        return Err(shape());
    }
    let operator = operator(&parts[1])?;
    let value = parts.get(2).filter(|value| !value.is_empty()).cloned();
    check_value(operator, &parts[1], value.as_deref())?;
    Ok(Constraint {
        attribute: parts[0].clone(),
        operator,
        value,
    })
}

/// A word of a constraint: text, or a number written without quotes.
fn word(node: &Node) -> Option<String> {
    match &node.value {
        Value::Text(text) => Some(text.clone()),
        Value::Int(value) => Some(value.to_string()),
        _ => None,
    }
}

fn operator(name: &str) -> Result<Operator, String> {
    match name.to_ascii_uppercase().as_str() {
        "UNIQUE" => Ok(Operator::Unique),
        "CLUSTER" => Ok(Operator::Cluster),
        "GROUP_BY" => Ok(Operator::GroupBy),
        "LIKE" => Ok(Operator::Like),
        "UNLIKE" => Ok(Operator::Unlike),
        "MAX_PER" => Ok(Operator::MaxPer),
        _ => Err(format!(
            "operator {name:?} is not one of UNIQUE, CLUSTER, GROUP_BY, LIKE, UNLIKE, MAX_PER"
        )),
    }
}

fn check_value(operator: Operator, name: &str, value: Option<&str>) -> Result<(), String> {
    let count = |text: &str| text.parse::<u32>().is_ok_and(|count| count > 0);
    match (operator, value) {
        (Operator::Unique, Some(_)) => Err("UNIQUE takes no value".to_owned()),
        (Operator::Like | Operator::Unlike, None) => {
            Err(format!("{name} needs a regular expression"))
        }
        (Operator::Like | Operator::Unlike, Some(pattern)) => match regex::Regex::new(pattern) {
            Ok(_) => Ok(()),
            Err(_) => Err(format!("{pattern:?} is not a regular expression")),
        },
        (Operator::MaxPer, value) if !value.is_some_and(count) => {
            Err("MAX_PER needs a number of at least 1".to_owned())
        }
        (Operator::GroupBy, Some(value)) if !count(value) => {
            Err("GROUP_BY takes a number of at least 1".to_owned())
        }
        _ => Ok(()),
    }
}

/// `[[type, location], ...]`.
pub(crate) fn blacklist(fields: &mut Fields<'_, '_>, key: &'static str) -> Vec<Location> {
    let mut locations = Vec::new();
    for (n, item) in fields.list(key).unwrap_or_default().iter().enumerate() {
        let pair = match &item.value {
            Value::List(pair) => pair.iter().filter_map(Node::as_text).collect(),
            _ => Vec::new(),
        };
        if let [attribute, value] = pair[..] {
            check_pattern(fields, key, item, value);
            locations.push(Location {
                attribute: attribute.to_owned(),
                value: value.to_owned(),
            });
        } else {
            let path = format!("{key}[{n}]");
            let message = format!("expected [type, location], found {}", item.describe());
            fields.error(&path, &item.mark, message);
        }
    }
    locations
}

/// A location becomes a regular expression in the end, as in PaaSTA.
fn check_pattern(fields: &mut Fields<'_, '_>, key: &str, node: &Node, pattern: &str) {
    if regex::Regex::new(pattern).is_err() {
        let message = format!("{pattern:?} is not a regular expression");
        fields.error(key, &node.mark, message);
    }
}

/// `[type, [location, ...]]`.
pub(crate) fn whitelist(fields: &mut Fields<'_, '_>, key: &'static str) -> Option<Whitelist> {
    let items = fields.list(key)?;
    let node = fields.node(key)?;
    // PaaSTA writes "no whitelist" as an empty list, too.
    if items.is_empty() {
        return None;
    }
    let parts = match items {
        [attribute, list] => match (&attribute.value, &list.value) {
            (Value::Text(attribute), Value::List(values)) => {
                let texts: Vec<String> = values
                    .iter()
                    .filter_map(|value| value.as_text().map(str::to_owned))
                    .collect();
                (texts.len() == values.len() && !texts.is_empty()).then_some((attribute, texts))
            }
            _ => None,
        },
        _ => None,
    };
    match parts {
        Some((attribute, values)) => {
            check_pattern(fields, key, node, &values.join("|"));
            Some(Whitelist {
                attribute: attribute.clone(),
                values,
            })
        }
        None => {
            fields.error(key, &node.mark, "expected [type, [location, ...]]");
            None
        }
    }
}
