//! Client configurations of any text.

use super::*;

const WORDS: [&str; 20] = [
    "[contexts.",
    "[contexts.a]\n",
    "]\n",
    "context = ",
    "output = ",
    "color = ",
    "time_format = ",
    "server = ",
    "timeout = ",
    "tls_ca = ",
    "tls_server_name = ",
    "\"a\"\n",
    "\"wide\"\n",
    "\"5s\"\n",
    "\"tls://[::1]:1\"\n",
    "\"tcp://10.0.0.1:1\"\n",
    "\"unix:///\"\n",
    "\"",
    "= 3\n",
    "\\u0000",
];

#[test]
fn fuzz_contexts() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("observer.toml");
    crate::fuzz::run("contexts", &WORDS, |input| {
        fs::write(&path, input).unwrap();
        match Contexts::read(&path) {
            Ok(contexts) => {
                for context in &contexts.all {
                    // What is shown of a server is an address of the same one.
                    let shown = context.server.to_string();
                    assert_eq!(shown.parse::<Server>().as_ref(), Ok(&context.server), "{shown}");
                }
            }
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    });
}
