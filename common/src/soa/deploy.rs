//! `deploy.yaml`: the pipeline, in the order of promotion. Only its steps matter here; what a
//! pipeline runner reads is left alone.

use super::{
    decode::Fields,
    node::{Map, Node},
};
use crate::{problem::Problem, typo};

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
    /// The names of its steps, in order.
    pub steps: Vec<String>,
}

impl Pipeline {
    /// Takes the steps out of the file's tree.
    pub fn decode(root: &Node, problems: &mut Vec<Problem>) -> Self {
        let empty = Map::default();
        let map = root.as_map().unwrap_or(&empty);
        let mut fields = Fields::new(map, "", problems);
        let mut steps = Vec::new();
        for (n, item) in fields
            .list("pipeline")
            .unwrap_or_default()
            .iter()
            .enumerate()
        {
            let key = format!("pipeline[{n}]");
            let Some(map) = item.as_map() else {
                let message = format!("expected a map, found {}", item.describe());
                fields.error(&key, &item.mark, message);
                continue;
            };
            let mut step = fields.nested(&key, map);
            // The seed's name for it was `instancename`.
            let name = step.text("step").or_else(|| step.text("instancename"));
            match name {
                Some(name) => steps.push(name),
                None => step.error("step", &item.mark, "a step needs a name"),
            }
        }
        Self { steps }
    }

    /// The steps that are deploy groups, in the order of promotion.
    pub fn deploy_groups(&self) -> impl Iterator<Item = &str> {
        self.steps
            .iter()
            .map(String::as_str)
            .filter(|step| !RESERVED.contains(step) && !step.starts_with("command-"))
    }

    /// Why `group` will never be deployed by this pipeline; `None` when it will.
    pub fn missing(&self, group: &str) -> Option<String> {
        if self.deploy_groups().any(|step| step == group) {
            return None;
        }
        let list: Vec<&str> = self.deploy_groups().collect();
        let near = typo::did_you_mean(group, list.iter().copied());
        Some(format!(
            "deploy group {group:?} is not a step of deploy.yaml ({}){near}",
            list.join(", ")
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::soa::yaml;

    #[test]
    fn deploy_groups_are_the_steps_that_are_not_reserved() {
        let text = "pipeline:\n- step: itest\n- instancename: dev.all\n- step: command-x\n- step: prod.all\n- {}\n";
        let mut problems = Vec::new();
        let pipeline =
            Pipeline::decode(&yaml::parse("s/deploy.yaml", text).unwrap(), &mut problems);
        let groups: Vec<&str> = pipeline.deploy_groups().collect();
        assert_eq!(groups, ["dev.all", "prod.all"]);
        assert_eq!(pipeline.missing("dev.all"), None);
        let missing = pipeline.missing("prod.al").unwrap();
        assert!(missing.contains("did you mean \"prod.all\"?"), "{missing}");
        assert_eq!((problems.len(), problems[0].line), (1, Some(6)));
    }
}
