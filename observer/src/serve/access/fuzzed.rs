//! Access files of any text: nobody sees more than a rule of the file says.

use super::*;

const WORDS: [&str; 22] = [
    "[[allow]]\n",
    "uids = ",
    "gids = ",
    "names = ",
    "loopback = ",
    "namespaces = ",
    "all = ",
    "true\n",
    "false\n",
    "[1000]\n",
    "[4294967295]\n",
    "[-1]\n",
    "[]\n",
    "[\"dns:A.example\"]\n",
    "[\"uri:\"]\n",
    "[\"shop\"]\n",
    "[\"\"]\n",
    "\"",
    ", ",
    "\n",
    "\\u0000",
    "'''",
];

#[test]
fn fuzz_access() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.toml");
    let process = |uid| Identity::Process { uid, groups: vec![uid], pid: 1 };
    crate::fuzz::run("access", &WORDS, |input| {
        std::fs::write(&path, input).unwrap();
        match Rules::read(Some(&path)) {
            Ok(rules) => {
                let text = String::from_utf8_lossy(input);
                assert_eq!(rules.scope(&process(0)), Some(Scope::All));
                if rules.scope(&process(1000)).is_some() {
                    assert!(text.contains("uids") || text.contains("gids"), "{text}");
                }
                let named = Identity::Certificate(vec!["dns:a.example".to_owned()]);
                if rules.scope(&named).is_some() {
                    assert!(text.contains("names"), "{text}");
                }
                assert_eq!(rules.scope(&Identity::Certificate(Vec::new())), None);
            }
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    });
}
