//! `--fields` against a server that knows no masks and sends everything, as an older daemon does.

use super::*;

#[tokio::test]
async fn json_and_yaml_have_these_fields_alone() {
    let shown =
        output("events --last 0 -o json --fields time,workload.pod --fields tcp_close").await.unwrap();
    let lines: Vec<&str> = shown.lines().collect();
    assert_eq!(lines.len(), 3, "{shown}");
    let event =
        "{\"event\":{\"time\":\"2026-01-31T08:12:03.114159265Z\",\"workload\":{\"pod\":\"cart-7d9f\"}}}";
    assert_eq!(lines[0], event);
    assert!(lines[1].starts_with("{\"lost\":{\"kind\":\"tcp_close\",\"count\":3},\"node_name\""), "{shown}");
    let shown = output("events --last 0 -o yaml --fields type").await.unwrap();
    assert!(shown.starts_with("---\nevent:\n  type: tcp_connect\n---\nlost:"), "{shown}");
    for sort in ["", "--sort live"] {
        let shown = output(&format!("summary -o json --fields workload.container {sort}")).await.unwrap();
        assert!(
            shown.starts_with("{\"summary\":{\"workload\":{\"container\":\"app\"}}}\n{\"window_end\""),
            "{shown}"
        );
    }
    assert_eq!(output("status -o json --fields version").await.unwrap(), "{\"version\":\"0.1.0\"}\n");
}

#[tokio::test]
async fn tables_have_these_columns_or_fields() {
    let shown = output("events --last 0 --fields type,process.comm,tcp_close.error").await.unwrap();
    let lines: Vec<&str> = shown.lines().collect();
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(words(lines[0]), ["TYPE", "PROCESS.COMM", "TCP_CLOSE.ERROR"]);
    assert_eq!(words(lines[1]), ["tcp_connect", "cart", "-"]);
    assert_eq!(lines[0].find("PROCESS"), lines[1].find("cart"), "{shown}");
    assert!(lines[2].ends_with("lost: 3 events (tcp_close)"), "{shown}");
    let shown = output("summary --fields execs,workload").await.unwrap();
    assert!(shown.ends_with("\nEXECS  WORKLOAD\n    0  shop/cart-7d9f/app\n"), "{shown}");
    let shown = output("status --fields version,node_name").await.unwrap();
    assert_eq!(shown, "FIELD      VALUE\nversion    0.1.0\nnode_name  -\n");
}

#[tokio::test]
async fn what_is_not_there_is_a_matter_of_usage() {
    for (line, words) in [
        ("events --fields workload.pood", "Workload has no field \"pood\"; it has kind, name"),
        ("connections -o json --fields rtt", "Connection has no field \"rtt\"; it has tcp,"),
        (
            "connections --fields state,colour",
            "no column \"colour\"; the columns are WORKLOAD, NODE, DIR, PEER, STATE,",
        ),
        (
            "connections --listeners --fields peer",
            "no column \"peer\"; the columns are WORKLOAD, NODE, LISTENS-ON,",
        ),
        ("summary --fields verdicts", "PORT, DIR, VERDICT"),
        ("explain --fields evidence", "VERDICT, OPENED,"),
        ("workloads --fields pod", "the columns are WORKLOAD, NODE, KIND, STATE"),
        ("status --fields nothing", "Status has no field \"nothing\""),
    ] {
        let error = output(line).await.unwrap_err();
        assert!(error.to_string().starts_with("--fields: ") && error.to_string().contains(words), "{error}");
        assert_eq!(format!("{:?}", report(&error)), format!("{:?}", ExitCode::from(USAGE)));
    }
}

#[tokio::test]
async fn the_request_asks_for_these_fields_and_what_sorting_needs() {
    let shown = output("workloads -o json --fields workload.pod --sort execs --print-filters").await.unwrap();
    assert_eq!(shown, "{\"field_mask\":\"workload.pod,execs\"}\n");
    let shown = output("summary -f --changes -o json --fields tcp.opened --print-filters").await.unwrap();
    assert_eq!(shown, "{\"follow\":true,\"field_mask\":\"tcp.opened,key\",\"changes\":true}\n");
    let shown = output("summary --fields workload --print-filters").await.unwrap();
    assert_eq!(shown, "{}\n", "a table's columns need many fields");
}
