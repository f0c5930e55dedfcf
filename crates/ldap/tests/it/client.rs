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
