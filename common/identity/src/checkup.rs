//! A program's own certificate, for its `check`.

use std::time::{Duration, SystemTime};

use paasta_process::checkup::Finding;

use crate::{Credentials, credentials::span};

/// With less left than this a certificate should have been renewed.
const SHORT: Duration = Duration::from_secs(14 * 86_400);

/// Whether the other side will accept the certificate, and for how long.
pub fn certificate(what: &'static str, own: &Credentials, now: SystemTime) -> Finding {
    if let Err(error) = own.check(now) {
        let next =
            "what expired here is renewed by the daemon within a minute, if its clock is right";
        return Finding::warning(what, error, next.to_owned());
    }
    let validity = own.validity();
    let life = validity.not_after.duration_since(validity.not_before);
    let left = validity.not_after.duration_since(now).unwrap_or_default();
    let text = format!("{}, for {} more", own.identity(), span(left));
    // Short lives are the cluster's choice: what is judged is the share that is left.
    match left < SHORT.min(life.unwrap_or_default() / 10) {
        true => Finding::warning(
            what,
            text,
            "the daemon renews it; see its log for why not yet".to_owned(),
        ),
        false => Finding::good(what, text),
    }
}
