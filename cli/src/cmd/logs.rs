//! `paasta logs`: what services wrote and what was done to them, over all hosts.

use anyhow::bail;
use jiff::{Timestamp, civil::DateTime, tz::TimeZone};
use paasta_process::{backoff::Retry, help::examples};
use paasta_proto::{
    v1::{LogComponent, LogLine, LogsPart, LogsRequest, logs_client::LogsClient},
    words,
};
use tokio::time::sleep;
use tonic::{Code, Request, Status, Streaming};

use super::{
    Context,
    fleet::{self, Join},
    output::Output,
};
use crate::{
    client::{ANSWER_BYTES_MAX, Coordinators},
    exit::{self, Exit},
    render::logs::{Form, Lines},
};

/// How many lines are shown when nothing is said.
const LINES: u32 = 100;
/// Lines that may be asked for.
const LINES_MAX: u32 = 10_000;

/// Show what a service wrote and what was done to it
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = examples(
    &[
        "paasta logs -s hello -i main -f",
        "paasta logs -s hello -C stderr --since 10m",
        "paasta logs -s hello -n 1000 --json | jq -r .message",
    ],
    exit::HELP,
))]
pub struct Args {
    /// The service
    #[arg(short, long, value_name = "SERVICE")]
    pub service: String,
    /// Only these instances of the service
    #[arg(short, long, alias = "instance", value_name = "INSTANCE,...")]
    #[arg(value_delimiter = ',')]
    pub instances: Vec<String>,
    /// Only these clusters [default: all that are configured]
    #[arg(short, long, alias = "cluster", value_name = "CLUSTER,...")]
    #[arg(value_delimiter = ',')]
    pub clusters: Vec<String>,
    /// Of stdout, stderr, deploy, monitoring [default: all]
    #[arg(
        short = 'C',
        long = "component",
        alias = "components",
        value_name = "COMPONENT,...",
        value_delimiter = ','
    )]
    #[arg(value_parser = ["stdout", "stderr", "deploy", "monitoring", "build", "oom"])]
    #[arg(hide_possible_values = true)]
    pub components: Vec<String>,
    /// Go on with what comes
    #[arg(
        short,
        short_alias = 'F',
        long,
        alias = "tail",
        conflicts_with = "until"
    )]
    pub follow: bool,
    /// From this moment on: a time ago, as 10m, or 2026-11-25T10:00:00Z
    #[arg(short = 'a', long, alias = "from", value_name = "TIME")]
    #[arg(value_parser = moment)]
    pub since: Option<Moment>,
    /// Up to this moment
    #[arg(short = 't', long, alias = "to", value_name = "TIME")]
    #[arg(value_parser = moment)]
    pub until: Option<Moment>,
    /// The last so many lines in all [default: 100, or all with --since]
    #[arg(short = 'n', short_alias = 'l', long, value_name = "COUNT")]
    #[arg(allow_hyphen_values = true, value_parser = count)]
    pub lines: Option<u32>,
    /// Only what this replica wrote
    #[arg(long, value_name = "REPLICA")]
    pub replica: Option<String>,
    /// Only what was written on this host
    #[arg(long, value_name = "HOST")]
    pub host: Option<String>,
    /// Only the messages, as they were written
    #[arg(short, long, alias = "raw-mode", conflicts_with = "json")]
    pub raw: bool,
    /// Say where each line was written
    #[arg(short, long)]
    pub verbose: bool,
    /// Taken as by PaaSTA; the cluster has the lines
    #[arg(short = 'd', long, hide = true, value_name = "DIR")]
    pub soa_dir: Option<std::path::PathBuf>,
}

/// A moment, nanoseconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(u64);

/// Prints the lines, the oldest first.
///
/// # Errors
/// No coordinator answered, the answer broke off, or standard output is gone.
pub async fn run(args: &Args, context: &mut Context) -> anyhow::Result<Exit> {
    if let (Some(since), Some(until)) = (args.since, args.until)
        && until < since
    {
        bail!("--until is before --since: nothing can be between");
    }
    let components = components(&args.components, |text| context.note(text))?;
    let join = match args.follow {
        true => Join::Live,
        false => Join::Lines,
    };
    fleet::each(context, &args.clusters, join, |context, clusters| {
        let args = Args {
            clusters,
            components: components.clone(),
            ..args.clone()
        };
        async move { ask(&args, &context).await }
    })
    .await
}

/// Asks one cluster.
async fn ask(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let form = match (context.global.json, args.raw) {
        (true, _) => Form::Json,
        (false, true) => Form::Raw,
        (false, false) => Form::Text {
            verbose: args.verbose,
        },
    };
    let mut lines = Lines::new(form, context.view.clone());
    let mut coordinators = context.coordinators()?;
    let mut ask = request(args)?;
    let mut whole = true;
    let mut last_ns = now_ns();
    let mut retry = Retry::new();
    loop {
        let mut parts = open(&ask, &mut coordinators).await?;
        let broken = loop {
            let part = match parts.message().await {
                Ok(Some(part)) => part,
                Ok(None) => break None,
                Err(status) => break Some(status),
            };
            for notice in &part.notices {
                whole = false;
                context.note(&crate::render::plain(notice));
            }
            if let Some(line) = part.lines.last() {
                last_ns = line.at_ns;
                retry.reset();
            }
            if !show(&mut lines, part.lines, &context.output)? {
                return Ok(Exit::Ok);
            }
        };
        match broken {
            None => break,
            Some(status) if args.follow && is_away(&status) => {
                ask.since_ns = last_ns + 1;
                ask.lines = 0;
                sleep(retry.next_delay()).await;
            }
            Some(status) => bail!("the logs broke off: {}", status.message()),
        }
    }
    context.output.write_at(last_ns, &lines.finish())?;
    Ok(if whole { Exit::Ok } else { Exit::Unwell })
}

/// Prints lines; beside other clusters each on its own, as theirs may come between. False when no
/// process reads them any more.
fn show(lines: &mut Lines, found: Vec<LogLine>, output: &Output) -> anyhow::Result<bool> {
    if !output.is_kept() {
        return output.write(&lines.take(found));
    }
    for line in found {
        let at_ns = line.at_ns;
        output.write_at(at_ns, &lines.take(vec![line]))?;
    }
    Ok(true)
}

/// The components that are here: kills for memory are among the lines of deploy, and builds log to
/// the pipeline that makes them.
fn components(asked: &[String], note: impl Fn(&str)) -> anyhow::Result<Vec<String>> {
    let mut known = Vec::new();
    for one in asked {
        let one = match one.as_str() {
            "build" => {
                note("the lines of builds are in the pipeline that makes them");
                continue;
            }
            "oom" => "deploy",
            one => one,
        };
        if !known.iter().any(|known| known == one) {
            known.push(one.to_owned());
        }
    }
    if known.is_empty() && !asked.is_empty() {
        bail!("no component is left to show: give -C stdout,stderr,deploy,monitoring");
    }
    Ok(known)
}

/// A number of lines; PaaSTA's `-100` is the last 100 as well.
fn count(text: &str) -> Result<u32, String> {
    match text.strip_prefix('-').unwrap_or(text).parse() {
        Ok(lines @ 1..=LINES_MAX) if !text.starts_with('+') => Ok(lines),
        _ => Err(format!("give a number of last lines from 1 to {LINES_MAX}")),
    }
}

fn request(args: &Args) -> anyhow::Result<LogsRequest> {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let all = args.since.is_some();
    let cluster = match &args.clusters[..] {
        [] => String::new(),
        [one] => one.clone(),
        several => bail!(
            "it is not configured how {} are reached: `paasta context add` makes a context of each",
            several.join(", ")
        ),
    };
    Ok(LogsRequest {
        service: args.service.clone(),
        instances: args.instances.clone(),
        components: args
            .components
            .iter()
            .filter_map(|word| words::value::<LogComponent>(word))
            .collect(),
        components_word: Vec::new(),
        since_ns: args.since.map_or(0, |moment| moment.0),
        until_ns: args.until.map_or(0, |moment| moment.0),
        lines: args.lines.unwrap_or(if all { 0 } else { LINES }),
        follow: args.follow,
        replica: text(&args.replica),
        host: text(&args.host),
        cluster,
    })
}

/// The stream has no deadline, only its beginning has.
async fn open(
    ask: &LogsRequest,
    coordinators: &mut Coordinators,
) -> anyhow::Result<Streaming<LogsPart>> {
    let answer = coordinators.call(|channel| {
        let mut logs = LogsClient::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX);
        let ask = Request::new(ask.clone());
        async move { logs.read(ask).await }
    });
    Ok(answer.await?)
}

/// Whether another coordinator may go on: the leader changed, or the one that was asked is gone.
fn is_away(status: &Status) -> bool {
    status.code() == Code::Unavailable || std::error::Error::source(status).is_some()
}

fn now_ns() -> u64 {
    u64::try_from(Timestamp::now().as_nanosecond()).unwrap_or(0)
}

/// Reads `10m` (ago) or a moment, in local time unless it says otherwise.
fn moment(text: &str) -> Result<Moment, String> {
    let stamp = match humantime::parse_duration(text) {
        Ok(ago) => Timestamp::now()
            .checked_sub(ago)
            .map_err(|error| error.to_string())?,
        Err(_) => stamp(text).ok_or_else(|| {
            format!("{text:?} is neither a time ago, as 10m, nor a moment, as 2026-11-25T10:00:00Z")
        })?,
    };
    u64::try_from(stamp.as_nanosecond())
        .map(Moment)
        .map_err(|_| "it is before 1970".to_owned())
}

fn stamp(text: &str) -> Option<Timestamp> {
    if let Ok(stamp) = text.parse() {
        return Some(stamp);
    }
    let local: DateTime = text.parse().ok()?;
    Some(
        local
            .to_zoned_datetime(TimeZone::system())
            .ok()?
            .timestamp(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_counted_as_by_paasta() {
        assert_eq!((count("100"), count("-100")), (Ok(100), Ok(100)));
        for wrong in ["0", "+100", "10001", "--5", "x"] {
            assert!(count(wrong).is_err(), "{wrong}");
        }
        let asked = ["build", "oom", "deploy", "stdout"].map(ToOwned::to_owned);
        let notes = |_: &str| {};
        let known = components(&asked, notes).expect("some are left");
        assert_eq!(known, ["deploy", "stdout"]);
        assert!(components(&asked[..1], notes).is_err());
        assert!(components(&[], notes).is_ok_and(|known| known.is_empty()));
    }

    #[test]
    fn moments_are_times_ago_or_iso() {
        let whole = moment("1970-01-01T00:00:01Z").expect("a moment");
        assert_eq!(whole, Moment(1_000_000_000));
        assert_eq!(moment("1970-01-01T01:00:01+01:00"), Ok(whole));
        assert!(moment("2026-11-25").is_ok() && moment("2026-11-25T10:00").is_ok());
        let ago = moment("10m").expect("a moment").0;
        let back = now_ns() - ago;
        assert!((600_000_000_000..660_000_000_000).contains(&back), "{back}");
        for wrong in ["yesterday", "", "1960-01-01T00:00:00Z", "200y"] {
            assert!(moment(wrong).is_err(), "{wrong}");
        }
    }
}
