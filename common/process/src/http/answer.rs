//! How answers look that are not what was asked for: a code and a sentence.

use axum::{
    extract::Request,
    http::{StatusCode, header::CONTENT_TYPE},
    middleware::Next,
    response::{IntoResponse, Response},
};

use paasta_common::id::cut;

use super::ANSWER_TIMEOUT;

/// Something that could not be answered: plain text with the code that says why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The HTTP status code.
    pub code: u16,
    /// What is wrong and what to do, a line.
    pub text: String,
}

impl Problem {
    /// A problem.
    pub fn new(code: u16, text: impl Into<String>) -> Self {
        Self {
            code,
            text: text.into(),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let code = StatusCode::from_u16(self.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        (code, text(self.text + "\n")).into_response()
    }
}

/// Plain text.
pub fn text(text: String) -> impl IntoResponse {
    ([(CONTENT_TYPE, "text/plain; charset=utf-8")], text)
}

/// Bytes of one part of a path, as they are written, at most.
const SEGMENT_BYTES_MAX: usize = 512;
/// Bytes of a query, at most.
const QUERY_BYTES_MAX: usize = 2_048;

/// Refuses paths and queries that are too long for anything.
pub(super) async fn within_bounds(request: Request, next: Next) -> Response {
    let uri = request.uri();
    let segments = uri
        .path()
        .split('/')
        .map(|part| ("a part of the path", part));
    let query = uri.query().map(|query| ("the query", query));
    for (what, text) in segments.chain(query) {
        let most = match what {
            "the query" => QUERY_BYTES_MAX,
            _ => SEGMENT_BYTES_MAX,
        };
        if text.len() > most {
            let text = format!(
                "{what}: {} bytes are more than the {most} that it may have; it begins {:?}",
                text.len(),
                cut(text)
            );
            return Problem::new(400, text).into_response();
        }
    }
    next.run(request).await
}

/// Answers within [`ANSWER_TIMEOUT`], if only that it could not.
pub(super) async fn in_time(request: Request, next: Next) -> Response {
    match tokio::time::timeout(ANSWER_TIMEOUT, next.run(request)).await {
        Ok(answer) => answer,
        Err(_) => {
            let text = format!("no answer within {ANSWER_TIMEOUT:?}; try again");
            Problem::new(503, text).into_response()
        }
    }
}
