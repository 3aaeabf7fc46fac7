//! `paasta watch` and `paasta status --watch`: the status, live. A terminal shows it in place;
//! elsewhere each change is printed. It goes on over elections, with the last answer.

use std::{
    collections::BTreeMap,
    io::{self, IsTerminal as _},
    sync::Arc,
    time::Duration,
};

use paasta_process::help::examples;
use paasta_proto::v1::StatusResponse;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

use super::{Groups, What, one_page, select::check_cluster, tails};
use crate::{
    client::{CallError, Coordinators},
    cmd::{
        Context,
        fleet::{self, Target},
    },
    exit::{self, Exit},
    keys::{Key, Keys},
    render::{self, View},
    screen::Screen,
    terminal,
    verdict::instance,
};

/// How long one look may take: longer, and the screen says that no answer comes.
const PATIENCE: Duration = Duration::from_secs(2);
/// Bounds of the pause between two looks.
const INTERVAL: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(600));

/// Show the status live, in place
#[derive(Debug, clap::Args)]
#[command(after_help = examples(
    &[
        "paasta watch                  # every instance, trouble first, until q or Ctrl-C",
        "paasta watch hello.main       # one instance in full",
        "paasta watch --bouncing | tee bounces.txt",
    ],
    exit::HELP,
))]
pub struct Args {
    /// What is shown
    #[command(flatten)]
    pub shown: What,
}

/// A cluster that is watched.
struct Watched {
    /// Its name, where there are several.
    name: Option<String>,
    /// The clusters that it may be.
    meant: Vec<String>,
    coordinators: Coordinators,
    known: Known,
    /// What was printed of it last.
    before: Option<(StatusResponse, Option<&'static str>)>,
}

/// What is known, and how old it is.
struct Known {
    answer: StatusResponse,
    /// What failing replicas wrote last, with -vv.
    tails: String,
    at: Instant,
    /// Why the last look brought no answer.
    away: Option<&'static str>,
}

/// What is shown of each cluster.
struct Wanted {
    what: What,
    groups: Groups,
}

/// Shows the status until it is interrupted, q is pressed, or standard output is gone.
///
/// # Errors
/// What is asked for is refused, or the terminal cannot be written to.
pub async fn run(what: &What, context: &Context) -> anyhow::Result<Exit> {
    let wanted = Arc::new(Wanted {
        what: what.clone(),
        groups: what.select.groups(context)?,
    });
    let mut watched = watched(what, context)?;
    let interval = what.interval.clamp(INTERVAL.0, INTERVAL.1);
    let live = io::stdout().is_terminal() && !context.global.json;
    let (mut screen, mut keys) = match live {
        true => (Some(Screen::open()?), Some(Keys::open())),
        false => (None, None),
    };
    loop {
        let began = Instant::now();
        let looks = look_at_all(&mut watched, &wanted);
        tokio::select! {
            looked = looks => looked?,
            () = quit(&mut keys) => return Ok(Exit::Ok),
        }
        let view = View {
            full: what.verbose > 0,
            ..terminal::view()
        };
        match &mut screen {
            Some(screen) => {
                let with_keys = keys.as_ref().is_some_and(Keys::are_read);
                screen.draw(&frame(&watched, what, with_keys, &view))?;
            }
            None => {
                let mut news = String::new();
                for one in &mut watched {
                    news += &one.news(what, context, &view)?;
                }
                if !context.print_on(&news)? {
                    let instances = watched.iter().flat_map(|one| &one.known.answer.instances);
                    return Ok(instances.map(instance::exit).fold(Exit::Ok, Exit::max));
                }
            }
        }
        tokio::select! {
            () = sleep(interval.saturating_sub(began.elapsed())) => {}
            () = quit(&mut keys) => return Ok(Exit::Ok),
        }
    }
}

/// Waits until q is pressed; for ever where no keys are read.
async fn quit(keys: &mut Option<Keys>) {
    match keys {
        Some(keys) => while keys.next().await != Key::Char('q') {},
        None => std::future::pending().await,
    }
}

/// The clusters to watch: those that are chosen, or all that are configured.
fn watched(what: &What, context: &Context) -> anyhow::Result<Vec<Watched>> {
    let targets = fleet::targets(context, &what.select.clusters)?;
    let several = targets.len() > 1;
    let one = |name: Option<String>, context: &Context| {
        let coordinators = context.reaching(context.addresses()?, PATIENCE)?;
        Ok(Watched {
            meant: match &name {
                Some(name) => vec![name.clone()],
                None => what.select.clusters.clone(),
            },
            name: name.filter(|_| several),
            coordinators,
            known: Known::new(),
            before: None,
        })
    };
    if targets.is_empty() {
        return Ok(vec![one(None, context)?]);
    }
    let of = |target: Target| {
        let own = Context {
            global: target.global,
            ..context.clone()
        };
        one(Some(target.name), &own)
    };
    targets.into_iter().map(of).collect()
}

/// Looks at all of them side by side.
async fn look_at_all(watched: &mut Vec<Watched>, wanted: &Arc<Wanted>) -> anyhow::Result<()> {
    let mut looking = JoinSet::new();
    let count = watched.len();
    for (at, mut one) in std::mem::take(watched).into_iter().enumerate() {
        let wanted = Arc::clone(wanted);
        looking.spawn(async move {
            let looked = one.look(&wanted).await;
            (at, one, looked)
        });
    }
    let mut back = BTreeMap::new();
    let mut failed = None;
    while let Some(one) = looking.join_next().await {
        let (at, one, looked) = one?;
        back.insert(at, one);
        failed = looked.err().or(failed);
    }
    debug_assert_eq!(back.len(), count, "each comes back");
    watched.extend(back.into_values());
    failed.map_or(Ok(()), Err)
}

fn frame(watched: &[Watched], what: &What, with_keys: bool, view: &View) -> String {
    let ends = match with_keys {
        true => "q ends",
        false => "Ctrl-C ends",
    };
    let one = |one: &Watched| {
        let head = format!("{}; {ends}\n", one.age(view));
        match one.known.answer.now_ms {
            0 => head,
            _ => head + &one.known.body(what, view),
        }
    };
    let all: Vec<String> = watched.iter().map(one).collect();
    all.join("\n")
}

impl Watched {
    /// Asks once; without an answer what is known stays.
    async fn look(&mut self, wanted: &Wanted) -> anyhow::Result<()> {
        let Wanted { what, groups } = wanted;
        let known = &mut self.known;
        match all(what, &mut self.coordinators).await {
            Ok(mut answer) => {
                check_cluster(&self.meant, &answer.cluster)?;
                what.select.choose(&mut answer, groups)?;
                (known.answer, known.at, known.away) = (answer, Instant::now(), None);
            }
            Err(error) if error.is_leaderless() => known.away = Some("no leader"),
            Err(CallError::Unreachable { .. }) => known.away = Some("no coordinator answers"),
            // In one of several clusters it may well not exist.
            Err(error) if error.is_not_found() && self.name.is_some() => {
                known.away = Some("it has nothing of what is asked for");
            }
            Err(error) => return Err(error.into()),
        }
        let lines = tails::lines(what.verbose).filter(|_| known.away.is_none());
        if let Some(lines) = lines {
            let read = tails::read(&known.answer.instances, lines, &mut self.coordinators);
            // Without an answer in time the lines of the look before stay.
            if let Ok((tails, left_out)) = timeout(PATIENCE, read).await {
                known.tails = render::tails::render(&tails, left_out, &terminal::view());
            }
        }
        Ok(())
    }

    /// The age, with the name of the cluster where there are several.
    fn age(&self, view: &View) -> String {
        match &self.name {
            Some(name) => format!("{name}: {}", self.known.age(view)),
            None => self.known.age(view),
        }
    }

    /// What is new since the last time: all of it when anything but the time is.
    fn news(&mut self, what: &What, context: &Context, view: &View) -> anyhow::Result<String> {
        let now = (timeless(&self.known.answer), self.known.away);
        if self.before.as_ref() == Some(&now) {
            return Ok(String::new());
        }
        self.before = Some(now);
        match context.global.json {
            true if self.known.away.is_some() => Ok(String::new()),
            true => Ok(serde_json::to_string(&self.known.answer)? + "\n"),
            false => Ok(format!(
                "{}\n{}\n",
                self.age(view),
                self.known.body(what, view)
            )),
        }
    }
}

impl Known {
    fn new() -> Self {
        Self {
            answer: StatusResponse::default(),
            tails: String::new(),
            at: Instant::now(),
            away: Some("no answer yet"),
        }
    }

    /// `as of 13:12:10`, and why it is no newer.
    fn age(&self, view: &View) -> String {
        let as_of = match self.answer.now_ms {
            0 => "nothing is known yet".to_owned(),
            at => format!("as of {}", render::time::moment(at, view)),
        };
        match self.away {
            None => as_of,
            Some(why) => {
                let ago = u64::try_from(self.at.elapsed().as_millis()).unwrap_or(u64::MAX);
                let text = format!("{why}, {as_of} ({} ago)", render::time::span(ago));
                view.paint(render::Tone::Bad, &text)
            }
        }
    }

    fn body(&self, what: &What, view: &View) -> String {
        match what.is_glance() {
            true => render::glance::render(&self.answer, what.limit(), view),
            false => {
                let mut pages = render::status::Pages::default();
                let text = pages.page(&self.answer, view) + &self.tails;
                text + &pages.rest(&self.answer, view)
            }
        }
    }
}

/// The answer without the time at which it was made.
fn timeless(answer: &StatusResponse) -> StatusResponse {
    let mut answer = answer.clone();
    answer.now_ms = 0;
    answer.stale = None;
    answer
}

/// Every page.
async fn all(what: &What, coordinators: &mut Coordinators) -> Result<StatusResponse, CallError> {
    let (_, names) = what.select.asked();
    let mut ask = what.request(&names);
    let mut whole: Option<StatusResponse> = None;
    loop {
        let mut page = one_page(&ask, coordinators).await?;
        let ended = page.next_page.is_empty() || page.next_page == ask.page;
        ask.page = std::mem::take(&mut page.next_page);
        if let Some(before) = whole {
            page.instances.splice(0..0, before.instances);
        }
        if ended {
            return Ok(page);
        }
        whole = Some(page);
    }
}
