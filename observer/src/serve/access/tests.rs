//! Who may see what, and what of the rest shows.

use std::sync::Arc;

use super::*;
use crate::aggregate::{Aggregator, Settings};
use crate::event::examples::{connect, event, host, pod, tcp};
use crate::event::{
    Backend, BootTime, Detail, EdgeSummary, Event, ExecOrigin, PeerKind, ProcessExec, Tcp, Window, Workload,
};

fn rules(text: &str) -> Result<Rules, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.toml");
    std::fs::write(&path, text).unwrap();
    let read = Rules::read(Some(&path));
    read.map_err(|error| error.to_string().replace(&folder.path().display().to_string(), "DIR"))
}

fn process(uid: u32, groups: &[u32]) -> Identity {
    Identity::Process { uid, groups: groups.to_vec(), pid: 7 }
}

fn certificate(name: &str) -> Identity {
    Identity::Certificate(vec![name.to_owned()])
}

fn only(namespaces: &[&str]) -> Scope {
    Scope::Namespaces(Arc::new(namespaces.iter().map(|&name| name.to_owned()).collect()))
}

/// A connection of that pod with another one.
fn connected(of: &Arc<Workload>, with: &Arc<Workload>) -> Event {
    event(of, 5, connect(&tcp(1, true, "10.0.0.2:5432", Some(with))))
}

#[test]
fn without_a_rule_nobody_but_the_owner_sees_anything() {
    let rules = Rules::read(None).unwrap();
    assert_eq!(rules.scope(&process(0, &[])), Some(Scope::All));
    let own = rustix::process::geteuid().as_raw();
    assert_eq!(rules.scope(&process(own, &[])), Some(Scope::All));
    assert_eq!(rules.scope(&process(4_000_000, &[0])), None);
    assert_eq!(rules.scope(&certificate("dns:a.example")), None);
    // It was asked for, and there is nothing to know somebody by.
    assert_eq!(rules.scope(&Identity::Loopback), Some(Scope::All));
}

#[test]
fn rules_add_up() {
    let rules = rules(
        "[[allow]]\nuids = [1000]\nnamespaces = [\"shop\"]\n\
         [[allow]]\ngids = [50, 51]\nnamespaces = [\"pay\"]\n\
         [[allow]]\nnames = [\"dns:Ops.Example\", \"uri:spiffe://a/b\"]\nall = true\n\
         [[allow]]\nloopback = true\nnamespaces = [\"shop\"]\n",
    )
    .unwrap();
    assert_eq!(rules.scope(&process(1000, &[1000])), Some(only(&["shop"])));
    assert_eq!(rules.scope(&process(1000, &[1000, 51])), Some(only(&["pay", "shop"])));
    assert_eq!(rules.scope(&process(1001, &[50])), Some(only(&["pay"])));
    assert_eq!(rules.scope(&process(1001, &[1001])), None);
    assert_eq!(rules.scope(&certificate("dns:ops.example")), Some(Scope::All));
    assert_eq!(rules.scope(&certificate("uri:spiffe://a/b")), Some(Scope::All));
    assert_eq!(rules.scope(&certificate("email:ops.example")), None);
    assert_eq!(rules.scope(&Identity::Certificate(Vec::new())), None);
    assert_eq!(rules.scope(&Identity::Loopback), Some(only(&["shop"])));
}

#[test]
fn a_file_that_is_wrong_says_where() {
    let refused = |text: &str| rules(text).unwrap_err();
    let rule = |of: &str| format!("[[allow]]\nuids = [1]\nall = true\n[[allow]]\n{of}\n");
    let second = "DIR/access.toml: the 2nd rule: ";
    assert_eq!(
        refused(&rule("all = true")),
        format!("{second}it is for nobody: set uids, gids, names or loopback")
    );
    let either = format!("{second}set either `all = true` or namespaces, and not both");
    assert_eq!(refused(&rule("uids = [2]")), either);
    assert_eq!(refused(&rule("uids = [2]\nall = true\nnamespaces = [\"a\"]")), either);
    assert!(
        refused(&rule("names = [\"ops\"]\nall = true"))
            .starts_with(&format!("{second}names: \"ops\" is not allowed"))
    );
    assert!(
        refused(&rule("names = [\"dns:\"]\nall = true"))
            .starts_with(&format!("{second}names: \"dns:\" is not"))
    );
    assert!(refused(&rule("uids = [2]\nnamespaces = [\"\"]")).contains("an empty name"));
    let unknown = refused(&rule("uid = [2]\nall = true"));
    assert!(unknown.contains("line 5") && unknown.contains("unknown field `uid`"), "{unknown}");
    assert!(refused("allow = 3").contains("line 1"));
    let missing = Rules::read(Some("/nowhere/access.toml".as_ref())).unwrap_err().to_string();
    assert_eq!(missing, "cannot read the access file /nowhere/access.toml");
}

#[test]
fn what_is_another_namespaces_is_hidden() {
    let (cart, db, stray) = (pod(1, "shop", "cart"), pod(2, "data", "db"), host(3));
    let scope = only(&["shop"]);
    let shown = |event: &Event| scope.event(event).map(std::borrow::Cow::into_owned);
    assert!(shown(&connected(&db, &cart)).is_none());
    assert!(shown(&connected(&stray, &cart)).is_none());
    let nobodys = Event { workload: None, ..connected(&cart, &db) };
    assert!(shown(&nobodys).is_none());

    let seen = shown(&connected(&cart, &db)).unwrap();
    let Tcp { remote, peer, backend, .. } = seen.tcp().unwrap();
    assert_eq!(remote.to_string(), "10.0.0.2:5432", "its own process knows the address as well");
    assert!(peer.workload.is_none() && peer.place.is_none() && backend.is_none());
    assert_eq!(peer.kind, PeerKind::FarPod);
    let inner = shown(&connected(&cart, &pod(4, "shop", "web"))).unwrap();
    assert_eq!(inner.tcp().unwrap().peer.workload.as_ref().unwrap().pod, "web");
}

#[test]
fn who_answers_for_a_service_is_hidden() {
    let (cart, db) = (pod(1, "shop", "cart"), pod(2, "data", "db"));
    let mut event = event(&cart, 5, connect(&tcp(1, true, "10.96.0.9:80", None)));
    let tcp = event.tcp_mut().unwrap();
    let peer = crate::event::Peer { workload: Some(db), ..crate::event::Peer::of(PeerKind::Pod) };
    tcp.backend = Some(Arc::new(Backend { address: "10.0.0.9:8080".parse().unwrap(), peer }));
    let seen = only(&["shop"]).event(&event).unwrap().into_owned();
    assert!(seen.tcp().unwrap().backend.is_none());
    let seen = only(&["shop", "data"]).event(&event).unwrap().into_owned();
    assert!(seen.tcp().unwrap().backend.is_some());
}

#[test]
fn whose_namespaces_were_entered_is_hidden() {
    let (cart, db) = (pod(1, "shop", "cart"), pod(2, "data", "db"));
    let origin = ExecOrigin::Namespaces { of: db, kinds: vec!["net"] };
    let exec = event(&cart, 5, Detail::ProcessExec(ProcessExec { origin, ..ProcessExec::default() }));
    let seen = only(&["shop"]).event(&exec).unwrap().into_owned();
    assert!(matches!(seen.detail, Detail::ProcessExec(ProcessExec { origin: ExecOrigin::Descendant, .. })));
}

/// A window in which a pod of `shop` had connections with two pods of `data` and with one of its own namespace.
fn window() -> Window {
    let cart = pod(1, "shop", "cart");
    let mut aggregator = Aggregator::new(Settings::default(), BootTime(0));
    for (id, with) in [(2, pod(2, "data", "db")), (3, pod(3, "data", "db2")), (4, pod(4, "shop", "web"))] {
        aggregator.record(&event(
            &cart,
            5,
            connect(&tcp(id, true, &format!("10.0.0.{id}:5432"), Some(&with))),
        ));
        aggregator.record(&event(&with, 6, connect(&tcp(id + 10, true, "10.0.0.1:80", Some(&cart)))));
    }
    aggregator.advance(BootTime(1_000_000_000)).remove(0).as_ref().clone()
}

#[test]
fn connections_with_those_that_are_hidden_are_one_edge() {
    let seen = only(&["shop"]).window(&window()).into_owned();
    let mut owners: Vec<_> = seen.workloads.values().map(|summary| summary.workload.pod.as_str()).collect();
    owners.sort_unstable();
    assert_eq!(owners, ["cart", "web"]);
    let told = |summary: &EdgeSummary| {
        let peer = summary.peer.workload.as_ref().map_or("hidden", |peer| peer.pod.as_str());
        format!("{} {peer} {} {}", summary.workload.pod, summary.tcp.opened, summary.tcp.live)
    };
    let mut edges: Vec<_> = seen.edges.values().map(told).collect();
    edges.sort_unstable();
    assert_eq!(edges, ["cart hidden 2 2", "cart web 1 1", "web cart 1 1"]);
}

#[test]
fn a_client_has_its_own_limits() {
    let clients = Clients::new(ClientLimits { streams: 2, calls_a_second: 3 });
    let caller = |uid| Caller::new(&process(uid, &[]), Some(Scope::All), false, &clients).unwrap();
    let (one, same, other) = (caller(1), caller(1), caller(2));
    let first = one.seat().unwrap();
    let _second = same.seat().unwrap();
    let full = one.seat().unwrap_err();
    assert_eq!(full.code(), tonic::Code::ResourceExhausted);
    assert!(
        full.message().starts_with("2 streams are open already, as many as are allowed to uid:1"),
        "{}",
        full.message()
    );
    assert!(other.seat().is_ok());
    drop(first);
    assert!(one.seat().is_ok());

    let call = |caller: &Arc<Caller>| {
        let mut request = tonic::Request::new(());
        request.extensions_mut().insert(Arc::clone(caller));
        Caller::admit(&request, "GetStatus").map(drop).map_err(|status| status.code())
    };
    let [one, other] = [one, other].map(Arc::new);
    let results: Vec<_> = (0..50).map(|_| call(&one)).collect();
    // Some may be given back while this runs.
    assert!(results[..3].iter().all(Result::is_ok) && results.iter().any(Result::is_err), "{results:?}");
    assert_eq!(call(&other), Ok(()));
}

#[test]
fn nobody_takes_the_places_of_all() {
    let clients = Clients::new(ClientLimits::default());
    let come = |uid, scope| Caller::new(&process(uid, &[]), scope, false, &clients);
    let all = Some(Scope::All);
    let mut callers: Vec<_> = (0..64).map(|_| come(9, all.clone()).unwrap()).collect();
    assert!(come(9, all.clone()).is_none());
    assert!(come(10, all.clone()).is_some());
    callers.pop();
    assert!(come(9, all.clone()).is_some());
    // Those who may see nothing are one, however many users they are.
    let _nobodies: Vec<_> = (100..164).map(|uid| come(uid, None).unwrap()).collect();
    assert!(come(200, None).is_none());
    let roots: Vec<_> = (0..200).map(|_| come(0, all.clone())).collect();
    assert!(roots.iter().all(Option::is_some));
}

#[test]
fn others_leave_streams_to_root() {
    let clients = Clients::new(ClientLimits { streams: 300, ..ClientLimits::default() });
    let caller = |uid| Caller::new(&process(uid, &[]), Some(Scope::All), false, &clients).unwrap();
    let others: Vec<_> = (1..=3).map(caller).collect();
    let _seats: Vec<_> = others.iter().flat_map(|one| (0..300).map(|_| one.seat().unwrap())).collect();
    assert!(caller(4).seat().is_err());
    assert!(caller(0).seat().is_ok());
}

#[test]
fn nobody_is_admitted_of_whom_nothing_is_known() {
    let refused = Caller::admit(&tonic::Request::new(()), "GetStatus").unwrap_err();
    assert_eq!(refused.code(), tonic::Code::Unauthenticated);
    let nobody = Caller::new(&process(9, &[]), None, false, &Clients::new(ClientLimits::default())).unwrap();
    let mut request = tonic::Request::new(());
    request.extensions_mut().insert(Arc::new(nobody));
    let refused = Caller::admit(&request, "GetStatus").unwrap_err();
    assert_eq!(refused.code(), tonic::Code::PermissionDenied);
    assert!(refused.message().starts_with("uid:9 may see nothing here"), "{}", refused.message());
}

#[test]
fn a_certificates_names_cannot_forge_a_line() {
    let named = certificate("uri:a\nclient=root allowed").name().to_string();
    assert_eq!(named, "uri:a\\nclient=root\\u{20}allowed");
}

#[test]
fn names_of_a_certificate_have_their_kinds() {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params =
        rcgen::CertificateParams::new(vec!["Ops.example".to_owned(), "192.0.2.1".to_owned()]).unwrap();
    params.subject_alt_names.push(rcgen::SanType::URI("spiffe://a/b".try_into().unwrap()));
    params.subject_alt_names.push(rcgen::SanType::Rfc822Name("me@example.com".try_into().unwrap()));
    let made = params.self_signed(&key).unwrap();
    assert_eq!(
        names(made.der()),
        ["dns:ops.example", "ip:192.0.2.1", "uri:spiffe://a/b", "email:me@example.com"]
    );
    assert!(names(b"nonsense").is_empty());
}
