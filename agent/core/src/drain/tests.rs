//! The conversations of the methods http and hacheck, answer by answer.

use std::sync::Arc;

use paasta_common::{
    app::AppSpec,
    assignment::{AssignedReplica, Tried, Want},
    spec::RunSettings,
};

use super::{
    calls::{self, Call, Request},
    *,
};

const PARAMS: &str = r#"{
    "drain": {"url_format": "http://{host}:{port}/drain/{service}/{instance}/{nerve_ns}",
              "method": "post", "success_codes": 200},
    "stop_draining": {"url_format": "http://{host}:{port}/undrain", "method": "POST",
              "success_codes": "200"},
    "is_draining": {"url_format": "http://{host}:{port}/draining", "success_codes": "200"},
    "is_safe_to_kill": {"url_format": "http://{host}:{port}/safe", "success_codes": "200"}
}"#;

struct Talk {
    replica: AssignedReplica,
    host: HostSettings,
    draining: Draining,
    live: Live,
    now: Timestamp,
}

impl Talk {
    fn new(params: &str) -> Self {
        let params = params.to_owned();
        Self::with(DrainMethod::Http { params })
    }

    fn with(drain: DrainMethod) -> Self {
        let run = RunSettings {
            drain,
            registrations: vec!["hello.main".to_owned(), "hello.canary".to_owned()],
            drain_timeout_ms: 60_000,
            ..RunSettings::default()
        };
        Self {
            replica: AssignedReplica {
                instance: "hello.main".parse().unwrap(),
                app: "hello.main.git3f2a9c0d.config94232c5b".parse().unwrap(),
                spec: Arc::new(AppSpec::default()),
                run: Arc::new(run),
                want: Want::Drain,
                tried: Tried::default(),
            },
            host: HostSettings::new("h1".parse().unwrap(), "10.0.0.1", "/s"),
            draining: Draining {
                since: Timestamp(0),
                safe: false,
                told: false,
                told_at: None,
            },
            live: Live::default(),
            now: Timestamp(0),
        }
    }

    fn look(&mut self, back: bool) -> Option<Look> {
        let leaving = Leaving {
            id: ReplicaId(1),
            replica: &self.replica,
            host: &self.host,
            host_port: Some(31_000),
        };
        let (draining, live) = (&mut self.draining, &mut self.live);
        match back {
            false => Some(leave(&leaving, draining, live, self.now)),
            true => method(&self.replica.run.drain).come_back(&leaving, draining, live, self.now),
        }
    }

    /// What is called now, word by word.
    fn requests(&mut self, back: bool) -> Option<(Call, Vec<Request>)> {
        match self.look(back)?.action? {
            Action::Drain { call, requests, .. } => Some((call, requests)),
            other => panic!("{other:?}"),
        }
    }

    /// What is called now, and where.
    fn call(&mut self) -> Option<(Call, Vec<String>)> {
        match self.look(false)?.action? {
            Action::Drain { call, requests, .. } => Some((
                call,
                requests.into_iter().map(|request| request.url).collect(),
            )),
            other => panic!("{other:?}"),
        }
    }

    fn answer(&mut self, call: Call, result: Result<bool, String>) {
        calls::answered(&mut self.draining, &mut self.live, call, result, self.now);
        self.now = self.now.after_ms(1_000);
    }
}

#[test]
fn the_service_is_asked_told_and_asked_until_it_is_safe() {
    let mut talk = Talk::new(PARAMS);
    let (call, urls) = talk.call().unwrap();
    assert_eq!(
        (call, urls.len()),
        (Call::IsDraining, 1),
        "the same URL is called once"
    );
    assert_eq!(talk.call(), None, "one call at a time");
    talk.answer(call, Ok(false));
    let (call, urls) = talk.call().unwrap();
    assert_eq!(call, Call::Drain);
    assert_eq!(
        urls,
        [
            "http://10.0.0.1:31000/drain/hello/main/main",
            "http://10.0.0.1:31000/drain/hello/main/canary"
        ]
    );
    talk.answer(call, Ok(true));
    for _ in 0..5 {
        assert_eq!(talk.call().unwrap().0, Call::IsSafeToKill);
        talk.answer(Call::IsSafeToKill, Ok(false));
        assert!(!talk.draining.safe);
    }
    assert_eq!(talk.call().unwrap().0, Call::IsSafeToKill);
    talk.answer(Call::IsSafeToKill, Ok(true));
    assert!(talk.draining.safe);
    assert_eq!(talk.call(), None);
}

#[test]
fn a_new_agent_that_finds_it_draining_does_not_tell_it_twice() {
    let mut talk = Talk::new(PARAMS);
    talk.call();
    talk.answer(Call::IsDraining, Ok(true));
    assert!(talk.draining.told);
    assert_eq!(talk.call().unwrap().0, Call::IsSafeToKill);
}

#[test]
fn a_service_that_never_gets_safe_is_let_go_at_the_timeout() {
    let mut talk = Talk::new(PARAMS);
    talk.call();
    talk.answer(Call::IsDraining, Ok(true));
    talk.now = Timestamp(59_999);
    talk.look(false);
    assert!(!talk.draining.safe);
    talk.now = Timestamp(60_000);
    let look = talk.look(false).unwrap();
    assert!(talk.draining.safe && look.message.unwrap().contains("timed out"));
}

#[test]
fn a_lost_answer_and_broken_parameters_do_not_block() {
    let mut talk = Talk::new(PARAMS);
    for _ in 0..calls::ERRORS_MAX {
        assert!(talk.call().is_some());
        talk.now = talk.now.after_ms(calls::CALL_TIMEOUT_MS * 2 + 5_000);
        talk.draining.since = talk.now;
    }
    talk.look(false);
    talk.look(false);
    assert!(talk.draining.safe);
    for params in [
        "",
        "{}",
        r#"{"is_draining": {"url_format": "x", "success_codes": "ok"}}"#,
    ] {
        let mut talk = Talk::new(params);
        let look = talk.look(false).unwrap();
        assert!(talk.draining.safe, "{params}");
        assert!(
            look.message.unwrap().contains("drain_method_params"),
            "{params}"
        );
    }
}

#[test]
fn a_service_that_was_told_is_told_when_the_drain_is_called_off() {
    let mut talk = Talk::new(PARAMS);
    talk.call();
    talk.answer(Call::IsDraining, Ok(false));
    assert_eq!(
        talk.look(true),
        None,
        "nobody was told: nothing to take back"
    );
    let mut talk = Talk::new(PARAMS);
    talk.call();
    talk.answer(Call::IsDraining, Ok(true));
    let look = talk.look(true).unwrap();
    assert!(matches!(
        look.action,
        Some(Action::Drain {
            call: Call::StopDraining,
            ..
        })
    ));
    talk.answer(Call::StopDraining, Ok(true));
    assert_eq!(talk.look(true), None);
}

/// Down for a minute, with the defaults beside it.
fn hacheck() -> Talk {
    let mut talk = Talk::with(DrainMethod::hacheck(10_000));
    talk.now = Timestamp(1_700_000_000_000);
    talk.draining.since = talk.now;
    talk
}

#[test]
fn hacheck_is_told_of_every_registration_and_the_delay_begins_then() {
    let mut talk = hacheck();
    let (call, requests) = talk.requests(false).unwrap();
    assert_eq!(call, Call::Drain);
    let urls = ["hello.main", "hello.canary"]
        .map(|name| format!("http://10.0.0.1:6666/spool/{name}/31000/status"));
    let told: Vec<_> = requests.iter().map(|request| &request.url).collect();
    assert_eq!(told, urls.iter().collect::<Vec<_>>());
    for request in &requests {
        assert_eq!(request.method, "POST");
        assert_eq!(
            request.form.as_deref(),
            Some("status=down&expiration=1700000100&reason=Drained+by+PaaSTA")
        );
    }
    assert!(talk.requests(false).is_none(), "one call at a time");
    talk.now = talk.now.after_ms(4_000);
    talk.answer(call, Ok(true));
    let told_at = talk.draining.told_at.unwrap();
    talk.now = told_at.after_ms(9_999);
    let look = talk.look(false).unwrap();
    assert!(!talk.draining.safe && look.wake_at == Some(told_at.after_ms(10_000)));
    talk.now = told_at.after_ms(10_000);
    talk.look(false);
    assert!(talk.draining.safe);
    // Called off: everything is up again, and that is all.
    let (call, requests) = talk.requests(true).unwrap();
    assert_eq!((call, requests.len()), (Call::StopDraining, 2));
    assert_eq!(requests[0].form.as_deref(), Some("status=up"));
    talk.answer(call, Ok(true));
    assert_eq!(talk.look(true), None);
}

#[test]
fn a_hacheck_that_is_not_there_delays_nothing_beyond_the_delay() {
    for answer in [Err("connection refused".to_owned()), Ok(false)] {
        let mut talk = hacheck();
        let begun = talk.now;
        for _ in 0..calls::ERRORS_MAX {
            assert_eq!(talk.requests(false).unwrap().0, Call::Drain);
            talk.answer(Call::Drain, answer.clone());
        }
        assert!(talk.requests(false).is_none(), "it is asked no more");
        assert!(!talk.draining.safe);
        talk.now = begun.after_ms(10_000);
        talk.look(false);
        assert!(talk.draining.safe);
    }
    let mut hanging = hacheck();
    hanging.requests(false);
    hanging.now = hanging.draining.since.after_ms(60_000);
    let look = hanging.look(false).unwrap();
    assert!(hanging.draining.safe && look.message.unwrap().contains("timed out"));
}

#[test]
fn a_new_agent_goes_on_with_the_drain_of_the_one_before_it() {
    let mut talk = hacheck();
    talk.requests(false);
    talk.answer(Call::Drain, Ok(true));
    let kept = serde_json::to_string(&talk.draining).unwrap();
    talk.draining = serde_json::from_str(&kept).unwrap();
    talk.live = Live::default();
    assert!(talk.requests(false).is_none(), "told already");
    talk.now = talk.draining.told_at.unwrap().after_ms(10_000);
    talk.look(false);
    assert!(talk.draining.safe);
    talk.live = Live::default();
    assert_eq!(talk.requests(true).unwrap().0, Call::StopDraining);
}
