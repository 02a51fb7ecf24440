//! Contexts of the client's configuration: all of them, and the one that is used.

use std::io;

use serde_json::{Map, Value};

use super::super::color::Paint;
use super::super::connect::{Target, Tls};
use super::super::contexts::{Context, Contexts};
use super::super::escape::escape;
use super::super::json::write_value;
use super::super::look::Look;
use super::super::table::{Table, text};

/// Writes all contexts, the current one with a star.
pub(crate) fn write_contexts(
    out: &mut dyn io::Write,
    look: &Look,
    contexts: &Contexts,
    current: Option<&str>,
) -> io::Result<()> {
    let is_current = |context: &Context| current == Some(context.name.as_str());
    if look.is_whole() {
        return contexts.all.iter().try_for_each(|context| {
            let mut value = Map::new();
            value.insert("name".to_owned(), context.name.as_str().into());
            value.insert("current".to_owned(), is_current(context).into());
            value.extend(settings(
                &context.server.to_string(),
                &context.tls,
                context.timeout.map(|of| of.as_secs_f64()),
            ));
            write_value(out, look, &Value::Object(value))
        });
    }
    if contexts.all.is_empty() {
        return writeln!(out, "no contexts: the client's configuration has none, or there is none");
    }
    let mut table = Table::new([text("CURRENT", 7, 0), text("NAME", 16, 0), text("SERVER", 40, 0)]);
    for context in &contexts.all {
        let (paint, star) = if is_current(context) { (Paint::Good, "*") } else { (Paint::Plain, "") };
        let cells = [star, &escape(&context.name), &escape(&context.server.to_string())].map(str::to_owned);
        table.row(paint, cells.to_vec());
    }
    table.write(out, look)
}

/// Writes which context is used and what it comes to.
pub(crate) fn write_target(
    out: &mut dyn io::Write,
    look: &Look,
    name: Option<&str>,
    target: &Target,
) -> io::Result<()> {
    let Target { server, tls, timeout } = target;
    let mut value = Map::new();
    if let Some(name) = name {
        value.insert("context".to_owned(), name.into());
    }
    value.extend(settings(&server.to_string(), tls, Some(timeout.as_secs_f64())));
    if look.is_whole() {
        return write_value(out, look, &Value::Object(value));
    }
    if name.is_none() {
        writeln!(out, "{} none", look.painter.paint(Paint::Bold, "context:"))?;
    }
    for (key, value) in value {
        let value = match value.as_str() {
            Some(text) => escape(text).into_owned(),
            None => format!("{} s", value.as_f64().unwrap_or_default()),
        };
        writeln!(
            out,
            "{} {value}",
            look.painter.paint(Paint::Bold, format!("{}:", key.trim_end_matches("_s")))
        )?;
    }
    Ok(())
}

/// What is said of them, by the names that the file has for it.
fn settings(server: &str, tls: &Tls, timeout_s: Option<f64>) -> Map<String, Value> {
    let Tls { ca, cert, key, server_name } = tls;
    let path =
        |path: &Option<std::path::PathBuf>| path.as_ref().map(|path| path.to_string_lossy().into_owned());
    let texts = [
        ("server", Some(server.to_owned())),
        ("tls_ca", path(ca)),
        ("tls_cert", path(cert)),
        ("tls_key", path(key)),
        ("tls_server_name", server_name.clone()),
    ];
    let texts = texts.into_iter().filter_map(|(name, text)| Some((name.to_owned(), Value::from(text?))));
    texts.chain(timeout_s.map(|of| ("timeout_s".to_owned(), Value::from(of)))).collect()
}
