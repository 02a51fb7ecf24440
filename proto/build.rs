//! Generates the API's code and its descriptor from `observer/v1`, without a `protoc`.

use prost::Message as _;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    const FILES: [&str; 11] = [
        "compare",
        "diagnosis",
        "event",
        "export",
        "filter",
        "incident",
        "incidents",
        "observer",
        "recording",
        "status",
        "summary",
    ];
    println!("cargo:rerun-if-changed=observer");
    let descriptors = protox::compile(FILES.map(|name| format!("observer/v1/{name}.proto")), ["."])?;
    let out = std::path::PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("observer.v1.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure().compile_fds(descriptors.clone())?;
    // What a server sends again and again it encodes once.
    let served = out.join("served");
    std::fs::create_dir_all(&served)?;
    tonic_prost_build::configure()
        .build_client(false)
        .codec_path("crate::StreamCodec")
        .extern_path(".observer.v1.Workload", "crate::Encoded")
        .extern_path(".observer.v1.Process", "crate::Encoded")
        .extern_path(".observer.v1.WatchEventsResponse", "crate::EventsResponse")
        // What client and server make alike: of a file, or of the daemon's recording.
        .extern_path(".observer.v1.CompareWindowsResponse", "crate::v1::CompareWindowsResponse")
        // What a daemon says of its own edges, and a relay of those that cross nodes.
        .extern_path(".observer.v1.Diagnosis", "crate::v1::Diagnosis")
        .extern_path(".observer.v1.Finding", "crate::v1::Finding")
        .extern_path(".observer.v1.Evidence", "crate::v1::Evidence")
        .extern_path(".observer.v1.Verdict", "crate::v1::Verdict")
        .extern_path(".observer.v1.Unit", "crate::v1::Unit")
        .out_dir(served)
        .compile_fds(descriptors)?;
    Ok(())
}
