//! `paasta watch` and `paasta status --watch`: the status, live. A terminal shows it in place;
//! elsewhere each change is printed. It goes on over elections, with the last answer.

use std::{
    io::{self, IsTerminal as _},
    time::Duration,
};

use paasta_process::help::examples;
use paasta_proto::v1::StatusResponse;
use tokio::time::{Instant, sleep};

use super::{Groups, What, one_page};
use crate::{
    client::{CallError, Coordinators},
    cmd::Context,
    exit::{self, Exit},
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
        "paasta watch                  # every instance, trouble first, until Ctrl-C",
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

/// What is known, and how old it is.
struct Known {
    answer: StatusResponse,
    at: Instant,
    /// Why the last look brought no answer.
    away: Option<&'static str>,
}

/// Shows the status until it is interrupted, or standard output is gone.
///
/// # Errors
/// What is asked for is refused, or the terminal cannot be written to.
pub async fn run(what: &What, context: &Context) -> anyhow::Result<Exit> {
    let mut coordinators = Coordinators::new(
        context.coordinators()?.addresses(),
        PATIENCE,
        context.tls()?,
    );
    let groups = what.select.groups(context)?;
    let interval = what.interval.clamp(INTERVAL.0, INTERVAL.1);
    let live = io::stdout().is_terminal() && !context.global.json;
    let mut screen = match live {
        true => Some(Screen::open()?),
        false => None,
    };
    let mut known = Known {
        answer: StatusResponse::default(),
        at: Instant::now(),
        away: Some("no answer yet"),
    };
    let mut before = None;
    loop {
        let began = Instant::now();
        known.look(what, &groups, &mut coordinators).await?;
        let view = View {
            full: what.verbose > 0,
            ..terminal::view()
        };
        match &mut screen {
            Some(screen) => screen.draw(&known.frame(what, &view))?,
            None => {
                let news = known.news(what, context, &view, &mut before)?;
                if !context.print_on(&news)? {
                    let exits = known.answer.instances.iter().map(instance::exit);
                    return Ok(exits.fold(Exit::Ok, Exit::max));
                }
            }
        }
        sleep(interval.saturating_sub(began.elapsed())).await;
    }
}

impl Known {
    /// Asks once; without an answer what is known stays.
    async fn look(
        &mut self,
        what: &What,
        groups: &Groups,
        coordinators: &mut Coordinators,
    ) -> anyhow::Result<()> {
        match all(what, coordinators).await {
            Ok(mut answer) => {
                what.select.check_cluster(&answer.cluster)?;
                what.select.choose(&mut answer, groups)?;
                (self.answer, self.at, self.away) = (answer, Instant::now(), None);
            }
            Err(error) if error.is_leaderless() => self.away = Some("no leader"),
            Err(CallError::Unreachable { .. }) => self.away = Some("no coordinator answers"),
            Err(error) => return Err(error.into()),
        }
        Ok(())
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
                pages.page(&self.answer, view) + &pages.rest(&self.answer, view)
            }
        }
    }

    fn frame(&self, what: &What, view: &View) -> String {
        let head = format!("{}; Ctrl-C ends\n", self.age(view));
        match self.answer.now_ms {
            0 => head,
            _ => head + &self.body(what, view),
        }
    }

    /// What is new since `before`: all of it when anything but the time is.
    fn news(
        &self,
        what: &What,
        context: &Context,
        view: &View,
        before: &mut Option<(StatusResponse, Option<&'static str>)>,
    ) -> anyhow::Result<String> {
        let now = (timeless(&self.answer), self.away);
        if before.as_ref() == Some(&now) {
            return Ok(String::new());
        }
        *before = Some(now);
        match context.global.json {
            true if self.away.is_some() => Ok(String::new()),
            true => Ok(serde_json::to_string(&self.answer)? + "\n"),
            false => Ok(format!("{}\n{}\n", self.age(view), self.body(what, view))),
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
