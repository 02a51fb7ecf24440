//! Each command that docs/kubernetes.md and docs/storage.md tell people to enter is run as far as this machine allows, or says itself
//! that it was not run here, and why.

#[path = "documented/commands.rs"]
mod commands;
#[path = "image/made.rs"]
#[allow(dead_code, reason = "some of it is for the tests of the image")]
mod made;

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use made::{image, make_as, node};
use observer_tests::client::observer;
use observer_tests::collector::otelcol;
use observer_tests::guardian::Guardian;
use observer_tests::manifests::{self, Manifests};
use observer_tests::prometheus::tool;
use observer_tests::wait::PATIENCE;
use observer_tests::{Authority, Deployed, Deployment, Prometheus, Testbed, eventually, shop};

use self::commands::{Line, Where, lines};

/// All that this machine cannot do: nobody is there to answer.
const NOT_HERE: [&str; 7] = [
    "kubectl apply -k ",
    "kubectl -n observer rollout ",
    "kubectl -n observer exec -it ",
    "kubectl -n observer port-forward ",
    "skopeo copy ",
    "otelcol-contrib ",
    "observer status --server tls://observer-relay.observer.svc",
];

/// The project's folder, which is where people are.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("/"))
}

#[test]
fn only_what_cannot_be_run_here_says_that_it_was_not() -> Result<()> {
    let all: Vec<Line> = lines(Where::Both)?;
    ensure!(all.len() > 15, "{all:#?}");
    for line in &all {
        let cannot = NOT_HERE.iter().any(|start| line.command.starts_with(start));
        ensure!(cannot == line.reason.is_some(), "{line:?}");
        ensure!(line.reason.as_ref().is_none_or(|reason| reason.len() > 5), "{line:?}");
    }
    for start in NOT_HERE {
        ensure!(all.iter().any(|line| line.command.starts_with(start)), "nothing begins with {start}");
    }
    Ok(())
}

/// What it wrote. It has nothing to complain about.
fn output(command: &mut Command) -> Result<String> {
    let output = command.current_dir(root()).output()?;
    let (out, error) = (String::from_utf8(output.stdout)?, String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success() && error.is_empty(), "{command:?}: {}: {out}{error}", output.status);
    Ok(out)
}

/// Runs a command of docs/storage.md.
async fn store(command: &str) -> Result<()> {
    let words: Vec<&str> = command.split(' ').collect();
    match words.as_slice() {
        ["promtool", rest @ ..] => {
            let said = output(tool("promtool")?.args(rest))?;
            ensure!(said.contains("SUCCESS"), "{said}");
        }
        // That it does what it is to do, tests/collector.rs says.
        ["otelcol", rest @ ..] => {
            output(otelcol()?.arg("validate").args(rest))?;
        }
        ["prometheus", file, flags @ ..] => {
            let file = file.strip_prefix("--config.file=").context("no configuration")?;
            // Whoever writes elsewhere has a file of ours, and is told of nobody who is not here; the other one has none.
            let text = match file {
                "prometheus.yml" => "{}".to_owned(),
                file => fs::read_to_string(root().join(file))?
                    .replace("metrics.example.org:9090", "127.0.0.1:1")
                    .replace("127.0.0.1:9966", "127.0.0.1:1"),
            };
            let features = flags.iter().find_map(|flag| flag.strip_prefix("--enable-feature="));
            let others: Vec<&str> =
                flags.iter().filter(|flag| !flag.starts_with("--enable-feature=")).copied().collect();
            Prometheus::configured(&text, features.context("no features")?, &others).await?;
        }
        _ => anyhow::bail!("say in this test how to run: {command}"),
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_storage_needs_can_be_entered() -> Result<()> {
    for line in lines(Where::Storage)?.iter().filter(|line| line.reason.is_none()) {
        store(&line.command).await?;
    }
    Ok(())
}

/// The DaemonSet's pod with the API's component, and the files that its clients have.
async fn deployed(testbed: &Testbed, files: &Path) -> Result<Deployed> {
    let authority = Authority::new(files, "ca")?;
    let own = authority.sign("server", "dns:observer-api.observer.svc")?;
    let client = authority.sign("client", "dns:observer-relay.observer.svc")?;
    let secret = files.join("secret");
    fs::create_dir(&secret)?;
    for (folder, signed) in [(secret.as_path(), &own), (files, &client)] {
        fs::copy(&authority.ca, folder.join("ca.crt"))?;
        fs::copy(&signed.cert, folder.join("tls.crt"))?;
        fs::copy(&signed.key, folder.join("tls.key"))?;
    }
    let manifests = Manifests::with("overlays/containerd", &["api"])?;
    Deployment::new(testbed, manifests)?.secret("observer-api", &secret).start().await?.started().await
}

/// Runs what people ask in the daemon's pod, until it shows what the pods do.
async fn ask(deployed: &Deployed, words: &[&str]) -> Result<()> {
    let shows = match words {
        ["observer", "status"] => "bpf",
        // There may be none.
        ["observer", "incident", ..] => "",
        _ => "shop/cart",
    };
    eventually(PATIENCE, &format!("{words:?}"), async || {
        let executed = deployed.container.exec(words.iter().copied()).await?;
        ensure!(executed.code == 0 && executed.stderr.is_empty(), "{words:?}: {executed:?}");
        Ok(if executed.stdout.contains(shows) { Ok(()) } else { Err(executed.stdout) })
    })
    .await
}

/// Runs a command of docs/kubernetes.md.
async fn run(command: &str, testbed: &Testbed, deployed: &Deployed, files: &Path) -> Result<()> {
    let words: Vec<&str> = command.split_whitespace().collect();
    match words.as_slice() {
        ["cargo", "xtask", "image"] => {
            image().await?;
        }
        ["cargo", "xtask", "image", rest @ ..] => {
            let (file, rest) = (files.join("named.tar"), rest.iter().map(ToString::to_string).collect());
            tokio::task::spawn_blocking(move || make_as(&file, rest)).await??;
        }
        ["ctr", "-n", "k8s.io", "images", "import", "target/image/observer-amd64.tar"] => {
            testbed.ctr(&["images", "import", &image().await?.to_string_lossy()])?;
        }
        ["kubectl", "kustomize", path] => {
            let rendered = output(Command::new(manifests::kubectl()?).args(["kustomize", path]))?;
            ensure!(rendered.contains("kind: DaemonSet"), "{rendered}");
        }
        ["kubectl", "-n", "observer", "exec", "ds/observer", "--", rest @ ..] => ask(deployed, rest).await?,
        // At this port is the pod, which is in the node's network.
        ["observer", rest @ ..] if command.contains("tls://localhost:7443") => {
            let said = Command::new(fs::canonicalize(observer()?)?).args(rest).current_dir(files).output()?;
            ensure!(said.status.success() && said.stderr.is_empty(), "{command}: {said:?}");
            ensure!(String::from_utf8(said.stdout)?.contains("shop/cart"), "{command}");
        }
        _ => anyhow::bail!("say in this test how to run: {command}"),
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_cluster_needs_can_be_entered() -> Result<()> {
    let testbed = node().await?;
    let files = Guardian::shared()?.scratch("documented")?;
    let pods = shop::open(testbed).await?;
    let deployed = deployed(testbed, &files).await?;
    for line in lines(Where::Kubernetes)?.iter().filter(|line| line.reason.is_none()) {
        run(&line.command, testbed, &deployed, &files).await.with_context(|| line.command.clone())?;
    }
    for pod in pods {
        pod.remove().await?;
    }
    deployed.pod.remove().await
}

/// What is applied is what was looked at before, and the kustomization that is shown can be rendered.
#[test]
fn what_is_applied_can_be_rendered() -> Result<()> {
    for line in lines(Where::Kubernetes)? {
        if let Some(path) = line.command.strip_prefix("kubectl apply -k ") {
            output(Command::new(manifests::kubectl()?).args(["kustomize", path.trim()]))?;
        }
    }
    let image = Manifests::own(&kustomization(Where::Kubernetes)?)?.container()?.image;
    ensure!(image.as_deref() == Some("registry.example.org/observer:0.1.0"), "{image:?}");
    Ok(())
}

/// The one block of that kind which has this in it.
fn block(document: Where, kind: &str, with: &str) -> Result<String> {
    let text = commands::read(document)?;
    let start = format!("```{kind}\n");
    let blocks = text.split(&start).skip(1).filter_map(|block| block.split("```").next());
    let mut found = blocks.filter(|block| block.contains(with));
    let block = found.next().with_context(|| format!("no {with} in {document:?}"))?;
    ensure!(found.next().is_none(), "more than one {with} in {document:?}");
    Ok(block.to_owned())
}

/// The kustomization that a document shows, with this machine's files.
fn kustomization(document: Where) -> Result<String> {
    let block = block(document, "yaml", "kind: Kustomization")?;
    let local = block.replace("https://git.example.org/observer//deploy/kubernetes", "BASE");
    Ok(local.replace("?ref=v0.1.0", ""))
}

/// The DaemonSet with the settings of docs/storage.md has the exporter, and finds its certificates.
#[tokio::test(flavor = "multi_thread")]
async fn the_exporter_s_kustomization_runs() -> Result<()> {
    let base = fs::read_to_string(manifests::folder().join("base/observer.toml"))?;
    let settings = base + "\n" + &block(Where::Storage, "toml", "[otlp.storage]")?;
    let text = kustomization(Where::Storage)?;
    let manifests = Manifests::own_with(&text, &[("observer.toml", &settings)])?;
    let testbed = node().await?;
    let files = Guardian::shared()?.scratch("exporter")?;
    let authority = Authority::new(&files, "ca")?;
    let own = authority.sign("own", "dns:observer.example")?;
    for (from, to) in [(&authority.ca, "ca.crt"), (&own.cert, "tls.crt"), (&own.key, "tls.key")] {
        fs::copy(from, files.join(to))?;
    }
    let deployment = Deployment::new(testbed, manifests)?.secret("observer-otlp", &files);
    let deployed = deployment.start().await?.started().await?;
    // Nobody has that name here: it is asked for once the certificates have been read.
    eventually(PATIENCE, "the exporter to have tried", async || {
        let executed = deployed.container.exec(["observer", "status"]).await?;
        let said = executed.stdout;
        ensure!(
            executed.code == 0 && !said.contains("cannot read") && !said.contains("No such file"),
            "{said}"
        );
        let tried = said.lines().any(|line| line.trim_start().starts_with("otlp.storage, "));
        Ok(if tried && said.contains("collector.monitoring") { Ok(()) } else { Err(said) })
    })
    .await?;
    deployed.pod.remove().await
}
