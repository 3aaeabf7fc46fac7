//! Several clusters, asked side by side: each within its own deadline. What they answer is shown
//! in the order of their names, lines of logs in the order of time; one that does not answer is named,
//! and holds up no other.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{task::JoinSet, time};

use super::{
    Context,
    output::{Kept, Output},
    quorum,
};
use crate::{
    exit::{self, Exit},
    render::{Tone, plain},
};

mod known;

pub(super) use known::{Target, coordinators, of_cluster, one, targets, timeout};

/// The longest that one cluster may take in all: more than any number of calls should.
const WHOLE: Duration = Duration::from_secs(180);

/// How the texts of several clusters become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Join {
    /// One after the other, a blank line between; each names its cluster itself.
    Sections,
    /// The lines of all, sorted, each once.
    Union,
    /// The lines of all in the order of time; each names its cluster itself, also as JSON.
    Lines,
    /// As they come; each line names its cluster itself, also as JSON.
    Live,
}

/// What became of one cluster.
struct Answer {
    kept: Kept,
    result: Result<Exit, (Exit, String)>,
}

/// Runs a verb for each of the clusters that are chosen, or for all that are configured. `verb` gets
/// the context to run in, and the clusters that its answer may be of.
///
/// # Errors
/// A chosen cluster is not configured, standard output is gone; of a single cluster, what its verb
/// says.
pub(super) async fn each<F, R>(
    context: &mut Context,
    chosen: &[String],
    join: Join,
    verb: R,
) -> anyhow::Result<Exit>
where
    F: Future<Output = anyhow::Result<Exit>> + Send + 'static,
    R: Fn(Context, Vec<String>) -> F,
{
    let mut found = targets(context, chosen)?;
    match (found.pop(), found.is_empty()) {
        (None, _) => verb(context.clone(), chosen.to_vec()).await,
        (Some(one), true) => {
            // What explains an error asks the same cluster.
            context.global = one.global;
            verb(context.clone(), vec![one.name]).await
        }
        (Some(last), false) => {
            found.push(last);
            several(context, &found, join, verb).await
        }
    }
}

async fn several<F, R>(
    context: &Context,
    targets: &[Target],
    join: Join,
    verb: R,
) -> anyhow::Result<Exit>
where
    F: Future<Output = anyhow::Result<Exit>> + Send + 'static,
    R: Fn(Context, Vec<String>) -> F,
{
    let mut running = JoinSet::new();
    for (at, target) in targets.iter().enumerate() {
        let output = match join {
            Join::Live => Output::Named(target.name.clone()),
            Join::Sections | Join::Union | Join::Lines => {
                Output::Kept(Arc::new(Mutex::new(Kept::default())))
            }
        };
        let own = Context {
            global: target.global.clone(),
            view: context.view.clone(),
            output,
        };
        let asked = verb(own.clone(), vec![target.name.clone()]);
        let limit = (join != Join::Live).then_some(WHOLE);
        running.spawn(async move { (at, answer(asked, limit, &own).await) });
    }
    let mut shown = Shown::new(context, targets, join);
    while let Some(one) = running.join_next().await {
        let (at, answer) = one?;
        shown.arrived(at, answer)?;
    }
    shown.finish()
}

/// Waits for one cluster; without a limit for what only its user ends.
async fn answer(
    asked: impl Future<Output = anyhow::Result<Exit>>,
    limit: Option<Duration>,
    context: &Context,
) -> Answer {
    let ended = match limit {
        Some(limit) => time::timeout(limit, asked).await,
        None => Ok(asked.await),
    };
    let result = match ended {
        Ok(Ok(exit)) => Ok(exit),
        Ok(Err(error)) => Err(match quorum::explain(context, &error).await {
            Some(text) => (Exit::Unwell, text),
            None => (exit::of(&error), format!("{error:#}")),
        }),
        Err(_) => Err((
            Exit::Unreachable,
            format!("did not answer within {} s", WHOLE.as_secs()),
        )),
    };
    if let (Err((_, error)), None) = (&result, limit) {
        context.note(error);
    }
    let kept = context.output.take();
    Answer { kept, result }
}

impl Answer {
    /// Whether the cluster lacks what is asked for: no reason for concern when another one has it.
    /// A list of names says so with an empty list.
    fn is_nothing(&self, join: Join) -> bool {
        let kept = &self.kept;
        let silent = kept.text.is_empty() && kept.lines.is_empty() && kept.json.is_none();
        self.result == Ok(Exit::Failed) && (silent || join == Join::Union)
    }

    fn exit(&self) -> Exit {
        match &self.result {
            Ok(exit) | Err((exit, _)) => *exit,
        }
    }
}

/// What has arrived, and how much of it is shown.
struct Shown<'a> {
    context: &'a Context,
    targets: &'a [Target],
    join: Join,
    answers: Vec<Option<Answer>>,
    /// So many from the first on are shown.
    next: usize,
    begun: bool,
}

impl<'a> Shown<'a> {
    fn new(context: &'a Context, targets: &'a [Target], join: Join) -> Self {
        Self {
            context,
            targets,
            join,
            answers: targets.iter().map(|_| None).collect(),
            next: 0,
            begun: false,
        }
    }

    /// Takes an answer, and shows what is next in the order.
    fn arrived(&mut self, at: usize, answer: Answer) -> anyhow::Result<()> {
        if let Some(place) = self.answers.get_mut(at) {
            *place = Some(answer);
        }
        while let Some(Some(answer)) = self.answers.get(self.next) {
            if let Some(text) = self.section(answer) {
                self.context.print(&text)?;
                self.begun = true;
            }
            self.next += 1;
        }
        Ok(())
    }

    /// The text of the cluster whose turn it is; none when it has nothing, or when its text is a
    /// part of what is made of all.
    fn section(&self, answer: &Answer) -> Option<String> {
        match (self.join, self.context.global.json) {
            (Join::Union | Join::Lines, _) | (Join::Sections, true) => return None,
            (Join::Live, _) => return Some(answer.kept.text.clone()),
            (Join::Sections, false) => {}
        }
        let name = &self.targets.get(self.next)?.name;
        let gap = if self.begun { "\n" } else { "" };
        match &answer.result {
            Err((_, error)) => {
                let view = &self.context.view;
                let line = error.lines().next().unwrap_or_default();
                let line = view.paint(Tone::Bad, &plain(line));
                Some(format!("{gap}{}: {line}\n", view.paint(Tone::Strong, name)))
            }
            Ok(_) => match answer.kept.text.trim_start_matches('\n') {
                "" => None,
                text => Some(format!("{gap}{text}")),
            },
        }
    }

    /// Shows the rest: notes and errors with the names of their clusters, and what is made of all.
    fn finish(self) -> anyhow::Result<Exit> {
        let answers = self.targets.iter().zip(self.answers.iter().flatten());
        let answers: Vec<(&str, &Answer)> = answers
            .map(|(target, answer)| (target.name.as_str(), answer))
            .collect();
        match (self.join, self.context.global.json) {
            (Join::Live, _) | (Join::Sections, false) => {}
            (Join::Lines, _) => {
                let lines = answers.iter().flat_map(|(_, answer)| &answer.kept.lines);
                self.context.print(&by_time(lines))?;
            }
            (Join::Sections | Join::Union, true) => {
                let clusters: Vec<Value> = answers.iter().map(|one| as_json(*one)).collect();
                self.context.print_json(&json!({ "clusters": clusters }))?;
            }
            (Join::Union, false) => {
                let lines = answers
                    .iter()
                    .flat_map(|(_, answer)| answer.kept.text.lines());
                let lines: BTreeSet<&str> = lines.collect();
                let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
                self.context.print(&text)?;
            }
        }
        let lacks = |answer: &Answer| answer.is_nothing(self.join);
        let some = answers.iter().any(|(_, answer)| !lacks(answer));
        let mut exit = Exit::Ok;
        for (name, answer) in answers {
            if some && lacks(answer) {
                continue;
            }
            for note in &answer.kept.notes {
                self.context.note(&format!("{name}: {note}"));
            }
            if let (Err((_, error)), true) = (&answer.result, self.join != Join::Live) {
                self.context.note(&format!("{name}: {error}"));
            }
            exit = exit.max(answer.exit());
        }
        Ok(exit)
    }
}

/// Lines in the order of time; of one moment in the order in which they are given.
fn by_time<'a>(lines: impl Iterator<Item = &'a (u64, String)>) -> String {
    let mut lines: Vec<&(u64, String)> = lines.collect();
    lines.sort_by_key(|(at_ns, _)| *at_ns);
    lines.into_iter().map(|(_, line)| line.as_str()).collect()
}

fn as_json((name, answer): (&str, &Answer)) -> Value {
    let error = answer.result.as_ref().err().map(|(_, error)| error);
    json!({
        "cluster": name,
        "answer": answer.kept.json,
        "error": error,
        "notes": answer.kept.notes,
    })
}
