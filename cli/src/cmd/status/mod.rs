//! `paasta status`: how instances are.

use std::{collections::BTreeSet, io::IsTerminal as _};

use paasta_process::help::examples;
use paasta_proto::v1::{StatusRequest, StatusResponse, admin_client::AdminClient};

use super::{
    Context,
    fleet::{self, Join},
    names,
};
use crate::{
    client::{ANSWER_BYTES_MAX, CallError, Coordinators, request},
    exit::{self, Exit},
    render,
    verdict::instance,
};

pub mod select;
pub mod tails;
pub mod watch;

use select::{Groups, Select};

/// How many instances are asked for at once.
const PAGE: u32 = 200;
/// How many instances a terminal is shown at a glance.
const GLANCE_LIMIT: usize = 200;

/// Show how instances are: versions, replicas, bounces, what is waited for
#[derive(Debug, clap::Args)]
#[command(after_help = examples(
    &[
        "paasta status                            # a line per instance, trouble first",
        "paasta status --not-ok --team front -w   # live, until Ctrl-C",
        "paasta status -s hello -i main,worker -v # with every replica",
    ],
    exit::HELP,
))]
pub struct Args {
    /// What is shown
    #[command(flatten)]
    pub shown: What,
    /// Go on showing what changes, in place
    #[arg(short, long)]
    pub watch: bool,
}

/// What is shown, and how much of it.
#[derive(Debug, Clone, clap::Args)]
pub struct What {
    /// Which instances
    #[command(flatten)]
    pub select: Select,
    /// In full, with every replica; -vv: and what failing replicas wrote last
    #[arg(short, long, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// At most so many instances at a glance; 0 for all [default: 200 on a terminal]
    #[arg(long, value_name = "COUNT")]
    pub limit: Option<usize>,
    /// With --watch: the pause between two looks
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = crate::args::timeout)]
    pub interval: std::time::Duration,
    /// Take the answer of any coordinator, even one without a leader
    #[arg(long)]
    pub stale: bool,
}

impl What {
    /// Whether a line per instance is enough: no service is named, and nothing more is asked for.
    fn is_glance(&self) -> bool {
        self.verbose == 0 && !self.select.is_named()
    }

    /// How many instances are shown at a glance.
    fn limit(&self) -> Option<usize> {
        match self.limit {
            Some(0) => None,
            Some(limit) => Some(limit),
            None => std::io::stdout().is_terminal().then_some(GLANCE_LIMIT),
        }
    }

    fn request(&self, names: &[String]) -> StatusRequest {
        StatusRequest {
            service: self.select.asked().0,
            instances: names.to_vec(),
            replicas: self.verbose > 0,
            page_size: PAGE,
            page: String::new(),
            stale: self.stale,
        }
    }
}

/// Asks, prints, and judges what was selected.
///
/// # Errors
/// No coordinator answered, or standard output is gone.
pub async fn run(args: &Args, context: &mut Context) -> anyhow::Result<Exit> {
    context.view.full = args.shown.verbose > 0;
    if args.watch {
        return watch::run(&args.shown, context).await;
    }
    let what = args.shown.clone();
    let chosen = what.select.clusters.clone();
    fleet::each(context, &chosen, Join::Sections, |context, clusters| {
        let mut what = what.clone();
        what.select.clusters = clusters;
        async move { ask(&what, &context).await }
    })
    .await
}

/// Asks one cluster.
async fn ask(what: &What, context: &Context) -> anyhow::Result<Exit> {
    let mut coordinators = context.coordinators()?;
    let mut shown = Shown::new(what, context)?;
    let (_, asked) = what.select.asked();
    match pages(what, &asked, &mut coordinators, &mut shown).await {
        Err(Stop::Call(error)) if error.is_not_found() => {
            let known = known((what, context), &asked, &mut coordinators).await?;
            let found: Vec<String> = asked
                .into_iter()
                .filter(|name| known.contains(name))
                .collect();
            shown.exit = Exit::Failed;
            if found.is_empty() {
                return Ok(Exit::Failed);
            }
            let rest = pages(what, &found, &mut coordinators, &mut shown).await;
            rest.map_err(Stop::into_error)?;
        }
        answer => answer.map_err(Stop::into_error)?,
    }
    shown.finish()
}

/// Why the pages came to an end before the last one.
#[derive(Debug, thiserror::Error)]
enum Stop {
    #[error(transparent)]
    Call(#[from] CallError),
    #[error(transparent)]
    Other(anyhow::Error),
}

impl Stop {
    /// The error itself: the exit code rests on which it is.
    fn into_error(self) -> anyhow::Error {
        match self {
            Self::Call(error) => error.into(),
            Self::Other(error) => error,
        }
    }
}

/// What was shown so far. The long form goes out page by page, the rest in one piece.
struct Shown<'a> {
    what: &'a What,
    context: &'a Context,
    groups: Groups,
    text: render::status::Pages,
    whole: StatusResponse,
    count: usize,
    /// Named instances that no page has had.
    unseen: BTreeSet<String>,
    exit: Exit,
}

impl<'a> Shown<'a> {
    fn new(what: &'a What, context: &'a Context) -> anyhow::Result<Self> {
        Ok(Self {
            what,
            context,
            groups: what.select.groups(context)?,
            text: render::status::Pages::default(),
            whole: StatusResponse::default(),
            count: 0,
            unseen: what.select.of_several(),
            exit: Exit::Ok,
        })
    }

    /// False when nobody reads any more.
    async fn page(
        &mut self,
        mut page: StatusResponse,
        coordinators: &mut Coordinators,
    ) -> anyhow::Result<bool> {
        self.what.select.check_cluster(&page.cluster)?;
        for one in &page.instances {
            let id = format!("{}.{}", one.service, one.instance);
            self.unseen.remove(&id);
        }
        self.what.select.choose(&mut page, &self.groups)?;
        let first = self.whole.cluster.is_empty();
        self.count += page.instances.len();
        let exits = page.instances.iter().map(instance::exit);
        self.exit = exits.fold(self.exit, Exit::max);
        let whole = self.context.global.json || self.what.is_glance();
        let mut text = String::new();
        if !whole {
            if first {
                text = render::stale::line(page.stale.as_ref(), &self.context.view);
            }
            text += &self.text.page(&page, &self.context.view);
            if let Some(lines) = tails::lines(self.what.verbose) {
                let (tails, left_out) = tails::read(&page.instances, lines, coordinators).await;
                text += &render::tails::render(&tails, left_out, &self.context.view);
            }
            page.instances.clear();
        }
        // Every page has the same problems of whole services.
        let before = std::mem::take(&mut self.whole.instances);
        page.instances.splice(0..0, before);
        self.whole = page;
        self.whole.next_page.clear();
        match whole {
            true => Ok(true),
            false => self.context.print_on(&text),
        }
    }

    fn finish(self) -> anyhow::Result<Exit> {
        let view = &self.context.view;
        if self.context.global.json {
            self.context.print_json(&self.whole)?;
        } else if self.what.is_glance() {
            let text = render::glance::render(&self.whole, self.what.limit(), view);
            self.context.print(&text)?;
        } else {
            self.context.print(&self.text.rest(&self.whole, view))?;
        }
        if !self.unseen.is_empty() {
            for id in &self.unseen {
                self.context.note(&format!("instance {id} is not known"));
            }
            return Ok(Exit::Failed);
        }
        match self.count {
            0 if self.what.select.is_filtered() => {
                self.context.note("no instance matches");
                Ok(Exit::Ok)
            }
            0 => {
                self.context.note(
                    "no instance matches or is declared; `paasta metastatus` says when the \
                     configuration was read",
                );
                Ok(Exit::Failed)
            }
            _ => Ok(self.exit),
        }
    }
}

/// Asks for page after page.
async fn pages(
    what: &What,
    instances: &[String],
    coordinators: &mut Coordinators,
    shown: &mut Shown<'_>,
) -> Result<(), Stop> {
    let mut ask = what.request(instances);
    loop {
        let page = one_page(&ask, coordinators).await?;
        // A page that names itself would be asked for ever.
        let ended = page.next_page.is_empty() || page.next_page == ask.page;
        ask.page.clone_from(&page.next_page);
        let read = shown.page(page, coordinators).await.map_err(Stop::Other)?;
        if !read {
            // The rest is not asked for, so it is not known to be missing.
            shown.unseen.clear();
        }
        if ended || !read {
            return Ok(());
        }
    }
}

async fn one_page(
    ask: &StatusRequest,
    coordinators: &mut Coordinators,
) -> Result<StatusResponse, CallError> {
    let timeout = coordinators.timeout();
    let answer = coordinators.call(|channel| {
        let mut admin = AdminClient::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX);
        let ask = request(ask.clone(), timeout);
        async move { admin.status(ask).await }
    });
    answer.await
}

/// The instances of the service that exist; says of the others what was probably meant.
async fn known(
    (what, context): (&What, &Context),
    asked: &[String],
    coordinators: &mut Coordinators,
) -> Result<Vec<String>, CallError> {
    let all = names::all(coordinators, "", what.stale).await?.instances;
    let ids = || all.iter().filter_map(|id| id.split_once('.'));
    let (service, _) = what.select.asked();
    let of_it: Vec<&str> = ids()
        .filter(|(of, _)| *of == service)
        .map(|(_, instance)| instance)
        .collect();
    if of_it.is_empty() {
        let services: BTreeSet<&str> = ids().map(|(service, _)| service).collect();
        let hint = names::hint(&service, services);
        context.note(&format!(
            "no service {service} has an instance in this cluster{hint}"
        ));
    } else {
        for name in asked.iter().filter(|name| !of_it.contains(&name.as_str())) {
            let hint = names::hint(name, of_it.iter().copied());
            context.note(&format!(
                "{service} has no instance {name} in this cluster{hint}"
            ));
        }
    }
    Ok(of_it.into_iter().map(ToOwned::to_owned).collect())
}
