//! `paasta top`: hosts by what of them is given out, and the replicas that fail, live.

use std::{
    io::{self, IsTerminal as _},
    time::Duration,
};

use paasta_process::help::examples;
use paasta_proto::v1::{
    InstanceStatus, MetastatusRequest, MetastatusResponse, StatusRequest, admin_client::AdminClient,
};
use tokio::time::{Instant, sleep};

use super::{Context, fleet};
use crate::{
    client::{ANSWER_BYTES_MAX, CallError, Coordinators, request},
    exit::Exit,
    keys::{Key, Keys},
    render::{
        time,
        top::{Order, Shown, render},
    },
    screen::Screen,
    terminal,
};

/// How many instances are asked for at once.
const PAGE: u32 = 200;
/// How long one look may take: longer, and the screen says that no answer comes.
const PATIENCE: Duration = Duration::from_secs(2);
/// Bounds of the pause between two looks.
const INTERVAL: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(600));
/// The longest text that is searched for, in characters.
const SEARCH_MAX: usize = 64;

const KEYS: &str = "\
Keys: q ends; c, m, d, r and n sort by CPU, memory, disk, replicas and name; / searches, Enter ends
the search, Escape forgets it. What is shown of a host is what its replicas reserve. Where standard
output is no terminal it is printed once.";

/// Show hosts by what is given out, and the replicas that fail, live
#[derive(Debug, clap::Args)]
#[command(after_help = examples(
    &["paasta top", "paasta top --sort mem -c prod", "paasta top | head -20"],
    KEYS,
))]
pub struct Args {
    /// What comes first
    #[arg(long, value_enum, default_value_t)]
    pub sort: Order,
    /// The replicas with the most failures, at most so many
    #[arg(short = 'n', long, value_name = "COUNT", default_value_t = 20)]
    pub replicas: u16,
    /// The pause between two looks
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = crate::args::timeout)]
    pub interval: Duration,
    /// The cluster [default: that of the options or of the current context]
    #[arg(short, long, alias = "clusters", value_name = "CLUSTER")]
    pub cluster: Option<String>,
}

/// What is known, and how it is shown.
struct Top {
    cluster: MetastatusResponse,
    instances: Vec<InstanceStatus>,
    at: Instant,
    /// Why the last look brought no answer.
    away: Option<&'static str>,
    order: Order,
    search: String,
    /// Whether keys are the text that is searched for.
    typing: bool,
}

/// Shows it until q is pressed or it is interrupted; once, where there is no terminal.
///
/// # Errors
/// No coordinator answered the first look, or the terminal cannot be written to.
pub async fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let context = &fleet::one(context, args.cluster.as_deref()).await?;
    let mut coordinators = context.coordinators()?;
    let mut top = Top::new(args, &mut coordinators).await?;
    if !io::stdout().is_terminal() || context.global.json {
        match context.global.json {
            true => context.print_json(&top.cluster)?,
            false => context.print(&top.body(args, &context.view))?,
        }
        return Ok(Exit::Ok);
    }
    let mut coordinators = context.reaching(coordinators.addresses(), PATIENCE)?;
    let interval = args.interval.clamp(INTERVAL.0, INTERVAL.1);
    let (mut screen, mut keys) = (Screen::open()?, Keys::open());
    loop {
        screen.draw(&top.frame(args))?;
        let next = Instant::now() + interval;
        while Instant::now() < next {
            tokio::select! {
                () = sleep(next.saturating_duration_since(Instant::now())) => {}
                key = keys.next() => match top.press(key) {
                    true => return Ok(Exit::Ok),
                    false => screen.draw(&top.frame(args))?,
                },
            }
        }
        tokio::select! {
            looked = look(&mut coordinators) => top.take(looked)?,
            key = keys.next() => if top.press(key) {
                return Ok(Exit::Ok);
            },
        }
    }
}

impl Top {
    async fn new(args: &Args, coordinators: &mut Coordinators) -> anyhow::Result<Self> {
        let (cluster, instances) = look(coordinators).await?;
        Ok(Self {
            cluster,
            instances,
            at: Instant::now(),
            away: None,
            order: args.sort,
            search: String::new(),
            typing: false,
        })
    }

    /// Takes what a look brought; without an answer what is known stays.
    fn take(
        &mut self,
        looked: Result<(MetastatusResponse, Vec<InstanceStatus>), CallError>,
    ) -> Result<(), CallError> {
        match looked {
            Ok((cluster, instances)) => {
                (self.cluster, self.instances) = (cluster, instances);
                (self.at, self.away) = (Instant::now(), None);
            }
            Err(error) if error.is_leaderless() => self.away = Some("no leader"),
            Err(CallError::Unreachable { .. }) => self.away = Some("no coordinator answers"),
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// True when it is to end.
    fn press(&mut self, key: Key) -> bool {
        match (self.typing, key) {
            (true, Key::Char(c)) if self.search.chars().count() < SEARCH_MAX => self.search.push(c),
            (true, Key::Char(_)) => {}
            (true, Key::Backspace) => drop(self.search.pop()),
            (true, Key::Enter) => self.typing = false,
            (_, Key::Escape) => {
                self.typing = false;
                self.search.clear();
            }
            (false, Key::Char('q')) => return true,
            (false, Key::Char('/')) => self.typing = true,
            (false, Key::Char(c)) => self.order = order(c).unwrap_or(self.order),
            (false, Key::Enter | Key::Backspace) => {}
        }
        false
    }

    fn body(&self, args: &Args, view: &crate::render::View) -> String {
        let shown = Shown {
            order: self.order,
            search: &self.search,
            replicas: usize::from(args.replicas),
        };
        render(&self.cluster, &self.instances, shown, view)
    }

    fn frame(&self, args: &Args) -> String {
        let view = terminal::view();
        let ago = u64::try_from(self.at.elapsed().as_millis()).unwrap_or(u64::MAX);
        let age = match self.away {
            None => String::new(),
            Some(why) => format!("{why} ({} ago); ", time::span(ago)),
        };
        let search = match (self.typing, self.search.as_str()) {
            (true, text) => format!("search: {text}_"),
            (false, "") => "q ends, c m d r n sort, / searches".to_owned(),
            (false, text) => format!("only what has {text:?}; Escape shows all"),
        };
        format!("{age}{search}\n{}", self.body(args, &view))
    }
}

/// The order that a key stands for.
fn order(key: char) -> Option<Order> {
    match key {
        'c' => Some(Order::Cpu),
        'm' => Some(Order::Mem),
        'd' => Some(Order::Disk),
        'r' => Some(Order::Replicas),
        'n' => Some(Order::Name),
        _ => None,
    }
}

/// The hosts, and every instance with its replicas.
async fn look(
    coordinators: &mut Coordinators,
) -> Result<(MetastatusResponse, Vec<InstanceStatus>), CallError> {
    let timeout = coordinators.timeout();
    let answer = coordinators.call(|channel| {
        let mut admin = AdminClient::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX);
        let ask = request(MetastatusRequest::default(), timeout);
        async move { admin.metastatus(ask).await }
    });
    let cluster = answer.await?;
    let mut ask = StatusRequest {
        replicas: true,
        page_size: PAGE,
        ..StatusRequest::default()
    };
    let mut instances = Vec::new();
    loop {
        let answer = coordinators.call(|channel| {
            let mut admin = AdminClient::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX);
            let ask = request(ask.clone(), timeout);
            async move { admin.status(ask).await }
        });
        let page = answer.await?;
        instances.extend(page.instances);
        if page.next_page.is_empty() || page.next_page == ask.page {
            return Ok((cluster, instances));
        }
        ask.page = page.next_page;
    }
}
