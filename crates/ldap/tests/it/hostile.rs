//! What the client does with servers that are broken or mean harm: an error, in bounded time and memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use onesync_ldap::ber::{CodecError, Writer};
use onesync_ldap::message::SearchRequest;
use onesync_ldap::{Client, ConnectOptions, ErrorClass, LdapError, LdapResult, Message, Op, ResultCode};
use tokio::io::AsyncWriteExt;

use crate::fake::{Peer, entry, serve};

/// Sends `bytes` as the answer to the first request and waits for the client to leave.
async fn answer_with(bytes: Vec<u8>) -> (ConnectOptions, tokio::task::JoinHandle<()>) {
    serve(move |_, mut peer| {
        let bytes = bytes.clone();
        async move {
            peer.expect().await;
            // the client may leave before it has read everything
            let _ = peer.stream.write_all(&bytes).await;
            peer.until_closed().await;
        }
    })
    .await
}

/// Runs a search and gives the error in which it must end; the connection must be unusable afterwards.
async fn search_error(options: &ConnectOptions) -> LdapError {
    let mut client = Client::connect(options).await.expect("connected");
    let error = async {
        let mut stream = client.search(SearchRequest::entry("")).await?;
        while stream.next().await?.is_some() {}
        Ok::<_, LdapError>(())
    }
    .await
    .expect_err("the server is hostile");
    assert!(!client.is_usable(), "{error}");
    let again = client.compare("cn=a", "cn", b"a").await.expect_err("the connection is given up");
    assert!(matches!(again, LdapError::Lost { .. }), "{again}");
    error
}

#[tokio::test]
async fn a_hundred_thousand_nested_sequences() {
    // nested around, inside of, and behind the operation
    let mut nested = Vec::new();
    for _ in 0..100_000 {
        let mut outer = vec![0x30, 0x84];
        outer.extend((nested.len() as u32).to_be_bytes());
        nested.splice(0..0, outer);
    }
    let inside = |tag: u8| {
        let mut writer = Writer::new();
        writer.constructed(0x30, |w| {
            w.integer(1);
            w.constructed(tag, |w| w.raw(&nested));
        });
        writer.into_bytes()
    };
    for bytes in [nested.clone(), inside(0x64), inside(0x65), inside(0x63), inside(0x7f)] {
        let (options, _server) = answer_with(bytes).await;
        let error = search_error(&options).await;
        assert_eq!(error.class(), ErrorClass::Protocol, "{error}");
    }
}

#[tokio::test]
async fn wrong_lengths() {
    let good = Message::new(1, Op::SearchEntry(entry(1))).encode().expect("encodable").to_vec();
    // the lengths of the operation and of the name, too small and too large
    assert_eq!((good[5], good[7]), (0x64, 0x04));
    for at in [6usize, 8] {
        for change in [-1i8, 1, 100] {
            let mut bad = good.clone();
            bad[at] = bad[at].wrapping_add_signed(change);
            let (options, _server) = answer_with(bad).await;
            let error = search_error(&options).await;
            assert_eq!(error.class(), ErrorClass::Protocol, "{at} {change}: {error}");
        }
    }
    for bytes in
        [&[0x30u8, 0x80, 0, 0][..], &[0x30, 0xff, 1], &[0x30, 0x89, 0, 0, 0, 0, 0, 0, 0, 0, 1], &[0x30, 0]]
    {
        let (options, _server) = answer_with(bytes.to_vec()).await;
        let error = search_error(&options).await;
        assert!(matches!(error, LdapError::Malformed { .. }), "{error}");
    }
}

#[tokio::test]
async fn another_protocol() {
    let (options, _server) = answer_with(b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()).await;
    let error = search_error(&options).await;
    assert!(matches!(error, LdapError::Malformed { source: CodecError::Tag { .. }, .. }), "{error}");
}

#[tokio::test]
async fn unexpected_operations() {
    for op in [
        Op::BindResponse(LdapResult::new(ResultCode::Success), None),
        Op::UnbindRequest,
        Op::SearchRequest(SearchRequest::entry("")),
        Op::ModifyResponse(LdapResult::new(ResultCode::Success)),
        Op::AbandonRequest(1),
    ] {
        let bytes = Message::new(1, op).encode().expect("encodable");
        let (options, _server) = answer_with(bytes.to_vec()).await;
        let error = search_error(&options).await;
        assert!(matches!(error, LdapError::Protocol { .. }), "{error}");
    }
}

#[tokio::test]
async fn unknown_message_ids() {
    for id in [2, 77, i32::MAX] {
        let bytes = Message::new(id, Op::SearchEntry(entry(1))).encode().expect("encodable");
        let (options, _server) = answer_with(bytes.to_vec()).await;
        let error = search_error(&options).await;
        assert!(matches!(error, LdapError::Protocol { .. }), "{error}");
        assert!(error.to_string().contains(&id.to_string()), "{error}");
    }
    let (options, _server) = answer_with(vec![0x30, 7, 2, 1, 0xff, 0x65, 2, 1, 0]).await;
    assert!(matches!(search_error(&options).await, LdapError::Malformed { .. }), "a negative number");
}

#[tokio::test]
async fn half_a_message_then_the_end() {
    let whole = Message::new(1, Op::SearchEntry(entry(1))).encode().expect("encodable");
    for len in 0..whole.len() {
        let half = whole.slice(..len);
        let (options, _server) = serve(move |_, mut peer| {
            let half = half.clone();
            async move {
                peer.expect().await;
                peer.raw(&half).await;
            }
        })
        .await;
        let error = search_error(&options).await;
        assert!(matches!(error, LdapError::Lost { .. }), "{len} bytes: {error}");
        assert_eq!(error.class(), ErrorClass::Transient);
    }
}

#[tokio::test]
async fn a_stalled_server_ends_in_a_timeout() {
    for bytes in [&[][..], &[0x30, 0x20, 2, 1]] {
        let (mut options, _server) = answer_with(bytes.to_vec()).await;
        options.operation_timeout = Duration::from_millis(80);
        let mut client = Client::connect(&options).await.expect("connected");
        let error = client.search_one(SearchRequest::entry("")).await.expect_err("stalled");
        assert!(matches!(error, LdapError::Timeout { .. }), "{error}");
        assert_eq!(error.class(), ErrorClass::Transient);
        assert!(error.to_string().contains(&options.server()), "{error}");
    }
}

#[tokio::test]
async fn a_server_that_sends_drop_by_drop_ends_in_a_timeout() {
    let (mut options, _server) = serve(|_, mut peer| async move {
        peer.expect().await;
        // each octet comes in time, the message never does
        let _ = peer.stream.write_all(&[0x30, 0x82, 0x10, 0]).await;
        while peer.stream.write_all(&[0]).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    options.operation_timeout = Duration::from_millis(80);
    let mut client = Client::connect(&options).await.expect("connected");
    let error = client.search_one(SearchRequest::entry("")).await.expect_err("too slow");
    assert!(matches!(error, LdapError::Timeout { .. }), "{error}");
}

#[tokio::test]
async fn a_server_that_reads_nothing_ends_in_a_timeout() {
    let (ours, _theirs) = tokio::io::duplex(16);
    let mut options = ConnectOptions::new("ldap://in-process").expect("an address");
    options.operation_timeout = Duration::from_millis(80);
    let mut client = Client::over(ours, &options);
    let error = client.search_one(SearchRequest::entry("dc=example,dc=test")).await.expect_err("stalled");
    assert!(matches!(error, LdapError::Timeout { .. }), "{error}");
    assert!(!client.is_usable(), "half a request was sent");
}

#[tokio::test]
async fn an_oversized_message_is_refused_by_its_header() {
    let (mut options, _server) = answer_with(vec![0x30, 0x84, 0x7f, 0xff, 0xff, 0xff, 2, 1, 1]).await;
    let error = search_error(&options).await;
    assert!(matches!(error, LdapError::TooLarge { .. }), "{error}");
    assert!(error.to_string().contains("message_size_max"), "{error}");

    let large = Message::new(1, Op::SearchEntry(entry(1))).encode().expect("encodable");
    let (small_options, _server) = answer_with(large.to_vec()).await;
    options = small_options;
    options.message_size_max = large.len() - 1;
    assert!(matches!(search_error(&options).await, LdapError::TooLarge { .. }));
    options.message_size_max = large.len();
    let mut client = Client::connect(&options).await.expect("connected");
    let mut stream = client.search(SearchRequest::entry("")).await.expect("sent");
    assert!(stream.next().await.expect("just small enough").is_some());
}

#[tokio::test]
async fn an_endless_stream_waits_for_a_slow_consumer() {
    const PIPE: usize = 4096;
    let (ours, theirs) = tokio::io::duplex(PIPE);
    let written = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&written);
    let server = tokio::spawn(async move {
        let mut peer = Peer::new(theirs);
        let id = peer.expect().await.id;
        let frame = Message::new(id, Op::SearchEntry(entry(7))).encode().expect("encodable");
        while peer.stream.write_all(&frame).await.is_ok() {
            counter.fetch_add(frame.len(), Ordering::SeqCst);
        }
    });
    let mut client = Client::over(ours, &ConnectOptions::new("ldap://in-process").expect("an address"));
    let mut stream = client.search(SearchRequest::entry("")).await.expect("sent");
    let mut read = 0;
    for _ in 0..10_000 {
        let Some(onesync_ldap::SearchItem::Entry(found)) = stream.next().await.expect("an entry") else {
            panic!("an entry was due")
        };
        read += found.encoded_len();
        // let the server run as far as it can
        tokio::task::yield_now().await;
    }
    let ahead = written.load(Ordering::SeqCst).saturating_sub(read);
    // frames have a few octets around what was counted as read
    let around = 10_000 * 16;
    assert!(ahead < around + PIPE + 2 * 64 * 1024, "the client holds up to {ahead} bytes");
    drop(client);
    server.await.expect("it stops when the client is gone");
}

#[tokio::test]
async fn endless_announcements_end_in_a_timeout() {
    let (mut options, _server) = serve(|_, mut peer| async move {
        peer.expect().await;
        let notice = Message::new(0, Op::Intermediate(None, None)).encode().expect("encodable");
        while peer.stream.write_all(&notice).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
    options.operation_timeout = Duration::from_millis(80);
    let mut client = Client::connect(&options).await.expect("connected");
    let error = client.search_one(SearchRequest::entry("")).await.expect_err("nothing to the matter");
    assert!(matches!(error, LdapError::Timeout { .. }), "{error}");
}

#[tokio::test]
async fn nobody_listens() {
    // Bound and not listened at, so that nobody else gets it.
    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    socket.bind("127.0.0.1:0".parse().expect("an address")).expect("a free port");
    let port = socket.local_addr().expect("bound").port();
    let options = ConnectOptions::new(&format!("ldap://127.0.0.1:{port}")).expect("an address");
    let error = Client::connect(&options).await.expect_err("nobody there");
    assert!(
        error.to_string().contains("refused") && error.to_string().contains(&port.to_string()),
        "{error}"
    );
    let mut unknown = ConnectOptions::new("ldap://no-such-host.invalid").expect("an address");
    // A resolver that does not answer is waited for by the system.
    unknown.connect_timeout = Duration::from_secs(120);
    let error = Client::connect(&unknown).await.expect_err("no such name");
    assert!(matches!(error, LdapError::Resolve { .. }), "{error}");
    assert!(error.to_string().contains("no-such-host.invalid"), "{error}");
}

/// Found by fuzzing: the number of the operation to abandon was not checked.
#[test]
fn negative_numbers_are_refused() {
    for bytes in [
        // AbandonRequest -1
        &b"\x30\x06\x02\x01\x01\x50\x01\xff"[..],
        // number -1 of the message itself
        b"\x30\x05\x02\x01\xff\x42\x00",
    ] {
        assert!(onesync_ldap::Message::decode(&bytes::Bytes::from_static(bytes)).is_err(), "{bytes:x?}");
    }
}
