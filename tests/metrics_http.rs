//! The HTTP server of the metrics: its formats, what promtool says of them, TLS, and who may connect in plain text.

use std::fs;
use std::path::Path;

use anyhow::{Result, ensure};
use observer_tests::prometheus::{deployed, promtool};
use observer_tests::wait::PATIENCE;
use observer_tests::web::{Answer, ask, get, metrics_address};
use observer_tests::{Authority, Daemon, Prometheus, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn promtool_finds_nothing_wrong() -> Result<()> {
    let daemon = Daemon::bare().args(["--http-listen", "127.0.0.1:0"]).start().await?;
    let at = metrics_address(&daemon)?;
    ready(&daemon).await?;
    let text = get(at, "/metrics").await?;
    promtool(&["check", "metrics"], &text.body)?;
    let rules = deployed("prometheus/observer.rules.yml").display().to_string();
    let said = promtool(&["check", "rules", &rules], b"")?;
    let rules = include_str!("../deploy/prometheus/observer.rules.yml").matches("- alert:").count();
    ensure!(said.contains(&format!("{rules} rules found")), "{said}");
    promtool(&["test", "rules", &deployed("prometheus/observer.test.yml").display().to_string()], b"")?;

    let of = async |path: &'static str, lines: &'static [&'static str]| ask(at, "GET", path, lines).await;
    let type_of = |answer: &Answer, what: &str| answer.head.contains(&format!("content-type: {what}"));
    ensure!(type_of(&text, "text/plain; version=0.0.4"), "{}", text.head);
    let open = of("/metrics", &["Accept: application/openmetrics-text; version=1.0.0"]).await?;
    ensure!(
        type_of(&open, "application/openmetrics-text; version=1.0.0") && open.text().ends_with("# EOF\n")
    );
    let packed = of("/metrics", &["Accept-Encoding: gzip"]).await?;
    ensure!(packed.head.contains("content-encoding: gzip") && packed.body.starts_with(&[0x1f, 0x8b]));
    ensure!(packed.body.len() < text.body.len() / 3, "{} of {}", packed.body.len(), text.body.len());
    ensure!(get(at, "/healthz").await?.text() == "ok\n");
    ensure!(get(at, "/").await?.status == 404 && get(at, "/metrics/").await?.status == 404);
    let posted = ask(at, "POST", "/metrics", &["Content-Length: 0"]).await?;
    ensure!(posted.status == 405 && posted.head.contains("allow: get, head"), "{}", posted.head);
    let head = ask(at, "HEAD", "/metrics", &[]).await?;
    ensure!(head.status == 200 && head.body.is_empty());
    let long = format!("X-Long: {}", "x".repeat(64 << 10));
    let refused = ask(at, "GET", "/metrics", &[&long]).await;
    ensure!(refused.as_ref().map_or(true, |answer| answer.status == 431), "{refused:?}");
    Ok(())
}

async fn ready(daemon: &Daemon) -> Result<()> {
    let at = metrics_address(daemon)?;
    eventually(PATIENCE, "the daemon to be ready", async || {
        let answer = get(at, "/readyz").await?;
        Ok(if answer.status == 200 { Ok(()) } else { Err(answer.text()) })
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn by_tls_whoever_has_to_shows_a_certificate() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path();
    let [authority, others] = ["one", "two"].map(|name| Authority::new(path, name));
    let (authority, others) = (authority?, others?);
    let (server, visitor) =
        (authority.sign("server", "ip:127.0.0.1")?, authority.sign("visitor", "dns:scraper")?);
    let settings = format!(
        "http_listen = '127.0.0.1:0'\n[http]\ntls_cert = '{}'\ntls_key = '{}'\ntls_client_ca = '{}'\n",
        server.cert.display(),
        server.key.display(),
        authority.ca.display()
    );
    let file = path.join("observer.toml");
    fs::write(&file, settings)?;
    let daemon = Daemon::bare().arg("--config").arg(&file).start().await?;
    let at = metrics_address(&daemon)?;
    let job = |name: &str, ca: &Path, shown: bool| {
        let [cert, key] = [&visitor.cert, &visitor.key].map(|path| path.display());
        let own = if shown { format!(", cert_file: {cert}, key_file: {key}") } else { String::new() };
        format!(
            "  - job_name: {name}\n    scheme: https\n    tls_config: {{ca_file: {}{own}}}\n    static_configs: [{{targets: \
             ['{at}']}}]\n",
            ca.display()
        )
    };
    let jobs = [
        job("known", &authority.ca, true),
        job("unknown", &authority.ca, false),
        job("others", &others.ca, true),
    ];
    let prometheus = Prometheus::start(&jobs.concat(), &[], "exemplar-storage").await?;
    let up = async |known: f64, of_others: f64| {
        eventually(PATIENCE, "who may to be let in", async || {
            let mut told = Vec::new();
            for job in ["known", "unknown", "others"] {
                told.push(prometheus.value(&format!("up{{job=\"{job}\"}}")).await?);
            }
            let expected = [known, 0.0, of_others].map(Some);
            Ok(if told == expected { Ok(()) } else { Err(told) })
        })
        .await
    };
    up(1.0, 0.0).await?;
    // The daemon's certificate is replaced by one of another authority.
    let newer = others.sign("newer", "ip:127.0.0.1")?;
    fs::rename(&newer.cert, &server.cert)?;
    fs::rename(&newer.key, &server.key)?;
    up(0.0, 1.0).await
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_text_is_for_this_machine_unless_that_is_wanted_otherwise() -> Result<()> {
    let mut refused = Daemon::bare().args(["--http-listen", "0.0.0.0:0"]).spawn()?;
    ensure!(!refused.wait().await?.success());
    let said = refused.stderr();
    ensure!(
        said.contains("--http-listen: `0.0.0.0:0` is not allowed") && said.contains("insecure = true"),
        "{said}"
    );
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("observer.toml");
    fs::write(&file, "http_listen = '0.0.0.0:0'\n[http]\ninsecure = true\n")?;
    let daemon = Daemon::bare().arg("--config").arg(&file).start().await?;
    let port = metrics_address(&daemon)?.port();
    ensure!(get(([127, 0, 0, 1], port).into(), "/healthz").await?.status == 200);
    Ok(())
}
