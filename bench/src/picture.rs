//! The results as one picture: what loads keep, what calls cost, and how much of each budget is used.

use std::fmt::Write as _;

use crate::budgets::{Outcome, Results, Verdict, call_ns, row};

const WIDTH: f64 = 960.0;
const MARGIN: f64 = 28.0;
const LINE: f64 = 20.0;
const BAR: f64 = 12.0;
/// Where bars begin, after their names, and how long the longest is.
const NAMES: f64 = 300.0;
const LONGEST: f64 = 520.0;

const OURS: &str = "#2563eb";
const OTHERS: &str = "#b6bfcc";
const GOOD: &str = "#1f9d55";
const UNCLEAR: &str = "#c98a0c";
const BAD: &str = "#d1383d";
const TEXT: &str = "#1c2430";
const QUIET: &str = "#66707e";
const RULE: &str = "#dde2e8";

/// A page that grows downwards.
struct Page {
    svg: String,
    y: f64,
}

/// One bar.
struct Bar {
    name: String,
    value: f64,
    /// Where half of the rounds lie.
    half: Option<(f64, f64)>,
    label: String,
    color: &'static str,
}

/// Draws it.
pub(crate) fn draw(results: &Results, verdicts: &[Verdict]) -> String {
    let mut page = Page { svg: String::new(), y: MARGIN + 14.0 };
    page.text(MARGIN, "What the observer costs", TEXT, 20, "bold");
    page.y += 10.0;
    page.losses(results);
    page.calls(results);
    page.budgets(verdicts);
    let height = page.y + MARGIN - LINE / 2.0;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" \
         font-family=\"system-ui, 'Segoe UI', 'DejaVu Sans', sans-serif\">\n\
         <rect width=\"{WIDTH}\" height=\"{height}\" rx=\"10\" fill=\"#ffffff\"/>\n{}</svg>\n",
        page.svg
    )
}

impl Page {
    fn losses(&mut self, results: &Results) {
        let mut groups = Vec::new();
        for (load, words) in [
            ("connections", "connect, send, receive, close"),
            ("requests", "requests on long connections"),
            ("bulk", "bulk transfer"),
            ("exec", "fork and exec"),
        ] {
            let named = ["observer", "tcplife", "tcpstates", "execsnoop", "exitsnoop"];
            let bars: Vec<Bar> = named
                .into_iter()
                .filter_map(|name| {
                    let kept = &row(results, load, "loopback", name)?["kept"];
                    let lost = |of: &str| kept[of].as_f64().map(|kept| (1.0 - kept) * 100.0);
                    let (median, best, worst) = (lost("median")?, lost("p75")?, lost("p25")?);
                    Some(Bar {
                        name: name.to_owned(),
                        value: median.max(0.0),
                        half: Some((best.max(0.0), worst.max(0.0))),
                        label: format!("{median:.1} %"),
                        color: if name == "observer" { OURS } else { OTHERS },
                    })
                })
                .collect();
            if !bars.is_empty() {
                groups.push((words, bars));
            }
        }
        self.section(
            "Throughput that a load loses",
            "one processor, loopback; median, and where half of the rounds lie",
        );
        self.groups(groups);
    }

    fn calls(&mut self, results: &Results) {
        let bar = |name: &str, ns: Option<f64>, color| {
            ns.map(|ns| Bar { name: name.to_owned(), value: ns, half: None, label: nanoseconds(ns), color })
        };
        let ours = |load: &str, hook: &str| call_ns(results, load, "observer", hook, false);
        let theirs = |load: &str, tool: &str| call_ns(results, load, tool, "", false);
        let groups = [
            (
                "a change of TCP's state",
                vec![
                    bar("observer", ours("connections", "inet_sock_set_state"), OURS),
                    bar("tcplife", theirs("connections", "tcplife"), OTHERS),
                    bar("tcpstates", theirs("connections", "tcpstates"), OTHERS),
                ],
            ),
            (
                "an exec",
                vec![
                    bar("observer", ours("exec", "sched_process_exec"), OURS),
                    bar("execsnoop", theirs("exec", "execsnoop"), OTHERS),
                ],
            ),
            (
                "an exit",
                vec![
                    bar("observer", ours("exec", "sched_process_exit"), OURS),
                    bar("exitsnoop", theirs("exec", "exitsnoop"), OTHERS),
                ],
            ),
        ];
        let groups: Vec<_> = groups
            .into_iter()
            .map(|(words, bars)| (words, bars.into_iter().flatten().collect::<Vec<_>>()))
            .collect();
        self.section(
            "Time of a call in the kernel",
            "all programs on the hook together, side by side in the same rounds",
        );
        self.groups(groups.into_iter().filter(|(_, bars)| !bars.is_empty()).collect());
    }

    fn budgets(&mut self, verdicts: &[Verdict]) {
        self.section("How much of each budget is used", "the line is the limit");
        let (start, limit) = (MARGIN + 430.0, 270.0);
        let top = self.y;
        for verdict in verdicts {
            let middle = self.y;
            self.at(MARGIN, &verdict.what, (TEXT, 12, "normal"), "start");
            if let (Some(used), Some(measured)) = (verdict.used(), verdict.measured) {
                let color = match verdict.outcome {
                    Outcome::Met => GOOD,
                    Outcome::WithinNoise => UNCLEAR,
                    Outcome::Missed | Outcome::NotMeasured => BAD,
                };
                // Beyond a quarter over the limit it is as long as it gets; the figure tells the rest.
                self.rect(start, used.clamp(0.004, 1.25) * limit / 1.25, color);
                let of = if verdict.at_least { "of at least" } else { "of" };
                let label = format!("{} {of} {}", verdict.figure(measured), verdict.figure(verdict.limit));
                self.at(start + limit + 10.0, &label, (QUIET, 12, "normal"), "start");
            } else {
                self.at(start + 6.0, "not measured", (QUIET, 12, "normal"), "start");
            }
            self.y = middle + LINE;
        }
        let x = start + limit / 1.25;
        let _written = writeln!(
            self.svg,
            "<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{:.1}\" y2=\"{:.1}\" stroke=\"{TEXT}\" stroke-width=\"1.5\"/>",
            top - LINE * 0.8,
            self.y - LINE * 0.6
        );
    }

    /// Bars with a scale that they share.
    fn groups(&mut self, groups: Vec<(&str, Vec<Bar>)>) {
        let all = groups.iter().flat_map(|(_, bars)| bars);
        let most =
            all.map(|bar| bar.half.map_or(bar.value, |(_, worst)| worst.max(bar.value))).fold(0.0, f64::max);
        let length = |value: f64| value / most.max(f64::MIN_POSITIVE) * LONGEST;
        for (words, bars) in groups {
            self.at(MARGIN, words, (TEXT, 12, "bold"), "start");
            for bar in bars {
                self.at(MARGIN + NAMES - 12.0, &bar.name, (TEXT, 12, "normal"), "end");
                let start = MARGIN + NAMES;
                self.rect(start, length(bar.value).max(1.5), bar.color);
                let mut end = length(bar.value);
                if let Some((best, worst)) = bar.half {
                    let (from, to) = (start + length(best), start + length(worst));
                    let y = self.y - BAR / 3.0;
                    let _written = writeln!(
                        self.svg,
                        "<line x1=\"{from:.1}\" x2=\"{to:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\" stroke=\"{TEXT}\" stroke-width=\"1.5\"/>"
                    );
                    end = end.max(length(worst));
                }
                self.at(start + end + 8.0, &bar.label, (QUIET, 12, "normal"), "start");
                self.y += LINE;
            }
            self.y += LINE / 3.0;
        }
    }

    fn section(&mut self, title: &str, words: &str) {
        self.y += LINE * 0.6;
        let y = self.y - LINE * 0.2;
        let _written = writeln!(
            self.svg,
            "<line x1=\"{MARGIN}\" x2=\"{:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\" stroke=\"{RULE}\"/>",
            WIDTH - MARGIN
        );
        self.y += LINE;
        self.at(MARGIN, title, (TEXT, 15, "bold"), "start");
        self.at(WIDTH - MARGIN, words, (QUIET, 12, "normal"), "end");
        self.y += LINE * 1.4;
    }

    fn text(&mut self, x: f64, text: &str, color: &str, size: u32, weight: &str) {
        self.at(x, text, (color, size, weight), "start");
        self.y += LINE / 2.0;
    }

    fn at(&mut self, x: f64, text: &str, (color, size, weight): (&str, u32, &str), anchor: &str) {
        let text = text.replace('&', "&amp;").replace('<', "&lt;");
        let _written = writeln!(
            self.svg,
            "<text x=\"{x:.1}\" y=\"{:.1}\" fill=\"{color}\" font-size=\"{size}\" font-weight=\"{weight}\" text-anchor=\"{anchor}\">{text}</text>",
            self.y
        );
    }

    /// A bar on this line.
    fn rect(&mut self, x: f64, width: f64, color: &str) {
        let _written = writeln!(
            self.svg,
            "<rect x=\"{x:.1}\" y=\"{:.1}\" width=\"{width:.1}\" height=\"{BAR}\" rx=\"2\" fill=\"{color}\"/>",
            self.y - BAR * 0.83
        );
    }
}

fn nanoseconds(ns: f64) -> String {
    if ns < 1000.0 { format!("{ns:.0} ns") } else { format!("{:.1} µs", ns / 1000.0) }
}
