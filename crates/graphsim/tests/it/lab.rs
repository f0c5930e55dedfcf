//! A simulator with a signed-in client, and the judge of its traffic.

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper_util::rt::TokioIo;
use onesync_graphsim::judged::Judged;
use onesync_graphsim::{
    Behaviours, Builder, ClockMode, DEFAULT_CLIENT_ID, DEFAULT_CLIENT_SECRET, GraphSim, TenantConfig,
};
use serde_json::{Value, json};
use tokio::net::TcpStream;

/// Further requests the description does not know, on purpose: their types are judged by the tests themselves.
const NOT_DESCRIBED: [&str; 8] = [
    "/openid-configuration",
    "/v1.0/roleManagement",
    "/v1.0/servicePrincipals",
    "/v1.0/nothing",
    "/beta/",
    "/v1.0/users/getByIds",
    "/owners",
    // a method that is not there, which a public example plays
    "/members/$ref -> 400",
];

pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Value,
    pub text: String,
}

impl Answer {
    pub fn code(&self) -> &str {
        self.body["error"]["code"].as_str().unwrap_or("")
    }

    pub fn message(&self) -> &str {
        self.body["error"]["message"].as_str().unwrap_or("")
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }

    pub fn id(&self) -> String {
        self.body["id"].as_str().expect("an id").to_owned()
    }

    #[track_caller]
    pub fn expect(self, status: u16) -> Answer {
        assert_eq!(self.status, status, "{}", self.text);
        self
    }
}

pub struct Lab {
    pub sim: Judged,
    pub token: String,
}

impl Lab {
    pub async fn new() -> Lab {
        Lab::with(GraphSim::builder()).await
    }

    pub async fn behaving(change: impl FnOnce(&mut Behaviours)) -> Lab {
        // Time passes when a test says so: what is seen late would otherwise depend on the machine.
        let lab = Lab::with(GraphSim::builder().clock(ClockMode::Fixed(1_700_000_000_000))).await;
        lab.sim.change_behaviours(change);
        lab
    }

    pub async fn tenant(change: impl FnOnce(&mut TenantConfig)) -> Lab {
        let mut tenant = TenantConfig::default();
        change(&mut tenant);
        Lab::with(GraphSim::builder().tenant(tenant)).await
    }

    pub async fn with(builder: Builder) -> Lab {
        let sim = builder.judged_beside(&NOT_DESCRIBED).await.expect("starts");
        let mut lab = Lab { sim, token: String::new() };
        lab.sign_in().await;
        lab
    }

    pub async fn sign_in(&mut self) {
        let form = format!(
            "grant_type=client_credentials&client_id={DEFAULT_CLIENT_ID}&client_secret={DEFAULT_CLIENT_SECRET}&scope=https%3A%2F%2Fgraph.microsoft.com%2F.default"
        );
        let answer = self.token(&form).await.expect(200);
        self.token = answer.body["access_token"].as_str().expect("a token").to_owned();
    }

    pub async fn token(&self, form: &str) -> Answer {
        let path = self.sim.token_url().replace(&self.sim.base_url(), "");
        let headers = [("content-type", "application/x-www-form-urlencoded")];
        self.send("POST", &path, &headers, form.to_owned()).await.expect("an answer")
    }

    /// Sends a request; the error is a closed connection.
    pub async fn send(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: String,
    ) -> Result<Answer, String> {
        let stream = TcpStream::connect(self.sim.address()).await.map_err(|e| e.to_string())?;
        exchange(stream, &self.sim.address().to_string(), method, target, headers, body).await
    }

    pub async fn raw(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<Answer, String> {
        let bearer = format!("Bearer {}", self.token);
        let mut all = vec![("authorization", bearer.as_str()), ("client-request-id", "c0ffee")];
        if body.is_some() {
            all.push(("content-type", "application/json"));
        }
        all.extend_from_slice(headers);
        let target = match path.split_once("://") {
            Some((_, rest)) => format!("/{}", rest.split_once('/').expect("a path").1),
            None => format!("/v1.0{path}"),
        };
        self.send(
            method,
            &target.replace(' ', "%20").replace('"', "%22"),
            &all,
            body.map(Value::to_string).unwrap_or_default(),
        )
        .await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.raw("GET", path, &[], None).await.expect("an answer")
    }

    pub async fn eventual(&self, path: &str) -> Answer {
        self.raw("GET", path, &[("ConsistencyLevel", "eventual")], None).await.expect("an answer")
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.raw("POST", path, &[], Some(&body)).await.expect("an answer")
    }

    pub async fn patch(&self, path: &str, body: Value) -> Answer {
        self.raw("PATCH", path, &[], Some(&body)).await.expect("an answer")
    }

    pub async fn put(&self, path: &str, body: Value) -> Answer {
        self.raw("PUT", path, &[], Some(&body)).await.expect("an answer")
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.raw("DELETE", path, &[], None).await.expect("an answer")
    }

    pub async fn user(&self, name: &str) -> String {
        self.post("/users", user(name)).await.expect(201).id()
    }

    pub async fn group(&self, name: &str) -> String {
        self.post("/groups", group(name)).await.expect(201).id()
    }

    /// Follows nextLinks to the end: all items and the deltaLink.
    pub async fn round(&self, start: &str) -> (Vec<Value>, String) {
        let mut items = Vec::new();
        let mut link = start.to_owned();
        for _ in 0..10_000 {
            let page = self.get(&link).await.expect(200);
            items.extend(page.body["value"].as_array().expect("values").iter().cloned());
            let next = page.body["@odata.nextLink"].as_str();
            let delta = page.body["@odata.deltaLink"].as_str();
            assert!(next.is_none() || delta.is_none(), "never both links");
            match (next, delta) {
                (Some(next), _) => link = next.to_owned(),
                (None, Some(delta)) => return (items, delta.to_owned()),
                (None, None) => return (items, String::new()),
            }
        }
        panic!("the round does not end");
    }

    /// Judges all traffic and stops.
    pub async fn finish(self) {
        self.sim.shutdown().await.expect("stops");
    }
}

pub async fn exchange<S>(
    stream: S,
    host: &str,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: String,
) -> Result<Answer, String>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|e| e.to_string())?;
    tokio::spawn(connection);
    let mut request = Request::builder().method(method).uri(target).header("host", host);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::new(Bytes::from(body))).map_err(|e| e.to_string())?;
    let response = sender.send_request(request).await.map_err(|e| e.to_string())?;
    let status = response.status().as_u16();
    let headers = response
        .headers()
        .iter()
        .map(|(n, v)| (n.to_string(), v.to_str().unwrap_or("").to_owned()))
        .collect();
    let bytes = response.into_body().collect().await.map_err(|e| e.to_string())?.to_bytes();
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let body = serde_json::from_str(&text).unwrap_or(Value::Null);
    Ok(Answer { status, headers, body, text })
}

pub fn user(name: &str) -> Value {
    json!({
        "accountEnabled": true,
        "displayName": name,
        "mailNickname": name,
        "userPrincipalName": format!("{name}@contoso.com"),
        "passwordProfile": {"forceChangePasswordNextSignIn": true, "password": "xWwvJ]6NMw+bWH-d"},
    })
}

pub fn group(name: &str) -> Value {
    json!({"displayName": name, "mailEnabled": false, "mailNickname": name, "securityEnabled": true})
}
