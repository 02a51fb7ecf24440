//! Tests of the configuration: precedence, every bound, and what the errors say.

use std::collections::HashMap;

use clap::Parser as _;

use super::*;

#[derive(clap::Parser)]
struct Daemon {
    #[command(flatten)]
    flags: Flags,
}

/// The configuration from flags, variables and the text of a file.
fn load(flags: &[&str], env: &[(&str, &str)], file: Option<&str>) -> Result<Config, String> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("observer.toml");
    let mut arguments: Vec<String> = vec!["daemon".to_owned()];
    if let Some(text) = file {
        std::fs::write(&path, text).unwrap();
        arguments.push(format!("--config={}", path.display()));
    }
    arguments.extend(flags.iter().map(|&flag| flag.to_owned()));
    let env: HashMap<&str, &str> = env.iter().copied().collect();
    let flags = Daemon::try_parse_from(arguments).unwrap().flags;
    Config::load(&flags, &|name| env.get(name).map(|&value| value.to_owned()))
        .map_err(|error| error.to_string().replace(dir.path().to_str().unwrap(), "DIR"))
}

#[test]
fn defaults_are_those_that_the_help_names() {
    let config = load(&[], &[], Some("")).unwrap();
    assert_eq!(config.listen, [Listen::Unix("/run/observer/observer.sock".into())]);
    assert!(matches!(config.cri_endpoints, CriEndpoints::Usual(places) if places.len() >= 3));
    assert_eq!(config.kubernetes, KubernetesApi::Auto);
    assert_eq!(config.max_cluster_objects, 50_000);
    assert!(!config.dns && load(&["--dns"], &[], Some("")).unwrap().dns);
    assert_eq!(config.window, Duration::from_secs(10));
    assert_eq!((config.process_ring_bytes, config.network_ring_bytes), (4 << 20, 16 << 20));
    assert_eq!((config.history_bytes, config.subscriber_queue), (32 << 20, 8_192));
    assert_eq!((config.max_workloads, config.max_connections, config.max_edges), (10_000, 200_000, 50_000));
    assert_eq!(config.attribution_hold, Duration::from_secs(1));
    assert_eq!((config.crash_loop_ends, config.crash_loop_window), (3, Duration::from_mins(10)));
    assert_eq!(config.log, log::LevelFilter::Info);
    assert!(!config.node_name.is_empty());
}

#[test]
fn a_flag_wins_over_the_environment_and_that_over_the_file() {
    let file = "window = \"1s\"\nmax_edges = 7\nnode_name = \"file\"\n";
    let env = [("OBSERVER_WINDOW", "2s"), ("OBSERVER_NODE_NAME", "env")];
    let config = load(&["--window=3s"], &env, Some(file)).unwrap();
    assert_eq!(config.window, Duration::from_secs(3));
    assert_eq!(config.node_name, "env");
    assert_eq!(config.max_edges, 7);
}

#[test]
fn the_environment_can_name_the_file() {
    let env = [("OBSERVER_CONFIG", "/nonexistent/observer.toml")];
    let error = load(&[], &env, None).unwrap_err();
    assert!(error.starts_with("cannot read the configuration file /nonexistent/observer.toml: "), "{error}");
}

#[test]
fn lists_are_repeated_or_separated_by_commas() {
    let flags = ["--listen=unix:///a", "--listen=unix:///b"];
    let env = [("OBSERVER_CRI_ENDPOINT", "unix:///c, unix:///d")];
    let config = load(&flags, &env, None).unwrap();
    assert_eq!(config.listen, [Listen::Unix("/a".into()), Listen::Unix("/b".into())]);
    assert_eq!(config.cri_endpoints, CriEndpoints::Given(vec!["/c".into(), "/d".into()]));
    let config = load(&[], &[], Some("listen = [\"unix:///a\"]\ncri_endpoint = \"none\"")).unwrap();
    assert_eq!((config.listen.len(), config.cri_endpoints), (1, CriEndpoints::Off));
}

#[test]
fn kubernetes_is_asked_as_told() {
    let of = |value: &str| load(&[], &[("OBSERVER_KUBERNETES", value)], Some("")).unwrap().kubernetes;
    assert_eq!(of("off"), KubernetesApi::Off);
    assert_eq!(of("auto"), KubernetesApi::Auto);
    assert_eq!(of("/etc/k.conf"), KubernetesApi::Kubeconfig("/etc/k.conf".into()));
}

#[test]
fn plain_text_needs_its_flag_and_a_loopback_address() {
    let error = load(&["--listen=tcp://127.0.0.1:9000"], &[], None).unwrap_err();
    assert!(error.contains("`tcp://127.0.0.1:9000` is not allowed"), "{error}");
    assert!(error.contains("--insecure-loopback"), "{error}");
    assert!(load(&["--listen=tcp://10.0.0.1:9000", "--insecure-loopback"], &[], None).is_err());
    let config = load(&["--listen=tcp://[::1]:9000", "--insecure-loopback"], &[], None).unwrap();
    assert_eq!(config.listen[0].to_string(), "tcp://[::1]:9000");
    assert!(load(&[], &[], Some("insecure_loopback = true\nlisten = 'tcp://127.0.0.1:1'")).is_ok());
}

#[test]
fn tls_needs_certificates_and_rules() {
    let of = |text: &str| load(&[], &[], Some(text)).map(|config| config.access);
    let files = "tls_cert = '/c'\ntls_key = '/k'\ntls_client_ca = '/a'\n";
    let places = "listen = ['tls://0.0.0.0:7441', 'tls://[::]:7441']\n";
    let whole = of(&format!("{places}{files}access_file = '/r'\ntls_client_crl = '/l'\n")).unwrap();
    assert_eq!(whole.file, Some("/r".into()));
    assert_eq!(whole.tls.and_then(|tls| tls.client_crl), Some("/l".into()));
    assert_eq!(of("").unwrap(), Access::default());
    let together = "tls_cert, tls_key and tls_client_ca go together: set all of them, or none";
    assert_eq!(of("tls_cert = '/c'\ntls_key = '/k'").unwrap_err(), together);
    let bare = "listening at tls:// needs tls_cert, tls_key and tls_client_ca";
    assert_eq!(of(places).unwrap_err(), bare);
    let closed = "listening at tls:// needs an access_file, or nobody may see anything there";
    assert_eq!(of(&format!("{places}{files}")).unwrap_err(), closed);
    assert!(of("listen = 'tls://somewhere:1'").unwrap_err().contains("`tls://somewhere:1` is not allowed"));
    assert!(of("access_file = ''").unwrap_err().contains("`` is not allowed"));
}

#[test]
fn wrong_values_are_refused_from_every_source() {
    let wrong = [
        ("window", "0s"),
        ("window", "1500ms"),
        ("window", "2h"),
        ("window", "10"),
        ("process_ring_bytes", "3MiB"),
        ("network_ring_bytes", "2048"),
        ("network_ring_bytes", "2GiB"),
        ("history_bytes", "2TiB"),
        ("max_workloads", "0"),
        ("max_connections", "many"),
        ("max_edges", "-1"),
        ("attribution_hold", "11s"),
        ("subscriber_queue", "0"),
        ("log", "loud"),
        ("node_name", "a b"),
        ("listen", "unix://relative"),
        ("cri_endpoint", "/run/containerd/containerd.sock"),
        ("insecure_loopback", "perhaps"),
        ("container_folder", "relative"),
        ("no_conntrack", "perhaps"),
        ("dns", "perhaps"),
        ("kubernetes", "on"),
        ("kubernetes", "relative/config"),
        ("max_cluster_objects", "0"),
    ];
    for (key, value) in wrong {
        let error = load(&[], &[(&setting::env_name(key), value)], None).unwrap_err();
        assert!(
            error.starts_with(&format!("{}: `{value}` is not allowed\n", setting::env_name(key))),
            "{error}"
        );
        assert!(error.contains("\nAllowed: "), "{error}");
        let error = load(&[], &[], Some(&format!("\n{key} = \"{value}\"\n"))).unwrap_err();
        assert!(error.starts_with(&format!("DIR/observer.toml:2: {key}: `{value}`")), "{error}");
    }
    let error = load(&["--window=0s"], &[], None).unwrap_err();
    assert_eq!(error, "--window: `0s` is not allowed\nAllowed: whole seconds from 1s to 1h, such as `10s`.");
}

#[test]
fn the_file_is_judged_line_by_line() {
    let error = load(&[], &[], Some("window = \"5s\"\n\nwindwo = 3\n")).unwrap_err();
    assert!(error.starts_with("DIR/observer.toml:3: unknown key `windwo`\nAllowed are listen, "), "{error}");
    let error = load(&[], &[], Some("window = \"5s\"\nmax_edges = \n")).unwrap_err();
    assert!(error.starts_with("DIR/observer.toml:2: not valid TOML: "), "{error}");
    let error = load(&[], &[], Some("max_edges = 1.5\n")).unwrap_err();
    assert!(error.starts_with("DIR/observer.toml:1: max_edges: `float` is not allowed\n"), "{error}");
    let error = load(&[], &[], Some("[daemon]\nwindow = \"5s\"\n")).unwrap_err();
    assert!(error.starts_with("DIR/observer.toml:1: unknown key `daemon`"), "{error}");
    let error = load(&[], &[], Some("window = [\"5s\", \"6s\"]\n")).unwrap_err();
    assert!(error.contains("`5s,6s` is not allowed"), "{error}");
}

#[test]
fn metrics_are_served_in_plain_text_on_this_machine_alone_unless_that_is_wanted() {
    let of = |flag: &str, file: &str| {
        let flags = if flag.is_empty() { vec![] } else { vec![flag] };
        load(&flags, &[], Some(file)).map(|config| config.http_listen.map(|address| address.to_string()))
    };
    assert_eq!(of("", "").unwrap(), None);
    assert_eq!(of("--http-listen=off", "http_listen = '127.0.0.1:1'").unwrap(), None);
    assert_eq!(of("--http-listen=127.0.0.1:9966", "").unwrap().unwrap(), "127.0.0.1:9966");
    assert_eq!(of("", "http_listen = '[::1]:9966'").unwrap().unwrap(), "[::1]:9966");
    for wrong in ["0.0.0.0:9966", "10.0.0.1:9966", "localhost:9966", "127.0.0.1", ":9966"] {
        let error = of(&format!("--http-listen={wrong}"), "").unwrap_err();
        assert!(error.starts_with(&format!("--http-listen: `{wrong}` is not allowed\n")), "{error}");
    }
    assert!(of("--http-listen=0.0.0.0:1", "[http]\ninsecure = true").is_ok());
    assert!(of("", "http_listen = '0.0.0.0:1'\n[http]\ntls_cert = 'c'\ntls_key = 'k'").is_ok());
}

/// The variables of a pod's container.
fn variables(manifest: &str) -> Vec<(String, String)> {
    let read: serde_json::Value = serde_saphyr::from_str(manifest).unwrap();
    let all = read["spec"]["template"]["spec"]["containers"][0]["env"].as_array().unwrap();
    let given = all.iter().filter_map(|one| Some((one["name"].as_str()?, one["value"].as_str()?)));
    given.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

#[test]
fn what_is_deployed_on_kubernetes_is_taken() {
    let base = include_str!("../../../deploy/kubernetes/base/observer.toml");
    let with_metrics = include_str!("../../../deploy/kubernetes/components/prometheus/observer.toml");
    let mut env = Vec::new();
    for manifest in [
        include_str!("../../../deploy/kubernetes/base/daemon-set.yaml"),
        include_str!("../../../deploy/kubernetes/components/api/daemon-set.yaml"),
        include_str!("../../../deploy/kubernetes/components/prometheus/daemon-set.yaml"),
    ] {
        env.extend(variables(manifest));
    }
    let env: Vec<(&str, &str)> = env.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    // The base's one variable with a value comes first.
    assert_eq!(env[0].0, "OBSERVER_CRI_ENDPOINT");
    let plain = load(&[], &env[..1], Some(base)).unwrap();
    assert_eq!(plain.listen, [Listen::Unix("/run/observer/observer.sock".into())]);
    assert_eq!(plain.record_dir.as_deref(), Some(Path::new("/var/lib/observer")));
    assert_eq!((plain.http_listen, plain.container_folders), (None, Some(Vec::new())));
    let all = load(&[], &env, Some(with_metrics)).unwrap();
    assert!(matches!(&all.listen[..], [Listen::Unix(_), Listen::Secured(at)] if at.port() == 7443));
    assert_eq!(all.http_listen.map(|at| at.port()), Some(9966));
    // Without certificates nobody is let in from elsewhere.
    assert!(load(&[], &env, Some(base)).is_err());
}
