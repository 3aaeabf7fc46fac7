//! `paasta pipeline`: the steps of deploy.yaml as the configuration of a CI system, with the verbs
//! of this program. Prints; writes no file.

use std::path::PathBuf;

use anyhow::bail;
use paasta_common::{id::ServiceName, soa::deploy::Step};
use paasta_process::help::examples;

use super::{Context, step::Of};
use crate::{exit::Exit, terminal::note};

const EXAMPLES: &[&str] = &[
    "paasta pipeline -s hello --format github > .github/workflows/deploy.yml",
    "paasta pipeline -s hello --format gitlab > .gitlab-ci.yml",
    "paasta pipeline -s hello --format jenkins > Jenkinsfile",
];

/// Print a CI pipeline that does the steps of a service's deploy.yaml
///
/// The runner needs paasta, docker, make and git, and PAASTA_COORDINATORS or /etc/paasta.
#[derive(Debug, clap::Args)]
#[command(after_help = examples(EXAMPLES, ""))]
pub struct Args {
    #[command(flatten)]
    of: Of,
    /// The CI system
    #[arg(short, long, value_enum)]
    format: Format,
}

/// A CI system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// GitHub Actions: a workflow
    Github,
    /// GitLab CI: .gitlab-ci.yml
    Gitlab,
    /// Jenkins: a declarative Jenkinsfile
    Jenkins,
}

/// One stage: its name, its command lines, and whether a person starts it.
#[derive(Debug, PartialEq, Eq)]
struct Stage {
    name: String,
    lines: Vec<String>,
    manual: bool,
}

/// Prints the pipeline.
///
/// # Errors
/// The service has no deploy.yaml, or a step that cannot be expressed.
pub fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let service = args.of.service()?;
    args.of.described(context, &service)?;
    let soa = args.of.soa(context)?;
    let pipeline = match soa.pipeline(&service) {
        Ok(pipeline) => pipeline,
        Err(problems) => {
            let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
            bail!("{}", lines.join("\n"));
        }
    };
    if pipeline.steps.is_empty() {
        let path: PathBuf = soa.path().join(service.as_str()).join("deploy.yaml");
        bail!(
            "{} has no steps under `pipeline`: expected itest, push-to-registry and deploy groups",
            path.display()
        );
    }
    let sha = match args.format {
        Format::Github => "$GITHUB_SHA",
        Format::Gitlab => "$CI_COMMIT_SHA",
        Format::Jenkins => "$GIT_COMMIT",
    };
    let stages = stages(&service, sha, &pipeline.steps)?;
    let text = match args.format {
        Format::Github => github(&stages),
        Format::Gitlab => gitlab(&stages),
        Format::Jenkins => jenkins(&stages),
    };
    context.print(&text)?;
    Ok(Exit::Ok)
}

fn stages(service: &ServiceName, sha: &str, steps: &[Step]) -> anyhow::Result<Vec<Stage>> {
    let mut stages = Vec::new();
    let mut manual = false;
    for (at, step) in steps.iter().enumerate() {
        let lines = lines(service, sha, at, step)?;
        if lines.is_empty() {
            note(&format!(
                "pipeline[{at}]: the step {} has no command here and is left out",
                step.name
            ));
            continue;
        }
        stages.push(Stage {
            name: step.name.clone(),
            lines,
            manual,
        });
        manual = step.trigger_next_step_manually;
    }
    Ok(stages)
}

fn lines(service: &ServiceName, sha: &str, at: usize, step: &Step) -> anyhow::Result<Vec<String>> {
    let verb = |verb: &str| format!("paasta {verb} -s {service} -c {sha}");
    let name = word(at, &step.name)?;
    Ok(match step.name.as_str() {
        "itest" => vec![verb("itest")],
        "security-check" => vec![verb("security-check")],
        "push-to-registry" => vec![verb("push-to-registry")],
        "itest-and-push-to-registry" => vec![verb("itest"), verb("push-to-registry")],
        _ => match (step.deploy_group(), &step.command) {
            (Some(_), _) => vec![mark(service, sha, name, step)],
            (None, Some(command)) => vec![command.clone()],
            (None, None) => Vec::new(),
        },
    })
}

fn mark(service: &ServiceName, sha: &str, group: &str, step: &Step) -> String {
    let mut line = format!("paasta mark-for-deployment -s {service} -l {group} -k {sha}");
    if step.wait_for_deployment || step.auto_rollback {
        line.push_str(" --wait-for-deployment");
        if let Some(ms) = step.timeout_ms {
            line.push_str(&format!(" -t {}", ms.div_ceil(1_000)));
        }
    }
    if step.auto_rollback {
        line.push_str(" --auto-rollback");
    }
    line
}

/// The name of a step as a word of a shell, which nothing in it can leave.
fn word(at: usize, name: &str) -> anyhow::Result<&str> {
    let plain = |one: char| one.is_ascii_alphanumeric() || matches!(one, '.' | '_' | '-');
    if name.is_empty() || !name.chars().all(plain) || name.starts_with('-') {
        bail!(
            "pipeline[{at}].step is {name:?}: expected letters, digits, '.', '_' and '-' only; \
             rename the deploy group"
        );
    }
    Ok(name)
}

/// A text in double quotes, which JSON and YAML read alike.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn github(stages: &[Stage]) -> String {
    let mut text = "name: deploy\non:\n  push:\n    branches: [main]\njobs:\n".to_owned();
    for (at, stage) in stages.iter().enumerate() {
        text.push_str(&format!(
            "  step-{at}:\n    name: {}\n",
            quoted(&stage.name)
        ));
        text.push_str("    runs-on: self-hosted\n");
        if at > 0 {
            text.push_str(&format!("    needs: step-{}\n", at - 1));
        }
        if stage.manual {
            text.push_str("    # Waits for a person: give this environment required reviewers.\n");
            text.push_str(&format!("    environment: {}\n", quoted(&stage.name)));
        }
        text.push_str("    steps:\n      - uses: actions/checkout@v4\n");
        for line in &stage.lines {
            text.push_str(&format!("      - run: {}\n", quoted(line)));
        }
    }
    text
}

fn gitlab(stages: &[Stage]) -> String {
    let mut text = "stages:\n".to_owned();
    for at in 0..stages.len() {
        text.push_str(&format!("  - step-{at}\n"));
    }
    for (at, stage) in stages.iter().enumerate() {
        text.push_str(&format!("\n{}:\n  stage: step-{at}\n", quoted(&stage.name)));
        text.push_str("  rules:\n    - if: $CI_COMMIT_BRANCH == $CI_DEFAULT_BRANCH\n");
        if stage.manual {
            text.push_str("      when: manual\n  allow_failure: false\n");
        }
        text.push_str("  script:\n");
        for line in &stage.lines {
            text.push_str(&format!("    - {}\n", quoted(line)));
        }
    }
    text
}

fn jenkins(stages: &[Stage]) -> String {
    let mut text = "pipeline {\n  agent any\n  stages {\n".to_owned();
    for stage in stages {
        text.push_str(&format!("    stage({}) {{\n", groovy(&stage.name)));
        if stage.manual {
            let question = groovy(&format!("Go on with {}?", stage.name));
            text.push_str(&format!("      input {{ message {question} }}\n"));
        }
        text.push_str("      steps {\n");
        for line in &stage.lines {
            text.push_str(&format!("        sh {}\n", groovy(line)));
        }
        text.push_str("      }\n    }\n");
    }
    text.push_str("  }\n}\n");
    text
}

/// A string of Groovy in which nothing is expanded.
fn groovy(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('\'', "\\'");
    format!("'{}'", escaped.replace('\n', "\\n").replace('\r', "\\r"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn step_names_cannot_leave_their_word() {
        assert_eq!(word(0, "prod.main_2-a").ok(), Some("prod.main_2-a"));
        for bad in ["", "-rf", "a b", "a;b", "$(x)", "a'b", "a\nb", "ä"] {
            assert!(word(3, bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn commands_are_quoted_for_each_system() {
        assert_eq!(groovy("a'b\\c\n$d"), "'a\\'b\\\\c\\n$d'");
        assert_eq!(quoted("a\"b: #\n"), "\"a\\\"b: #\\n\"");
    }
}
