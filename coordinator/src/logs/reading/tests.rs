//! Hosts played by the test, on their side of the broker.

use paasta_proto::v1::{LogRecord, coordinator_message::Kind};

use super::*;

const PATIENCE: Duration = Duration::from_secs(60);

struct Player {
    host: HostId,
    broker: LogBroker,
    number: u64,
    messages: mpsc::Receiver<Kind>,
}

impl Player {
    fn connect(broker: &LogBroker, host: &str, number: u64) -> Self {
        let host: HostId = host.parse().unwrap();
        Self {
            messages: broker.connect(&host, number),
            host,
            broker: broker.clone(),
            number,
        }
    }

    async fn asked(&mut self) -> LogQuery {
        loop {
            match timeout(PATIENCE, self.messages.recv()).await.unwrap() {
                Some(Kind::LogQuery(query)) => return query,
                Some(_) => {}
                None => panic!("{}: the session has ended", self.host),
            }
        }
    }

    fn say(&self, id: u64, times: &[u64], change: impl FnOnce(&mut LogAnswer)) {
        let record = |at_ns: &u64| LogRecord {
            at_ns: *at_ns,
            stream: LogStream::Stdout.into(),
            stream_word: String::new(),
            instance: "hello.main".to_owned(),
            replica: "r1".to_owned(),
            run: 1,
            line: at_ns.to_string().into_bytes(),
            partial: false,
        };
        let mut answer = LogAnswer {
            id,
            records: times.iter().map(record).collect(),
            ..LogAnswer::default()
        };
        change(&mut answer);
        self.broker.answer(&self.host, self.number, answer);
    }
}

struct Read {
    parts: mpsc::Receiver<Result<LogsPart, Status>>,
    notices: Vec<String>,
}

impl Read {
    /// Reads until so many lines came; returns where and when they were written.
    async fn lines(&mut self, count: usize) -> Vec<(String, u64)> {
        let mut lines = Vec::new();
        while lines.len() < count {
            let part = timeout(PATIENCE, self.parts.recv()).await;
            let Some(Ok(part)) = part.unwrap_or_else(|_| panic!("only {lines:?}")) else {
                panic!("it ended after {lines:?}, {:?}", self.notices);
            };
            self.notices.extend(part.notices);
            lines.extend(part.lines.into_iter().map(|line| (line.host, line.at_ns)));
        }
        lines
    }

    async fn notice(&mut self) -> String {
        while self.notices.is_empty() {
            let part = timeout(PATIENCE, self.parts.recv()).await.unwrap();
            self.notices.extend(part.unwrap().unwrap().notices);
        }
        self.notices.remove(0)
    }

    async fn end(&mut self) {
        while let Some(part) = timeout(PATIENCE, self.parts.recv()).await.unwrap() {
            let part = part.unwrap();
            assert_eq!(part.lines, []);
            self.notices.extend(part.notices);
        }
    }
}

fn read(broker: &LogBroker, lines: usize, follow: bool) -> Read {
    let (out, parts) = mpsc::channel(4);
    let reading = Reading {
        broker: broker.clone(),
        machine: ClusterMachine::new(),
        query: Some(LogQuery::default()),
        events: Wanted::default(),
        lines,
        follow,
        host: None,
        began_ns: 1_000,
        cluster: "demo".to_owned(),
        out,
    };
    tokio::spawn(reading.run());
    Read {
        parts,
        notices: Vec::new(),
    }
}

fn at(host: &str, at_ns: u64) -> (String, u64) {
    (host.to_owned(), at_ns)
}

#[tokio::test(start_paused = true)]
async fn the_last_lines_of_all_hosts_in_the_order_of_time() {
    let broker = LogBroker::default();
    let mut a = Player::connect(&broker, "a", 1);
    let mut b = Player::connect(&broker, "b", 2);
    let mut told = read(&broker, 3, false);
    let (of_a, of_b) = (a.asked().await, b.asked().await);
    assert_eq!((of_a.lines, of_a.follow), (3, false));
    b.say(of_b.id, &[2, 4], |_| {});
    a.say(of_a.id, &[1, 3, 5], |answer| answer.ended = true);
    b.say(of_b.id, &[6], |answer| answer.ended = true);
    assert_eq!(told.lines(3).await, [at("b", 4), at("a", 5), at("b", 6)]);
    told.end().await;
    assert!(told.notices.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_silent_host_and_one_that_goes_are_named_and_hold_nothing_up() {
    let broker = LogBroker::default();
    let mut a = Player::connect(&broker, "a", 1);
    let mut b = Player::connect(&broker, "b", 2);
    let mut c = Player::connect(&broker, "c", 3);
    let mut told = read(&broker, 0, false);
    let of_a = a.asked().await;
    b.asked().await;
    c.asked().await;
    a.say(of_a.id, &[1, 3], |answer| answer.ended = true);
    broker.disconnect(&c.host, 3);
    assert_eq!(told.lines(2).await.len(), 2);
    told.end().await;
    told.notices.sort();
    assert!(told.notices[0].starts_with("host b: no answer within 5s"));
    assert!(told.notices[1].starts_with("host c went away"));
    // It is told that nobody waits any more.
    let mut cancelled = false;
    while let Ok(message) = b.messages.try_recv() {
        cancelled |= matches!(message, Kind::LogCancel(_));
    }
    assert!(cancelled);
}

#[tokio::test(start_paused = true)]
async fn what_comes_is_put_in_order_and_a_host_that_is_back_goes_on_where_it_ended() {
    let broker = LogBroker::default();
    let mut a = Player::connect(&broker, "a", 1);
    let mut b = Player::connect(&broker, "b", 2);
    let mut told = read(&broker, 10, true);
    let (of_a, of_b) = (a.asked().await, b.asked().await);
    assert!(of_a.follow);
    a.say(of_a.id, &[1], |answer| answer.caught_up = true);
    b.say(of_b.id, &[2], |answer| answer.caught_up = true);
    assert_eq!(told.lines(2).await, [at("a", 1), at("b", 2)]);
    b.say(of_b.id, &[12], |_| {});
    a.say(of_a.id, &[11], |_| {});
    assert_eq!(told.lines(2).await, [at("a", 11), at("b", 12)]);
    broker.disconnect(&a.host, 1);
    assert!(told.notice().await.starts_with("host a went away"));
    b.say(of_b.id, &[13], |_| {});
    assert_eq!(told.lines(1).await, [at("b", 13)]);
    let mut a = Player::connect(&broker, "a", 3);
    let again = a.asked().await;
    assert_eq!((again.since_ns, again.lines), (12, 0));
    a.say(again.id, &[14], |_| {});
    // One that was never there begins with the reading.
    let mut c = Player::connect(&broker, "c", 4);
    assert_eq!(c.asked().await.since_ns, 1_000);
    assert_eq!(told.lines(1).await, [at("a", 14)]);
    drop(told);
    let gone =
        async { while !matches!(c.messages.recv().await, Some(Kind::LogCancel(_)) | None) {} };
    timeout(PATIENCE, gone).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_takes_nothing_stops_the_hosts() {
    let broker = LogBroker::default();
    let mut a = Player::connect(&broker, "a", 1);
    let mut told = read(&broker, 0, true);
    let of_a = a.asked().await;
    let mut room = of_a.answers;
    let mut sent: u64 = 0;
    // Each answer is a part of its own: as much as the host may send, and no more.
    loop {
        while room > 0 {
            let times: Vec<u64> = (0..600).map(|line| sent * 600 + line).collect();
            a.say(of_a.id, &times, |_| {});
            (room, sent) = (room - 1, sent + 1);
        }
        match timeout(Duration::from_secs(2), a.messages.recv()).await {
            Ok(Some(Kind::LogMore(more))) => room += more.answers,
            Ok(other) => panic!("{other:?}"),
            Err(_) => break,
        }
    }
    assert!(sent < 20, "{sent} answers were taken from the host");
    let all = usize::try_from(sent * 600).unwrap();
    let lines = told.lines(all).await;
    assert!(lines.is_sorted_by_key(|(_, at_ns)| *at_ns));
}
