//! Trouble on the way: throttling, broken connections, gateways, half answers.

use onesync_connectors::{Connector, CreateKey, ErrorClass, ExportOutcome, ImportMode};
use onesync_graphsim::{FaultAction, FaultPhase, FaultRule, RandomFaults};
use serde_json::json;

use super::lab::{Lab, created, done};

fn rule(method: &str, path: &str, phase: FaultPhase, action: FaultAction) -> FaultRule {
    FaultRule { method: Some(method.into()), path: Some(path.into()), phase, action, ..FaultRule::default() }
}

fn status(status: u16, retry_after: Option<&str>) -> FaultAction {
    FaultAction::Status {
        status,
        code: None,
        message: None,
        retry_after: retry_after.map(str::to_owned),
        sticky: false,
    }
}

#[tokio::test]
async fn a_throttled_item_of_a_batch_is_sent_again_alone() {
    let lab = Lab::new().await;
    lab.sim.fault(FaultRule {
        nth: 3,
        times: 2,
        ..rule("POST", "/v1.0/users", FaultPhase::Before, status(429, Some("0.05")))
    });
    let mark = lab.sim.log_mark();
    let results = lab.export((0..8).map(|n| lab.user(&format!("u{n}"))).collect()).await;
    results.iter().for_each(done);
    assert_eq!(lab.writes(mark).len(), 8);
    assert_eq!(lab.sim.faults_struck(), 2);
    lab.finish().await;
}

#[tokio::test]
async fn a_lost_answer_to_a_create_is_unknown_and_found_by_its_key() {
    for phase in [FaultPhase::Before, FaultPhase::After] {
        for action in [FaultAction::Reset, FaultAction::Truncate, FaultAction::CutJson, status(504, None)] {
            let lab = Lab::new().await;
            let update = lab.create(lab.user("there")).await;
            let what = format!("{phase:?} {action:?}");
            lab.sim.fault(rule("POST", "/v1.0/users", phase, action));
            let items = vec![lab.user("anna"), lab.update("user", &update, json!({"city": "Ulm"}))];
            let results = lab.export(items).await;
            assert!(matches!(results[0].outcome, ExportOutcome::Unknown(_)), "{what}: {:?}", results[0]);
            done(&results[1]);
            let key =
                CreateKey { object_type: lab.names.find_type("user").unwrap(), key: "key-anna==".into() };
            let found = lab.graph.find_created(&[key]).await.unwrap();
            let users = lab.sim.dump()["users"].as_array().unwrap().len();
            assert_eq!(found[0].is_some(), users == 2, "{what}");
            lab.sim.clear_faults();
            if found[0].is_none() {
                created(&lab.export(vec![lab.user("anna")]).await[0]);
            }
            assert_eq!(lab.sim.dump()["users"].as_array().unwrap().len(), 2, "{what}");
            lab.sim.shutdown().await.unwrap();
        }
    }
}

#[tokio::test]
async fn what_may_be_repeated_is_repeated_until_it_is_done() {
    for action in
        [FaultAction::Reset, FaultAction::CutJson, FaultAction::Html { status: 502 }, status(503, None)]
    {
        for phase in [FaultPhase::Before, FaultPhase::After] {
            let lab = Lab::new().await;
            let user = lab.create(lab.user("anna")).await;
            let team = lab.create(lab.group("team")).await;
            lab.sim.fault(FaultRule { times: 2, ..rule("PATCH", "/v1.0/", phase, action.clone()) });
            let results = lab
                .export(vec![
                    lab.update("user", &user, json!({"city": "Ulm"})),
                    lab.link("group", &team, "members", &[&user], &[]),
                    lab.group("other"),
                ])
                .await;
            for result in &results {
                done(result);
            }
            assert_eq!(lab.object("users", &user)["city"], "Ulm");
            let groups = lab.sim.dump()["groups"].as_array().unwrap().len();
            assert_eq!(groups, 3, "the marker, and each group once");
            lab.sim.shutdown().await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_long_wait_is_handed_on() {
    let lab = Lab::new().await;
    lab.seed(json!([{"userPrincipalName": "a@contoso.com", "displayName": "A"}]), json!([]));
    lab.sim.fault(FaultRule {
        times: 0,
        ..rule("GET", "/users/delta", FaultPhase::Before, status(429, Some("600")))
    });
    let (_, end) = lab.pages(ImportMode::Full { resume: None }, 10).await;
    match end.unwrap_err().class {
        ErrorClass::Throttled(Some(wait)) => assert_eq!(wait.as_secs(), 600),
        other => panic!("{other:?}"),
    }
    lab.sim.shutdown().await.unwrap();
}

#[tokio::test]
async fn an_import_survives_trouble_and_reads_the_same() {
    let lab = Lab::behaving(|b| b.delta_page = 3).await;
    let users: serde_json::Value = (0..10)
        .map(|n| json!({"userPrincipalName": format!("u{n}@contoso.com"), "displayName": "U"}))
        .collect();
    lab.seed(users, json!([{"displayName": "Team", "members": ["u1@contoso.com", "u2@contoso.com"]}]));
    let (calm, _) = lab.full().await;
    for action in [
        FaultAction::Reset,
        FaultAction::Truncate,
        FaultAction::CutJson,
        FaultAction::Html { status: 503 },
        FaultAction::SlowBody { delay_ms: 1 },
        FaultAction::DuplicatePage,
        status(429, Some("0.01")),
        status(500, None),
    ] {
        let what = format!("{action:?}");
        lab.sim.fault(FaultRule { nth: 2, times: 2, ..rule("GET", "/delta", FaultPhase::Before, action) });
        let (space, _) = lab.full().await;
        assert_eq!(space.objects, calm.objects, "{what}");
        assert!(lab.sim.faults_struck() > 0);
        lab.sim.clear_faults();
    }
    lab.sim.shutdown().await.unwrap();
}

#[tokio::test]
async fn endless_trouble_ends_as_transient() {
    let lab = Lab::new().await;
    lab.sim.fault(FaultRule { times: 0, ..rule("GET", "/delta", FaultPhase::Before, status(503, None)) });
    let (pages, end) = lab.pages(ImportMode::Full { resume: None }, 10).await;
    assert!(pages.is_empty());
    assert_eq!(end.unwrap_err().class, ErrorClass::Transient);
    lab.sim.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_refused_token_is_replaced_once() {
    let lab = Lab::new().await;
    lab.seed(json!([{"userPrincipalName": "a@contoso.com", "displayName": "A"}]), json!([]));
    lab.full().await;
    lab.sim.advance(std::time::Duration::from_secs(3 * 3600));
    let mark = lab.sim.log_mark();
    let (space, _) = lab.full().await;
    assert_eq!(space.objects.len(), 1);
    let tokens = lab.sim.log(mark).iter().filter(|e| e.path.ends_with("/token")).count();
    assert_eq!(tokens, 1);
    lab.finish().await;
}

#[tokio::test]
async fn under_random_trouble_nothing_is_created_twice_and_everything_arrives() {
    for seed in 0..6 {
        let lab = Lab::new().await;
        let names: Vec<String> = (0..30).map(|n| format!("u{n}")).collect();
        lab.sim.random_faults(Some(RandomFaults {
            seed,
            per_mille: 150,
            max: 60,
            ..RandomFaults::default()
        }));
        let mut open: Vec<(String, &str)> = names.iter().map(|n| (n.clone(), "user")).collect();
        open.extend(["a", "b", "c"].map(|n| (n.to_owned(), "group")));
        for round in 0.. {
            assert!(round < 40, "seed {seed}: it does not end");
            let item = |name: &str, kind: &str| if kind == "user" { lab.user(name) } else { lab.group(name) };
            let items: Vec<_> = open.iter().map(|(name, kind)| item(name, kind)).collect();
            let Ok(results) = lab.try_export(items.clone()).await else { continue };
            let mut rest = Vec::new();
            for ((work, item), result) in open.into_iter().zip(&items).zip(results) {
                let done = match result.outcome {
                    ExportOutcome::Done { .. } => true,
                    ExportOutcome::Unknown(_) => {
                        let key = CreateKey {
                            object_type: item.object_type,
                            key: item.create_key.clone().unwrap_or_default(),
                        };
                        loop {
                            if let Ok(found) = lab.graph.find_created(std::slice::from_ref(&key)).await {
                                break found[0].is_some();
                            }
                        }
                    }
                    ExportOutcome::Failed(error) => {
                        assert_ne!(error.class, ErrorClass::Object, "seed {seed}: {error}");
                        false
                    }
                    ExportOutcome::Gone => panic!("seed {seed}: gone"),
                };
                if !done {
                    rest.push(work);
                }
            }
            open = rest;
            if open.is_empty() {
                break;
            }
        }
        lab.sim.random_faults(None);
        let dump = lab.sim.dump();
        assert_eq!(dump["users"].as_array().unwrap().len(), names.len(), "seed {seed}");
        assert_eq!(dump["groups"].as_array().unwrap().len(), 4, "seed {seed}: three and the marker");
        let (space, _) = lab.full().await;
        assert_eq!(space.objects.len(), names.len() + 3);
        lab.sim.shutdown().await.unwrap();
    }
}
