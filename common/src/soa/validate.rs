//! Everything that can be said of a service's files before anybody reads them in earnest: each
//! file against its table, what the coordinators would say, and what only shows between files.
//! Stricter than the coordinators in what PaaSTA's schemas refuse, and milder, unless asked, in
//! what PaaSTA finds at deploy time only.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use super::{
    InstanceConfig, ServiceLoad, SoaDir, SoaError, dependencies, files,
    kinds::{FileKind, InstanceType, Named, SHARED},
    node::{Entry, Mark, Node},
    resolve,
    resolve::narrowed,
    secrets,
};
use crate::{
    config::SystemConfig,
    container::CAP_DROP,
    deployments::Deployment,
    id::{ClusterName, InstanceId, ServiceName},
    problem::{FIELD_MAX, Problem, Rule, Severity, quoted},
    spec::DesiredState,
    text::shortened,
    typo,
};

/// One file of a service, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// The file, relative to the soa directory.
    pub file: String,
    /// What is to be known of it, when it was not read like others.
    pub note: Option<String>,
    /// What is wrong with it, in the order of its lines.
    pub problems: Vec<Problem>,
}

impl Checked {
    /// Whether nothing worse than a warning was found.
    pub fn ok(&self) -> bool {
        let warns = |problem: &Problem| problem.severity == Severity::Warning;
        self.problems.iter().all(warns)
    }
}

/// Checks every file of a service. `strict` makes errors of what PaaSTA finds at deploy time.
///
/// # Errors
/// [`SoaError`] when the service's directory cannot be listed.
pub fn validate(
    soa: &SoaDir,
    service: &ServiceName,
    system: &SystemConfig,
    strict: bool,
) -> Result<Vec<Checked>, SoaError> {
    let mut service = Service {
        soa,
        name: service,
        system,
        files: BTreeMap::new(),
        links: BTreeMap::new(),
        trees: BTreeMap::new(),
    };
    service.files()?;
    service.secrets();
    for cluster in service.clusters() {
        service.cluster(&cluster);
        service.unique(&cluster);
    }
    service.add(soa.pipeline(service.name).err().into_iter().flatten());
    service.add(soa.deployments(service.name).err());
    Ok(service.finish(strict))
}

struct Service<'a> {
    soa: &'a SoaDir,
    name: &'a ServiceName,
    system: &'a SystemConfig,
    files: BTreeMap<String, (Option<String>, BTreeSet<Problem>)>,
    /// Files that are links to others of the service, and to which.
    links: BTreeMap<String, String>,
    /// The instance files of each cluster that could be read, of any type.
    trees: BTreeMap<ClusterName, BTreeMap<String, (Option<InstanceType>, Node)>>,
}

impl Service<'_> {
    fn add(&mut self, problems: impl IntoIterator<Item = Problem>) {
        for mut problem in problems {
            // The same mistake, seen through each of the links to its file, is one mistake.
            if let Some(target) = self.links.get(&problem.file) {
                problem.file.clone_from(target);
            }
            let file = self.files.entry(problem.file.clone()).or_default();
            file.1.insert(problem);
        }
    }

    fn note(&mut self, file: &str, note: impl Into<String>) {
        self.files.entry(file.to_owned()).or_default().0 = Some(note.into());
    }

    /// Every file by itself.
    fn files(&mut self) -> Result<(), SoaError> {
        for name in self.soa.names(self.name)? {
            let file = format!("{}/{name}", self.name);
            match Named::of(&name) {
                Named::Ours(kind, cluster) => self.file(&file, kind, cluster.as_deref()),
                Named::Foreign(kind) => {
                    self.note(
                        &file,
                        format!("left alone: {kind} instances are not run here"),
                    );
                    self.foreign(&file, &name);
                }
                Named::Misspelt { meant } => {
                    let message =
                        format!("is read by no program; did you mean {}?", quoted(&meant));
                    self.add([Mark::file(&file).warning("", message)]);
                }
                Named::Other => {}
            }
        }
        Ok(())
    }

    fn file(&mut self, file: &str, kind: FileKind, cluster: Option<&str>) {
        self.files.entry(file.to_owned()).or_default();
        let typed = match (kind, cluster) {
            (FileKind::Instances(typed), Some(cluster)) => Some((typed, cluster)),
            _ => None,
        };
        if let Some((typed, text)) = typed.filter(|(_, text)| *text != SHARED) {
            match ClusterName::new(text) {
                Err(error) => {
                    let problem = Mark::file(file).error("", error.to_string());
                    return self.add([problem.by(Rule::Name)]);
                }
                Ok(cluster) if !self.visible(&cluster) => {
                    let note =
                        format!("cluster {cluster} is not in `clusters`: no program reads it");
                    self.note(file, note);
                }
                Ok(cluster) => {
                    let tree = files::parse(self.soa.path(), file);
                    if let Ok(tree) = tree {
                        let of_cluster = self.trees.entry(cluster).or_default();
                        of_cluster.insert(file.to_owned(), (Some(typed), tree));
                    }
                }
            }
        }
        if let Some(target) = sibling(self.soa.path(), file) {
            self.note(file, format!("is {target}"));
            self.links.insert(file.to_owned(), target);
            return;
        }
        let mut problems = Vec::new();
        match files::parse(self.soa.path(), file) {
            Ok(root) => {
                kind.check(&root, &mut problems);
                if root.as_map().is_some_and(|map| map.entries.is_empty()) && problems.is_empty() {
                    let message = "holds nothing: write what it is to say, or remove the file";
                    problems.push(Mark::file(file).error("", message).by(Rule::Empty));
                }
            }
            Err(problem) => problems.push(problem),
        }
        self.add(problems);
    }

    /// Files of other types count for the names of instances only, and only as far as they are
    /// maps.
    fn foreign(&mut self, file: &str, name: &str) {
        let stem = name.strip_suffix(".yaml").unwrap_or(name);
        let cluster = stem.split_once('-').map(|(_, cluster)| cluster);
        let cluster = cluster.and_then(|text| ClusterName::new(text).ok());
        if let (Some(cluster), Ok(tree)) = (cluster, files::parse(self.soa.path(), file)) {
            let of_cluster = self.trees.entry(cluster).or_default();
            of_cluster.insert(file.to_owned(), (None, tree));
        }
    }

    fn secrets(&mut self) {
        let directory = format!("{}/secrets", self.name);
        let names = self.soa.names_in(&directory).unwrap_or_default();
        for name in names.iter().filter(|name| name.ends_with(".json")) {
            self.file(&format!("{directory}/{name}"), FileKind::Secret, None);
        }
    }

    fn visible(&self, cluster: &ClusterName) -> bool {
        self.system.clusters.is_empty() || self.system.clusters.contains(cluster)
    }

    fn clusters(&self) -> Vec<ClusterName> {
        let all = self.trees.keys();
        all.filter(|cluster| self.visible(cluster))
            .cloned()
            .collect()
    }

    /// What the coordinators of this cluster would say, and what is referred to.
    fn cluster(&mut self, cluster: &ClusterName) {
        let typed: BTreeSet<InstanceType> = self.trees[cluster]
            .values()
            .filter_map(|(typed, _)| *typed)
            .collect();
        for kind in typed {
            let load = match kind {
                InstanceType::Marathon => self.soa.load(self.name, cluster, self.system),
                InstanceType::Adhoc => self.soa.adhoc(self.name, cluster, self.system),
            };
            self.add(load.all_problems());
            self.add(self.without_pipeline(&load));
            for (name, config) in &load.instances {
                let Ok(config) = config else { continue };
                let id = InstanceId::new(self.name.clone(), name.clone());
                self.add(self.references(&id, config));
                self.add(self.capabilities(&id, config, cluster));
                // What the operator allows is known for this machine's cluster only.
                if self.system.cluster.as_ref() == Some(cluster) {
                    let resolved = resolve(&id, config, &some_version(self.name), self.system);
                    self.add(resolved.err().into_iter().flatten());
                    self.add(narrowed(&id, config, self.system));
                }
            }
        }
    }

    /// Deploy groups that nothing can be a step for: there is no pipeline. PaaSTA refuses them.
    fn without_pipeline(&self, load: &ServiceLoad) -> Vec<Problem> {
        if !self
            .soa
            .pipeline(self.name)
            .is_ok_and(|one| one.steps.is_empty())
        {
            return Vec::new();
        }
        let configs = load.instances.iter();
        let configs = configs.filter_map(|(name, config)| Some((name, config.as_ref().ok()?)));
        let given = configs.filter_map(|(name, config)| {
            let mark = config.origin.fields.get("deploy_group")?;
            let message = format!(
                "{} is no step of {}/deploy.yaml, which has no pipeline: PaaSTA refuses that",
                quoted(&config.deploy_group),
                self.name
            );
            let problem = mark.warning(format!("{name}.deploy_group"), message);
            Some(problem.by(Rule::Undeployed))
        });
        given.collect()
    }

    fn references(&self, id: &InstanceId, config: &InstanceConfig) -> Vec<Problem> {
        let mut problems = Vec::new();
        if let Some(name) = &config.dependencies {
            let file = format!("{}/dependencies.yaml", self.name);
            if let Ok(root) = files::parse(self.soa.path(), &file) {
                let known = dependencies::names(&root);
                if !known.contains(&name.as_str()) {
                    let near = typo::did_you_mean(name, known);
                    let message = format!("{} is not in {file}{near}", quoted(name));
                    let field = format!("{}.dependencies_reference", id.instance);
                    let mark = config.origin.of("dependencies_reference");
                    problems.push(mark.error(field, message).by(Rule::Reference));
                }
            }
        }
        for (name, text) in &config.env {
            let Some(secret) = secrets::reference(text) else {
                continue;
            };
            let file = secret.file(self.name.as_str());
            if !self.soa.holds(&file) {
                let message = format!(
                    "{} stands for {}, which does not exist",
                    quoted(text),
                    shortened(&file, FIELD_MAX)
                );
                let field = format!("{}.env.{name}", id.instance);
                let mark = config.origin.of("env");
                problems.push(mark.error(field, message).by(Rule::Reference));
            }
        }
        problems
    }

    /// Capabilities beyond Docker's default, unless the operator of this machine's cluster allows
    /// them.
    fn capabilities(
        &self,
        id: &InstanceId,
        config: &InstanceConfig,
        cluster: &ClusterName,
    ) -> Option<Problem> {
        let known = self.system.cluster.as_ref() == Some(cluster);
        let beyond = |name: &&String| match known {
            true => !self.system.authors.allows(name),
            false => !CAP_DROP.contains(&name.as_str()),
        };
        let beyond: Vec<&str> = config
            .cap_add
            .iter()
            .filter(beyond)
            .map(String::as_str)
            .collect();
        let message = format!(
            "{} is more than Docker gives by default: the coordinators refuse it unless the \
             operator lists it in allowed_cap_add",
            beyond.join(", ")
        );
        let mark = config.origin.of("cap_add");
        let problem = mark.warning(format!("{}.cap_add", id.instance), message);
        (!beyond.is_empty()).then(|| problem.by(Rule::CapAdd))
    }

    /// No two instances of one name in a cluster, whatever their types.
    fn unique(&mut self, cluster: &ClusterName) {
        let mut first: BTreeMap<String, Mark> = BTreeMap::new();
        let mut problems = Vec::new();
        let trees = self.trees.get(cluster).into_iter().flatten();
        for (_, (_, tree)) in trees {
            for (name, Entry { key, .. }) in tree.as_map().into_iter().flat_map(|map| &map.entries)
            {
                if name.starts_with('_') {
                    continue;
                }
                if let Some(first) = first.get(name) {
                    let message = format!(
                        "is declared in {} at line {}, too: a name is used once in a cluster",
                        first.file, first.line
                    );
                    problems.push(key.error(name, message).by(Rule::Unique));
                } else {
                    first.insert(name.clone(), key.clone());
                }
            }
        }
        self.add(problems);
    }

    fn finish(self, strict: bool) -> Vec<Checked> {
        let files = self.files.into_iter();
        files
            .map(|(file, (note, problems))| Checked {
                file,
                note,
                problems: judged(problems, strict),
            })
            .collect()
    }
}

/// The file of the same service that a symbolic link leads to.
fn sibling(root: &Path, file: &str) -> Option<String> {
    let (directory, _) = file.rsplit_once('/')?;
    let target = fs::read_link(root.join(file)).ok()?;
    let name = target.to_str().filter(|name| !name.contains('/'))?;
    let target = format!("{directory}/{name}");
    root.join(&target).is_file().then_some(target)
}

/// Any version of the service: what is asked does not depend on which.
fn some_version(service: &ServiceName) -> Deployment {
    let git_sha = "0".repeat(40);
    Deployment {
        docker_image: format!("services-{service}:paasta-{git_sha}"),
        git_sha,
        desired_state: DesiredState::Start,
        force_bounce: None,
    }
}

/// Each mistake once, as bad as it is here.
fn judged(problems: BTreeSet<Problem>, strict: bool) -> Vec<Problem> {
    let mut once: BTreeMap<(Option<u32>, Option<u32>, Rule, String), Problem> = BTreeMap::new();
    for mut problem in problems {
        problem.severity = severity(&problem, strict);
        let place = (problem.line, problem.column);
        let key = (place.0, place.1, problem.rule, problem.message.clone());
        match once.get_mut(&key) {
            Some(known) => {
                known.severity = known.severity.min(problem.severity);
                if problem.field.len() < known.field.len() {
                    known.field = problem.field;
                }
            }
            None => {
                once.insert(key, problem);
            }
        }
    }
    let mut problems: Vec<Problem> = once.into_values().collect();
    for problem in problems.iter_mut().filter(|one| one.rule.found_at_deploy()) {
        problem.message.push_str("; the coordinators refuse it");
    }
    problems.sort();
    problems
}

fn severity(problem: &Problem, strict: bool) -> Severity {
    match problem.rule {
        Rule::CapAdd | Rule::Undeployed if strict => Severity::Error,
        rule if rule.found_at_deploy() && !strict => Severity::Warning,
        rule if rule.found_at_deploy() => Severity::Error,
        // PaaSTA's schemas and its own checks between files refuse these.
        Rule::Choice
        | Rule::Duplicate
        | Rule::Empty
        | Rule::Format
        | Rule::Range
        | Rule::Reference
        | Rule::Required
        | Rule::Type => Severity::Error,
        _ => problem.severity,
    }
}
