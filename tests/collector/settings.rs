//! The settings of components that the Collector's core has not, as their source has them (opentelemetry-collector-contrib): what is
//! not one of them is an error there, and here.

use anyhow::{Result, ensure};
use serde::Deserialize;
use serde_json::{Value, json};

/// What the Collector under test has.
pub(crate) const IN_CORE: [&str; 4] = ["otlp", "otlphttp", "memory_limiter", "batch"];
/// What every exporter that sends has.
const COMMON: [&str; 3] = ["timeout", "sending_queue", "retry_on_failure"];

/// `exporter/clickhouseexporter/config.go`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Clickhouse {
    endpoint: String,
    database: String,
    username: String,
    password: String,
    create_schema: bool,
    ttl: String,
}

/// `exporter/kafkaexporter/config.go` with `pkg/kafka/configkafka`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kafka {
    brokers: Vec<String>,
    #[serde(rename = "client_id")]
    _client_id: String,
    logs: Topic,
    metrics: Topic,
    traces: Topic,
    partition_traces_by_id: bool,
    partition_logs_by_resource_attributes: bool,
    partition_metrics_by_resource_attributes: bool,
    producer: Producer,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Topic {
    topic: String,
    encoding: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Producer {
    compression: String,
    required_acks: i32,
    max_message_bytes: u64,
}

/// `processor/resourceprocessor`: its actions are those of the attributes processor.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Resource {
    attributes: Vec<Change>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    key: String,
    value: String,
    #[serde(rename = "action")]
    how: String,
}

/// The settings that all exporters have in common.
pub(crate) fn common(settings: &Value) -> Value {
    let mut common = json!({});
    for key in COMMON {
        if let Some(value) = settings.get(key) {
            common[key] = value.clone();
        }
    }
    common
}

/// Reads what the Collector here cannot judge.
pub(crate) fn strictly(part: &str, kind: &str, settings: &Value) -> Result<()> {
    let mut own = settings.clone();
    if let Some(own) = own.as_object_mut() {
        own.retain(|key, _| !COMMON.contains(&key.as_str()));
    }
    match (part, kind) {
        (_, kind) if IN_CORE.contains(&kind) => {}
        ("exporters", "clickhouse") => clickhouse(&serde_json::from_value(own)?)?,
        ("exporters", "kafka") => kafka(&serde_json::from_value(own)?, settings)?,
        ("processors", "resource") => resource(&serde_json::from_value(own)?)?,
        _ => anyhow::bail!("nothing is known of {part} called {kind}"),
    }
    Ok(())
}

fn clickhouse(settings: &Clickhouse) -> Result<()> {
    let is_url = ["tcp://", "clickhouse://", "http://", "https://"]
        .iter()
        .any(|scheme| settings.endpoint.starts_with(scheme));
    ensure!(is_url && !settings.database.is_empty() && settings.create_schema, "{settings:?}");
    // No secret stands in a file.
    for secret in [&settings.username, &settings.password] {
        ensure!(secret.starts_with("${env:") && secret.ends_with('}'), "{settings:?}");
    }
    // Go's durations have no days.
    let hours = settings.ttl.strip_suffix('h').and_then(|hours| hours.parse::<u32>().ok());
    ensure!(hours.is_some(), "{settings:?}");
    Ok(())
}

fn kafka(settings: &Kafka, all: &Value) -> Result<()> {
    ensure!(settings.brokers.iter().all(|broker| broker.contains(':')), "{settings:?}");
    let mut topics = [&settings.logs, &settings.metrics, &settings.traces].map(|of| of.topic.as_str());
    topics.sort_unstable();
    ensure!(topics.windows(2).all(|two| two[0] != two[1]), "{topics:?}");
    for of in [&settings.logs, &settings.metrics, &settings.traces] {
        ensure!(["otlp_proto", "otlp_json"].contains(&of.encoding.as_str()), "{of:?}");
    }
    let partitioned = settings.partition_traces_by_id
        && settings.partition_logs_by_resource_attributes
        && settings.partition_metrics_by_resource_attributes;
    ensure!(partitioned, "{settings:?}");
    let producer = &settings.producer;
    ensure!(
        ["none", "gzip", "snappy", "lz4", "zstd"].contains(&producer.compression.as_str()),
        "{producer:?}"
    );
    ensure!((-1..=1).contains(&producer.required_acks), "{producer:?}");
    // A batch is a message.
    let largest = all["sending_queue"]["batch"]["max_size"].as_u64();
    ensure!(largest.is_some_and(|bytes| bytes < producer.max_message_bytes), "{largest:?} {producer:?}");
    Ok(())
}

fn resource(settings: &Resource) -> Result<()> {
    for one in &settings.attributes {
        ensure!(!one.key.is_empty() && !one.value.is_empty() && one.how == "upsert", "{one:?}");
    }
    ensure!(!settings.attributes.is_empty());
    Ok(())
}
