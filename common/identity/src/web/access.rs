//! Whether a caller may have the answer of a path: one table, and what is not in it is denied.

use std::time::SystemTime;

use axum::{
    http::{HeaderValue, Method, header::WWW_AUTHENTICATE},
    response::{IntoResponse, Response},
};
use paasta_process::http::Problem;

use crate::name::{Identity, Role};

/// The callers that a path answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Every caller: it says nothing about services, or has a secret of its own.
    Open,
    /// Callers of these roles; on loopback every process of the machine.
    Local(&'static [Role]),
    /// Callers of these roles, on loopback as well.
    Proven(&'static [Role]),
}

/// A method, a path as the router has it, and its callers.
pub type Row = (&'static str, &'static str, Access);

/// A caller, as far as it proved itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Caller {
    /// A process of this machine that proved nothing.
    Local,
    /// A process of any machine that proved nothing.
    Stranger,
    /// By a certificate or a token.
    Proven(Identity),
}

/// A request that is not answered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The caller proved nothing.
    #[error(
        "{0} takes a client certificate of the cluster, or `Authorization: Bearer TOKEN` with a token of http_tokens_file"
    )]
    Unproven(String),
    /// No token has the digest.
    #[error("the bearer token is in no line of http_tokens_file")]
    UnknownToken,
    /// The token has ended.
    #[error("the bearer token of {identity} expired at {at}: lay a new one")]
    ExpiredToken {
        /// Its identity, `ROLE/NAME`.
        identity: String,
        /// When, RFC 3339.
        at: String,
    },
    /// The daemon takes no tokens.
    #[error("this daemon takes no bearer token: http_tokens_file is not set")]
    NoTokens,
    /// The file cannot be read.
    #[error("bearer tokens cannot be checked now; this daemon's log says why")]
    Tokens,
    /// The role may not.
    #[error("{principal} may not call {asked}: that takes the role {roles}")]
    Denied {
        /// The caller, `ROLE/NAME`.
        principal: String,
        /// The method and the path.
        asked: String,
        /// The roles that may.
        roles: String,
    },
    /// Its principal does not let it.
    #[error("{principal} may not call {asked}: {why}")]
    NotEntitled {
        /// The caller, `ROLE/NAME`.
        principal: String,
        /// The method and the path.
        asked: String,
        /// Why not, and what to do.
        why: String,
    },
    /// The path has no row.
    #[error("{0} is in no row of the table of roles: no caller may have it")]
    NoRow(String),
}

impl Refusal {
    fn code(&self) -> u16 {
        match self {
            Self::Unproven(_) | Self::UnknownToken | Self::ExpiredToken { .. } | Self::NoTokens => {
                401
            }
            Self::Denied { .. } | Self::NotEntitled { .. } | Self::NoRow(_) => 403,
            Self::Tokens => 503,
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let code = self.code();
        let mut answer = Problem::new(code, self.to_string()).into_response();
        if code == 401 {
            let bearer = HeaderValue::from_static("Bearer realm=\"paasta\"");
            answer.headers_mut().insert(WWW_AUTHENTICATE, bearer);
        }
        answer
    }
}

/// The callers of a path of the router; `None` without a row. HEAD is GET without its body.
pub(super) fn row(rows: &[Row], method: &Method, path: &str) -> Option<Access> {
    let method = match *method == Method::HEAD {
        true => "GET",
        false => method.as_str(),
    };
    let found = rows
        .iter()
        .find(|(of, at, _)| *of == method && *at == path)?;
    Some(found.2)
}

/// The identity for which a request is answered. `access` is `None` where the router has no such
/// path: it answers that itself, to callers that may know.
pub(super) fn judge(
    access: Option<Option<Access>>,
    caller: Caller,
    asked: &str,
) -> Result<Option<Identity>, Refusal> {
    let refused = |identity: &Identity, roles: &[Role]| {
        let roles: Vec<&str> = roles.iter().map(|role| role.as_str()).collect();
        Refusal::Denied {
            principal: identity.short(),
            asked: asked.to_owned(),
            roles: roles.join(" or "),
        }
    };
    match (access, caller) {
        (Some(None), _) => Err(Refusal::NoRow(asked.to_owned())),
        (Some(Some(Access::Open)), _) => Ok(None),
        (_, Caller::Stranger) => Err(Refusal::Unproven(asked.to_owned())),
        (None | Some(Some(Access::Local(_))), Caller::Local) => Ok(None),
        (Some(Some(Access::Proven(_))), Caller::Local) => Err(Refusal::Unproven(asked.to_owned())),
        (None, Caller::Proven(identity)) => Ok(Some(identity)),
        (Some(Some(Access::Local(roles) | Access::Proven(roles))), Caller::Proven(identity)) => {
            match roles.contains(&identity.role()) {
                true => Ok(Some(identity)),
                false => Err(refused(&identity, roles)),
            }
        }
    }
}

/// A moment as RFC 3339.
pub(super) fn moment(at: SystemTime) -> String {
    match jiff::Timestamp::try_from(at) {
        Ok(at) => at.to_string(),
        Err(_) => "an unknown time".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROWS: &[Row] = &[
        ("GET", "/healthz", Access::Open),
        ("GET", "/metrics", Access::Local(&[Role::Metrics])),
        ("GET", "/env", Access::Proven(&[Role::Deployer])),
    ];

    fn proven(text: &str) -> Caller {
        Caller::Proven(format!("paasta://prod/{text}").parse().unwrap())
    }

    fn asked(path: Option<&str>, caller: Caller) -> Result<Option<String>, u16> {
        let access = path.map(|path| row(ROWS, &Method::GET, path));
        judge(access, caller, "GET it")
            .map(|identity| identity.map(|identity| identity.short()))
            .map_err(|refusal| refusal.code())
    }

    #[test]
    fn each_kind_of_caller_has_what_the_table_says() {
        let metrics = || proven("metrics/m");
        for caller in [Caller::Local, Caller::Stranger, metrics()] {
            assert_eq!(asked(Some("/healthz"), caller.clone()), Ok(None));
            assert_eq!(asked(Some("/other"), caller), Err(403), "no row");
        }
        assert_eq!(asked(Some("/metrics"), Caller::Local), Ok(None));
        assert_eq!(asked(Some("/metrics"), Caller::Stranger), Err(401));
        let own = Ok(Some("metrics/m".to_owned()));
        assert_eq!(asked(Some("/metrics"), metrics()), own);
        assert_eq!(asked(Some("/metrics"), proven("agent/h")), Err(403));
        assert_eq!(asked(Some("/env"), Caller::Local), Err(401));
        assert_eq!(asked(Some("/env"), Caller::Stranger), Err(401));
        assert_eq!(asked(Some("/env"), metrics()), Err(403));
        let ci = Ok(Some("deployer/ci".to_owned()));
        assert_eq!(asked(Some("/env"), proven("deployer/ci")), ci);
        // What the router does not have.
        assert_eq!(asked(None, Caller::Local), Ok(None));
        assert_eq!(asked(None, Caller::Stranger), Err(401));
        assert_eq!(asked(None, metrics()), own);
    }

    #[test]
    fn a_row_is_of_its_method_and_whole_path() {
        let found = |method: Method, path| row(ROWS, &method, path);
        assert_eq!(found(Method::HEAD, "/healthz"), Some(Access::Open));
        assert_eq!(found(Method::POST, "/healthz"), None);
        assert_eq!(found(Method::GET, "/healthz/"), None);
        assert_eq!(found(Method::GET, "/health"), None);
    }

    #[test]
    fn a_refusal_says_what_is_missing() {
        let refused = judge(
            Some(row(ROWS, &Method::GET, "/metrics")),
            proven("agent/h"),
            "GET /metrics",
        );
        let words = refused.unwrap_err().to_string();
        assert_eq!(
            words,
            "agent/h may not call GET /metrics: that takes the role metrics"
        );
        let answer = Refusal::Unproven("GET /metrics".to_owned()).into_response();
        assert_eq!(answer.status(), 401);
        assert!(answer.headers().contains_key(WWW_AUTHENTICATE));
    }
}
