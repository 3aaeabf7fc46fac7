//! The fields that say where an instance may run.

use super::{Location, Placement, Whitelist};
use crate::{
    app::{Constraint, Operator},
    problem::{Rule, quoted},
    soa::{
        node::{Node, Value},
        table::{Record, Shape},
    },
};

/// `[attribute, OPERATOR, value]`, as far as its shape goes.
pub(super) static CONSTRAINT: Shape = Shape {
    expected: "[attribute, OPERATOR, value]",
    fits: |node| words(node).is_some(),
    schema: r#"{"type": "array", "minItems": 2, "maxItems": 3,
        "items": {"type": ["string", "integer"]}}"#,
};

/// `[attribute, value]`.
pub(crate) static LOCATION: Shape = Shape {
    expected: "[type, location]",
    fits: |node| pair(node).is_some(),
    schema: r#"{"type": "array", "minItems": 2, "maxItems": 2, "items": {"type": "string"}}"#,
};

/// `[attribute, [value, ...]]`. PaaSTA writes "no whitelist" as an empty list, too.
pub(crate) static WHITELIST: Shape = Shape {
    expected: "[type, [location, ...]]",
    fits: |node| match &node.value {
        Value::List(items) if items.is_empty() => true,
        _ => allowed(node).is_some(),
    },
    schema: r#"{"anyOf": [
        {"type": "array", "maxItems": 0},
        {"type": "array", "minItems": 2, "maxItems": 2, "items": [
            {"type": "string"},
            {"type": "array", "minItems": 1, "items": {"type": "string"}}]}]}"#,
};

/// Takes `pool`, the constraints and the deploy lists.
pub(super) fn placement(fields: &mut Record<'_, '_>) -> Placement {
    Placement {
        pool: fields.text("pool").unwrap_or_default(),
        constraints: constraints(fields, "constraints"),
        extra_constraints: constraints(fields, "extra_constraints").unwrap_or_default(),
        blacklist: blacklist(fields),
        whitelist: whitelist(fields),
    }
}

/// A list of `[attribute, OPERATOR, value]`.
fn constraints(fields: &mut Record<'_, '_>, key: &'static str) -> Option<Vec<Constraint>> {
    let mut constraints = Vec::new();
    for (n, item) in fields.list(key)?.iter().enumerate() {
        let Some(parts) = words(item) else { continue };
        match constraint(&parts) {
            Ok(constraint) => constraints.push(constraint),
            Err(message) => {
                let path = format!("{key}[{n}]");
                fields.error(&path, &item.mark, Rule::Format, message);
            }
        }
    }
    Some(constraints)
}

fn words(node: &Node) -> Option<Vec<String>> {
    let Value::List(items) = &node.value else {
        return None;
    };
    let parts: Vec<String> = items.iter().map_while(word).collect();
    let whole = parts.len() == items.len() && (2..=3).contains(&parts.len());
    whole.then_some(parts)
}

fn constraint(parts: &[String]) -> Result<Constraint, String> {
    if parts[0].is_empty() {
        return Err("the attribute's name is empty".to_owned());
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
            "operator {} is not one of UNIQUE, CLUSTER, GROUP_BY, LIKE, UNLIKE, MAX_PER",
            quoted(name)
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
            Err(_) => Err(format!("{} is not a regular expression", quoted(pattern))),
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

/// `deploy_blacklist`, of an instance or of the operator.
pub(crate) fn blacklist(fields: &mut Record<'_, '_>) -> Vec<Location> {
    let key = "deploy_blacklist";
    let mut locations = Vec::new();
    for item in fields.list(key).unwrap_or_default() {
        let Some(location) = pair(item) else { continue };
        if locations.contains(&location) {
            let message = format!(
                "{} is ignored: it is in the list already",
                quoted(&format!("{}: {}", location.attribute, location.value))
            );
            fields.warn(key, &item.mark, Rule::Unsupported, message);
            continue;
        }
        check_pattern(&location.value, |message| {
            fields.error(key, &item.mark, Rule::Format, message);
        });
        locations.push(location);
    }
    locations
}

/// `deploy_whitelist`, of an instance or of the operator.
pub(crate) fn whitelist(fields: &mut Record<'_, '_>) -> Option<Whitelist> {
    let node = fields.good("deploy_whitelist")?;
    let list = allowed(node)?;
    let refuse = |message| fields.error("deploy_whitelist", &node.mark, Rule::Format, message);
    check_pattern(&list.values.join("|"), refuse).then_some(list)
}

fn pair(node: &Node) -> Option<Location> {
    let Value::List(items) = &node.value else {
        return None;
    };
    let [attribute, value] = &items[..] else {
        return None;
    };
    Some(Location {
        attribute: attribute.as_text()?.to_owned(),
        value: value.as_text()?.to_owned(),
    })
}

fn allowed(node: &Node) -> Option<Whitelist> {
    let Value::List(items) = &node.value else {
        return None;
    };
    let [attribute, list] = &items[..] else {
        return None;
    };
    let Value::List(values) = &list.value else {
        return None;
    };
    let texts = values
        .iter()
        .map(|value| value.as_text().map(str::to_owned));
    let values: Vec<String> = texts.collect::<Option<_>>()?;
    let attribute = attribute.as_text()?.to_owned();
    (!values.is_empty()).then_some(Whitelist { attribute, values })
}

/// A location becomes a regular expression in the end, as in PaaSTA.
fn check_pattern(pattern: &str, refuse: impl FnOnce(String)) -> bool {
    let fine = regex::Regex::new(pattern).is_ok();
    if !fine {
        refuse(format!("{} is not a regular expression", quoted(pattern)));
    }
    fine
}
