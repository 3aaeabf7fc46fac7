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
    url::Url,
};
use paasta_process::{
    chain,
    git::{
        self, Refs,
        push::{Commit, PushError},
    },
};
use tokio::time::sleep;

use super::{Context, names, poke};
use crate::terminal::note;

pub mod control;
pub mod get_latest_deployment;
pub mod list_deployments;
pub mod mark_for_deployment;
pub mod owned;
pub mod rollback;

/// How often tags are pushed.
const ATTEMPTS: u32 = 3;
/// The time in the name of a tag.
const TIME: &str = "%Y%m%dT%H%M%S";
/// The full length of a sha, where the repository does not say which kind it has.
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
    /// Taken as by PaaSTA: everything is said in any case
    #[arg(short, long, hide = true)]
    pub verbose: bool,
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
    pub(super) url: Url,
    /// How long the repository may take for one answer.
    pub(super) limit: Duration,
    pub(super) refs: Refs,
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
            Some(url) => Url::new(url),
            None => {
                let described = soa.service(&service);
                let described = described.map_err(|problem| anyhow::anyhow!("{problem}"))?;
                described
                    .repository(&service, &system)
                    .with_context(|| no_repository(&service))?
            }
        };
        let limit = args.git_timeout;
        let refs = git::ls_remote(&url, limit).await?;
        for tag in Tags::read(&refs.tips).timeless() {
            note(&format!(
                "warning: the time in the name of the tag {tag} does not exist: it counts for \
                 nothing; delete it by `git push --delete REMOTE {tag}`"
            ));
        }
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
        let tags = Tags::read(&self.refs.tips);
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
        self.refs.tips.get(&name).map(String::as_str)
    }

    /// How long a sha of this repository is: one made by SHA-256 has 64 digits.
    pub(super) fn sha_chars(&self) -> usize {
        let any = self.refs.tips.values().next();
        any.map_or(SHA_CHARS, String::len)
    }

    /// The full sha of one that may be short: of those that refs stand on. Of an annotated tag, the
    /// commit.
    ///
    /// # Errors
    /// It is no sha, or no ref or several begin with it.
    pub(super) fn full_sha(&self, given: &str) -> anyhow::Result<String> {
        let sha = given.to_ascii_lowercase();
        let hex = sha.bytes().all(|byte| byte.is_ascii_hexdigit());
        let full = self.sha_chars();
        if !hex || !(SHORT_SHA_CHARS_MIN..=full).contains(&sha.len()) {
            bail!("{given:?} is not a git sha: give 4 to {full} hexadecimal digits");
        }
        if sha.len() == full {
            return Ok(self.refs.peeled.get(&sha).cloned().unwrap_or(sha));
        }
        let tips = self.refs.tips.values().map(|tip| (tip, tip));
        let all = tips.chain(&self.refs.peeled);
        let fits = all.filter(|(known, _)| known.starts_with(&sha));
        let fits: BTreeSet<&String> = fits.map(|(_, commit)| commit).collect();
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

    /// The commit that is given, which may be a short sha or that of a tag, for [`Self::mark`].
    ///
    /// # Errors
    /// The repository does not have it, or it is no commit.
    pub(super) async fn commit(&self, given: &str, args: &PushArgs) -> anyhow::Result<Commit> {
        let sha = self.full_sha(given)?;
        let here = env::current_dir().unwrap_or_else(|_| PathBuf::from("/"));
        let mut attempt = 1;
        loop {
            match Commit::find(&self.url, &sha, &self.refs, &here, self.limit).await {
                Ok(commit) => return Ok(commit),
                Err(error) if error.is_passing() && attempt < ATTEMPTS => {
                    failed(attempt, &error);
                    sleep(args.retry_pause * attempt).await;
                    attempt += 1;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Marks a commit for a deploy group; returns the tag. The tag is later than every one of the
    /// group: also than one that somebody made this very second, or by a clock that is ahead.
    ///
    /// # Errors
    /// The remote took no tag, in [`ATTEMPTS`] attempts.
    pub(super) async fn mark(
        &mut self,
        group: &str,
        commit: &Commit,
        push: &PushArgs,
    ) -> anyhow::Result<String> {
        if let Some(fault) = group_fault(group) {
            bail!("{group:?} cannot be a deploy group: {fault}");
        }
        let name = |refs: &BTreeMap<String, String>| {
            let tags = Tags::read(refs);
            let last = tags.latest(group).map(|deploy| deploy.timestamp);
            let time = later(Timestamp::now(), last)
                .with_context(|| unbeatable(&deploy_tag(group, last.unwrap_or_default())))?;
            Ok(vec![deploy_tag(group, &time)])
        };
        let tags = self.push(commit, name, push).await?;
        tags.into_iter().next().context("one tag was pushed")
    }

    /// Pushes tags on `sha`, named by what the remote has; again when somebody was quicker or the
    /// remote did not take them.
    async fn push(
        &mut self,
        commit: &Commit,
        names: impl Fn(&BTreeMap<String, String>) -> anyhow::Result<Vec<String>>,
        args: &PushArgs,
    ) -> anyhow::Result<Vec<String>> {
        let mut attempt = 1;
        loop {
            let tags = names(&self.refs.tips)?;
            let error = match commit.push_tags(&self.url, &tags, self.limit).await {
                Ok(()) => {
                    let new = tags.iter().map(|tag| format!("refs/tags/{tag}"));
                    let new = new.map(|name| (name, commit.sha().to_owned()));
                    self.refs.tips.extend(new);
                    return Ok(tags);
                }
                Err(error) => error,
            };
            let again = error.is_passing() || matches!(error, PushError::Exists { .. });
            if !again || attempt >= ATTEMPTS {
                return Err(error.into());
            }
            failed(attempt, &error);
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

/// Now, or a second after `last` where that is not before now; none where no time is after it.
fn later(now: Timestamp, last: Option<&str>) -> Option<String> {
    let now = TimeZone::UTC.to_datetime(now);
    let Some(last) = last else {
        return Some(now.strftime(TIME).to_string());
    };
    let last = DateTime::strptime(TIME, last).ok()?;
    let after = last.checked_add(1.second()).ok()?;
    Some(after.max(now).strftime(TIME).to_string())
}

fn failed(attempt: u32, error: &PushError) {
    note(&format!(
        "attempt {attempt}/{ATTEMPTS} failed: {}",
        chain::chain(error)
    ));
}

/// Why nothing can be marked.
fn unbeatable(tag: &str) -> String {
    format!(
        "the tag {tag} is later than any that could be made now, so a new one would count for \
         nothing; delete it by `git push --delete REMOTE {tag}`"
    )
}

/// The error for a service without a repository.
pub(super) fn no_repository(service: &ServiceName) -> String {
    format!(
        "{service} has no repository: set git_url in {service}/service.yaml, or \
         deployments.git_url_template in the configuration"
    )
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
            (None, Some("20200102T030405")),
            (Some("20200102T030404"), Some("20200102T030405")),
            (Some("20200102T030405"), Some("20200102T030406")),
            (Some("20211231T235959"), Some("20220101T000000")),
            (Some("99991231T235959"), None),
            (Some("99999999T999999"), None),
        ] {
            assert_eq!(later(now, last).as_deref(), next, "{last:?}");
        }
        assert_eq!(moment_ms("20200102T030405"), 1_577_934_245_000);
        assert_eq!(moment_ms("20209902T030405"), 0);
    }

    #[test]
    fn short_shas_are_expanded_and_doubtful_ones_refused() {
        let refs = [("a", "abcd1"), ("b", "abcd2"), ("c", "ffff1")];
        let refs = refs.map(|(name, sha)| (name.to_owned(), format!("{sha:0<40}")));
        let mut origin = Origin {
            service: "web".parse().unwrap(),
            url: Url::new("u"),
            limit: Duration::ZERO,
            refs: Refs {
                tips: refs.into(),
                peeled: [("eeee1".to_owned(), "abcd1".to_owned())]
                    .map(|(tag, commit)| (format!("{tag:0<40}"), format!("{commit:0<40}")))
                    .into(),
            },
            targets: Vec::new(),
        };
        assert_eq!(
            origin.full_sha("FFFF").unwrap(),
            format!("{:0<40}", "ffff1")
        );
        let whole = "1".repeat(40);
        assert_eq!(origin.full_sha(&whole).unwrap(), whole);
        // The sha of an annotated tag, short or whole, stands for its commit.
        for tag in ["eeee".to_owned(), format!("{:0<40}", "eeee1")] {
            assert_eq!(origin.full_sha(&tag).unwrap(), format!("{:0<40}", "abcd1"));
        }
        for (bad, words) in [
            ("abcd", "2 commits"),
            ("dddd", "no branch or tag"),
            ("abc", "not a git sha"),
            ("xyzt", "not a git sha"),
        ] {
            let error = origin.full_sha(bad).unwrap_err().to_string();
            assert!(error.contains(words), "{bad}: {error}");
        }
        let long = format!("{:0<64}", "abcd3");
        origin.refs.tips = [("refs/heads/a".to_owned(), long.clone())].into();
        assert_eq!(origin.full_sha(&long).unwrap(), long);
        assert_eq!(origin.full_sha(&long[..40]).unwrap(), long);
    }
}
