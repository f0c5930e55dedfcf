//! Joins: who holds a place keeps it, newcomers with one key are all refused.

use onesync_graphsim::{DEFAULT_CLIENT_ID, DEFAULT_CLIENT_SECRET, DEFAULT_TENANT_ID};
use onesync_service::CycleKind;

use crate::world::{World, person};

#[tokio::test(flavor = "multi_thread")]
async fn a_newcomer_does_not_take_the_place_of_an_established_join() {
    let mut world = World::new((1..=10).map(|n| person(n, &format!("Person {n}"))).collect()).await;
    let mut twin = person(77, "Twin");
    twin.sid = 3;
    world.people.push(twin);
    let (_, writes) = world.step().await;
    assert_eq!(writes, Vec::<String>::new());
    let errors = world.errors();
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert_eq!(errors[0].0, "place-taken");
    assert!(
        errors[0].1.contains("Twin") && errors[0].1.contains("Person 3"),
        "both are named: {}",
        errors[0].1
    );

    // The holder goes: the one who waits is judged again, without anything of its own having changed.
    world.people.retain(|p| p.number != 3);
    world.groups[0].1.retain(|n| *n != 3);
    world.step().await;
    world.clock.advance_seconds(31 * 86_400);
    world.step().await;
    world.step().await;
    assert_eq!(world.errors(), []);
    assert_eq!(world.cloud_users().await, 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn newcomers_with_one_join_key_are_all_refused_until_one_of_them_goes() {
    let mut world = World::new((1..=10).map(|n| person(n, &format!("Person {n}"))).collect()).await;
    let (a, mut b) = (person(50, "First"), person(51, "Second"));
    b.sid = a.sid;
    world.people.extend([a, b]);
    let (_, writes) = world.step().await;
    assert_eq!(writes, Vec::<String>::new());
    let codes: Vec<String> = world.errors().into_iter().map(|(code, _)| code).collect();
    assert_eq!(codes, ["duplicate-join-key", "duplicate-join-key"]);
    world.people.retain(|p| p.number != 51);
    let (_, writes) = world.step().await;
    assert_eq!(writes, ["POST /v1.0/users"]);
    assert_eq!(world.errors(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_without_a_sign_in_name_gets_one_in_the_domain_it_lies_in() {
    let mut world = World::staging((1..=3).map(|n| person(n, &format!("Person {n}"))).collect()).await;
    let text = std::fs::read_to_string(world.ldif()).unwrap();
    let without = text.replace("userPrincipalName: u3@contoso.com\n", "");
    assert_ne!(text, without);
    std::fs::write(world.ldif(), without).unwrap();
    world.go_live().await;
    assert_eq!(world.errors(), []);
    let runtime = world.service.runtime().unwrap();
    let cloud = runtime.connector("entra").unwrap();
    let found = world.service.search_cs(&runtime, cloud, "u3@contoso.com", 10).unwrap();
    assert_eq!(found.len(), 1, "no domain is configured: it is read off the name");
}

/// An administrator sends a request to the cloud by hand.
async fn by_hand(world: &World, request: &str, token: &str, body: &str) -> String {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut stream = tokio::net::TcpStream::connect(world.sim.address()).await.unwrap();
    let head = format!(
        "{request} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(body.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_deleted_by_hand_is_wanted_again_by_a_full_sync_as_by_a_delta() {
    for kind in [CycleKind::Delta, CycleKind::Initial] {
        let world = World::new((1..=12).map(|n| person(n, &format!("Person {n}"))).collect()).await;
        world.step().await;
        let form = format!(
            "client_id={DEFAULT_CLIENT_ID}&client_secret={DEFAULT_CLIENT_SECRET}&grant_type=client_credentials\
             &scope=https%3A%2F%2Fgraph.microsoft.com%2F.default"
        );
        let sign_in = format!("POST /{DEFAULT_TENANT_ID}/oauth2/v2.0/token");
        let answer = by_hand(&world, &sign_in, "", &form).await;
        let token = answer.split("\"access_token\":\"").nth(1).and_then(|rest| rest.split('"').next());
        let id = world.cloud_user("u3@contoso.com")["id"].as_str().unwrap().to_owned();
        let answer = by_hand(&world, &format!("DELETE /v1.0/users/{id}"), token.unwrap(), "").await;
        assert!(answer.starts_with("HTTP/1.1 204"), "{answer}");
        assert_eq!(world.cloud_accounts().len(), 11);
        world.cycle(kind).await;
        // The simulated recycle bin keeps the old one's key, so that the new one is refused; but it is wanted again.
        let runtime = world.service.runtime().unwrap();
        let pending = world.service.pending(&runtime, runtime.connector("entra").unwrap(), 10).unwrap();
        assert!(pending.iter().any(|row| row.operation == "add"), "{kind:?}: {pending:?}");
    }
}
