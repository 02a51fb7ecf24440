//! Receivers that need little to be said.

use serde::Deserialize;

use super::{Protocol, Signals, Temporality};

/// A receiver that is known by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Preset {
    Collector,
    Jaeger,
    NewRelic,
    NewRelicEu,
    Lightstep,
}

impl Preset {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Collector => "collector",
            Self::Jaeger => "jaeger",
            Self::NewRelic => "new-relic",
            Self::NewRelicEu => "new-relic-eu",
            Self::Lightstep => "lightstep",
        }
    }

    /// Where it is, unless something else is said.
    pub(super) const fn endpoint(self, protocol: Protocol) -> &'static str {
        match (self, protocol) {
            (Self::Collector | Self::Jaeger, Protocol::Grpc) => "http://127.0.0.1:4317",
            (Self::Collector | Self::Jaeger, Protocol::Http) => "http://127.0.0.1:4318",
            (Self::NewRelic, _) => "https://otlp.nr-data.net:443",
            (Self::NewRelicEu, _) => "https://otlp.eu01.nr-data.net:443",
            (Self::Lightstep, _) => "https://ingest.lightstep.com:443",
        }
    }

    pub(super) const fn protocol(self) -> Protocol {
        match self {
            Self::Collector | Self::Jaeger | Self::Lightstep => Protocol::Grpc,
            Self::NewRelic | Self::NewRelicEu => Protocol::Http,
        }
    }

    /// It speaks OTLP by HTTP at the usual paths.
    pub(super) const fn has_http(self) -> bool {
        match self {
            Self::Lightstep => false,
            Self::Collector | Self::Jaeger | Self::NewRelic | Self::NewRelicEu => true,
        }
    }

    /// The header that has the token.
    pub(super) const fn token(self) -> Option<&'static str> {
        match self {
            Self::Collector | Self::Jaeger => None,
            Self::NewRelic | Self::NewRelicEu => Some("api-key"),
            Self::Lightstep => Some("lightstep-access-token"),
        }
    }

    /// What it takes.
    pub(super) const fn takes(self) -> Signals {
        match self {
            Self::Jaeger => Signals { metrics: false, logs: false, traces: true },
            Self::Lightstep => Signals { logs: false, ..Signals::ALL },
            Self::Collector | Self::NewRelic | Self::NewRelicEu => Signals::ALL,
        }
    }

    /// It refuses all else.
    pub(super) const fn takes_traces_alone(self) -> bool {
        let Signals { metrics, logs, traces: _ } = self.takes();
        !metrics && !logs
    }

    /// What it would have counters tell.
    pub(super) const fn temporality(self) -> Temporality {
        match self {
            Self::NewRelic | Self::NewRelicEu => Temporality::Delta,
            Self::Collector | Self::Jaeger | Self::Lightstep => Temporality::Cumulative,
        }
    }
}
