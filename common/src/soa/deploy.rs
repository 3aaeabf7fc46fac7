//! `deploy.yaml`: the pipeline, in the order of promotion, and what each step of it asks for.

use super::{
    node::{Map, Node, Value},
    table::{Default::Bool, Field, Kind, Range, Record, Shape, Table},
};
use crate::{
    problem::{Problem, QUOTED_MAX, Rule, quoted},
    text::shortened,
    typo,
};

/// The fields of the file.
pub static DEPLOY: Table = Table::warning(
    "the way of a version from its commit to its users",
    &[
        Field::new(
            "allowed_push_groups",
            Kind::List(&Kind::Text),
            "Who may deploy; does nothing here.",
        ),
        Field::new(
            "pipeline",
            Kind::List(&STEPS),
            "The steps, in the order of promotion.",
        ),
        Field::new(
            "production_deploy_group",
            Kind::Text,
            "The deploy group that users see.",
        ),
        Field::new(
            "slack_channels",
            Kind::List(&Kind::Text),
            "Who gets notifications of deploys.",
        ),
        Field::new(
            "slack_notify",
            Kind::Any,
            "Whether notifications are sent; does nothing here.",
        ),
    ],
);

static STEPS: Kind = Kind::Map(&STEP);

static STEP: Table = Table::warning(
    "one step",
    &[
        Field::new("abandon_above_breakage_pct", Kind::Any, LATER),
        Field::new("auto_abandon_delay", Kind::Any, LATER),
        Field::new(
            "auto_certify_delay",
            Kind::Number(Range::within(0.0, SECONDS_MAX)),
            "Seconds for which a version must run well until it is called good.",
        ),
        Field::new(
            "auto_rollback",
            Kind::Bool,
            "Whether to go back when the version does not get well.",
        )
        .or(Bool(false)),
        Field::new("auto_rollback_delay", Kind::Any, LATER),
        Field::new(
            "command",
            Kind::Text,
            "What the step runs, for steps that are no deploy group.",
        ),
        Field::new("complete_below_breakage_pct", Kind::Any, LATER),
        Field::new("confirm_complete", Kind::Any, LATER),
        Field::new("confirmation_required", Kind::Any, LATER),
        Field::new("deployment_steps", Kind::Any, LATER),
        Field::new("disabled", Kind::Any, LATER),
        Field::new("display_step_for_confirmation", Kind::Any, LATER),
        Field::new("enable_automated_deploys", Kind::Any, LATER),
        Field::new("ignore_failure", Kind::Any, LATER),
        Field::new("instancename", Kind::Text, "The older name of `step`."),
        Field::new("notify_after_abort", Kind::Shape(&NOTIFY), NOTIFIED).or(Bool(false)),
        Field::new("notify_after_auto_rollback", Kind::Shape(&NOTIFY), NOTIFIED).or(Bool(false)),
        Field::new("notify_after_good_deploy", Kind::Shape(&NOTIFY), NOTIFIED).or(Bool(false)),
        Field::new("notify_after_mark", Kind::Shape(&NOTIFY), NOTIFIED).or(Bool(false)),
        Field::new("parallel", Kind::Any, LATER),
        Field::new("prompt_after_abandon", Kind::Any, LATER),
        Field::new(
            "slack_notify",
            Kind::Bool,
            "Whether a notification of this step is sent.",
        )
        .or(Bool(true)),
        Field::new(
            "step",
            Kind::Text,
            "Its name: a deploy group, or one of the reserved names.",
        ),
        Field::new(
            "timeout",
            Kind::Number(Range::within(1.0, SECONDS_MAX)),
            "Seconds to wait for the deployment.",
        ),
        Field::new(
            "trigger_next_step_manually",
            Kind::Bool,
            "Whether a person has to start the next step.",
        )
        .or(Bool(false)),
        Field::new(
            "wait_for_deployment",
            Kind::Bool,
            "Whether the step ends only when the version runs.",
        )
        .or(Bool(false)),
        Field::new("warn", Kind::Any, LATER),
    ],
)
.filled();

/// The longest time that a step may name: a year.
const SECONDS_MAX: f64 = 31_536_000.0;
const LATER: &str = "Of later versions of PaaSTA; does nothing here.";
const NOTIFIED: &str = "Whether a notification is sent when this happens, or to whom.";

static NOTIFY: Shape = Shape {
    expected: "true, false or the name of a recipient",
    fits: |node| matches!(node.value, Value::Bool(_) | Value::Text(_)),
    schema: r#"{"type": ["boolean", "string"]}"#,
};

/// Steps that are not deploy groups.
const RESERVED: [&str; 5] = [
    "itest",
    "itest-and-push-to-registry",
    "security-check",
    "performance-check",
    "push-to-registry",
];

/// The pipeline of a service.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pipeline {
    /// Its steps, in order.
    pub steps: Vec<Step>,
    /// The deploy group that users see.
    pub production_deploy_group: Option<String>,
    /// Who gets notifications of deploys.
    pub slack_channels: Vec<String>,
    /// Who may deploy; for others to enforce.
    pub allowed_push_groups: Vec<String>,
}

/// One step of a pipeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Its name: a deploy group, or a reserved name.
    pub name: String,
    /// Whether a person has to start the next step.
    pub trigger_next_step_manually: bool,
    /// Whether the step ends only when the version runs.
    pub wait_for_deployment: bool,
    /// Whether to go back when the version does not get well.
    pub auto_rollback: bool,
    /// Milliseconds to wait for the deployment; `None` leaves it to who waits.
    pub timeout_ms: Option<u64>,
    /// Milliseconds for which a version must run well until it is called good.
    pub auto_certify_delay_ms: Option<u64>,
    /// What the step runs, when it is no deploy group.
    pub command: Option<String>,
    /// Whether a notification of this step is sent.
    pub slack_notify: bool,
    /// When somebody is told.
    pub notify: Notify,
}

/// When somebody is told of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Notify {
    /// When the version is marked.
    pub after_mark: bool,
    /// When it runs.
    pub after_good_deploy: bool,
    /// When it was taken back.
    pub after_auto_rollback: bool,
    /// When somebody gave it up.
    pub after_abort: bool,
}

impl Step {
    /// The deploy group that the step feeds; `None` for one that does something else.
    pub fn deploy_group(&self) -> Option<&str> {
        let name = self.name.as_str();
        let reserved = RESERVED.contains(&name) || name.starts_with("command-");
        (!reserved).then_some(name)
    }
}

impl Pipeline {
    /// Takes the pipeline out of the file's tree.
    pub fn decode(root: &Node, problems: &mut Vec<Problem>) -> Self {
        let empty = Map::default();
        let map = root.as_map().unwrap_or(&empty);
        root.faults("", problems);
        let mut fields = Record::open(map, &DEPLOY, "", &root.mark, problems);
        let mut steps = Vec::new();
        for (n, node, map) in fields.maps("pipeline") {
            let key = format!("pipeline[{n}]");
            let mut step = fields.below(&key, map, &STEP);
            match self::step(&mut step) {
                Some(step) => steps.push(step),
                None => step.error("step", &node.mark, Rule::Required, "a step needs a name"),
            }
        }
        Self {
            steps,
            production_deploy_group: fields.text("production_deploy_group"),
            slack_channels: fields.texts("slack_channels").unwrap_or_default(),
            allowed_push_groups: fields.texts("allowed_push_groups").unwrap_or_default(),
        }
    }

    /// The step that feeds the group.
    pub fn step(&self, group: &str) -> Option<&Step> {
        let mut steps = self.steps.iter();
        steps.find(|step| step.deploy_group() == Some(group))
    }

    /// The steps that are deploy groups, in the order of promotion.
    pub fn deploy_groups(&self) -> impl Iterator<Item = &str> {
        self.steps.iter().filter_map(Step::deploy_group)
    }

    /// Why `group` will never be deployed by this pipeline; `None` when it will.
    pub fn missing(&self, group: &str) -> Option<String> {
        if self.step(group).is_some() {
            return None;
        }
        let near = typo::did_you_mean(group, self.deploy_groups());
        let list = self.deploy_groups();
        let list: Vec<String> = list.map(|one| shortened(one, QUOTED_MAX)).collect();
        Some(format!(
            "deploy group {} is not a step of deploy.yaml ({}){near}",
            quoted(group),
            list.join(", ")
        ))
    }
}

fn step(fields: &mut Record<'_, '_>) -> Option<Step> {
    let (name, older) = (fields.text("step"), fields.text("instancename"));
    let notify = Notify {
        after_mark: told(fields, "notify_after_mark"),
        after_good_deploy: told(fields, "notify_after_good_deploy"),
        after_auto_rollback: told(fields, "notify_after_auto_rollback"),
        after_abort: told(fields, "notify_after_abort"),
    };
    let mut flag = |key| fields.boolean(key).unwrap_or_default();
    Some(Step {
        trigger_next_step_manually: flag("trigger_next_step_manually"),
        wait_for_deployment: flag("wait_for_deployment"),
        auto_rollback: flag("auto_rollback"),
        slack_notify: flag("slack_notify"),
        name: name.or(older).filter(|name| !name.is_empty())?,
        timeout_ms: fields.seconds("timeout"),
        auto_certify_delay_ms: fields.seconds("auto_certify_delay"),
        command: fields.text("command"),
        notify,
    })
}

fn told(fields: &mut Record<'_, '_>, key: &'static str) -> bool {
    match fields.good(key).map(|node| &node.value) {
        Some(Value::Bool(told)) => *told,
        Some(Value::Text(text)) => !text.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::soa::yaml;

    fn pipeline(text: &str) -> (Pipeline, Vec<String>) {
        let mut problems = Vec::new();
        let root = yaml::parse("s/deploy.yaml", text).unwrap();
        let pipeline = Pipeline::decode(&root, &mut problems);
        (pipeline, problems.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn deploy_groups_are_the_steps_that_are_not_reserved() {
        let text = "pipeline:\n- step: itest\n- instancename: dev.all\n- step: command-x\n- step: prod.all\n- {timeout: 5}\n";
        let (pipeline, problems) = pipeline(text);
        let groups: Vec<&str> = pipeline.deploy_groups().collect();
        assert_eq!(groups, ["dev.all", "prod.all"]);
        assert_eq!(pipeline.missing("dev.all"), None);
        let missing = pipeline.missing("prod.al").unwrap();
        assert!(missing.contains("did you mean \"prod.all\"?"), "{missing}");
        assert_eq!(
            problems,
            ["s/deploy.yaml:6:3: pipeline[4].step: a step needs a name"]
        );
    }

    #[test]
    fn a_step_says_how_it_is_deployed() {
        let (pipeline, problems) = pipeline(
            "pipeline:\n- step: prod.all\n  auto_rollback: true\n  wait_for_deployment: yes\n  timeout: 1.5\n  notify_after_mark: '@us'\n  trigger_next_step_manualy: true\n- step: dev.all\nslack_channels: ['#x']\n",
        );
        let step = pipeline.step("prod.all").unwrap();
        assert!(step.auto_rollback && step.wait_for_deployment && step.slack_notify);
        assert_eq!(
            (step.timeout_ms, step.auto_certify_delay_ms),
            (Some(1500), None)
        );
        assert!(step.notify.after_mark && !step.notify.after_abort);
        let other = pipeline.step("dev.all").unwrap();
        assert!(!other.auto_rollback && !other.wait_for_deployment);
        assert_eq!(pipeline.slack_channels, ["#x"]);
        let typo = "s/deploy.yaml:7:3: pipeline[0].trigger_next_step_manualy: unknown field; did you mean \"trigger_next_step_manually\"?";
        assert_eq!(problems, [typo]);
    }

    #[test]
    fn every_fault_of_a_step_is_said() {
        let text = "pipeline:\n- step: 5\n- a\n- step: x\n  timeout: 0\n  auto_rollback: maybe\n";
        let (_, problems) = pipeline(text);
        let begins = [
            "s/deploy.yaml:2:9: pipeline[0].step: expected text",
            "s/deploy.yaml:3:3: pipeline[1]: expected a map",
            "s/deploy.yaml:6:18: pipeline[2].auto_rollback: expected true or false",
            "s/deploy.yaml:5:12: pipeline[2].timeout: must be at least 1",
            "s/deploy.yaml:2:3: pipeline[0].step: a step needs a name",
        ];
        assert_eq!(problems.len(), begins.len(), "{problems:#?}");
        for begin in begins {
            assert!(
                problems.iter().any(|one| one.starts_with(begin)),
                "{begin}: {problems:#?}"
            );
        }
    }
}
