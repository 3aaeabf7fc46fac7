//! From calls to answers: JSON, or a problem with the code that fits.

use axum::{
    body::Body,
    http::header::CONTENT_TYPE,
    response::{IntoResponse, Response},
};
use paasta_process::http::Problem;
use paasta_proto::worker::off_worker;
use serde::{Deserialize, Serialize};
use tonic::{Code, Status};

/// What every reading path takes.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(default)]
pub(super) struct Reading {
    stale: Option<Flag>,
}

impl Reading {
    /// Whether this coordinator may answer from what it has.
    pub(super) fn is_stale(self) -> bool {
        self.stale.is_some_and(Flag::is_set)
    }
}

/// `?flag`, `?flag=1` and `?flag=true` set it; anything else does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Flag(bool);

impl Flag {
    pub(super) fn is_set(self) -> bool {
        self.0
    }
}

impl<'de> Deserialize<'de> for Flag {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        Ok(Self(matches!(text.as_str(), "" | "1" | "true" | "True")))
    }
}

/// A value as JSON. It may be large: while it is written the runtime goes on.
pub(super) struct Json<T>(pub(super) T);

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        let value = self.0;
        match off_worker(move || serde_json::to_vec(&value)) {
            Ok(bytes) => ([(CONTENT_TYPE, "application/json")], Body::from(bytes)).into_response(),
            Err(error) => Problem::new(500, error.to_string()).into_response(),
        }
    }
}

/// The HTTP code of a call that was refused, with its own words.
pub(super) fn problem(status: &Status) -> Problem {
    let code = match status.code() {
        Code::NotFound => 404,
        Code::InvalidArgument => 400,
        Code::Unavailable | Code::FailedPrecondition | Code::ResourceExhausted => 503,
        Code::DeadlineExceeded => 504,
        _ => 500,
    };
    Problem::new(code, status.message())
}
