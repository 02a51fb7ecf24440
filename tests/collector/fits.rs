//! Whether the files fit together and beside the daemon's settings, and what the Collector itself says of them.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context, Result, ensure};
use observer_tests::authority::Authority;
use observer_tests::collector::{Configuration, folder};
use observer_tests::exporting::scratch;
use serde_json::{Map, Value, json};

use super::settings::{IN_CORE, common, strictly};
use super::{STORAGE, documented};

/// What people start a Collector with: files in their order.
const TOGETHER: [&[&str]; 6] = [
    &["receive.yaml", "grafana.yaml"],
    &["receive.yaml", "clickhouse.yaml"],
    &["receive.yaml", "kafka.yaml"],
    &["receive.yaml", "grafana.yaml", "cluster.yaml"],
    &["receive.yaml", "clickhouse.yaml", "cluster.yaml"],
    &["receive.yaml", "kafka.yaml", "cluster.yaml"],
];
const SIGNALS: [&str; 3] = ["logs", "metrics", "traces"];

/// As the Collector puts files together: what is in tables is added, all else is replaced.
fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from,
    }
}

fn together(files: &[&str]) -> Result<Value> {
    let mut all = json!({});
    for file in files {
        let text = fs::read_to_string(folder().join(file))?;
        merge(&mut all, serde_saphyr::from_str(&text).with_context(|| (*file).to_owned())?);
    }
    Ok(all)
}

fn table<'a>(of: &'a Value, key: &str) -> Result<&'a Map<String, Value>> {
    of[key].as_object().with_context(|| format!("no {key} in {of}"))
}

fn names(of: &Map<String, Value>) -> BTreeSet<String> {
    of.keys().cloned().collect()
}

/// The kind of a component: what stands before the slash of its name.
fn kind(name: &str) -> &str {
    name.split('/').next().unwrap_or(name)
}

#[test]
fn each_pipeline_names_what_there_is_and_nothing_is_left_over() -> Result<()> {
    for files in TOGETHER {
        let all = together(files)?;
        ensure!(names(all.as_object().context("no table")?).len() == 4, "{files:?}: {all}");
        let service = table(&all, "service")?;
        ensure!(service.keys().eq(["pipelines"]), "{service:?}");
        let pipelines = table(&all["service"], "pipelines")?;
        ensure!(pipelines.keys().eq(SIGNALS), "{pipelines:?}");
        for part in ["receivers", "processors", "exporters"] {
            let there = table(&all, part)?;
            let mut used = BTreeSet::new();
            for pipeline in pipelines.values() {
                let list = pipeline[part].as_array().with_context(|| format!("no {part} in {pipeline}"))?;
                used.extend(list.iter().filter_map(|name| name.as_str().map(str::to_owned)));
            }
            ensure!(used == names(there), "{files:?}: {used:?} of {there:?}");
            for (name, settings) in there {
                strictly(part, kind(name), settings).with_context(|| format!("{files:?}: {name}"))?;
            }
        }
        // Whoever is first may refuse before anything was done.
        for pipeline in pipelines.values() {
            ensure!(pipeline["processors"][0] == "memory_limiter", "{pipeline}");
        }
    }
    Ok(())
}

#[test]
fn every_file_is_documented_and_tried() -> Result<()> {
    for file in fs::read_dir(folder())? {
        let name = file?.file_name().to_string_lossy().into_owned();
        ensure!(TOGETHER.iter().any(|files| files.contains(&name.as_str())), "{name} is not tried");
        ensure!(STORAGE.contains(&format!("deploy/collector/{name}")), "{name} is not documented");
        let text = fs::read_to_string(folder().join(&name))?;
        for variable in text.split("${env:").skip(1).filter_map(|rest| rest.split('}').next()) {
            ensure!(STORAGE.contains(variable), "{variable} of {name} is not documented");
        }
    }
    Ok(())
}

/// The daemon's settings lead to what the Collector listens at, and both show certificates.
#[test]
fn the_daemon_s_settings_fit_the_receiver() -> Result<()> {
    let documented = documented()?;
    let setting = |key: &str| {
        let value = documented.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(" = "));
        value.map(|value| value.trim_matches('"')).with_context(|| format!("no {key} in {documented}"))
    };
    let endpoint = setting("endpoint")?;
    let grpc = &together(TOGETHER[0])?["receivers"]["otlp"]["protocols"]["grpc"];
    let port = grpc["endpoint"].as_str().and_then(|at| at.strip_prefix("0.0.0.0:")).context("no port")?;
    ensure!(endpoint.starts_with("https://") && endpoint.ends_with(&format!(":{port}")), "{endpoint}");
    // gRPC is what is spoken unless something else is said.
    ensure!(setting("protocol").is_err(), "{documented}");
    ensure!(grpc["tls"]["client_ca_file"].is_string(), "{grpc}");
    for key in ["tls_ca", "tls_cert", "tls_key"] {
        ensure!(setting(key)?.starts_with('/'), "{documented}");
    }
    Ok(())
}

/// What the Collector's core has takes the place of what it has not: of an exporter that with all settings that exporters have in common.
fn of_core(mut all: Value) -> Result<Value> {
    let mut replaced = Vec::new();
    for (name, settings) in table(&all, "exporters")? {
        if !IN_CORE.contains(&kind(name)) {
            let mut settings = common(settings);
            settings["endpoint"] = json!("127.0.0.1:1");
            replaced.push((name.clone(), format!("otlp/{name}"), settings));
        }
    }
    for (name, other, settings) in &replaced {
        let exporters = all["exporters"].as_object_mut().context("no exporters")?;
        exporters.remove(name);
        exporters.insert(other.clone(), settings.clone());
    }
    let processors = all["processors"].as_object_mut().context("no processors")?;
    processors.retain(|name, _| IN_CORE.contains(&kind(name)));
    let pipelines = all["service"]["pipelines"].as_object_mut().context("no pipelines")?;
    for pipeline in pipelines.values_mut() {
        for name in pipeline["exporters"].as_array_mut().into_iter().flatten() {
            if let Some((_, other, _)) = replaced.iter().find(|(replaced, ..)| *name == replaced.as_str()) {
                *name = json!(other);
            }
        }
        if let Some(list) = pipeline["processors"].as_array_mut() {
            list.retain(|name| name.as_str().is_some_and(|name| IN_CORE.contains(&kind(name))));
        }
    }
    Ok(all)
}

#[test]
fn the_collector_takes_each_of_them() -> Result<()> {
    let files = scratch("certificates")?;
    let authority = Authority::new(&files, "ca")?;
    let own = authority.sign("tls", "dns:collector.monitoring")?;
    let certificates = |text: String| {
        let path = |path: &std::path::Path| path.to_string_lossy().into_owned();
        text.replace("/etc/collector/tls/ca.crt", &path(&authority.ca))
            .replace("/etc/collector/tls/tls.crt", &path(&own.cert))
            .replace("/etc/collector/tls/tls.key", &path(&own.key))
    };
    for files in TOGETHER {
        // JSON is YAML as well.
        let text = certificates(of_core(together(files)?)?.to_string());
        let said = Configuration::text(&text)?.judged()?;
        ensure!(said.is_empty(), "{files:?}: {said}");
        // One that is wrong is seen.
        for (right, wrong) in [("\"memory_limiter\"]", "\"memory_limit\"]"), ("flush_timeout", "flush_time")]
        {
            let wrong = text.replacen(right, wrong, 1);
            ensure!(
                wrong != text && !Configuration::text(&wrong)?.judged()?.is_empty(),
                "{files:?}: {wrong}"
            );
        }
    }
    // What is all of the core is taken as it is.
    let said = Configuration::of(TOGETHER[0], &[])?.judged()?;
    ensure!(said.is_empty(), "{said}");
    Ok(())
}
