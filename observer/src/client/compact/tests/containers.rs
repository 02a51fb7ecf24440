//! The lines of containers' starts and ends: all that is worth knowing at once.

use super::*;

fn stop(stop: ContainerStop) -> String {
    let line = line(event(EventType::ContainerStop, Detail::ContainerStop(stop)));
    line.strip_prefix("shop/cart-7d9f/app container_stop ").unwrap().to_owned()
}

fn of(kind: EndKind) -> ContainerStop {
    let sources = vec![EndSource::Kernel.into(), EndSource::Cri.into()];
    ContainerStop {
        kind: kind.into(),
        run_time_ns: Some(60_000_000_000),
        sources,
        ..ContainerStop::default()
    }
}

fn killed(kind: EndKind) -> ContainerStop {
    ContainerStop { signal: Some(9), signal_name: "SIGKILL".to_owned(), ..of(kind) }
}

fn sent(name: &str, origin: SignalOrigin, comm: &str) -> SignalSent {
    let sender = Some(Process { comm: comm.to_owned(), ..testing::process() });
    let signal_name = name.to_owned();
    SignalSent {
        signal_name,
        origin: origin.into(),
        sender,
        before_end_ns: 30_000_000_000,
        ..SignalSent::default()
    }
}

fn runtime(reason: &str, exit_code: i32, message: &str) -> RuntimeEnd {
    let (reason, message) = (reason.to_owned(), message.to_owned());
    RuntimeEnd { reason, exit_code, message, ..RuntimeEnd::default() }
}

#[test]
fn starts() {
    let start = ContainerStart { image: "redis:7".to_owned(), ..ContainerStart::default() };
    let mut first = event(EventType::ContainerStart, Detail::ContainerStart(start.clone()));
    assert_eq!(line(first.clone()), "shop/cart-7d9f/app container_start (image redis:7)");
    first.workload.as_mut().unwrap().restart_count = Some(3);
    assert_eq!(line(first), "shop/cart-7d9f/app container_start (image redis:7, restart 3)");
    let last_end = ContainerEnd {
        kind: EndKind::Error.into(),
        code: Some(1),
        run_time_ns: Some(2_000_000_000),
        ..ContainerEnd::default()
    };
    let again = ContainerStart {
        restarts_seen: 2,
        since_last_end_ns: Some(20_000_000_000),
        last_end: Some(last_end),
        ..start
    };
    assert_eq!(
        line(event(EventType::ContainerStart, Detail::ContainerStart(again))),
        "shop/cart-7d9f/app container_start (image redis:7, restart 2, \
         20 s after the run before ended (error: code 1 after 2.0 s))"
    );
}

#[test]
fn readiness() {
    let ready = |address: &str| {
        let (address, since_start_ns) = (address.to_owned(), Some(1_500_000_000));
        let ready = ContainerReady { address, port: 8080, since_start_ns };
        line(event(EventType::ContainerReady, Detail::ContainerReady(ready)))
    };
    assert_eq!(
        ready("::"),
        "shop/cart-7d9f/app container_ready (listens on [::]:8080, 1.5 s after its start, pid 4312 cart)"
    );
    assert!(
        ready("127.0.0.1").contains("listens on 127.0.0.1:8080")
            && ready("::1").contains("for its own pod alone")
    );
}

#[test]
fn ends_by_themselves() {
    assert_eq!(
        stop(ContainerStop { code: Some(0), others_running: Some(0), ..of(EndKind::Completed) }),
        "(completed after 1 min, nothing else runs in the pod)"
    );
    assert_eq!(
        stop(ContainerStop { code: Some(3), others_running: Some(2), ..of(EndKind::Error) }),
        "(error: code 3 after 1 min, 2 other containers of the pod go on)"
    );
    assert_eq!(stop(killed(EndKind::OomKilled)), "(OOM-killed: SIGKILL after 1 min)");
    assert_eq!(
        stop(ContainerStop { pod_ended: true, others_running: Some(0), ..of(EndKind::Completed) }),
        "(completed after 1 min, the pod ended)"
    );
    let vanished = ContainerStop { sources: Vec::new(), ..of(EndKind::Vanished) };
    assert_eq!(stop(vanished), "(vanished, its end was not seen after 1 min)");
    let older = ContainerStop { code: Some(2), run_time_ns: None, ..ContainerStop::default() };
    assert_eq!(stop(older), "(code 2)", "an older daemon tells no kind");
    assert_eq!(stop(ContainerStop::default()), "(its end was not seen)");
}

#[test]
fn ends_by_others() {
    let asked_by = Some(sent("SIGTERM", SignalOrigin::Outside, "containerd-shim"));
    let stubborn = ContainerStop {
        killed_by: Some(sent("SIGKILL", SignalOrigin::Outside, "containerd-shim")),
        asked_by: asked_by.clone(),
        ..killed(EndKind::KilledAfterGrace)
    };
    assert_eq!(
        stop(stubborn),
        "(killed after the grace period: SIGKILL after 1 min, \
         30 s after SIGTERM from outside by containerd-shim (pid 4312))"
    );
    let person = ContainerStop {
        killed_by: Some(sent("SIGKILL", SignalOrigin::Container, "bash")),
        ..killed(EndKind::Signalled)
    };
    assert_eq!(stop(person), "(signalled: SIGKILL after 1 min, sent from inside by bash (pid 4312))");
    let obedient = ContainerStop { code: Some(0), asked_by, ..of(EndKind::Completed) };
    assert_eq!(
        stop(obedient),
        "(completed after 1 min, 30 s after SIGTERM from outside by containerd-shim (pid 4312))"
    );
}

#[test]
fn what_the_runtime_adds() {
    let start_error = ContainerStop {
        code: Some(128),
        run_time_ns: None,
        sources: vec![EndSource::Cri.into()],
        runtime: Some(runtime(
            "StartError",
            128,
            "create failed: unable to start container process: exec: \"nope\": not found",
        )),
        ..of(EndKind::StartError)
    };
    assert_eq!(
        stop(start_error),
        "(start error: code 128, the runtime says StartError \"exec: \\\"nope\\\": not found\")"
    );
    let child = ContainerStop {
        code: Some(0),
        oom_killed_children: 1,
        sources_disagree: true,
        runtime: Some(runtime("OOMKilled", 0, "")),
        ..of(EndKind::Completed)
    };
    assert_eq!(
        stop(child),
        "(completed after 1 min, the OOM killer ended a child of it before, but the runtime says OOMKilled, code 0)"
    );
    let same = ContainerStop { code: Some(1), runtime: Some(runtime("Error", 1, "")), ..of(EndKind::Error) };
    assert_eq!(stop(same), "(error: code 1 after 1 min)");
}

#[test]
fn crash_loops() {
    let end = |code, back: Option<u64>| ContainerEnd {
        kind: EndKind::Error.into(),
        code: Some(code),
        run_time_ns: Some(2_000_000_000),
        restarted_after_ns: back,
        ..ContainerEnd::default()
    };
    let crash_loop = ContainerCrashLoop {
        failures: 3,
        window_ns: 600_000_000_000,
        restarts_seen: 2,
        ends: vec![end(1, Some(10_000_000_000)), end(1, Some(20_000_000_000)), end(2, None)],
    };
    assert_eq!(
        line(event(EventType::ContainerCrashLoop, Detail::ContainerCrashLoop(crash_loop))),
        "shop/cart-7d9f/app container_crash_loop (3 failed ends within 10 min, the last error: code 1 after 2.0 s, \
         back after 10 s; error: code 1 after 2.0 s, back after 20 s; error: code 2 after 2.0 s)"
    );
}
