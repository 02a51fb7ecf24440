//! What the observer tells to other tools: metrics, logs and traces.

mod otlp;
