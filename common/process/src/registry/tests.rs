//! The registry's side is played by a server that answers line by line as it is told to.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::TcpListener,
    thread,
};

use super::*;

const LIMIT: Duration = Duration::from_secs(10);

/// A server on loopback that gives these answers in turn, and what it was asked.
fn server(answers: Vec<String>) -> (String, thread::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let asked = thread::spawn(move || {
        let mut asked = Vec::new();
        let mut answers = answers.into_iter();
        let mut next = answers.next();
        while let Some(answer) = next.take() {
            let (stream, _) = listener.accept().unwrap();
            let mut reader = BufReader::new(stream);
            let mut head = String::new();
            // Who speaks TLS sends no lines of text: that connection is closed.
            while reader.read_line(&mut head).is_ok_and(|read| read > 2) {}
            if head.starts_with(['H', 'G']) {
                reader.get_mut().write_all(answer.as_bytes()).unwrap();
                asked.push(head);
                next = answers.next();
            } else {
                next = Some(answer);
            }
        }
        asked
    });
    (address, asked)
}

fn answer(status: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n{body}"
    )
}

fn image(registry: &str) -> Image<'_> {
    Image {
        registry,
        repository: "services-hello",
        tag: "paasta-0123abcd",
    }
}

fn login() -> Login {
    Login {
        registry: "r".to_owned(),
        username: Some("u".to_owned()),
        password: Some("p:w".to_owned()),
        identitytoken: None,
    }
}

#[test]
fn yes_no_and_neither_are_told_apart() {
    for (status, expected) in [
        ("200 OK", Some(true)),
        ("404 Not Found", Some(false)),
        ("401 Unauthorized", None),
        ("403 Forbidden", None),
        ("500 Internal Server Error", None),
        ("302 Found", None),
    ] {
        let (address, asked) = server(vec![answer(status, "", "")]);
        let found = has(&image(&address), None, LIMIT);
        assert_eq!(
            found.as_ref().ok().copied(),
            expected,
            "{status}: {found:?}"
        );
        let asked = asked.join().unwrap();
        assert!(
            asked[0].starts_with("HEAD /v2/services-hello/manifests/paasta-0123abcd "),
            "{asked:?}"
        );
    }
}

#[test]
fn a_registry_that_is_not_there_is_no_no() {
    let gone = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let error = has(&image(&gone.to_string()), None, LIMIT).unwrap_err();
    assert!(
        matches!(error, RegistryError::Unreachable { .. }),
        "{error}"
    );
    assert!(
        error.to_string().contains("check docker_registry"),
        "{error}"
    );
}

#[test]
fn a_silent_registry_has_a_deadline() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let error = has(&image(&address), None, Duration::from_millis(200)).unwrap_err();
    assert!(
        matches!(error, RegistryError::Unreachable { .. }),
        "{error}"
    );
}

#[test]
fn a_login_is_shown_when_it_is_asked_for() {
    let challenge = "www-authenticate: Basic realm=\"r\"\r\n";
    let refusal = answer("401 Unauthorized", challenge, "");
    let (address, asked) = server(vec![refusal.clone(), answer("200 OK", "", "")]);
    assert!(has(&image(&address), Some(&login()), LIMIT).unwrap());
    let asked = asked.join().unwrap();
    assert!(
        !asked[0].to_lowercase().contains("authorization"),
        "{asked:?}"
    );
    assert!(asked[1].contains("Basic dTpwOnc="), "{asked:?}");

    let (address, asked) = server(vec![refusal]);
    let error = has(&image(&address), None, LIMIT).unwrap_err();
    assert!(error.to_string().contains("docker login"), "{error}");
    asked.join().unwrap();
}

#[test]
fn a_token_is_got_where_the_registry_says() {
    let (tokens, asked_token) = server(vec![answer("200 OK", "", r#"{"token": "t0"}"#)]);
    let challenge = format!(
        "www-authenticate: Bearer realm=\"http://{tokens}/token\",service=\"a b\",scope=\"repository:services-hello:pull\"\r\n"
    );
    let refusal = answer("401 Unauthorized", &challenge, "");
    let (address, asked) = server(vec![refusal, answer("404 Not Found", "", "")]);
    assert!(!has(&image(&address), Some(&login()), LIMIT).unwrap());
    let question = asked_token.join().unwrap().remove(0);
    let wanted = "GET /token?service=a%20b&scope=repository%3Aservices-hello%3Apull ";
    assert!(
        question.starts_with(wanted) && question.contains("Basic dTpwOnc="),
        "{question}"
    );
    assert!(asked.join().unwrap()[1].contains("Bearer t0"));
}

#[test]
fn a_password_is_never_sent_in_the_open() {
    assert!(local("localhost:5000") && local("127.0.0.1:5000") && local("[::1]:5000"));
    assert!(!local("registry.example.com:5000") && !local("10.0.0.1:5000"));
    assert!(!format!("{:?}", login()).contains("p:w"));
}
