//! Results as the kernel's tests print them: KTAP, version 1 (Documentation/dev-tools/ktap.rst).
//!
//! A description has no `#`, with which directives begin; whatever could be taken for another line is escaped.

use super::{Outcome, Verdict, spec::Spec};
use std::io::{self, Write};

/// Begins: how many results there will be is known before the run.
///
/// # Errors
///
/// Those of the output.
pub fn begin(out: &mut impl Write, spec: &Spec, command: bool) -> io::Result<()> {
    writeln!(out, "KTAP version 1\n1..{}", spec.tests.len() + 1 + usize::from(command))?;
    out.flush()
}

/// The results, each after what there is to say of it.
///
/// # Errors
///
/// Those of the output.
pub fn write(out: &mut impl Write, verdict: &Verdict) -> io::Result<()> {
    for line in &verdict.notes {
        writeln!(out, "# {}", escaped(line, true))?;
    }
    for (number, result) in verdict.results.iter().enumerate() {
        for line in &result.lines {
            writeln!(out, "# {}", escaped(line, true))?;
        }
        let (mark, directive) = match &result.outcome {
            Outcome::Passed => ("ok", String::new()),
            Outcome::Failed => ("not ok", String::new()),
            Outcome::Skipped(why) => ("ok", format!(" # SKIP {}", escaped(why, false))),
        };
        writeln!(out, "{mark} {} {}{directive}", number + 1, escaped(&result.name, false))?;
    }
    let of = |wanted: Outcome| verdict.results.iter().filter(|result| result.outcome == wanted).count();
    let (pass, fail) = (of(Outcome::Passed), of(Outcome::Failed));
    let skip = verdict.results.len() - pass - fail;
    // As ksft_print_cnts() of the kernel's own tests has it.
    writeln!(out, "# Totals: pass:{pass} fail:{fail} xfail:0 xpass:0 skip:{skip} error:0")?;
    out.flush()
}

/// On one line that steers no terminal; a `#` is no directive in a diagnostic line, and nowhere else one of ours.
fn escaped(text: &str, may_have_hash: bool) -> String {
    let mut escaped = String::new();
    for c in text.chars() {
        match c {
            '#' if !may_have_hash => escaped.push_str("\\x23"),
            '"' | '\'' | '\\' => escaped.push(c),
            _ => escaped.extend(c.escape_debug()),
        }
    }
    escaped
}
