//! Reaching a server: the addresses that its name has, the port of a named instance, a connection.
//!
//! The port of an instance is asked from the browser service of its host (UDP 1434), in the form that is published as
//! MC-SQLR: a request `CLNT_UCAST_INST` (0x04, the name, a zero), the answer `SVR_RESP` (0x05, the number of the bytes that
//! follow, and in these names and values between semicolons). A datagram may be lost, so it is asked again. The driver can do
//! this too, but asks once, leaves the zero out, and takes the last `tcp;` in the answer for the port, wherever it stands.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use tokio::net::{TcpStream, UdpSocket, lookup_host};
use tokio::time::timeout;

/// Where a browser service is asked.
const BROWSER_PORT: u16 = 1434;
/// How often, and how long an answer is waited for each time.
const TRIES: u32 = 3;
const BROWSER_TIMEOUT: Duration = Duration::from_secs(1);
/// Bytes of an answer about one instance: 3 and at most 1,024; the end of a longer one would be lost.
const ANSWER_MAX: usize = 4_096;
const REQUEST: u8 = 0x04;
const ANSWER: u8 = 0x05;

/// Connects to a host at a port, or to an instance of it. A name with several addresses (the listener of an availability
/// group has one in each network, one of which answers) is tried at all of them at once.
pub(super) async fn connect(host: &str, port: Result<u16, &str>) -> Result<TcpStream, String> {
    let asked = port.unwrap_or(BROWSER_PORT);
    let addresses = lookup_host((host, asked)).await;
    let addresses = addresses.map_err(|error| format!("the name `{host}` leads nowhere: {error}"))?;
    let mut trials: FuturesUnordered<_> = addresses.map(|address| connect_to(address, port.err())).collect();
    let mut first = None;
    while let Some(trial) = trials.next().await {
        match trial {
            Ok(stream) => return Ok(stream),
            Err(why) => first = first.or(Some(why)),
        }
    }
    Err(first.unwrap_or_else(|| format!("the name `{host}` has no address")))
}

async fn connect_to(mut address: SocketAddr, instance: Option<&str>) -> Result<TcpStream, String> {
    if let Some(instance) = instance {
        address.set_port(port_of(address, instance).await?);
    }
    TcpStream::connect(address).await.map_err(|error| format!("{address}: {error}"))
}

/// The port of an instance, as the browser service at an address says.
async fn port_of(browser: SocketAddr, instance: &str) -> Result<u16, String> {
    let failed = |why: String| {
        format!(
            "{why}; the port of instance `{instance}` is told by the service `SQL Server Browser`: let it run and UDP \
             {} through, or name the port in the database URL in place of the instance",
            browser.port()
        )
    };
    let said = |error: io::Error| failed(format!("{browser} (UDP): {error}"));
    let any: IpAddr = match browser {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0)).await.map_err(said)?;
    // From then on only what comes from there is taken.
    socket.connect(browser).await.map_err(said)?;
    let request = [&[REQUEST], instance.as_bytes(), &[0]].concat();
    let mut answer = [0; ANSWER_MAX];
    for _ in 0..TRIES {
        socket.send(&request).await.map_err(said)?;
        match timeout(BROWSER_TIMEOUT, socket.recv(&mut answer)).await {
            Ok(length) => {
                let answer = answer.get(..length.map_err(said)?).unwrap_or_default();
                return port_in(answer, instance).map_err(|why| failed(why.to_owned()));
            }
            Err(_) => continue,
        }
    }
    // It is silent about an instance that it does not know.
    Err(failed(format!("{browser} (UDP) does not answer, or knows no instance `{instance}`")))
}

/// The port that an answer gives for an instance.
fn port_in(answer: &[u8], instance: &str) -> Result<u16, &'static str> {
    let malformed = "its answer cannot be understood";
    let (&[kind, low, high], data) = answer.split_first_chunk::<3>().ok_or(malformed)?;
    if kind != ANSWER || data.len() != usize::from(u16::from_le_bytes([low, high])) {
        return Err(malformed);
    }
    // Names of servers may be in the code page of the server; what is looked for is not.
    let text = String::from_utf8_lossy(data);
    // Of several instances each ends in an empty name.
    for about in text.split(";;") {
        let mut words = about.split(';');
        let (mut named, mut port) = (false, None);
        while let (Some(name), Some(value)) = (words.next(), words.next()) {
            match name {
                name if name.eq_ignore_ascii_case("InstanceName") => {
                    named = value.eq_ignore_ascii_case(instance);
                }
                name if name.eq_ignore_ascii_case("tcp") => port = Some(value),
                _ => {}
            }
        }
        if named {
            let port =
                port.ok_or("the instance does not listen on TCP: its administrator turns TCP/IP on")?;
            return port.parse().ok().filter(|port| *port != 0).ok_or(malformed);
        }
    }
    Err("it speaks of another instance")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(data: &str) -> Vec<u8> {
        let length = u16::try_from(data.len()).unwrap().to_le_bytes();
        [&[ANSWER], &length[..], data.as_bytes()].concat()
    }

    /// As the document has it: a pipe whose name looks like the protocol, and the port after it or before.
    #[test]
    fn the_port_is_where_the_published_form_has_it() {
        let named = "ServerName;DB1;InstanceName;SYNC;IsClustered;No;Version;13.0.5026.0;";
        for (rest, port) in [
            ("tcp;49172;;", Ok(49172)),
            ("np;\\\\DB1\\pipe\\tcp;tcp;1500;;", Ok(1500)),
            ("tcp;1500;np;\\\\DB1\\pipe\\MSSQL$SYNC\\sql\\query;;", Ok(1500)),
            ("tcp;1500;via;DB1,0:1433;;", Ok(1500)),
            ("np;\\\\DB1\\pipe\\x;;", Err("TCP/IP")),
            ("tcp;99999;;", Err("understood")),
            ("tcp;0;;", Err("understood")),
            ("tcp;x;;", Err("understood")),
        ] {
            let found = port_in(&answer(&format!("{named}{rest}")), "sync");
            assert_eq!(found.ok(), port.ok(), "{rest}");
            assert!(port.is_ok() || found.unwrap_err().contains(port.unwrap_err()), "{rest}: {found:?}");
        }
        let two = format!("ServerName;DB1;InstanceName;OTHER;tcp;1;;{named}tcp;1500;;");
        assert_eq!(port_in(&answer(&two), "SYNC"), Ok(1500));
        assert!(port_in(&answer("ServerName;DB1;InstanceName;OTHER;tcp;1;;"), "SYNC").is_err());
    }

    /// Anybody may send a datagram.
    #[test]
    fn what_is_no_answer_is_refused() {
        let good = answer("ServerName;A;InstanceName;B;tcp;1500;;");
        assert!(port_in(&good, "B").is_ok());
        for end in 0..good.len() {
            assert!(port_in(&good[..end], "B").is_err(), "{end} bytes of it");
        }
        let mut other = good.clone();
        other[0] = 4;
        assert!(port_in(&other, "B").is_err());
        assert!(port_in(&[good, vec![b';']].concat(), "B").is_err());
    }

    /// A browser that loses the first datagram, as a network may, and a server behind the port that it names.
    #[tokio::test]
    async fn an_instance_is_found_by_its_browser() {
        let server = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let browser = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let (port, at) = (server.local_addr().unwrap().port(), browser.local_addr().unwrap());
        let fake = async move {
            let mut asked = [0; 64];
            for round in 0.. {
                let (length, from) = browser.recv_from(&mut asked).await.unwrap();
                assert_eq!(&asked[..length], b"\x04SYNC\0");
                if round > 0 {
                    let told =
                        format!("ServerName;DB1;InstanceName;SYNC;IsClustered;No;Version;13.0;tcp;{port};;");
                    browser.send_to(&answer(&told), from).await.unwrap();
                    break;
                }
            }
        };
        let (found, ()) = tokio::join!(connect_to(at, Some("SYNC")), fake);
        assert_eq!(found.unwrap().peer_addr().unwrap().port(), port);
    }

    #[tokio::test]
    async fn a_browser_that_is_not_there_is_named_with_the_remedy() {
        let gone = UdpSocket::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let why = connect_to(gone, Some("SYNC")).await.unwrap_err();
        assert!(why.contains("`SYNC`") && why.contains("SQL Server Browser"), "{why}");
        let why = connect("no-such-host.invalid", Ok(1433)).await.unwrap_err();
        assert!(why.contains("no-such-host.invalid"), "{why}");
    }
}
