//! JSON as it was written: the order of an object's keys is kept, as it is the order in which old
//! tasks are kept, and a wrong value can be named by its field.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor},
};

use super::DryRunError;

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Json {
    Null,
    Truth(bool),
    Whole(i128),
    Broken(f64),
    Text(String),
    List(Vec<Json>),
    Object(Vec<(String, Json)>),
}

impl Json {
    pub(super) fn number(&self) -> Option<f64> {
        match self {
            // Exact for every number that could be a margin.
            Self::Whole(number) => Some(*number as f64),
            Self::Broken(number) => Some(*number),
            _ => None,
        }
    }
}

impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Truth(truth) => truth.fmt(f),
            Self::Whole(number) => number.fmt(f),
            Self::Broken(number) => number.fmt(f),
            Self::Text(text) => write!(f, "the text {text:?}"),
            Self::List(_) => f.write_str("a list"),
            Self::Object(_) => f.write_str("an object"),
        }
    }
}

/// The fields of an object that may have only these.
pub(super) struct Fields {
    prefix: String,
    fields: Vec<(String, Json)>,
}

impl Fields {
    pub(super) fn of(
        json: Json,
        name: &str,
        allowed: &'static [&'static str],
    ) -> Result<Self, DryRunError> {
        let prefix = if name.is_empty() {
            String::new()
        } else {
            format!("{name}.")
        };
        let fields = match json {
            Json::Object(fields) => fields,
            _ if name.is_empty() => return Err(DryRunError::NotAnObject),
            other => return Err(wrong(name, "an object", &other)),
        };
        for (at, (field, _)) in fields.iter().enumerate() {
            let fault = match fields[..at].iter().any(|(before, _)| before == field) {
                true => "given twice",
                false if allowed.contains(&field.as_str()) => continue,
                false => "not known",
            };
            let field = format!("{prefix}{field}");
            return Err(DryRunError::Unknown {
                field,
                fault,
                allowed: allowed.to_vec(),
            });
        }
        Ok(Self { prefix, fields })
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.fields.iter().any(|(field, _)| field == name)
    }

    pub(super) fn take(&mut self, name: &str) -> Result<Json, DryRunError> {
        match self.fields.iter().position(|(field, _)| field == name) {
            Some(at) => Ok(self.fields.swap_remove(at).1),
            None => Err(DryRunError::Missing {
                field: format!("{}{name}", self.prefix),
            }),
        }
    }
}

fn wrong(field: &str, expected: &str, found: &Json) -> DryRunError {
    DryRunError::Value {
        field: field.to_owned(),
        expected: expected.to_owned(),
        found: found.to_string(),
    }
}

pub(super) fn text(json: Json, field: &str) -> Result<String, DryRunError> {
    match json {
        Json::Text(text) => Ok(text),
        other => Err(wrong(field, "a text", &other)),
    }
}

pub(super) fn truth(json: Json, field: &str) -> Result<bool, DryRunError> {
    match json {
        Json::Truth(truth) => Ok(truth),
        other => Err(wrong(field, "true or false", &other)),
    }
}

pub(super) fn count(json: Json, field: &str) -> Result<u32, DryRunError> {
    let number = match &json {
        Json::Whole(number) => u32::try_from(*number).ok(),
        _ => None,
    };
    number.ok_or_else(|| wrong(field, "a whole number from 0", &json))
}

pub(super) fn texts(json: Json, field: &str) -> Result<Vec<String>, DryRunError> {
    match json {
        Json::List(items) => {
            let items = items.into_iter().enumerate();
            items
                .map(|(at, item)| text(item, &format!("{field}[{at}]")))
                .collect()
        }
        other => Err(wrong(field, "a list of task ids", &other)),
    }
}

pub(super) fn entries(json: Json, field: &str) -> Result<Vec<(String, Json)>, DryRunError> {
    match json {
        Json::Object(entries) => {
            for (at, (app, _)) in entries.iter().enumerate() {
                if entries[..at].iter().any(|(before, _)| before == app) {
                    let field = format!("{field}.{app}");
                    let fault = "given twice";
                    return Err(DryRunError::Unknown {
                        field,
                        fault,
                        allowed: Vec::new(),
                    });
                }
            }
            Ok(entries)
        }
        other => Err(wrong(
            field,
            "an object with a list of task ids for each app",
            &other,
        )),
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyJson)
    }
}

struct AnyJson;

impl<'de> Visitor<'de> for AnyJson {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, truth: bool) -> Result<Json, E> {
        Ok(Json::Truth(truth))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Json, E> {
        Ok(Json::Whole(number.into()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Json, E> {
        Ok(Json::Whole(number.into()))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Json, E> {
        Ok(Json::Broken(number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Json, E> {
        Ok(Json::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Json::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Json, A::Error> {
        let mut object = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            object.push(entry);
        }
        Ok(Json::Object(object))
    }
}
