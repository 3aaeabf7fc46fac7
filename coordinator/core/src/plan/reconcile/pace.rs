//! The pace at which hosts are emptied: how many replicas of one instance may be in movement at
//! once on that account. A drain of half the cluster by mistake, or a version that does not
//! start elsewhere, then costs a part of each instance's headroom and not all of it.

use super::Goal;
use crate::plan::{
    class::Class,
    members::{Member, Members},
    pass::Pass,
};

/// The part of an instance that may be in movement at once, in percent.
const MOVING_MAX_PERCENT: u32 = 25;
/// What may always be, however small the instance.
const MOVING_MIN: u32 = 2;

/// How many of the `missing` replicas wait, as they would replace ones that still serve on hosts
/// that are being emptied, and enough are on their way there or from there.
pub(super) fn waiting(
    pass: &mut Pass<'_>,
    goal: &Goal<'_>,
    members: &Members<'_>,
    missing: usize,
) -> usize {
    let serves = |member: &&Member<'_>| {
        member.runs() && member.risky && matches!(member.class, Class::AtRisk | Class::Unknown)
    };
    let replacements = members.new.iter().filter(serves).count().min(missing);
    if replacements == 0 {
        return 0;
    }
    let coming = coming(pass, goal, members);
    // One that this very plan tells to stop has left.
    let leaving =
        |member: &&Member<'_>| member.risky && member.class == Class::Draining && !member.may_stop;
    let moving = coming + members.new.iter().filter(leaving).count();
    let most = (goal.wanted.saturating_mul(MOVING_MAX_PERCENT))
        .div_ceil(100)
        .max(MOVING_MIN);
    replacements.saturating_sub((most as usize).saturating_sub(moving))
}

/// The new replicas on their way up. One that is not happy by the instance's progress deadline is
/// not waited for any longer: others may do better elsewhere.
fn coming(pass: &mut Pass<'_>, goal: &Goal<'_>, members: &Members<'_>) -> usize {
    let patience = goal.instance.spec.bounce.progress_deadline_ms;
    let mut count = 0;
    for member in members.counted().filter(|m| m.class != Class::Happy) {
        let until = member.replica.placed_at.after_ms(patience);
        if pass.now < until {
            pass.wake(until);
            count += 1;
        }
    }
    count
}
