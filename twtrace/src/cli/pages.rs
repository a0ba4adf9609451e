//! The manual page and the completion scripts, made from the words of the command line.

use super::Cli;
use clap::CommandFactory as _;
use clap_complete::Shell;
use std::io::{self, Write};

/// Writes the completion script of a shell.
pub fn completions(shell: Shell, out: &mut impl Write) -> io::Result<()> {
    // Into memory first: the generator panics where its output fails, and a closed pipe is a normal end.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "twtrace", &mut script);
    out.write_all(&script)
}

/// Writes the manual page, every command on it.
pub fn man(out: &mut impl Write) -> io::Result<()> {
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    let mut page = Vec::new();
    clap_mangen::Man::new(command.clone()).render(&mut page)?;
    let mut page = String::from_utf8_lossy(&page).replace(".SH EXTRA", ".SH NOTES");
    for subcommand in command.get_subcommands() {
        let name = subcommand.get_name();
        // There is no such page: the command is a section of this one.
        page = page.replace(&format!("twtrace\\-{name}(1)"), &format!("twtrace {name}"));
        page.push_str(&format!(".SH \"TWTRACE {}\"\n", name.to_uppercase()));
        page.push_str(&sections(subcommand)?);
    }
    out.write_all(page.as_bytes())
}

/// The sections of a command's own page, one level down; what stands in columns stays in columns.
fn sections(command: &clap::Command) -> io::Result<String> {
    let page = clap_mangen::Man::new(command.clone());
    let (mut sections, mut notes) = (Vec::new(), Vec::new());
    page.render_synopsis_section(&mut sections)?;
    page.render_description_section(&mut sections)?;
    page.render_options_section(&mut sections)?;
    page.render_extra_section(&mut notes)?;
    let notes = String::from_utf8_lossy(&notes).replace(".SH EXTRA", ".SH NOTES\n.nf");
    let end = if notes.is_empty() { "" } else { ".fi\n" };
    Ok(format!("{}{notes}{end}", String::from_utf8_lossy(&sections)).replace(".SH ", ".SS "))
}
