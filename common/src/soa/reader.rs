//! A yelpsoa-configs directory: which services it holds and what their instances declare.
//!
//! Every file is read anew at every call; nothing is remembered between them. A fault stays with
//! whom it concerns: an instance, or a service when its file as a whole cannot be read.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
};

use super::{
    deploy::Pipeline,
    files,
    general::General,
    kinds::{InstanceType, Named, SHARED},
    marathon::{self, InstanceConfig},
    monitoring::Monitoring,
    node::{Entry, Map, Mark, Node, Value},
    secrets::SHARED_SERVICE,
    service::Service,
    smartstack::{self, Namespace, Namespaces},
    within::{self, Found},
    yaml,
};
use crate::{
    config::SystemConfig,
    deployments::{self, Deployments},
    id::{ClusterName, InstanceName, ServiceName},
    problem::{Problem, Rule, Severity},
};

/// Where services are declared unless something else is configured.
pub const SOA_DIR_DEFAULT: &str = "/nail/etc/services";
/// The instance that every service has, to be run by hand; its fields unless it is declared.
pub const INTERACTIVE: &str = "interactive";
const INTERACTIVE_FIELDS: &str = "{cpus: 4, mem: 10240, disk: 1024}";
/// The most entries of a directory that are looked at.
pub const ENTRIES_MAX: usize = 100_000;
/// The most instances that one file may declare.
pub const INSTANCES_MAX: usize = 1_000;
/// The most bytes of a deployments.json; it is generated and grows with the service.
pub const DEPLOYMENTS_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// Why a soa-configs directory cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum SoaError {
    /// The directory is not there or not readable.
    #[error("cannot read the directory {}; check --soa-dir (default {SOA_DIR_DEFAULT})", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// A link of a service leads out of the directory.
    #[error("{} leads out of the soa directory; only links within it are followed", path.display())]
    Outside {
        /// The directory, as it is named.
        path: PathBuf,
    },
    /// It holds more than anyone means to declare.
    #[error("{} holds more than {ENTRIES_MAX} entries; is it really a soa-configs directory?", path.display())]
    TooMany {
        /// The directory.
        path: PathBuf,
    },
}

/// A yelpsoa-configs directory.
#[derive(Debug, Clone)]
pub struct SoaDir {
    root: PathBuf,
}

/// What one service declares for one cluster.
#[derive(Debug)]
pub struct ServiceLoad {
    /// Every declared instance: its configuration, or what is wrong with it. Who has a last good
    /// configuration of a broken one keeps it.
    pub instances: BTreeMap<InstanceName, Result<InstanceConfig, Vec<Problem>>>,
    /// What is wrong with the files as a whole, names that no instance may have, and warnings.
    pub problems: Vec<Problem>,
    /// Whether `instances` is everything that is declared. When false, a file as a whole could
    /// not be read, or a name in it is wrong: an instance known before that is missing here keeps
    /// its last state.
    pub complete: bool,
}

impl ServiceLoad {
    fn unreadable(problem: Problem) -> Self {
        Self {
            instances: BTreeMap::new(),
            problems: vec![problem],
            complete: false,
        }
    }

    /// Every problem, of the files and of the instances, in the order of the files' lines.
    pub fn all_problems(&self) -> Vec<Problem> {
        let broken = self.instances.values().filter_map(|one| one.as_ref().err());
        let mut all: Vec<Problem> = broken.flatten().chain(&self.problems).cloned().collect();
        all.sort();
        all.dedup();
        all
    }
}

impl SoaDir {
    /// Opens the directory.
    ///
    /// # Errors
    /// [`SoaError::Directory`] when it cannot be listed.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, SoaError> {
        let root = path.into();
        match fs::read_dir(&root) {
            Ok(_) => Ok(Self { root }),
            Err(source) => Err(SoaError::Directory { path: root, source }),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.root
    }

    /// The services: directories whose name may be a service's. Others (`.git`, `_shared`, files)
    /// are not services and are passed over. A link that leads out of the directory is still a
    /// service, of which nothing is read.
    ///
    /// # Errors
    /// [`SoaError`] when the directory cannot be listed or is absurdly large.
    pub fn services(&self) -> Result<Vec<ServiceName>, SoaError> {
        let names = self.entries(".")?;
        let services = names
            .iter()
            .filter_map(|name| ServiceName::new(name).ok())
            .filter(|name| self.root.join(name.as_str()).is_dir());
        Ok(services.collect())
    }

    /// The clusters a service declares instances for, by the names of its files. With `clusters`
    /// configured, a file for any other cluster is invisible.
    ///
    /// # Errors
    /// [`SoaError`] when the service's directory cannot be listed.
    pub fn clusters(
        &self,
        service: &ServiceName,
        system: &SystemConfig,
    ) -> Result<Vec<ClusterName>, SoaError> {
        let files = self.instance_files(service, &["marathon"], system)?;
        let clusters: BTreeSet<ClusterName> = files.into_iter().map(|file| file.1).collect();
        Ok(clusters.into_iter().collect())
    }

    /// Everything that `service` declares to run in `cluster`.
    pub fn load(
        &self,
        service: &ServiceName,
        cluster: &ClusterName,
        system: &SystemConfig,
    ) -> ServiceLoad {
        self.load_type(InstanceType::Marathon, service, cluster, system)
    }

    /// What `service` declares to be run by hand in `cluster`, and the instance
    /// [`INTERACTIVE`], which every service has.
    pub fn adhoc(
        &self,
        service: &ServiceName,
        cluster: &ClusterName,
        system: &SystemConfig,
    ) -> ServiceLoad {
        self.load_type(InstanceType::Adhoc, service, cluster, system)
    }

    fn load_type(
        &self,
        kind: InstanceType,
        service: &ServiceName,
        cluster: &ClusterName,
        system: &SystemConfig,
    ) -> ServiceLoad {
        let file = kind.file(service, cluster);
        if !visible(cluster, system) {
            let message = format!("cluster {cluster} is not in the configured list of clusters");
            return ServiceLoad::unreadable(Mark::file(&file).error("", message));
        }
        let (root, general) = match (
            files::parse(&self.root, &file),
            General::read(&self.root, service),
        ) {
            (Ok(root), Ok(general)) => (root, general),
            (Err(problem), _) | (_, Err(problem)) => return ServiceLoad::unreadable(problem),
        };
        let empty = Map::default();
        let map = root.as_map().unwrap_or(&empty);
        let declared = map.entries.iter().filter(|(key, _)| !key.starts_with('_'));
        if declared.clone().count() > INSTANCES_MAX {
            let message = format!("declares more than {INSTANCES_MAX} instances");
            return ServiceLoad::unreadable(root.mark.error("", message));
        }
        let mut load = ServiceLoad {
            instances: BTreeMap::new(),
            problems: general.problems.clone(),
            complete: true,
        };
        let loader = Loader {
            dir: self,
            kind,
            service,
            cluster,
            general: &general,
            namespaces: self.namespaces(service),
        };
        for (key, entry) in declared {
            loader.instance(key, entry, map, &mut load);
        }
        for fault in map
            .faults
            .iter()
            .filter(|fault| !load.instances.keys().any(|name| name.as_str() == fault.key))
        {
            load.problems.push(fault.problem(""));
        }
        // A name that is wrong, or there twice, may be another instance's, misspelt: nothing is
        // taken for gone on the word of such a file.
        let wrong = |fault: &Problem| fault.severity == Severity::Error && fault.file == file;
        load.complete = map.faults.is_empty() && !load.problems.iter().any(wrong);
        self.check_groups(service, &mut load);
        if kind == InstanceType::Adhoc && load.complete {
            loader.interactive(&mut load);
        }
        load.problems.sort();
        load.problems.dedup();
        load
    }

    /// The namespaces of a service.
    ///
    /// # Errors
    /// The problem that keeps smartstack.yaml as a whole from being read.
    pub fn namespaces(&self, service: &ServiceName) -> Result<Namespaces, Problem> {
        files::parse(&self.root, &format!("{service}/smartstack.yaml"))
            .map(|root| smartstack::namespaces(&root))
    }

    /// What service.yaml says.
    ///
    /// # Errors
    /// The problem that keeps the service's own files from being read.
    pub fn service(&self, service: &ServiceName) -> Result<Service, Problem> {
        General::read(&self.root, service).map(|general| general.service)
    }

    /// The team of a service as a whole and its settings, of service.yaml and monitoring.yaml.
    ///
    /// # Errors
    /// The problem that keeps these files from being read.
    pub fn monitoring(&self, service: &ServiceName) -> Result<Monitoring, Problem> {
        General::read(&self.root, service).map(|general| general.monitoring())
    }

    /// The pipeline of a service; empty when it has none.
    ///
    /// # Errors
    /// What is wrong with deploy.yaml.
    pub fn pipeline(&self, service: &ServiceName) -> Result<Pipeline, Vec<Problem>> {
        let file = format!("{service}/deploy.yaml");
        let root = files::parse(&self.root, &file).map_err(|problem| vec![problem])?;
        let mut problems = Vec::new();
        let pipeline = Pipeline::decode(&root, &mut problems);
        match problems.iter().any(|one| one.severity == Severity::Error) {
            true => Err(problems),
            false => Ok(pipeline),
        }
    }

    /// The deployed versions of a service; `None` before its first deploy.
    ///
    /// # Errors
    /// The problem that keeps deployments.json from being read.
    pub fn deployments(&self, service: &ServiceName) -> Result<Option<Deployments>, Problem> {
        let file = format!("{service}/{}", deployments::FILE);
        match files::read_up_to(&self.root, &file, DEPLOYMENTS_BYTES_MAX)? {
            Some(text) => Deployments::parse(&file, &text).map(Some),
            None => Ok(None),
        }
    }

    /// The files of these instance types, each with its cluster.
    pub(super) fn instance_files(
        &self,
        service: &ServiceName,
        kinds: &[&str],
        system: &SystemConfig,
    ) -> Result<Vec<(String, ClusterName)>, SoaError> {
        let names = self.entries(service.as_str())?;
        let mut found = Vec::new();
        for name in names {
            let cluster = name
                .strip_suffix(".yaml")
                .and_then(|stem| stem.split_once('-'))
                .filter(|(kind, cluster)| kinds.contains(kind) && *cluster != SHARED)
                .and_then(|(_, cluster)| ClusterName::new(cluster).ok())
                .filter(|cluster| visible(cluster, system));
            if let Some(cluster) = cluster {
                found.push((format!("{service}/{name}"), cluster));
            }
        }
        Ok(found)
    }

    /// The names in a service's directory, sorted.
    pub(super) fn names(&self, service: &ServiceName) -> Result<Vec<String>, SoaError> {
        self.names_in(service.as_str())
    }

    /// The names in a directory below this one, sorted.
    pub(super) fn names_in(&self, directory: &str) -> Result<Vec<String>, SoaError> {
        self.entries(directory)
    }

    /// Whether there is such a file, relative to the directory and within it.
    pub(super) fn holds(&self, file: &str) -> bool {
        matches!(within::find(&self.root, file), Ok(Found::Here(_)))
    }

    /// The directories at the top that are no services, each with the reason: hidden ones and
    /// what services share are not among them.
    ///
    /// # Errors
    /// [`SoaError`] when the directory cannot be listed or is absurdly large.
    pub fn passed_over(&self) -> Result<Vec<(String, String)>, SoaError> {
        let mut passed = Vec::new();
        for name in self.entries(".")? {
            let ours = name.starts_with('.') || name == SHARED_SERVICE;
            if ours || !self.root.join(&name).is_dir() {
                continue;
            }
            match ServiceName::new(&name) {
                Err(error) => passed.push((name, error.rule.to_owned())),
                Ok(service) if !self.declares(&service) => {
                    passed.push((name, "no file of a service is in it".to_owned()));
                }
                Ok(_) => {}
            }
        }
        Ok(passed)
    }

    /// Whether any file of the service's is one that is read here, or a link leads away.
    pub fn declares(&self, service: &ServiceName) -> bool {
        match self.names(service) {
            Ok(names) => names
                .iter()
                .any(|name| !matches!(Named::of(name), Named::Other)),
            // Why it cannot be listed is to be said.
            Err(_) => true,
        }
    }

    /// The names in a directory below this one, sorted; those that are not UTF-8 cannot be
    /// anything of ours.
    fn entries(&self, directory: &str) -> Result<Vec<String>, SoaError> {
        let path = match directory {
            "." => self.root.clone(),
            name => self.root.join(name),
        };
        let refuse = |source| SoaError::Directory {
            path: path.clone(),
            source,
        };
        let found = match within::find(&self.root, directory).map_err(refuse)? {
            Found::Here(handle) => handle,
            Found::Outside => return Err(SoaError::Outside { path }),
            Found::Nothing => return Err(refuse(io::ErrorKind::NotFound.into())),
        };
        let mut names = Vec::new();
        for entry in found.names().map_err(refuse)? {
            if names.len() >= ENTRIES_MAX {
                return Err(SoaError::TooMany { path });
            }
            if let Ok(name) = entry.map_err(refuse)?.file_name().into_string() {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    /// A deploy group that no pipeline step feeds deploys nothing, silently: said as a warning.
    fn check_groups(&self, service: &ServiceName, load: &mut ServiceLoad) {
        match self.pipeline(service) {
            Ok(pipeline) if !pipeline.steps.is_empty() => {
                for (name, config) in &load.instances {
                    let Ok(config) = config else { continue };
                    if let Some(message) = pipeline.missing(&config.deploy_group) {
                        let mark = config.origin.of("deploy_group");
                        let field = format!("{name}.deploy_group");
                        let problem = mark.warning(field, message);
                        load.problems.push(problem.by(Rule::Reference));
                    }
                }
            }
            Ok(_) => {}
            Err(problems) => load
                .problems
                .extend(problems.into_iter().map(|mut problem| {
                    problem.severity = Severity::Warning;
                    problem
                })),
        }
    }
}

fn visible(cluster: &ClusterName, system: &SystemConfig) -> bool {
    system.clusters.is_empty() || system.clusters.contains(cluster)
}

/// Decodes the instances of one file.
struct Loader<'a> {
    dir: &'a SoaDir,
    kind: InstanceType,
    service: &'a ServiceName,
    cluster: &'a ClusterName,
    general: &'a General,
    namespaces: Result<Namespaces, Problem>,
}

impl Loader<'_> {
    /// Adds the instance that every service has, unless the service declares it itself.
    fn interactive(&self, load: &mut ServiceLoad) {
        let (Ok(name), Ok(root)) = (
            InstanceName::new(INTERACTIVE),
            yaml::parse("(built in)", INTERACTIVE_FIELDS),
        ) else {
            return;
        };
        let entry = Entry {
            key: root.mark.clone(),
            node: root,
        };
        if !load.instances.contains_key(&name) {
            self.instance(INTERACTIVE, &entry, &Map::default(), load);
        }
    }

    fn instance(&self, key: &str, entry: &Entry, file: &Map, load: &mut ServiceLoad) {
        let name = match InstanceName::new(key) {
            Ok(name) => name,
            Err(error) => {
                let problem = entry.key.error(key, error.to_string());
                load.problems.push(problem.by(Rule::Name));
                return;
            }
        };
        let mut problems = Vec::new();
        for fault in file.faults.iter().filter(|fault| fault.key == key) {
            problems.push(fault.problem(""));
        }
        entry.node.faults(key, &mut problems);
        let config = self.decode(&name, entry, &mut problems);
        problems.sort();
        problems.dedup();
        let broken = problems.iter().any(|one| one.severity == Severity::Error);
        let result = match config {
            Some(config) if !broken => {
                load.problems.append(&mut problems);
                Ok(config)
            }
            _ => Err(problems),
        };
        load.instances.insert(name, result);
    }

    fn decode(
        &self,
        name: &InstanceName,
        entry: &Entry,
        problems: &mut Vec<Problem>,
    ) -> Option<InstanceConfig> {
        let key = name.as_str();
        let empty = Node {
            mark: entry.node.mark.clone(),
            value: Value::Map(Map::default()),
        };
        let empty_warning = |word: &str| {
            let message = format!("is {word}: every field has its default");
            entry.key.warning(key, message).by(Rule::Empty)
        };
        let own = match &entry.node.value {
            Value::Map(map) => {
                if map.entries.is_empty() {
                    problems.push(empty_warning("empty"));
                }
                &entry.node
            }
            Value::Null => {
                problems.push(empty_warning("null"));
                &empty
            }
            _ => {
                let message = format!("expected a map, found {}", entry.node.describe());
                let problem = entry.node.mark.error(key, message);
                problems.push(problem.by(Rule::Type));
                return None;
            }
        };
        let effective = self.general.defaults.overlaid(own);
        let monitoring = self.general.monitoring_of(own, name, problems);
        let context = marathon::Context {
            kind: self.kind,
            service: self.service,
            instance: name,
            cluster: self.cluster,
            mark: &entry.key,
            docker_registry: self.general.service.docker_registry.as_deref(),
            monitoring: &monitoring,
            namespaces: &|registration| self.namespace(registration),
        };
        marathon::decode(effective.as_map()?, &context, problems)
    }

    /// The namespace of a registration, which may be another service's.
    fn namespace(&self, registration: &str) -> Result<Option<Namespace>, Vec<Problem>> {
        let Some((service, namespace)) = registration.split_once('.') else {
            return Ok(None);
        };
        let other;
        let namespaces = match service == self.service.as_str() {
            true => &self.namespaces,
            false => match ServiceName::new(service) {
                Ok(service) => {
                    other = self.dir.namespaces(&service);
                    &other
                }
                Err(_) => return Ok(None),
            },
        };
        match namespaces {
            Ok(found) => found.get(namespace).cloned().transpose(),
            Err(problem) => Err(vec![problem.clone()]),
        }
    }
}
