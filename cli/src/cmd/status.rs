//! `paasta status`: how instances are.

use std::collections::BTreeSet;

use paasta_process::help::examples;
use paasta_proto::v1::{StatusRequest, StatusResponse, admin_client::AdminClient};

use super::{Context, names};
use crate::{
    client::{ANSWER_BYTES_MAX, CallError, Coordinators, request},
    exit::{self, Exit},
    render,
    terminal::note,
    verdict::instance,
};

/// How many instances are asked for at once.
const PAGE: u32 = 200;

/// Show how instances are: versions, replicas, bounces, what is waited for
#[derive(Debug, clap::Args)]
#[command(after_help = examples(
    &[
        "paasta status -s hello",
        "paasta status -s hello -i main,worker -v",
    ],
    exit::HELP,
))]
pub struct Args {
    /// Only this service
    #[arg(short, long, value_name = "SERVICE")]
    pub service: Option<String>,
    /// Only these instances of the service
    #[arg(
        short,
        long,
        value_name = "INSTANCE,...",
        value_delimiter = ',',
        requires = "service"
    )]
    pub instances: Vec<String>,
    /// List every replica
    #[arg(short, long)]
    pub verbose: bool,
    /// Take the answer of any coordinator, even one without a leader
    #[arg(long)]
    pub stale: bool,
}

/// Asks, prints, and judges what was selected.
///
/// # Errors
/// No coordinator answered, or standard output is gone.
pub async fn run(args: &Args, context: &mut Context) -> anyhow::Result<Exit> {
    context.view.full = args.verbose;
    let mut coordinators = context.coordinators()?;
    let mut shown = Shown::new(context);
    match pages(args, &args.instances, &mut coordinators, &mut shown).await {
        Err(Stop::Call(error)) if error.is_not_found() => {
            let known = known(args, &mut coordinators).await?;
            let named = args.instances.iter().cloned();
            let found: Vec<String> = named.filter(|name| known.contains(name)).collect();
            shown.exit = Exit::Failed;
            if found.is_empty() {
                return Ok(Exit::Failed);
            }
            let rest = pages(args, &found, &mut coordinators, &mut shown).await;
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
    Print(anyhow::Error),
}

impl Stop {
    /// The error itself: the exit code rests on which it is.
    fn into_error(self) -> anyhow::Error {
        match self {
            Self::Call(error) => error.into(),
            Self::Print(error) => error,
        }
    }
}

/// What was shown so far. Text goes out page by page, JSON in one piece.
struct Shown<'a> {
    context: &'a Context,
    text: render::status::Pages,
    whole: StatusResponse,
    count: usize,
    exit: Exit,
}

impl<'a> Shown<'a> {
    fn new(context: &'a Context) -> Self {
        Self {
            context,
            text: render::status::Pages::default(),
            whole: StatusResponse::default(),
            count: 0,
            exit: Exit::Ok,
        }
    }

    /// False when nobody reads any more.
    fn page(&mut self, mut page: StatusResponse) -> anyhow::Result<bool> {
        self.count += page.instances.len();
        self.exit = page
            .instances
            .iter()
            .map(instance::exit)
            .fold(self.exit, Exit::max);
        let mut text = self.text.page(&page, &self.context.view);
        if self.count == page.instances.len() {
            text.insert_str(0, &render::stale::line(page.stale.as_ref(), &self.context.view));
        }
        if !self.context.global.json {
            page.instances.clear();
        }
        // Every page has the same problems of whole services.
        page.instances
            .splice(0..0, std::mem::take(&mut self.whole.instances));
        self.whole = page;
        self.whole.next_page.clear();
        match self.context.global.json {
            true => Ok(true),
            false => self.context.print_on(&text),
        }
    }

    fn finish(self) -> anyhow::Result<Exit> {
        match self.context.global.json {
            true => self.context.print_json(&self.whole)?,
            false => {
                let text = self.text.rest(&self.whole, &self.context.view);
                self.context.print(&text)?;
            }
        }
        if self.count == 0 {
            note(
                "no instance is declared; `paasta metastatus` says when the configuration was read",
            );
            return Ok(Exit::Failed);
        }
        Ok(self.exit)
    }
}

/// Asks for page after page.
async fn pages(
    args: &Args,
    instances: &[String],
    coordinators: &mut Coordinators,
    shown: &mut Shown<'_>,
) -> Result<(), Stop> {
    let mut ask = StatusRequest {
        service: args.service.clone().unwrap_or_default(),
        instances: instances.to_vec(),
        replicas: args.verbose,
        page_size: PAGE,
        page: String::new(),
        stale: args.stale,
    };
    loop {
        let timeout = coordinators.timeout();
        let answer = coordinators.call(|channel| {
            let mut admin = AdminClient::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX);
            let ask = request(ask.clone(), timeout);
            async move { admin.status(ask).await }
        });
        let page = answer.await?;
        // A page that names itself would be asked for ever.
        let ended = page.next_page.is_empty() || page.next_page == ask.page;
        ask.page.clone_from(&page.next_page);
        let read = shown.page(page).map_err(Stop::Print)?;
        if ended || !read {
            return Ok(());
        }
    }
}

/// The instances of the service that exist; says of the others what was probably meant.
async fn known(args: &Args, coordinators: &mut Coordinators) -> Result<Vec<String>, CallError> {
    let all = names::all(coordinators, "", args.stale).await?.instances;
    let ids = || all.iter().filter_map(|id| id.split_once('.'));
    let service = args.service.as_deref().unwrap_or_default();
    let of_it: Vec<&str> = ids()
        .filter(|(of, _)| *of == service)
        .map(|(_, instance)| instance)
        .collect();
    if of_it.is_empty() {
        let services: BTreeSet<&str> = ids().map(|(service, _)| service).collect();
        let hint = names::hint(service, services);
        note(&format!(
            "no service {service} has an instance in this cluster{hint}"
        ));
    } else {
        for name in args
            .instances
            .iter()
            .filter(|name| !of_it.contains(&name.as_str()))
        {
            let hint = names::hint(name, of_it.iter().copied());
            note(&format!(
                "{service} has no instance {name} in this cluster{hint}"
            ));
        }
    }
    Ok(of_it.into_iter().map(ToOwned::to_owned).collect())
}
