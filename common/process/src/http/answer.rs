//! How answers look that are not what was asked for: a code and a sentence.

use axum::{
    extract::Request,
    http::{StatusCode, header::CONTENT_TYPE},
    middleware::Next,
    response::{IntoResponse, Response},
};

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
