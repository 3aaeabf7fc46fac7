//! `paasta brake status`: whether the brake is on, and which hosts are silent.

use crate::{cmd::Context, exit::Exit, render};

/// Prints them: 0 while the brake is off, 2 while it is on.
///
/// # Errors
/// No coordinator answered, or standard output is gone.
pub async fn run(context: &Context) -> anyhow::Result<Exit> {
    let mut coordinators = context.coordinators()?;
    let answer = super::ask(&mut coordinators).await?;
    match context.global.json {
        true => context.print_json(&answer)?,
        false => context.print(&render::brake::render(&answer, &context.view))?,
    }
    Ok(match answer.brake.is_empty() {
        true => Exit::Ok,
        false => Exit::Unwell,
    })
}
