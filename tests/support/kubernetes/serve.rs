//! The API's side of HTTP: lists, watches, and their faults.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::{broadcast, mpsc};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_stream::wrappers::ReceiverStream;

use super::Shared;
use super::store::Wanted;

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The path.
    pub path: String,
    /// The query.
    pub query: BTreeMap<String, String>,
    /// The status of the answer.
    pub status: u16,
}

impl Asked {
    /// A parameter of the query; empty where it is not there.
    pub fn get(&self, name: &str) -> &str {
        self.query.get(name).map_or("", String::as_str)
    }

    fn wanted(&self) -> Wanted {
        Wanted::new(&self.path, self.get("fieldSelector"), self.get("labelSelector"))
    }

    /// It asks for a watch.
    pub fn is_watch(&self) -> bool {
        self.get("watch") == "true"
    }

    /// It asks for the first page of a list.
    pub fn is_list(&self) -> bool {
        !self.is_watch() && self.get("continue").is_empty()
    }
}

/// Something that happens to the open watches.
#[derive(Clone, Debug)]
pub enum Fault {
    /// They end in order.
    End,
    /// Their connections break in the middle of a line.
    Break,
    /// They are told that nothing has happened up to now.
    Bookmark,
    /// They are sent this as it is.
    Raw(String),
    /// They are told that their version is too old.
    Expire,
}

type Body = BoxBody<Bytes, io::Error>;
type Sender = mpsc::Sender<Result<Frame<Bytes>, io::Error>>;

/// Serves until it is aborted, which ends all connections as well.
pub(crate) async fn accept(listener: TcpListener, tls: Option<TlsAcceptor>, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Ok((stream, _)) = listener.accept() => {
                let (tls, shared) = (tls.clone(), Arc::clone(&shared));
                connections.spawn(async move {
                    match tls {
                        None => serve(stream, shared).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                serve(stream, shared).await;
                            }
                        }
                    }
                });
            }
            Some(_ended) = connections.join_next() => {}
        }
    }
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, shared: Arc<Shared>) {
    let service = service_fn(move |request| answer(Arc::clone(&shared), request));
    // A client that is gone is no matter of ours.
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

async fn answer(shared: Arc<Shared>, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let path = request.uri().path().to_owned();
    let query = parse_query(request.uri().query().unwrap_or_default());
    let asked = Asked { path, query, status: 0 };
    let shown = request.headers().get("authorization").and_then(|value| value.to_str().ok());
    let (silent, refusal, known) = {
        let state = shared.state();
        let wanted = state.token.as_ref().map(|token| format!("Bearer {token}"));
        (state.silent, state.refusal, wanted.as_deref() == shown)
    };
    if !known {
        note(&shared, &asked, 401);
        return Ok(status(401, "Unauthorized", "Unauthorized"));
    }
    if silent {
        note(&shared, &asked, 0);
        std::future::pending::<()>().await;
    }
    if let Some(code) = refusal {
        note(&shared, &asked, code);
        return Ok(status(code, "InternalError", "the test says so"));
    }
    Ok(if asked.is_watch() { watch(&shared, &asked) } else { list(&shared, &asked) })
}

fn note(shared: &Shared, asked: &Asked, status: u16) {
    shared.state().asked.push(Asked { status, ..asked.clone() });
}

fn list(shared: &Shared, asked: &Asked) -> Response<Body> {
    let limit = asked.get("limit").parse().unwrap_or(usize::MAX);
    let token = Some(asked.get("continue")).filter(|token| !token.is_empty());
    let page = shared.state().store.list(&asked.wanted(), limit, token);
    let Some(page) = page else {
        note(shared, asked, 410);
        return status(410, "Expired", "The provided continue parameter is too old");
    };
    note(shared, asked, 200);
    let mut metadata = json!({ "resourceVersion": page.version.to_string() });
    if let Some(token) = page.token {
        metadata["continue"] = json!(token);
        metadata["remainingItemCount"] = json!(page.remaining);
    }
    let items: Vec<&str> = page.items.iter().map(|item| &*item.text).collect();
    let text = format!(
        "{{\"kind\":\"List\",\"apiVersion\":\"v1\",\"metadata\":{metadata},\"items\":[{}]}}",
        items.join(",")
    );
    json_response(200, text)
}

fn watch(shared: &Arc<Shared>, asked: &Asked) -> Response<Body> {
    let version: u64 = asked.get("resourceVersion").parse().unwrap_or(0);
    let wanted = asked.wanted();
    if shared.state().store.since(&wanted, version).is_none() {
        note(shared, asked, 410);
        return status(410, "Expired", "too old resource version");
    }
    note(shared, asked, 200);
    let (sender, receiver) = mpsc::channel(16);
    // Subscribed before the answer: what happens to open watches happens to this one.
    let faults = shared.faults.subscribe();
    tokio::spawn(follow(Arc::clone(shared), wanted, version, sender, faults));
    let body = StreamBody::new(ReceiverStream::new(receiver)).boxed();
    let mut response = Response::new(body);
    response.headers_mut().insert("content-type", http::HeaderValue::from_static("application/json"));
    response
}

/// Sends what happens, until the client is gone or a fault ends it.
async fn follow(
    shared: Arc<Shared>,
    wanted: Wanted,
    mut version: u64,
    sender: Sender,
    mut faults: broadcast::Receiver<Fault>,
) {
    let mut changed = shared.changed.subscribe();
    loop {
        changed.mark_unchanged();
        let lines = shared.state().store.since(&wanted, version);
        let Some(lines) = lines else {
            let _ = send(&sender, expired()).await;
            return;
        };
        for (at, line) in lines {
            version = at;
            if !send(&sender, line + "\n").await {
                return;
            }
        }
        tokio::select! {
            news = changed.changed() => if news.is_err() { return },
            () = sender.closed() => return,
            fault = faults.recv() => match fault {
                Ok(Fault::End) | Err(_) => return,
                Ok(Fault::Break) => {
                    send(&sender, "{\"type\":\"ADDED\",\"object\":{\"metadata\":{\"uid".to_owned()).await;
                    let _ = sender.send(Err(io::Error::other("broken on purpose"))).await;
                    return;
                }
                Ok(Fault::Bookmark) => {
                    let at = shared.state().store.version();
                    let metadata = json!({ "metadata": { "resourceVersion": at.to_string() } });
                    let line = json!({ "type": "BOOKMARK", "object": metadata });
                    send(&sender, format!("{line}\n")).await;
                }
                Ok(Fault::Raw(text)) => { send(&sender, text).await; }
                Ok(Fault::Expire) => {
                    send(&sender, expired()).await;
                    return;
                }
            },
        }
    }
}

async fn send(sender: &Sender, text: String) -> bool {
    sender.send(Ok(Frame::data(text.into()))).await.is_ok()
}

fn expired() -> String {
    let status = json!({ "kind": "Status", "status": "Failure", "reason": "Expired", "code": 410,
        "message": "too old resource version", "metadata": {} });
    format!("{}\n", json!({ "type": "ERROR", "object": status }))
}

fn status(code: u16, reason: &str, message: &str) -> Response<Body> {
    let status = json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "metadata": {},
        "reason": reason, "message": message, "code": code });
    json_response(code, status.to_string())
}

fn json_response(code: u16, text: String) -> Response<Body> {
    let body = Full::new(Bytes::from(text)).map_err(|never| match never {}).boxed();
    let mut response = Response::new(body);
    *response.status_mut() = http::StatusCode::from_u16(code).unwrap_or_default();
    response.headers_mut().insert("content-type", http::HeaderValue::from_static("application/json"));
    response
}

fn parse_query(query: &str) -> BTreeMap<String, String> {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (decoded(name), decoded(value))).collect()
}

/// What percent signs stand for.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, more @ ..] = rest {
        let digits = more.get(..2).and_then(|two| std::str::from_utf8(two).ok());
        let stands_for = digits.filter(|_| *first == b'%');
        if let Some(byte) = stands_for.and_then(|two| u8::from_str_radix(two, 16).ok()) {
            bytes.push(byte);
            rest = &more[2..];
        } else {
            bytes.push(if *first == b'+' { b' ' } else { *first });
            rest = more;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
