//! The observer's gRPC API, generated from `observer/v1`, and its descriptor.

mod codec;
mod encoded;
mod event;
mod fields;
mod mask;
#[cfg(test)]
mod rules;

pub use codec::StreamCodec;
pub use encoded::{Carried, Encoded, EventsPayload, EventsResponse};
pub use fields::{Fields, Value};
pub use mask::{InvalidMask, Mask};

pub use generated::{served, v1};

#[allow(
    missing_docs,
    unreachable_pub,
    clippy::pedantic,
    clippy::large_enum_variant,
    clippy::allow_attributes_without_reason,
    clippy::wildcard_enum_match_arm,
    reason = "generated code; the proto files hold the documentation"
)]
mod generated {
    /// Version 1 of the API, as clients have it.
    pub mod v1 {
        tonic::include_proto!("observer.v1");

        /// The encoded `FileDescriptorSet` of the package, for reflection and for JSON.
        pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/observer.v1.bin"));
    }

    /// The same as a server has it: workloads, processes and messages of a stream of events are encoded already.
    pub mod served {
        include!(concat!(env!("OUT_DIR"), "/served/observer.v1.rs"));
    }
}
