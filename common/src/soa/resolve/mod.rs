//! The desired app of an instance: what its author declared, the deployed version and the
//! cluster's settings, brought together. Pure: the same inputs give the same app, and the same
//! id, on every machine.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    marathon::{InstanceConfig, Mode},
    smartstack::Namespace,
};
use crate::{
    app::{AppSpec, HealthCheck, Probe, Resources},
    app_id,
    config::SystemConfig,
    deployments::Deployment,
    id::InstanceId,
    image::Registry,
    problem::{Problem, Rule},
    spec::{Autoscaling, BounceSpec, DrainMethod, InstanceSpec, Monitoring, RunSettings},
};

mod authors;
mod constraints;
mod volumes;

pub(crate) use volumes::narrowed;

/// What a drain may take beyond the time it is meant to take.
const DRAIN_SLACK_MS: u64 = 60_000;
/// What a drain may take when only the service knows how long it takes.
const DRAIN_UNKNOWN_MS: u64 = 600_000;

/// Resolves the desired state of instance `id`.
///
/// # Errors
/// Every reason why this instance cannot be run here, each with the place of the field it is
/// about. Nothing of it concerns other instances.
pub fn resolve(
    id: &InstanceId,
    config: &InstanceConfig,
    deployment: &Deployment,
    system: &SystemConfig,
) -> Result<InstanceSpec, Vec<Problem>> {
    let mut resolver = Resolver {
        id,
        config,
        deployment,
        system,
        instances: config.max_instances.unwrap_or(config.instances),
        problems: Vec::new(),
    };
    let app = resolver.app();
    let force_bounce = deployment.force_bounce.clone();
    let app_id = app.and_then(|app| {
        let app_id = app_id::compute(id, &app, force_bounce.as_deref());
        let app_id = app_id.map_err(|error| resolver.refuse("", Rule::Other, error.to_string()));
        Some((app_id.ok()?, app))
    });
    match app_id {
        Some((app_id, app)) if resolver.problems.is_empty() => Ok(InstanceSpec {
            app_id,
            app: Arc::new(app),
            run: Arc::new(resolver.run_settings()),
            instances: resolver.instances,
            desired_state: deployment.desired_state,
            force_bounce,
            bounce: resolver.bounce(),
            replication_threshold: config.replication_threshold,
            team: config.monitoring.team.clone(),
            monitoring: resolver.monitoring(),
            namespaces: config.namespaces.clone(),
            autoscaling: config
                .max_instances
                // Bounds that contradict each other were warned of.
                .filter(|max| config.min_instances <= *max)
                .map(|max| Autoscaling {
                    min: config.min_instances,
                    max,
                }),
        }),
        _ => Err(resolver.problems),
    }
}

struct Resolver<'a> {
    id: &'a InstanceId,
    config: &'a InstanceConfig,
    deployment: &'a Deployment,
    system: &'a SystemConfig,
    instances: u32,
    problems: Vec<Problem>,
}

impl Resolver<'_> {
    /// Notes a problem at `field`, or at the instance itself.
    fn refuse(&mut self, field: &str, rule: Rule, message: impl Into<String>) {
        let mark = self.config.origin.of(field);
        let path = match field.is_empty() {
            true => self.id.instance.to_string(),
            false => format!("{}.{field}", self.id.instance),
        };
        self.problems.push(mark.error(path, message).by(rule));
    }

    fn app(&mut self) -> Option<AppSpec> {
        let config = self.config;
        let image = self.image();
        let health = self.health();
        let volumes = self.volumes();
        self.allowed();
        let constraints = self.constraints();
        Some(AppSpec {
            image: image?,
            git_sha: self.deployment.git_sha.clone(),
            resources: Resources {
                cpus_milli: thousandths(config.cpus),
                mem_mb: config.mem.ceil() as u64,
                disk_mb: config.disk.ceil() as u64,
                gpus: u64::from(config.gpus),
            },
            // Rounded as every amount is; no burst stays no burst.
            cpu_burst_milli: (config.cpu_burst_add * 1000.0).ceil() as u32,
            cfs_period_us: config.cfs_period_us,
            cmd: config.cmd.clone(),
            args: config.args.clone(),
            env: self.environment(),
            net: config.net.clone(),
            container_port: config.container_port,
            host_port: config.host_port,
            volumes,
            ulimits: config.ulimits.clone(),
            cap_add: config.cap_add.clone(),
            health,
            backoff_factor: config.backoff_factor,
            backoff_max_ms: config.backoff_max_ms,
            pool: self.pool(),
            constraints,
            docker: config.docker.clone(),
        })
    }

    fn image(&mut self) -> Option<String> {
        let own = self.config.docker_registry.as_ref();
        let Some(registry) = own.or(self.system.docker_registry.as_ref()) else {
            self.refuse(
                "",
                Rule::Required,
                "docker_registry is set neither in /etc/paasta nor in service.yaml",
            );
            return None;
        };
        let image =
            Registry::new(registry).and_then(|one| one.image(&self.deployment.docker_image));
        match image {
            Ok(image) => Some(image.as_str().to_owned()),
            Err(error) => {
                self.refuse("", Rule::Format, error.to_string());
                None
            }
        }
    }

    /// PaaSTA's variables under the user's own, which win.
    fn environment(&self) -> BTreeMap<String, String> {
        let cluster = self.system.cluster.as_ref();
        let injected = [
            ("PAASTA_SERVICE", Some(self.id.service.as_str())),
            ("PAASTA_INSTANCE", Some(self.id.instance.as_str())),
            ("PAASTA_CLUSTER", cluster.map(|name| name.as_str())),
            (
                "PAASTA_DEPLOY_GROUP",
                Some(self.config.deploy_group.as_str()),
            ),
            (
                "PAASTA_DOCKER_IMAGE",
                Some(self.deployment.docker_image.as_str()),
            ),
            ("PAASTA_INSTANCE_TYPE", Some(self.config.kind.as_str())),
            (
                "PAASTA_MONITORING_TEAM",
                self.config.monitoring.team.as_deref(),
            ),
        ];
        let mut env: BTreeMap<String, String> = injected
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())))
            .collect();
        env.extend(self.config.env.clone());
        env
    }

    fn namespace(&self) -> Option<&Namespace> {
        self.config.namespace.as_ref()
    }

    fn announced(&self) -> bool {
        self.namespace()
            .is_some_and(|namespace| namespace.options.proxy_port.is_some())
    }

    /// The mode is the instance's, else the namespace's for checks, else the namespace's; with
    /// none of them there is no check.
    fn health(&mut self) -> Option<HealthCheck> {
        let own = &self.config.health;
        let namespace = self.config.namespace.as_ref();
        let mode = own
            .mode
            .or(namespace.and_then(|namespace| namespace.healthcheck_mode))
            .or(namespace.and_then(|namespace| namespace.mode))?;
        let uri = || {
            let shared = namespace.map(|namespace| namespace.healthcheck_uri.clone());
            let uri = own.uri.clone().or(shared);
            uri.unwrap_or_else(|| "/status".to_owned())
        };
        let probe = match (mode, &own.command) {
            (Mode::Http, _) => Probe::Http { uri: uri() },
            (Mode::Https, _) => Probe::Https { uri: uri() },
            (Mode::Tcp, _) => Probe::Tcp,
            (Mode::Cmd, Some(command)) => Probe::Cmd {
                command: command.clone(),
            },
            (Mode::Cmd, None) => {
                let message = "smartstack.yaml checks by a command: give healthcheck_mode and \
                               healthcheck_cmd";
                self.refuse("", Rule::HealthcheckCmd, message);
                return None;
            }
        };
        Some(HealthCheck {
            probe,
            grace_ms: own.grace_ms,
            interval_ms: own.interval_ms,
            timeout_ms: own.timeout_ms,
            max_consecutive_failures: own.max_consecutive_failures,
        })
    }

    fn run_settings(&self) -> RunSettings {
        let drain = self.config.drain.clone();
        let drain_timeout_ms = self.config.drain_timeout_ms.unwrap_or(match &drain {
            DrainMethod::Noop => DRAIN_SLACK_MS,
            DrainMethod::Hacheck { delay_ms, .. } | DrainMethod::Test { delay_ms } => {
                delay_ms.saturating_add(DRAIN_SLACK_MS)
            }
            DrainMethod::Http { .. } => DRAIN_UNKNOWN_MS,
        });
        RunSettings {
            backoff_base_ms: backoff_base_ms(self.instances),
            drain,
            registrations: self.config.registrations.clone(),
            stop_grace_ms: self.config.stop_timeout_ms,
            drain_timeout_ms,
        }
    }

    fn monitoring(&self) -> Monitoring {
        Monitoring {
            location: self.location(),
            ..self.config.monitoring.settings.clone()
        }
    }

    /// Clients find the instance in their own location only when it is load balanced; one that is
    /// announced under another name is only a part of what they find there.
    fn location(&self) -> Option<String> {
        let own = self.config.registrations.first() == Some(&self.id.to_string());
        let namespace = self.namespace().filter(|_| own && self.announced())?;
        Some(namespace.options.discover.to_string())
    }

    fn bounce(&self) -> BounceSpec {
        let bounce = &self.config.bounce;
        BounceSpec {
            method: bounce.method,
            margin: bounce.margin,
            // PaaSTA's own 0 rests on a first check some time after the start. Here it comes at
            // once, and a version that dies right after its start would answer it.
            min_task_uptime_ms: bounce
                .min_task_uptime_ms
                .unwrap_or(self.config.health.interval_ms),
            check_load_balancer: bounce.check_load_balancer.unwrap_or(self.announced()),
            min_fraction_up: bounce.min_fraction_up,
            start_deadline_ms: bounce.start_deadline_ms,
            progress_deadline_ms: bounce.progress_deadline_ms,
            on_deadline: bounce.on_deadline,
        }
    }
}

/// `ceil(10 / instances)` seconds: an instance of many replicas may start them faster.
fn backoff_base_ms(instances: u32) -> u64 {
    match instances {
        0 => 1_000,
        n => u64::from(10_u32.div_ceil(n)) * 1_000,
    }
}

/// Cores as thousandths, at least one: a replica that takes nothing could be placed without end.
fn thousandths(cores: f64) -> u64 {
    // A thousandth of a thousandth is noise of the decimal notation, not a wish.
    ((cores * 1000.0 - 1e-6).ceil() as u64).max(1)
}
