//! Who may see what: by certificate over TLS, asked by a client that we did not write, and by user at the unix socket.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Output};

use anyhow::{Context, Result, ensure};
use observer_tests::authority::{Authority, SEEN_WITHIN, Signed, replace};
use observer_tests::client::json;
use observer_tests::guardian::Guardian;
use observer_tests::python::call_by_tls;
use observer_tests::wait::PATIENCE;
use observer_tests::{Daemon, Lines, Pod, Secured, Testbed, client, eventually};
use serde_json::{Value, json};

const RULES: &str = r#"
[[allow]]
names = ["dns:ops.example"]
all = true

[[allow]]
names = ["uri:spiffe://observer.test/shop"]
namespaces = ["access-shop"]
"#;

/// Each call, with a request that has it answer soon.
fn calls() -> [(&'static str, Value); 7] {
    [
        ("WatchEvents", json!({"last": 100_000})),
        ("WatchSummaries", json!({"window": "1s"})),
        ("ListConnections", json!({})),
        ("ListListeners", json!({})),
        ("ListWorkloads", json!({})),
        ("Explain", json!({})),
        ("GetStatus", json!({})),
    ]
}

/// A pod with a server in each of two namespaces.
async fn pods(testbed: &Testbed) -> Result<[Pod; 2]> {
    let mut servers = Vec::new();
    for namespace in ["access-shop", "access-data"] {
        let pod =
            testbed.pod(namespace, "server").label("secret", &format!("label-{namespace}")).run().await?;
        pod.container("serve", ["workload", "serve", "--port", "8080"]).start_until("listening").await?;
        servers.push(pod);
    }
    servers.try_into().ok().context("two")
}

async fn connect(from: &Pod, name: &str, to: &Pod) -> Result<()> {
    let to = format!("{}:8080", to.ip()?);
    let argv = ["workload", "connect", "--to", &to, "--bytes", "100", "--hold", "1000"];
    from.container(name, argv).start().await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_call_shows_what_its_caller_may_see() -> Result<()> {
    let testbed = Testbed::shared().await?;
    let folder = tempfile::tempdir()?;
    let site = Secured::new(folder.path(), RULES)?;
    let daemon = Daemon::on(testbed).args(site.args()).start().await?;
    let at = Secured::address(&daemon)?;
    let [shop, data] = pods(testbed).await?;
    // Each of them has the other one as its peer.
    connect(&shop, "out", &data).await?;
    connect(&data, "in", &shop).await?;
    connect(&shop, "own", &shop).await?;
    eventually(PATIENCE, "both ends of three connections", || async {
        let all =
            json(daemon.socket(), ["connections", "--pod", "access-shop/", "--pod", "access-data/"]).await?;
        Ok((all.len() >= 6).then_some(()).ok_or(all.len()))
    })
    .await?;
    let ops = site.authority.sign("ops", "dns:ops.example")?;
    let of_shop = site.authority.sign("shop", "uri:spiffe://observer.test/shop")?;
    let named = |lines: &Lines, text: &str| lines.values().iter().any(|line| line.to_string().contains(text));
    for (method, request) in calls() {
        // A window in which something happened.
        let mut all = site.call(at, Some(&ops), method, &request)?;
        ensure!(all.wait().await?.success(), "{method}: {}", all.account());
        let mut some = site.call(at, Some(&of_shop), method, &request)?;
        ensure!(some.wait().await?.success(), "{method}: {}", some.account());
        ensure!(!some.values().is_empty(), "{method}: nothing");
        for hidden in ["access-data", data.name(), "label-access-data"] {
            ensure!(!named(&some, hidden), "{method} tells of {hidden}: {}", some.account());
        }
        if method != "GetStatus" {
            ensure!(named(&all, "access-data") && named(&all, "access-shop"), "{method}: {}", all.account());
            ensure!(named(&some, "access-shop"), "{method}: {}", some.account());
        }
    }
    // It sees the connection with who is hidden, and both ends' addresses.
    let request = json!({"last": 100_000, "allow": [{"types": ["tcp_connect"]}]});
    let mut some = site.call(at, Some(&of_shop), "WatchEvents", &request)?;
    some.wait().await?;
    let address = data.ip()?.to_string();
    let to_hidden = some
        .matching(|line| line["event"]["tcp_connect"]["tcp"]["destination"]["address"] == address.as_str());
    ensure!(to_hidden.len() == 1, "{}", some.account());
    // Nor can it find out by a filter.
    let asks = json!({"labels": ["secret=label-access-data"]});
    let request = json!({"last": 100_000, "allow": [asks]});
    let mut some = site.call(at, Some(&of_shop), "WatchEvents", &request)?;
    some.wait().await?;
    ensure!(some.matching(|line| line.get("event").is_some()).is_empty(), "{}", some.account());
    let log = daemon.stderr();
    let audit = |line: &str| log.lines().any(|of| of.contains(line));
    ensure!(audit("client=dns:ops.example call=WatchEvents allowed sees=*"), "{log}");
    ensure!(audit("client=uri:spiffe://observer.test/shop call=Explain allowed sees=access-shop"), "{log}");
    shop.remove().await?;
    data.remove().await
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_else_gets_an_answer() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let site = Secured::new(folder.path(), RULES)?;
    let daemon = Daemon::bare().args(site.args()).start().await?;
    let at = Secured::address(&daemon)?;
    let foreign_folder = tempfile::tempdir()?;
    let foreign = Authority::new(foreign_folder.path(), "authority")?;
    let wrong = site.authority.sign("wrong", "dns:wrong.example")?;
    let others = [
        ("none", None),
        ("expired", Some(site.authority.sign_expired("expired", "dns:ops.example")?)),
        ("foreign", Some(foreign.sign("foreign", "dns:ops.example")?)),
    ];
    for (method, request) in calls() {
        let code = site.refusal(at, Some(&wrong), method, &request).await?;
        ensure!(code == "PERMISSION_DENIED", "{method}: {code}");
        for (who, certificate) in &others {
            // No connection comes about.
            let code = site.refusal(at, certificate.as_ref(), method, &request).await?;
            ensure!(code == "UNAVAILABLE", "{method} of {who}: {code}");
        }
    }
    let log = daemon.stderr();
    ensure!(log.contains("client=dns:wrong.example call=GetStatus refused code=PermissionDenied"), "{log}");
    ensure!(log.contains("client=unknown turned away"), "{log}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn our_client_says_what_is_wrong() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let site = Secured::new(folder.path(), RULES)?;
    let daemon = Daemon::bare().args(site.args()).start().await?;
    let at = Secured::address(&daemon)?;
    let elsewhere = tempfile::tempdir()?;
    let foreign = Authority::new(elsewhere.path(), "foreign")?;
    let ops = site.authority.sign("ops", "dns:ops.example")?;
    let ask = |server: String, ca: &Path, of: &Signed| -> Result<(Option<i32>, String)> {
        let mut command = Command::new(client::observer()?);
        Guardian::shared()?.mark(&mut command).args(["status", "--server", &server]);
        command.arg("--tls-ca").arg(ca).arg("--tls-cert").arg(&of.cert).arg("--tls-key").arg(&of.key);
        let output = command.output()?;
        Ok((output.status.code(), String::from_utf8(output.stdout)? + &String::from_utf8(output.stderr)?))
    };
    let ca = &site.authority.ca;
    let server = format!("tls://{at}");
    let (code, said) = ask(server.clone(), ca, &ops)?;
    ensure!(code == Some(0) && said.contains("inet_sock_set_state"), "{said}");
    let wrong = site.authority.sign("wrong", "dns:wrong.example")?;
    let (code, said) = ask(server.clone(), ca, &wrong)?;
    ensure!(code == Some(1) && said.contains("dns:wrong.example may see nothing here"), "{said}");
    ensure!(said.contains("access file"), "{said}");
    let expired = site.authority.sign_expired("expired", "dns:ops.example")?;
    let strange = foreign.sign("strange", "dns:ops.example")?;
    for certificate in [&expired, &strange] {
        let (code, said) = ask(server.clone(), ca, certificate)?;
        ensure!(code == Some(1) && said.contains("does not take this client's certificate"), "{said}");
    }
    let (code, said) = ask(server.clone(), &foreign.ca, &ops)?;
    ensure!(code == Some(1) && said.contains("cannot speak TLS with tls://127.0.0.1:"), "{said}");
    ensure!(said.contains("--tls-ca"), "{said}");
    // The certificate is for an address, and not for that name of it.
    let (code, said) = ask(format!("tls://localhost:{}", at.port()), ca, &ops)?;
    ensure!(code == Some(1) && said.contains("--tls-server-name"), "{said}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_revoked_is_shown_out() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let site = Secured::new(folder.path(), RULES)?;
    let daemon = Daemon::bare().args(site.args()).start().await?;
    let at = Secured::address(&daemon)?;
    let ops = site.authority.sign("ops", "dns:ops.example")?;
    let other = site.authority.sign("other", "dns:ops.example")?;
    let of_shop = site.authority.sign("shop", "uri:spiffe://observer.test/shop")?;
    let follow = json!({"follow": true});
    let mut streams = Vec::new();
    for certificate in [&ops, &of_shop, &other] {
        let stream = site.call(at, Some(certificate), "WatchEvents", &follow)?;
        stream.wait_for("its start", PATIENCE, |line| line.get("node_status").is_some()).await?;
        streams.push(stream);
    }
    // By removal of the rule.
    let (rule, _) = RULES.rsplit_once("[[allow]]").context("two rules")?;
    replace(&site.access, rule)?;
    ensure!(streams[1].wait().await?.code() == Some(1), "{}", streams[1].account());
    for (method, request) in calls() {
        let code = site.refusal(at, Some(&of_shop), method, &request).await?;
        ensure!(code == "PERMISSION_DENIED", "{method}: {code}");
    }
    // By the authority's list: that one certificate, and no other with the same name.
    replace(&site.crl, &site.authority.revoked(&[&ops])?)?;
    ensure!(streams[0].wait().await?.code() == Some(1), "{}", streams[0].account());
    for (method, request) in calls() {
        let code = site.refusal(at, Some(&ops), method, &request).await?;
        ensure!(code == "UNAVAILABLE", "{method}: {code}");
    }
    let mut still = site.call(at, Some(&other), "GetStatus", &json!({}))?;
    ensure!(still.wait().await?.success(), "{}", still.account());
    // A file that cannot be used changes nothing.
    replace(&site.access, "allow = nonsense")?;
    eventually(SEEN_WITHIN, "a word on the file", || async {
        Ok(daemon.stderr().contains("what was read before stays in force").then_some(()).ok_or("not yet"))
    })
    .await?;
    let mut still = site.call(at, Some(&other), "GetStatus", &json!({}))?;
    ensure!(still.wait().await?.success(), "{}", still.account());
    // The daemon's own certificate is renewed, and by another authority: who trusts only the old one is told so.
    let renewed = Authority::new(&site.folder, "renewed")?;
    let new = renewed.sign("new", "ip:127.0.0.1")?;
    replace(&site.access, RULES)?;
    replace(&site.server.key, &fs::read_to_string(&new.key)?)?;
    replace(&site.server.cert, &fs::read_to_string(&new.cert)?)?;
    eventually(SEEN_WITHIN, "the new certificate", || async {
        let mut asked = call_by_tls(&at.to_string(), &renewed.ca, Some(&other), "GetStatus", &json!({}))?;
        Ok(asked.wait().await?.success().then_some(()).ok_or_else(|| asked.account()))
    })
    .await?;
    // Nobody was shown out for that.
    let third = &mut streams[2];
    ensure!(third.matching(|line| line.get("code").is_some()).is_empty(), "{}", third.account());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn users_are_known_at_the_socket() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let rules = "[[allow]]\nuids = [64001]\nall = true\n[[allow]]\ngids = [64010]\nnamespaces = [\"none\"]\n";
    let access = folder.path().join("access.toml");
    fs::write(&access, rules)?;
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755))?;
    // Where others may come as well.
    let socket = folder.path().join("observer.sock");
    let daemon = Daemon::bare()
        .args(["--listen".to_owned(), format!("unix://{}", socket.display())])
        .args(["--access-file".to_owned(), access.display().to_string()])
        .start()
        .await?;
    // Others may not be able to read where it was built.
    let program = folder.path().join("observer");
    fs::copy(client::observer()?, &program)?;
    let ask = |uid: u32, gid: u32, args: &str| -> Result<Output> {
        let mut command = Command::new(&program);
        Guardian::shared()?.mark(&mut command).args(args.split(' ')).uid(uid).gid(gid).current_dir("/");
        Ok(command.arg("--server").arg(format!("unix://{}", socket.display())).output()?)
    };
    let commands = [
        "events --all -o json",
        "summary --window 1s -o json",
        "connections -o json",
        "connections --listeners -o json",
        "workloads -o json",
        "explain -A -o json",
        "status -o json",
    ];
    for args in commands {
        for (uid, gid) in [(64001, 64001), (64002, 64010)] {
            let output = ask(uid, gid, args)?;
            ensure!(output.status.success(), "{args} as {uid}: {output:?}");
        }
        let output = ask(64003, 64003, args)?;
        let words = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.code() == Some(1) && words.contains("uid:64003 may see nothing here"),
            "{args}: {words}"
        );
    }
    let all = String::from_utf8(ask(64001, 64001, "workloads -o json")?.stdout)?;
    ensure!(all.contains("WORKLOAD_KIND_"), "{all}");
    let none = String::from_utf8(ask(64002, 64010, "workloads -o json")?.stdout)?;
    ensure!(!none.contains("WORKLOAD_KIND_"), "{none}");
    let log = daemon.stderr();
    ensure!(log.contains("client=uid:64001 pid=") && log.contains("client=uid:64003 pid="), "{log}");
    Ok(())
}
