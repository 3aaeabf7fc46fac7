//! The JSON face of [`decide`](super::decide), for `paasta bounce plan`: what a bounce method would
//! do, tried on a laptop. Reading is strict, and every error names the field, as the input is
//! written by hand.

mod json;

use std::collections::BTreeSet;

use paasta_common::spec::{BounceMethod, Margin};
use serde::{Deserialize, Serialize};

use super::{Decision, Input};
use json::{Fields, Json};

/// A question about one step of a bounce.
///
/// ```json
/// {"method": "crossover", "new_config": {"id": "a.b.gitX.configY", "instances": 3},
///  "new_app_running": true, "happy_new_tasks": ["new1"],
///  "old_app_live_happy_tasks": {"a.b.gitZ.configY": ["old1", "old2"]},
///  "old_app_live_unhappy_tasks": {"a.b.gitZ.configY": []},
///  "old_app_at_risk_tasks": {}, "margin_factor": 1.0}
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Json")]
pub struct DryRun {
    /// The method that is asked.
    pub method: BounceMethod,
    /// What it is told: task ids are texts, in the order of the input.
    pub input: Input<String>,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DryRunOutput {
    /// Whether the new app must be created.
    pub create_app: bool,
    /// The old tasks that leave now, in order.
    pub tasks_to_drain: Vec<String>,
}

/// What is wrong with the question.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DryRunError {
    /// The text is not an object.
    #[error("expected a JSON object with the fields {FIELDS:?}")]
    NotAnObject,
    /// A field is missing.
    #[error("field `{field}` is missing")]
    Missing {
        /// Its name, dotted.
        field: String,
    },
    /// A field that is not known, or is there twice.
    #[error("field `{field}` is {fault}; the fields are {allowed:?}")]
    Unknown {
        /// Its name, dotted.
        field: String,
        /// Whether it is unknown or repeated.
        fault: &'static str,
        /// The fields there are.
        allowed: Vec<&'static str>,
    },
    /// A value that is not of the expected kind.
    #[error("field `{field}`: expected {expected}, found {found}")]
    Value {
        /// The field's name, dotted.
        field: String,
        /// What was expected.
        expected: String,
        /// What was found.
        found: String,
    },
    /// A task in two places.
    #[error("task `{id}` is in `{first}` and again in `{second}`; a task has one class")]
    Twice {
        /// The task.
        id: String,
        /// Where it was first.
        first: String,
        /// Where it was again.
        second: String,
    },
}

const FIELDS: [&str; 8] = [
    "method",
    "new_config",
    "new_app_running",
    "happy_new_tasks",
    "old_app_live_happy_tasks",
    "old_app_live_unhappy_tasks",
    "old_app_at_risk_tasks",
    "margin_factor",
];

impl DryRun {
    /// Asks the method.
    pub fn run(&self) -> DryRunOutput {
        let Decision {
            create_app,
            tasks_to_drain,
        } = super::decide(self.method, &self.input);
        DryRunOutput {
            create_app,
            tasks_to_drain,
        }
    }
}

impl TryFrom<Json> for DryRun {
    type Error = DryRunError;

    fn try_from(json: Json) -> Result<Self, DryRunError> {
        let mut fields = Fields::of(json, "", &FIELDS)?;
        let method = method(fields.take("method")?)?;
        let mut config = Fields::of(
            fields.take("new_config")?,
            "new_config",
            &["id", "instances"],
        )?;
        let instances = json::count(config.take("instances")?, "new_config.instances")?;
        json::text(config.take("id")?, "new_config.id")?;
        let input = Input {
            instances,
            new_app_running: json::truth(fields.take("new_app_running")?, "new_app_running")?,
            happy_new: json::texts(fields.take("happy_new_tasks")?, "happy_new_tasks")?,
            old_happy: tasks(&mut fields, "old_app_live_happy_tasks")?,
            old_unhappy: tasks(&mut fields, "old_app_live_unhappy_tasks")?,
            old_at_risk: match fields.has("old_app_at_risk_tasks") {
                true => tasks(&mut fields, "old_app_at_risk_tasks")?,
                false => Vec::new(),
            },
            margin: match fields.has("margin_factor") {
                true => margin(fields.take("margin_factor")?)?,
                false => Margin::ONE,
            },
        };
        each_once(&input)?;
        Ok(Self { method, input })
    }
}

fn method(json: Json) -> Result<BounceMethod, DryRunError> {
    let name = json::text(json, "method")?;
    BounceMethod::from_name(&name).ok_or_else(|| DryRunError::Value {
        field: "method".to_owned(),
        expected: format!(
            "one of {}",
            BounceMethod::ALL.map(BounceMethod::as_str).join(", ")
        ),
        found: format!("`{name}`"),
    })
}

fn margin(json: Json) -> Result<Margin, DryRunError> {
    let found = json.to_string();
    json.number()
        .and_then(Margin::new)
        .ok_or_else(|| DryRunError::Value {
            field: "margin_factor".to_owned(),
            expected: "a number greater than 0 and at most 1".to_owned(),
            found,
        })
}

/// The tasks of all apps, app by app in the order of the text.
fn tasks(fields: &mut Fields, name: &'static str) -> Result<Vec<String>, DryRunError> {
    let mut all = Vec::new();
    for (app, tasks) in json::entries(fields.take(name)?, name)? {
        all.extend(json::texts(tasks, &format!("{name}.{app}"))?);
    }
    Ok(all)
}

fn each_once(input: &Input<String>) -> Result<(), DryRunError> {
    let classes = [
        ("happy_new_tasks", &input.happy_new),
        ("old_app_live_happy_tasks", &input.old_happy),
        ("old_app_live_unhappy_tasks", &input.old_unhappy),
        ("old_app_at_risk_tasks", &input.old_at_risk),
    ];
    let mut seen: BTreeSet<(&str, &str)> = BTreeSet::new();
    for (second, tasks) in classes {
        for id in tasks {
            let before = classes
                .iter()
                .find(|(first, _)| seen.contains(&(id.as_str(), *first)));
            if let Some((first, _)) = before {
                return Err(DryRunError::Twice {
                    id: id.clone(),
                    first: (*first).to_owned(),
                    second: second.to_owned(),
                });
            }
            seen.insert((id, second));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
