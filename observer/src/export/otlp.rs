//! OTLP: metrics, logs and traces for OpenTelemetry's receivers, by gRPC and HTTP.

mod attributes;
mod ids;
mod resource;
mod traces;
mod transport;
mod words;
