//! What the verbs that speak through git have in common: which service is meant, where its
//! repository is, which versions are marked there, and how a tag gets there. The cluster is not
//! asked; it is only told that there is something to see.

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    path::PathBuf,
    time::Duration,
};

use anyhow::{Context as _, bail};
use jiff::{Timestamp, ToSpan as _, civil::DateTime, tz::TimeZone};
use paasta_common::{
    config::SystemConfig,
    deployments::{
        Target,
        tags::{Tags, deploy_tag, group_fault},
    },
    id::ServiceName,
    soa::SoaDir,
};
use paasta_process::{
    chain,
    git::{self, push::PushError},
};
use tokio::time::sleep;

use super::{Context, names, poke};
use crate::terminal::note;

pub mod control;
pub mod get_latest_deployment;
pub mod list_deployments;
pub mod mark_for_deployment;
pub mod rollback;

/// How often tags are pushed.
const ATTEMPTS: u32 = 3;
/// The time in the name of a tag.
const TIME: &str = "%Y%m%dT%H%M%S";
/// The full length of a sha.
const SHA_CHARS: usize = 40;
/// The least of a short sha.
const SHORT_SHA_CHARS_MIN: usize = 4;

/// Which service is meant, and where it is described.
#[derive(Debug, Clone, clap::Args)]
pub struct ServiceArgs {
    /// The service [default: the name of this directory, without a leading services-]
    #[arg(short, long, value_name = "SERVICE")]
    pub service: Option<String>,
    /// The yelpsoa-configs directory [default: soa_dir of the configuration]
    #[arg(
        short = 'd',
        short_alias = 'y',
        long,
        visible_alias = "yelpsoa-config-root"
    )]
    #[arg(value_name = "DIR")]
    pub soa_dir: Option<PathBuf>,
    /// How long the repository may take for one answer
    #[arg(long, value_name = "TIME", default_value = "60s")]
    #[arg(value_parser = humantime::parse_duration)]
    pub git_timeout: Duration,
}

/// How pushing is tried.
#[derive(Debug, Clone, clap::Args)]
pub struct PushArgs {
    /// The pause after a push that failed; it grows with every attempt
    #[arg(long, value_name = "TIME", default_value = "5s")]
    #[arg(value_parser = humantime::parse_duration)]
    pub retry_pause: Duration,
}

/// A service with its repository, as it was when it was asked.
#[derive(Debug)]
pub(super) struct Origin {
    pub(super) service: ServiceName,
    pub(super) url: String,
    /// How long the repository may take for one answer.
    pub(super) limit: Duration,
    pub(super) refs: BTreeMap<String, String>,
    /// What the service declares, in every cluster.
    pub(super) targets: Vec<Target>,
}

/// The service that is meant, and the directory it is in.
///
/// # Errors
/// There is no such service; the nearest names are told.
pub(super) fn service(
    args: &ServiceArgs,
    system: &SystemConfig,
) -> anyhow::Result<(SoaDir, ServiceName)> {
    let path = args.soa_dir.clone();
    let soa = SoaDir::open(path.unwrap_or_else(|| PathBuf::from(&system.soa_dir)))?;
    let named = match &args.service {
        Some(name) => name.clone(),
        None => guess()?,
    };
    let known = soa.services()?;
    match known.iter().find(|service| service.as_str() == named) {
        Some(service) => Ok((soa, service.clone())),
        None => {
            let hint = names::hint(&named, known.iter().map(ServiceName::as_str));
            let given = match &args.service {
                Some(_) => "",
                None => " (the name of this directory; -s names another service)",
            };
            bail!(
                "there is no service {named:?}{given} in {}{hint}",
                soa.path().display()
            )
        }
    }
}

/// The service whose repository this directory looks to be.
///
/// # Errors
/// There is no current directory.
pub(super) fn guess() -> anyhow::Result<String> {
    let here = env::current_dir().context("give the service with -s")?;
    let name = here.file_name().unwrap_or_default().to_string_lossy();
    Ok(name.strip_prefix("services-").unwrap_or(&name).to_owned())
}

impl Origin {
    /// Finds the service and asks its repository, at `git_url` where that is given.
    ///
    /// # Errors
    /// There is no such service, it cannot be read, or its repository does not answer.
    pub(super) async fn ask(
        context: &Context,
        args: &ServiceArgs,
        git_url: Option<&str>,
    ) -> anyhow::Result<Self> {
        let system = context.system()?;
        let (soa, service) = service(args, &system)?;
        let found = soa.targets(&service, &system)?;
        for problem in found.problems {
            note(&problem.to_string());
        }
        let url = match git_url {
            Some(url) => url.to_owned(),
            None => {
                let described = soa.service(&service);
                described
                    .map_err(|problem| anyhow::anyhow!("{problem}"))?
                    .git_url
            }
        };
        let limit = args.git_timeout;
        let refs = git::ls_remote(&url, limit).await?;
        Ok(Self {
            service,
            url,
            limit,
            refs,
            targets: found.list,
        })
    }

    /// The deploy groups in use, of every cluster.
    pub(super) fn groups(&self) -> BTreeSet<&str> {
        let groups = self
            .targets
            .iter()
            .map(|target| target.deploy_group.as_str());
        groups.collect()
    }

    /// The commit that a deploy group runs: by its latest tag, else by the branch of the seed era.
    pub(super) fn current(&self, group: &str) -> Option<&str> {
        let tags = Tags::read(&self.refs);
        let tagged = tags.latest(group).map(|deploy| deploy.sha);
        tagged.or_else(|| {
            let of_it = |target: &&Target| target.deploy_group == group;
            self.targets
                .iter()
                .filter(of_it)
                .find_map(|target| self.branch(target))
        })
    }

    fn branch(&self, target: &Target) -> Option<&str> {
        let own = format!("{}.{}", target.cluster, target.instance);
        let branch = target.branch.as_deref().unwrap_or(&own);
        let name = format!("refs/heads/paasta-{branch}");
        self.refs.get(&name).map(String::as_str)
    }

    /// The full sha of one that may be short: of those that refs stand on.
    ///
    /// # Errors
    /// It is no sha, or no ref or several begin with it.
    pub(super) fn full_sha(&self, given: &str) -> anyhow::Result<String> {
        let sha = given.to_ascii_lowercase();
        let hex = sha.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !hex || !(SHORT_SHA_CHARS_MIN..=SHA_CHARS).contains(&sha.len()) {
            bail!("{given:?} is not a git sha: give 4 to {SHA_CHARS} hexadecimal digits");
        }
        if sha.len() == SHA_CHARS {
            return Ok(sha);
        }
        let fits = self.refs.values().filter(|full| full.starts_with(&sha));
        let fits: BTreeSet<&String> = fits.collect();
        match (fits.len(), fits.first()) {
            (1, Some(full)) => Ok((*full).clone()),
            (0, _) => bail!(
                "no branch or tag of {} stands on a commit {sha}; give the full sha",
                self.url
            ),
            (count, _) => bail!(
                "{count} commits of {} begin with {sha}; give more of it",
                self.url
            ),
        }
    }

    /// Marks `sha` for a deploy group; returns the tag. The tag is later than every one of the
    /// group: also than one that somebody made this very second, or by a clock that is ahead.
    ///
    /// # Errors
    /// The remote took no tag, in [`ATTEMPTS`] attempts.
    pub(super) async fn mark(
        &mut self,
        group: &str,
        sha: &str,
        push: &PushArgs,
    ) -> anyhow::Result<String> {
        if let Some(fault) = group_fault(group) {
            bail!("{group:?} cannot be a deploy group: {fault}");
        }
        let name = |refs: &BTreeMap<String, String>| {
            let tags = Tags::read(refs);
            let last = tags.latest(group).map(|deploy| deploy.timestamp);
            vec![deploy_tag(group, &later(Timestamp::now(), last))]
        };
        let tags = self.push(sha, name, push).await?;
        tags.into_iter().next().context("one tag was pushed")
    }

    /// Pushes tags on `sha`, named by what the remote has; again when somebody was quicker or the
    /// remote did not take them.
    async fn push(
        &mut self,
        sha: &str,
        names: impl Fn(&BTreeMap<String, String>) -> Vec<String>,
        args: &PushArgs,
    ) -> anyhow::Result<Vec<String>> {
        let here = env::current_dir().unwrap_or_else(|_| PathBuf::from("/"));
        let mut attempt = 1;
        loop {
            let tags = names(&self.refs);
            let pushed =
                git::push::push_tags(&self.url, sha, &tags, &self.refs, &here, self.limit).await;
            let error = match pushed {
                Ok(()) => {
                    let new = tags.iter().map(|tag| format!("refs/tags/{tag}"));
                    self.refs.extend(new.map(|name| (name, sha.to_owned())));
                    return Ok(tags);
                }
                Err(error) => error,
            };
            let again = error.is_passing() || matches!(error, PushError::Exists { .. });
            if !again || attempt >= ATTEMPTS {
                return Err(error.into());
            }
            note(&format!(
                "attempt {attempt}/{ATTEMPTS} failed: {}",
                chain::chain(&error)
            ));
            if !matches!(error, PushError::Exists { .. }) {
                sleep(args.retry_pause * attempt).await;
            }
            attempt += 1;
            // What was there a moment ago may be what is in the way.
            match git::ls_remote(&self.url, self.limit).await {
                Ok(refs) => self.refs = refs,
                Err(error) => note(&chain::chain(&error)),
            }
        }
    }

    /// Tells the coordinators that these tags are new, if there are any that can be told: they
    /// would see them by themselves a little later.
    pub(super) async fn tell(&self, context: &Context, tags: &[String]) {
        poke::best_effort(context, &self.service, tags).await;
    }
}

/// Now, or a second after `last` where that is not before now.
fn later(now: Timestamp, last: Option<&str>) -> String {
    let now = TimeZone::UTC.to_datetime(now);
    let last = last.and_then(|text| DateTime::strptime(TIME, text).ok());
    let after = last.and_then(|last| last.checked_add(1.second()).ok());
    let at = after.map_or(now, |after| after.max(now));
    at.strftime(TIME).to_string()
}

/// The time in the name of a tag as a moment, in milliseconds; 0 for one that is none.
pub(super) fn moment_ms(timestamp: &str) -> u64 {
    let at = DateTime::strptime(TIME, timestamp).ok();
    let at = at.and_then(|at| TimeZone::UTC.to_timestamp(at).ok());
    at.map_or(0, |at| u64::try_from(at.as_millisecond()).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_tag_is_later_than_every_other() {
        let now: Timestamp = "2020-01-02T03:04:05Z".parse().unwrap();
        for (last, next) in [
            (None, "20200102T030405"),
            (Some("20200102T030404"), "20200102T030405"),
            (Some("20200102T030405"), "20200102T030406"),
            (Some("20211231T235959"), "20220101T000000"),
            (Some("99999999T999999"), "20200102T030405"),
        ] {
            assert_eq!(later(now, last), next, "{last:?}");
        }
        assert_eq!(moment_ms("20200102T030405"), 1_577_934_245_000);
        assert_eq!(moment_ms("20209902T030405"), 0);
    }

    #[test]
    fn short_shas_are_expanded_and_doubtful_ones_refused() {
        let refs = [("a", "abcd1"), ("b", "abcd2"), ("c", "ffff1")];
        let refs = refs.map(|(name, sha)| (name.to_owned(), format!("{sha:0<40}")));
        let origin = Origin {
            service: "web".parse().unwrap(),
            url: "u".to_owned(),
            limit: Duration::ZERO,
            refs: refs.into(),
            targets: Vec::new(),
        };
        assert_eq!(
            origin.full_sha("FFFF").unwrap(),
            format!("{:0<40}", "ffff1")
        );
        let whole = "1".repeat(40);
        assert_eq!(origin.full_sha(&whole).unwrap(), whole);
        for (bad, words) in [
            ("abcd", "2 commits"),
            ("eeee", "no branch or tag"),
            ("abc", "not a git sha"),
            ("xyzt", "not a git sha"),
        ] {
            let error = origin.full_sha(bad).unwrap_err().to_string();
            assert!(error.contains(words), "{bad}: {error}");
        }
    }
}
