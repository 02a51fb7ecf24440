//! A Kubernetes API for tests: it lists and watches what it was given, over HTTP on loopback.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::future::ready;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_stream::wrappers::ReceiverStream;

use super::ApiAccess;

/// Objects in a page, whatever is asked for.
const PAGE: usize = 2;

/// A running API; its objects stay when it goes away and comes back.
pub(crate) struct Api {
    directory: tempfile::TempDir,
    address: SocketAddr,
    world: Arc<World>,
    server: JoinSet<()>,
}

#[derive(Default)]
struct World {
    state: Mutex<State>,
    changed: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    version: u64,
    /// Versions before this one are forgotten.
    oldest: u64,
    objects: BTreeMap<String, Value>,
    lines: Vec<(u64, String)>,
    asked: Vec<String>,
    refusal: Option<u16>,
}

impl Api {
    pub(crate) async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let config = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: test\n\
             clusters: [{{name: test, cluster: {{server: 'http://{address}'}}}}]\n\
             contexts: [{{name: test, context: {{cluster: test, user: test}}}}]\n\
             users: [{{name: test, user: {{}}}}]\n"
        );
        std::fs::write(directory.path().join("kubeconfig"), config).unwrap();
        let mut api = Self { directory, address, world: Arc::default(), server: JoinSet::new() };
        api.serve(listener);
        api
    }

    /// The way to it.
    pub(crate) fn access(&self) -> ApiAccess {
        ApiAccess::Kubeconfig(self.kubeconfig())
    }

    fn kubeconfig(&self) -> PathBuf {
        self.directory.path().join("kubeconfig")
    }

    /// Creates an object, or replaces the one of the same UID.
    pub(crate) fn put(&self, mut object: Value) {
        let uid = object["metadata"]["uid"].as_str().unwrap().to_owned();
        self.change(|state| {
            object["metadata"]["resourceVersion"] = json!(state.version.to_string());
            let before = state.objects.insert(uid, object.clone());
            state.note(if before.is_some() { "MODIFIED" } else { "ADDED" }, &object);
        });
    }

    /// Deletes one.
    pub(crate) fn delete(&self, uid: &str) {
        self.change(|state| {
            let mut object = state.objects.remove(uid).unwrap();
            object["metadata"]["resourceVersion"] = json!(state.version.to_string());
            state.note("DELETED", &object);
        });
    }

    /// Answers each request with this status from now on, or as it should.
    pub(crate) fn refuse(&self, status: Option<u16>) {
        self.world.state.lock().unwrap().refusal = status;
    }

    /// What it was asked so far.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.world.state.lock().unwrap().asked.clone()
    }

    /// Goes away, with all connections, and forgets all versions but the present one.
    pub(crate) async fn stop(&mut self) {
        self.server.shutdown().await;
        self.change(|state| {
            state.oldest = state.version;
            state.lines.clear();
        });
    }

    /// Comes back at the same address.
    pub(crate) async fn come_back(&mut self) {
        let listener = TcpListener::bind(self.address).await.unwrap();
        self.serve(listener);
    }

    fn serve(&mut self, listener: TcpListener) {
        let world = Arc::clone(&self.world);
        self.server.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _from) = listener.accept().await.unwrap();
                let world = Arc::clone(&world);
                let service = service_fn(move |request| ready(Ok::<_, Infallible>(answer(&world, &request))));
                let served = hyper::server::conn::http1::Builder::new();
                let served = served.serve_connection(TokioIo::new(stream), service);
                connections.spawn(async move { drop(served.await) });
            }
        });
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.world.state.lock().unwrap();
        state.version += 1;
        change(&mut state);
        self.world.changed.send_replace(state.version);
    }
}

impl State {
    fn note(&mut self, kind: &str, object: &Value) {
        self.lines.push((self.version, format!("{}\n", json!({ "type": kind, "object": object }))));
    }
}

type Body = BoxBody<Bytes, Infallible>;

fn answer(world: &Arc<World>, request: &Request<Incoming>) -> Response<Body> {
    let asked = request.uri().to_string();
    let query = request.uri().query().unwrap_or_default().to_owned();
    let parameter = |name: &str| {
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.into_iter().find(|(key, _)| *key == name).map(|(_, value)| value.to_owned())
    };
    let mut state = world.state.lock().unwrap();
    state.asked.push(asked);
    if let Some(code) = state.refusal {
        return response(code, &json!({ "kind": "Status", "message": "the test says so", "code": code }));
    }
    if parameter("watch").is_none() {
        let from = parameter("continue").map_or(0, |token| token.parse().unwrap());
        let items: Vec<_> = state.objects.values().skip(from).take(PAGE).collect();
        let more = (from + items.len() < state.objects.len()).then(|| (from + items.len()).to_string());
        let metadata = json!({ "resourceVersion": state.version.to_string(), "continue": more });
        return response(200, &json!({ "metadata": metadata, "items": items }));
    }
    let version = parameter("resourceVersion").unwrap().parse().unwrap();
    if version < state.oldest {
        return response(410, &json!({ "kind": "Status", "reason": "Expired", "code": 410 }));
    }
    drop(state);
    let (sender, lines) = mpsc::channel(16);
    tokio::spawn(follow(Arc::clone(world), version, sender));
    Response::new(StreamBody::new(ReceiverStream::new(lines)).boxed())
}

/// Sends what happens from a version on, until the client is gone.
async fn follow(world: Arc<World>, mut version: u64, sender: mpsc::Sender<Result<Frame<Bytes>, Infallible>>) {
    let mut changed = world.changed.subscribe();
    loop {
        changed.mark_unchanged();
        let lines = world.state.lock().unwrap().lines.clone();
        for (at, line) in lines.into_iter().filter(|(at, _)| *at > version).collect::<Vec<_>>() {
            version = at;
            if sender.send(Ok(Frame::data(line.into()))).await.is_err() {
                return;
            }
        }
        tokio::select! {
            _news = changed.changed() => {}
            () = sender.closed() => return,
        }
    }
}

fn response(code: u16, value: &Value) -> Response<Body> {
    let mut response = Response::new(Full::new(Bytes::from(value.to_string())).boxed());
    *response.status_mut() = http::StatusCode::from_u16(code).unwrap();
    response
}
