//! The observer gRPC API.
