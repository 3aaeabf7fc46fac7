//! `paasta coordinator list`: who the coordinators are, and how far each of them is.

use paasta_process::help::examples;
use paasta_proto::v1::{ListMembersResponse, Member};

use crate::{cmd::Context, exit::Exit, render};

/// A coordinator that has not answered the leader for this long is silent, in milliseconds.
const SILENT_MS: u64 = 5_000;

/// Show the coordinators: role, log, lag, last answer
#[derive(Debug, clap::Args)]
#[command(after_help = examples(&["paasta coordinator list", "paasta coordinator list --json"], ""))]
pub struct Args {
    /// Ask any coordinator, leader or not; what only the leader knows is then missing
    #[arg(long)]
    pub stale: bool,
}

/// Prints the members: 0 when all are there, 2 when one is silent or a change is not complete.
///
/// # Errors
/// No coordinator could tell, or standard output is gone.
pub async fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let timeout = context.global.timeout;
    let mut coordinators = context.reaching(context.addresses()?, timeout)?;
    let members = super::list(&mut coordinators, timeout, args.stale).await?;
    match context.global.json {
        true => context.print_json(&members)?,
        false => context.print(&render::coordinators::render(&members, &context.view))?,
    }
    Ok(verdict(&members, args.stale))
}

/// Whether the member is the one that told, or answered it lately.
pub(super) fn answers(members: &ListMembersResponse, member: &Member) -> bool {
    member.id == members.answered_by || member.last_answer_ms.is_some_and(|ago| ago <= SILENT_MS)
}

fn verdict(members: &ListMembersResponse, stale: bool) -> Exit {
    let silent = members
        .members
        .iter()
        .any(|member| !answers(members, member));
    match members.changing || (silent && !stale) {
        true => Exit::Unwell,
        false => Exit::Ok,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_and_unfinished_changes_are_bad_news() {
        let member = |id, last_answer_ms| Member {
            id,
            last_answer_ms,
            ..Member::default()
        };
        let list = |last| ListMembersResponse {
            answered_by: 1,
            members: vec![member(1, Some(0)), member(2, last)],
            ..ListMembersResponse::default()
        };
        assert_eq!(verdict(&list(Some(90)), false), Exit::Ok);
        assert_eq!(verdict(&list(Some(9_000)), false), Exit::Unwell);
        assert_eq!(verdict(&list(None), false), Exit::Unwell);
        assert_eq!(verdict(&list(None), true), Exit::Ok);
        let changing = ListMembersResponse {
            changing: true,
            ..list(Some(90))
        };
        assert_eq!(verdict(&changing, false), Exit::Unwell);
    }
}
