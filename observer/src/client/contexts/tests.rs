//! Tests of the client's configuration: what it may say, what counts more, and how it is changed.

use std::collections::BTreeMap;

use super::super::Target;
use super::*;

const PROD: &str = "# What I look at.
context = \"prod\" # not the test one
output = \"wide\"
color = \"never\"
time_format = \"relative\"

[contexts.prod] # a node
server = \"tls://node1:4250\"
tls_ca = \"ca.pem\"
tls_cert = \"/dev/null\"
tls_key = \"/dev/null\"
tls_server_name = \"node1.example.com\"
timeout = \"10s\"

[contexts.test]
server = \"unix:///run/test.sock\"
";

struct Folder {
    folder: tempfile::TempDir,
    file: PathBuf,
}

impl Folder {
    fn with(text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("ca.pem"), "").unwrap();
        let file = folder.path().join("observer.toml");
        fs::write(&file, text).unwrap();
        Self { folder, file }
    }

    fn read(&self) -> Result<Contexts, String> {
        Contexts::read(&self.file).map_err(|error| self.plain(&error))
    }

    fn plain(&self, error: &Error) -> String {
        assert!(error.is_usage());
        error.to_string().replace(&format!("{}/", self.folder.path().display()), "")
    }
}

fn tcp(host: &str) -> Server {
    format!("tls://{host}:4250").parse().unwrap()
}

fn env(pairs: &[(&str, &str)]) -> impl Fn(&str) -> Option<String> {
    let pairs: BTreeMap<String, String> =
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    move |name| pairs.get(name).cloned()
}

#[test]
fn a_file_says_which_daemons_there_are_and_how_output_looks() {
    let folder = Folder::with(PROD);
    let contexts = folder.read().unwrap();
    assert_eq!(contexts.current, Some(("prod".to_owned(), 2)));
    let look = (contexts.output, contexts.color, contexts.time_format);
    assert_eq!(look, (Some(Format::Wide), Some(Color::Never), Some(TimeFormat::Relative)));
    let names: Vec<_> = contexts.all.iter().map(|context| context.name.as_str()).collect();
    assert_eq!(names, ["prod", "test"]);
    let prod = contexts.find("prod").unwrap();
    let null = || Some(PathBuf::from("/dev/null"));
    let tls = Tls {
        // A relative path begins where the file is.
        ca: Some(folder.folder.path().join("ca.pem")),
        cert: null(),
        key: null(),
        server_name: Some("node1.example.com".to_owned()),
    };
    assert_eq!((&prod.server, &prod.tls, prod.timeout), (&tcp("node1"), &tls, Some(Duration::from_secs(10))));
    let test = contexts.find("test").unwrap();
    assert_eq!((&test.tls, test.timeout), (&Tls::default(), None));
}

#[test]
fn what_is_wrong_is_told_with_its_line_and_what_is_allowed() {
    let node = "[contexts.a]\nserver = \"tls://a:1\"\n";
    for (text, expected) in [
        ("context = \n".to_owned(), "observer.toml:1: not valid TOML: "),
        (
            "\ncontxt = \"a\"".to_owned(),
            "observer.toml:2: unknown key `contxt`\nAllowed are context, output, color,",
        ),
        (
            "context = 1".to_owned(),
            "observer.toml:1: context: a value of the type integer is not allowed\nAllowed: a text in quotes.",
        ),
        (
            "output = \"xml\"".to_owned(),
            "observer.toml:1: output: \"xml\" is not allowed\nAllowed: \"compact\", \"wide\", \"json\", \"yaml\".",
        ),
        (
            "color = true".to_owned(),
            "observer.toml:1: color: a value of the type boolean is not allowed\nAllowed: \"auto\", \"always\", \"never\".",
        ),
        (
            "contexts = []".to_owned(),
            "observer.toml:1: contexts: a value of the type array is not allowed\nAllowed: a table for each",
        ),
        (
            "[contexts]\na = 1".to_owned(),
            "observer.toml:2: contexts.a: a value of the type integer is not allowed\nAllowed: a table with",
        ),
        (
            "\n[contexts.a]\ntimeout = \"1s\"".to_owned(),
            "observer.toml:2: contexts.a: no `server`\nIt says where the daemon is.",
        ),
        (
            format!("{node}sever = \"x\""),
            "observer.toml:3: unknown key `contexts.a.sever`\nAllowed are server, tls_ca, tls_cert,",
        ),
        (
            format!("{node}timeout = \"0s\""),
            "observer.toml:3: contexts.a.timeout: \"0s\" is not allowed\nAllowed: durations above 0",
        ),
        (
            format!("{node}tls_ca = \"\""),
            "observer.toml:3: contexts.a.tls_ca: \"\" is not allowed\nAllowed: a text that is not empty.",
        ),
        (
            format!("{node}tls_cert = \"c\""),
            "observer.toml:1: contexts.a: no `tls_key`\nA certificate is of no use without",
        ),
        (format!("{node}tls_key = \"k\""), "observer.toml:1: contexts.a: no `tls_cert`\n"),
        (
            "[contexts.a]\nserver = \"ftp://a\\u001b\"".to_owned(),
            "observer.toml:2: contexts.a.server: \"ftp://a\\x1b\" is not allowed\nAllowed: unix:///path, tls://host:port",
        ),
    ] {
        let error = Folder::with(&text).read().unwrap_err();
        assert!(error.starts_with(expected), "{text}: {error}");
    }
    let missing = Contexts::read(Path::new("/nowhere/o.toml")).unwrap_err().to_string();
    assert!(
        missing.starts_with("cannot read the client's configuration /nowhere/o.toml: No such file"),
        "{missing}"
    );
}

#[test]
fn files_that_a_context_names_have_to_be_there_when_it_is_used() {
    let folder = Folder::with(&PROD.replace("ca.pem", "gone.pem"));
    let contexts = folder.read().unwrap();
    let error = folder.plain(&contexts.find("prod").unwrap_err());
    assert!(
        error.starts_with("observer.toml:9: contexts.prod.tls_ca: cannot read gone.pem: No such file"),
        "{error}"
    );
    assert!(contexts.find("test").is_ok());
}

#[test]
fn a_context_that_is_not_there_is_told_with_those_that_are() {
    let folder = Folder::with(&PROD.replace("\"prod\" #", "\"prd\" #"));
    let contexts = folder.read().unwrap();
    let error = |name: &str| folder.plain(&contexts.find(name).unwrap_err());
    assert_eq!(error("prd"), "observer.toml:2: no context `prd`\nThere are prod, test.");
    assert_eq!(error("x\x1b"), "observer.toml: no context `x\\x1b`\nThere are prod, test.");
    assert!(Folder::with("").read().unwrap().find("a").unwrap_err().to_string().contains("write a table"));
    let none = Contexts::default().find("a").unwrap_err().to_string();
    assert!(none.starts_with("no context `a`\nThere is no client's configuration"), "{none}");
}

#[test]
fn flags_count_more_than_the_environment_and_that_more_than_the_current_context() {
    let folder = Folder::with(PROD);
    let contexts = folder.read().unwrap();
    let prod = contexts.find("prod").unwrap();
    let flag = |server: &str| Flags { server: Some(tcp(server)), ..Flags::default() };
    let context = |name: &str| Flags { context: Some(name.to_owned()), ..Flags::default() };
    let of = |flags: Flags, pairs: &[(&str, &str)]| contexts.target(flags, &env(pairs)).unwrap();

    let usual = of(Flags::default(), &[]);
    assert_eq!(
        usual,
        Target { server: tcp("node1"), tls: prod.tls.clone(), timeout: Duration::from_secs(10) }
    );
    assert_eq!(
        of(Flags::default(), &[("OBSERVER_CONTEXT", "test")]).server.to_string(),
        "unix:///run/test.sock"
    );
    assert_eq!(of(context("prod"), &[("OBSERVER_CONTEXT", "test"), ("OBSERVER_SERVER", "tls://b:1")]), usual);

    // Another daemon is not given what was meant for this one, unless that is asked for.
    let named = Target { server: tcp("b"), ..Target::default() };
    assert_eq!(of(Flags::default(), &[("OBSERVER_SERVER", "tls://b:4250")]), named);
    assert_eq!(of(flag("b"), &[("OBSERVER_SERVER", "tls://c:4250"), ("OBSERVER_CONTEXT", "prod")]), named);
    let both = Flags { context: Some("prod".to_owned()), ..flag("b") };
    assert_eq!(of(both, &[]), Target { server: tcp("b"), ..usual.clone() });

    let timeout = Some(Duration::from_secs(1));
    let other_ca = Tls { ca: Some("/other.pem".into()), ..Tls::default() };
    let changed = of(Flags { timeout, tls: other_ca.clone(), ..Flags::default() }, &[]);
    assert_eq!(changed.tls, Tls { ca: other_ca.ca, ..prod.tls.clone() });
    assert_eq!((changed.server, changed.timeout), (tcp("node1"), Duration::from_secs(1)));

    let none = Contexts::default().target(Flags::default(), &env(&[])).unwrap();
    assert_eq!(none, Target::default());
}

#[test]
fn what_cannot_be_is_refused() {
    let folder = Folder::with(PROD);
    let contexts = folder.read().unwrap();
    let wrong = contexts.target(Flags::default(), &env(&[("OBSERVER_SERVER", "nowhere")])).unwrap_err();
    assert!(
        wrong.to_string().starts_with("OBSERVER_SERVER: `nowhere` is not allowed\nAllowed: unix:///path"),
        "{wrong}"
    );
    let unknown = contexts.target(Flags::default(), &env(&[("OBSERVER_CONTEXT", "x")])).unwrap_err();
    assert!(unknown.to_string().contains("no context `x`"), "{unknown}");
    let tls = Tls { cert: Some("/c.pem".into()), ..Tls::default() };
    let half = contexts.target(Flags { tls, ..Flags::default() }, &env(&[])).unwrap_err();
    assert_eq!(
        half.to_string(),
        "--tls-cert and --tls-key belong together: --tls-cert is given, --tls-key is not"
    );
}

#[test]
fn the_file_is_the_named_one_or_in_the_users_own_folder() {
    let find = |flag: Option<&str>, pairs: &[(&str, &str)]| File::find(flag.map(Path::new), &env(pairs));
    let usual = |path: &str| File::Usual(path.into());
    let home = ("HOME", "/home/a");
    assert_eq!(find(None, &[]), File::None);
    assert_eq!(find(None, &[home]), usual("/home/a/.config/observer/observer.toml"));
    assert_eq!(find(None, &[home, ("XDG_CONFIG_HOME", "/x")]), usual("/x/observer/observer.toml"));
    assert_eq!(
        find(None, &[home, ("XDG_CONFIG_HOME", "x")]),
        usual("/home/a/.config/observer/observer.toml")
    );
    let named = [home, ("OBSERVER_CLIENT_CONFIG", "b.toml")];
    assert_eq!(find(None, &named), File::Named("b.toml".into()));
    assert_eq!(find(Some("c.toml"), &named), File::Named("c.toml".into()));
    assert_eq!(Contexts::load(&usual("/nowhere/o.toml")).unwrap().file, None);
    assert!(Contexts::load(&File::Named("/nowhere/o.toml".into())).is_err());
}

#[test]
fn choosing_another_context_changes_that_alone() {
    let folder = Folder::with(PROD);
    fs::set_permissions(&folder.file, fs::Permissions::from_mode(0o640)).unwrap();
    let link = folder.folder.path().join("link.toml");
    std::os::unix::fs::symlink(&folder.file, &link).unwrap();
    Contexts::read(&link).unwrap().set_current("test").unwrap();
    let expected = PROD.replace("\"prod\" #", "\"test\" #");
    assert_eq!(fs::read_to_string(&folder.file).unwrap(), expected);
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(fs::metadata(&folder.file).unwrap().permissions().mode() & 0o777, 0o640);
    assert_eq!(fs::read_dir(folder.folder.path()).unwrap().count(), 3, "nothing is left beside it");

    let contexts = folder.read().unwrap();
    let error = folder.plain(&contexts.set_current("x").unwrap_err());
    assert_eq!(error, "observer.toml: no context `x`\nThere are prod, test.");
    assert_eq!(fs::read_to_string(&folder.file).unwrap(), expected);

    // Where none was current, the key stands before the tables.
    let folder = Folder::with("# Mine.\noutput = \"wide\"\n\n[contexts.a]\nserver = \"tls://a:1\"\n");
    folder.read().unwrap().set_current("a").unwrap();
    let text = fs::read_to_string(&folder.file).unwrap();
    assert_eq!(text, "# Mine.\noutput = \"wide\"\ncontext = \"a\"\n\n[contexts.a]\nserver = \"tls://a:1\"\n");
}
