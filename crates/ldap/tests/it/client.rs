//! What the client does with a server that keeps to the protocol.

use std::time::Duration;

use bytes::Bytes;
use onesync_ldap::control::{DirSync, PagedResults, SHOW_DELETED};
use onesync_ldap::message::{
    Authentication, ExtendedResponse, ModifyDnRequest, NOTICE_OF_DISCONNECTION, WHO_AM_I,
};
use onesync_ldap::{
    Change, ChangeKind, Client, Control, Credentials, Entry, ErrorClass, Filter, LdapError, LdapResult, Op,
    RangeFetch, Ranged, ResultCode, Scope, SearchItem, SearchRequest, Session, TypedControl, ranged_values,
};

use crate::fake::{Peer, entry, serve};

fn all_users() -> SearchRequest {
    let filter: Filter = "(objectClass=user)".parse().expect("a filter");
    SearchRequest::new("DC=example,DC=test", Scope::Subtree, filter).attributes(["cn"])
}

#[tokio::test]
async fn a_search_gives_entries_references_and_its_end() {
    let (options, _server) = serve(|_, mut peer| async move {
        let request = peer.expect().await;
        let Op::SearchRequest(search) = request.op else { panic!("a search was due") };
        assert_eq!(search.base, "DC=example,DC=test");
        assert_eq!(search.attributes, ["cn"]);
        assert_eq!(search.controls, [Control::flag(SHOW_DELETED)]);
        peer.entry(request.id, 1).await;
        peer.send(request.id, Op::SearchReference(vec!["ldap://other/DC=x".into()])).await;
        peer.entry(request.id, 2).await;
        peer.done(request.id, ResultCode::Success).await;
        peer.until_closed().await;
    })
    .await;
    let mut client = Client::connect(&options).await.expect("connected");
    let mut stream = client.search(all_users().control(Control::flag(SHOW_DELETED))).await.expect("sent");
    let mut names = Vec::new();
    let mut references = Vec::new();
    while let Some(item) = stream.next().await.expect("a good search") {
        match item {
            SearchItem::Entry(entry) => names.push(entry.first_text("CN").expect("a name").to_owned()),
            SearchItem::Reference(urls) => references.extend(urls),
            SearchItem::Intermediate { .. } => panic!("none was sent"),
        }
    }
    assert_eq!(names, ["user1", "user2"]);
    assert_eq!(references, ["ldap://other/DC=x"]);
    assert!(stream.finish().await.expect("a good end").result.is_success());
    client.unbind().await.expect("a good end");
}

fn user(item: Option<SearchItem>) -> Entry {
    match item {
        Some(SearchItem::Entry(entry)) => entry,
        other => panic!("an entry was due, not {other:?}"),
    }
}

#[tokio::test]
async fn a_refused_search_is_an_error_of_its_class() {
    let (options, _server) = serve(|_, mut peer| async move {
        while let Some(request) = peer.request().await {
            let result = LdapResult {
                code: ResultCode::NoSuchObject,
                matched_dn: "DC=test".into(),
                message: "0000208D: NameErr".into(),
                referrals: vec![],
            };
            peer.send(request.id, Op::SearchDone(result)).await;
        }
    })
    .await;
    let mut client = Client::connect(&options).await.expect("connected");
    for _ in 0..2 {
        let mut stream = client.search(all_users()).await.expect("sent");
        let error = stream.next().await.expect_err("refused");
        assert_eq!(error.class(), ErrorClass::NoSuchObject);
        let text = error.to_string();
        for part in [options.server().as_str(), "DC=example,DC=test", "0000208D", "DC=test"] {
            assert!(text.contains(part), "{text}");
        }
        assert_eq!(stream.done().map(|done| done.result.code), Some(ResultCode::NoSuchObject));
        assert!(stream.next().await.expect("the end stays the end").is_none());
    }
}

#[tokio::test]
async fn bind_sends_the_password_only_when_allowed() {
    let (mut options, _server) = serve(|_, mut peer| async move {
        while let Some(request) = peer.request().await {
            let Op::BindRequest(bind) = request.op else { panic!("a bind was due") };
            let text =
                "80090308: LdapErr: DSID-0C0903A9, comment: AcceptSecurityContext error, data 775, v1db1";
            let result = match bind.auth {
                Authentication::Simple(password) if password == "right" => {
                    LdapResult::new(ResultCode::Success)
                }
                Authentication::Sasl(name, _) if name == "EXTERNAL" => LdapResult::new(ResultCode::Success),
                _ => LdapResult::with_message(ResultCode::InvalidCredentials, text),
            };
            peer.send(request.id, Op::BindResponse(result, None)).await;
        }
    })
    .await;
    let mut client = Client::connect(&options).await.expect("connected");
    let error = client.simple_bind("cn=a", b"right").await.expect_err("unencrypted");
    assert!(matches!(error, LdapError::PlaintextPassword { .. }), "{error}");
    assert_eq!(error.class(), ErrorClass::Config);
    client.external_bind(Some("dn:cn=a")).await.expect("no password in it");

    options.allow_plaintext_password = true;
    let mut client = Client::connect(&options).await.expect("connected");
    client.simple_bind("cn=a", b"right").await.expect("allowed");
    let error = client.simple_bind("cn=a", b"wrong").await.expect_err("refused");
    assert_eq!(error.class(), ErrorClass::Authentication);
    assert!(error.to_string().contains("the account is locked out"), "{error}");
    let error = client.simple_bind("cn=a", b"").await.expect_err("empty");
    assert_eq!(error.class(), ErrorClass::Config, "an empty password must not become an anonymous bind");
}

#[tokio::test]
async fn operations_with_one_answer() {
    let (options, _server) = serve(|_, mut peer| async move {
        while let Some(request) = peer.request().await {
            let ok = LdapResult::new(ResultCode::Success);
            let answer = match request.op {
                Op::AddRequest(entry) => {
                    assert_eq!(entry.first_text("cn"), Some("user1"));
                    Op::AddResponse(ok)
                }
                Op::ModifyRequest(modify) => {
                    assert_eq!(modify.changes.len(), 1);
                    Op::ModifyResponse(ok)
                }
                Op::DeleteRequest(dn) if dn == "cn=busy" => {
                    Op::DeleteResponse(LdapResult::new(ResultCode::Busy))
                }
                Op::DeleteRequest(_) => Op::DeleteResponse(ok),
                Op::ModifyDnRequest(rename) => {
                    assert_eq!(rename.new_superior.as_deref(), Some("ou=new"));
                    Op::ModifyDnResponse(ok)
                }
                Op::CompareRequest(_, _, value) => Op::CompareResponse(LdapResult::new(if value == "x" {
                    ResultCode::CompareTrue
                } else {
                    ResultCode::CompareFalse
                })),
                Op::ExtendedRequest(extended) => Op::ExtendedResponse(ExtendedResponse {
                    result: ok,
                    name: Some(extended.name),
                    value: Some(Bytes::from_static(b"u:ana")),
                }),
                other => panic!("unexpected {}", other.name()),
            };
            peer.send(request.id, answer).await;
        }
    })
    .await;
    let mut client = Client::connect(&options).await.expect("connected");
    client.add(entry(1), vec![]).await.expect("added");
    let change =
        Change { kind: ChangeKind::Replace, attribute: "sn".into(), values: vec![Bytes::from_static(b"x")] };
    client.modify("cn=a", vec![change], vec![]).await.expect("changed");
    client.delete("cn=a", vec![]).await.expect("deleted");
    let busy = client.delete("cn=busy", vec![]).await.expect_err("busy");
    assert_eq!(busy.class(), ErrorClass::Busy);
    let rename = ModifyDnRequest {
        dn: "cn=a".into(),
        new_rdn: "cn=b".into(),
        delete_old_rdn: true,
        new_superior: Some("ou=new".into()),
    };
    client.modify_dn(rename, vec![]).await.expect("renamed");
    assert!(client.compare("cn=a", "sn", b"x").await.expect("compared"));
    assert!(!client.compare("cn=a", "sn", b"y").await.expect("compared"));
    let who = client.extended(WHO_AM_I, None).await.expect("answered");
    assert_eq!(who.value.as_deref(), Some(&b"u:ana"[..]));
}

#[tokio::test]
async fn a_dropped_search_is_abandoned_and_its_late_entries_passed_over() {
    let (options, _server) = serve(|_, mut peer| async move {
        let search = peer.expect().await;
        peer.entry(search.id, 1).await;
        peer.entry(search.id, 2).await;
        let abandon = peer.expect().await;
        assert_eq!(abandon.op, Op::AbandonRequest(search.id));
        peer.entry(search.id, 3).await;
        let next = peer.expect().await;
        peer.entry(search.id, 4).await;
        peer.entry(next.id, 10).await;
        peer.done(next.id, ResultCode::Success).await;
        peer.until_closed().await;
    })
    .await;
    let mut client = Client::connect(&options).await.expect("connected");
    let mut stream = client.search(all_users()).await.expect("sent");
    user(stream.next().await.expect("an entry"));
    drop(stream);
    let found = client.search_one(all_users()).await.expect("answered").expect("an entry");
    assert_eq!(found.first_text("cn"), Some("user10"));
}

#[tokio::test]
async fn a_dropped_future_loses_nothing() {
    let (options, _server) = serve(|_, mut peer| async move {
        let search = peer.expect().await;
        let frame =
            onesync_ldap::Message::new(search.id, Op::SearchEntry(entry(1))).encode().expect("encodable");
        let (head, tail) = frame.split_at(9);
        peer.raw(head).await;
        // the rest comes when the client has given up waiting once
        assert!(matches!(peer.expect().await.op, Op::AbandonRequest(_)));
        let other = peer.expect().await;
        peer.raw(tail).await;
        peer.entry(other.id, 2).await;
        peer.done(other.id, ResultCode::Success).await;
        peer.until_closed().await;
    })
    .await;
    let mut client = Client::connect(&options).await.expect("connected");
    let mut stream = client.search(all_users()).await.expect("sent");
    let waited = tokio::time::timeout(Duration::from_millis(50), stream.next()).await;
    assert!(waited.is_err(), "half an entry is none");
    drop(stream);
    let found = client.search_one(all_users()).await.expect("answered").expect("an entry");
    assert_eq!(found.first_text("cn"), Some("user2"));
}

/// Answers searches in pages out of `total` entries.
async fn paging(peer: &mut Peer, total: usize) {
    while let Some(request) = peer.request().await {
        let Op::SearchRequest(search) = request.op else { panic!("a search was due") };
        let page = PagedResults::find(&search.controls).expect("well-formed").expect("a page");
        let start: usize = std::str::from_utf8(&page.cookie).expect("our mark").parse().unwrap_or(0);
        let end = total.min(start + page.size as usize);
        for number in start..end {
            peer.entry(request.id, number).await;
        }
        let cookie = if end < total { Bytes::from(end.to_string()) } else { Bytes::new() };
        let mark = PagedResults { size: 0, cookie }.to_control();
        peer.send_with(request.id, Op::SearchDone(LdapResult::new(ResultCode::Success)), vec![mark]).await;
    }
}

#[tokio::test]
async fn pages_become_one_stream() {
    let (options, _server) = serve(|_, mut peer| async move { paging(&mut peer, 25).await }).await;
    let mut client = Client::connect(&options).await.expect("connected");
    for (page_size, pages) in [(10, 3), (25, 1), (5, 5), (100, 1)] {
        let mut stream = client.search_paged(all_users(), page_size).await.expect("sent");
        let mut seen = 0;
        while let Some(item) = stream.next().await.expect("a good search") {
            assert_eq!(user(Some(item)).first_text("cn"), Some(format!("user{seen}").as_str()));
            seen += 1;
        }
        assert_eq!((seen, stream.pages()), (25, pages));
    }
}

#[tokio::test]
async fn a_server_that_gives_empty_pages_for_ever_is_left() {
    let (options, _server) = serve(|_, mut peer| async move {
        while let Some(request) = peer.request().await {
            let mark = PagedResults { size: 0, cookie: Bytes::from_static(b"again") }.to_control();
            peer.send_with(request.id, Op::SearchDone(LdapResult::new(ResultCode::Success)), vec![mark])
                .await;
        }
    })
    .await;
    let mut client = Client::connect(&options).await.expect("connected");
    let mut stream = client.search_paged(all_users(), 10).await.expect("sent");
    let error = stream.next().await.expect_err("no end in sight");
    assert_eq!(error.class(), ErrorClass::Protocol, "{error}");
}

#[tokio::test]
async fn a_page_that_fails_halfway_is_an_error() {
    let (options, _server) = serve(|_, mut peer| async move {
        let request = peer.expect().await;
        peer.entry(request.id, 1).await;
        peer.done(request.id, ResultCode::Busy).await;
        peer.until_closed().await;
    })
    .await;
    let mut client = Client::connect(&options).await.expect("connected");
    let mut stream = client.search_paged(all_users(), 10).await.expect("sent");
    user(stream.next().await.expect("the first"));
    assert_eq!(stream.next().await.expect_err("failed").class(), ErrorClass::Busy);
}

#[tokio::test]
async fn controls_of_the_end_reach_the_caller() {
    let (options, _server) = serve(|_, mut peer| async move {
        let request = peer.expect().await;
        let Op::SearchRequest(search) = request.op else { panic!("a search was due") };
        let asked = DirSync::find(&search.controls).expect("well-formed").expect("DirSync");
        assert_eq!(asked.flags, DirSync::INCREMENTAL_VALUES);
        let mark = DirSync { flags: 1, bytes_max: 0, cookie: Bytes::from_static(b"MSDS") }.to_control();
        peer.send_with(request.id, Op::SearchDone(LdapResult::new(ResultCode::Success)), vec![mark]).await;
        peer.until_closed().await;
    })
    .await;
    let mut client = Client::connect(&options).await.expect("connected");
    let wanted = DirSync { flags: DirSync::INCREMENTAL_VALUES, ..Default::default() };
    let stream = client.search(all_users().control(wanted.to_control())).await.expect("sent");
    let done = stream.finish().await.expect("a good end");
    let mark = DirSync::find(&done.controls).expect("well-formed").expect("a mark");
    assert!(mark.has_more());
    assert_eq!(mark.cookie, "MSDS");
}

/// Answers range requests as Active Directory does, `step` values at a time.
async fn ranging(peer: &mut Peer, total: usize, step: usize, says_end: bool) {
    while let Some(request) = peer.request().await {
        let Op::SearchRequest(search) = request.op else { panic!("a search was due") };
        let wanted = search.attributes.first().cloned().unwrap_or_default();
        let (_, range) = onesync_ldap::RangeOption::parse(&wanted);
        if range.is_some() {
            assert_eq!(search.base, "<GUID=00112233445566778899aabbccddeeff>");
        }
        let start = range.map_or(0, |range| range.start as usize);
        let end = total.min(start + step);
        let values: Vec<String> = (start..end).map(|number| format!("CN=m{number}")).collect();
        let last = if end == total && says_end { "*".to_owned() } else { (end.max(1) - 1).to_string() };
        let mut attributes = vec![("member".to_owned(), vec![])];
        if start < total {
            attributes.push((format!("Member;Range={start}-{last}"), values));
        }
        peer.send(request.id, Op::SearchEntry(Entry::build("CN=g", attributes))).await;
        peer.done(request.id, ResultCode::Success).await;
    }
}

const GUID: [u8; 16] =
    [0, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff];

#[tokio::test]
async fn ranges_are_fetched_to_the_star() {
    for (total, says_end) in [(4000, true), (3000, true), (4000, false)] {
        let (options, _server) =
            serve(move |_, mut peer| async move { ranging(&mut peer, total, 1500, says_end).await }).await;
        let mut client = Client::connect(&options).await.expect("connected");
        let group = client.search_one(all_users()).await.expect("answered").expect("a group");
        let Ranged::Incomplete { mut values, next } = ranged_values(&group, "member") else {
            panic!("the first range is not all")
        };
        assert_eq!((values.len(), next), (1500, 1500));
        let mut fetch = RangeFetch::new(&GUID, "member", next);
        while let Some(more) = fetch.next(&mut client).await.expect("a range") {
            values.extend(more);
        }
        assert_eq!(fetch.is_complete(), says_end, "without a star nothing is known");
        let expected: Vec<String> = (0..total).map(|number| format!("CN=m{number}")).collect();
        assert_eq!(values, expected);
    }
}

#[tokio::test]
async fn a_server_that_repeats_the_first_range_is_left() {
    let (options, _server) = serve(|_, mut peer| async move {
        while let Some(request) = peer.request().await {
            let first = Entry::build("CN=g", [("member;range=0-1", vec!["a", "b"])]);
            peer.send(request.id, Op::SearchEntry(first)).await;
            peer.done(request.id, ResultCode::Success).await;
        }
    })
    .await;
    let mut client = Client::connect(&options).await.expect("connected");
    let mut fetch = RangeFetch::new(&GUID, "member", 2);
    let error = fetch.next(&mut client).await.expect_err("the wrong range");
    assert_eq!(error.class(), ErrorClass::Protocol, "{error}");
    assert!(!fetch.is_complete());
}

#[tokio::test]
async fn notices_of_disconnection_in_both_forms() {
    for inside in [true, false] {
        let (options, _server) = serve(move |_, mut peer| async move {
            peer.expect().await;
            let name = Some(NOTICE_OF_DISCONNECTION.to_owned());
            let result = LdapResult::with_message(ResultCode::Unavailable, "shutting down");
            let response = ExtendedResponse { result, name: name.filter(|_| inside), value: None };
            let frame =
                onesync_ldap::Message::new(0, Op::ExtendedResponse(response)).encode().expect("encodable");
            let mut bytes = frame.to_vec();
            if !inside {
                // as Active Directory does: the name stands behind the response
                let name = NOTICE_OF_DISCONNECTION.as_bytes();
                bytes.extend([0x8a, name.len() as u8]);
                bytes.extend(name);
                bytes[1] += 2 + name.len() as u8;
            }
            peer.raw(&bytes).await;
            peer.until_closed().await;
        })
        .await;
        let mut client = Client::connect(&options).await.expect("connected");
        let error = client.compare("cn=a", "sn", b"x").await.expect_err("disconnected");
        assert!(matches!(error, LdapError::Disconnected { .. }), "{error}");
        assert!(error.to_string().contains("shutting down"), "{error}");
        assert_eq!(error.class(), ErrorClass::Transient);
        assert!(!client.is_usable());
    }
}

#[tokio::test]
async fn a_session_binds_again_after_the_connection_was_lost() {
    let (mut options, _server) = serve(|number, mut peer| async move {
        let bind = peer.expect().await;
        if number == 1 {
            // the second connection is cut before its bind is answered
            return;
        }
        peer.send(bind.id, Op::BindResponse(LdapResult::new(ResultCode::Success), None)).await;
        let compare = peer.expect().await;
        peer.send(compare.id, Op::CompareResponse(LdapResult::new(ResultCode::CompareTrue))).await;
    })
    .await;
    options.allow_plaintext_password = true;
    let credentials = Credentials::simple("cn=a", "secret");
    assert!(!format!("{credentials:?}").contains("secret"));
    let mut session = Session::new(options, credentials).pause_first(Duration::from_millis(1));
    for _ in 0..2 {
        let client = session.client().await.expect("connected and bound");
        assert!(client.compare("cn=a", "sn", b"x").await.expect("compared"));
        // wait until the server's end of this connection is seen here
        client.compare("cn=a", "sn", b"x").await.expect_err("closed by the script");
    }
}

#[tokio::test]
async fn a_session_does_not_try_a_wrong_password_again() {
    let (binds, mut seen) = tokio::sync::mpsc::unbounded_channel();
    let (mut options, _server) = serve(move |_, mut peer| {
        let binds = binds.clone();
        async move {
            let bind = peer.expect().await;
            binds.send(()).expect("the test listens");
            let result = LdapResult::new(ResultCode::InvalidCredentials);
            peer.send(bind.id, Op::BindResponse(result, None)).await;
        }
    })
    .await;
    options.allow_plaintext_password = true;
    let mut session = Session::new(options, Credentials::simple("cn=a", "wrong"));
    let error = session.client().await.expect_err("refused");
    assert_eq!(error.class(), ErrorClass::Authentication);
    assert!(seen.recv().await.is_some());
    assert!(seen.try_recv().is_err(), "repeating it would lock the account");
}
