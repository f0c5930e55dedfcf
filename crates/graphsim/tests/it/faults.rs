//! Faults on order, throttling, the log and the control plane.

use std::time::Duration;

use onesync_graphsim::{FaultAction, FaultPhase, FaultRule, RandomFaults};
use serde_json::{Value, json};

use crate::lab::{Lab, exchange, user};

fn rule(method: &str, path: &str, phase: FaultPhase, action: FaultAction) -> FaultRule {
    FaultRule { method: Some(method.into()), path: Some(path.into()), phase, action, ..FaultRule::default() }
}

fn status(status: u16, retry_after: Option<&str>, sticky: bool) -> FaultAction {
    FaultAction::Status {
        status,
        code: None,
        message: None,
        retry_after: retry_after.map(str::to_owned),
        sticky,
    }
}

fn users(lab: &Lab) -> usize {
    lab.sim.dump()["users"].as_array().unwrap().len()
}

#[tokio::test]
async fn a_closed_connection_before_and_after_the_effect() {
    let lab = Lab::new().await;
    lab.sim.fault(rule("POST", "/users", FaultPhase::Before, FaultAction::Reset));
    assert!(lab.raw("POST", "/users", &[], Some(&user("ann"))).await.is_err());
    assert_eq!(users(&lab), 0);
    lab.sim.fault(rule("POST", "/users", FaultPhase::After, FaultAction::Reset));
    assert!(lab.raw("POST", "/users", &[], Some(&user("ann"))).await.is_err());
    assert_eq!(users(&lab), 1, "done, but nobody was told");
    let log = lab.sim.log(0);
    let seen: Vec<_> = log.iter().filter(|e| e.path == "/v1.0/users").map(|e| (e.status, e.done)).collect();
    assert_eq!(seen, [(0, false), (0, true)]);
    lab.finish().await;
}

#[tokio::test]
async fn answers_are_spoilt_in_many_ways() {
    let lab = Lab::new().await;
    lab.user("ann").await;
    let once = |action| rule("GET", "/v1.0/users", FaultPhase::Before, action);
    lab.sim.fault(once(status(429, Some("2.128"), false)));
    let throttled = lab.get("/users").await.expect(429);
    assert_eq!((throttled.code(), throttled.header("retry-after")), ("TooManyRequests", Some("2.128")));
    lab.sim.fault(once(FaultAction::Html { status: 503 }));
    let html = lab.get("/users").await.expect(503);
    assert_eq!(html.header("content-type"), Some("text/html"));
    assert_eq!(html.body, Value::Null);
    lab.sim.fault(once(FaultAction::Truncate));
    assert!(lab.raw("GET", "/users", &[], None).await.is_err(), "the body ends early");
    lab.sim.fault(once(FaultAction::CutJson));
    let cut = lab.get("/users").await.expect(200);
    assert_eq!(cut.body, Value::Null, "not JSON any more");
    lab.sim.fault(once(FaultAction::SlowBody { delay_ms: 1 }));
    lab.get("/users").await.expect(200);
    lab.sim.fault(once(FaultAction::Delay { ms: 1 }));
    lab.get("/users").await.expect(200);
    lab.sim.fault(once(FaultAction::ExpireDelta));
    assert_eq!(lab.get("/users/delta").await.expect(410).code(), "syncStateNotFound");
    let quota = FaultAction::Status {
        status: 403,
        code: Some("Directory_QuotaExceeded".into()),
        message: None,
        retry_after: None,
        sticky: false,
    };
    lab.sim.fault(rule("POST", "/users", FaultPhase::Before, quota));
    assert_eq!(lab.post("/users", user("bob")).await.expect(403).code(), "Directory_QuotaExceeded");
    lab.sim.fault(rule("PATCH", "/users/", FaultPhase::Before, status(409, None, false)));
    assert_eq!(
        lab.patch("/users/ann@contoso.com", json!({})).await.expect(409).code(),
        "Directory_ConcurrencyViolation"
    );
    assert_eq!(lab.sim.faults_struck(), 9);
    lab.finish().await;
}

#[tokio::test]
async fn an_answer_is_held_until_the_faults_are_cleared() {
    let lab = Lab::new().await;
    for (phase, name) in [(FaultPhase::Before, "ann"), (FaultPhase::After, "bob")] {
        // Of a batch with one such request the whole answer is held.
        let one = json!({"id": "1", "method": "POST", "url": "/users", "body": user(&format!("{name}2")), "headers": {"Content-Type": "application/json"}});
        let batch = json!({ "requests": [one] });
        for (path, body) in [("/users", &user(name)), ("/$batch", &batch)] {
            lab.sim.fault(rule("POST", "/v1.0/users", phase, FaultAction::Hold));
            let (before, struck) = (users(&lab), lab.sim.faults_struck());
            let mut held = Box::pin(lab.raw("POST", path, &[], Some(body)));
            // Others are answered meanwhile, as often as they like.
            let others = async {
                while lab.sim.faults_struck() == struck {
                    lab.get("/users").await.expect(200);
                }
                for _ in 0..20 {
                    lab.get("/users").await.expect(200);
                }
            };
            tokio::select! {
                biased;
                answer = &mut held => panic!("not held: {}", answer.map_or_else(|e| e, |a| a.text)),
                () = others => {}
            }
            assert_eq!(users(&lab), before + 1, "it has its effect at once");
            lab.sim.clear_faults();
            assert!(held.await.unwrap().status < 300);
        }
    }
    // What nobody lets go ends with the simulator.
    lab.sim.fault(rule("GET", "/v1.0/users", FaultPhase::Before, FaultAction::Hold));
    let struck = lab.sim.faults_struck();
    let request = {
        let (address, token) = (lab.sim.address(), lab.token.clone());
        tokio::spawn(async move {
            let stream = tokio::net::TcpStream::connect(address).await.unwrap();
            let bearer = format!("Bearer {token}");
            let headers = [("authorization", bearer.as_str())];
            exchange(stream, &address.to_string(), "GET", "/v1.0/users", &headers, String::new()).await
        })
    };
    while lab.sim.faults_struck() == struck {
        tokio::task::yield_now().await;
    }
    lab.finish().await;
    assert!(request.await.unwrap().is_err());
}

#[tokio::test]
async fn a_page_comes_twice() {
    let lab = Lab::new().await;
    for n in 0..4 {
        lab.user(&format!("u{n}")).await;
    }
    lab.sim.fault(rule("GET", "/v1.0/users?", FaultPhase::Before, FaultAction::DuplicatePage));
    let (items, _) = lab.round("/users?$top=2").await;
    assert_eq!(items.len(), 6);
    lab.finish().await;
}

#[tokio::test]
async fn a_batch_is_cut_in_the_middle_or_throttled_in_part() {
    let lab = Lab::new().await;
    let batch = |names: &[&str]| {
        let requests: Vec<Value> = names
            .iter()
            .map(|n| json!({"id": n, "method": "POST", "url": "/users", "body": user(n), "headers": {"Content-Type": "application/json"}}))
            .collect();
        json!({ "requests": requests })
    };
    let throttle = FaultRule {
        body: Some("b@contoso.com".into()),
        ..rule("POST", "/v1.0/users", FaultPhase::Before, status(429, Some("7"), false))
    };
    lab.sim.fault(throttle);
    let answer = lab.post("/$batch", batch(&["a", "b", "c"])).await.expect(200);
    let find = |id: &str| {
        answer.body["responses"].as_array().unwrap().iter().find(|r| r["id"] == id).unwrap().clone()
    };
    assert_eq!(find("b")["status"], 429);
    assert_eq!(find("b")["headers"]["Retry-After"], "7");
    assert_eq!(find("c")["status"], 201);
    lab.sim.fault(FaultRule { nth: 2, ..rule("POST", "/v1.0/users", FaultPhase::After, FaultAction::Reset) });
    assert!(lab.raw("POST", "/$batch", &[], Some(&batch(&["d", "e", "f"]))).await.is_err());
    assert_eq!(users(&lab), 4, "a, c, d and e");
    lab.finish().await;
}

#[tokio::test]
async fn sticky_throttling_holds_until_its_time() {
    let lab = Lab::with(
        onesync_graphsim::GraphSim::builder().clock(onesync_graphsim::ClockMode::Fixed(1_700_000_000_000)),
    )
    .await;
    lab.sim.fault(rule("GET", "/users", FaultPhase::Before, status(429, Some("10"), true)));
    lab.get("/users").await.expect(429);
    let early = lab.get("/users").await.expect(429);
    assert_eq!(early.header("retry-after"), Some("10"));
    lab.get("/groups").await.expect(200);
    lab.sim.advance(Duration::from_secs(10));
    lab.get("/users").await.expect(200);
    lab.finish().await;
}

#[tokio::test]
async fn throttling_by_scale() {
    let lab = Lab::with(
        onesync_graphsim::GraphSim::builder().clock(onesync_graphsim::ClockMode::Fixed(1_700_000_000_000)),
    )
    .await;
    // 3,000 writes in 150 seconds times 0.001 are three.
    lab.sim.change_behaviours(|b| b.throttle_scale = 0.001);
    for name in ["a", "b", "c"] {
        lab.user(name).await;
    }
    let refused = lab.post("/users", user("d")).await.expect(429);
    assert_eq!(refused.header("x-ms-throttle-information"), Some("WriteLimitExceeded"));
    let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    lab.sim.advance(Duration::from_secs(wait));
    lab.user("d").await;
    lab.finish().await;
}

#[tokio::test]
async fn random_faults_strike_the_same_way_with_one_seed() {
    let mut runs = Vec::new();
    for _ in 0..2 {
        let lab = Lab::new().await;
        lab.sim.random_faults(Some(RandomFaults { seed: 9, per_mille: 400, ..RandomFaults::default() }));
        let mut run = Vec::new();
        for n in 0..30 {
            let answer = lab.raw("POST", "/users", &[], Some(&user(&format!("u{n}")))).await;
            run.push(answer.map(|a| a.status).ok());
        }
        lab.sim.clear_faults();
        runs.push((run, users(&lab)));
        lab.finish().await;
    }
    assert_eq!(runs[0], runs[1]);
    assert!(runs[0].0.iter().any(|s| *s != Some(201)));
}

#[tokio::test]
async fn the_control_plane_does_it_all_over_http() {
    let lab = Lab::new().await;
    let control = |method: &'static str, name: &'static str, body: Value| {
        let lab = &lab;
        async move {
            let text = if body.is_null() { String::new() } else { body.to_string() };
            lab.send(method, &format!("/_sim/{name}"), &[], text).await.unwrap()
        }
    };
    let made = control(
        "POST",
        "seed",
        json!({"users": [{"userPrincipalName": "a@contoso.com", "displayName": "A"}]}),
    )
    .await
    .expect(200);
    assert_eq!(made.body.as_array().unwrap().len(), 1);
    control("POST", "seed", json!({"users": [{"nonsense": 1}]})).await.expect(400);
    control("POST", "seed", json!({"groups": [{"displayName": "g", "members": ["nobody"]}]}))
        .await
        .expect(400);
    let snapshot = control("GET", "snapshot", Value::Null).await.expect(200).body;
    lab.delete("/users/a@contoso.com").await.expect(204);
    assert_eq!(users(&lab), 0);
    control("POST", "restore", snapshot).await.expect(200);
    assert_eq!(users(&lab), 1);
    control(
        "POST",
        "faults",
        json!({"method": "GET", "path": "/users", "action": {"kind": "status", "status": 503}}),
    )
    .await
    .expect(200);
    lab.get("/users").await.expect(503);
    assert_eq!(control("GET", "faults", Value::Null).await.body[0][1], 1);
    control("PUT", "faults/random", json!({"seed": 1, "perMille": 0})).await.expect(200);
    control("DELETE", "faults", Value::Null).await.expect(200);
    let before = lab.sim.now_ms();
    control("POST", "clock/advance", json!({"seconds": 60})).await.expect(200);
    assert!(lab.sim.now_ms() >= before + 60_000);
    let mut behaviours = control("GET", "behaviours", Value::Null).await.expect(200).body;
    behaviours["groupUpsert"] = json!(false);
    control("PUT", "behaviours", behaviours).await.expect(200);
    let tenant = control("GET", "tenant", Value::Null).await.expect(200).body;
    control("PUT", "tenant", tenant).await.expect(200);
    control("POST", "delta/expire", Value::Null).await.expect(200);
    let log = control("GET", "log?after=1", Value::Null).await.expect(200).body;
    assert_eq!(log[0]["method"], "DELETE");
    assert_eq!(log[0]["clientRequestId"], "c0ffee");
    let statistics = control("GET", "statistics", Value::Null).await.expect(200).body;
    assert_eq!(statistics["requests"]["DELETE /v1.0/users/{id}"]["requests"], 1);
    assert_eq!(lab.sim.writes(0).len(), 1, "one change with an effect");
    control("GET", "dump", Value::Null).await.expect(200);
    control("GET", "nonsense", Value::Null).await.expect(404);
    lab.finish().await;
}
